"""The Inception-v3 that FID and KID are defined on: pytorch-fid's, ported from TensorFlow's of 2015-12-05."""

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edgeconnect.digest import sha256_of
from edgeconnect.errors import UserError
from edgeconnect.metrics.fid import Features
from edgeconnect.networks.pretrained import fitting, load_state

OPTION = "--weights"
SIDE = 299
RESIZE = f"bilinear to {SIDE}x{SIDE}, not antialiased"
COUNTER = "num_batches_tracked"  # of batch normalisation: not used, and missing in old files

log = logging.getLogger(__name__)


class Inception:
    """From pictures to features; the weights are looked for, and the network is built, when first needed.

    `weights` is the path of a state dict with the package's key names; empty, it is the package's download, from
    `url` where that is given. `dims`, 64, 192, 768 or 2048, names the layer, `option` what errors call the weights.
    Raises UserError where the weights cannot be had or do not fit; never measures with untrained ones.
    """

    def __init__(self, weights: str, dims: int, device: torch.device, url: str = "", option: str = OPTION) -> None:
        self.weights, self.dims, self.device, self.address, self.option = weights, dims, device, url, option

    @cached_property
    def url(self) -> str:
        """Return where the weights are kept."""
        return self.address or str(package().FID_WEIGHTS_URL)

    @cached_property
    def path(self) -> Path:
        """Return the file of weights, fetched into torch's cache if need be."""
        path = Path(self.weights or Path(torch.hub.get_dir(), "checkpoints", Path(self.url).name))
        if not path.is_file():
            load_state(self.weights, self.url, self.option)
        return path

    @cached_property
    def name(self) -> str:
        """Name the network and the SHA-256 of its file of weights, with which the published file's name ends."""
        digest = sha256_of(self.path)
        if not digest.startswith(Path(self.url).stem.rpartition("-")[2]):
            other = f"{self.path} is not what {self.url} holds"
            if not self.weights:
                raise UserError(f"{other}; delete it, or give another with {self.option}")
            log.warning("%s: %s: scores compare only among themselves", self.option, other)
        return f"pytorch-fid-inception-v3 sha256:{digest}"

    @cached_property
    def network(self) -> nn.Module:
        """Build the package's network up to the layer; raise UserError naming a weight that is missing or misshaped."""
        inception = package()
        with torch.device("meta"):  # the package changes what some layers compute, but none of their weights
            whole = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None).state_dict()
        wanted = {name: value.shape for name, value in whole.items() if not name.endswith(COUNTER)}
        state = load_state(str(self.path), self.url, self.option)
        remedy = f"give a copy of {inception.FID_WEIGHTS_URL}"
        found = fitting(state, wanted, f"{self.option}: {self.path}", remedy)
        weights = dict.fromkeys(whole, torch.zeros(())) | found
        # The package loads its weights from its own address while it builds, and has no parameter for others: for the
        # moment, its loader answers with ours.
        fetch = inception.load_state_dict_from_url
        inception.load_state_dict_from_url = lambda *_, **__: weights
        try:
            block = inception.InceptionV3.BLOCK_INDEX_BY_DIM[self.dims]
            network: nn.Module = inception.InceptionV3([block], resize_input=False)
        finally:
            inception.load_state_dict_from_url = fetch
        return network.eval().to(self.device)

    def resized(self, picture: NDArray[np.uint8]) -> Tensor:
        """Return (1, 3, 299, 299) in [0, 1] of (H, W, 3): the resize that pytorch-fid's network begins with.

        Done picture by picture, which changes no bit, it lets pictures of different sizes share a batch.
        """
        image = torch.from_numpy(picture).to(self.device).permute(2, 0, 1)[None].contiguous()
        return F.interpolate(image.float().div(255), (SIDE, SIDE), mode="bilinear", align_corners=False)

    def features(self, batch: Tensor) -> Features:
        """Return (B, dims) of resized pictures, maps averaged over their positions.

        Convolutions run in float32, also on GPUs that would round to TF32: kept statistics serve on any device.
        """
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return np.asarray(F.adaptive_avg_pool2d(self.network(batch)[0], 1).flatten(1).cpu())


def package() -> Any:
    """Import pytorch-fid's module of the network, which takes 2 s with torchvision."""
    from pytorch_fid import inception  # type: ignore[import-untyped]

    return inception
