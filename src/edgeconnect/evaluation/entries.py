"""What is evaluated: trained runs, classical methods, folders of somebody else's results."""

import contextlib
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from edgeconnect import images
from edgeconnect.checkpoint.folder import folder_config
from edgeconnect.config.file import Override
from edgeconnect.config.sections import MOSAIC, WHOLE
from edgeconnect.data import files
from edgeconnect.data.items import FIXED_EPOCH, collate, make_item
from edgeconnect.data.masks import Mask
from edgeconnect.digest import file_digest, sha256_of
from edgeconnect.errors import BadImageError, UserError, named, printable
from edgeconnect.evaluation.baselines import CLASSICAL
from edgeconnect.evaluation.manifest import Manifest
from edgeconnect.metrics.images import Picture
from edgeconnect.trained import complete_batch, in_bytes, load_run
from edgeconnect.types import Batch
from edgeconnect.verification import load_verifier

NO_EDGES, STRICT, GROUND_TRUTH, EXTERNAL = "none", "strict", "ground-truth", "external"

log = logging.getLogger(__name__)


class LoadedItem(NamedTuple):
    """An item that was read: (H, W, 3) picture and (H, W) mask."""

    id: str
    number: int  # in the manifest
    picture: Picture
    mask: Mask
    batch: Batch | None = None  # of one, made ahead


class Filled(NamedTuple):
    """A completed picture, (H, W, 3), or none from a stage that draws edges alone; the edges drawn, (H, W)."""

    id: str
    picture: Picture | None
    edge: Picture | None


class Entry(Protocol):
    """A method that takes part in an evaluation; it paints pictures, draws edges, or both.

    `sees_edges` names the protocol of its edges and is empty where it takes none; `provenance` says where its results
    come from, and is the same for equal results. `folder` holds what it is made of, `lists` what it reads for items.
    """

    name: str
    sees_edges: str = ""
    paints: bool = True
    draws_edges: bool = False
    provenance: Mapping[str, str] = {}
    folder: Path | None = None
    lists: Sequence[str] = ()

    def prepare(self, manifest: Manifest) -> None:
        """Find what the items need. Raises UserError where something is missing."""
        return

    def identity(self, batch_size: int) -> str:
        """Hash or name what decides its results, so that those of another are not taken for them."""
        return self.name

    def ready(self, item: LoadedItem) -> LoadedItem:
        """Do what can be done ahead, in another thread; what fails there fails again when the item is completed."""
        return item

    def complete(self, items: Sequence[LoadedItem]) -> Iterator[Filled]:
        """Complete pictures of one size; known pixels come back bit for bit, but in others' results."""


class Classical(Entry):
    """A method without learning."""

    def __init__(self, name: str) -> None:
        self.name = name

    def complete(self, items: Sequence[LoadedItem]) -> Iterator[Filled]:
        """Fill one picture after the other."""
        for item in items:
            mask = item.mask[..., None]
            filled = CLASSICAL[self.name](np.where(mask, np.uint8(0), item.picture), item.mask)
            yield Filled(item.id, np.where(mask, filled, item.picture), None)


class Results(Entry):
    """Pictures that somebody else completed, `<id>.png` for each item, anywhere below a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.lists = name, folder, [str(folder)]
        found = files.list_images(str(folder), f"--results {name}")
        self.paths = {path.stem: path for path in found}
        doubles = [stem for stem, n in Counter(path.stem for path in found).items() if n > 1]
        if doubles:
            raise UserError(f"{folder}: several results are called {named(doubles)}; keep one of each")
        self.provenance = {"digest": self.identity(1)}

    def prepare(self, manifest: Manifest) -> None:
        """Raise UserError where an item has no result."""
        missing = [f"{item.id}.png" for item in manifest.items if item.id not in self.paths]
        if missing:
            raise UserError(f"{self.folder}: holds no {named(missing)}; every item needs a result of its id")

    def identity(self, batch_size: int) -> str:
        """Hash every file."""
        hashes = [(stem, sha256_of(path)) for stem, path in sorted(self.paths.items()) if path.is_file()]  # and no pipe
        return hashlib.sha256(repr(hashes).encode()).hexdigest()

    def complete(self, items: Sequence[LoadedItem]) -> Iterator[Filled]:
        """Read the results as they are. Raises BadImageError for one of another size."""
        for item in items:
            picture = images.read_image(self.paths[item.id])
            if picture.shape != item.picture.shape:
                sizes = [f"{shape[1]}x{shape[0]}" for shape in (picture.shape, item.picture.shape)]
                raise BadImageError(self.paths[item.id], f"is {sizes[0]}, the picture is {sizes[1]}; give its size")
            yield Filled(item.id, picture, None)


class Run(Entry):
    """A trained stage of a run, or a save of it, with a label in place of the folder's name; both may be empty.

    The stage is named as by --model, before which MODEL counts; `mirror` as in `predict.Predictor`. A stage that
    draws edges and sees none paints along none. Raises UserError where one sees none and draws alone.
    """

    def __init__(
        self, folder: Path, model: str, label: str, overrides: Sequence[Override], sees_edges: str, mirror: bool = False
    ) -> None:
        self.folder, self.mirror = folder, mirror
        chosen = [(f"--runs {folder}:{model}", f"MODEL={model}")] if model else []
        loaded = folder_config(folder, [*overrides, *chosen])
        for note in loaded.notes:
            log.warning("%s", note)
        self.config = loaded.config
        data, stage, without = self.config.data, self.config.stage, sees_edges == NO_EDGES
        if without and stage.draws_edges and not stage.paints_as:
            raise UserError(f"--edges {NO_EDGES}: stage {stage.name} of {folder} draws edges; leave it out")
        self.run = load_run(self.config, folder, given_edges=without)
        protocol = EXTERNAL if data.edge == EXTERNAL and not without else sees_edges
        self.sees_edges = protocol if stage.needs_edges else ""
        self.draws_edges, self.paints = stage.draws_edges and not without, stage.predicts == "image"
        shown = printable(label or folder.resolve().name, kept="")
        self.name = f"{shown}:{stage.name}{' mirrored' if mirror else ''}"
        self.provenance = self.run.provenance()
        self.lists = [data.test_edge_flist or data.val_edge_flist] if self.sees_edges == EXTERNAL else []
        self.edge_maps: dict[str, Path] = {}  # by item
        self.side = 0

    def prepare(self, manifest: Manifest) -> None:
        """Pair external edge maps with the pictures. Raises UserError where the configuration names none that fit."""
        if self.sees_edges != EXTERNAL:
            return
        if not self.lists[0]:
            raise UserError(f"{self.name} was trained with EDGE external; name edge maps with TEST_EDGE_FLIST")
        pictures = list(dict.fromkeys(Path(item.picture) for item in manifest.items))
        maps = files.list_images(self.lists[0], "TEST_EDGE_FLIST")
        found = files.pair(pictures, maps, "edge map", shared=len(pictures) == 1)
        partners = dict(zip(pictures, found, strict=True))
        self.edge_maps = {item.id: partners[Path(item.picture)] for item in manifest.items}
        self.side = manifest.preprocessing.size

    def identity(self, batch_size: int) -> str:
        """Hash the weights, and what the configuration says of completing pictures.

        The size of a batch counts: it decides the last digits, and a rounded pixel here and there.
        """
        data, run, size = self.config.data, self.config.run, self.config.networks
        settings = (
            data.sigma,
            *((data.corruption, data.mosaic_block) if data.corruption == MOSAIC else ()),
            size.prefill,
            size.prefill_edges,
            str(self.run.engine.dtype),
            self.mirror,
            self.sees_edges,
            run.raw_edges,
            batch_size,
        )
        seed = (run.seed,) if data.sigma == 0 or data.corruption == MOSAIC else ()
        external = (data.nms, *map(file_digest, self.edge_maps.values())) if self.edge_maps else ()
        return hashlib.sha256(repr((self.provenance, settings + seed + external)).encode()).hexdigest()

    def ready(self, item: LoadedItem) -> LoadedItem:
        """Find the edges."""
        with contextlib.suppress(BadImageError, MemoryError):
            return item._replace(batch=self.batch(item))
        return item

    def complete(self, items: Sequence[LoadedItem]) -> Iterator[Filled]:
        """Complete one batch."""
        batch = collate([item.batch or self.batch(item) for item in items])
        pictures, _, drawn = complete_batch(self.run.method, self.run.engine, batch, self.mirror)
        for item, picture, edge in zip(items, pictures, drawn, strict=True):
            filled = np.where(item.mask[..., None], picture, item.picture) if self.paints else None
            yield Filled(item.id, filled, edge if self.draws_edges else None)

    def batch(self, item: LoadedItem, scale: float = 1.0) -> Batch:
        """Make a batch of one; its edges are external, none, those of known pixels, or of all with `ground-truth`.

        Canny finds them at SIGMA times `scale`.
        """
        data, external = self.config.data.at_scale(scale), None
        whole = self.sees_edges == GROUND_TRUTH
        if whole:
            data = replace(data, known_edges=WHOLE)
        if item.id in self.edge_maps:
            gray = images.read_gray(self.edge_maps[item.id], data.max_pixels)
            external = images.resize(images.fit(gray, self.side), *item.picture.shape[:2])
        rng = np.random.default_rng((self.config.run.seed, FIXED_EPOCH, item.number))
        needed = self.sees_edges not in ("", NO_EDGES)
        drawn = item.picture, item.mask, item.id, data, rng
        return make_item(*drawn, true_edges=whole, external=external, with_edges=needed)


class BestOf(Entry):
    """A run whose pictures are completed in several ways, of which its own discriminators keep the most real.

    Raises UserError where the run cannot judge: see `verification.load_verifier`.
    """

    def __init__(self, run: Run, count: int) -> None:
        self.run, self.verifier = run, load_verifier(run.run, count)
        self.name = f"{run.name} best of {count}"
        self.sees_edges, self.draws_edges = run.sees_edges, run.draws_edges
        self.folder, self.lists = run.folder, run.lists
        self.provenance = {**run.provenance, **{str(judge): judge.digest for judge in self.verifier.judges}}

    def prepare(self, manifest: Manifest) -> None:
        """Pair external edge maps with the pictures."""
        self.run.prepare(manifest)

    def ready(self, item: LoadedItem) -> LoadedItem:
        """Find the edges of the usual scale."""
        return self.run.ready(item)

    def identity(self, batch_size: int) -> str:
        """Hash what decides the run's results, the judges, and how many are tried."""
        decides = self.run.identity(1), self.provenance, self.verifier.count
        return hashlib.sha256(repr(decides).encode()).hexdigest()

    def complete(self, items: Sequence[LoadedItem]) -> Iterator[Filled]:
        """Complete one picture after the other."""
        for item in items:
            made, _ = self.verifier.complete(partial(self.batch, item))
            if made is None:
                raise BadImageError(Path(item.id), "the discriminators' scores are no numbers; use an earlier save")
            (picture,), _, (edge,) = in_bytes(made)
            yield Filled(item.id, np.where(item.mask[..., None], picture, item.picture), edge)

    def batch(self, item: LoadedItem, scale: float) -> Batch:
        """Make a batch of one, with Canny's edges at SIGMA times `scale`."""
        return item.batch if item.batch and scale == 1 else self.run.batch(item, scale)


def parse_run(text: str) -> tuple[Path, str, str]:
    """Read folder, stage and label of `[NAME=]FOLDER[:STAGE]`; folders may have `=` and `:` in their names.

    Raises UserError without a folder.
    """
    name, _, rest = text.partition("=")
    for label, spec in (("", text), (name, rest)):
        folder, _, stage = spec.rpartition(":")
        if spec and Path(spec).is_dir():
            return Path(spec), "", label
        if folder and Path(folder).is_dir():
            return Path(folder), stage, label
    raise UserError(f"--runs: {text} is no run's folder; give FOLDER, or FOLDER:STAGE")
