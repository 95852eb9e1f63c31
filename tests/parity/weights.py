"""Deterministic weights for any state dict, so that the expected numbers need no stored weights."""

import zlib

import numpy as np
import torch
from torch import Tensor


def fill(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return {key: float32 tensor}, the vectors of spectral norm consistent with `weight_orig`."""
    out = {}
    for key, shape in shapes.items():
        if not key.endswith(("weight_u", "weight_v")):
            drawn = _rng(key).standard_normal(shape) * _scale(key, shape)
            out[key] = torch.from_numpy(drawn.astype(np.float32))
    for key, shape in shapes.items():
        if key.endswith("weight_u"):
            base = key[:-2]
            out[key], v = _singular_vectors(out[base + "_orig"], shape[0], key)
            if base + "_v" in shapes:
                out[base + "_v"] = v
    return {key: out[key] for key in shapes}


def _scale(key: str, shape: tuple[int, ...]) -> float:
    if key.startswith("decoder.7"):
        return 0.01  # keeps tanh and sigmoid out of saturation
    if key.startswith("features.") and len(shape) == 4 and shape[2] == 3:
        return float((2 / (shape[1] * 9)) ** 0.5)  # VGG: Kaiming, so that deep features stay of order 1
    return 0.05


def _rng(key: str) -> np.random.Generator:
    same = key.replace("features.0.weight_", "conv1.0.weight_")  # the published discriminator lists conv1 twice
    return np.random.default_rng(zlib.crc32(same.encode()))


def _singular_vectors(weight: Tensor, rows: int, key: str) -> tuple[Tensor, Tensor]:
    """Run 50 power iterations; transposed convolutions are normalised over their second dimension."""
    transposed = weight.shape[0] != rows or (weight.shape[0] != weight.shape[1] and weight.shape[1] == rows)
    matrix = (weight.transpose(0, 1) if transposed else weight).reshape(rows, -1).double()
    u = torch.from_numpy(_rng(key).standard_normal(rows))
    u /= u.norm()
    for _ in range(50):
        v = matrix.T @ u
        v /= v.norm()
        u = matrix @ v
        u /= u.norm()
    return u.float(), v.float()
