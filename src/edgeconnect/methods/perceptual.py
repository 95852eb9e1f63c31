"""FEATURE_NET, for the losses that measure with it."""

from typing import Protocol

from edgeconnect.config.sections import RANDOM, Config
from edgeconnect.networks.features import Features, load_features
from edgeconnect.types import Prepare


class Measuring(Protocol):
    """A method that has a cached property of `loaded_features`."""

    config: Config
    prepare: Prepare


def loaded_features(method: Measuring) -> Features:
    """Load FEATURE_NET onto the device, for the first loss that asks for it: completing needs none."""
    network = load_features(method.config.losses.feature_net, method.config.losses.vgg_weights)
    method.prepare(network)
    return network


def check_features(config: Config) -> None:
    """Raise UserError where a loss of METHOD needs pretrained features, and they cannot be had."""
    values = config.flat()
    if config.losses.vgg_weights != RANDOM and any(values[key] for key in config.row.features):
        load_features(config.losses.feature_net, config.losses.vgg_weights)
