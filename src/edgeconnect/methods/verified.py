"""Verified edges (patent application CN110689495A): a picture is completed in several ways, and the most real is kept.

Each candidate's edges are judged by D1, what is painted along them by D2, both inside the hole: EdgeConnect's own
discriminators, as a run trained them. The text drops edges that are not real before it paints; here all are painted, so
that every candidate has both scores.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeconnect.config.sections import DataConfig
from edgeconnect.errors import UserError
from edgeconnect.methods.edgeconnect import Joint
from edgeconnect.networks.filling import luminance
from edgeconnect.types import Batch, Completion, composite

SMALLEST, STRIDE = 24, 8  # pixels around whose middle a score of the published discriminators lies, and between two


@dataclass(frozen=True)
class Candidate:
    """A way to complete a picture.

    Drawn edges count where they are above `threshold`, or with none as strongly as they are drawn; known edges are
    Canny's at SIGMA times `scale`; `mirrored` completes the mirror image.
    """

    threshold: float | None = None
    scale: float = 1.0
    mirrored: bool = False


CANDIDATES = [
    Candidate(threshold, scale, mirrored)
    for scale in (1.0, 0.75, 1.5)
    for threshold in (None, 0.5, 0.3, 0.7)
    for mirrored in (False, True)
]


def ways(data: DataConfig) -> int:
    """Return how many candidates differ: other scales of Canny do where SIGMA is one, and Canny finds the edges."""
    scaled = data.sigma > 0 and data.edge == "canny"
    return len(CANDIDATES) if scaled else sum(candidate.scale == 1 for candidate in CANDIDATES)


class Scored(NamedTuple):
    """A completed batch and how real D1 finds its edges and D2 its pictures, (B,) each, from 0 to 1."""

    completion: Completion
    edges: Tensor
    pictures: Tensor


def tried(method: Joint, batch: Batch, candidate: Candidate) -> Scored:
    """Complete a batch, whose known edges are of the candidate's scale, and judge it."""
    seen = batch.map(lambda tensor: tensor.flip(-1)) if candidate.mirrored else batch
    edge = method.edge.complete(seen).merged
    if candidate.threshold is not None:
        edge = composite(edge, (edge > candidate.threshold).to(edge.dtype), seen.mask)
    made = method.inpaint.complete_along(seen, edge)
    drawn = torch.cat([luminance(made.merged), edge], dim=1)
    scores = [
        reality(network, pictures, seen.mask)
        for network, pictures in ((method.edge.discriminator, drawn), (method.inpaint.discriminator, made.merged))
    ]
    if candidate.mirrored:
        made = Completion(*(tensor.flip(-1) for tensor in made))
    return Scored(made, *scores)


def reality(discriminator: nn.Module, pictures: Tensor, mask: Tensor) -> Tensor:
    """Return how real a patch discriminator finds (B, C, H, W) inside the hole, (B,) from 0 to 1; 1 without a hole.

    Each score weighs as much as the middle of its patch is missing.
    """
    scores = torch.sigmoid(discriminator(pictures)[-1].float())
    weights = F.avg_pool2d(mask, SMALLEST, STRIDE)
    total = weights.sum(dim=(1, 2, 3))
    mean = (scores * weights).sum(dim=(1, 2, 3)) / torch.where(total > 0, total, torch.ones_like(total))
    return torch.where(total > 0, mean, torch.ones_like(mean))


def refuse_resting(method: Joint) -> None:
    """Raise UserError where a discriminator did not learn, and its scores mean nothing."""
    weights = method.edge.config.losses
    for keys, value in (
        ("EDGE_ADV_LOSS_WEIGHT and FM_LOSS_WEIGHT", weights.edge_adv_loss_weight + weights.fm_loss_weight),
        ("INPAINT_ADV_LOSS_WEIGHT", weights.inpaint_adv_loss_weight),
    ):
        if not value:
            problem = f"--candidates: the run was trained with {keys} 0, so a discriminator did not learn to judge"
            raise UserError(f"{problem}; train one with adversarial losses, such as --preset published")
