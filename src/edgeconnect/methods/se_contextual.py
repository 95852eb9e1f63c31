"""Completion by SE-ResNet and contextual loss: GLCIC's two players with other networks, and one term more.

The contextual loss (Mechrez et al., arXiv:1803.02077) asks that each feature of the true picture has its like somewhere
in the completed one. Differences from the source text: docs/methods.md.
"""

from functools import cached_property

import torch
from torch import Tensor

from edgeconnect import losses
from edgeconnect.config.sections import Config
from edgeconnect.methods.adversarial import adam_pair, by_role, detached
from edgeconnect.methods.catalogue import SEContextualConfig
from edgeconnect.methods.glcic import judge, local_side, training_size
from edgeconnect.methods.perceptual import loaded_features
from edgeconnect.metrics.training import fidelity
from edgeconnect.networks.features import FEATURE_NETS, imagenet_normalized
from edgeconnect.networks.se_contextual import Generator, context_discriminator
from edgeconnect.types import Batch, Completion, Metrics, Prepare, Progress, Scalars, Stateful, Update, composite

SMALLEST_PATCH = 8  # pixels, which the local discriminator halves three times


class SEContextual:
    """Paint on a black hole, or on a mosaic, by squared error, two discriminators, and the contextual loss (eq. 4)."""

    feature_net = cached_property(loaded_features)

    def __init__(self, config: Config, prepare: Prepare) -> None:
        own: SEContextualConfig = config.own
        channels, size = config.networks.base_channels, training_size(config)
        self.config, self.weights, self.prepare = config, own, prepare
        self.local_side = local_side(round(own.local_size * size), "SE_CONTEXTUAL", SMALLEST_PATCH)
        self.generator = prepare(Generator(channels))
        self.discriminator = prepare(context_discriminator(size, self.local_side, channels))
        self.networks = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimizers = adam_pair([self.generator], [self.discriminator], config.optim)
        self.stateful: dict[str, Stateful] = {}

    def paint(self, batch: Batch) -> Tensor:
        """Paint (B, 3, H, W) in [0, 1] from the known pixels, and the mosaic where there is one."""
        seen = torch.zeros_like(batch.image) if batch.mosaic is None else batch.mosaic
        painted: Tensor = self.generator(composite(batch.image, seen, batch.mask))
        return painted

    def step(self, batch: Batch, update: Update, progress: Progress) -> Scalars:
        """Train whichever network learns in this phase."""
        painting = progress.learns("generator")
        with torch.set_grad_enabled(painting):
            raw = self.paint(batch)
            mse = losses.hole_mse(raw, batch.image, batch.mask, batch.hole_ratio)
            cx = self.contextual(batch, raw) if painting else raw.new_zeros(())
        d = g = raw.new_zeros(())
        if progress.learns("discriminator"):
            d, g = judge(self.discriminator, batch, raw, self.local_side, self.config.losses.gan_loss)
        g = self.weights.adv_loss_weight * g
        update(by_role(d, mse + g + cx))
        return detached({"l_d": d, "l_g": g, "l_mse": mse, "l_cx": cx}) | fidelity(batch.image, raw, batch.mask)

    def contextual(self, batch: Batch, raw: Tensor) -> Tensor:
        """Weighted contextual loss of the composite, over the layers that FEATURE_NET has for it (eq. 6)."""
        weight = self.weights.contextual_loss_weight
        if not weight:
            return raw.new_zeros(())
        layers = FEATURE_NETS[self.config.losses.feature_net].contextual
        with torch.no_grad():
            real = self.feature_net(imagenet_normalized(batch.image), layers)
        fake = self.feature_net(imagenet_normalized(composite(batch.image, raw, batch.mask)), layers)
        return weight * losses.sum_of(losses.contextual_loss(fake[name], real[name]) for name in layers)

    def complete(self, batch: Batch) -> Completion:
        """Fill the hole; there are no edges."""
        raw = self.paint(batch)
        return Completion(composite(batch.image, raw, batch.mask), raw, torch.zeros_like(batch.mask))

    def evaluate(self, batch: Batch, completion: Completion) -> Metrics:
        """PSNR and relative MAE of the composite."""
        metrics: Metrics = torch.vmap(fidelity)(batch.image, completion.merged, batch.mask)
        return metrics
