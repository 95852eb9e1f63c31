"""The catalogue: every method that can be trained, stage by stage, as plain data that needs no PyTorch.

A published method is one file in this folder and one row here. Configuration, help texts, checkpoints, the moving
average, completing and evaluation read the row; none of them knows a method by its name.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgeconnect.config import validators
from edgeconnect.config.validators import LARGE, key

if TYPE_CHECKING:
    from torch import nn

    from edgeconnect.config.sections import Config
    from edgeconnect.types import Batch, Method, Prepare

ALL = "all"


@dataclass(frozen=True)
class Network:
    """A network of a stage, and where a checkpoint holds it."""

    file: str
    entry: str  # key in the file's dictionary
    completes: bool = True  # completing pictures needs it; while it is trained, the moving average covers it
    alias: tuple[str, str] | None = None  # a layer that the published file lists under a second name, too


@dataclass(frozen=True)
class Stage:
    """One training of a method: what it trains, what it starts from, what it predicts, what it logs."""

    number: int
    name: str
    networks: Mapping[str, Network]
    losses: tuple[str, ...]  # scalars of a step that must stay finite; those of terms that are off may be missing
    metrics: Mapping[str, str]  # scalar: what it measures, one of psnr, mae, precision, recall
    predicts: Literal["image", "edge"] = "image"
    frozen: tuple[str, ...] = ()  # networks that are read and not trained
    starts_from: tuple[str, ...] = ()  # stages whose weights it begins with, the preferred one first
    needs_edges: bool = True  # the edge map of a picture is an input
    draws_edges: bool = False  # a network of its own draws the edges of the hole
    paints_as: str = ""  # the stage that paints along given edges with networks of this one
    smallest_side: int = 32  # pixels of a picture to train on
    weights: tuple[str, ...] = ()  # keys of its loss weights, of which one at least is above 0

    @property
    def trained(self) -> list[str]:
        """Return the names of the networks that learn."""
        return [name for name in self.networks if name not in self.frozen]

    @property
    def completing(self) -> list[str]:
        """Return the names of the networks that complete pictures."""
        return [name for name, network in self.networks.items() if network.completes]


@dataclass(frozen=True)
class MethodRow:
    """A method: its stages, and how it is built. `build` imports the method's file, which needs PyTorch."""

    name: str
    source: str
    stages: tuple[Stage, ...]
    schedule: tuple[str, ...]  # the stages that `--model all` trains, one after the other
    completes: str  # the stage that completes pictures where none is named
    build: Callable[[str, "Config", "Prepare"], "Method"]
    features: tuple[str, ...] = ()  # keys of loss weights that need FEATURE_NET's pretrained weights
    unread: tuple[str, ...] = ()  # shared keys that mean nothing to it
    look: Callable[[Mapping[str, "nn.Module"], Iterable["Batch"]], None] | None = None  # at pictures, before it trains
    section: type | None = None  # a frozen dataclass of keys that the method alone has; they are `config.own`

    def stage(self, name: str) -> Stage:
        """Return a stage by its name; `all` completes with the stage that `completes` names."""
        wanted = self.completes if name == ALL else name
        return next(stage for stage in self.stages if stage.name == wanted)

    def numbers(self) -> dict[int, str]:
        """Return the stages' names by their numbers."""
        return {stage.number: stage.name for stage in self.stages}

    def trainers_of(self, network: str) -> list[str]:
        """Return the stages that train a network, in their order."""
        return [stage.name for stage in self.stages if network in stage.trained]

    def listed(self) -> str:
        """Name the stages for help texts: `1 edge, 2 inpaint`."""
        return ", ".join(f"{stage.number} {stage.name}" for stage in self.stages)


def _build_edgeconnect(stage: str, config: "Config", prepare: "Prepare") -> "Method":
    from edgeconnect.methods import edgeconnect

    return edgeconnect.STAGES[stage](config, prepare)


def _pair(part: str, model: str) -> dict[str, Network]:
    """Return a generator and its discriminator, as the published program names their files."""
    judge = Network(f"{model}_dis.pth", "discriminator", completes=False, alias=("conv1", "features"))
    return {f"{part}_generator": Network(f"{model}_gen.pth", "generator"), f"{part}_discriminator": judge}


_EDGE, _INPAINT = _pair("edge", "EdgeModel"), _pair("inpaint", "InpaintingModel")
_EDGE_LOSSES = ("l_d1", "l_g1", "l_fm", "l_bce")
_INPAINT_LOSSES = ("l_d2", "l_g2", "l_l1", "l_per", "l_sty", "l_tv")
_EDGE_WEIGHTS = ("EDGE_ADV_LOSS_WEIGHT", "FM_LOSS_WEIGHT", "EDGE_BCE_LOSS_WEIGHT")
_INPAINT_WEIGHTS = tuple(f"{part}_LOSS_WEIGHT" for part in ("INPAINT_ADV", "L1", "CONTENT", "STYLE"))
_OF_EDGES_FIRST = (
    *("KNOWN_EDGES", "RAW_EDGES", "RESIDUAL_BLOCKS", "HALVINGS", "SKIPS", "PREFILL", "PREFILL_EDGES"),
    *("L1_LOSS_WEIGHT", "L1_RATIO", *_EDGE_WEIGHTS, "EDGE_BCE_POSITIVE"),
    *("CONTENT_LOSS_WEIGHT", "STYLE_LOSS_WEIGHT", "INPAINT_ADV_LOSS_WEIGHT", "TV_LOSS_WEIGHT"),
)
_ACCURACY, _FIDELITY = {"precision": "precision", "recall": "recall"}, {"psnr": "psnr", "mae": "mae"}

EDGECONNECT = MethodRow(
    name="edgeconnect",
    source="Nazeri et al. 2019, arXiv:1901.00212",
    stages=(
        Stage(1, "edge", _EDGE, _EDGE_LOSSES, _ACCURACY, predicts="edge", draws_edges=True, weights=_EDGE_WEIGHTS),
        Stage(2, "inpaint", _INPAINT, _INPAINT_LOSSES, _FIDELITY, weights=_INPAINT_WEIGHTS),
        Stage(
            number=3,
            name="edge_inpaint",
            networks={"edge_generator": _EDGE["edge_generator"]} | _INPAINT,
            losses=_INPAINT_LOSSES,
            metrics=_FIDELITY,
            frozen=("edge_generator",),
            starts_from=("inpaint",),
            draws_edges=True,
            paints_as="inpaint",
            weights=_INPAINT_WEIGHTS,
        ),
        Stage(
            number=4,
            name="joint",
            networks=_EDGE | _INPAINT,
            losses=_EDGE_LOSSES + _INPAINT_LOSSES,
            metrics={"pre": "precision", "rec": "recall"} | _FIDELITY,
            starts_from=("edge_inpaint", "inpaint", "edge"),
            draws_edges=True,
            paints_as="inpaint",
            weights=_INPAINT_WEIGHTS,  # or G2 would stand still
        ),
    ),
    schedule=("edge", "inpaint", "edge_inpaint"),
    completes="edge_inpaint",
    build=_build_edgeconnect,
    features=("CONTENT_LOSS_WEIGHT", "STYLE_LOSS_WEIGHT"),
)


@dataclass(frozen=True)
class GlcicConfig:
    """Globally and locally consistent image completion (Iizuka et al., SIGGRAPH 2017)."""

    adv_loss_weight: float = key(0.0004, validators.real(0, LARGE), "adversarial, beside the squared error of the hole")
    local_size: float = key(0.5, validators.real(0.1, 1), "side of the local patch, over INPUT_SIZE", fixed=True)


def _build_glcic(stage: str, config: "Config", prepare: "Prepare") -> "Method":
    from edgeconnect.methods import glcic

    return glcic.Glcic(config, prepare)


def _look_glcic(networks: Mapping[str, "nn.Module"], batches: Iterable["Batch"]) -> None:
    from edgeconnect.methods import glcic

    glcic.find_mean_colour(networks["generator"], batches)


def _adversaries(name: str) -> dict[str, Network]:
    """Return a generator and a discriminator by the names of their files."""
    judge = Network(f"{name}_dis.pth", "discriminator", completes=False)
    return {"generator": Network(f"{name}_gen.pth", "generator"), "discriminator": judge}


GLCIC = MethodRow(
    name="glcic",
    source="Iizuka et al., SIGGRAPH 2017",
    stages=(
        Stage(
            number=1,
            name="completion",
            networks=_adversaries("GLCIC"),
            losses=("l_d", "l_g", "l_mse"),
            metrics=_FIDELITY,
            needs_edges=False,
            smallest_side=64,
        ),
    ),
    schedule=("completion",),
    completes="completion",
    build=_build_glcic,
    look=_look_glcic,
    section=GlcicConfig,
    unread=(*_OF_EDGES_FIRST, "FEATURE_NET", "VGG_WEIGHTS", "BETA1", "BETA2"),
)


@dataclass(frozen=True)
class SEContextualConfig:
    """SE-ResNet generator with contextual loss (2020), trained as GLCIC."""

    adv_loss_weight: float = key(0.0004, validators.real(0, LARGE), "adversarial, beside the squared error of the hole")
    contextual_loss_weight: float = key(0.004, validators.real(0, LARGE), "contextual, on FEATURE_NET's features")
    local_size: float = key(0.6, validators.real(0.1, 1), "side of the local patch, over INPUT_SIZE", fixed=True)


def _build_se_contextual(stage: str, config: "Config", prepare: "Prepare") -> "Method":
    from edgeconnect.methods import se_contextual

    return se_contextual.SEContextual(config, prepare)


SE_CONTEXTUAL = MethodRow(
    name="se_contextual",
    source="SE-ResNet and contextual loss, 2020",
    stages=(
        Stage(
            number=1,
            name="completion",
            networks=_adversaries("SEContextual"),
            losses=("l_d", "l_g", "l_mse", "l_cx"),
            metrics=_FIDELITY,
            needs_edges=False,
        ),
    ),
    schedule=("completion",),
    completes="completion",
    build=_build_se_contextual,
    section=SEContextualConfig,
    features=("SE_CONTEXTUAL.CONTEXTUAL_LOSS_WEIGHT",),
    unread=_OF_EDGES_FIRST,
)


@dataclass(frozen=True)
class PartialConvConfig:
    """Partial convolutions (Liu et al. 2018, arXiv:1804.07723)."""

    valid_loss_weight: float = key(1.0, validators.real(0, LARGE), "mean absolute difference outside the hole")
    hole_loss_weight: float = key(6.0, validators.real(0, LARGE), "mean absolute difference in the hole")
    perceptual_loss_weight: float = key(0.05, validators.real(0, LARGE), "FEATURE_NET's features, output and composite")
    style_loss_weight: float = key(120.0, validators.real(0, LARGE), "their Gram matrices, output and composite")
    tv_loss_weight: float = key(0.1, validators.real(0, LARGE), "total variation of the hole grown by a pixel")


def _build_partialconv(stage: str, config: "Config", prepare: "Prepare") -> "Method":
    from edgeconnect.methods import partialconv

    return partialconv.PartialConvolutions(config, prepare)


PARTIALCONV = MethodRow(
    name="partialconv",
    source="Liu et al. 2018, arXiv:1804.07723",
    stages=(
        Stage(
            number=1,
            name="completion",
            networks={"generator": Network("PartialConv_gen.pth", "generator")},
            losses=("l_valid", "l_hole", "l_per", "l_sty", "l_tv"),
            metrics=_FIDELITY,
            needs_edges=False,
            weights=("PARTIALCONV.VALID_LOSS_WEIGHT", "PARTIALCONV.HOLE_LOSS_WEIGHT"),
        ),
    ),
    schedule=("completion",),
    completes="completion",
    build=_build_partialconv,
    section=PartialConvConfig,
    features=("PARTIALCONV.PERCEPTUAL_LOSS_WEIGHT", "PARTIALCONV.STYLE_LOSS_WEIGHT"),
    unread=(*_OF_EDGES_FIRST, "GAN_LOSS", "D2G_LR"),
)

METHODS: dict[str, MethodRow] = {row.name: row for row in (EDGECONNECT, GLCIC, SE_CONTEXTUAL, PARTIALCONV)}


def stage_names() -> list[str]:
    """Return the names of all stages of all methods, each once."""
    return list(dict.fromkeys(stage.name for row in METHODS.values() for stage in row.stages))
