"""File lists: which pictures a folder, a list or a name stands for, and which belong together."""

import functools
import logging
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgeconnect.atomic import expanded
from edgeconnect.data.path_list import LONG, PathList, Paths
from edgeconnect.errors import UserError, named
from edgeconnect.images import FORMATS, why_unreadable

SOME = {"AVIF": (".avif",), "JPEG2000": (".j2k", ".jp2", ".jpx")}  # formats that not every Pillow decodes
SUFFIXES = (
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    *(suffix for kind, suffixes in SOME.items() for suffix in suffixes if kind in FORMATS),
)
RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raw", ".rw2")
OTHERS = {".avif", ".exr", ".heic", ".heif", ".j2k", ".jp2", ".jpx", ".jxl", ".psd", ".svg", *RAW} - {*SUFFIXES}
KNOWN = frozenset(SUFFIXES)
SAMPLE = 64  # pairs of a long list that are compared at once

Suffix = tuple[str, ...]  # the last parts of a path

log = logging.getLogger(__name__)


def is_image(path: Path) -> bool:
    """Return whether the suffix, in any case, is a picture's; hidden files (`._a.jpg`) are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def list_images(source: str, key: str) -> Sequence[Path]:
    """Return the pictures that a folder (with its subfolders), a list file or one picture names.

    A folder's pictures come sorted by path, a list's in its own order. `key` names the setting in the UserError
    raised where nothing is found or a folder cannot be read.
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
        if found := walk_images(path, key):
            return [Path(name) for name in found]
        raise UserError(f"{key}: {source} holds no picture (suffixes: {' '.join(SUFFIXES)})")
    if not stat.S_ISREG(kind):
        raise UserError(f"{key}: {source} is no file; give a list file, a folder or a picture")
    return [path] if is_image(path) else read_list(path, key)


def walk_images(folder: Path, key: str) -> list[str]:
    """Return the pictures below a folder as Path sorts them, hidden files and folders left out; links are followed.

    Each folder is seen once. Logs how many pictures of a kind that cannot be read are left out. Raises UserError for a
    folder that cannot be.
    """
    found: list[str] = []
    left_out: Counter[str] = Counter()
    try:
        waiting, seen = ["" if folder == Path() else str(folder)], {_identity(folder)}
        while waiting:
            place = waiting.pop()
            folders, names = _entries(place)
            names.sort()  # which leaves little for the sorting of them all
            for path in sorted(folders):
                if (identity := _identity(path)) not in seen:
                    seen.add(identity)
                    waiting.append(path)
            beside = os.path.join(place, "")  # noqa: PTH118 - a Path for each of a million files takes seconds
            suffixes = [name[name.rfind(".") :].lower() for name in names]
            found += [beside + name for name, suffix in zip(names, suffixes, strict=True) if suffix in KNOWN]
            left_out.update(suffix for suffix in suffixes if suffix in OTHERS)
    except OSError as error:
        problem = f"{error.filename} cannot be read ({error.strerror})"
        raise UserError(f"{key}: {problem}; change its permissions, or list the pictures") from error
    if left_out:
        kinds = ", ".join(f"{left_out[suffix]} {suffix}" for suffix in sorted(left_out))
        _warn_once(f"{folder}: files that cannot be read are left out ({kinds}); save them as PNG or JPEG")
    return sorted(found, key=lambda path: path.replace("/", "\0"))


def _entries(folder: str) -> tuple[list[str], list[str]]:
    """Return the paths of folders and the names of files in a folder, without what is hidden."""
    folders, names = [], []
    with os.scandir(folder or ".") as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            try:
                is_folder = entry.is_dir()
            except OSError:  # a link to itself
                is_folder = False
            if is_folder:
                folders.append(os.path.join(folder, name))  # noqa: PTH118
            else:
                names.append(name)
    return folders, names


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino


@functools.lru_cache(maxsize=1024)
def _warn_once(message: str) -> None:
    """Log a warning unless it has been logged: a folder is listed for the check, for training and for samples."""
    log.warning("%s", message)


def read_list(path: Path, key: str) -> PathList:
    """Open a list file. Raises UserError where it cannot be read, is no text or lists nothing."""
    try:
        paths = PathList(path, key)
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        problem = f"is no list of paths; pictures are known by their suffix ({' '.join(SUFFIXES)})"
        raise UserError(f"{key}: {path} {problem}") from error
    if not paths:
        raise UserError(f"{key}: {path} lists no picture; write one path a line (scripts/flist.py makes such lists)")
    return paths


def relative_names(paths: Sequence[str], folder: str) -> list[str]:
    """Return absolute paths as seen from a folder: `os.path.relpath`, called once for each folder that they lie in."""
    seen_from = functools.cache(functools.partial(os.path.relpath, start=folder))
    parts = map(os.path.split, paths)
    return [os.path.normpath(f"{seen_from(place)}/{name}") for place, name in parts]


class PairError(UserError):
    """Pictures and what belongs to them do not pair; `paths` are those that are in the way."""

    def __init__(self, message: str, paths: Sequence[Path]) -> None:
        super().__init__(message)
        self.paths = paths


class SameLines(Paths):
    """The partners of a long list's pictures: the same lines of another list, each compared when it is asked for."""

    def __init__(self, images: Sequence[Path], others: Sequence[Path], what: str) -> None:
        self.images, self.others, self.what = images, others, what
        if len(images) != len(others):
            problem = f"{len(images)} pictures and {len(others)} {what}s: long lists pair line by line"
            raise PairError(f"{problem}; give as many of each, in the same order", ())
        _ = self[:: -(-len(images) // SAMPLE)]

    def __len__(self) -> int:
        return len(self.images)

    def path_at(self, index: int) -> Path:
        """Return a picture's partner. Raises PairError where its stem is another."""
        image, other = self.images[index], self.others[index]
        if image.stem != other.stem:
            problem = f"line {index + 1} has the {self.what} {other} for {image}: long lists pair line by line"
            raise PairError(f"{problem}; list them in the same order (scripts/flist.py sorts)", [image])
        return other


def pair(
    images: Sequence[Path], others: Sequence[Path], what: str, shared: bool, spare: bool = False
) -> Sequence[Path]:
    """Return, for each picture, the file of the same stem; with `shared`, a single file serves them all.

    With `spare`, there may be more of the others than there are pictures.

    Where stems repeat, the folders above them tell them apart. More than 2,000,000 pictures pair line by line with
    files of the same stem. Raises PairError naming what has no partner.
    """
    if shared and len(others) == 1:
        return list(others) * len(images)
    if len(images) > LONG:
        return SameLines(images, others, what)
    wanted = unique_suffixes(images, without_suffix=True)
    depth, known = max(len(stem) for stem in wanted.values()), set(wanted.values())
    partners: dict[Suffix, list[Path]] = defaultdict(list)
    for other in others:
        partners[_stem(other, depth)].append(other)
    doubles = [stem for stem, found in partners.items() if len(found) > 1]
    if doubles:
        called = named(["/".join(stem) for stem in doubles])
        paths = [other for stem in doubles for other in partners[stem]]
        raise PairError(f"{what}s: several files are called {called}; keep one of each", paths)
    if alone := [image for image in images if wanted[image] not in partners]:
        remedy = "give one for each, or one file for all" if shared else "give one for each"
        raise PairError(f"no {what} of the same name for {named([*map(str, alone)])}; {remedy}", alone)
    surplus = [found[0] for stem, found in partners.items() if stem not in known]
    if surplus and len(images) > 1 and not spare:
        names = named([*map(str, surplus)])
        raise PairError(f"no picture of the same name for the {what} {names}; remove it, or add the picture", surplus)
    return [partners[wanted[image]][0] for image in images]


def unique_suffixes(paths: Iterable[Path], without_suffix: bool = False) -> dict[Path, Suffix]:
    """Return the last parts of each path: as few as tell them all apart, the same number for each.

    `without_suffix` takes `.png` and the like off the last part. Raises UserError where paths differ in that alone.
    """
    different = list(dict.fromkeys(paths))
    suffixes: dict[Path, Suffix] = {}
    for depth in range(1, max((len(path.parts) for path in different), default=0) + 1):
        suffixes = {path: _stem(path, depth) if without_suffix else path.parts[-depth:] for path in different}
        if len(set(suffixes.values())) == len(different):
            return suffixes
    doubles = ["/".join(suffix) for suffix, n in Counter(suffixes.values()).items() if n > 1]
    if doubles:
        raise UserError(f"several pictures are called {named(doubles)}; rename or remove one of each")
    return suffixes


def _stem(path: Path, depth: int) -> Suffix:
    return (*path.parts[-depth:-1], path.stem)
