"""Typed, validated configuration: flat upper-case YAML outside, frozen sections inside.

The fields below are the one source of every key, its default, its check and its comment;
`config.yml.example` is `example()` written to a file.
"""

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.constructor import SafeConstructor

from edgeconnect import parse
from edgeconnect.errors import UserError, reason
from edgeconnect.parse import Parser
from edgeconnect.storage import expanded

MODES = dict(enumerate(("train", "test", "eval"), start=1))
STAGES = dict(enumerate(("edge", "inpaint", "edge_inpaint", "joint"), start=1))
MASKS = dict(
    enumerate(("block", "half", "external", "external_block", "external_block_half", "paired", "strokes"), start=1)
)
ALL = "all"
CONFIG_FILE = "config.yml"
IMAGENET, RANDOM = "imagenet", "random"


def key(default: Any, parser: Parser, comment: str) -> Any:
    """Declare one key: its default, the function that checks a value, its comment in the example."""
    return field(default=default, metadata={"parser": parser, "comment": comment})


@dataclass(frozen=True)
class RunConfig:
    """What runs and where."""

    mode: str = key("train", parse.numbered(MODES), "1 train, 2 test, 3 eval (main.py only)")
    model: str = key(
        "edge", parse.numbered(STAGES, ALL), "1 edge, 2 inpaint, 3 edge_inpaint, 4 joint; or all = 1, 2, 3"
    )
    seed: int = key(10, parse.whole(0, 2**53), "of weights, shuffling, masks and flips")
    device: str = key("auto", parse.device, "auto, cpu, cuda, cuda:N")
    gpu: tuple[int, ...] = key((0,), parse.gpus, "GPUs by number; DEVICE auto takes the first")
    precision: str = key(
        "auto", parse.one_of("auto", "fp32", "bf16", "fp16"), "auto (bf16 on GPUs that have it), fp32, bf16, fp16"
    )
    num_workers: int = key(2, parse.whole(0), "processes that read data; 0 reads in the training process")
    debug: bool = key(False, parse.switch, "1: autograd anomaly detection; test.py also writes edges and inputs")
    verbose: bool = key(False, parse.switch, "1: every loss in the progress bar")


class Lists(NamedTuple):
    """The *_FLIST values of one split."""

    pictures: str
    masks: str
    edges: str


@dataclass(frozen=True)
class DataConfig:
    """Which pictures, how they are cut, what is missing, which edges are known."""

    train_flist: str = key("", parse.text, "list file, folder, one picture, or scenes:2000 (built in)")
    val_flist: str = key("", parse.text, "empty: no evaluation, samples of the training set")
    test_flist: str = key("", parse.text, "what test.py reads without --input")
    train_mask_flist: str = key("", parse.text, "masks of MASK 3 to 6")
    val_mask_flist: str = key("", parse.text, "empty: the training masks")
    test_mask_flist: str = key("", parse.text, "what test.py takes without --mask")
    train_edge_flist: str = key("", parse.text, "external edges (EDGE 2), paired with the pictures by file stem")
    val_edge_flist: str = key("", parse.text, "likewise")
    test_edge_flist: str = key("", parse.text, "what test.py takes without --edge")
    input_size: int = key(256, parse.size, "square crop and resize in training; 0: as they are")
    mask: str = key(
        "external", parse.numbered(MASKS), "1 block, 2 half, 3 external, 4 = 3 or 1, 5 = 3, 1 or 2, 6 paired, 7 strokes"
    )
    mask_threshold: int = key(127, parse.whole(0, 254), "mask pixels above this are holes (published: 0)")
    mask_polarity: str = key("hole", parse.one_of("hole", "known"), "what white means in mask files: hole, known")
    mask_ratio: tuple[float, float] = key((0.1, 0.5), parse.span, "hole ratio of MASK 7, from-to")
    allow_large_holes: bool = key(False, parse.switch, "1: masks with a median hole ratio above 0.6 are meant so")
    edge: str = key("canny", parse.numbered({1: "canny", 2: "external"}), "1 canny, 2 external")
    nms: bool = key(True, parse.switch, "1: external edges are thinned by Canny's")
    sigma: float = key(2.0, parse.sigma, "of Canny; 0: random 1 to 4; -1: no edges")

    def lists(self, split: str) -> Lists:
        """Return the lists of TRAIN, VAL or TEST."""
        return {
            "TRAIN": Lists(self.train_flist, self.train_mask_flist, self.train_edge_flist),
            "VAL": Lists(self.val_flist, self.val_mask_flist, self.val_edge_flist),
            "TEST": Lists(self.test_flist, self.test_mask_flist, self.test_edge_flist),
        }[split]


@dataclass(frozen=True)
class NetworkConfig:
    """The generators' size; 64 and 8 are the published networks."""

    base_channels: int = key(64, parse.whole(1), "channels of the first layer")
    residual_blocks: int = key(8, parse.whole(0), "dilated residual blocks")


@dataclass(frozen=True)
class LossConfig:
    """The terms of the objective and their weights (arXiv:1901.00212, eq. 4 and 8)."""

    gan_loss: str = key("nsgan", parse.one_of("nsgan", "lsgan", "hinge"), "nsgan, lsgan, hinge")
    l1_loss_weight: float = key(1.0, parse.real(0), "divided by the batch's hole ratio")
    fm_loss_weight: float = key(10.0, parse.real(0), "feature matching, edge stage")
    style_loss_weight: float = key(250.0, parse.real(0), "Gram matrices of the hole")
    content_loss_weight: float = key(0.1, parse.real(0), "perceptual, of the whole picture")
    inpaint_adv_loss_weight: float = key(0.1, parse.real(0), "adversarial, completion stage")
    vgg_weights: str = key(IMAGENET, parse.text, "imagenet (download), the path of a state dict, random")


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights move."""

    lr: float = key(1e-4, parse.real(0), "Adam, generators")
    d2g_lr: float = key(0.1, parse.real(0), "discriminators learn at LR * D2G_LR")
    beta1: float = key(0.0, parse.decay, "Adam, first moment")
    beta2: float = key(0.9, parse.decay, "Adam, second moment")
    batch_size: int = key(8, parse.whole(1), "pictures a step")
    max_iters: int = key(2_000_000, parse.whole(0), "the iteration at which a stage ends")
    grad_clip: float = key(0.0, parse.real(0), "largest gradient norm of an optimiser; 0: off")
    ema_decay: float = key(0.0, parse.decay, "moving average of the generators; 0: off")


@dataclass(frozen=True)
class LogConfig:
    """What is written when, in iterations; 0 = never."""

    save_interval: int = key(1000, parse.whole(0), "checkpoints (the end of a stage always saves)")
    sample_interval: int = key(1000, parse.whole(0), "sheets of completions under samples/")
    sample_size: int = key(12, parse.whole(1), "pictures on a sheet")
    eval_interval: int = key(0, parse.whole(0), "evaluation on VAL_FLIST")
    log_interval: int = key(10, parse.whole(0), "rows of log_<stage>.csv")
    edge_threshold: float = key(0.5, parse.real(0, 1), "of edges in precision and recall")


@dataclass(frozen=True)
class Config:
    """The whole configuration; functions receive the section they need."""

    run: RunConfig = field(default_factory=RunConfig)
    data: DataConfig = field(default_factory=DataConfig)
    networks: NetworkConfig = field(default_factory=NetworkConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    optim: OptimizerConfig = field(default_factory=OptimizerConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def flat(self) -> dict[str, Any]:
        """Return {KEY: value} in the order of the example."""
        return {
            k.name.upper(): getattr(getattr(self, s.name), k.name)
            for s in dataclasses.fields(self)
            for k in dataclasses.fields(s.type)  # type: ignore[arg-type]
        }


FIELDS = {k.name.upper(): k for s in dataclasses.fields(Config) for k in dataclasses.fields(s.type)}  # type: ignore[arg-type]
LEGACY = {"GAN_POOL_SIZE": "GAN_POOL_SIZE is accepted and ignored: it never did anything"}


@dataclass(frozen=True)
class Loaded:
    """A configuration with what its reader should be told."""

    config: Config
    notes: tuple[str, ...] = ()


def load(path: Path | None, overrides: Iterable[tuple[str, str]] = ()) -> Loaded:
    """Read a YAML file of flat keys and apply overrides: (where it was written, `KEY=VALUE`).

    Relative paths are looked for in the file's folder, then in the working directory; those of overrides the other
    way round.
    Raises UserError naming file, line, key, allowed values and the nearest key.
    """
    values: dict[str, Any] = {}
    notes: list[str] = []
    folder = path.parent if path else Path()
    for entries, places in (
        (_entries(path) if path else (), (folder, Path())),
        (_overrides(overrides), (Path(), folder)),
    ):
        for where, name, value in entries:
            if name in LEGACY:
                notes.append(f"{where}: {LEGACY[name]}")
            else:
                checked = _checked(where, name, value)
                values[name] = _resolved(checked, places) if is_text(name) else checked
    return Loaded(build(values), tuple(notes))


def build(values: dict[str, Any]) -> Config:
    """Make a configuration of checked {KEY: value}; what is missing takes its default."""
    config = Config()
    sections = {}
    for section in dataclasses.fields(config):
        names = {k.name for k in dataclasses.fields(section.type)}  # type: ignore[arg-type]
        chosen = {name.lower(): value for name, value in values.items() if name.lower() in names}
        sections[section.name] = dataclasses.replace(getattr(config, section.name), **chosen)
    return Config(**sections)


def _entries(path: Path) -> Iterable[tuple[str, str, Any]]:
    """Yield (where, key, value) for each line of a flat YAML mapping."""
    try:
        root = yaml.compose(path.read_text("utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a configuration file") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not valid YAML: {reason(error)}") from error
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: is no list of `KEY: value` lines; compare it with config.yml.example")
    seen: dict[str, str] = {}
    for name_node, value_node in root.value:
        where, name = f"{path}, line {name_node.start_mark.line + 1}", str(name_node.value)
        if name in seen:
            raise UserError(f"{where}: {name} stands here a second time (first: {seen[name]}); remove one")
        seen[name] = f"line {name_node.start_mark.line + 1}"
        try:
            yield where, name, _value(name, value_node)
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"{where}: {name}: {reason(error)}") from error


def _overrides(overrides: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str, Any]]:
    for where, text in overrides:
        name, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"{where}: has no value; write --set KEY=VALUE")
        try:
            yield where, name.strip(), _value(name.strip(), yaml.compose(value, Loader=yaml.SafeLoader))
        except (yaml.YAMLError, ValueError):
            yield where, name.strip(), value


def _value(name: str, node: yaml.Node | None) -> Any:
    """Construct what YAML says, but take a path or name as it is written: it may look like a date or a number."""
    if is_text(name) and isinstance(node, yaml.ScalarNode):
        return "" if node.tag.endswith(":null") else node.value
    return None if node is None else SafeConstructor().construct_document(node)


def is_text(name: str) -> bool:
    """Tell the keys whose value is a path or name."""
    return name in FIELDS and FIELDS[name].metadata["parser"] is parse.text


def _checked(where: str, name: str, value: Any) -> Any:
    if name not in FIELDS:
        near = difflib.get_close_matches(name.upper(), FIELDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "see config.yml.example for every key"
        raise UserError(f"{where}: unknown key {name}; {hint}")
    try:
        return FIELDS[name].metadata["parser"](value)
    except ValueError as error:
        raise UserError(f"{where}: {name}: {value!r} {error}") from None


def _resolved(value: str, places: Iterable[Path]) -> str:
    """Make a relative path that exists in one of the places absolute; leave everything else as it is."""
    if value in ("", IMAGENET, RANDOM):
        return value
    found = (place / expanded(value) for place in places if (place / expanded(value)).exists())
    return next((str(path.absolute()) for path in found), value)


def dump(config: Config) -> str:
    """Write every key and value as YAML that `load` reads back to the same configuration."""
    return "".join(f"{name}: {_scalar(value)}\n" for name, value in config.flat().items())


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()


def example() -> str:
    """Write config.yml.example: every key, its default, one comment."""
    lines = ["# EdgeConnect: every key, its default, what it means. Old integers and names are both accepted."]
    values = Config().flat()
    for section in dataclasses.fields(Config):
        lines += ["", f"# {str(section.type.__doc__).splitlines()[0]}"]
        for name in (k.name.upper() for k in dataclasses.fields(section.type)):  # type: ignore[arg-type]
            entry = f"{name}: {_scalar(values[name])}"
            lines.append(f"{entry:<36}# {FIELDS[name].metadata['comment']}")
    return "\n".join(lines) + "\n"
