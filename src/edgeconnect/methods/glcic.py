"""GLCIC (Iizuka et al., SIGGRAPH 2017): a completion network, judged by a global and a local discriminator.

Three phases (algorithm 1): the completion network alone by the squared error, the discriminators alone, then both.
`PHASES` says when; the adversarial term counts where both learn. Differences from the paper: docs/methods.md.
"""

import logging
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgeconnect import losses
from edgeconnect.config.sections import Config
from edgeconnect.errors import UserError
from edgeconnect.methods.adversarial import by_role, detached
from edgeconnect.methods.catalogue import GlcicConfig
from edgeconnect.methods.patches import anywhere, around_holes, patches
from edgeconnect.metrics.training import fidelity
from edgeconnect.networks.glcic import CompletionNetwork, context_discriminator
from edgeconnect.types import Batch, Completion, Metrics, Prepare, Progress, Scalars, Stateful, Update, composite

SMALLEST_PATCH = 32  # pixels, which the local discriminator halves five times
SMALL = 0.01  # a rate for Adam

log = logging.getLogger(__name__)


class Glcic:
    """Fill holes with the training set's mean colour and paint on that (sections 3.2 to 3.4)."""

    def __init__(self, config: Config, prepare: Prepare) -> None:
        own: GlcicConfig = config.own
        channels, size = config.networks.base_channels, training_size(config)
        self.local_side = local_side(round(own.local_size * size), "GLCIC", SMALLEST_PATCH)
        self.adv_loss_weight, self.gan_loss = own.adv_loss_weight, config.losses.gan_loss
        self.generator = prepare(CompletionNetwork(channels))
        self.discriminator = prepare(context_discriminator(size, self.local_side, channels))
        self.networks = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimizers = adadelta_pair(self.generator, self.discriminator, config.optim.lr, config.optim.d2g_lr)
        self.stateful: dict[str, Stateful] = {}

    def paint(self, batch: Batch) -> Tensor:
        """Paint (B, 3, H, W) in [0, 1] from the known pixels, and the mosaic where there is one."""
        mean: Tensor = self.generator.get_buffer("mean_colour")
        seen = mean.view(1, 3, 1, 1) if batch.mosaic is None else batch.mosaic
        painted: Tensor = self.generator(composite(batch.image, seen, batch.mask), batch.mask)
        return painted

    def step(self, batch: Batch, update: Update, progress: Progress) -> Scalars:
        """Train whichever network learns in this phase."""
        with torch.set_grad_enabled(progress.learns("generator")):
            raw = self.paint(batch)
            mse = losses.hole_mse(raw, batch.image, batch.mask, batch.hole_ratio)
        d = g = raw.new_zeros(())
        if progress.learns("discriminator"):
            d, g = judge(self.discriminator, batch, raw, self.local_side, self.gan_loss)
        g = self.adv_loss_weight * g
        update(by_role(d, mse + g))
        return detached({"l_d": d, "l_g": g, "l_mse": mse}) | fidelity(batch.image, raw, batch.mask)

    def complete(self, batch: Batch) -> Completion:
        """Fill the hole; there are no edges."""
        raw = self.paint(batch)
        return Completion(composite(batch.image, raw, batch.mask), raw, torch.zeros_like(batch.mask))

    def evaluate(self, batch: Batch, completion: Completion) -> Metrics:
        """PSNR and relative MAE of the composite."""
        metrics: Metrics = torch.vmap(fidelity)(batch.image, completion.merged, batch.mask)
        return metrics


def judge(discriminator: nn.Module, batch: Batch, raw: Tensor, side: int, gan_loss: str) -> tuple[Tensor, Tensor]:
    """Return the losses of the discriminators, and of what they judge (eq. 3).

    They see composites with patches around the holes, and true pictures with patches from anywhere (section 3.3). The
    paper's generator lowers log(1 - D), this one raises log D (with GAN_LOSS nsgan), whose gradient does not vanish
    while D is sure.
    """
    merged = composite(batch.image, raw, batch.mask)
    real = batch.image, patches(batch.image, anywhere(batch.mask, side), side)
    fake = merged, patches(merged, around_holes(batch.mask, side), side)
    true_score, score = discriminator(*real), discriminator(*fake)
    return losses.discriminator_loss(true_score, score, gan_loss), losses.generator_loss(score, gan_loss)


def training_size(config: Config) -> int:
    """Return the side of the pictures to train on. Raises UserError where INPUT_SIZE does not fix it."""
    if not config.data.input_size:
        problem = "INPUT_SIZE: 0 leaves open what the fully connected layers of the discriminators take"
        raise UserError(f"{problem}; set the size to train on, such as 256; pictures of any size can be completed")
    return config.data.input_size


def local_side(side: int, section: str, smallest: int) -> int:
    """Return the side of the local patches. Raises UserError where a layer of their discriminator would see nothing."""
    if side < smallest:
        problem = f"{section}.LOCAL_SIZE: patches of {side} pixels a side are too small for the local discriminator"
        raise UserError(f"{problem}; raise it, or INPUT_SIZE, until they have {smallest}")
    return side


def adadelta_pair(
    generator: nn.Module, discriminator: nn.Module, lr: float, d2g_lr: float
) -> dict[str, torch.optim.Optimizer]:
    """One Adadelta (Zeiler, arXiv:1212.5701) for each role; the paper's is without a rate of its own, which is LR 1."""
    if lr < SMALL:
        log.warning("LR: %g hardly moves Adadelta, which is published with 1; set LR: 1 and D2G_LR: 1", lr)
    return {
        "generator": torch.optim.Adadelta(generator.parameters(), lr),
        "discriminator": torch.optim.Adadelta(discriminator.parameters(), lr * d2g_lr),
    }


def find_mean_colour(generator: nn.Module, batches: Iterable[Batch]) -> None:
    """Put the mean colour of training pictures, (3,), into a completion network, with which checkpoints keep it."""
    means = [batch.image.mean(dim=(0, 2, 3)) for batch in batches]
    generator.get_buffer("mean_colour").copy_(torch.stack(means).mean(dim=0))
