"""FID and KID of two folders, lists or archives of statistics."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeconnect.errors import UserError, counted, printable
from edgeconnect.evaluation.feature_stats import (
    ExtractorInfo,
    FeatureStats,
    LoaderOptions,
    info_of,
    is_archive,
    list_pictures,
    read_archive,
    stats_of,
)
from edgeconnect.metrics.fid import KID, frechet_distance, kernel_distance
from edgeconnect.metrics.inception import Inception

FEW = 2048  # pictures below which the covariance of 2,048 features has no full rank

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """FID, KID if it was asked for, and what they are of."""

    fid: float
    kid: KID | None
    sides: tuple[FeatureStats, FeatureStats]
    info: ExtractorInfo
    dims: int

    def to_json(self) -> dict[str, object]:
        """Return plain dictionaries; null stands for what is not known."""
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
        return printable("\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        yield f"FID {self.fid:.4f}"
        if self.kid:
            yield f"KID {self.kid.mean:.6f}{_spread(self.kid)}"
        for side in self.sides:
            place = ", statistics from the cache" if side.cached else ""
            pictures = counted(side.n, "picture") if side.n else "an unknown number of pictures"
            yield f"{side.source}: {pictures}{place}"
        yield f"extractor {self.info.extractor or 'unknown'}, {self.dims} features"
        yield f"resize {self.info.resize or 'unknown'}"


def _spread(kid: KID) -> str:
    if kid.std is None:
        return f" (one set of {kid.size}, no spread)"
    return f" ± {kid.std:.6f} (mean and standard deviation of {kid.subsets} subsets of {kid.size})"


def score(
    sources: Sequence[str], extractor: Inception, options: LoaderOptions, with_kid: bool = False, kid_size: int = 1000
) -> Scores:
    """Compare two folders, lists or archives.

    Both are looked for before the extractor's weights, so that a mistake shows before a download.
    Raises UserError where features of different networks would be compared, or KID is asked of an archive.
    """
    archives = {source: read_archive(source, extractor.dims) for source in sources if is_archive(source)}
    if archives and with_kid:
        raise UserError(f"--kid: {next(iter(archives))} holds no features; give the folder that it was made of")
    folders = [source for source in sources if source not in archives]
    for source in folders:
        list_pictures(source)
    known = {source: archive.info for source, archive in archives.items()}
    common = agreed(known | {source: info_of(extractor) for source in folders})
    one, other = (archives.get(source) or stats_of(source, extractor, options, with_kid) for source in sources)
    for side in (one, other):
        warn(side, extractor.dims)
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


def warn(side: FeatureStats, dims: int) -> None:
    """Log where there are too few pictures for FID."""
    if 0 < side.n < FEW:
        fault = "biased, its covariance of less than full rank" if side.n <= dims else "biased"
        log.warning(
            "%s: %s: below %d FID is %s; KID (--kid) is the better number",
            *(side.source, counted(side.n, "picture"), FEW, fault),
        )
