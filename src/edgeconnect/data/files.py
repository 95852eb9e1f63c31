"""File lists: which pictures a folder, a list or a name stands for, and which belong together."""

import codecs
import logging
import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeconnect.atomic import expanded
from edgeconnect.config.validators import MAX_PIXELS
from edgeconnect.errors import BadImageError, UserError, named
from edgeconnect.images import read_gray, why_unreadable

SUFFIXES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

log = logging.getLogger(__name__)


def is_image(path: Path) -> bool:
    """Tell by the suffix, in any case; hidden files (`._a.jpg`) are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def list_images(source: str, key: str) -> list[Path]:
    """Return the pictures that a folder (with its subfolders), a list file or one picture names.

    A folder's pictures come sorted by path, a list's in its own order. `key` names the setting in the UserError
    raised where nothing is found.
    """
    path = expanded(source)
    if not source:
        raise UserError(f"{key} is empty; give a list file, a folder or a picture")
    try:
        kind = path.stat().st_mode
    except FileNotFoundError as error:
        raise UserError(f"{key}: {source} does not exist (seen from {Path.cwd()})") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{key}: {source} cannot be read ({why_unreadable(error)})") from error
    if stat.S_ISDIR(kind):
        found = sorted(walk_images(path))
        if not found:
            raise UserError(f"{key}: {source} holds no picture (suffixes: {' '.join(SUFFIXES)})")
        return found
    if not stat.S_ISREG(kind):
        raise UserError(f"{key}: {source} is no file; give a list file, a folder or a picture")
    return [path] if is_image(path) else read_list(path, key)


def walk_images(folder: Path) -> Iterable[Path]:
    """Yield the pictures below a folder, hidden folders left out; links are followed, each folder is seen once."""
    waiting, seen = [folder], {_identity(folder)}
    while waiting:
        place = waiting.pop()
        _, folders, names = next(os.walk(place, onerror=_left_out), ("", [], []))
        for path in (place / name for name in sorted(folders) if not name.startswith(".")):
            if _identity(path) not in seen:
                seen.add(_identity(path))
                waiting.append(path)
        yield from (path for path in map(place.joinpath, names) if is_image(path))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _left_out(error: OSError) -> None:
    log.warning("%s cannot be read (%s): the pictures in it are left out", error.filename, error.strerror)


def read_list(path: Path, key: str) -> list[Path]:
    """Read a list file: one path a line, any characters but the line's end, blanks around it and empty lines left out.

    Relative paths count from the list's folder where the first of them exists there, else from the working directory.
    """
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read ({error.strerror})") from error
    if b"\0" in data:
        raise UserError(f"{key}: {path} is no list of paths; pictures are known by their suffix ({' '.join(SUFFIXES)})")
    lines = (os.fsdecode(line).strip() for line in data.split(b"\n"))
    entries = [expanded(line) for line in lines if line]
    if not entries:
        raise UserError(f"{key}: {path} lists no picture; write one path a line (scripts/flist.py makes such lists)")
    relative = next((entry for entry in entries if not entry.is_absolute()), None)
    base = path.parent if relative and os.path.lexists(path.parent / relative) else Path()
    return [base / entry for entry in entries]


def read_mask(path: Path, threshold: int, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a mask to (H, W) gray, still to be resized and binarized.

    Raises BadImageError for a mask that has marks, all of them too dark to count.
    """
    gray = read_gray(path, max_pixels)
    if 0 < gray.max() <= threshold:
        raise BadImageError(
            path,
            f"no pixel of this mask exceeds MASK_THRESHOLD {threshold}, the brightest is {gray.max()}; "
            "mark holes with 255, or set MASK_THRESHOLD to less",
        )
    return gray


def pair(images: Sequence[Path], others: Sequence[Path], what: str, shared: bool) -> list[Path]:
    """Return, for each picture, the file of the same stem; with `shared`, a single file serves them all.

    Where stems repeat, the folders above them tell them apart. Raises UserError listing what has no partner.
    """
    if shared and len(others) == 1:
        return list(others) * len(images)
    depth = telling_depth(images)
    partners = {_tail(other, depth): other for other in others}
    if len(partners) < len(others):
        doubles = [name for name, n in Counter(_tail(other, depth) for other in others).items() if n > 1]
        raise UserError(f"{what}s: several files are called {named(doubles)}; keep one of each")
    keys = [_tail(image, depth) for image in images]
    wanted = set(keys)
    alone = [str(image) for image, key in zip(images, keys, strict=True) if key not in partners]
    if alone:
        raise UserError(
            f"no {what} of the same name for {named(alone)}; give one for each" + ", or one file for all" * shared
        )
    surplus = [str(other) for key, other in partners.items() if key not in wanted]
    if surplus and len(images) > 1:
        raise UserError(f"no picture of the same name for the {what} {named(surplus)}; remove it, or add the picture")
    return [partners[key] for key in keys]


def _tail(path: Path, depth: int) -> str:
    return "/".join([*path.parts[-depth:-1], path.stem])


def telling_depth(paths: Sequence[Path]) -> int:
    """Return how many trailing parts of the paths it takes to tell them apart."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        if len({_tail(path, depth) for path in paths}) == len(set(paths)):
            return depth
    doubles = [name for name, n in Counter(_tail(path, depth) for path in paths).items() if n > 1]
    raise UserError(f"several pictures are called {named(doubles)}; rename or remove one of each")
