"""Pair pictures with masks: which items an evaluation has, what they are called, how their files are read."""

import hashlib
import itertools
import math
import os
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeconnect import images
from edgeconnect.atomic import expanded
from edgeconnect.data import files, mask_shapes, masks
from edgeconnect.data.sources import SceneSource, open_source
from edgeconnect.digest import picture_digest
from edgeconnect.errors import BadImageError, UserError
from edgeconnect.evaluation.manifest import EACH, PER_BIN, STEM, Item, Manifest, Preprocessing, file_name, parse_drawn
from edgeconnect.threads import in_threads

LONGEST_NAME = 200  # bytes of an id before it is numbered


@dataclass(frozen=True)
class Library:
    """Reads the pictures and masks of items. Raises BadImageError where a file cannot be used."""

    preprocessing: Preprocessing

    def picture(self, name: str) -> NDArray[np.uint8]:
        """Read, crop and resize a picture, (H, W, 3); `scenes:12` is built-in scene 12."""
        if name.startswith("scenes:"):
            return SceneSource(int(name[7:]), int(name[7:]) + 1, self.preprocessing.size or 256).read(0)
        return images.fit(images.read_image(Path(name), self.preprocessing.max_pixels), self.preprocessing.size)

    def mask(self, name: str, seed: int, height: int, width: int, picture: str = "") -> masks.Mask:
        """Read, crop and resize a mask, or draw it, (height, width); a file is refused that is the `picture` itself."""
        if seed >= 0:
            kind, span = parse_drawn(name)
            pixels = within(height, width, span)
            if not mask_shapes.reaches(kind, height, width, pixels):
                raise BadImageError(name, f"cannot be drawn on {width}x{height} pixels")
            return mask_shapes.draw(kind, height, width, np.random.default_rng(seed), pixels)
        rule = self.preprocessing.mask_threshold, self.preprocessing.mask_polarity
        gray = masks.read_mask(Path(name), *rule, self.preprocessing.max_pixels, Path(picture) if picture else None)
        return masks.binarize(images.resize(images.fit(gray, self.preprocessing.size), height, width), *rule)


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
    if isinstance(source, SceneSource):
        names = [f"scenes:{number}" for number in range(source.first, source.last)]
    else:
        names = [str(path.absolute()) for path in source.paths]  # found again, from wherever
    library = Library(preprocessing)
    pairs = _drawn(names, masks_from, preprocessing) if drawn else _paired(names, masks_from, library, workers)
    unmeasured = [Item("", picture, mask, seed, 0.0, "", "") for picture, mask, seed in pairs]
    return Manifest(preprocessing, tuple(_named(_measured(unmeasured, library, workers))))


def verify(manifest: Manifest, workers: int = 1) -> None:
    """Raise UserError where a picture or a mask is not what it was when the manifest was written."""
    again = _measured(manifest.items, Library(manifest.preprocessing), workers)
    for item, found in zip(manifest.items, again, strict=True):
        if found != item:
            name = item.picture if found.picture_hash != item.picture_hash else item.mask
            raise UserError(f"{name}: is not what it was when the manifest was written; restore it, or compose anew")


def _measured(items: Sequence[Item], library: Library, workers: int) -> list[Item]:
    """Return the items with the ratios and hashes of what is there now."""
    pictures = list(dict.fromkeys(item.picture for item in items))
    contents = list(dict.fromkeys([*pictures, *(item.mask for item in items if item.seed < 0)]))
    hashes = dict(zip(contents, in_threads(_content_hash, contents, workers), strict=True))
    sizes = in_threads(lambda name: library.picture(name).shape[:2], pictures, workers)
    shapes = dict(zip(pictures, sizes, strict=True))

    def measured(item: Item) -> Item:
        name, (height, width) = item.mask, shapes[item.picture]
        mask = library.mask(name, item.seed, height, width, item.picture)
        mask_hash = hashes[name] if item.seed < 0 else hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]
        return item._replace(ratio=float(mask.mean()), picture_hash=hashes[item.picture], mask_hash=mask_hash)

    return list(in_threads(measured, items, workers))


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
        ratios = in_threads(lambda path: float(library.mask(str(path), -1, side, side).mean()), found, workers)
        shelves: defaultdict[int, list[Path]] = defaultdict(list)
        for path, ratio in zip(found, ratios, strict=True):
            shelves[bisect_left(preprocessing.edges, ratio)].append(path)
        for index, name in enumerate(names):
            for shelf in sorted(shelves):
                chosen = np.random.default_rng((preprocessing.seed, index, shelf)).integers(len(shelves[shelf]))
                yield name, str(shelves[shelf][chosen]), -1


def _content_hash(name: str) -> str:
    """Hash the bytes of a file, or the name of a scene."""
    if name.startswith("scenes:"):
        return hashlib.sha256(name.encode()).hexdigest()[:16]
    return picture_digest(Path(name))[:16]


def _named(items: Sequence[Item]) -> Iterator[Item]:
    """Name items after their picture, and their mask where the picture has several."""
    stems = _told_apart([item.picture for item in items])
    mask_stems = {item.mask: item.mask.replace(" ", "_") for item in items if item.seed >= 0}
    mask_stems |= _told_apart([item.mask for item in items if item.seed < 0])
    counts = Counter(item.picture for item in items)
    taken: set[str] = set()
    for item in items:
        stem = stems[item.picture]
        id_ = _free(stem if counts[item.picture] == 1 else f"{stem}__{mask_stems[item.mask]}", taken)
        taken.add(id_.casefold())
        yield item._replace(id=id_)


def _told_apart(names: Sequence[str]) -> dict[str, str]:
    """Return a stem for each path, with folders where stems repeat."""
    suffixes = files.unique_suffixes(map(Path, names), without_suffix=True)
    return {str(path): "_".join(suffix) for path, suffix in suffixes.items()}


def _free(name: str, taken: set[str]) -> str:
    """Make a name fit to be a file's, and number it where it is taken, whatever the case of its letters."""
    fit = file_name(name)
    if len(os.fsencode(fit)) > LONGEST_NAME:
        fit = f"{fit[: LONGEST_NAME // 8]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    numbered = itertools.chain([fit], (f"{fit}_{number}" for number in itertools.count(2)))
    return next(candidate for candidate in numbered if candidate.casefold() not in taken)
