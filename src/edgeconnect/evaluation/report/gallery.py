"""Items of a study as pictures for a page: what was given, what each method made of it, and where it is wrong."""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from edgeconnect import images
from edgeconnect.evaluation.entries import LoadedItem
from edgeconnect.evaluation.manifest import Item
from edgeconnect.evaluation.report import tables
from edgeconnect.evaluation.report.charts import MAIN
from edgeconnect.evaluation.results import EvaluationResults, Rows, share
from edgeconnect.evaluation.study import Study
from edgeconnect.metrics.definitions import DEFINITIONS, LPIPS
from edgeconnect.metrics.images import Picture

LONGEST = 256  # pixels of a thumbnail's longer side
SMALL = 128  # up to here thumbnails are kept without loss
QUALITY = 90  # for larger ones, as WebP
LOSSLESS = 101
GAIN = 3  # times brighter: error maps
MOST_PICTURES = 500  # in a page: some 20 MB
RANKING = (*LPIPS, "psnr_rgb_hole", "psnr_rgb", "edge_f1")


class Frame(NamedTuple):
    """One picture, encoded."""

    caption: str
    alt: str
    source: str
    width: int
    height: int

    @property
    def is_small(self) -> bool:
        """Return whether its pixels are to be seen as squares."""
        return max(self.width, self.height) <= SMALL


class Column(NamedTuple):
    """What is shown of one method, or of the item itself, whose `number` is -1; two rows of pictures."""

    label: str
    number: int
    rows: list[list[Frame]]
    values: list[tuple[str, str]]


class GalleryItem(NamedTuple):
    """One item with columns of pictures."""

    id: str
    ratio: float
    bin: str
    columns: list[Column]


class Ranking(NamedTuple):
    """The worst and best items of a method, by one metric, the worst or best first."""

    label: str
    number: int
    metric: str
    worst: list[GalleryItem]
    best: list[GalleryItem]


class Gallery:
    """Shows the items that no method failed at, so few that a page can hold them."""

    def __init__(self, study: Study, results: EvaluationResults, rows: Mapping[str, Rows], k: int) -> None:
        self.study, self.items, self.rows, self.methods = study, study.manifest.items, rows, results.methods
        failed = {failure.id for failure in results.failures}
        self.numbers = [number for number, item in enumerate(self.items) if item.id not in failed]
        most = MOST_PICTURES // (2 + 13 * len(self.methods))  # 2 + 3 a method side by side, 2 * 5 for each ranking
        self.k = min(k, max(1, most)) if self.numbers else 0

    def side_by_side(self) -> list[GalleryItem]:
        """Show items from small holes to large ones, each with every method."""
        bins = {number: self.study.manifest.bin(self.items[number]) for number in self.numbers}
        filled = [[n for n in self.numbers if bins[n] == name] for name in self.study.manifest.bins()]
        filled = [numbers for numbers in filled if numbers]
        spread = (filled[i * len(filled) // self.k] for i in range(self.k))
        chosen = dict.fromkeys(numbers[i * len(numbers) // self.k] for i, numbers in enumerate(spread))
        return [self.show(number, range(len(self.methods))) for number in chosen]

    def rankings(self) -> Iterator[Ranking]:
        """Show each method's worst and best items by the first of RANKING that it has."""
        for index, method in enumerate(self.methods):
            rows = self.rows[method.name]
            for name in RANKING:
                values = {number: value_of(name, rows[self.items[number].id]) for number in self.numbers}
                known = {number: value for number, value in values.items() if not math.isnan(value)}
                if known and self.k:
                    yield self._ranking(index, name, known)
                    break

    def _ranking(self, index: int, name: str, values: Mapping[int, float]) -> Ranking:
        rising = sorted(values, key=lambda number: (values[number], number))
        ordered = rising if DEFINITIONS[name].higher_is_better else rising[::-1]
        count = min(self.k, max(1, len(ordered) // 2))
        worst, best = ordered[:count], ordered[max(count, len(ordered) - count) :][::-1]
        shown = ([self.show(number, [index]) for number in part] for part in (worst, best))
        return Ranking(self.methods[index].label, index, name, *shown)

    def show(self, number: int, methods: Sequence[int]) -> GalleryItem:
        """Show one item with some of the methods."""
        item, loaded = self.items[number], self.study.load(number)
        damaged = np.where(loaded.mask[..., None], np.uint8(255), loaded.picture)
        given = frame("input", f"{item.id} with its hole in white", damaged)
        truth = frame("truth", f"{item.id} as it was", loaded.picture)
        columns = [Column("", -1, [[given], [truth]], []), *(self._column(index, item, loaded) for index in methods)]
        return GalleryItem(item.id, item.ratio, self.study.manifest.bin(item), columns)

    def _column(self, index: int, item: Item, loaded: LoadedItem) -> Column:
        method, name = self.methods[index], self.methods[index].name
        filled, wrong = [], []
        if method.paints:
            completed = images.read_image(self.study.file("pictures", name, item.id))
            filled.append(frame("completed", f"{item.id} completed by {name}", completed))
            error = error_map(completed, loaded.picture)
            wrong.append(frame(f"error × {GAIN}", f"error of {name} in {item.id}", error))
        if method.draws_edges:
            drawn = images.read_gray(self.study.file("edges", name, item.id))
            filled.append(frame("edges drawn", f"edges of {item.id} drawn by {name}", drawn))
        values = {metric: value_of(metric, self.rows[name][item.id]) for metric in MAIN}
        texts = [(n, tables.number(v, DEFINITIONS[n].unit)) for n, v in values.items() if not math.isnan(v)]
        return Column(method.label, index, [filled, wrong], texts)


def value_of(name: str, row: Mapping[str, float]) -> float:
    """Return a metric of one item, nan where it has none."""
    part, whole = share(name, row)
    return part / whole if whole else math.nan


def error_map(completed: Picture, truth: Picture) -> Picture:
    """Colour the largest |completed - truth| of the channels, GAIN times brighter, (H, W, 3): black is right."""
    difference = np.abs(completed.astype(np.int16) - truth).max(axis=2)
    bright = np.minimum(GAIN * difference, 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(bright, cv2.COLORMAP_INFERNO)[..., ::-1])


def frame(caption: str, alt: str, picture: Picture) -> Frame:
    """Encode (H, W) or (H, W, 3), made smaller where it is large."""
    scale = min(1.0, LONGEST / max(picture.shape[:2]))
    width, height = (max(1, round(scale * side)) for side in picture.shape[1::-1])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else picture
    quality = LOSSLESS if max(width, height) <= SMALL else QUALITY
    plain = np.ascontiguousarray(small if small.ndim == 2 else small[..., ::-1])
    data = cv2.imencode(".webp", plain, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
    return Frame(caption, alt, f"data:image/webp;base64,{base64.b64encode(data).decode()}", width, height)
