"""Pictures by number, from files or drawn."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeconnect import images
from edgeconnect.config.validators import MAX_PIXELS
from edgeconnect.data import files
from edgeconnect.data.path_list import LONG, PathList
from edgeconnect.data.scenes import render
from edgeconnect.errors import UserError

SCENES = re.compile(r"scenes:(?:(\d+)-)?(\d+)")
SMALL_SCENE = 128  # pixels a side
MOST_SCENES = 10_000_000  # in one range
LAST_SCENE = 10**12


def draw_scene(index: int, side: int) -> NDArray[np.uint8]:
    """Draw a square scene; a small one is the middle of one twice its size, so that a window has some pixels."""
    return _small_scene(index, side) if side <= SMALL_SCENE else render(index, side, side)


@lru_cache(maxsize=4096)  # at most 200 MB a process; drawing takes longer than training on them
def _small_scene(index: int, side: int) -> NDArray[np.uint8]:
    start = side // 2
    return np.ascontiguousarray(render(index, 2 * side, 2 * side)[start : start + side, start : start + side])


@dataclass(frozen=True)
class FileSource:
    """Pictures in files, fitted to `side` unless that is 0; `draft` as in `images.read_square`."""

    paths: Sequence[Path]
    max_pixels: int
    side: int = 0
    draft: int = 0

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Return the path of a picture."""
        return str(self.paths[index])

    def read(self, index: int, choose: images.Square = images.centred) -> NDArray[np.uint8]:
        """Decode the file; where it is fitted, `choose` says which square of it."""
        if self.side:
            return images.read_square(self.paths[index], self.side, self.max_pixels, self.draft, choose)
        return images.read_image(self.paths[index], self.max_pixels)

    def identity(self) -> str:
        """Return number and digest of the paths, relative to the folder that holds them all, in their order.

        Of a list of more than 2,000,000 paths, the digest is that of the list itself.
        """
        if isinstance(self.paths, PathList) and len(self) > LONG:
            return _identity(len(self), self.paths.digest())
        names = self.paths.names() if isinstance(self.paths, PathList) else self.paths
        paths = [os.path.abspath(name) for name in names]  # noqa: PTH100 - links are names here, too
        folder = os.path.commonpath({os.path.dirname(path) for path in paths})  # noqa: PTH120
        return _identity(len(paths), "\n".join(files.relative_names(paths, folder)))


@dataclass(frozen=True)
class SceneSource:
    """Built-in scenes first ... last - 1, drawn at the size that is asked for."""

    first: int
    last: int
    side: int

    def __len__(self) -> int:
        return self.last - self.first

    def name(self, index: int) -> str:
        """Return `scene_000123`."""
        return scene_name(self.first + index)

    def read(self, index: int, choose: images.Square = images.centred) -> NDArray[np.uint8]:
        """Draw the scene, whole whatever `choose` would say."""
        return draw_scene(self.first + index, self.side)

    def identity(self) -> str:
        """Return number and digest of the scenes."""
        return _identity(len(self), f"scenes:{self.first}-{self.last}")


Source = FileSource | SceneSource


def scene_name(number: int) -> str:
    """Return `scene_000123`."""
    return f"scene_{number:06d}"


def _identity(count: int, names: str) -> str:
    return f"{count} pictures ({hashlib.sha256(names.encode(errors='surrogateescape')).hexdigest()[:8]})"


def open_source(value: str, key: str, side: int, max_pixels: int = MAX_PIXELS, draft: int = 0) -> Source:
    """Open what a *_FLIST names: list file, folder, picture, `scenes:N` or `scenes:FIRST-LAST` (LAST excluded)."""
    match = SCENES.fullmatch(value.strip())
    if not match:
        if value.startswith("scenes:"):
            raise UserError(f"{key}: {value} is no range of scenes; write scenes:2000 or scenes:2000-2064")
        return FileSource(files.list_images(value, key), max_pixels, side, draft)
    first, last = match[1] or "0", match[2]
    if max(len(first), len(last)) > len(str(LAST_SCENE)) or int(last) > LAST_SCENE:
        raise UserError(f"{key}: {value} is too large; scenes are numbered from 0 to {LAST_SCENE}")
    source = SceneSource(int(first), int(last), side or 256)
    if source.first >= source.last:
        raise UserError(f"{key}: {value} holds no scene; write scenes:2000 or scenes:2000-2064")
    if len(source) > MOST_SCENES:
        raise UserError(f"{key}: {value} holds too many scenes; name at most {MOST_SCENES}")
    return source
