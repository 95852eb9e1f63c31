"""Write file lists."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeconnect.atomic import write_whole
from edgeconnect.data.files import SUFFIXES, is_image, relative_names, walk_images
from edgeconnect.data.path_list import COMMENT
from edgeconnect.errors import UserError, named

SPLITS = ("train", "val", "test")
MISREAD = ("~/", "\ufeff", COMMENT)

log = logging.getLogger(__name__)


def write_lists(
    folder: Path, output: Path, shares: Sequence[float] | None, seed: int, relative: bool, overwrite: bool = False
) -> list[Path]:
    """List the pictures below a folder, sorted; with `shares` (train, val[, test]) split them at random by `seed`.

    Returns the lists written. Raises UserError where there is no picture, the shares make no sense, or, without
    `overwrite`, another list is there.
    """
    if not folder.is_dir():
        raise UserError(f"--path: {folder} is no folder")
    if is_image(output) or output.is_dir():
        raise UserError(f"--output: {output} is no name for a list; give one such as train.flist")
    paths = walk_images(folder.absolute(), "--path")
    if not paths:
        raise UserError(f"--path: {folder} holds no picture (suffixes: {' '.join(SUFFIXES)})")
    lists = {output: paths}
    if shares:
        parts = _split(paths, shares, seed)
        lists = {output.with_name(f"{output.stem}_{name}{output.suffix}"): part for name, part in parts.items()}
    contents = {path: _content(path, part, relative) for path, part in lists.items()}
    changed = [str(path) for path, data in contents.items() if path.is_file() and path.read_bytes() != data]
    if changed and not overwrite:
        raise UserError(f"--output: another list is in {named(changed)}; give another name, or --overwrite")
    for path, data in contents.items():
        write_whole(path, data)
        log.info("%s: pictures listed: %d", path, len(lists[path]))
    return list(lists)


def _split(paths: Sequence[str], shares: Sequence[float], seed: int) -> dict[str, list[str]]:
    """Divide paths at random into train, val and, for three shares, test, each sorted."""
    if seed < 0:
        raise UserError(f"--seed: {seed} is negative; give 0 or more")
    if len(shares) not in (2, 3) or min(shares) < 0 or not abs(sum(shares) - 1) <= 1e-6:
        raise UserError(f"--split: {' '.join(map(str, shares))} are no two or three shares that sum to 1")
    order = np.random.default_rng(seed).permutation(len(paths))
    ends = np.round(np.cumsum(shares) * len(paths)).astype(int)
    split = zip(SPLITS, np.split(order, ends[:-1]), strict=False)
    parts = {name: [paths[index] for index in sorted(part)] for name, part in split}
    empty = [name for name, part in parts.items() if not part]
    if empty:
        raise UserError(f"--split: no picture is left for {empty[0]} of {len(paths)}; give it a larger share")
    return parts


def _content(output: Path, paths: Sequence[str], relative: bool) -> bytes:
    names = relative_names(paths, str(output.absolute().parent)) if relative else paths
    # so that whoever reads the list strips and expands nothing of a name
    names = [f"./{name}" if name[0].isspace() or name.startswith(MISREAD) else name for name in names]
    text = "\n".join(names) + "\n"
    if text.count("\n") > len(names) or "\r" in text:
        broken = next(name for name in names if "\n" in name or "\r" in name)
        raise UserError(f"{broken!r}: a list cannot name a file with a line break in its name; rename it")
    return os.fsencode(text)
