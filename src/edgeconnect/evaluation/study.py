"""Complete the items of a manifest with every entry, measure what was completed, keep both in a folder.

manifest.json        what is evaluated
pictures/<method>/   completed pictures, <id>.png; edges/<method>/ the edges drawn
methods.json         whose they are
measures/<method>.csv every metric of every item
"""

import csv
import itertools
import json
import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from edgeconnect import images
from edgeconnect.atomic import discard, write_whole
from edgeconnect.data.edges import canny_edges, to_gray
from edgeconnect.errors import BadImageError, UserError, is_out_of_memory, named, reason
from edgeconnect.evaluation.entries import Entry, Filled, LoadedItem, Results
from edgeconnect.evaluation.manifest import Item, Manifest, read_manifest
from edgeconnect.evaluation.pairing import Library
from edgeconnect.metrics.images import EdgeCounts, compute_metrics, count_edges
from edgeconnect.metrics.perceptual import Perceptual
from edgeconnect.plain import csv_text
from edgeconnect.progress import tracked
from edgeconnect.threads import in_threads

MANIFEST, METHODS = "manifest.json", "methods.json"
CHUNK = 500  # items that an interruption costs the metrics of
PAINTED = "canny_"  # begins names of counts and measures of Canny's edges of the completed picture
EDGE_COUNTS = tuple(f"{of}{name}" for of in ("", PAINTED) for name in EdgeCounts._fields)

log = logging.getLogger(__name__)

Table = dict[str, dict[str, float]]
"""Metrics by name, by item id; nan where one does not apply."""


class Failure(NamedTuple):
    """An item that a method could not complete, and why; it counts for no method."""

    method: str
    id: str
    why: str


class Study:
    """One evaluation in its folder; started again with the same contents it does what is left.

    Up to `batch_size` items are completed together; `workers` threads read, write and measure.
    """

    def __init__(self, folder: Path, manifest: Manifest, batch_size: int = 8, workers: int = 1) -> None:
        self.folder, self.manifest, self.batch_size, self.workers = folder, manifest, batch_size, workers
        self.library = Library(manifest.preprocessing)

    def claim(self) -> None:
        """Write down what is evaluated. Raises UserError where no item has a hole, or the folder holds other items."""
        path, count = self.folder / MANIFEST, len(self.manifest.items)
        if path.is_file() and read_manifest(path).digest() != self.manifest.digest():
            raise UserError(f"{path}: holds other pictures, masks or sizes; use another --output, or --manifest {path}")
        whole = [item.id for item in self.manifest.items if item.ratio == 0]
        if len(whole) == count:
            raise UserError("--masks: no mask has a hole, so nothing is evaluated; mark holes with 255 in the masks")
        if whole:
            log.warning("%d of %d items have no hole: %s", len(whole), count, named(whole))
        self.manifest.write(path)  # again, too: files may have moved

    def begin(self, entries: Sequence[Entry], overwrite: bool = False) -> None:
        """Write down what is evaluated and who. Results that have changed are forgotten, those of runs on `overwrite`.

        Raises UserError where the folder holds something else, or two methods would share a folder.
        """
        known = self._known_methods()
        identities = {entry.name: entry.identity(self.batch_size) for entry in entries}
        left_out = [name for name in known if name not in identities]
        taken = {slug(name).casefold() for name in left_out}
        for entry in entries:
            if slug(entry.name).casefold() in taken:
                raise UserError(f"two methods are called {entry.name}; evaluate one of them in another folder")
            if not entry.paints and not entry.draws_edges:
                raise UserError(f"{entry.name} paints no pictures and draws no edges; leave it out")
            taken.add(slug(entry.name).casefold())
        changed = [entry for entry in entries if known.get(entry.name) not in (None, identities[entry.name])]
        refused = [entry.name for entry in changed if not isinstance(entry, Results) and self._folders(entry)]
        if refused and not overwrite:
            raise UserError(
                f"{self.folder}: its results of {named(refused)} are of other weights or settings; "
                "give --overwrite to complete them anew, or another --output"
            )
        self.claim()
        for entry in changed:
            log.warning("%s has changed: measured anew", entry.name)
            for folder in self._folders(entry):
                shutil.rmtree(folder)
            discard(table_of(self.folder, entry.name))
        write_whole(self.folder / METHODS, (json.dumps(known | identities, indent=1) + "\n").encode())
        if left_out:
            log.warning("%s: evaluated here before, but not in this report; name every method to keep", named(left_out))

    def _folders(self, entry: Entry) -> list[Path]:
        folders = (self.folder / part / slug(entry.name) for part in ("pictures", "edges"))
        return [folder for folder in folders if folder.exists()]

    def _known_methods(self) -> dict[str, str]:
        path = self.folder / METHODS
        try:
            return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path}: cannot be read ({reason(error)}); remove it and pictures/ beside it") from error

    def file(self, part: str, method: str, id_: str) -> Path:
        """Name the file of an item: its completed picture in the part `pictures`, its drawn edges in `edges`."""
        return self.folder / part / slug(method) / f"{id_}.png"

    def load(self, index: int) -> LoadedItem:
        """Read an item."""
        item = self.manifest.items[index]
        picture = self.library.picture(item.picture)
        return LoadedItem(item.id, index, picture, self.library.mask(item.mask, item.seed, *picture.shape[:2]))

    def complete(self, entry: Entry) -> Iterator[Failure]:
        """Complete and write what is not there yet; yield what could not be, which counts for no method.

        Pictures are written by threads while the next are completed.
        """
        left = [number for number, item in enumerate(self.manifest.items) if not self._is_done(entry, item)]

        def write(attempt: Filled | Failure) -> Failure | None:
            if isinstance(attempt, Failure):
                return attempt
            for part, picture in (("edges", attempt.edge), ("pictures", attempt.picture)):
                if picture is not None:
                    images.write_png(self.file(part, entry.name, attempt.id), picture)
            return None

        count = len(self.manifest.items)
        attempts = (attempt for batch in self._batches(entry, left) for attempt in _attempts(entry, batch))
        written = in_threads(write, attempts, self.workers)
        for failure in tracked(written, count, entry.name, "item", count - len(left), leave=True):
            if failure:
                log.warning("%s: %s: %s", *failure)
                yield failure

    def _is_done(self, entry: Entry, item: Item) -> bool:
        parts = {"pictures": entry.paints, "edges": entry.draws_edges}
        return all(self.file(part, entry.name, item.id).is_file() for part, wanted in parts.items() if wanted)

    def _batches(self, entry: Entry, indices: Sequence[int]) -> Iterator[list[LoadedItem]]:
        """Read and prepare items ahead and put neighbours of one size together."""
        items = in_threads(lambda index: entry.ready(self.load(index)), indices, self.workers)
        for _, group in itertools.groupby(items, key=lambda item: item.picture.shape):
            while batch := list(itertools.islice(group, self.batch_size)):
                yield batch

    def measure(self, entry: Entry, metrics: Sequence[str], distances: Mapping[str, Perceptual], sigma: float) -> Table:
        """Return the metrics of each item's files by its id; nan where one does not apply, nothing without files.

        The counts of edges, EDGE_COUNTS, come with them, to be added up; true ones are Canny's with `sigma`. What was
        measured before is read again.
        """
        path, columns = table_of(self.folder, entry.name), (*metrics, *distances, *EDGE_COUNTS)
        self._forget_others(path, {name: distance.digest for name, distance in distances.items()} | {"sigma": sigma})
        known = read_table(path).items()
        table = {id_: {name: row[name] for name in columns} for id_, row in known if row.keys() >= set(columns)}
        done = {item.id: number for number, item in enumerate(self.manifest.items) if self._is_done(entry, item)}
        left = [id_ for id_ in done if id_ not in table]
        measured = partial(self._measured, entry, metrics, distances, sigma)
        rows = in_threads(measured, [done[id_] for id_ in left], self.workers)
        found = tracked(rows, len(done), f"measuring {entry.name}", "item", len(done) - len(left))
        for count, (id_, row) in enumerate(zip(left, found, strict=True), 1):
            table[id_] = row
            if count % CHUNK == 0 or count == len(left):
                write_table(path, {known_id: table[known_id] for known_id in done if known_id in table})
        return {id_: table[id_] for id_ in done}

    def _forget_others(self, path: Path, wanted: Mapping[str, str | float]) -> None:
        """Drop metrics that a network of other weights or another scale of Canny made."""
        file = path.with_suffix(".json")
        try:
            known = dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}
        except (ValueError, TypeError):
            known = dict.fromkeys(wanted, "damaged")
        if any(known.get(name, digest) != digest for name, digest in wanted.items()):
            discard(path)
        write_whole(file, (json.dumps(known | dict(wanted), indent=1) + "\n").encode())

    def _measured(
        self, entry: Entry, metrics: Sequence[str], distances: Mapping[str, Perceptual], sigma: float, number: int
    ) -> dict[str, float]:
        item, found = self.load(number), dict.fromkeys((*metrics, *distances, *EDGE_COUNTS), math.nan)
        edges: dict[str, NDArray[Any]] = {}
        file = self.file("pictures", entry.name, item.id)
        if file.is_file():
            completed = images.read_image(file)
            found |= compute_metrics(item.picture, completed, item.mask, metrics)
            found |= {name: distance(item.picture[None], completed[None])[0] for name, distance in distances.items()}
            edges[PAINTED] = canny_edges(to_gray(completed), sigma)
        file = self.file("edges", entry.name, item.id)
        if file.is_file():
            edges[""] = images.read_gray(file)
        true = canny_edges(to_gray(item.picture), sigma)
        for of, drawn in edges.items():
            counts = count_edges(true, drawn, item.mask)
            found |= {f"{of}{name}": float(value) for name, value in counts._asdict().items()}
        return found

    def export(self) -> None:
        """Write what somebody else's program needs to take part: damaged pictures and masks, named by item."""
        self.claim()

        def write(number: int) -> None:
            item = self.load(number)
            images.write_png(self.folder / "masks" / f"{item.id}.png", item.mask.astype("uint8") * 255)
            images.write_png(self.folder / "damaged" / f"{item.id}.png", item.picture * ~item.mask[..., None])

        count = len(self.manifest.items)
        for _ in tracked(in_threads(write, range(count), self.workers), count, "exporting", "item", leave=True):
            pass
        log.info("%d items in %s; evaluate with --manifest %s", count, self.folder, self.folder / MANIFEST)


def _attempts(entry: Entry, batch: Sequence[LoadedItem]) -> Iterator[Filled | Failure]:
    """Yield each item as it was completed, or why it could not be; the items of a batch that fails are tried alone."""
    why = ""  # instead of the error, which would hold the batch's memory
    try:
        yield from list(entry.complete(batch))
    except Exception as error:
        if not isinstance(error, BadImageError) and not is_out_of_memory(error):
            raise
        why = reason(error)
    if why and len(batch) == 1:
        yield Failure(entry.name, batch[0].id, why)
    elif why:
        for item in batch:
            yield from _attempts(entry, [item])


def slug(method: str) -> str:
    """Turn a method's name into that of a folder."""
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in method)


def table_of(folder: Path, method: str) -> Path:
    """Name the file of a method's metrics."""
    return folder / "measures" / f"{slug(method)}.csv"


def measures_of(folder: Path, method: str) -> Table:
    """Read the metrics of a method, by item id. Raises UserError where they are not there."""
    path = table_of(folder, method)
    found = read_table(path)
    if not found:
        raise UserError(f"{path}: holds no measures; evaluate {method} again")
    return found


def write_table(path: Path, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Write metrics by id as CSV; numbers to the last digit, nothing for nan."""
    header = ["id", *next(iter(rows.values()))]
    write_whole(path, csv_text([header, *((id_, *row.values()) for id_, row in rows.items())]).encode())


def read_table(path: Path) -> Table:
    """Read what `write_table` wrote; nothing where there is none, or it is damaged."""
    try:
        rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
        return {row.pop("id"): {name: float(text) if text else math.nan for name, text in row.items()} for row in rows}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}
