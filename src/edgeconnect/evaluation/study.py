"""Complete the items of a manifest with every contender, measure what was completed, keep both in a folder.

manifest.json        what is evaluated
pictures/<method>/   completed pictures, <id>.png; edges/<method>/ the edges drawn
methods.json         whose they are
measures/<method>.csv every measure of every item
"""

import csv
import io
import itertools
import json
import logging
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from edgeconnect import images
from edgeconnect.atomic import discard, write_whole
from edgeconnect.errors import BadImageError, UserError, is_out_of_memory, reason
from edgeconnect.evaluation.entries import Contender, Results, Run, Sample
from edgeconnect.evaluation.manifest import Item, Library, Manifest, read_manifest
from edgeconnect.images import write_png
from edgeconnect.metrics.edges import count_edges
from edgeconnect.metrics.images import compute_metrics
from edgeconnect.metrics.perceptual import Perceptual

MANIFEST, METHODS = "manifest.json", "methods.json"
CHUNK = 500  # items that an interruption costs the measures of
EDGE_COUNTS = ("true_positives", "drawn", "wanted")

Watch = Callable[[int], Any]

log = logging.getLogger(__name__)


class Failure(NamedTuple):
    """An item that a method could not complete, and why; it counts for no method."""

    method: str
    id: str
    why: str


class Study:
    """One evaluation in its folder; started again with the same contents it goes on where it stopped."""

    def __init__(self, folder: Path, manifest: Manifest, batch_size: int = 8) -> None:
        self.folder, self.manifest, self.batch_size = folder, manifest, batch_size
        self.library = Library(manifest.setting)

    def claim(self) -> None:
        """Write down what is evaluated. Raises UserError where the folder holds something else."""
        path = self.folder / MANIFEST
        if path.is_file() and read_manifest(path).digest() != self.manifest.digest():
            raise UserError(
                f"{path}: holds other pictures, masks or sizes; give another --output, or --manifest {path}"
            )
        self.manifest.write(path)  # again, too: files may have moved

    def begin(self, contenders: Sequence[Contender]) -> None:
        """Write down what is evaluated and who. Raises UserError where the folder holds something else."""
        known = self._known_methods()
        named: dict[str, str] = {}
        for contender in contenders:
            others = [*named, *(name for name in known if name != contender.name)]
            if slug(contender.name).casefold() in (slug(name).casefold() for name in others):
                raise UserError(f"two methods are called {contender.name}; evaluate one of them in another folder")
            named[contender.name] = contender.identity()
            if known.get(contender.name, named[contender.name]) != named[contender.name]:
                self._give_way(contender)
        self.claim()
        write_whole(self.folder / METHODS, (json.dumps(known | named, indent=1) + "\n").encode())

    def _give_way(self, contender: Contender) -> None:
        """Forget what was measured of others' results that have changed, or of a run whose pictures were removed.

        Raises UserError where pictures would go that somebody here completed.
        """
        pictures, edges = (self.folder / part / slug(contender.name) for part in ("pictures", "edges"))
        if not isinstance(contender, Results) and (pictures.exists() or edges.exists()):
            raise UserError(
                f"{self.folder}: its results of {contender.name} are of other weights or settings; give another "
                f"--output, or remove {pictures} and {edges}"
            )
        log.warning("%s has changed: measured anew", contender.name)
        shutil.rmtree(pictures, ignore_errors=True)
        discard(table_of(self.folder, contender.name))

    def _known_methods(self) -> dict[str, str]:
        path = self.folder / METHODS
        try:
            return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({reason(error)}); remove it and pictures/ beside it") from error

    def picture(self, method: str, item: Item) -> Path:
        """Name the file of a completed picture."""
        return self.folder / "pictures" / slug(method) / f"{item.id}.png"

    def edge(self, method: str, item: Item) -> Path:
        """Name the file of drawn edges."""
        return self.folder / "edges" / slug(method) / f"{item.id}.png"

    def sample(self, index: int) -> Sample:
        """Read an item."""
        item = self.manifest.items[index]
        picture = self.library.picture(item.picture)
        return Sample(item.id, index, picture, self.library.mask(item.mask, item.seed, *picture.shape[:2]))

    def complete(self, contender: Contender, watch: Watch) -> Iterator[Failure]:
        """Complete and write what is not there yet; yield what could not be, which counts for no method."""
        left = [i for i, item in enumerate(self.manifest.items) if not self._is_done(contender, item)]
        watch(len(self.manifest.items) - len(left))
        for batch in self._batches(left):
            try:
                self._keep(contender, batch)
            except Exception as error:
                if not blames_a_picture(error):
                    raise
                yield from self._one_by_one(contender, batch)
            watch(len(batch))

    def _one_by_one(self, contender: Contender, batch: Sequence[Sample]) -> Iterator[Failure]:
        """Tell which of a batch it was, and complete the others."""
        for sample in batch:
            try:
                self._keep(contender, [sample])
            except Exception as error:
                if not blames_a_picture(error):
                    raise
                yield Failure(contender.name, sample.id, reason(error))

    def _is_done(self, contender: Contender, item: Item) -> bool:
        draws, paints = (contender.draws_edges, contender.paints) if isinstance(contender, Run) else (False, True)
        files_of = [self.edge(contender.name, item)] * draws + [self.picture(contender.name, item)] * paints
        return all(file.is_file() for file in files_of)

    def _keep(self, contender: Contender, batch: Sequence[Sample]) -> None:
        """Complete a batch and write it."""
        for sample, filled in zip(batch, contender.complete(batch), strict=True):
            item = self.manifest.items[sample.number]
            if filled.edge is not None:
                write_png(self.edge(contender.name, item), filled.edge)
            if filled.picture is not None:
                write_png(self.picture(contender.name, item), filled.picture)

    def _batches(self, indices: Sequence[int]) -> Iterator[list[Sample]]:
        """Read items and put neighbours of one size together."""
        for _, group in itertools.groupby(map(self.sample, indices), key=lambda sample: sample.picture.shape):
            while batch := list(itertools.islice(group, self.batch_size)):
                yield batch

    def measure(
        self,
        contender: Contender,
        names: Sequence[str],
        distances: Mapping[str, Perceptual],
        workers: int,
        watch: Watch,
    ) -> dict[str, dict[str, float]]:
        """Return the measures of each item's files by its id; nan where one does not apply, nothing without files.

        The counts of edges, EDGE_COUNTS, come as measures, to be added up. What was measured before is read again.
        """
        path = table_of(self.folder, contender.name)
        columns = (*names, *distances, *EDGE_COUNTS)
        self._forget_other_weights(path, distances)
        known = {id_: row for id_, row in read_table(path).items() if row.keys() >= set(columns)}
        done = [i for i, item in enumerate(self.manifest.items) if self._is_done(contender, item)]
        left = [i for i in done if self.manifest.items[i].id not in known]
        watch(len(self.manifest.items) - len(left))

        def one(index: int) -> dict[str, float]:
            found = self._measured(contender, self.sample(index), names, distances)
            watch(1)
            return found

        ids = [self.manifest.items[i].id for i in done]
        with ThreadPoolExecutor(workers) as pool:
            for first in range(0, len(left), CHUNK):
                part = left[first : first + CHUNK]
                known |= dict(zip((self.manifest.items[i].id for i in part), pool.map(one, part), strict=True))
                write_table(path, {id_: {name: known[id_][name] for name in columns} for id_ in ids if id_ in known})
        return {id_: {name: known[id_][name] for name in columns} for id_ in ids}

    def _forget_other_weights(self, path: Path, distances: Mapping[str, Perceptual]) -> None:
        """Drop measures that a network of other weights made."""
        marks = path.with_suffix(".json")
        wanted = {name: distance.digest for name, distance in distances.items()}
        known = json.loads(marks.read_text("utf-8")) if marks.is_file() else {}
        if any(known.get(name, mark) != mark for name, mark in wanted.items()):
            discard(path)
        if wanted:
            write_whole(marks, (json.dumps(known | wanted, indent=1) + "\n").encode())

    def _measured(
        self, contender: Contender, sample: Sample, names: Sequence[str], distances: Mapping[str, Perceptual]
    ) -> dict[str, float]:
        item, found = self.manifest.items[sample.number], {}
        file = self.picture(contender.name, item)
        if file.is_file():
            completed = images.read_image(file)
            found = compute_metrics(sample.picture, completed, sample.hole, names)
            found |= {name: distance(sample.picture[None], completed[None])[0] for name, distance in distances.items()}
        file = self.edge(contender.name, item)
        if isinstance(contender, Run) and file.is_file():
            counts = count_edges(contender.true_edges(sample), images.read_gray(file), sample.hole)
            found |= {name: float(value) for name, value in asdict(counts).items() if name in EDGE_COUNTS}
        return dict.fromkeys((*names, *distances, *EDGE_COUNTS), math.nan) | found


def blames_a_picture(error: Exception) -> bool:
    """Tell what other pictures need not suffer for."""
    return isinstance(error, BadImageError) or is_out_of_memory(error)


def slug(method: str) -> str:
    """Turn a method's name into that of a folder."""
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in method)


def table_of(folder: Path, method: str) -> Path:
    """Name the file of a method's measures."""
    return folder / "measures" / f"{slug(method)}.csv"


def measures_of(folder: Path, method: str) -> dict[str, dict[str, float]]:
    """Read the measures of a method, by item id. Raises UserError where they are not there."""
    path = table_of(folder, method)
    found = read_table(path)
    if not found:
        raise UserError(f"{path}: holds no measures; evaluate {method} again")
    return found


def write_table(path: Path, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Write measures by id as CSV; numbers to the last digit, nothing for nan."""
    names = list(next(iter(rows.values())))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", *names])
    for id_, row in rows.items():
        table.writerow([id_, *("" if math.isnan(row[name]) else repr(row[name]) for name in names)])
    write_whole(path, text.getvalue().encode())


def read_table(path: Path) -> dict[str, dict[str, float]]:
    """Read what `write_table` wrote; nothing where there is none, or it is damaged."""
    try:
        rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
        return {row.pop("id"): {name: float(text) if text else math.nan for name, text in row.items()} for row in rows}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}
