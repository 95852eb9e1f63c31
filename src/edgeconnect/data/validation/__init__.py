"""Look at everything that the configuration names before it is trained on, and say what is wrong with it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgeconnect.config.sections import TEST, Config, DataConfig
from edgeconnect.data.edges import NO_EDGES
from edgeconnect.data.validation import checks
from edgeconnect.data.validation.dry_run import Trial, draw_items, measure_loader
from edgeconnect.data.validation.listings import MASK, PICTURE, Listing, Watch, count_files, open_lists, read_lists
from edgeconnect.data.validation.report import BINS, Edgeless, Finding, Holes, Range, Report, SplitFigures

__all__ = ["Finding", "Report", "count_files", "examine"]


def examine(config: Config, *, quick: bool = False, workers: int = 0, watch: Watch | None = None) -> Report:
    """Read every picture, mask and edge map in so many threads (0: in this one), and draw training items on trial.

    `watch` is told how many more of `count_files` have been read. A quick look reads 64 files of each list, compares
    no contents and does not measure the loader.
    """
    listings, findings = open_lists(config.data)
    listings = read_lists(listings, config.data, quick, workers, watch)
    pictures = [listing for listing in listings if listing.kind == PICTURE]
    trials = {x.split: draw_items(config, x, quick, workers) for x in pictures if x.split != TEST}
    findings += [*checks.of_config(config.data), *checks.of_listings(listings, config)]
    findings += [finding for trial in trials.values() for finding in checks.of_trial(trial, config.data)]
    masks = {listing.split: listing for listing in listings if listing.kind == MASK}
    figures = [_figures(x, masks.get(x.split), trials.get(x.split, Trial(x.split)), config.data) for x in pictures]
    return Report(quick, tuple(figures), checks.ranked(findings), None if quick else measure_loader(config))


def _figures(pictures: Listing, masks: Listing | None, trial: Trial, config: DataConfig) -> SplitFigures:
    """Sum a split up."""
    sound, edgeless = pictures.sound, None
    kinds = Counter(specimen.kind for specimen in sound)
    if trial.with_hole and config.sigma != NO_EDGES:
        edgeless = Edgeless(len(trial.with_hole), len(trial.without_edges))
    return SplitFigures(
        name=pictures.split,
        listed=len(pictures.paths),
        read=len(pictures.looked_at),
        kinds={"scene": len(pictures.paths)} if pictures.drawn else dict(kinds.most_common()),
        width=_range([specimen.width for specimen in sound]),
        height=_range([specimen.height for specimen in sound]),
        holes=_holes(masks, trial),
        edgeless=edgeless,
    )


def _holes(masks: Listing | None, trial: Trial) -> Holes | None:
    """Count hole ratios, of the mask files or, where masks are drawn, of those drawn on trial."""
    ratios = [specimen.hole for specimen in masks.sound] if masks else [item.hole for item in trial.items]
    ratio = _range(ratios)
    if ratio is None:
        return None
    counts, _ = np.histogram(ratios, bins=BINS, range=(0, 1))
    source, listed = (masks.key, len(masks.paths)) if masks else ("drawn", len(ratios))
    return Holes(source, listed, len(ratios), tuple(counts.tolist()), ratio)


def _range(numbers: Sequence[float]) -> Range | None:
    return Range(min(numbers), float(np.median(numbers)), max(numbers)) if numbers else None
