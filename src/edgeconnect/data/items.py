"""Pictures, masks and edges as batches: one function for training, completing and evaluation."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from edgeconnect.config.sections import DAMAGED, MOSAIC, DataConfig
from edgeconnect.data import edges
from edgeconnect.data.masks import Mask
from edgeconnect.data.mosaic import mosaic
from edgeconnect.errors import UserError
from edgeconnect.types import Batch

FIXED_EPOCH = 0  # what is not trained on is drawn as if in this epoch, so that it has the same masks every time


def make_item(
    image: NDArray[np.uint8],
    mask: Mask,
    name: str,
    config: DataConfig,
    rng: np.random.Generator,
    *,
    true_edges: bool,
    whole: bool = True,
    external: NDArray[np.uint8] | None = None,
    with_edges: bool = True,
    cache: edges.EdgeCache | None = None,
) -> Batch:
    """Return a batch of one, in bytes but for `gray`, from an RGB picture, (H, W, 3), and its mask, True = missing.

    Edges are Canny's with SIGMA: those of the whole picture with `true_edges`, else those of the known pixels alone;
    `true_edges` with KNOWN_EDGES damaged are the former inside the hole and the latter outside.
    An `external` edge map, (H, W) in 0 to 255, takes their place; with NMS 1 it keeps what Canny also finds. Without
    `with_edges` the map is all zeros, and Canny, the dearest part of an item, does not run. SIGMA 0 draws from `rng`.
    A `cache` keeps edges of whole pictures. With CORRUPTION mosaic, blocks of a size from MOSAIC_BLOCK are seen in the
    hole of a `whole` picture; one that is not shows such blocks there itself.
    """
    gray = edges.to_gray(image)
    edge: NDArray[np.bool_ | np.uint8] = np.zeros(mask.shape, dtype=np.bool_)
    if external is None or config.nms:
        sigma = edges.draw_sigma(config.sigma, rng)  # also without edges: whatever `rng` draws next stays the same
        if with_edges and cache and true_edges and sigma != edges.NO_EDGES:
            edge = cache.edges(image, gray, sigma)
        elif with_edges:
            edge = edges.canny_edges(gray, sigma, known=None if true_edges else ~mask)
        if with_edges and true_edges and config.known_edges == DAMAGED:
            edge = np.where(mask, edge, edges.canny_edges(gray, sigma, known=~mask))
    if external is not None and with_edges:
        edge = np.where(edge, external, np.uint8(0)) if config.nms else external
    blocks = _blocks(image, config, rng, whole) if config.corruption == MOSAIC else None
    image, gray = image.transpose(2, 0, 1), gray.astype(np.float32)
    return Batch(_planes(image), _planes(gray), _planes(edge), _planes(mask), [name], mosaic=blocks)


def _blocks(image: NDArray[np.uint8], config: DataConfig, rng: np.random.Generator, whole: bool) -> torch.Tensor:
    """Return what is seen in a picture's hole: blocks of a drawn size and place, or those that it shows itself."""
    if whole:
        low, high = config.mosaic_block
        block = int(rng.integers(low, high + 1))
        image = mosaic(image, block, *rng.integers(0, block, 2).tolist())
    return _planes(image.transpose(2, 0, 1))


def _planes(array: NDArray[np.generic]) -> torch.Tensor:
    """Turn (H, W) or (3, H, W) into (1, 1 or 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(array)).view(1, -1, *array.shape[-2:])


def collate(items: list[Batch]) -> Batch:
    """Join batches of one. Raises UserError where their pictures differ in size."""
    sizes = {tuple(item.image.shape[-2:]) for item in items}
    if len(sizes) > 1:
        two = " and ".join(f"{width}x{height}" for height, width in sorted(sizes)[:2])
        raise UserError(f"a batch holds pictures of several sizes ({two}); set INPUT_SIZE, or BATCH_SIZE: 1")
    planes = zip(*(item.tensors for item in items), strict=True)
    image, gray, edge, mask, *mosaics = (default_collate([plane[0] for plane in same]) for same in planes)  # shared
    names = [name for item in items for name in item.name]
    return Batch(image, gray, edge, mask, names, mosaic=mosaics[0] if mosaics else None)
