"""The terms of the methods' objectives, as pure functions; equations without a source are those of arXiv:1901.00212."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

ROWS = 256  # positions that the contextual loss compares with all others at a time
ROUNDING = 1e-5  # of a mean, below which a difference from it is none


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
    return (error / or_one(ratio)).mean()


def hole_bce(logits: Tensor, edge: Tensor, mask: Tensor, ratio: Tensor, positive: float) -> Tensor:
    """Mean cross-entropy of the hole's pixels, those with an edge weighing `positive`; 0 without a hole.

    No part of the paper's objective. Holistically-nested edge detection (Xie and Tu, arXiv:1504.06375, eq. 2) also
    weighs the two classes. `ratio` is the batch's hole ratio.
    """
    weight = torch.full((), positive, device=logits.device)
    entropy = F.binary_cross_entropy_with_logits(logits.float(), edge, pos_weight=weight, reduction="none")
    return (entropy * mask).mean() / or_one(ratio)


def hole_mse(fake: Tensor, real: Tensor, mask: Tensor, ratio: Tensor) -> Tensor:
    """Mean squared difference of the hole's pixels, those of the whole batch; 0 without a hole (GLCIC, eq. 2).

    The paper gives the squared norm; this is that over its number of values. `ratio` is the batch's hole ratio, ().
    """
    return (mask * (fake.float() - real)).square().mean() / or_one(ratio)


def region_l1(fake: Tensor, real: Tensor, region: Tensor) -> Tensor:
    """Sum of absolute differences where `region`, (B, 1, H, W), is 1, over the number of all values.

    Of the mask and of what it leaves, these are the hole and valid terms of Liu et al. (arXiv:1804.07723, section 3.3).
    """
    return (region * (fake.float() - real)).abs().mean()


def total_variation(picture: Tensor, region: Tensor) -> Tensor:
    """Sum of absolute differences of neighbours that both lie in `region`, (B, 1, H, W), over the number of all values.

    Liu et al. (arXiv:1804.07723, eq. 6) take the composite, and the hole grown by a pixel.
    """
    picture, total = picture.float(), picture.new_zeros((), dtype=torch.float32)
    for side in (2, 3):
        inside = region.narrow(side, 1, region.shape[side] - 1) * region.narrow(side, 0, region.shape[side] - 1)
        total = total + (picture.diff(dim=side).abs() * inside).sum()
    return total / picture.numel()


def contextual_loss(
    fake: Tensor, real: Tensor, bandwidth: float = 0.5, epsilon: float = 1e-5, most: int = 64 * 64
) -> Tensor:
    """Let each feature of the real pictures be like some feature of the fake ones, wherever it is (arXiv:1803.02077).

    -log CX of each picture, averaged. Takes features (B, C, H, W) of one layer; `real` gets no gradient. float32
    whatever the autocast. Of larger maps, every second, third ... row and column is taken, so that at most `most`
    positions are left. Memory grows with these, not with their square, which is computed twice.
    """
    stride = 1
    while -(-fake.shape[2] // stride) * -(-fake.shape[3] // stride) > most:
        stride += 1
    with torch.autocast(fake.device.type, enabled=False):
        pairs = zip(fake[..., ::stride, ::stride], real.detach()[..., ::stride, ::stride], strict=True)
        return torch.stack([-contextual_similarity(f, r, bandwidth, epsilon).log() for f, r in pairs]).mean()


def contextual_similarity(fake: Tensor, real: Tensor, bandwidth: float, epsilon: float) -> Tensor:
    """Return CX, () in [0, 1], of features (C, H, W): the mean over j of max_i CX_ij (arXiv:1803.02077, eq. 1)."""
    fake, real = fake.float().flatten(1).T, real.float().flatten(1).T
    centre = real.mean(0)
    smallest = ROUNDING * torch.linalg.vector_norm(centre)
    fake, real = (directions(features - centre, smallest) for features in (fake, real))
    best = [
        checkpoint(best_of_rows, rows, real, bandwidth, epsilon, use_reentrant=False, preserve_rng_state=False)
        for rows in torch.split(fake, ROWS)
    ]
    return torch.stack(best).amax(0).mean()


def best_of_rows(rows: Tensor, real: Tensor, bandwidth: float, epsilon: float) -> Tensor:
    """Return max_i CX_ij, (N,), over some unit features i of the fake picture, (n, C), for all j of the real, (N, C).

    d_ij = 1 - cosine; CX_ij = softmax over j of (1 - d_ij / (min_k d_ik + epsilon)) / bandwidth.
    """
    distance = (1 - rows @ real.T).clamp_min(0)  # rounding, of TF32 above all, must not make it negative
    relative = distance / (distance.amin(1, keepdim=True) + epsilon)
    return torch.softmax((1 - relative) / bandwidth, dim=1).amax(0)


def directions(features: Tensor, smallest: Tensor) -> Tensor:
    """Divide features, (N, C), by their norms; what is not longer than `smallest` becomes 0 and gets no gradient."""
    norm = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return torch.where(norm > smallest, features / torch.where(norm > smallest, norm, 1), 0)


def or_one(ratio: Tensor) -> Tensor:
    """Return a hole ratio, 1 where there is no hole."""
    return torch.where(ratio > 0, ratio, torch.ones_like(ratio))


def sum_of(terms: Iterable[Tensor]) -> Tensor:
    """Add one or more 0-dimensional tensors."""
    return torch.stack(list(terms)).sum()
