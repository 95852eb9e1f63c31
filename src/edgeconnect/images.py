"""Pictures: decoded from files of every kind, resized, joined to grids, written as PNG."""

import contextlib
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError, features
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from edgeconnect.atomic import write_whole
from edgeconnect.config.validators import MAX_PIXELS
from edgeconnect.decoding import DEEP, REMEDY, lifted, reduce, samples_of, tiff_contents
from edgeconnect.errors import BadImageError, reason

if TYPE_CHECKING:
    from torch import Tensor

GAP = 4  # pixels between pictures
PAPER = 255
FEATURES = {"AVIF": "avif", "JPEG2000": "jpg_2000"}  # formats that not every build of Pillow can decode
FORMATS = (  # whatever the suffix; EPS, for one, is a program
    *("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"),
    *(kind for kind, name in FEATURES.items() if name in features.modules | features.codecs and features.check(name)),
)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = [TURNS[orientation] for orientation in (5, 6, 7, 8)]  # these swap width and height
ALPHA = "an alpha channel"
ASPECT_TOLERANCE = 0.02  # of masks and edge maps that are resized to their picture
warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata; once, for filters belong to all threads together


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a picture to (H, W, 3) RGB, upright as its EXIF orientation says.

    Gray, palette and CMYK become RGB, alpha is dropped, 16 bits are scaled to 8. Raises BadImageError naming the file.
    """
    with _judged(path):
        return np.array(_opened(path, max_pixels)[0].convert("RGB"), dtype=np.uint8)


def read_with_alpha(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Decode a picture likewise, and with it its alpha channel, (H, W), where it has one."""
    with _judged(path):
        picture, _ = _opened(path, max_pixels)
        alpha = np.array(picture.convert("RGBA").getchannel("A")) if picture.has_transparency_data else None
        return np.array(picture.convert("RGB")), alpha


Square = Callable[[int, int], tuple[int, int, int]]
"""Chooses a square of a picture by its width and height: left, top, side."""


def centred(width: int, height: int) -> tuple[int, int, int]:
    """Choose the largest square in the middle."""
    short = min(width, height)
    return (width - short) // 2, (height - short) // 2, short


def read_square(
    path: Path, side: int, max_pixels: int = MAX_PIXELS, draft: int = 0, choose: Square = centred
) -> NDArray[np.uint8]:
    """Decode a picture and resize a square of it to `side`, the middle as `fit` does, without the copies between.

    With a `draft`, upright JPEG is decoded at 1/2, 1/4 or 1/8 where both sides keep that many pixels.
    """
    with _judged(path):
        picture, (width, height) = _opened(path, max_pixels, draft_to=draft)
        shrunk = next(n for n in (1, 2, 4, 8) if -(-width // n) == picture.width)
        left, top, cut = choose(width, height)
        box = (left / shrunk, top / shrunk, (left + cut) / shrunk, (top + cut) / shrunk)
        if picture.mode != "RGB":
            picture = picture.convert("RGB")
        if shrunk == 1 and (cut, cut) != (width, height):  # resizing a box alone would look beyond its border
            picture, box = picture.crop(box), (0, 0, cut, cut)
        return np.array(picture.resize((side, side), Image.Resampling.BILINEAR, box))


class Facts(NamedTuple):
    """What the header of a sound picture says beyond its pixels.

    `lost` is what PNG of 8 bits cannot give back, `has_more` whether pages or frames follow, `turn` what EXIF does.
    """

    lost: list[str]
    is_gray: bool
    has_more: bool
    turn: Image.Transpose | None


def facts(path: Path) -> Facts:
    """Read what the pixels of a picture do not say; the file is known to be sound."""
    with opened(path) as picture:
        profile = picture.info.get("icc_profile") or b""
        found = {
            "more than 8 bits a channel": picture.mode[:1] in ("I", "F") or ";16" in str(picture.tile),
            ALPHA: picture.has_transparency_data,
            "a colour profile other than sRGB": bool(profile) and b"sRGB" not in profile.replace(b"\0", b""),
        }
        is_gray, turn = Image.getmodebase(picture.mode) == "L" or "LA;16" in str(picture.tile), turn_of(picture)
        has_more = False
        with contextlib.suppress(Exception):  # a damaged page is none
            picture.seek(1)
            has_more = picture.format != "MPO"  # a camera's preview or depth map
    return Facts([what for what, is_lost in found.items() if is_lost], is_gray, has_more, turn)


def read_gray(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode an edge map to (H, W) gray; a transparent layer counts as black where it is clear."""
    with _judged(path):
        picture, _ = _opened(path, max_pixels)
        if picture.has_transparency_data:
            layer = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer)
        return np.array(picture.convert("L"), dtype=np.uint8)


def read_planes(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[NDArray[np.uint8], ...]:
    """Decode a mask to its brightness, its strongest channel and its alpha, each (H, W)."""
    with _judged(path):
        picture, _ = _opened(path, max_pixels)
        gray = strongest = np.array(picture.convert("L"), dtype=np.uint8)
        alpha = np.full_like(gray, 255)
        if picture.has_transparency_data:
            alpha = np.array(picture.convert("RGBA").getchannel("A"))
        if Image.getmodebase(picture.mode) != "L":
            strongest = np.maximum.reduce([np.asarray(band) for band in picture.convert("RGB").split()])
        return gray, strongest, alpha


@contextlib.contextmanager
def opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """Open a picture of any of FORMATS and any size, not yet decoded. Raises whatever the codecs do."""
    with lifted, Image.open(path, formats=FORMATS) as picture:
        yield picture


@contextlib.contextmanager
def _judged(path: Path) -> Iterator[None]:
    """Make whatever the codecs raise a BadImageError."""
    try:
        with lifted:  # cutting a picture is held to the limit, too
            yield
    except BadImageError:
        raise
    except FileNotFoundError as error:
        raise BadImageError(path, "does not exist; correct the list that names it") from error
    except MemoryError as error:
        raise BadImageError(path, "needs more memory than there is; shrink it or take it off the list") from error
    except Exception as error:  # damaged files make the codecs raise whatever they meet
        if isinstance(error, UnidentifiedImageError) and (contents := tiff_contents(path)):
            raise BadImageError(path, f"cannot be read as a picture ({contents}); {REMEDY}", DEEP) from error
        why = why_unreadable(error)
        raise BadImageError(path, f"cannot be read as a picture ({why}); repair it or take it off the list") from error


def why_unreadable(error: Exception) -> str:
    """Return what went wrong, without the file's name, with which the message begins."""
    if isinstance(error, UnidentifiedImageError):
        return f"its content is none of {', '.join(FORMATS)}"
    return (isinstance(error, OSError) and error.strerror) or reason(error)


def _opened(path: Path, max_pixels: int, draft_to: int = 0) -> tuple[Image.Image, tuple[int, int]]:
    """Open, decode and turn a picture upright, and reduce deep samples to 8 bits; the header is judged first.

    Returns its full size, too: `draft_to` is the least that a side of JPEG may be decoded at, 0 all of it.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadImageError(path, "is no file; take it off the list")  # a pipe would be waited for without end
    with opened(path) as picture:
        areas = [("is", *picture.size)]
        if isinstance(picture, TiffImageFile) and TILEWIDTH in picture.tag_v2:  # a tile is decoded whole
            areas.append(("has tiles of", int(picture.tag_v2[TILEWIDTH]), int(picture.tag_v2[TILELENGTH])))
        for what, width, height in areas:
            if width * height > max_pixels:
                problem = f"{what} {width}x{height}, more than MAX_PIXELS {max_pixels}; shrink it, or raise that"
                raise BadImageError(path, problem, "too-large")
        full, samples = picture.size, samples_of(picture)
        if draft_to and turn_of(picture) is None:  # a turn would bring what JPEG pads to the near border
            picture.draft(None, (draft_to, draft_to))
        picture.load()
        turn = turn_of(picture)
        upright = picture if turn is None else picture.transpose(turn)
        size = full[::-1] if turn in SIDEWAYS else full
        return reduce(path, upright, samples), size


def turn_of(picture: Image.Image) -> Image.Transpose | None:
    """Return how EXIF turns a picture; unlike ImageOps.exif_transpose, let damaged EXIF turn nothing."""
    with contextlib.suppress(Exception):  # its parser raises whatever it meets
        return TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    return None


def fit(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Centre-crop to a square, then resize to (side, side) with Pillow's bilinear filter; 0 leaves it as it is."""
    height, width = image.shape[:2]
    if side and height != width:
        left, top, cut = centred(width, height)
        image = image[top : top + cut, left : left + cut]
    return resize(image, side, side) if side else image


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize (H, W) or (H, W, 3) with Pillow's bilinear filter, antialiased."""
    if image.shape[:2] == (height, width):
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def is_stretched(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Return whether two pictures, (height, width, ...), differ in their aspect ratio by more than resizing rounds."""
    return abs(one[1] * other[0] / (one[0] * other[1]) - 1) > ASPECT_TOLERANCE


def to_uint8(tensor: "Tensor") -> NDArray[np.uint8]:
    """Turn (B, C, H, W) in [0, 1] into (B, H, W, C), rounded to 8 bits."""
    array = tensor.detach().float().cpu().clamp(0, 1).mul(255).round().permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(array.astype(np.uint8))


def image_grid(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Join rows of pictures, (H, W, 1 or 3) and of any sizes, to one on white paper."""
    cells = [[np.broadcast_to(cell, (*cell.shape[:2], 3)) for cell in row] for row in rows]
    height = max(cell.shape[0] for row in cells for cell in row)
    width = max(cell.shape[1] for row in cells for cell in row)
    columns = max(len(row) for row in cells)
    paper = np.full((len(cells) * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), PAPER, np.uint8)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            top, left = i * (height + GAP), j * (width + GAP)
            paper[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return paper


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (H, W) gray, (H, W, 3) RGB or (H, W, 4) with alpha as PNG, whole or not at all."""
    turned = image if image.ndim == 2 else image[..., [2, 1, 0, 3][: image.shape[2]]]
    ok, data = cv2.imencode(".png", np.ascontiguousarray(turned))
    if not ok:
        raise ValueError(f"a picture of shape {image.shape} cannot be encoded as PNG")
    write_whole(path, data.tobytes())
