"""State dicts of pretrained networks, from a file or from where their makers keep them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Size, Tensor

from edgeconnect.errors import UserError, reason


def load_state(path: str, url: str, option: str) -> dict[str, Tensor]:
    """Read the state dict at `path` without running code from it; with no path, fetch `url` into torch's cache.

    The hash that the URL's file name carries is checked. Raises UserError naming the option that takes a path.
    """
    return _read(Path(path), url, option) if path else _download(url, option)


def _download(url: str, option: str) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True
        )
    except Exception as error:  # a broken connection, a wrong hash, a damaged copy in the cache
        raise UserError(
            f"{option}: {url} could not be loaded ({reason(error)}); give the path of a downloaded copy with {option}"
        ) from error
    return state


def _read(path: Path, url: str, option: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"{option}: {path} does not exist; fetch {url} and name that file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damage makes it
        raise UserError(f"{option}: {path} is no state dict ({reason(error)}); fetch {url}") from error
    if not isinstance(state, dict):
        raise UserError(f"{option}: {path} holds a {type(state).__name__}, not a state dict; fetch {url}")
    return state


def fitting(state: Mapping[str, Tensor], wanted: Mapping[str, Size], source: str, remedy: str) -> dict[str, Tensor]:
    """Take the tensors of these names and shapes as float32; raise UserError naming the first that is not there."""
    for name, shape in wanted.items():
        tensor = state.get(name)
        if not isinstance(tensor, Tensor) or tensor.shape != shape:
            raise UserError(f"{source}: no {name} of shape {tuple(shape)}; {remedy}")
    return {name: state[name].float() for name in wanted}
