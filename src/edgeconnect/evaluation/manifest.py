"""What is evaluated: pictures, each with a hole, in bins of the hole ratio; written down so that it can be repeated."""

import hashlib
import itertools
import json
import math
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeconnect import images
from edgeconnect.atomic import expanded, write_whole
from edgeconnect.data import files, mask_shapes, masks
from edgeconnect.data.sources import SceneSource, Source, open_source
from edgeconnect.errors import BadImageError, UserError, reason

SCHEMA = 1
EDGES = (0.0, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0)  # of the bins (0, 1 %], (1, 10 %], ... and what is beyond
PER_BIN, EACH, STEM = PAIRINGS = ("per-bin", "all", "stem")
LONGEST_NAME = 200  # bytes of an id: file systems take 255, with the suffix

Picture = NDArray[np.uint8]


class Item(NamedTuple):
    """One picture with one hole. `ratio` is the hole ratio after cropping and resizing; `seed` is of drawn masks."""

    id: str
    picture: str
    mask: str
    seed: int
    ratio: float
    picture_hash: str
    mask_hash: str


@dataclass(frozen=True)
class Setting:
    """How pictures and masks are brought into shape, and how they were paired."""

    size: int  # side of the centred square; 0: as they are
    mask_threshold: int
    mask_polarity: str
    max_pixels: int
    pairing: str
    seed: int
    edges: tuple[float, ...] = EDGES


@dataclass(frozen=True)
class Manifest:
    """Items in order, and the setting that they are to be read with."""

    setting: Setting
    items: tuple[Item, ...]

    def digest(self) -> str:
        """Hash what decides the figures: contents, holes and shapes, but no folder."""
        facts = [(item.id, item.picture_hash, item.mask_hash, item.seed, item.ratio) for item in self.items]
        shape = replace(self.setting, max_pixels=0, pairing="", seed=0)
        return hashlib.sha256(json.dumps([asdict(shape), facts]).encode()).hexdigest()

    def bins(self) -> list[str]:
        """Name the bins that hold items, from small holes to large ones."""
        names = [self.bin(item) for item in self.items]
        return sorted(set(names), key=lambda name: bin_names(self.setting.edges).index(name))

    def bin(self, item: Item) -> str:
        """Name the bin of an item: `(10,20]` in percent, `0` for no hole."""
        return bin_names(self.setting.edges)[bisect_left(self.setting.edges, item.ratio)]

    def write(self, path: Path) -> None:
        """Write the manifest as JSON, whole or not at all."""
        items = [item._asdict() | {"bin": self.bin(item)} for item in self.items]
        contents = {"schema": SCHEMA, "digest": self.digest(), "setting": asdict(self.setting), "items": items}
        write_whole(path, (json.dumps(contents, indent=1) + "\n").encode())


def bin_names(edges: Sequence[float]) -> list[str]:
    """Name the bins between edges."""
    percent = [f"{100 * edge:g}" for edge in edges]
    return ["0", *(f"({low},{high}]" for low, high in pairwise(percent))]


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; raise UserError where the file is none or was changed by hand."""
    try:
        contents: dict[str, Any] = json.loads(path.read_text("utf-8"))
        setting = Setting(**contents["setting"] | {"edges": tuple(contents["setting"]["edges"])})
        rows = [{name: row[name] for name in Item._fields} for row in contents["items"]]
        manifest = Manifest(setting, tuple(Item(**row) for row in rows))
        digest = contents["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is no manifest of an evaluation ({reason(error)}); give a manifest.json") from error
    if digest != manifest.digest():
        raise UserError(f"{path}: was changed since it was written; write a new one by leaving --manifest out")
    return manifest


class Library:
    """Reads the pictures and masks of items. Raises BadImageError where a file cannot be used."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def picture(self, name: str) -> Picture:
        """Read, crop and resize a picture, (H, W, 3); `scenes:12` is built-in scene 12."""
        if name.startswith("scenes:"):
            return SceneSource(int(name[7:]), int(name[7:]) + 1, self.setting.size or 256).read(0)
        return images.fit(images.read_image(Path(name), self.setting.max_pixels), self.setting.size)

    def mask(self, name: str, seed: int, height: int, width: int) -> masks.Mask:
        """Read, crop and resize a mask, or draw it, (height, width)."""
        if seed >= 0:
            kind, span = parse_drawn(name)
            pixels = within(height, width, span)
            return mask_shapes.draw(kind, height, width, np.random.default_rng(seed), pixels)
        gray = files.read_mask(Path(name), self.setting.mask_threshold, self.setting.max_pixels)
        gray = images.resize(images.fit(gray, self.setting.size), height, width)
        return masks.binarize(gray, self.setting.mask_threshold, self.setting.mask_polarity)


def compose(pictures: str, masks_from: str, setting: Setting, workers: int = 1) -> Manifest:
    """Pair pictures with masks and measure the holes.

    `per-bin` draws one mask for each picture and bin, `all` takes every mask for every picture, `stem` the mask of
    the same name. `masks_from` is a folder, list or file of masks, or the name of a generator such as `strokes`.
    Raises UserError where nothing is found or has no partner, and BadImageError where a file cannot be used.
    """
    drawn = masks_from in mask_shapes.GENERATORS
    if drawn and setting.pairing != PER_BIN:
        raise UserError(f"--pairing: {setting.pairing} is of mask files; {masks_from} masks are drawn {PER_BIN}")
    source = open_source(pictures, "--pictures", setting.size, setting.max_pixels)
    names = [_name(source, index) for index in range(len(source))]
    library = Library(setting)
    chosen = list(_drawn(names, masks_from, setting) if drawn else _paired(names, masks_from, library, workers))
    return Manifest(setting, tuple(_identified(_items(chosen, library, workers))))


def verify(manifest: Manifest, workers: int = 1) -> None:
    """Raise UserError where a picture or a mask is not what it was when the manifest was written."""
    chosen = [(item.picture, item.mask, item.seed) for item in manifest.items]
    for item, found in zip(manifest.items, _items(chosen, Library(manifest.setting), workers), strict=True):
        if found._replace(id=item.id) != item:
            name = item.picture if found.picture_hash != item.picture_hash else item.mask
            raise UserError(f"{name}: is not what it was when the manifest was written; restore it, or compose anew")


def _items(chosen: Sequence[tuple[str, str, int]], library: Library, workers: int) -> list[Item]:
    """Measure the holes of (picture, mask, seed); the items have no id yet."""
    names = list(dict.fromkeys(name for name, _, _ in chosen))
    hashes = _hashes(names, [mask for _, mask, seed in chosen if seed < 0], workers)

    def item(part: tuple[str, str, int]) -> Item:
        name, mask, seed = part
        hole = library.mask(mask, seed, *shapes[name])
        mask_hash = hashes[mask] if seed < 0 else hashlib.sha256(np.packbits(hole).tobytes()).hexdigest()[:16]
        return Item("", name, mask, seed, float(hole.mean()), hashes[name], mask_hash)

    with ThreadPoolExecutor(workers) as pool:
        shapes = dict(zip(names, pool.map(lambda name: library.picture(name).shape[:2], names), strict=True))
        return list(pool.map(item, chosen))


def _name(source: Source, index: int) -> str:
    """Name a picture so that it is found again, from wherever."""
    if isinstance(source, SceneSource):
        return f"scenes:{source.first + index}"
    return str(Path(source.name(index)).absolute())


def _drawn(names: Sequence[str], kind: str, setting: Setting) -> Iterator[tuple[str, str, int]]:
    """Give each picture a drawn mask of each bin that the kind can reach, but for the last, which is open."""
    side = setting.size or 256
    for index, name in enumerate(names):
        for number, span in enumerate(pairwise(setting.edges[:-1])):
            if mask_shapes.reaches(kind, side, side, within(side, side, span)):
                seed = int(np.random.default_rng((setting.seed, index, number)).integers(2**53))
                yield name, f"{kind} {span[0]:g}-{span[1]:g}", seed


def parse_drawn(name: str) -> tuple[str, tuple[float, float]]:
    """Read the kind and the bin of a drawn mask: `strokes 0.1-0.2`."""
    kind, span = name.split(" ")
    low, high = span.split("-")
    return kind, (float(low), float(high))


def within(height: int, width: int, span: tuple[float, float]) -> mask_shapes.Pixels:
    """Return how many pixels may be missing for a ratio in (low, high], one where no number lies in there."""
    low, high = (math.floor(share * height * width + 1e-6) for share in span)
    return mask_shapes.Pixels(low + 1, max(low + 1, high))


def _paired(names: Sequence[str], masks_from: str, library: Library, workers: int) -> Iterator[tuple[str, str, int]]:
    """Pair pictures with mask files."""
    setting, found = library.setting, [path.absolute() for path in files.list_images(masks_from, "--masks")]
    if setting.pairing == STEM:
        shared = not expanded(masks_from).is_dir()
        partners = files.pair([Path(name) for name in names], found, "mask", shared)
        yield from ((name, str(mask), -1) for name, mask in zip(names, partners, strict=True))
    elif setting.pairing == EACH:
        yield from ((name, str(mask), -1) for name in names for mask in found)
    else:
        side = setting.size or 256
        with ThreadPoolExecutor(workers) as pool:
            ratios = list(pool.map(lambda path: float(library.mask(str(path), -1, side, side).mean()), found))
        shelves: dict[int, list[Path]] = {}
        for path, ratio in zip(found, ratios, strict=True):
            shelves.setdefault(bisect_left(setting.edges, ratio), []).append(path)
        for index, name in enumerate(names):
            for shelf in sorted(shelves):
                chosen = np.random.default_rng((setting.seed, index, shelf)).integers(len(shelves[shelf]))
                yield name, str(shelves[shelf][chosen]), -1


def _hashes(pictures: Sequence[str], mask_files: Sequence[str], workers: int) -> dict[str, str]:
    """Hash the bytes of files, and the names of scenes."""

    def content(name: str) -> str:
        if name.startswith("scenes:"):
            return hashlib.sha256(name.encode()).hexdigest()[:16]
        if not Path(name).is_file():  # a pipe would be waited for without end
            raise BadImageError(name, "is no file, or not there; restore it, or take it off the list")
        with Path(name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    names = list(dict.fromkeys([*pictures, *mask_files]))
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(names, pool.map(content, names), strict=True))


def _identified(items: Sequence[Item]) -> Iterator[Item]:
    """Name items after their picture and mask, shortly where that tells them apart."""
    stems = _told_apart([item.picture for item in items])
    mask_stems = {item.mask: item.mask.replace(" ", "_") for item in items if item.seed >= 0}
    mask_stems |= _told_apart([item.mask for item in items if item.seed < 0])
    alone = Counter(item.picture for item in items)
    both = (f"{stems[item.picture]}__{mask_stems[item.mask]}" for item in items)
    names = (stems[item.picture] if alone[item.picture] == 1 else name for item, name in zip(items, both, strict=True))
    for item, name in zip(items, _unique(names), strict=True):
        yield item._replace(id=name)


def _told_apart(names: Sequence[str]) -> dict[str, str]:
    """Return a stem for each path, with folders where stems repeat."""
    paths = {name: Path(name) for name in names}
    suffixes = files.unique_suffixes(paths.values(), without_suffix=True)
    return {name: "_".join(suffixes[path]) for name, path in paths.items()}


def _unique(names: Iterable[str]) -> Iterator[str]:
    """Make each name fit to be a file's, and number those that are taken, whatever the case of their letters."""
    taken: set[str] = set()
    for name in names:
        fit = "".join(c if c.isalnum() or c in "-._" else "_" for c in name)
        fit = f"_{fit[1:]}" if fit.startswith(".") else fit  # no hidden file
        if len(os.fsencode(fit)) > LONGEST_NAME:
            fit = f"{fit[: LONGEST_NAME // 8]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
        numbered = itertools.chain([fit], (f"{fit}_{number}" for number in itertools.count(2)))
        free = next(candidate for candidate in numbered if candidate.casefold() not in taken)
        taken.add(free.casefold())
        yield free
