"""Every key of the configuration: its default, its check, its comment. The one source of all three."""

from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, NamedTuple

from edgeconnect.config import validators
from edgeconnect.config.validators import LARGE, MANY, MAX_PIXELS, MAX_SIDE, key
from edgeconnect.methods.catalogue import EDGECONNECT, METHODS, MethodRow, Stage

TRAIN, VAL, TEST = SPLITS = ("TRAIN", "VAL", "TEST")
MODES = dict(enumerate(("train", "test", "eval"), start=1))
SHAPES = ("strokes", "irregular", "boxes", "centre", "border", "mixture")  # drawn to a hole ratio
DRAWN_MASKS = ("block", "half", *SHAPES, "rectangle")
FROM_FILES = ("external", "external_block", "external_block_half", "paired")
MASKS = dict(enumerate(("block", "half", *FROM_FILES, *SHAPES, "rectangle"), 1))
HOLE, MOSAIC = "hole", "mosaic"
CONFIG_FILE = "config.yml"
IMAGENET, RANDOM = "imagenet", "random"
WHOLE, DAMAGED = "whole", "damaged"
WHITE, HARMONIC, BIHARMONIC = "white", "harmonic", "biharmonic"
BATCH, PICTURE = "batch", "picture"
CONSTANT, COSINE = "constant", "cosine"


def method(value: Any) -> str:
    """Accept a method of the catalogue."""
    return str(validators.one_of(*METHODS)(value))


@dataclass(frozen=True)
class RunConfig:
    """What runs and where."""

    mode: str = key("train", validators.numbered(MODES), "1 train, 2 test, 3 eval (main.py only)")
    method: str = key("edgeconnect", method, "the published method: " + ", ".join(METHODS), fixed=True)
    model: str = key("edge", validators.name, f"stage of METHOD: {EDGECONNECT.listed()}; or all = 1, 2, 3")
    seed: int = key(10, validators.whole(0, 2**53), "seed of weights, shuffling, masks and flips")
    device: str = key("auto", validators.device, "auto, cpu, cuda, cuda:N")
    gpu: tuple[int, ...] = key((0,), validators.gpus, "GPUs by number; train.py starts a process for each")
    precision: str = key(
        "auto", validators.one_of("auto", "fp32", "bf16", "fp16"), "auto (bf16 where it is native), fp32, bf16, fp16"
    )
    threads: int = key(0, validators.whole(0, 1024), "threads that compute on a processor; 0: as many as help")
    compile: bool = key(
        False, validators.switch, "1: torch.compile the networks that train; measure first whether it wins"
    )
    num_workers: int = key(2, validators.whole(0, 1024), "processes that read data; 0 reads in the training process")
    raw_edges: bool = key(False, validators.switch, "1: complete along the drawn edges alone, as published")
    debug: bool = key(False, validators.switch, "1: autograd anomaly detection; test.py also writes edges and inputs")
    verbose: bool = key(False, validators.switch, "1: every loss in the progress bar")


class Lists(NamedTuple):
    """The *_FLIST values of one split."""

    pictures: str
    masks: str
    edges: str


@dataclass(frozen=True)
class DataConfig:
    """Which pictures, how they are cut, what is missing, which edges are known."""

    train_flist: str = key("", validators.text, "list file, folder, one picture, or scenes:2000 (built in)")
    val_flist: str = key("", validators.text, "empty: no evaluation, samples of the training set")
    test_flist: str = key("", validators.text, "what test.py reads without --input")
    train_mask_flist: str = key("", validators.text, "masks of MASK 3 to 6")
    val_mask_flist: str = key("", validators.text, "empty: the training masks")
    test_mask_flist: str = key("", validators.text, "what test.py takes without --mask")
    train_edge_flist: str = key("", validators.text, "external edges (EDGE 2), paired with the pictures by file stem")
    val_edge_flist: str = key("", validators.text, "external edges of the validation pictures")
    test_edge_flist: str = key("", validators.text, "what test.py takes without --edge")
    input_size: int = key(256, validators.whole(0, MAX_SIDE), "square crop and resize in training; 0: as they are")
    random_crop: float = key(
        1.0,
        validators.real(0.1, 1),
        "training: random squares with this share of the shorter side, or more; 1: the middle square",
    )
    mask: str = key(
        "external",
        validators.numbered(MASKS),
        "1 block, 2 half, 3 external, 4 = 3 or 1, 5 = 3, 1 or 2, 6 paired, 7 strokes, 8 irregular, 9 boxes, 10 centre, "
        "11 border, 12 mixture, 13 rectangle",
    )
    mask_threshold: int = key(127, validators.whole(0, 254), "mask pixels above this are holes (published: 0)")
    mask_polarity: str = key("hole", validators.one_of("hole", "known"), "what white means in mask files: hole, known")
    mask_ratio: tuple[float, float] = key((0.1, 0.5), validators.span, "hole ratio of MASK 7 to 12, from-to")
    mask_sides: tuple[float, float] = key(
        (0.375, 0.5), validators.span, "sides of MASK 13, from-to, as shares of the picture's"
    )
    allow_large_holes: bool = key(False, validators.switch, "1: accept masks with a median hole ratio above 0.6")
    corruption: str = key(
        HOLE,
        validators.one_of(HOLE, MOSAIC),
        "what is seen where a picture is masked: hole, nothing of it; mosaic, blocks of its mean colours",
        fixed=True,
    )
    mosaic_block: tuple[int, int] = key((4, 8), validators.block, "pixels of a side of such blocks, from-to")
    edge: str = key("canny", validators.numbered({1: "canny", 2: "external"}), "1 canny, 2 external")
    nms: bool = key(True, validators.switch, "1: external edges are thinned by Canny's")
    sigma: float = key(2.0, validators.sigma, "scale of Canny's smoothing; 0: random 1 to 4; -1: no edges")
    known_edges: str = key(
        WHOLE, validators.one_of(WHOLE, DAMAGED), "where training finds the edges around a hole: whole, damaged picture"
    )
    edge_cache: str = key("", validators.text, "folder that keeps Canny's maps for the next epoch; empty: none")
    on_bad_image: str = key("stop", validators.one_of("stop", "skip"), "unreadable files: stop, or skip to another one")
    bad_image_limit: int = key(100, validators.whole(0, MANY), "files that are skipped before the run stops")
    max_pixels: int = key(MAX_PIXELS, validators.whole(1, MANY), "larger pictures are refused unread")

    def lists(self, split: str) -> Lists:
        """Return the lists of TRAIN, VAL or TEST."""
        kinds = ("flist", "mask_flist", "edge_flist")
        return Lists(*(getattr(self, f"{split.lower()}_{kind}") for kind in kinds))

    def at_scale(self, scale: float) -> "DataConfig":
        """Return the same with Canny's smoothing at SIGMA times `scale`; 0 and -1 stay what they are."""
        return replace(self, sigma=scale * self.sigma) if self.sigma > 0 else self


@dataclass(frozen=True)
class NetworkConfig:
    """The generators; the defaults are the published networks."""

    base_channels: int = key(64, validators.whole(1, 4096), "channels of the first layer", fixed=True)
    residual_blocks: int = key(8, validators.whole(0, 1000), "dilated residual blocks", fixed=True)
    halvings: int = key(2, validators.whole(1, 5), "how often generators halve the picture", fixed=True)
    skips: bool = key(False, validators.switch, "1: the decoder sees the encoder's maps, too", fixed=True)
    prefill: str = key(
        WHITE,
        validators.one_of(WHITE, HARMONIC, BIHARMONIC),
        "what generators see in the hole: white; harmonic, biharmonic: a smooth surface, to which G2 adds",
        fixed=True,
    )
    prefill_edges: bool = key(False, validators.switch, "1: G1 sees Canny's edges of that surface", fixed=True)


@dataclass(frozen=True)
class LossConfig:
    """The terms of the objective and their weights (arXiv:1901.00212, eq. 4 and 8), and two that are off."""

    gan_loss: str = key("nsgan", validators.one_of("nsgan", "lsgan", "hinge"), "nsgan, lsgan, hinge", fixed=True)
    l1_loss_weight: float = key(1.0, validators.real(0, LARGE), "mean absolute difference, divided by L1_RATIO")
    l1_ratio: str = key(BATCH, validators.one_of(BATCH, PICTURE), "the hole ratio of: batch, picture (all weigh alike)")
    edge_adv_loss_weight: float = key(1.0, validators.real(0, LARGE), "adversarial, edge stage")
    fm_loss_weight: float = key(10.0, validators.real(0, LARGE), "feature matching, edge stage")
    edge_bce_loss_weight: float = key(0.0, validators.real(0, LARGE), "cross-entropy of the hole's edges, edge stage")
    edge_bce_positive: float = key(2.0, validators.real(0, LARGE), "weight of edge pixels in that term; others weigh 1")
    style_loss_weight: float = key(250.0, validators.real(0, LARGE), "Gram matrices of the hole")
    content_loss_weight: float = key(0.1, validators.real(0, LARGE), "perceptual, of the whole picture")
    inpaint_adv_loss_weight: float = key(0.1, validators.real(0, LARGE), "adversarial, completion stage")
    tv_loss_weight: float = key(
        0.0, validators.real(0, LARGE), "total variation of the hole grown by a pixel, completion stage"
    )
    feature_net: str = key(
        "vgg19",
        validators.one_of("vgg19", "vgg16", "squeezenet1_1"),
        "measures content and style: vgg19, vgg16, squeezenet1_1",
    )
    vgg_weights: str = key(
        IMAGENET, validators.text, "FEATURE_NET's weights: imagenet (download), a state dict's path, random"
    )


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights move."""

    lr: float = key(1e-4, validators.real(0, 1000), "learning rate of the generators (Adam)")
    d2g_lr: float = key(0.1, validators.real(0, 1000), "discriminators learn at LR * D2G_LR")
    lr_schedule: str = key(
        CONSTANT, validators.one_of(CONSTANT, COSINE), "constant; cosine: to 0 by the end of a phase"
    )
    lr_warm_up: int = key(0, validators.whole(0, MANY), "iterations in which a stage's rates rise from 0")
    beta1: float = key(0.0, validators.decay, "Adam, decay of the first moment")
    beta2: float = key(0.9, validators.decay, "Adam, decay of the second moment")
    batch_size: int = key(8, validators.whole(1, 65_536), "pictures in a step, on all GPUs together")
    grad_accumulation: int = key(1, validators.whole(1, 65_536), "parts that a GPU computes its share of a step in")
    max_iters: int = key(2_000_000, validators.whole(0, MANY), "the iteration at which a stage ends, also with PHASES")
    phases: dict[str, list[dict[str, Any]]] = key(  # noqa: RUF009 - declares a field like the others
        {}, validators.phases, "phases of each stage: {edge: [{end: 100000, lr: 1e-4}, {end: 150000, lr: 1e-5}]}"
    )
    grad_clip: float = key(0.0, validators.real(0, LARGE), "largest gradient norm of an optimiser; 0: off")
    ema_decay: float = key(0.0, validators.decay, "moving average of the generators; 0: off")
    skip_nonfinite: int = key(0, validators.whole(0, MANY), "batches of nan or infinite losses to skip before a stop")


@dataclass(frozen=True)
class LogConfig:
    """What is written when, in iterations; 0 = never."""

    save_interval: int = key(1000, validators.whole(0, MANY), "checkpoints (the end of a stage always saves)")
    keep_checkpoints: int = key(3, validators.keep, "newest saves kept in saves/<stage>/, 2 or more; 0: all")
    best_metric: str = key(
        "auto", validators.one_of("auto", "psnr", "mae", "f1", "none"), "chooses saves/<stage>/best; auto: psnr or f1"
    )
    sample_interval: int = key(1000, validators.whole(0, MANY), "grids of completions under samples/")
    sample_size: int = key(12, validators.whole(1, 1000), "pictures in such a grid")
    eval_interval: int = key(0, validators.whole(0, MANY), "evaluation on VAL_FLIST")
    log_interval: int = key(10, validators.whole(0, MANY), "rows of log_<stage>.csv")
    edge_threshold: float = key(0.5, validators.real(0, 1), "edges in precision and recall are above this")


@dataclass(frozen=True)
class Config:
    """The whole configuration; functions receive the section they need."""

    run: RunConfig = field(default_factory=RunConfig)
    data: DataConfig = field(default_factory=DataConfig)
    networks: NetworkConfig = field(default_factory=NetworkConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    optim: OptimizerConfig = field(default_factory=OptimizerConfig)
    log: LogConfig = field(default_factory=LogConfig)
    own: Any = None  # the section of METHOD's row in the catalogue, where it has one

    @property
    def row(self) -> MethodRow:
        """Return the catalogue's row of METHOD."""
        return METHODS[self.run.method]

    @property
    def stage(self) -> Stage:
        """Return the catalogue's entry of MODEL; `all` completes with its last stage."""
        return self.row.stage(self.run.model)

    def flat(self) -> dict[str, Any]:
        """Return {KEY: value} in the order of the example; those of METHOD's own section are named `METHOD.KEY`."""
        shared = (getattr(self, section.name) for section in fields(self) if section.name != "own")
        values = {k.name.upper(): getattr(section, k.name) for section in shared for k in fields(section)}
        own = fields(self.own) if self.own else ()
        return values | {f"{self.row.name}.{k.name}".upper(): getattr(self.own, k.name) for k in own}


SHARED = {section.name: section.type for section in fields(Config) if section.name != "own"}


def known_keys() -> dict[str, "Field[Any]"]:
    """Return the declaration of every key; those of a method's own section are named `METHOD.KEY`."""
    shared = {k.name.upper(): k for section in SHARED.values() for k in fields(section)}  # type: ignore[arg-type]
    owned = {row.name: fields(row.section) for row in METHODS.values() if row.section}
    return shared | {f"{name}.{k.name}".upper(): k for name, keys in owned.items() for k in keys}
