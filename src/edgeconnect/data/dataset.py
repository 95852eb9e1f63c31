"""Items of one split: the same whatever the workers or the point of resumption."""

import contextlib
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset

from edgeconnect import images
from edgeconnect.atomic import expanded
from edgeconnect.config.sections import DRAWN_MASKS, TRAIN, VAL, DataConfig
from edgeconnect.data import files, mask_shapes, masks
from edgeconnect.data.edges import EdgeCache
from edgeconnect.data.items import make_item
from edgeconnect.data.sources import FileSource, SceneSource, open_source
from edgeconnect.errors import BadImageError, UserError
from edgeconnect.types import Batch

POLARITY_SAMPLE = 32  # masks read to notice inverted ones
STAND_INS = 20  # pictures tried in place of a bad one
CHOICES = {"external_block": ("external", "block"), "external_block_half": ("external", "block", "half")}  # per item


class Drawn(NamedTuple):
    """What a reading process hands over: a batch, if any of its items could be used, and the files skipped for it."""

    batch: Batch | None
    skipped: list[BadImageError]


class InpaintingDataset(Dataset[Batch]):
    """Pictures, masks and edges of one split; an item is addressed by (epoch, index) and depends on nothing else."""

    def __init__(
        self, config: DataConfig, split: str, seed: int, needs_edges: bool = True, smallest_side: int = 0
    ) -> None:
        """Open the lists of a split. Without `needs_edges`, edge maps are zeros and no edge file is read.

        Pictures with a side below `smallest_side` are refused.
        """
        self.config, self.split, self.seed = config, split, seed
        self.needs_edges, self.smallest_side = needs_edges, smallest_side
        self.lists, self.crops = config.lists(split), split == TRAIN and config.random_crop < 1
        draft = math.ceil(2 * config.input_size / config.random_crop) if split == TRAIN else 0
        reading = f"{split}_FLIST", config.input_size, config.max_pixels, draft
        self.source = open_source(self.lists.pictures, *reading)
        if self.crops:
            refuse_with_crops(config, isinstance(self.source, SceneSource))
        self.masks = self._mask_files()
        self.cache = EdgeCache(expanded(config.edge_cache)) if config.edge_cache else None
        self.edges: Sequence[Path] = ()
        if needs_edges and config.edge == "external":
            found = files.list_images(self.lists.edges, f"{split}_EDGE_FLIST")
            self.edges = files.pair(self._names(), found, "edge map", shared=len(self) == 1)

    def __len__(self) -> int:
        return len(self.source)

    def draw(self, epoch: int, index: int, stand_in: bool) -> Drawn:
        """Return an item; with ON_BAD_IMAGE `skip` and a bad one, none, or with `stand_in` one drawn at random.

        What stands in depends on (seed, epoch, index) and the files alone. Raises BadImageError otherwise.
        """
        skipped: list[BadImageError] = []
        chosen = index
        while True:
            try:
                return Drawn(self[epoch, chosen], skipped)
            except BadImageError as error:
                skipped.append(error)
                if self.config.on_bad_image == "stop" or len(skipped) > STAND_INS:
                    raise
            if not stand_in:
                return Drawn(None, skipped)
            chosen = int(np.random.default_rng((self.seed, epoch, index, len(skipped))).integers(len(self)))

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        """Return a batch of one. Raises BadImageError where a file of it cannot be used."""
        epoch, index = item
        rng = np.random.default_rng((self.seed, epoch, index))
        choose = partial(random_square, self.config.random_crop, rng) if self.crops else images.centred
        image = self.source.read(index, choose)
        (height, width), name = image.shape[:2], self.source.name(index)
        if min(height, width) < self.smallest_side:
            problem = f"{width}x{height} is too small to train on; the stage needs {self.smallest_side} pixels a side"
            raise BadImageError(name, f"{problem}: set INPUT_SIZE, or take it off the list")
        mask = self._mask(index, height, width, rng)
        external = None
        if self.edges:
            drawn = images.fit(images.read_gray(self.edges[index], self.config.max_pixels), self.config.input_size)
            external = images.resize(drawn, height, width)
        given, needed = (image, mask, name, self.config, rng), self.needs_edges
        batch = make_item(*given, true_edges=True, external=external, with_edges=needed, cache=self.cache)
        if self.split == TRAIN and rng.random() < 0.5:
            return batch.map(lambda tensor: tensor.flip(-1))
        return batch

    def _mask_files(self) -> Sequence[Path]:
        """List the mask files that MASK asks for, and refuse what looks inverted."""
        if self.config.mask in DRAWN_MASKS:
            return ()
        split = TRAIN if self.split == VAL and not self.lists.masks else self.split
        key, value = f"{split}_MASK_FLIST", self.config.lists(split).masks
        if not value:
            raise UserError(f"{key} is empty and MASK is {self.config.mask}; name masks there, or set MASK: strokes")
        found = files.list_images(value, key)
        refuse_inverted(found, self.config, key)
        if self.config.mask != "paired":
            return found
        return files.pair(self._names(), found, "mask", shared=not expanded(value).is_dir())

    def _names(self) -> Sequence[Path]:
        if isinstance(self.source, FileSource):
            return self.source.paths
        return [Path(self.source.name(index)) for index in range(len(self))]

    def _mask(self, index: int, height: int, width: int, rng: np.random.Generator) -> masks.Mask:
        kinds = CHOICES.get(self.config.mask)
        kind = kinds[rng.integers(len(kinds))] if kinds else self.config.mask
        if kind == "block":
            return mask_shapes.block(height, width, rng)
        if kind == "half":
            return mask_shapes.half(height, width, rng)
        if kind == "rectangle":
            return mask_shapes.rectangle(height, width, rng, self.config.mask_sides)
        if kind in mask_shapes.GENERATORS:
            pixels = mask_shapes.pixel_range(height, width, self.config.mask_ratio)
            return mask_shapes.draw(kind, height, width, rng, pixels)
        chosen = index if kind == "paired" else int(rng.integers(len(self.masks)))
        own = Path(self.source.name(index)) if kind == "paired" else None
        rule = self.config.mask_threshold, self.config.mask_polarity, self.config.max_pixels
        gray = images.fit(masks.read_mask(self.masks[chosen], *rule, own), self.config.input_size)
        return masks.binarize(images.resize(gray, height, width), self.config.mask_threshold, self.config.mask_polarity)


def random_square(smallest: float, rng: np.random.Generator, width: int, height: int) -> tuple[int, int, int]:
    """Choose a square anywhere in a picture, its side from `smallest` to 1 of the picture's shorter one."""
    cut = max(1, round(min(width, height) * rng.uniform(smallest, 1)))
    return int(rng.integers(width - cut + 1)), int(rng.integers(height - cut + 1)), cut


def refuse_with_crops(config: DataConfig, scenes: bool) -> None:
    """Raise UserError for what random squares of pictures do not go with."""
    for has, other in (
        (config.edge == "external", "EDGE external, whose maps are of whole pictures"),
        (config.mask == "paired", "MASK paired, whose masks are of whole pictures"),
        (bool(config.edge_cache), "EDGE_CACHE, as no square comes twice"),
        (not config.input_size, "INPUT_SIZE 0, which takes whole pictures"),
        (scenes, "built-in scenes, which are drawn whole"),
    ):
        if has:
            raise UserError(f"RANDOM_CROP: {config.random_crop:g} does not go with {other}; set RANDOM_CROP: 1")


def refuse_inverted(paths: Sequence[Path], config: DataConfig, key: str) -> None:
    """Read a few mask files and raise UserError where their polarity is probably wrong.

    Masks that cannot be read are left out here; an error names them when they are used.
    """
    if config.allow_large_holes or not paths:
        return
    ratios = []
    for path in paths[:: -(-len(paths) // POLARITY_SAMPLE)]:
        with contextlib.suppress(BadImageError):
            gray = masks.read_mask(path, config.mask_threshold, config.mask_polarity, config.max_pixels)
            ratios.append(float(masks.binarize(gray, config.mask_threshold, config.mask_polarity).mean()))
    if ratios:
        masks.refuse_large_holes(ratios, key)
