"""The published checkpoint format: the names of a network's weights in its file.

`EdgeModel_gen.pth` holds {"iteration", "generator"}, `EdgeModel_dis.pth` {"discriminator"}, likewise
`InpaintingModel_*`; spectral norm stores `weight_orig`, `weight_u` and `weight_v`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from edgeconnect.config.sections import BIHARMONIC, HARMONIC, WHITE
from edgeconnect.errors import UserError

RENAMED = (  # ours, published
    (".parametrizations.weight.original", ".weight_orig"),
    (".parametrizations.weight.0._u", ".weight_u"),
    (".parametrizations.weight.0._v", ".weight_v"),
)

PARTS = ("encoder", "middle", "decoder", "conv1")
WEIGHT = re.compile(rf"({'|'.join(PARTS)})\.\d+\.(.*\.)?(weight|original)")

State = dict[str, Tensor]
Alias = tuple[str, str] | None


def to_published(state: Mapping[str, Tensor], alias: Alias = None) -> State:
    """Rename a network's state to the published keys; the layer named first in `alias` is listed twice."""
    renamed = {}
    for name, value in state.items():
        for ours, published in RENAMED:
            name = name.replace(ours, published)
        renamed[name] = value.detach().cpu().contiguous()
    if alias:
        kept, second = alias
        renamed |= {second + name[len(kept) :]: value for name, value in renamed.items() if name.startswith(f"{kept}.")}
    return renamed


def from_published(state: Mapping[str, Tensor], alias: Alias = None) -> State:
    """Rename published keys to a network's own: with or without `module.`, the layer listed twice and `weight_v`."""
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    renamed = {}
    for name, value in plain.items():
        if alias and name.startswith(f"{alias[1]}.") and alias[0] + name[len(alias[1]) :] in plain:
            continue
        if name.endswith(".weight") and name + "_orig" in plain:
            continue  # PyTorch 0.4 also stored the normalised weight
        for ours, published in RENAMED:
            name = name.removesuffix(published) + ours if name.endswith(published) else name
        renamed[name] = value
    for name in [name for name in renamed if name.endswith("._u") and name[:-1] + "v" not in renamed]:
        renamed[name[:-1] + "v"] = _right_vector(renamed[name.replace("0._u", "original")], renamed[name])
    return renamed


def _right_vector(weight: Tensor, u: Tensor) -> Tensor:
    """Recover v, which PyTorch 0.4 did not store, from u."""
    transposed = weight.shape[0] != len(u)
    matrix = (weight.transpose(0, 1) if transposed else weight).reshape(len(u), -1)
    return torch.nn.functional.normalize(matrix.T @ u, dim=0)


def refuse_misfit(path: Path, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Raise UserError naming the first key that does not fit, and the settings that would."""
    for name in [*wanted, *(name for name in given if name not in wanted)]:
        held, built = (tuple(state[name].shape) if name in state else "missing" for state in (given, wanted))
        if held == built and given[name].dtype.is_floating_point != wanted[name].dtype.is_floating_point:
            raise UserError(f"{path}: {name} holds {given[name].dtype}; give the file that training wrote")
        if held != built:
            shown, settings = next(iter(to_published({name: torch.empty(0)}))), _settings(given)
            built_by = _settings(wanted)
            another = settings == built_by or settings.keys() != built_by.keys()
            fitting = ", ".join(f"{key}: {value}" for key, value in settings.items())
            remedy = "it is another kind of network: give the file of this name" if another else f"set {fitting}"
            if not settings and not built_by:
                remedy = "set BASE_CHANNELS and INPUT_SIZE to what it was trained with, or give the file of this name"
            raise UserError(f"{path}: {shown} is {held}, in the configured network {built}; {remedy}")


def _settings(given: Mapping[str, Tensor]) -> dict[str, int | str]:
    """Read the keys that shape a network off its state; empty where it is no such network."""
    state = {name: value for name, value in given.items() if WEIGHT.fullmatch(name)}
    if any(value.ndim != 4 or not value.numel() for value in state.values()):
        return {}
    encoder, middle, decoder, judge = ([name for name in state if name.startswith(part)] for part in PARTS)
    if not encoder or not decoder:
        return {"BASE_CHANNELS": len(state[judge[0]])} if judge else {}
    first, last = state[encoder[0]], state[max(decoder, key=lambda name: int(name.split(".")[1]))]
    found: dict[str, int | str] = {
        "BASE_CHANNELS": len(first),
        "RESIDUAL_BLOCKS": len({name.split(".")[1] for name in middle}),
        "HALVINGS": len(encoder) - 1,
        "SKIPS": last.shape[1] // len(first) - 1,
    }
    if len(last) == 3:  # G2, of which the picture, an edge map, and with a surface the mask are inputs
        found["PREFILL"] = f"{HARMONIC} or {BIHARMONIC}" if first.shape[1] == 5 else WHITE
    return found
