"""Small evaluations: settings, pictures and masks in files, an entry that counts its work and fails when told to."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from edgeconnect.data.scenes import render
from edgeconnect.evaluation.entries import STRICT, Entry, Filled, Run, parse_run
from edgeconnect.evaluation.evaluate import EvaluationOptions
from edgeconnect.evaluation.manifest import BIN_EDGES, Preprocessing

NAMES = ("psnr_rgb", "ssim_rgb_gauss11", "l1_hole")
DRAWN_COUNTS = ("true_positives", "drawn", "wanted")  # those of the first release
FULL = RuntimeError("CUDA out of memory. Tried to allocate more")
OPTIONS = EvaluationOptions(NAMES, {}, shown=0)


def preprocessing(size=32, pairing="per-bin", seed=0, edges=BIN_EDGES, threshold=127, polarity="hole"):
    return Preprocessing(size, threshold, polarity, 10**6, pairing, seed, edges)


def photos(folder, names=("a.png", "b.png", "c.png"), sides=(40, 48)):
    """Write scenes, each another one, under these names; return the folder."""
    for number, name in enumerate(names):
        save(folder / name, render(number, *sides))
    return folder


def holes(folder, shares, sides=(40, 40)):
    """Write masks {name: share of rows, from the top, that are missing}; return the folder."""
    for name, share in shares.items():
        mask = np.zeros(sides, np.uint8)
        mask[: round(share * sides[0])] = 255
        save(folder / name, mask)
    return folder


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, "PNG")
    return path


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


def strict_json(path: Path):
    """Read JSON that has no NaN and no Infinity, which not every program reads."""

    def refuse(constant):
        raise AssertionError(f"{path} holds {constant}")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def opened(text, overrides=(), sees_edges=STRICT, mirror=False):
    """Open a run by NAME=FOLDER:STAGE."""
    return Run(*parse_run(text), overrides, sees_edges, mirror)


class Painter(Entry):
    """Fills holes with one gray; what it was asked for is in `asked`, batch by batch."""

    sees_edges, paints, draws_edges = "", True, False

    def __init__(self, name="painter", gray=128, fails=(), error=FULL):
        self.name, self.gray, self.fails, self.error, self.asked = name, gray, fails, error, []
        self.provenance = {}

    def prepare(self, manifest):
        pass

    def identity(self, batch_size):
        return f"gray {self.gray}"

    def complete(self, items):
        self.asked.append([item.id for item in items])
        for item in items:
            if item.id in self.fails:
                raise self.error
            yield Filled(item.id, np.where(item.mask[..., None], np.uint8(self.gray), item.picture), None)
