"""Pair pictures with masks: which items an evaluation has, what they are called, how their files are read."""

import hashlib
import itertools
import math
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgeconnect import images
from edgeconnect.atomic import expanded
from edgeconnect.data import files, mask_shapes, masks
from edgeconnect.data.sources import SceneSource, Source, open_source
from edgeconnect.digest import sha256_of
from edgeconnect.errors import BadImageError, UserError
from edgeconnect.evaluation.manifest import EACH, PER_BIN, STEM, Item, Manifest, Preprocessing, file_name, parse_drawn
from edgeconnect.metrics.images import Picture

LONGEST_NAME = 200  # bytes of an id before it is numbered


class Library:
    """Reads the pictures and masks of items. Raises BadImageError where a file cannot be used."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing

    def picture(self, name: str) -> Picture:
        """Read, crop and resize a picture, (H, W, 3); `scenes:12` is built-in scene 12."""
        if name.startswith("scenes:"):
            return SceneSource(int(name[7:]), int(name[7:]) + 1, self.preprocessing.size or 256).read(0)
        return images.fit(images.read_image(Path(name), self.preprocessing.max_pixels), self.preprocessing.size)

    def mask(self, name: str, seed: int, height: int, width: int) -> masks.Mask:
        """Read, crop and resize a mask, or draw it, (height, width)."""
        if seed >= 0:
            kind, span = parse_drawn(name)
            pixels = within(height, width, span)
            if not mask_shapes.reaches(kind, height, width, pixels):
                raise BadImageError(name, f"cannot be drawn on {width}x{height} pixels")
            return mask_shapes.draw(kind, height, width, np.random.default_rng(seed), pixels)
        gray = files.read_mask(Path(name), self.preprocessing.mask_threshold, self.preprocessing.max_pixels)
        gray = images.resize(images.fit(gray, self.preprocessing.size), height, width)
        return masks.binarize(gray, self.preprocessing.mask_threshold, self.preprocessing.mask_polarity)


def compose(pictures: str, masks_from: str, preprocessing: Preprocessing, workers: int = 1) -> Manifest:
    """Pair pictures with masks and measure the hole ratios.

    `per-bin` draws one mask for each picture and bin, `all` takes every mask for every picture, `stem` the mask of
    the same name. `masks_from` is a folder, list or file of masks, or the name of a generator such as `strokes`.
    Raises UserError where nothing is found or has no partner, and BadImageError where a file cannot be used.
    """
    drawn = masks_from in mask_shapes.GENERATORS
    if drawn and preprocessing.pairing != PER_BIN:
        raise UserError(f"--pairing: {preprocessing.pairing} is of mask files; {masks_from} masks are drawn {PER_BIN}")
    source = open_source(pictures, "--pictures", preprocessing.size, preprocessing.max_pixels)
    names = [_name(source, index) for index in range(len(source))]
    library = Library(preprocessing)
    chosen = list(_drawn(names, masks_from, preprocessing) if drawn else _paired(names, masks_from, library, workers))
    return Manifest(preprocessing, tuple(_identified(_items(chosen, library, workers))))


def verify(manifest: Manifest, workers: int = 1) -> None:
    """Raise UserError where a picture or a mask is not what it was when the manifest was written."""
    chosen = [(item.picture, item.mask, item.seed) for item in manifest.items]
    for item, found in zip(manifest.items, _items(chosen, Library(manifest.preprocessing), workers), strict=True):
        if found._replace(id=item.id) != item:
            name = item.picture if found.picture_hash != item.picture_hash else item.mask
            raise UserError(f"{name}: is not what it was when the manifest was written; restore it, or compose anew")


def _items(chosen: Sequence[tuple[str, str, int]], library: Library, workers: int) -> list[Item]:
    """Measure the hole ratios of (picture, mask, seed); the items have no id yet."""
    pictures = list(dict.fromkeys(name for name, _, _ in chosen))
    contents = list(dict.fromkeys([*pictures, *(mask for _, mask, seed in chosen if seed < 0)]))

    def item(part: tuple[str, str, int]) -> Item:
        picture, name, seed = part
        mask = library.mask(name, seed, *shapes[picture])
        mask_hash = hashes[name] if seed < 0 else hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]
        return Item("", picture, name, seed, float(mask.mean()), hashes[picture], mask_hash)

    with ThreadPoolExecutor(workers) as pool:
        hashes = dict(zip(contents, pool.map(_content_hash, contents), strict=True))
        shapes = dict(zip(pictures, pool.map(lambda name: library.picture(name).shape[:2], pictures), strict=True))
        return list(pool.map(item, chosen))


def _name(source: Source, index: int) -> str:
    """Name a picture so that it is found again, from wherever."""
    if isinstance(source, SceneSource):
        return f"scenes:{source.first + index}"
    return str(Path(source.name(index)).absolute())


def _drawn(names: Sequence[str], kind: str, preprocessing: Preprocessing) -> Iterator[tuple[str, str, int]]:
    """Give each picture a drawn mask of each bin that the kind can reach, but for the last, which is open."""
    side = preprocessing.size or 256
    for index, name in enumerate(names):
        for number, span in enumerate(pairwise(preprocessing.edges[:-1])):
            if mask_shapes.reaches(kind, side, side, within(side, side, span)):
                seed = int(np.random.default_rng((preprocessing.seed, index, number)).integers(2**53))
                yield name, f"{kind} {span[0]:g}-{span[1]:g}", seed


def within(height: int, width: int, span: tuple[float, float]) -> mask_shapes.Pixels:
    """Return how many pixels may be missing for a ratio in (low, high], one where no number lies in there."""
    low, high = (math.floor(share * height * width + 1e-6) for share in span)
    return mask_shapes.Pixels(low + 1, max(low + 1, high))


def _paired(names: Sequence[str], masks_from: str, library: Library, workers: int) -> Iterator[tuple[str, str, int]]:
    """Pair pictures with mask files."""
    preprocessing, found = library.preprocessing, [path.absolute() for path in files.list_images(masks_from, "--masks")]
    if preprocessing.pairing == STEM:
        shared = not expanded(masks_from).is_dir()
        partners = files.pair([Path(name) for name in names], found, "mask", shared)
        yield from ((name, str(mask), -1) for name, mask in zip(names, partners, strict=True))
    elif preprocessing.pairing == EACH:
        yield from ((name, str(mask), -1) for name in names for mask in found)
    else:
        side = preprocessing.size or 256
        with ThreadPoolExecutor(workers) as pool:
            ratios = list(pool.map(lambda path: float(library.mask(str(path), -1, side, side).mean()), found))
        shelves: dict[int, list[Path]] = {}
        for path, ratio in zip(found, ratios, strict=True):
            shelves.setdefault(bisect_left(preprocessing.edges, ratio), []).append(path)
        for index, name in enumerate(names):
            for shelf in sorted(shelves):
                chosen = np.random.default_rng((preprocessing.seed, index, shelf)).integers(len(shelves[shelf]))
                yield name, str(shelves[shelf][chosen]), -1


def _content_hash(name: str) -> str:
    """Hash the bytes of a file, or the name of a scene."""
    if name.startswith("scenes:"):
        return hashlib.sha256(name.encode()).hexdigest()[:16]
    if not Path(name).is_file():  # a pipe would be waited for without end
        raise BadImageError(name, "is no file, or not there; restore it, or take it off the list")
    return sha256_of(Path(name))[:16]


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
        fit = file_name(name)
        if len(os.fsencode(fit)) > LONGEST_NAME:
            fit = f"{fit[: LONGEST_NAME // 8]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
        numbered = itertools.chain([fit], (f"{fit}_{number}" for number in itertools.count(2)))
        free = next(candidate for candidate in numbered if candidate.casefold() not in taken)
        taken.add(free.casefold())
        yield free
