"""File lists, and pictures and masks decoded to plain 8-bit arrays."""

import codecs
import contextlib
import logging
import os
import stat
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from edgeconnect.errors import BadImageError, UserError, named, reason
from edgeconnect.parse import MAX_PIXELS
from edgeconnect.storage import expanded

SUFFIXES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # whatever the suffix; EPS, for one, is a program
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ASPECT_TOLERANCE = 0.02  # of masks and edge maps that are resized to their picture
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns where ours, MAX_PIXELS, refuses

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
        raise UserError(f"{key}: {source} cannot be read ({_why(error)})") from error
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


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a picture to (H, W, 3) RGB, upright as its EXIF orientation says.

    Gray, palette and CMYK become RGB, alpha is dropped, 16 bits are scaled to 8. Raises BadImageError naming the file.
    """
    with _judged(path):
        return np.array(_opened(path, max_pixels).convert("RGB"), dtype=np.uint8)


def read_gray(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a mask or an edge map to (H, W) gray; a transparent layer counts as black where it is clear."""
    with _judged(path):
        picture = _opened(path, max_pixels)
        if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
            layer = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer)
        return np.array(picture.convert("L"), dtype=np.uint8)


@contextlib.contextmanager
def _judged(path: Path) -> Iterator[None]:
    """Make whatever the codecs raise a BadImageError, and keep their warnings, all of metadata, from the user."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except BadImageError:
        raise
    except FileNotFoundError as error:
        raise BadImageError(path, "does not exist; correct the list that names it") from error
    except MemoryError as error:
        raise BadImageError(path, "needs more memory than there is; shrink it or take it off the list") from error
    except Exception as error:  # damaged files make the codecs raise whatever they meet
        why = _why(error)
        raise BadImageError(path, f"cannot be read as a picture ({why}); repair it or take it off the list") from error


def _why(error: Exception) -> str:
    """Say what went wrong without the file's name, which the message begins with."""
    if isinstance(error, UnidentifiedImageError):
        return f"its content is none of {', '.join(FORMATS)}"
    return (isinstance(error, OSError) and error.strerror) or reason(error)


def _opened(path: Path, max_pixels: int) -> Image.Image:
    """Open, decode and turn a picture upright, and reduce deep samples to 8 bits; the header is judged first."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadImageError(path, "is no file; take it off the list")  # a pipe would be waited for without end
    with Image.open(path, formats=FORMATS) as picture:
        for kind, width, height in _areas(picture):
            if width * height > max_pixels:
                raise BadImageError(
                    path, f"{kind} {width}x{height}, more than MAX_PIXELS {max_pixels}; shrink it, or raise that"
                )
        picture.load()
        upright = _upright(picture)
        return _reduced(upright) if upright.mode[:1] in ("I", "F") else upright


def _areas(picture: Image.Image) -> Iterator[tuple[str, int, int]]:
    """Yield what decoding takes memory for: the picture, and a TIFF's tile, which is decoded whole."""
    yield "is", *picture.size
    if isinstance(picture, TiffImageFile) and TILEWIDTH in picture.tag_v2:
        yield "has tiles of", int(picture.tag_v2[TILEWIDTH]), int(picture.tag_v2[TILELENGTH])


def _upright(picture: Image.Image) -> Image.Image:
    """Turn a picture as EXIF says; unlike ImageOps.exif_transpose, let damaged EXIF turn nothing and write none."""
    try:
        turn = TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - its parser raises whatever it meets
        return picture
    return picture if turn is None else picture.transpose(turn)


def _reduced(picture: Image.Image) -> Image.Image:
    """Scale 16-bit integers and floats, in [0, 1] or [0, 255], to 8-bit gray."""
    samples = np.asarray(picture).astype(np.float64)
    if not np.isfinite(samples).all():
        raise ValueError("it holds values that are not finite")
    if picture.mode == "F":
        scale = 255.0 if samples.max() <= 1 else 1.0
    else:
        scale = 255 / 65535 if picture.mode.startswith("I;16") or samples.max() > 255 else 1.0
    return Image.fromarray((samples * scale).round().clip(0, 255).astype(np.uint8))


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


def fit(image: NDArray[np.uint8], side: int, crop: bool = True) -> NDArray[np.uint8]:
    """Centre-crop to a square, then resize to (side, side) with Pillow's bilinear filter; 0 leaves it as it is."""
    if not side:
        return image
    height, width = image.shape[:2]
    if crop and height != width:
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        image = image[top : top + short, left : left + short]
    return resize(image, side, side)


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize (H, W) or (H, W, 3) with Pillow's bilinear filter, antialiased."""
    if image.shape[:2] == (height, width):
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def is_stretched(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Tell whether two pictures, (height, width, ...), differ in their aspect ratio, by more than resizing rounds."""
    return abs(one[1] * other[0] / (one[0] * other[1]) - 1) > ASPECT_TOLERANCE


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
