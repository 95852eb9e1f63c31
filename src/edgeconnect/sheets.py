"""Sheets: rows of pictures side by side, for eyes."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgeconnect.storage import write_whole
from edgeconnect.types import Batch, Completion

GAP = 4  # pixels between pictures
PAPER = 255


def to_uint8(tensor: Tensor) -> NDArray[np.uint8]:
    """Turn (B, C, H, W) in [0, 1] into (B, H, W, C), rounded to 8 bits."""
    array = tensor.detach().float().cpu().clamp(0, 1).mul(255).round().permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(array.astype(np.uint8))


def sample_rows(batch: Batch, completion: Completion) -> list[list[NDArray[np.uint8]]]:
    """Lay out each picture of a batch as input, edges, completion, merged, truth."""
    holed = batch.image * (1 - batch.mask) + batch.mask
    truth = batch.image if completion.merged.shape[1] == 3 else batch.edge
    columns = [to_uint8(tensor) for tensor in (holed, completion.edge, completion.raw, completion.merged, truth)]
    return [[column[i] for column in columns] for i in range(len(batch.name))]


def sheet(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Join rows of pictures, (H, W, 1 or 3) and of any sizes, to one on white paper."""
    cells = [[np.broadcast_to(cell, (*cell.shape[:2], 3)) for cell in row] for row in rows]
    height = max(cell.shape[0] for row in cells for cell in row)
    width = max(cell.shape[1] for row in cells for cell in row)
    columns = max(len(row) for row in cells)
    paper = np.full((len(cells) * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), PAPER, np.uint8)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            top, left = i * (height + GAP), j * (width + GAP)
            paper[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return paper


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode (H, W) gray or (H, W, 3) RGB as PNG."""
    plain = np.ascontiguousarray(image if image.ndim == 2 else image[..., ::-1])
    ok, data = cv2.imencode(".png", plain)
    if not ok:
        raise ValueError(f"a picture of shape {image.shape} cannot be encoded as PNG")
    return bytes(data.tobytes())


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a picture as PNG, whole or not at all."""
    write_whole(path, png_bytes(image))
