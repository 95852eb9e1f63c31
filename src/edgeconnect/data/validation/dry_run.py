"""What training would see: some items, their masks and edges, and how fast the loader serves them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgeconnect.config.sections import TRAIN, Config
from edgeconnect.data.validation.listings import Listing
from edgeconnect.data.validation.report import Throughput
from edgeconnect.errors import UserError
from edgeconnect.threads import in_threads

if TYPE_CHECKING:
    from edgeconnect.types import Batch

ITEMS, QUICK_ITEMS = 256, 16  # at most
ITEM_PIXELS = 1 << 18  # larger items count for several
DECODING = 1 / 16  # time a pixel takes to decode, over the time of Canny
SECONDS = 3.0  # for the loader to show how fast it is


class DryRun(NamedTuple):
    """Items of one split as training sees them, or what keeps it from drawing any."""

    split: str
    hole_ratios: Sequence[float] = ()
    edgeless: Sequence[str] = ()  # names of the items that have a hole and no edge in it
    error: UserError | None = None

    @property
    def with_hole(self) -> int:
        """Return how many items have something missing."""
        return int(np.count_nonzero(self.hole_ratios))


def draw_items(config: Config, pictures: Listing, quick: bool, workers: int) -> DryRun:
    """Draw items spread over a split, as its first epoch has them; bad files are passed over."""
    from edgeconnect.data.dataset import InpaintingDataset
    from edgeconnect.data.items import FIXED_EPOCH
    from edgeconnect.types import in_floats

    # inverted masks and bad files are findings of their own
    settings = replace(config.data, allow_large_holes=True, on_bad_image="skip", edge_cache="")
    try:
        dataset = InpaintingDataset(settings, pictures.split, config.run.seed)
    except UserError as error:
        return DryRun(pictures.split, error=error)
    epoch = 1 if pictures.split == TRAIN else FIXED_EPOCH
    wanted = min(len(dataset), _affordable(config.data.input_size, pictures, quick))
    chosen = range(0, len(dataset), -(-len(dataset) // wanted))
    batches = in_threads(lambda index: dataset.draw(epoch, index, stand_in=False).batch, chosen, workers)
    ratios, edgeless = [], []
    for batch in filter(None, batches):
        mask, edge = in_floats(batch.mask), in_floats(batch.edge)
        ratios.append(float(mask.mean()))
        if mask.any() and not ((mask > 0) & (edge > config.log.edge_threshold)).any():
            edgeless += batch.name
    return DryRun(pictures.split, ratios, edgeless)


def _affordable(side: int, pictures: Listing, quick: bool) -> int:
    """Return how many items to draw: fewer where pictures are large, for Canny takes a second for 6 megapixels."""
    most = QUICK_ITEMS if quick else ITEMS
    areas = [info.width * info.height for info in pictures.sound] or [side * side]
    area = float(np.median(areas))
    cost = (side * side or area) + DECODING * area
    return max(1, int(most * min(1, ITEM_PIXELS / max(1, cost))))


def measure_loader(config: Config) -> Throughput | None:
    """Measure how many pictures a second the loader serves; None where the data make it stop.

    What its processes have ready when they have started is left out.
    """
    from edgeconnect.data.loader import Feed

    settings = replace(config.data, val_flist="", allow_large_holes=True, edge_cache="")
    try:
        batches = Feed(replace(config, data=settings)).batches(0)
        _serve(islice(batches, 1 + 2 * config.run.num_workers))
        rate = _serve(batches)
    except UserError:
        return None
    return Throughput(rate, config.optim.batch_size, config.run.num_workers)


def _serve(batches: "Iterator[Batch]") -> float:
    """Return how many pictures a second come, in the first seconds."""
    start, pictures = time.perf_counter(), 0
    for batch in batches:
        pictures += len(batch.name)
        if time.perf_counter() - start >= SECONDS:
            break
    return pictures / (time.perf_counter() - start)
