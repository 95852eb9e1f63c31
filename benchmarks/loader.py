"""How many pictures a second the loader serves to one core, against a straightforward data set of the same items.

    python benchmarks/loader.py --json

Square JPEGs of --size become items of 256x256, with Canny and drawn masks, in batches of 8. Both data sets are read by
one process, each time in a program of its own, in turns, after warming up. The other one is what one writes first:
Pillow, scikit-image, float32 tensors. `milliseconds` says where an item's time goes; these, and with --workers 0
everything, are processor time, which other programs disturb less.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import torch
from circumstances import circumstances
from PIL import Image
from skimage.color import rgb2gray
from skimage.feature import canny
from torch.utils.data import DataLoader, Dataset

from edgeconnect import images
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import Config
from edgeconnect.data import edges, files, mask_shapes
from edgeconnect.data.items import collate, make_item
from edgeconnect.data.loader import Feed
from edgeconnect.data.scenes import render

WAYS = ("plain", "default")
SIDE, SIGMA, RATIO = 256, 2.0, (0.1, 0.5)
WARM = 8  # batches before the clock starts: what the process has read ahead is among them


class Plain(Dataset[dict[str, torch.Tensor]]):
    """The same items, float32 from the start."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.jpg"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Read a picture, draw its mask, find its edges."""
        with Image.open(self.paths[index]) as file:
            picture = np.array(file.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        rng = np.random.default_rng(index)
        mask = mask_shapes.draw("strokes", SIDE, SIDE, rng, mask_shapes.pixel_range(SIDE, SIDE, RATIO))
        gray = rgb2gray(picture)
        planes = {"image": picture.transpose(2, 0, 1) / 255, "gray": gray[None], "mask": mask[None]}
        planes["edge"] = canny(gray, sigma=SIGMA)[None]
        return {name: torch.from_numpy(plane.astype(np.float32)) for name, plane in planes.items()}


def configuration(folder: Path, batch_size: int, workers: int) -> Config:
    """Configure the loader of the training."""
    keys = {"TRAIN_FLIST": folder, "MASK": "strokes", "BATCH_SIZE": batch_size, "NUM_WORKERS": workers}
    return config_file.load(None, [("benchmark", f"{key}={value}") for key, value in keys.items()]).config


def batches(way: str, folder: Path, batch_size: int, workers: int) -> Iterator[object]:
    """Yield batches without end."""
    if way == "default":
        yield from Feed(configuration(folder, batch_size, workers)).batches(0)
    data = Plain(folder)
    order = (index for index in cycle(np.random.default_rng(0).permutation(len(data)).tolist()))
    yield from DataLoader(data, batch_size, sampler=order, num_workers=workers)


def measure(a: argparse.Namespace) -> float:
    """Return how many pictures a second come for each reading process."""
    torch.set_num_threads(1)
    served = batches(a.way, a.at, a.batch_size, a.workers)
    list(islice(served, WARM * max(1, a.workers)))
    clock = time.perf_counter if a.workers else time.process_time
    count, start = 0, clock()
    while clock() - start < a.seconds:
        next(served)
        count += a.batch_size
    return count / (clock() - start) / max(1, a.workers)


def profile(folder: Path) -> dict[str, float]:
    """Return the milliseconds of each part of an item, one after the other in this process."""
    cv2.setNumThreads(0)
    config, rng = configuration(folder, 8, 0).data, np.random.default_rng(0)
    paths, pixels = sorted(folder.glob("*.jpg")), mask_shapes.pixel_range(SIDE, SIDE, RATIO)
    spent, items = dict.fromkeys(("decode", "fit", "gray", "canny", "mask", "tensors", "collate"), 0.0), []

    def timed(part: str, work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        spent[part] += time.process_time() - start
        return spent[part]

    for path in paths:
        picture = images.read_square(path, SIDE)
        gray, mask = edges.to_gray(picture), mask_shapes.draw("strokes", SIDE, SIDE, rng, pixels)
        timed("decode", lambda path=path: images.read_image(path))
        timed("fit", lambda path=path: images.read_square(path, SIDE))
        timed("gray", lambda picture=picture: edges.to_gray(picture))
        timed("canny", lambda gray=gray: edges.canny_edges(gray, SIGMA))
        timed("mask", lambda: mask_shapes.draw("strokes", SIDE, SIDE, rng, pixels))
        bare = (picture, mask, path.name, config, rng)
        timed("tensors", lambda bare=bare: make_item(*bare, true_edges=True, with_edges=False))
        items.append(make_item(*bare, true_edges=True))
    timed("collate", lambda: [collate(items[n : n + 8]) for n in range(0, len(items), 8)])
    spent["fit"] -= spent["decode"]
    spent["tensors"] -= spent["gray"]
    return {part: round(1000 * seconds / len(paths), 2) for part, seconds in spent.items()}


def make_pictures(folder: Path, source: str, count: int, side: int) -> None:
    """Write square JPEGs."""
    paths = files.list_images(source, "--folder") if source else []
    for n in range(count):
        picture = images.read_square(paths[n % len(paths)], side) if paths else render(n, side, side)
        Image.fromarray(picture).save(folder / f"{n:06d}.jpg", quality=90)


def apart(a: argparse.Namespace, way: str, folder: Path) -> float:
    """Measure in a program of its own."""
    options = ("--way", way, "--at", folder, "--batch-size", a.batch_size, "--workers", a.workers)
    command = [sys.executable, __file__, *options, "--seconds", a.seconds]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="", help="pictures to make the JPEGs of; default built-in scenes")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=512, help="side of the JPEGs")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1, help="processes that read")
    parser.add_argument("--seconds", type=float, default=8, help="of one measurement")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.way:
        print(measure(a))
        return
    with tempfile.TemporaryDirectory() as name:
        make_pictures(Path(name), a.folder, a.count, a.size)
        rates = [{way: apart(a, way, Path(name)) for way in WAYS} for _ in range(a.repeat)]
        parts = profile(Path(name))
    ratios = sorted(rate["default"] / rate["plain"] for rate in rates)
    figures = {
        "pictures": a.folder or "scenes",
        "size": a.size,
        "workers": a.workers,
        **{f"{way}_per_second_and_core": round(statistics.median(rate[way] for rate in rates), 1) for way in WAYS},
        "ratios": [round(ratio, 2) for ratio in (ratios[0], statistics.median(ratios), ratios[-1])],
        "milliseconds": parts,
        **circumstances(),
    }
    print(json.dumps(figures, indent=1) if a.json else "\n".join(f"{k:<28}{v}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
