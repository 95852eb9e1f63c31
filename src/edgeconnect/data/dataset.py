"""Pictures with holes and edges as batches: the same whatever the workers or the point of resumption."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from edgeconnect.config import DataConfig
from edgeconnect.data import edges, files, masks
from edgeconnect.data.scenes import render
from edgeconnect.errors import UserError
from edgeconnect.parse import SMALLEST_TRAINED
from edgeconnect.types import Batch

TRAIN, VAL, TEST = "TRAIN", "VAL", "TEST"
SCENES = re.compile(r"scenes:(\d+)(?:-(\d+))?")
FIXED_EPOCH = 0  # what is not trained on is drawn as if in this epoch, so that it has the same masks every time
POLARITY_SAMPLE = 32  # masks read to notice inverted ones


SMALL_SCENE = 128


def draw_scene(index: int, side: int) -> NDArray[np.uint8]:
    """Draw a square scene; a small one is the middle of one twice its size, so that a window has some pixels."""
    if side > SMALL_SCENE:
        return render(index, side, side)
    start = side // 2
    return np.ascontiguousarray(render(index, 2 * side, 2 * side)[start : start + side, start : start + side])


_remembered = lru_cache(maxsize=4096)(draw_scene)  # at most 200 MB a process


class Source(Protocol):
    """Pictures by number."""

    def __len__(self) -> int:
        """Count the pictures."""

    def name(self, index: int) -> str:
        """Name a picture."""

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return (H, W, 3) RGB."""


@dataclass(frozen=True)
class FileSource:
    """Pictures in files."""

    paths: Sequence[Path]

    def __len__(self) -> int:
        """Count the files."""
        return len(self.paths)

    def name(self, index: int) -> str:
        """Return the path."""
        return str(self.paths[index])

    def read(self, index: int) -> NDArray[np.uint8]:
        """Decode the file."""
        return files.read_image(self.paths[index])


@dataclass(frozen=True)
class SceneSource:
    """Built-in scenes first ... last - 1, drawn at the size that is asked for."""

    first: int
    last: int
    side: int

    def __len__(self) -> int:
        """Count the scenes."""
        return self.last - self.first

    def name(self, index: int) -> str:
        """Return `scene_000123`."""
        return f"scene_{self.first + index:06d}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Draw the scene; small ones are remembered, for drawing takes longer than training on them."""
        draw = _remembered if self.side <= SMALL_SCENE else draw_scene
        return draw(self.first + index, self.side)


def open_source(value: str, key: str, side: int) -> Source:
    """Open what a *_FLIST names: list file, folder, picture, `scenes:N` or `scenes:FIRST-LAST` (LAST excluded)."""
    match = SCENES.fullmatch(value.strip())
    if not match:
        if value.startswith("scenes:"):
            raise UserError(f"{key}: {value} is no range of scenes; write scenes:2000 or scenes:2000-2064")
        return FileSource(files.list_images(value, key))
    first, last = (0, int(match[1])) if match[2] is None else (int(match[1]), int(match[2]))
    if first >= last:
        raise UserError(f"{key}: {value} holds no scene; write scenes:2000 or scenes:2000-2064")
    return SceneSource(first, last, side or 256)


class InpaintingDataset(Dataset[Batch]):
    """Pictures, masks and edges of one split; an item is addressed by (epoch, index) and depends on nothing else."""

    def __init__(self, config: DataConfig, split: str, seed: int) -> None:
        self.config, self.split, self.seed = config, split, seed
        self.lists = config.lists(split)
        self.source = open_source(self.lists.pictures, f"{split}_FLIST", config.input_size)
        self.masks = self._mask_files()
        self.edges = self._edge_files() if config.edge == "external" else []

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.source)

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        """Return a batch of one."""
        epoch, index = item
        rng = np.random.default_rng((self.seed, epoch, index))
        image = files.fit(self.source.read(index), self.config.input_size)
        if self.split == TRAIN and min(image.shape[:2]) < SMALLEST_TRAINED:
            raise UserError(
                f"{self.source.name(index)}: {image.shape[1]}x{image.shape[0]} is too small to train on; the "
                f"discriminator sees {SMALLEST_TRAINED} pixels or more: set INPUT_SIZE, or take it off the list"
            )
        mask = self._mask(index, image.shape[0], image.shape[1], rng)
        gray = edges.to_gray(image)
        edge = self._edge(index, gray, rng)
        if self.split == TRAIN and rng.random() < 0.5:
            image, gray, edge, mask = image[:, ::-1], gray[:, ::-1], edge[:, ::-1], mask[:, ::-1]
        return to_batch(image, gray, edge, mask, self.source.name(index))

    def _mask_files(self) -> list[Path]:
        """List the mask files that MASK asks for, and refuse what looks inverted."""
        if self.config.mask in ("block", "half", "strokes"):
            return []
        split = TRAIN if self.split == VAL and not self.lists.masks else self.split
        key, value = f"{split}_MASK_FLIST", self.config.lists(split).masks
        if not value:
            raise UserError(f"{key} is empty and MASK is {self.config.mask}; name masks there, or set MASK: strokes")
        found = files.list_images(value, key)
        refuse_inverted(found, self.config, key)
        if self.config.mask != "paired":
            return found
        return files.pair(self._names(), found, "mask", shared=not Path(value).is_dir())

    def _edge_files(self) -> list[Path]:
        found = files.list_images(self.lists.edges, f"{self.split}_EDGE_FLIST")
        return files.pair(self._names(), found, "edge map", shared=len(self) == 1)

    def _names(self) -> list[Path]:
        return [Path(self.source.name(index)) for index in range(len(self))]

    def _mask(self, index: int, height: int, width: int, rng: np.random.Generator) -> masks.Mask:
        kind = self.config.mask
        if kind == "external_block":
            kind = ("external", "block")[rng.integers(2)]
        elif kind == "external_block_half":
            kind = ("external", "block", "half")[rng.integers(3)]
        if kind == "block":
            return masks.block(height, width, rng)
        if kind == "half":
            return masks.half(height, width, rng)
        if kind == "strokes":
            return masks.strokes(height, width, rng, self.config.mask_ratio)
        chosen = index if kind == "paired" else int(rng.integers(len(self.masks)))
        return self._external(self.masks[chosen], height, width)

    def _external(self, path: Path, height: int, width: int) -> masks.Mask:
        """Read a mask, centre-crop and resize it like the pictures, binarize it."""
        gray = files.fit(files.read_mask(path, self.config.mask_threshold), self.config.input_size)
        return masks.binarize(files.resize(gray, height, width), self.config.mask_threshold, self.config.mask_polarity)

    def _edge(self, index: int, gray: edges.Gray, rng: np.random.Generator) -> NDArray[np.float32]:
        if self.config.edge == "canny":
            return edges.canny_edges(gray, self.config.sigma, rng)
        drawn = files.fit(files.read_gray(self.edges[index]), self.config.input_size)
        drawn = files.resize(drawn, gray.shape[0], gray.shape[1])
        if not self.config.nms:
            return edges.as_edges(drawn)
        return edges.thinned(drawn, edges.canny_edges(gray, self.config.sigma, rng))


def refuse_inverted(paths: Sequence[Path], config: DataConfig, key: str) -> None:
    """Look at a few mask files and raise UserError where their polarity is probably wrong."""
    if not config.allow_large_holes:
        some = paths[:: -(-len(paths) // POLARITY_SAMPLE)]
        holes = (files.read_mask(path, config.mask_threshold) for path in some)
        ratios = [masks.binarize(h, config.mask_threshold, config.mask_polarity).mean() for h in holes]
        masks.refuse_large_holes([float(ratio) for ratio in ratios], key)


def to_batch(
    image: NDArray[np.uint8], gray: edges.Gray, edge: NDArray[np.float32], mask: masks.Mask, name: str
) -> Batch:
    """Turn arrays of (H, W[, 3]) into a batch of one."""

    def plane(array: NDArray[np.floating]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]

    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    return Batch(pixels, plane(gray), plane(edge), plane(mask.astype(np.float32)), [name])


def collate(items: list[Batch]) -> Batch:
    """Stack batches of one; pictures of several sizes are the user's mistake."""
    sizes = {tuple(item.image.shape[-2:]) for item in items}
    if len(sizes) > 1:
        raise UserError(
            f"a batch holds pictures of several sizes ({' and '.join(f'{w}x{h}' for h, w in sorted(sizes)[:2])}); "
            "set INPUT_SIZE, or BATCH_SIZE: 1"
        )
    image, gray, edge, mask = (torch.cat(planes) for planes in zip(*(item[:4] for item in items), strict=True))
    return Batch(image, gray, edge, mask, [name for item in items for name in item.name])
