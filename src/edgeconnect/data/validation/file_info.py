"""Single files as they are found: whether they decode, what they hold, what a mask leaves missing."""

import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import UnidentifiedImageError

from edgeconnect import images
from edgeconnect.config.sections import DataConfig
from edgeconnect.data import masks
from edgeconnect.decoding import DEEP, tiff_contents
from edgeconnect.digest import sha256_of
from edgeconnect.errors import BadImageError

DRAFT = 8  # JPEGs are decoded at an eighth: all of their data is read, a sixth of the time is spent
NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
JPEG, PNG, WEBP, TIFF = b"\xff\xd8\xff", b"\x89PNG", b"RIFF", (b"II*\0", b"MM\0*")
JPEG2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
SIGNATURES = (JPEG, PNG, WEBP, *TIFF, *JPEG2000, b"GIF8", b"BM")
AVIF = b"ftypavif"  # behind four bytes


class FileInfo(NamedTuple):
    """One file; `fault` is the code of what keeps it from being used, empty for a sound one."""

    path: Path
    real: str  # where its links lead
    fault: str = ""
    kind: str = ""  # format and mode, such as `JPEG RGB`
    width: int = 0  # upright
    height: int = 0
    digest: str = ""  # of a picture's content, where it was asked for
    hole_ratio: float = 0.0  # share of a mask that is missing, in [0, 1]
    between: float = 0.0  # share of a mask that is neither black nor white


def inspect_picture(path: Path, max_pixels: int, hashed: bool = False) -> FileInfo:
    """Decode a picture or an edge map; hash the content of a sound one if asked, from what the system has cached."""

    def decoded(info: FileInfo) -> FileInfo:
        if info.kind.startswith(("JPEG ", "MPO ")):
            width, height = _drafted_size(path)
        else:
            height, width = images.read_image(path, max_pixels).shape[:2]
        return info._replace(width=width, height=height, digest=sha256_of(path) if hashed else "")

    return _inspect(path, max_pixels, decoded)


def inspect_mask(path: Path, config: DataConfig, side: int) -> FileInfo:
    """Decode a mask and measure its hole ratio as training sees it: cropped, resized to `side` (0: not), binarized."""

    def measured(info: FileInfo) -> FileInfo:
        rule = config.mask_threshold, config.mask_polarity
        gray = masks.read_mask(path, *rule, config.max_pixels)
        ratio, between = masks.binarize(images.fit(gray, side), *rule).mean(), ((gray > 0) & (gray < 255)).mean()
        info = info._replace(width=gray.shape[1], height=gray.shape[0])
        return info._replace(hole_ratio=float(ratio), between=float(between))

    return _inspect(path, config.max_pixels, measured)


def _inspect(path: Path, max_pixels: int, decode: Callable[[FileInfo], FileInfo]) -> FileInfo:
    info = FileInfo(path, os.path.realpath(path))
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return info._replace(fault="not-a-file")  # a pipe would be waited for without end
        if not status.st_size:
            return info._replace(fault="empty-file")
        with images.opened(path) as picture:
            info = info._replace(kind=f"{picture.format} {picture.mode}", width=picture.width, height=picture.height)
        return decode(info) if info.width * info.height <= max_pixels else info._replace(fault="too-large")
    except Exception as error:  # noqa: BLE001 - codecs raise whatever they meet
        known = error.code if isinstance(error, BadImageError) else ""
        return info._replace(fault=known or _fault(path, error))


def _drafted_size(path: Path) -> tuple[int, int]:
    """Decode a JPEG at an eighth of its size, return width and height upright."""
    with images.opened(path) as picture:
        width, height = picture.size
        turned = images.turn_of(picture) in images.SIDEWAYS
        picture.draft(None, (max(1, width // DRAFT), max(1, height // DRAFT)))
        picture.load()
    return (height, width) if turned else (width, height)


def _fault(path: Path, error: BaseException) -> str:
    error = (isinstance(error, BadImageError) and error.__cause__) or error
    if isinstance(error, MemoryError):
        return "too-large"
    if isinstance(error, PermissionError):
        return "no-permission"
    if isinstance(error, OSError) and error.errno in NOWHERE:
        return "missing-file"
    start, end, size = _ends(path)
    if isinstance(error, UnidentifiedImageError) and tiff_contents(path):
        return DEEP
    if isinstance(error, UnidentifiedImageError) and not start.startswith(SIGNATURES) and start[4:] != AVIF:
        return "not-a-picture"
    said = isinstance(error, EOFError | struct.error) or "truncated" in str(error).lower()
    return "truncated-file" if said or _unfinished(start, end, size) else "damaged-file"


def _ends(path: Path) -> tuple[bytes, bytes, int]:
    """Return the first and the last bytes of a file, and its size."""
    try:
        with path.open("rb") as file:
            start, size = file.read(12), file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 64))
            return start, file.read(), size
    except OSError:  # a disk that fails: nothing can be said of its files
        return b"", b"", 0


def _unfinished(start: bytes, end: bytes, size: int) -> bool:
    """Return whether a file ends before its format does; Pillow's errors do not always say so."""
    if start.startswith(JPEG):
        return b"\xff\xd9" not in end
    if start.startswith(PNG):
        return b"IEND" not in end
    if start.startswith(WEBP):
        return int.from_bytes(start[4:8], "little") + 8 > size
    order: Literal["little", "big"] = "little" if start.startswith(b"II") else "big"
    return start.startswith(TIFF) and int.from_bytes(start[4:8], order) >= size  # its directory is often last
