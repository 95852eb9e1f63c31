"""FID and KID of two folders, lists or archives of statistics; statistics of pictures are kept in a cache."""

import hashlib
import io
import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from edgeconnect import images
from edgeconnect.atomic import expanded, write_whole
from edgeconnect.data import files
from edgeconnect.digest import picture_digest
from edgeconnect.errors import UserError, counted, printable, reason
from edgeconnect.metrics.fid import KID, Features, Moments, Statistics, frechet_distance, kernel_distance
from edgeconnect.metrics.inception import RESIZE, Inception
from edgeconnect.progress import tracked
from edgeconnect.threads import in_threads

VERSION = 2  # the cache's: raise it where pictures are decoded or measured in another way
ARCHIVE = ".npz"
FEW = 2048  # pictures below which the covariance of 2,048 features has no full rank
BATCH = 32  # pictures in the network: another number, or another order, changes the last digits of FID

log = logging.getLogger(__name__)


class ExtractorInfo(NamedTuple):
    """What features depend on besides the pictures; empty where an archive does not say."""

    extractor: str = ""
    resize: str = ""


class FeatureStats(NamedTuple):
    """One side; `n` is 0 where an archive does not say, `features` are there only where they were asked for."""

    source: str
    n: int
    statistics: Statistics
    info: ExtractorInfo
    features: Features | None = None
    cached: bool = False


class LoaderOptions(NamedTuple):
    """How many threads read pictures, and the folder that keeps statistics, if any."""

    workers: int = 2
    cache: Path | None = None


def info_of(extractor: Inception) -> ExtractorInfo:
    """Return what the extractor's features depend on."""
    return ExtractorInfo(extractor.name, RESIZE)


def list_pictures(source: str) -> Sequence[Path]:
    """Return the pictures of a folder, with its subfolders, or of a list. Raises UserError below two."""
    paths = files.list_images(source, "--path")
    if len(paths) < 2:
        raise UserError(f"--path: {source} is a single picture, which has no covariance; give two or more")
    return paths


def stats_of(source: str, extractor: Inception, options: LoaderOptions, keep_features: bool = False) -> FeatureStats:
    """Measure a folder or a list; statistics of the same pictures, by their bytes, come from the cache.

    Statistics are taken in the order of the content, so that no name changes a digit; features keep the order of names.
    Raises UserError below two pictures, BadImageError for one that cannot be read.
    """
    paths = list_pictures(source)
    digests = list(in_threads(picture_digest, paths, options.workers))
    made_of = "\n".join([str(VERSION), str(extractor.dims), *info_of(extractor), *sorted(digests)])
    name = f"{hashlib.sha256(made_of.encode()).hexdigest()}{ARCHIVE}"
    kept = options.cache / "fid" / name if options.cache else None
    if kept and kept.is_file() and not keep_features:
        try:
            return read_archive(str(kept), extractor.dims)._replace(source=source, cached=True)
        except UserError as error:
            log.warning("measured again: %s", error)
    order = sorted(range(len(paths)), key=digests.__getitem__)
    measured = measure(source, [paths[n] for n in order], extractor, options.workers, keep_features)
    if measured.features is not None:  # KID draws its subsets in the order of names
        measured = measured._replace(features=measured.features[np.argsort(order)])
    if kept:
        try:
            write_archive(kept, measured)
        except UserError as error:
            log.warning("statistics are not kept: %s", error)
    return measured


def measure(source: str, paths: Sequence[Path], extractor: Inception, workers: int, keep: bool) -> FeatureStats:
    """Stream pictures through the extractor; only where features are to be kept does memory grow with their number."""
    moments, kept = Moments(extractor.dims), []
    pictures = tracked(in_threads(images.read_image, paths, workers), len(paths), source, "picture")
    while batch := [extractor.resized(picture) for picture in itertools.islice(pictures, BATCH)]:
        features = extractor.features(torch.cat(batch))
        moments.add(features)
        if keep:
            kept.append(features)
    together = np.concatenate(kept) if kept else None
    return FeatureStats(source, moments.n, moments.statistics(), info_of(extractor), together)


def cache_folder() -> Path:
    """Return $EDGECONNECT_CACHE, else `edgeconnect` in $XDG_CACHE_HOME or ~/.cache."""
    own, common = os.environ.get("EDGECONNECT_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return expanded(own) if own else expanded(common or "~/.cache") / "edgeconnect"


def write_archive(path: Path, made: FeatureStats) -> None:
    """Write what pytorch-fid reads, `mu` and `sigma`, and `n`, `extractor` and `resize` besides."""
    data = io.BytesIO()
    np.savez(data, n=made.n, **made.statistics._asdict(), **made.info._asdict())
    write_whole(path, data.getvalue())


def read_archive(source: str, dims: int) -> FeatureStats:
    """Read statistics of `dims` features, ours or pytorch-fid's; raise UserError where they are none, or others."""
    path = expanded(source)
    if not path.is_file():
        raise UserError(f"--path: {source} does not exist (seen from {Path.cwd()})")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            mu, sigma = (archive[name].astype(np.float64) for name in Statistics._fields)
            info = ExtractorInfo(*(str(archive[name]) if name in archive else "" for name in ExtractorInfo._fields))
            n = int(archive["n"]) if "n" in archive else 0
    except Exception as error:  # numpy raises whatever the damage makes it
        raise UserError(f"--path: {source} is no archive of statistics ({reason(error)}); write it again") from error
    if mu.ndim != 1 or sigma.shape != (*mu.shape, *mu.shape) or not np.isfinite(mu.sum() + sigma.sum()):
        raise UserError(f"--path: {source} holds no mean with its covariance; write it again")
    if len(mu) != dims:
        raise UserError(f"--path: {source} holds {len(mu)} features, --dims asks for {dims}; give what it holds")
    return FeatureStats(source, n, Statistics(mu, sigma), info)


class Scores(NamedTuple):
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
    archives = {source: read_archive(source, extractor.dims) for source in sources if source.lower().endswith(ARCHIVE)}
    if archives and with_kid:
        raise UserError(f"--kid: {next(iter(archives))} holds no features; give the folder that it was made of")
    for source in sources:
        if source not in archives:
            list_pictures(source)
    common = agreed({s: archives[s].info if s in archives else info_of(extractor) for s in sources})
    one, other = (archives.get(source) or stats_of(source, extractor, options, with_kid) for source in sources)
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
