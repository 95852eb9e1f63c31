"""Check everything that the configuration names before it is trained on, and report what is wrong with it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgeconnect.config.sections import TEST, Config, DataConfig
from edgeconnect.data.edges import NO_EDGES
from edgeconnect.data.validation import checks
from edgeconnect.data.validation.dry_run import DryRun, draw_items, measure_loader
from edgeconnect.data.validation.listings import MASK, PICTURE, Listing, open_lists, read_lists
from edgeconnect.data.validation.report import BINS, Edgeless, Finding, Holes, Range, Report, SplitFigures

__all__ = ["Finding", "Report", "examine"]


def examine(config: Config, *, quick: bool = False, workers: int = 0) -> Report:
    """Read every picture, mask and edge map in so many threads (0: in this one), and draw some training items.

    With `quick`, 64 files of each list are read, no contents are compared and the loader is not measured.
    """
    listings, findings = open_lists(config.data)
    listings = read_lists(listings, config.data, quick, workers)
    pictures = [listing for listing in listings if listing.kind == PICTURE]
    dry_runs = {x.split: draw_items(config, x, quick, workers) for x in pictures if x.split != TEST}
    findings += [*checks.check_config(config.data), *checks.check_listings(listings, config)]
    findings += [finding for run in dry_runs.values() for finding in checks.check_dry_run(run, config.data)]
    masks = {listing.split: listing for listing in listings if listing.kind == MASK}
    figures = [_figures(x, masks.get(x.split), dry_runs.get(x.split, DryRun(x.split)), config.data) for x in pictures]
    return Report(quick, tuple(figures), checks.ranked(findings), None if quick else measure_loader(config))


def _figures(pictures: Listing, masks: Listing | None, dry_run: DryRun, config: DataConfig) -> SplitFigures:
    sound, items = pictures.sound, dry_run.with_hole
    kinds = Counter(info.kind for info in sound)
    edgeless = Edgeless(items, len(dry_run.edgeless)) if items and config.sigma != NO_EDGES else None
    return SplitFigures(
        name=pictures.split,
        listed=len(pictures),
        read=len(pictures.inspected),
        kinds={"scene": len(pictures)} if pictures.scenes else dict(kinds.most_common()),
        width=_range([info.width for info in sound]),
        height=_range([info.height for info in sound]),
        holes=_holes(masks, dry_run),
        edgeless=edgeless,
    )


def _holes(masks: Listing | None, dry_run: DryRun) -> Holes | None:
    """Count hole ratios: of the mask files or, where masks are drawn, of the items of the dry run."""
    ratios = [info.hole_ratio for info in masks.sound] if masks else dry_run.hole_ratios
    ratio = _range(ratios)
    if ratio is None:
        return None
    counts, _ = np.histogram(ratios, bins=BINS, range=(0, 1))
    source, listed = (masks.key, len(masks.paths)) if masks else ("drawn", len(ratios))
    return Holes(source, listed, len(ratios), tuple(counts.tolist()), ratio)


def _range(numbers: Sequence[float]) -> Range | None:
    return Range(min(numbers), float(np.median(numbers)), max(numbers)) if numbers else None
