"""The terms of the objective, as pure functions (arXiv:1901.00212, eq. 2 to 8)."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


def adversarial_loss(scores: Tensor, real: bool, kind: str) -> Tensor:
    """Ask patch scores (logits) to say real or fake; `kind` is nsgan, lsgan or hinge (eq. 2).

    For hinge this is the discriminator's side; the generator's is `-scores.mean()`, see `generator_loss`.
    """
    scores = scores.float()
    target = torch.full_like(scores, float(real))
    if kind == "nsgan":
        return F.binary_cross_entropy_with_logits(scores, target)
    if kind == "lsgan":
        return F.mse_loss(torch.sigmoid(scores), target)
    return F.relu(1 - scores if real else 1 + scores).mean()


def discriminator_loss(real: Tensor, fake: Tensor, kind: str) -> Tensor:
    """Average the errors on real and on (detached) fake patches."""
    return (adversarial_loss(real, True, kind) + adversarial_loss(fake, False, kind)) / 2


def generator_loss(fake: Tensor, kind: str) -> Tensor:
    """Reward patches that the discriminator takes for real."""
    return -fake.float().mean() if kind == "hinge" else adversarial_loss(fake, True, kind)


def feature_distance(fake: Iterable[Tensor], real: Iterable[Tensor]) -> Tensor:
    """Sum the mean absolute differences of pairs of feature maps (eq. 3 and 5); `real` gets no gradient."""
    return sum_of((f - r.detach()).abs().mean(dtype=torch.float32) for f, r in zip(fake, real, strict=True))


def gram(features: Tensor) -> Tensor:
    """Correlate channels: (B, C, H, W) to (B, C, C), divided by C*H*W; float32 whatever the autocast (eq. 6)."""
    b, c, h, w = features.shape
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().reshape(b, c, h * w)
        return flat @ flat.transpose(1, 2) / (c * h * w)


def style_distance(fake: Iterable[Tensor], real: Iterable[Tensor]) -> Tensor:
    """Sum the mean absolute differences of Gram matrices (eq. 6); `real` gets no gradient."""
    return sum_of(F.l1_loss(gram(f), gram(r.detach())) for f, r in zip(fake, real, strict=True))


def hole_l1(fake: Tensor, real: Tensor, ratio: Tensor) -> Tensor:
    """Mean absolute difference over the whole picture divided by the hole ratio of the batch, (), or the picture, (B,).

    What has no hole is divided by 1, where the published code divides by zero.
    """
    if ratio.ndim:
        error = F.l1_loss(fake.float(), real, reduction="none").mean(dim=(1, 2, 3))
    else:
        error = F.l1_loss(fake.float(), real)
    return (error / torch.where(ratio > 0, ratio, torch.ones_like(ratio))).mean()


def hole_bce(logits: Tensor, edge: Tensor, mask: Tensor, ratio: Tensor, positive: float) -> Tensor:
    """Mean cross-entropy of the hole's pixels, those with an edge weighing `positive`; 0 without a hole.

    No part of the paper's objective. Holistically-nested edge detection (Xie and Tu, arXiv:1504.06375, eq. 2) also
    weighs the two classes. `ratio` is the batch's hole ratio.
    """
    weight = torch.full((), positive, device=logits.device)
    entropy = F.binary_cross_entropy_with_logits(logits.float(), edge, pos_weight=weight, reduction="none")
    return (entropy * mask).mean() / torch.where(ratio > 0, ratio, torch.ones_like(ratio))


def sum_of(terms: Iterable[Tensor]) -> Tensor:
    """Add one or more 0-dimensional tensors."""
    return torch.stack(list(terms)).sum()
