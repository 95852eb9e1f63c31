"""Patches of pictures around their holes, for local discriminators; on the device, without waiting for it."""

import torch
from torch import Tensor


def patches(pictures: Tensor, corners: Tensor, side: int) -> Tensor:
    """Cut squares, (B, C, side, side), out of (B, C, H, W); `corners`, (B, 2), are their upper left pixels."""
    along = torch.arange(side, device=pictures.device)
    rows, columns = ((corner[:, None] + along) for corner in corners.unbind(1))
    each = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    return pictures.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def anywhere(mask: Tensor, side: int) -> Tensor:
    """Return corners, (B, 2), of squares at random places."""
    room = [length - side + 1 for length in mask.shape[-2:]]
    return torch.stack([torch.randint(places, (len(mask),), device=mask.device) for places in room], dim=1)


def around_holes(mask: Tensor, side: int) -> Tensor:
    """Return corners, (B, 2), of squares around the holes of (B, 1, H, W), 1 = missing.

    A square's middle is that of the box around all that is missing, where the square covers that box. Where it does
    not, as around a large hole or between several, it is a missing pixel at random, so that every part of every hole is
    judged in time. Squares are moved into the picture; without a hole, they lie in its middle.
    """
    ends = [extent(mask.amax(dim)[:, 0]) for dim in (3, 2)]  # (first, last) rows, then columns
    first, last = (torch.stack(both, dim=1) for both in zip(*ends, strict=True))
    chosen = torch.argmax((mask[:, 0] * torch.rand_like(mask[:, 0])).flatten(1), dim=1)
    width = mask.shape[-1]
    missing = torch.stack([chosen // width, chosen % width], dim=1)
    covered = (last - first < side).all(dim=1, keepdim=True) | (mask.amax(dim=(2, 3)) == 0)
    middle = torch.where(covered, (first + last + 1) // 2, missing)
    room = torch.stack([torch.full_like(chosen, length - side) for length in mask.shape[-2:]], dim=1)
    return torch.minimum((middle - side // 2).clamp(min=0), room)


def extent(missing: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the last place, (B,) each, where (B, N) is above 0; the whole, where it is nowhere."""
    places = torch.arange(missing.shape[1], device=missing.device).expand_as(missing)
    end = missing.shape[1] - 1
    first = torch.where(missing > 0, places, end).amin(dim=1)
    last = torch.where(missing > 0, places, 0).amax(dim=1)
    nothing = missing.amax(dim=1) == 0
    return torch.where(nothing, 0, first), torch.where(nothing, end, last)
