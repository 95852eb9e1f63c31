"""EdgeConnect (Nazeri et al. 2019, arXiv:1901.00212): edges first, colours next, in four stages.

edge          G1 and D1 on true gray pictures and edges
inpaint       G2 and D2 along true edges
edge_inpaint  G2 and D2 along the edges of a frozen G1, composited with the known ones
joint         both at once: the completion loss reaches G1, too
"""

from collections.abc import Iterable, Mapping
from functools import cached_property

import torch
from torch import Tensor

from edgeconnect import losses
from edgeconnect.config.sections import BATCH, MOSAIC, WHITE, Config
from edgeconnect.errors import UserError
from edgeconnect.methods.adversarial import Objective, adam_pair, by_role, detached, judged
from edgeconnect.methods.perceptual import loaded_features
from edgeconnect.metrics.training import edge_precision_recall, fidelity
from edgeconnect.networks.canny import canny_edges, spread
from edgeconnect.networks.edgeconnect import Discriminator, Generator, convolutions
from edgeconnect.networks.features import FEATURE_NETS
from edgeconnect.networks.filling import as_seen, gray_as_seen
from edgeconnect.types import Batch, Completion, Metrics, Prepare, Progress, Scalars, Stateful, Update, composite

FINEST = 1.0  # of the scales that SIGMA 0 draws


class Edge:
    """Stage 1: G1 draws the edges of the hole, D1 judges them beside the gray picture (section 3.1)."""

    def __init__(self, config: Config, prepare: Prepare) -> None:
        size = config.networks
        self.config = config
        self.generator = prepare(generator(3, 1, config, spectral=True))
        self.discriminator = prepare(Discriminator(2, size.base_channels))
        self.networks = {"edge_generator": self.generator, "edge_discriminator": self.discriminator}
        self.optimizers = adam_pair([self.generator], [self.discriminator], config.optim)
        self.stateful: dict[str, Stateful] = {}

    def generate(self, batch: Batch) -> Tensor:
        """Draw edges everywhere, (B, 1, H, W), from what is known; the logits, before the sigmoid."""
        size, sigma = self.config.networks, self.config.data.sigma
        gray = gray_as_seen(batch, size.prefill)
        edge = batch.edge * (1 - batch.mask)
        if size.prefill_edges and sigma >= 0:  # -1: no edges
            edge = edge + canny_edges(gray, sigma or FINEST) * batch.mask
        logits: Tensor = self.generator(torch.cat([gray, edge, batch.mask], dim=1))
        return logits.float()

    def objective(self, batch: Batch) -> Objective:
        """Adversarial and feature-matching loss (eq. 1 to 4), and cross-entropy; D1 rests where neither needs it."""
        weights, logits = self.config.losses, self.generate(batch)
        fake = torch.sigmoid(logits)
        d1 = g1 = fm = bce = fake.new_zeros(())
        if weights.edge_adv_loss_weight or weights.fm_loss_weight:
            pairs = (torch.cat([batch.gray, edge], dim=1) for edge in (batch.edge, fake))
            real_maps, fake_maps = judged(self.discriminator, *pairs)
            d1 = losses.discriminator_loss(real_maps[-1], fake_maps[-1], weights.gan_loss)
            g1 = weights.edge_adv_loss_weight * losses.generator_loss(fake_maps[-1], weights.gan_loss)
            fm = weights.fm_loss_weight * losses.feature_distance(fake_maps, real_maps)
        scalars = {"l_d1": d1, "l_g1": g1, "l_fm": fm}
        if weights.edge_bce_loss_weight:
            bce = losses.hole_bce(logits, batch.edge, batch.mask, batch.hole_ratio, weights.edge_bce_positive)
            scalars["l_bce"] = bce = weights.edge_bce_loss_weight * bce
        return Objective(by_role(d1, g1 + fm + bce), fake, detached(scalars))

    def step(self, batch: Batch, update: Update, progress: Progress) -> Scalars:
        """Train both networks on one batch."""
        objective = self.objective(batch)
        update(objective.losses)
        return objective.scalars | self.accuracy(batch.edge, objective.fake, batch.mask)

    def complete(self, batch: Batch) -> Completion:
        """Draw the edges of the hole and keep the known ones."""
        raw = torch.sigmoid(self.generate(batch))
        merged = composite(batch.edge, raw, batch.mask)
        return Completion(merged, raw, merged)

    def evaluate(self, batch: Batch, completion: Completion) -> Metrics:
        """Precision and recall of the hole's edges."""
        metrics: Metrics = torch.vmap(self.accuracy)(batch.edge, completion.edge, batch.mask)
        return metrics

    def accuracy(self, true: Tensor, drawn: Tensor, mask: Tensor) -> Scalars:
        """Precision and recall under the published columns' names."""
        threshold = self.config.log.edge_threshold
        precision, recall = edge_precision_recall(true, drawn.detach(), mask, threshold)
        return {"precision": precision, "recall": recall}


class Inpaint:
    """Stage 2: G2 paints along edges, D2 judges the picture, FEATURE_NET its content and style (section 3.2)."""

    feature_net = cached_property(loaded_features)

    def __init__(self, config: Config, prepare: Prepare) -> None:
        size = config.networks
        self.config, self.prepare = config, prepare
        self.sees_mask = size.prefill != WHITE or config.data.corruption == MOSAIC  # white shows the hole itself
        painter = generator(5 if self.sees_mask else 4, 3, config)
        if size.prefill != WHITE:
            torch.nn.init.normal_(convolutions(painter)[-1].weight, 0.0, 0.001)  # begins near the surface
        self.generator = prepare(painter)
        self.discriminator = prepare(Discriminator(3, size.base_channels))
        self.networks = {"inpaint_generator": self.generator, "inpaint_discriminator": self.discriminator}
        self.optimizers = adam_pair([self.generator], [self.discriminator], config.optim)
        self.stateful: dict[str, Stateful] = {}

    def generate(self, batch: Batch, edge: Tensor) -> Tensor:
        """Paint (B, 3, H, W) along edges: on white everywhere, else in the hole, where it may leave [0, 1]."""
        kind = self.config.networks.prefill
        image = as_seen(batch, kind)
        seen = [image, edge, batch.mask] if self.sees_mask else [image, edge]
        painted = self.generator(torch.cat(seen, dim=1)).float()
        if kind == WHITE:
            return (torch.tanh(painted) + 1) / 2
        return composite(image, image + painted, batch.mask)

    def objective(self, batch: Batch, edge: Tensor) -> Objective:
        """Adversarial, L1, perceptual and style loss of the raw output (eq. 5 to 8), variation of the composite.

        D2 rests where its weight is 0.
        """
        weights, fake = self.config.losses, self.generate(batch, edge)
        d2 = g2 = fake.new_zeros(())
        if weights.inpaint_adv_loss_weight:
            real_maps, fake_maps = judged(self.discriminator, batch.image, fake)
            d2 = losses.discriminator_loss(real_maps[-1], fake_maps[-1], weights.gan_loss)
            g2 = weights.inpaint_adv_loss_weight * losses.generator_loss(fake_maps[-1], weights.gan_loss)
        ratio = batch.hole_ratio if weights.l1_ratio == BATCH else batch.mask.mean(dim=(1, 2, 3))
        l1 = weights.l1_loss_weight * losses.hole_l1(fake, batch.image, ratio)
        content, style = self.perceptual(batch, fake)
        scalars = {"l_d2": d2, "l_g2": g2, "l_l1": l1, "l_per": content, "l_sty": style}
        tv = fake.new_zeros(())
        if weights.tv_loss_weight:
            merged = composite(batch.image, fake, batch.mask)
            tv = weights.tv_loss_weight * losses.total_variation(merged, spread(batch.mask))
            scalars["l_tv"] = tv
        return Objective(by_role(d2, g2 + l1 + content + style + tv), fake, detached(scalars))

    def perceptual(self, batch: Batch, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted content loss of the picture and style loss of its hole; 0 where the weight is 0."""
        weights = self.config.losses
        net, content = FEATURE_NETS[weights.feature_net], fake.new_zeros(())
        style = content
        if weights.content_loss_weight:
            distance = losses.feature_distance(*self.features(fake, batch.image, net.content))
            content = weights.content_loss_weight * net.content_scale * distance
        if weights.style_loss_weight:
            holes = fake * batch.mask, batch.image * batch.mask
            distance = losses.style_distance(*self.features(*holes, net.style))
            style = weights.style_loss_weight * net.style_scale * distance
        return content, style

    def features(
        self, fake: Tensor, real: Tensor, layers: Mapping[str, int]
    ) -> tuple[Iterable[Tensor], Iterable[Tensor]]:
        """Features of both pictures; the graph is built for the fake only."""
        with torch.no_grad():
            wanted = self.feature_net(real, layers)
        return self.feature_net(fake, layers).values(), wanted.values()

    def step(self, batch: Batch, update: Update, progress: Progress) -> Scalars:
        """Train both networks on one batch along its true edges."""
        return self.step_along(batch, batch.edge, update)

    def step_along(self, batch: Batch, edge: Tensor, update: Update) -> Scalars:
        """Train both networks on one batch along the given edges."""
        objective = self.objective(batch, edge)
        update(objective.losses)
        return objective.scalars | fidelity(batch.image, objective.fake, batch.mask)

    def complete(self, batch: Batch) -> Completion:
        """Paint the hole along the batch's own edges."""
        return self.complete_along(batch, batch.edge)

    def complete_along(self, batch: Batch, edge: Tensor) -> Completion:
        """Paint the hole along the given edges."""
        raw = self.generate(batch, edge).clamp(0, 1)
        return Completion(composite(batch.image, raw, batch.mask), raw, edge)

    def evaluate(self, batch: Batch, completion: Completion) -> Metrics:
        """PSNR and relative MAE of the composite."""
        metrics: Metrics = torch.vmap(fidelity)(batch.image, completion.merged, batch.mask)
        return metrics


class EdgeInpaint:
    """Stage 3: `Inpaint` along the edges of a frozen G1."""

    def __init__(self, config: Config, prepare: Prepare) -> None:
        self.edge, self.inpaint = Edge(config, prepare), Inpaint(config, prepare)
        self.raw_edges = raw_edges_of(config)
        self.edge.generator.requires_grad_(False)
        self.networks = {"edge_generator": self.edge.generator} | self.inpaint.networks
        self.optimizers = self.inpaint.optimizers
        self.stateful: dict[str, Stateful] = {}

    def step(self, batch: Batch, update: Update, progress: Progress) -> Scalars:
        """Train G2 and D2 on one batch along composited edges."""
        with torch.no_grad():
            edge = self.edge.complete(batch).merged
        return self.inpaint.step_along(batch, edge, update)

    def complete(self, batch: Batch) -> Completion:
        """Draw the edges of the hole, then paint along them."""
        return complete_in_two(self.edge, self.inpaint, batch, self.raw_edges)

    def evaluate(self, batch: Batch, completion: Completion) -> Metrics:
        """PSNR and relative MAE of the composite."""
        return self.inpaint.evaluate(batch, completion)


class Joint:
    """Stage 4: `Edge` and `Inpaint` at once, without detaching; per role, their losses are summed."""

    def __init__(self, config: Config, prepare: Prepare) -> None:
        self.edge, self.inpaint = Edge(config, prepare), Inpaint(config, prepare)
        self.raw_edges = raw_edges_of(config)
        self.networks = self.edge.networks | self.inpaint.networks
        self.stateful: dict[str, Stateful] = {}
        generators = [self.edge.generator, self.inpaint.generator]
        discriminators = [self.edge.discriminator, self.inpaint.discriminator]
        self.optimizers = adam_pair(generators, discriminators, config.optim)

    def step(self, batch: Batch, update: Update, progress: Progress) -> Scalars:
        """Train all four networks on one batch."""
        first = self.edge.objective(batch)
        second = self.inpaint.objective(batch, composite(batch.edge, first.fake, batch.mask))
        both = dict(first.losses)
        for role, loss in second.losses.items():
            both[role] = both[role] + loss if role in both else loss
        update(both)
        drawn = self.edge.accuracy(batch.edge, first.fake, batch.mask)
        painted = fidelity(batch.image, second.fake, batch.mask)
        return first.scalars | short(drawn) | second.scalars | painted

    def complete(self, batch: Batch) -> Completion:
        """Draw the edges of the hole, then paint along them."""
        return complete_in_two(self.edge, self.inpaint, batch, self.raw_edges)

    def evaluate(self, batch: Batch, completion: Completion) -> Metrics:
        """Precision and recall of the edges, PSNR and relative MAE of the composite."""
        return short(self.edge.evaluate(batch, completion)) | self.inpaint.evaluate(batch, completion)


def generator(in_channels: int, out_channels: int, config: Config, spectral: bool = False) -> Generator:
    """Build a generator as configured. Raises UserError where G1 would see the edges of a white hole."""
    size = config.networks
    if size.prefill_edges and size.prefill == WHITE:
        raise UserError("PREFILL_EDGES: 1 needs a surface in the hole; set PREFILL: harmonic or PREFILL_EDGES: 0")
    shape = in_channels, out_channels, size.base_channels, size.residual_blocks
    return Generator(*shape, spectral=spectral, halvings=size.halvings, skips=size.skips)


def raw_edges_of(config: Config) -> bool:
    """Return RAW_EDGES. Raises UserError where G1 learns the edges of the hole alone."""
    weights = config.losses
    if config.run.raw_edges and not weights.edge_adv_loss_weight + weights.fm_loss_weight:
        problem = "RAW_EDGES: 1 needs a G1 that draws around the hole, too, and without EDGE_ADV_LOSS_WEIGHT and"
        raise UserError(f"{problem} FM_LOSS_WEIGHT it does not learn that; set RAW_EDGES: 0")
    return config.run.raw_edges


def complete_in_two(edge: Edge, inpaint: Inpaint, batch: Batch, raw_edges: bool) -> Completion:
    """Draw, then paint; `raw_edges` paints along G1's output alone, as the published test program does."""
    drawn = edge.complete(batch)
    return inpaint.complete_along(batch, drawn.raw if raw_edges else drawn.merged)


def short(accuracy: Scalars) -> Scalars:
    """Name precision and recall as the published joint log does."""
    return {"pre": accuracy["precision"], "rec": accuracy["recall"]}


AnyStage = Edge | Inpaint | EdgeInpaint | Joint
STAGES: dict[str, type[AnyStage]] = {"edge": Edge, "inpaint": Inpaint, "edge_inpaint": EdgeInpaint, "joint": Joint}
