"""Partial convolutions (Liu et al., ECCV 2018, arXiv:1804.07723): convolutions that see known pixels alone.

Two phases: from the second one on, the encoder's batch normalisation goes by its running statistics (section 4.1).
Differences from the paper: docs/methods.md.
"""

from functools import cached_property

import torch
from torch import Tensor

from edgeconnect import losses
from edgeconnect.config.sections import MOSAIC, Config
from edgeconnect.methods.adversarial import adam, detached
from edgeconnect.methods.catalogue import PartialConvConfig
from edgeconnect.methods.perceptual import loaded_features
from edgeconnect.metrics.training import fidelity
from edgeconnect.networks.canny import spread
from edgeconnect.networks.features import FEATURE_NETS, imagenet_normalized
from edgeconnect.networks.partialconv import PartialUNet, levels_for
from edgeconnect.types import Batch, Completion, Metrics, Prepare, Progress, Scalars, Stateful, Update, composite


class PartialConvolutions:
    """Paint holes with a U-Net whose masks shrink layer by layer; no discriminator (sections 3.1 to 3.3)."""

    feature_net = cached_property(loaded_features)

    def __init__(self, config: Config, prepare: Prepare) -> None:
        own: PartialConvConfig = config.own
        self.config, self.weights, self.prepare = config, own, prepare
        self.network = PartialUNet(
            levels_for(config.data.input_size or 512), config.networks.base_channels, config.data.corruption == MOSAIC
        )
        self.generator = prepare(self.network)
        self.networks = {"generator": self.generator}
        self.optimizers = {"generator": adam([self.generator], config.optim.lr, config.optim)}
        self.stateful: dict[str, Stateful] = {}

    def paint(self, batch: Batch) -> Tensor:
        """Paint (B, 3, H, W), not bounded, from the known pixels, and the mosaic where there is one."""
        painted: Tensor = self.generator(batch.image, batch.mask, batch.mosaic)
        return painted

    def step(self, batch: Batch, update: Update, progress: Progress) -> Scalars:
        """Train on one batch (eq. 7)."""
        self.network.freeze_encoder_norms(progress.phase > 0)
        raw, weights = self.paint(batch), self.weights
        merged = composite(batch.image, raw, batch.mask)
        valid = weights.valid_loss_weight * losses.region_l1(raw, batch.image, 1 - batch.mask)
        hole = weights.hole_loss_weight * losses.region_l1(raw, batch.image, batch.mask)
        tv = weights.tv_loss_weight * losses.total_variation(merged, spread(batch.mask))
        content, style = self.perceptual(batch.image, raw, merged)
        update({"generator": valid + hole + tv + content + style})
        scalars = {"l_valid": valid, "l_hole": hole, "l_per": content, "l_sty": style, "l_tv": tv}
        return detached(scalars) | fidelity(batch.image, raw, batch.mask)

    def perceptual(self, image: Tensor, raw: Tensor, merged: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted perceptual and style loss, each of the output and of the composite (eq. 3 to 5)."""
        weights = self.weights
        if not weights.perceptual_loss_weight + weights.style_loss_weight:
            return raw.new_zeros(()), raw.new_zeros(())
        with torch.no_grad():
            real = self.features(image)
        fakes = [self.features(picture) for picture in (raw, merged)]
        content = losses.sum_of(losses.feature_distance(fake, real) for fake in fakes)
        style = losses.sum_of(losses.style_distance(fake, real) for fake in fakes)
        return weights.perceptual_loss_weight * content, weights.style_loss_weight * style

    def features(self, picture: Tensor) -> list[Tensor]:
        """Return the feature network's three poolings."""
        layers = FEATURE_NETS[self.config.losses.feature_net].pools
        return list(self.feature_net(imagenet_normalized(picture), layers).values())

    def complete(self, batch: Batch) -> Completion:
        """Fill the hole; there are no edges."""
        raw = self.paint(batch).clamp(0, 1)
        return Completion(composite(batch.image, raw, batch.mask), raw, torch.zeros_like(batch.mask))

    def evaluate(self, batch: Batch, completion: Completion) -> Metrics:
        """PSNR and relative MAE of the composite."""
        metrics: Metrics = torch.vmap(fidelity)(batch.image, completion.merged, batch.mask)
        return metrics
