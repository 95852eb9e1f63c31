"""The items of an evaluation: pictures, each with a mask, in bins of the hole ratio; kept to be evaluated again."""

import hashlib
import json
import math
import os
import re
import reprlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from edgeconnect.atomic import write_whole
from edgeconnect.data import mask_shapes
from edgeconnect.errors import UserError, reason

SCHEMA = 1
BIN_EDGES = (0.0, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0)  # hole ratios: bins (0, 1 %], (1, 10 %], ... and the rest
PER_BIN, EACH, STEM = PAIRINGS = ("per-bin", "all", "stem")
LONGEST_ID = 251  # file systems take 255 bytes, with the suffix
SMALLEST_SIDE, LARGEST_SIDE = 16, 10_000
SCENE = re.compile(r"scenes:\d{1,15}")


class Item(NamedTuple):
    """One picture with one mask. `ratio` is the hole ratio after resizing; `seed` draws the mask, -1 for a file."""

    id: str
    picture: str
    mask: str
    seed: int
    ratio: float
    picture_hash: str
    mask_hash: str


@dataclass(frozen=True)
class Preprocessing:
    """How pictures and masks are brought into shape, and how they were paired."""

    size: int  # side of the centred square; 0: as they are
    mask_threshold: int
    mask_polarity: str
    max_pixels: int
    pairing: str
    seed: int
    edges: tuple[float, ...] = BIN_EDGES


@dataclass(frozen=True)
class Manifest:
    """Items in order, and how their pictures and masks are read."""

    preprocessing: Preprocessing
    items: tuple[Item, ...]

    def digest(self) -> str:
        """Hash what decides the figures: contents, masks and shapes, but no folder."""
        facts = [(item.id, item.picture_hash, item.mask_hash, item.seed, item.ratio) for item in self.items]
        shape = replace(self.preprocessing, max_pixels=0, pairing="", seed=0)
        return hashlib.sha256(json.dumps([asdict(shape), facts]).encode()).hexdigest()

    def bins(self) -> list[str]:
        """Name the bins that hold items, from small holes to large ones."""
        found = {self.bin(item) for item in self.items}
        return [name for name in bin_names(self.preprocessing.edges) if name in found]

    def bin(self, item: Item) -> str:
        """Name the bin of an item: `(10,20]` in percent, `0` for no hole."""
        return bin_names(self.preprocessing.edges)[bisect_left(self.preprocessing.edges, item.ratio)]

    def write(self, path: Path) -> None:
        """Write the manifest as JSON, whole or not at all."""
        items = [item._asdict() | {"bin": self.bin(item)} for item in self.items]
        contents = {"schema": SCHEMA, "digest": self.digest(), "setting": asdict(self.preprocessing), "items": items}
        write_whole(path, (json.dumps(contents, indent=1) + "\n").encode())


def bin_names(edges: Sequence[float]) -> list[str]:
    """Name the bins between edges."""
    percent = [f"{100 * edge:g}" for edge in edges]
    return ["0", *(f"({low},{high}]" for low, high in pairwise(percent))]


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, which may come from anywhere: its ids become names of files.

    Raises UserError where a field is not what `Manifest.write` writes, and where one was changed by hand.
    """
    try:
        contents: dict[str, Any] = json.loads(path.read_text("utf-8"))
        preprocessing = _read_preprocessing(contents["setting"])
        manifest = Manifest(preprocessing, tuple(_read_item(row) for row in contents["items"]))
        ids = {item.id.casefold() for item in manifest.items}
        _require(0 < len(ids) == len(manifest.items), "items", sorted(ids))
        _require(contents["schema"] == SCHEMA, "schema", contents["schema"])
        digest = contents["digest"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: is no manifest of an evaluation ({reason(error)}); give a manifest.json") from error
    if digest != manifest.digest():
        raise UserError(f"{path}: was changed since it was written; write a new one by leaving --manifest out")
    return manifest


def _require(valid: object, name: str, value: object) -> None:
    if not valid:
        raise ValueError(f"{name} cannot be {reprlib.repr(value)}")


def _read_preprocessing(row: dict[str, Any]) -> Preprocessing:
    found = Preprocessing(**row | {"edges": tuple(row["edges"])})
    limits = {"size": (0, LARGEST_SIDE), "mask_threshold": (0, 254), "max_pixels": (1, math.inf), "seed": (0, 2**53)}
    for name, (low, high) in limits.items():
        _require(type(row[name]) is int and low <= row[name] <= high, name, row[name])
    _require(not 0 < found.size < SMALLEST_SIDE, "size", found.size)
    _require(found.mask_polarity in ("hole", "known"), "mask_polarity", found.mask_polarity)
    _require(found.pairing in PAIRINGS, "pairing", found.pairing)
    rising = all(type(high) is float and low < high for low, high in pairwise(found.edges))
    _require(rising and found.edges[:1] == (0,) and found.edges[-1:] == (1,), "edges", found.edges)
    _require(len(set(bin_names(found.edges))) == len(found.edges), "edges", found.edges)
    return found


def _read_item(row: dict[str, Any]) -> Item:
    """Read an item; its hashes and its ratio are what `pairing.verify` holds against the files."""
    found = Item(*(row[name] for name in Item._fields))
    for name, kind in Item.__annotations__.items():
        _require(type(row[name]) is kind, name, row[name])
    _require(found.id and found.id == file_name(found.id) and len(os.fsencode(found.id)) <= LONGEST_ID, "id", found.id)
    _require(not found.picture.startswith("scenes:") or SCENE.fullmatch(found.picture), "picture", found.picture)
    _require(-1 <= found.seed < 2**53, "seed", found.seed)
    _require(0 <= found.ratio <= 1, "ratio", found.ratio)
    if found.seed >= 0:
        kind, (low, high) = parse_drawn(found.mask)
        _require(kind in mask_shapes.GENERATORS and 0 <= low < high <= 1, "mask", found.mask)
    return found


def parse_drawn(name: str) -> tuple[str, tuple[float, float]]:
    """Read the kind and the bin of a drawn mask: `strokes 0.1-0.2`."""
    kind, span = name.split(" ")
    low, high = span.split("-")
    return kind, (float(low), float(high))


def file_name(name: str) -> str:
    """Replace what a file's name cannot hold; no name begins with a dot, which would hide the file."""
    fit = "".join(c if c.isalnum() or c in "-._" else "_" for c in name)
    return f"_{fit[1:]}" if fit.startswith(".") else fit
