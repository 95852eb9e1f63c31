"""FID and KID of two folders, lists or archives of statistics."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from edgeconnect.errors import UserError, counted, printable
from edgeconnect.evaluation import feature_stats as stats
from edgeconnect.evaluation.feature_stats import ExtractorInfo, FeatureStats, LoaderOptions
from edgeconnect.metrics.fid import KID, frechet_distance, kernel_distance
from edgeconnect.metrics.inception import Inception

FEW = 2048  # pictures below which the covariance of 2,048 features has no full rank

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """FID, KID if it was asked for, and what was compared."""

    fid: float
    kid: KID | None
    sides: tuple[FeatureStats, FeatureStats]
    info: ExtractorInfo
    dims: int

    def to_json(self) -> dict[str, object]:
        """Return plain dictionaries; None stands for what is not known."""
        return {
            "fid": self.fid,
            "kid": self.kid and self.kid._asdict(),
            "samples": [{"source": side.source, "n": side.n or None, "cached": side.cached} for side in self.sides],
            "extractor": self.info.extractor or None,
            "dims": self.dims,
            "resize": self.info.resize or None,
        }

    def table(self) -> str:
        """Return lines to read."""
        lines = [f"FID {self.fid:.4f}"]
        if self.kid:
            mean, std, subsets, size = self.kid
            spread = f"± {std:.6f} (mean and standard deviation of {subsets} subsets of {size})"
            lines.append(f"KID {mean:.6f} {spread if subsets > 1 else f'(one set of {size}, no spread)'}")
        for side in self.sides:
            pictures = counted(side.n, "picture") if side.n else "an unknown number of pictures"
            lines.append(f"{side.source}: {pictures}{', statistics from the cache' if side.cached else ''}")
        lines.append(f"extractor {self.info.extractor or 'unknown'}, {self.dims} features")
        return printable("\n".join([*lines, f"resize {self.info.resize or 'unknown'}"]))


def score(
    sources: Sequence[str], extractor: Inception, options: LoaderOptions, with_kid: bool = False, kid_size: int = 1000
) -> Scores:
    """Compare two folders, lists or archives.

    Both are looked for before the extractor's weights, so that a mistake shows before a download.
    Raises UserError where features of different networks would be compared, or KID is asked of an archive.
    """
    named = [source for source in sources if source.lower().endswith(stats.ARCHIVE)]
    archives = {source: stats.read_archive(source, extractor.dims) for source in named}
    if archives and with_kid:
        raise UserError(f"--kid: {next(iter(archives))} holds no features; give the folder that it was made of")
    for source in sources:
        if source not in archives:
            stats.list_pictures(source)
    common = agreed({s: archives[s].info if s in archives else stats.info_of(extractor) for s in sources})
    one, other = (archives.get(source) or stats.stats_of(source, extractor, options, with_kid) for source in sources)
    for side in (one, other):
        if 0 < side.n < FEW:
            fault = "biased, its covariance of less than full rank" if side.n <= extractor.dims else "biased"
            pictures = f"{side.source}: {counted(side.n, 'picture')}"
            log.warning("%s: below %d FID is %s; KID (--kid) is the better number", pictures, FEW, fault)
    kid = None
    if one.features is not None and other.features is not None:
        kid = kernel_distance(one.features, other.features, size=kid_size)
    fid = frechet_distance(one.statistics, other.statistics)
    return Scores(fid, kid, (one, other), common, extractor.dims)


def agreed(infos: dict[str, ExtractorInfo]) -> ExtractorInfo:
    """Return what all sides were made with; one that is not known agrees with any, and a warning says so."""
    known = {source: info for source, info in infos.items() if all(info)}
    for source in infos.keys() - known.keys():
        log.warning("%s does not say what extractor and resize it was made with", source)
    if len(set(known.values())) > 1:
        listed = "; ".join(f"{source}: {', '.join(info)}" for source, info in known.items())
        raise UserError(f"--path: not made alike ({listed}); measure both with the same --weights")
    return next(iter(known.values()), ExtractorInfo())
