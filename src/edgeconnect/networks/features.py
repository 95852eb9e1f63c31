"""The fixed networks whose features measure content and style."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgeconnect.config.sections import IMAGENET, RANDOM
from edgeconnect.errors import UserError
from edgeconnect.networks.normalization import laid_out
from edgeconnect.networks.pretrained import fitting, load_state

RANDOM_SEED = 19
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures, red, green and blue

log = logging.getLogger(__name__)


class FeatureNet(NamedTuple):
    """Which layers of a network of torchvision measure what, {name: index}.

    The scales bring EdgeConnect's content and style to the size that the published loss weights are made for.
    """

    content: Mapping[str, int]
    style: Mapping[str, int]
    pools: Mapping[str, int]  # the first three poolings (Liu et al., arXiv:1804.07723, section 3.3)
    contextual: Mapping[str, int]  # at 1/4 and 1/8 of the picture's size (Mechrez et al., arXiv:1803.02077)
    url: str
    content_scale: float = 1.0
    style_scale: float = 1.0


FEATURE_NETS = {
    "vgg19": FeatureNet(
        {"relu1_1": 1, "relu2_1": 6, "relu3_1": 11, "relu4_1": 20, "relu5_1": 29},
        {"relu2_2": 8, "relu3_4": 17, "relu4_4": 26, "relu5_2": 31},
        {"pool1": 4, "pool2": 9, "pool3": 18},
        {"relu3_2": 13, "relu4_2": 22},
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    ),
    "vgg16": FeatureNet(
        {"relu1_1": 1, "relu2_1": 6, "relu3_1": 11, "relu4_1": 18, "relu5_1": 25},
        {"relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_2": 27},
        {"pool1": 4, "pool2": 9, "pool3": 16},
        {"relu3_2": 13, "relu4_2": 20},
        "https://download.pytorch.org/models/vgg16-397923af.pth",
    ),
    # Scaled so that, on 23 photographs of 256x256 whose irregular holes Telea's method filled, CONTENT_LOSS_WEIGHT 0.1
    # and STYLE_LOSS_WEIGHT 250 make either term as large as the L1 term.
    "squeezenet1_1": FeatureNet(
        {"relu1": 1, "fire3": 4, "fire5": 7, "fire7": 10, "fire9": 12},
        {"fire2": 3, "fire4": 6, "fire6": 9, "fire8": 11},
        {"pool1": 2, "pool2": 5, "pool3": 8},
        {"fire3": 4, "fire5": 7},
        "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        content_scale=0.094,
        style_scale=0.00125,
    ),
}


class Features(nn.Module):
    """A network of FEATURE_NETS up to the last layer that is asked for, frozen, its weights still to be set.

    Takes (B, 3, H, W) RGB in [0, 1] with sides of 16 or more (SqueezeNet: 32) and returns {layer: features}. There is
    no ImageNet normalisation: EdgeConnect's published weights of style and content loss are calibrated to that. Other
    methods pass `imagenet_normalized` pictures.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        from torchvision import models  # takes 2 s, and completing pictures needs none of it

        self.net = FEATURE_NETS[name]
        with torch.device("meta"):  # to draw no random numbers
            layers: nn.Sequential = models.get_model(name, weights=None).features
        measured = self.net.content, self.net.style, self.net.pools, self.net.contextual
        last = max(index for layers_of in measured for index in layers_of.values())
        self.features = layers[: last + 1].to_empty(device="cpu")
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor, layers: Mapping[str, int]) -> dict[str, Tensor]:
        """Return the features after each of the named layers."""
        names = {index: name for name, index in layers.items()}
        x, found = laid_out(x), {}
        kind = x.device.type
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            self.to(torch.get_autocast_dtype(kind))  # once: autocast would in every pass
        for index, layer in enumerate(self.features[: max(names) + 1]):
            x = layer(x)
            if index in names:
                found[names[index]] = x
        return found


def imagenet_normalized(pictures: Tensor) -> Tensor:
    """Scale (B, 3, H, W) RGB in [0, 1] as the networks of torchvision were trained with."""
    channels = zip(torch.split(pictures, 1, dim=1), MEAN, DEVIATION, strict=True)
    return torch.cat([(channel - mean) / deviation for channel, mean, deviation in channels], dim=1)


def load_features(name: str, weights: str, url: str = "") -> Features:
    """Build FEATURE_NET with VGG_WEIGHTS: `imagenet`, a path to a state dict, or `random`.

    A path may hold torchvision's whole network or its `features.*` alone; `url` is where `imagenet` is fetched from,
    torchvision's by default. Raises UserError where the weights cannot be had or do not fit.
    """
    if weights == RANDOM:
        log.warning("VGG_WEIGHTS random: style and content are measured by an untrained network; for trials only")
        network = Features(name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            for value in network.parameters():  # Kaiming's start, so that deep features keep their scale
                if value.ndim > 1:
                    nn.init.kaiming_normal_(value, nonlinearity="relu")
                else:
                    nn.init.zeros_(value)
        return network
    if weights != IMAGENET and not Path(weights).is_file():
        raise UserError(f"VGG_WEIGHTS: {weights} does not exist; write imagenet, random, or the path of a state dict")
    state = load_state("" if weights == IMAGENET else weights, url or FEATURE_NETS[name].url, "VGG_WEIGHTS")
    network = Features(name)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    remedy = f"give a state dict of torchvision's {name}, or name its network with FEATURE_NET"
    network.load_state_dict(fitting(state, shapes, f"VGG_WEIGHTS: {weights}", remedy))
    return network
