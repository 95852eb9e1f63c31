"""Batch normalisation of the same global batch, in as many ranks as there are.

    python tests/rank_norms.py FILE

writes what each rank came to.
"""

import sys

import torch
from torch import Tensor, nn

from edgeconnect.distributed import averaging, gather, joined, world_size
from edgeconnect.launch import rank
from edgeconnect.networks.batch_norm import BatchNorm

STEPS, PICTURES = 2, 4


def network(norm: type[nn.BatchNorm2d]) -> nn.Sequential:
    """Build two layers of each; channels have means far from 0."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 5, 3), norm(5), nn.ReLU(), nn.Conv2d(5, 4, 3, stride=2), norm(4)).double()
    layers[0].bias.data.add_(100)
    nn.init.normal_(layers[1].weight)
    nn.init.normal_(layers[1].bias)
    return layers


def train(norm: type[nn.BatchNorm2d] = BatchNorm) -> dict[str, Tensor]:
    """Return gradients, averaged over the ranks, outputs and running statistics; losses differ between pictures."""
    layers, found = network(norm), {}
    generator = torch.Generator().manual_seed(1)
    for step in range(STEPS):
        x = torch.randn(PICTURES, 3, 9, 8, generator=generator, dtype=torch.float64) * torch.arange(1, 5).view(
            4, 1, 1, 1
        )
        wanted = torch.randn(PICTURES, 4, 3, 2, generator=generator, dtype=torch.float64)
        part = slice(rank() * PICTURES // world_size(), (rank() + 1) * PICTURES // world_size())
        picture = x[part].requires_grad_()
        output = layers(picture)
        layers.zero_grad()
        (output * wanted[part]).square().mean().backward()
        gradients = [parameter.grad for parameter in layers.parameters()]
        averaging(gradients)()
        found |= {f"{step}.{name}.grad": value.grad.clone() for name, value in layers.named_parameters()}
        pictures = torch.cat(gather(picture.grad)) / world_size()  # losses are means of a rank's pictures
        found |= {f"{step}.picture.grad": pictures, f"{step}.output": torch.cat(gather(output.detach()))}
    found |= {name: value.clone() for name, value in layers.state_dict().items()}
    found["evaluated"] = layers.eval()(x).detach()
    return found


def train_in_bfloat16() -> dict[str, Tensor]:
    """Return what a norm makes of bfloat16 features."""
    x = torch.randn(PICTURES, 3, 8, 8, generator=torch.Generator().manual_seed(2)).bfloat16() + 30
    norm = BatchNorm(3)
    with torch.autocast("cpu", torch.bfloat16):
        output = norm(x[rank() * PICTURES // world_size() : (rank() + 1) * PICTURES // world_size()].requires_grad_())
    output.float().square().mean().backward()
    return {"bfloat16": torch.cat(gather(output.detach())), **norm.state_dict(prefix="bfloat16.")}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined():
        results = gather(train() | train_in_bfloat16())
    if rank() == 0:
        torch.save(results, sys.argv[1])
