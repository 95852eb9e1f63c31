"""The plain way: EdgeConnect's training step as one reads it in the paper, for benchmarks to compare with.

Float32, PyTorch's default layout and layers, every term of the objective by passes of its own, and each scalar brought
to the processor by its own `.item()`. Weights and pictures are random: only time and memory are measured.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torchvision.models.vgg import cfgs, make_layers

from edgeconnect.networks.features import FEATURE_NETS
from edgeconnect.types import Batch

CONTENT, STYLE = FEATURE_NETS["vgg19"][:2]

Optimizers = dict[str, torch.optim.Optimizer]


def norm(layer: nn.Module, spectral: bool) -> list[nn.Module]:
    """Follow a convolution by instance normalisation."""
    return [spectral_norm(layer) if spectral else layer, nn.InstanceNorm2d(layer.out_channels)]


class Block(nn.Module):
    """A dilated residual block."""

    def __init__(self, channels: int, spectral: bool) -> None:
        super().__init__()
        first = norm(nn.Conv2d(channels, channels, 3, dilation=2, bias=not spectral), spectral)
        second = norm(nn.Conv2d(channels, channels, 3, bias=not spectral), spectral)
        self.block = nn.Sequential(nn.ReflectionPad2d(2), *first, nn.ReLU(), nn.ReflectionPad2d(1), *second)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return x + self.block(x)


def generator(channels: int, out: int, base: int, blocks: int, spectral: bool) -> nn.Module:
    """G1 or G2 before the last activation."""
    return nn.Sequential(
        nn.ReflectionPad2d(3),
        *norm(nn.Conv2d(channels, base, 7), spectral),
        nn.ReLU(),
        *norm(nn.Conv2d(base, 2 * base, 4, 2, 1), spectral),
        nn.ReLU(),
        *norm(nn.Conv2d(2 * base, 4 * base, 4, 2, 1), spectral),
        nn.ReLU(),
        *(Block(4 * base, spectral) for _ in range(blocks)),
        *norm(nn.ConvTranspose2d(4 * base, 2 * base, 4, 2, 1), spectral),
        nn.ReLU(),
        *norm(nn.ConvTranspose2d(2 * base, base, 4, 2, 1), spectral),
        nn.ReLU(),
        nn.ReflectionPad2d(3),
        nn.Conv2d(base, out, 7),
    )


class Discriminator(nn.Module):
    """A 70x70 PatchGAN that returns its scores and its feature maps."""

    def __init__(self, channels: int, base: int) -> None:
        super().__init__()
        sizes = [channels, base, 2 * base, 4 * base, 8 * base, 1]
        pairs = zip(sizes, sizes[1:], (2, 2, 2, 1, 1), strict=False)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, s, 1, bias=False)) for a, b, s in pairs)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores and maps."""
        maps = []
        for number, layer in enumerate(self.layers):
            x = layer(x)
            x = F.leaky_relu(x, 0.2) if number < 4 else x
            maps.append(x)
        return torch.sigmoid(x), maps


class VGG(nn.Module):
    """VGG-19 up to relu5_2, which returns every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = make_layers(cfgs["E"])[: max(STYLE.values()) + 1].requires_grad_(False)
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return every layer's output."""
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps


def gram(x: Tensor) -> Tensor:
    """Correlate channels."""
    b, c, h, w = x.shape
    flat = x.reshape(b, c, h * w)
    return flat @ flat.transpose(1, 2) / (c * h * w)


def adam(*networks: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Return the published optimiser."""
    return torch.optim.Adam([p for network in networks for p in network.parameters()], lr=lr, betas=(0.0, 0.9))


def bce(scores: Tensor, real: bool) -> Tensor:
    """Ask scores to be real or not."""
    return F.binary_cross_entropy(scores, torch.full_like(scores, float(real)))


class Edge:
    """G1 and D1."""

    def __init__(self, base: int, blocks: int) -> None:
        self.g, self.d = generator(3, 1, base, blocks, True), Discriminator(2, base)

    def draw(self, b: Batch) -> Tensor:
        """Draw edges."""
        known = 1 - b.mask
        return torch.sigmoid(self.g(torch.cat([b.gray * known + b.mask, b.edge * known, b.mask], 1)))

    def losses(self, b: Batch) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Return the fake, the losses of either role, and what to log."""
        fake = self.draw(b)
        real_scores, real_maps = self.d(torch.cat([b.gray, b.edge], 1))
        fake_scores, _ = self.d(torch.cat([b.gray, fake.detach()], 1))
        d = (bce(real_scores, True) + bce(fake_scores, False)) / 2
        scores, maps = self.d(torch.cat([b.gray, fake], 1))
        g = bce(scores, True)
        fm = 10 * sum(F.l1_loss(f, r.detach()) for f, r in zip(maps, real_maps, strict=True))
        true, drawn = (b.edge > 0.5) & (b.mask > 0), (fake > 0.5) & (b.mask > 0)
        hits = (true & drawn).sum().float()
        counts = {"precision": hits / drawn.sum().clamp(min=1), "recall": hits / true.sum().clamp(min=1)}
        return fake, d, g + fm, {"l_d1": d, "l_g1": g, "l_fm": fm, **counts}


class Inpaint:
    """G2, D2 and the feature network."""

    def __init__(self, base: int, blocks: int) -> None:
        self.g, self.d, self.vgg = generator(4, 3, base, blocks, False), Discriminator(3, base), VGG()

    def losses(self, b: Batch, edge: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the losses of either role, and what to log."""
        painted = self.g(torch.cat([b.image * (1 - b.mask) + b.mask, edge], 1))
        fake = (torch.tanh(painted) + 1) / 2
        d = (bce(self.d(b.image)[0], True) + bce(self.d(fake.detach())[0], False)) / 2
        g = 0.1 * bce(self.d(fake)[0], True)
        l1 = F.l1_loss(fake, b.image) / b.mask.mean()
        x, y = self.vgg(fake), self.vgg(b.image)
        content = 0.1 * sum(F.l1_loss(x[i], y[i]) for i in CONTENT.values())
        x, y = self.vgg(fake * b.mask), self.vgg(b.image * b.mask)
        style = 250 * sum(F.l1_loss(gram(x[i]), gram(y[i])) for i in STYLE.values())
        merged = fake.detach() * b.mask + b.image * (1 - b.mask)
        mae = (merged - b.image).abs().sum() / b.image.sum()
        psnr = -10 * torch.log10(F.mse_loss((merged * 255).int() / 255, (b.image * 255).int() / 255) + 1e-9)
        named = {"l_d2": d, "l_g2": g, "l_l1": l1, "l_per": content, "l_sty": style, "psnr": psnr, "mae": mae}
        return d, g + l1 + content + style, named


def update(optimizers: Optimizers, losses: dict[str, Tensor]) -> None:
    """Take every gradient, then every step."""
    for role, loss in losses.items():
        optimizers[role].zero_grad()
        loss.backward(inputs=optimizers[role].param_groups[0]["params"], retain_graph=role != list(losses)[-1])
    for role in losses:
        optimizers[role].step()


def plain_step(stage: str, base: int, blocks: int) -> Callable[[Batch], list[float]]:
    """Return a function that trains a stage on one batch and returns its scalars."""
    first, second = Edge(base, blocks), Inpaint(base, blocks)
    generators = {"edge": [first.g], "joint": [first.g, second.g]}.get(stage, [second.g])
    discriminators = {"edge": [first.d], "joint": [first.d, second.d]}.get(stage, [second.d])
    optimizers = {"discriminator": adam(*discriminators, lr=1e-5), "generator": adam(*generators, lr=1e-4)}

    def step(b: Batch) -> list[float]:
        named: dict[str, Tensor] = {}
        d = g = torch.zeros(())
        edge = b.edge
        if stage == "edge_inpaint":
            with torch.no_grad():
                edge = first.draw(b)
        if stage in ("edge", "joint"):
            edge, d, g, named = first.losses(b)
        if stage != "edge":
            d2, g2, more = second.losses(b, torch.where(b.mask > 0, edge, b.edge))
            d, g, named = d + d2, g + g2, named | more
        update(optimizers, {"discriminator": d, "generator": g})
        return [value.item() for value in named.values()]

    return step
