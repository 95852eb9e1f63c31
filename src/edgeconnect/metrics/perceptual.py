"""LPIPS (Zhang et al., arXiv:1801.03924), version 0.1, by the `lpips` package of its authors."""

import hashlib
import re
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import lpips  # type: ignore[import-untyped]
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeconnect.errors import UserError
from edgeconnect.networks.pretrained import fitting, load_state

OPTION = "--weights"


class Backbone(NamedTuple):
    """Torchvision's network under LPIPS, and the shortest side that it takes."""

    name: str
    url: str
    smallest: int


BACKBONES = {
    "alex": Backbone("alexnet", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", 31),
    "vgg": Backbone("vgg16", "https://download.pytorch.org/models/vgg16-397923af.pth", 16),
    "squeeze": Backbone("squeezenet1_1", "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth", 17),
}


class Perceptual:
    """Measures how different batches look; threads that share it take turns. `digest` is that of the weights."""

    def __init__(self, network: nn.Module, smallest: int, device: torch.device, digest: str = "") -> None:
        self.network, self.smallest, self.device, self.digest = network.to(device), smallest, device, digest
        self.turn = threading.Lock()

    def __call__(self, truth: NDArray[np.uint8], completed: NDArray[np.uint8]) -> list[float]:
        """Return the distance of each pair of a batch, (B, H, W, 3); nan below the network's smallest side.

        Convolutions run in float32, also on GPUs that would round to TF32.
        """
        if min(truth.shape[1:3]) < self.smallest:
            return [float("nan")] * len(truth)
        with self.turn, torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            placed = (torch.from_numpy(pictures).to(self.device) for pictures in (truth, completed))
            scaled = (pictures.permute(0, 3, 1, 2).float() / 127.5 - 1 for pictures in placed)
            distances: list[float] = self.network(*scaled).flatten().tolist()
        return distances


def load_lpips(name: str, weights: str = "", device: torch.device | None = None, option: str = OPTION) -> Perceptual:
    """Build LPIPS `alex`, `vgg` or `squeeze` with the backbone's state dict at `weights`, or torchvision's download.

    A path may hold the whole network or its `features.*` alone; `option` is what errors call it. Raises UserError
    where the weights cannot be had or do not fit; never measures with untrained ones.
    """
    backbone = BACKBONES[name]
    # Without weights: VGG-16's at random take seconds and half a GiB. The calls of torchvision in lpips are dated.
    with warnings.catch_warnings(action="ignore"), torch.device("meta"):
        network: nn.Module = lpips.LPIPS(net=name, pnet_rand=True, pretrained=False, verbose=False)
    trunk = {key: re.sub(r"^net\.slice\d+", "features", key) for key in network.state_dict() if key.startswith("net.")}
    wanted = {there: network.state_dict()[key].shape for key, there in trunk.items()}
    remedy = f"lpips_{name} takes torchvision's {backbone.name}, {backbone.url}"
    state = load_state(weights, backbone.url, option)
    found = fitting(state, wanted, f"{option}: {weights or backbone.url}", remedy)
    carried = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{name}.pth"  # the linear layers
    heads = torch.load(carried, map_location="cpu", weights_only=True)
    network.load_state_dict(heads | {key: found[there] for key, there in trunk.items()}, strict=False, assign=True)
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode() + value.contiguous().numpy().tobytes())
    return Perceptual(network, backbone.smallest, device or torch.device("cpu"), f"sha256:{digest.hexdigest()}")


def load_networks(
    names: Sequence[str], weights: Sequence[str], device: torch.device, option: str = OPTION
) -> dict[str, Perceptual]:
    """Load LPIPS by the names of its metrics, each network with its own of `weights`, or all with downloads."""
    chosen = list(dict.fromkeys(names))
    if weights and len(weights) != len(chosen):
        networks = " ".join(chosen) or "(none)"
        raise UserError(f"{option}: {len(weights)} given for --lpips {networks}; give one for each, in its order")
    paths = weights or [""] * len(chosen)
    return {f"lpips_{name}": load_lpips(name, path, device, option) for name, path in zip(chosen, paths, strict=True)}
