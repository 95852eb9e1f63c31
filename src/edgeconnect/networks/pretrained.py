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
    if path and not Path(path).is_file():
        raise UserError(f"{option}: {path} does not exist; fetch {url} and name that file")
    try:
        if path:
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            state = torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except Exception as error:  # a broken connection, a wrong hash, whatever damage makes torch.load raise
        problem = f"{path} is no state dict" if path else f"{url} could not be loaded"
        remedy = f"fetch {url}" if path else f"give the path of a downloaded copy with {option}"
        raise UserError(f"{option}: {problem} ({reason(error)}); {remedy}") from error
    if not isinstance(state, dict):
        raise UserError(f"{option}: {path or url} holds a {type(state).__name__}, not a state dict; fetch {url}")
    return state


def fitting(state: Mapping[str, Tensor], wanted: Mapping[str, Size], source: str, remedy: str) -> dict[str, Tensor]:
    """Take the tensors of these names and shapes as float32; raise UserError naming the first that is not there."""
    for name, shape in wanted.items():
        tensor = state.get(name)
        if not isinstance(tensor, Tensor) or tensor.shape != shape:
            raise UserError(f"{source}: no {name} of shape {tuple(shape)}; {remedy}")
    return {name: state[name].float() for name in wanted}
