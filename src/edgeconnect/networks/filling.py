"""What a hole is filled with before a network sees it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeconnect.config.sections import BIHARMONIC, HARMONIC
from edgeconnect.types import Batch, composite

JACOBI_STEPS = 4  # at each size; more hardly bring a harmonic surface closer to the picture
CONJUGATE_STEPS = 24  # at each size; on faces of 64x64 half as many lose 0.3 dB, the exact surface has 0.2 more


LUMINANCE = (0.2125, 0.7154, 0.0721)  # of RGB


def as_seen(batch: Batch, kind: str) -> Tensor:
    """Return the pictures, (B, 3, H, W), with what networks see in the hole: a mosaic, or what PREFILL says."""
    if batch.mosaic is None:
        return prefilled(batch.image, batch.mask, kind)
    return composite(batch.image, batch.mosaic, batch.mask)


def gray_as_seen(batch: Batch, kind: str) -> Tensor:
    """Return the gray pictures, (B, 1, H, W), with what networks see in the hole."""
    if batch.mosaic is None:
        return prefilled(batch.gray, batch.mask, kind)
    return composite(batch.gray, luminance(batch.mosaic), batch.mask)


def luminance(pictures: Tensor) -> Tensor:
    """Turn (B, 3, H, W) RGB gray, (B, 1, H, W), as `Batch.gray` is."""
    return (pictures * pictures.new_tensor(LUMINANCE).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def prefilled(image: Tensor, mask: Tensor, kind: str) -> Tensor:
    """Fill the holes of (B, C, H, W) as PREFILL says: white, or with a smooth surface through their rims.

    `mask` is (B, 1, H, W) with 1 = missing. A surface leaves known pixels as they are, bit for bit, may leave [0, 1],
    and is 0 where no pixel is known.
    """
    return surface(image, mask, SMOOTHERS[kind]) if kind in SMOOTHERS else image * (1 - mask) + mask


def surface(image: Tensor, mask: Tensor, smooth: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Fill from coarse to fine: with means of known pixels, enlarged and smoothed again at each size.

    Push and pull (Gortler et al., SIGGRAPH 1996, section 3.4), with a smoothing that looks at the rim.
    """
    known = 1 - mask
    height, width = image.shape[-2:]
    if height == width == 1:
        return image * known
    even = (0, width % 2, 0, height % 2)
    weights = F.avg_pool2d(F.pad(known, even), 2)
    means = F.avg_pool2d(F.pad(image * known, even), 2) / torch.where(weights > 0, weights, torch.ones_like(weights))
    coarse = surface(means, (weights == 0).to(mask.dtype), smooth)
    enlarged = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")[..., :height, :width]
    return composite(image, smooth(composite(image, enlarged, mask), mask), mask)


def neighbours(image: Tensor) -> Tensor:
    """Sum the four neighbours of each pixel; the border repeats."""
    around = F.pad(image, (1, 1, 1, 1), mode="replicate")
    return around[..., :-2, 1:-1] + around[..., 2:, 1:-1] + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]


def harmonic(image: Tensor, mask: Tensor) -> Tensor:
    """Take steps towards the hole's membrane, whose Laplacian is 0 (Jacobi)."""
    for _ in range(JACOBI_STEPS):
        image = composite(image, neighbours(image) / 4, mask)
    return image


def biharmonic(image: Tensor, mask: Tensor) -> Tensor:
    """Take steps towards the hole's thin plate, whose squared Laplacian is least (conjugate gradients).

    Chui and Mhaskar (Applied and Computational Harmonic Analysis, 2010) inpaint with its solution.
    """

    def bending(plate: Tensor) -> Tensor:
        for _ in range(2):
            plate = neighbours(plate) - 4 * plate
        return plate * mask

    def energy(force: Tensor, other: Tensor) -> Tensor:
        return (force * other).sum((-1, -2), keepdim=True)

    residual = -bending(image)
    direction, left = residual, energy(residual, residual)
    for _ in range(CONJUGATE_STEPS):
        bent = bending(direction)
        step = left / energy(direction, bent).clamp(min=TINY)
        image, residual = image + step * direction, residual - step * bent
        before, left = left, energy(residual, residual)
        direction = residual + left / before.clamp(min=TINY) * direction
    return image


TINY = 1e-20  # where nothing is left to do
SMOOTHERS = {HARMONIC: harmonic, BIHARMONIC: biharmonic}
