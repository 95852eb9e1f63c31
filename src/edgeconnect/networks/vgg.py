"""The fixed VGG-19 whose features measure content and style."""

import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeconnect.config.sections import IMAGENET, RANDOM
from edgeconnect.errors import UserError
from edgeconnect.networks.normalization import laid_out
from edgeconnect.networks.pretrained import fitting, load_state

CONTENT = {"relu1_1": 1, "relu2_1": 6, "relu3_1": 11, "relu4_1": 20, "relu5_1": 29}
STYLE = {"relu2_2": 8, "relu3_4": 17, "relu4_4": 26, "relu5_2": 31}
RANDOM_SEED = 19

log = logging.getLogger(__name__)


class VGGFeatures(nn.Module):
    """VGG-19 up to relu5_2, frozen.

    Takes (B, 3, H, W) RGB in [0, 1] with sides of 16 or more and returns {layer: features}. There is no ImageNet
    normalisation: the published weights of style and content loss are calibrated to that.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.vgg import cfgs, make_layers  # takes 2 s, and completing pictures needs none of it

        self.features = make_layers(cfgs["E"])[: max(STYLE.values()) + 1]
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor, layers: dict[str, int]) -> dict[str, Tensor]:
        """Return the features after each of the named layers."""
        names = {index: name for name, index in layers.items()}
        x, found = laid_out(x), {}
        for index, layer in enumerate(self.features[: max(names) + 1]):
            x = layer(x)
            if index in names:
                found[names[index]] = x
        return found


def load_vgg(weights: str, url: str = "") -> VGGFeatures:
    """Build the feature network with VGG_WEIGHTS: `imagenet`, a path to a state dict, or `random`.

    A path may hold torchvision's whole vgg19 or its `features.*` alone; `url` is where `imagenet` is fetched from,
    torchvision's by default. Raises UserError where the weights cannot be had or do not fit.
    """
    if weights == RANDOM:
        log.warning("VGG_WEIGHTS random: style and content are measured by an untrained network; for trials only")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            network = VGGFeatures()
            for value in network.parameters():  # Kaiming's start, so that deep features keep their scale
                if value.ndim > 1:
                    nn.init.kaiming_normal_(value, nonlinearity="relu")
                else:
                    nn.init.zeros_(value)
        return network
    if weights != IMAGENET and not Path(weights).is_file():
        raise UserError(f"VGG_WEIGHTS: {weights} does not exist; write imagenet, random, or the path of a state dict")
    from torchvision.models import VGG19_Weights

    url = url or VGG19_Weights.IMAGENET1K_V1.url
    state = load_state("" if weights == IMAGENET else weights, url, "VGG_WEIGHTS")
    network = VGGFeatures()
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    remedy = "give a state dict of torchvision's vgg19"
    network.load_state_dict(fitting(state, shapes, f"VGG_WEIGHTS: {weights}", remedy))
    return network
