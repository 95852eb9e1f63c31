"""The two sides of a FID: features of pictures, or statistics kept in an archive or in the cache."""

import hashlib
import io
import itertools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from edgeconnect import images
from edgeconnect.atomic import expanded, write_whole
from edgeconnect.data import files
from edgeconnect.digest import sha256_of
from edgeconnect.errors import BadImageError, UserError, reason
from edgeconnect.metrics.fid import Features, Moments, Statistics
from edgeconnect.metrics.inception import RESIZE, Inception
from edgeconnect.progress import tracked
from edgeconnect.threads import in_threads

VERSION = 2  # the cache's: raise it where pictures are decoded or measured in another way
ARCHIVE = ".npz"
BATCH = 32  # pictures in the network: another number, or another order, changes the last digits of FID

log = logging.getLogger(__name__)


class ExtractorInfo(NamedTuple):
    """What features depend on besides the pictures; empty where an archive does not say."""

    extractor: str = ""
    resize: str = ""


@dataclass(frozen=True)
class FeatureStats:
    """One side; `n` is 0 where an archive does not say, `features` are there only where they were asked for."""

    source: str
    n: int
    statistics: Statistics
    info: ExtractorInfo
    features: Features | None = None
    cached: bool = False


@dataclass(frozen=True)
class LoaderOptions:
    """How many threads read pictures, and the folder that keeps statistics, if any."""

    workers: int = 2
    cache: Path | None = None


def info_of(extractor: Inception) -> ExtractorInfo:
    """Return what the extractor's features depend on."""
    return ExtractorInfo(extractor.name, RESIZE)


def list_pictures(source: str) -> list[Path]:
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
    digests = list(in_threads(_digest, paths, options.workers))
    made_of = "\n".join([str(VERSION), str(extractor.dims), *info_of(extractor), *sorted(digests)])
    name = f"{hashlib.sha256(made_of.encode()).hexdigest()}{ARCHIVE}"
    kept = options.cache / "fid" / name if options.cache else None
    if kept and kept.is_file() and not keep_features:
        try:
            return replace(read_archive(str(kept), extractor.dims), source=source, cached=True)
        except UserError as error:
            log.warning("measured again: %s", error)
    order = sorted(range(len(paths)), key=digests.__getitem__)
    measured = measure(source, [paths[n] for n in order], extractor, options.workers, keep_features)
    if measured.features is not None:  # KID draws its subsets in the order of names
        measured = replace(measured, features=measured.features[np.argsort(order)])
    if kept:
        try:
            write_archive(kept, measured)
        except UserError as error:
            log.warning("statistics are not kept: %s", error)
    return measured


def measure(
    source: str, paths: Sequence[Path], extractor: Inception, workers: int, keep_features: bool
) -> FeatureStats:
    """Stream pictures through the extractor; only with `keep_features` does memory grow with their number."""
    moments, kept = Moments(extractor.dims), []
    pictures = tracked(in_threads(images.read_image, paths, workers), len(paths), source, "picture")
    while batch := [extractor.resized(picture) for picture in itertools.islice(pictures, BATCH)]:
        features = extractor.features(torch.cat(batch))
        moments.add(features)
        if keep_features:
            kept.append(features)
    together = np.concatenate(kept) if kept else None
    return FeatureStats(source, moments.n, moments.statistics(), info_of(extractor), together)


def cache_folder() -> Path:
    """Return $EDGECONNECT_CACHE, else `edgeconnect` in $XDG_CACHE_HOME or ~/.cache."""
    own, common = os.environ.get("EDGECONNECT_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return expanded(own) if own else expanded(common or "~/.cache") / "edgeconnect"


def _digest(path: Path) -> str:
    if not path.is_file():  # a pipe would be waited for without end
        raise BadImageError(path, "is no file, or not there; take it off the list")
    try:
        return sha256_of(path)
    except OSError as error:
        raise BadImageError(path, f"cannot be read ({error.strerror}); change its permissions") from error


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
