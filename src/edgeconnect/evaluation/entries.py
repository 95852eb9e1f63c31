"""Who is evaluated: trained runs, classical methods, folders of somebody else's results."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeconnect import images, run
from edgeconnect.checkpoint.saves import STATE
from edgeconnect.checkpoint.weights import sources
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import CONFIG_FILE, Config
from edgeconnect.data import files
from edgeconnect.data.items import FIXED_EPOCH, collate, make_item
from edgeconnect.data.masks import Mask
from edgeconnect.digest import fingerprint
from edgeconnect.engine import Engine
from edgeconnect.errors import BadImageError, UserError, named, printable
from edgeconnect.evaluation.baselines import CLASSICAL
from edgeconnect.predict import complete_batch
from edgeconnect.types import Batch, Method

STRICT, GROUND_TRUTH = "strict", "ground-truth"
PROTOCOLS = (STRICT, GROUND_TRUTH)

Picture = NDArray[np.uint8]

log = logging.getLogger(__name__)


class Sample(NamedTuple):
    """One item, read: (H, W, 3) picture and (H, W) hole."""

    id: str
    number: int  # in the manifest
    picture: Picture
    hole: Mask


class Filled(NamedTuple):
    """A completed picture, (H, W, 3), or none from a stage that draws edges alone; the edges drawn, (H, W)."""

    id: str
    picture: Picture | None
    edge: Picture | None


class Contender(Protocol):
    """Something that completes pictures."""

    name: str
    sees_edges: str  # the protocol of its edges, empty where it knows none

    def identity(self) -> str:
        """Tell what decides its results, so that those of another are not taken for them."""

    def complete(self, samples: Sequence[Sample]) -> Iterator[Filled]:
        """Complete pictures of one size; known pixels come back bit for bit, but in others' results."""


@dataclass
class Classical:
    """A method without learning."""

    name: str
    sees_edges: str = ""

    def identity(self) -> str:
        """Name the method."""
        return self.name

    def complete(self, samples: Sequence[Sample]) -> Iterator[Filled]:
        """Fill one picture after the other."""
        for sample in samples:
            hole = sample.hole[..., None]
            filled = CLASSICAL[self.name](np.where(hole, np.uint8(0), sample.picture), sample.hole)
            yield Filled(sample.id, np.where(hole, filled, sample.picture), None)


class Results:
    """Pictures that somebody else completed: `<id>.png`, or of the picture's name where each occurs once."""

    sees_edges = ""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        found = files.list_images(str(folder), f"--results {name}")
        self.paths = {path.stem: path for path in found}
        doubles = [stem for stem, n in Counter(path.stem for path in found).items() if n > 1]
        if doubles:
            raise UserError(f"{folder}: several results are called {named(doubles)}; keep one of each")

    def require(self, ids: Iterable[str]) -> None:
        """Raise UserError where an item has no result."""
        missing = [f"{id_}.png" for id_ in ids if id_ not in self.paths]
        if missing:
            raise UserError(f"{self.folder}: holds no {named(missing)}; every item needs a result of its id")

    def identity(self) -> str:
        """Hash every file."""
        there = [(stem, path) for stem, path in sorted(self.paths.items()) if path.is_file()]  # and no pipe
        hashes = [(stem, hashlib.sha256(path.read_bytes()).hexdigest()) for stem, path in there]
        return hashlib.sha256(repr(hashes).encode()).hexdigest()

    def complete(self, samples: Sequence[Sample]) -> Iterator[Filled]:
        """Read the results as they are. Raises UserError for one that is missing or of another size."""
        self.require(sample.id for sample in samples)
        for sample in samples:
            picture = images.read_image(self.paths[sample.id])
            if picture.shape != sample.picture.shape:
                sizes = [f"{shape[1]}x{shape[0]}" for shape in (picture.shape, sample.picture.shape)]
                raise BadImageError(self.paths[sample.id], f"is {sizes[0]}, the picture is {sizes[1]}; give its size")
            yield Filled(sample.id, picture, None)


class Run:
    """A trained run at one stage, with the weights in its folder; `mirror` as in `predict.Predictor`."""

    def __init__(self, folder: Path, config: Config, sees_edges: str, mirror: bool = False) -> None:
        self.folder, self.config, self.sees_edges, self.mirror = folder, config, sees_edges, mirror
        self.stage = run.evaluated_stage(config)
        self.name = f"{printable(folder.resolve().name, kept='')}:{self.stage}{' mirrored' if mirror else ''}"
        self.engine: Engine = run.make_engine(config)
        self.method: Method = run.load_method(config, folder, self.engine)
        self.draws_edges, self.paints = (f"{part}_generator" in self.method.networks for part in ("edge", "inpaint"))
        self.marks = self._marks()  # now: training may go on while this run waits for its turn

    def identity(self) -> str:
        """Hash the weights, and what the configuration says of completing pictures."""
        settings = (self.config.data.sigma, str(self.engine.dtype), self.mirror, self.sees_edges, self.stage)
        seed = (self.config.run.seed,) if self.config.data.sigma == 0 else ()
        return hashlib.sha256(repr((self.marks, settings + seed)).encode()).hexdigest()

    def _marks(self) -> list[str]:
        found = sources(self.folder, (name for name in self.method.networks if name.endswith("generator")))
        paths = [path for source in found.values() for path in (source.path, source.save and source.save.path / STATE)]
        return [fingerprint(path) for path in paths if path and path.is_file()]

    def complete(self, samples: Sequence[Sample]) -> Iterator[Filled]:
        """Complete one batch."""
        batch = collate([self.batch(sample) for sample in samples])
        pictures, drawn = complete_batch(self.method, self.engine, batch, self.mirror)
        for sample, picture, edge in zip(samples, pictures, drawn, strict=True):
            filled = np.where(sample.hole[..., None], picture, sample.picture) if picture.shape[2] == 3 else None
            yield Filled(sample.id, filled, edge if self.draws_edges else None)

    def batch(self, sample: Sample) -> Batch:
        """Make a batch of one; its edges are those of the known pixels, by `ground-truth` of the undamaged picture."""
        return self._item(sample, true_edges=self.sees_edges == GROUND_TRUTH)

    def true_edges(self, sample: Sample) -> NDArray[np.float32]:
        """Return Canny's edges of the undamaged picture, (H, W), which the drawn ones are measured by."""
        return self._item(sample, true_edges=True).edge[0, 0].numpy()

    def _item(self, sample: Sample, true_edges: bool) -> Batch:
        return make_item(
            image=sample.picture,
            mask=sample.hole,
            name=sample.id,
            config=self.config.data,
            rng=np.random.default_rng((self.config.run.seed, FIXED_EPOCH, sample.number)),
            true_edges=true_edges,
        )


def open_run(spec: str, overrides: Sequence[tuple[str, str]], sees_edges: str, mirror: bool = False) -> Run:
    """Open `[NAME=]FOLDER[:STAGE]`; stages are numbers or names, as for --model, before which MODEL counts."""
    name, sign, rest = spec.partition("=")
    spec = rest if sign and not Path(spec).exists() else spec
    folder, _, stage = spec.rpartition(":") if ":" in spec and not Path(spec).is_dir() else (spec, "", "")
    path = Path(folder)
    if not folder or not path.is_dir():
        raise UserError(f"--runs: {spec} is no run's folder; give FOLDER, or FOLDER:STAGE")
    model = [(f"--runs {spec}", f"MODEL={stage}")] if stage else []
    chosen = [("default", "MODEL=edge_inpaint"), *overrides, *model]
    named = run.evaluated_stage(config_file.load(None, chosen).config)
    settings = (path / f"resolved_{named}.yml", path / CONFIG_FILE)  # what ran, which --set may have changed
    found = next((file for file in settings if file.is_file()), None)
    opened = Run(path, config_file.load(found, chosen).config, sees_edges, mirror)
    if spec == rest:
        opened.name = f"{printable(name, kept='')}:{opened.stage}{' mirrored' if mirror else ''}"
    return opened
