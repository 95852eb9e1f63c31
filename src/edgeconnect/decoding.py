"""What Pillow leaves open: how large a picture may be, and what the white is of samples that are not of 8 bits."""

import contextlib
import os
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    ImageFileDirectory_v2,
    TiffImageFile,
)

from edgeconnect.errors import BadImageError

DEEP = "deep-samples"  # code of scripts/check_data.py
REMEDY = "save it with 8 bits a sample, or with 16 from 0 to 65535"
DARKEST = 16  # a picture whose samples all stay below this part of white has another white
OVERSHOOT = 0.1  # of white, beyond black and white: what resizing floats adds
SIGNED = 2
KINDS = {1: "unsigned integers", 2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex floats"}
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Samples(NamedTuple):
    """What a header says of the samples of a picture: `whites` are what white may be, none where 8 bits are read.

    Colours that are `halved` lose their lower 8 bits in decoding; with `white_is_zero`, black is the largest.
    """

    kind: str = ""
    whites: tuple[int, ...] = ()
    halved: bool = False
    white_is_zero: bool = False
    unsigned: bool = False


def samples_of(picture: ImageFile.ImageFile) -> Samples:
    """Read what the samples of a picture are before it is decoded."""
    tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
    bits, is_signed = tags.get(BITSPERSAMPLE, (16,))[0], tags.get(SAMPLEFORMAT, (1,))[0] == SIGNED
    inverted = tags.get(PHOTOMETRIC_INTERPRETATION) == 0  # which Pillow heeds up to 8 bits
    if picture.mode.startswith("I;16"):
        return Samples(f"{bits}-bit", ((1 << bits) - 1,), white_is_zero=inverted)
    if picture.mode == "F":
        return Samples("float", (1, 255, 65535), white_is_zero=inverted)
    if picture.mode == "I" and tags and bits == 16:
        return Samples("signed 16-bit", (255, 32767))
    if picture.mode == "I":
        return Samples("32-bit", (255, 65535) if tags else (65535,), unsigned=bool(tags) and not is_signed)
    if is_signed:
        return Samples("signed 8-bit", (127,))
    return Samples("16-bit", halved=picture.mode in ("RGB", "RGBA") and ";16" in str(picture.tile))


def reduce(path: Path, picture: Image.Image, samples: Samples) -> Image.Image:
    """Scale a decoded picture to 8-bit gray, if its samples are deep. Raises BadImageError where white is not known."""
    if samples.halved and np.asarray(picture)[..., :3].max() < 256 // DARKEST:
        raise BadImageError(path, f"its 16-bit samples stay below 4096 of 65535; {REMEDY}", DEEP)
    if not samples.whites:
        return picture
    values = np.asarray(picture)
    if samples.unsigned:
        values = values.view(np.uint32)
    elif samples.kind == "signed 8-bit":
        values = values.view(np.int8)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    white = _white(values.min(), values.max(), samples)
    if not white:
        ranges = f"its {samples.kind} samples range from {values.min():g} to {values.max():g}"
        whites = " or ".join(map(str, samples.whites))
        raise BadImageError(path, f"{ranges}, and white is {whites}; {REMEDY}", DEEP)
    values = white - values if samples.white_is_zero else values
    return Image.fromarray((values * (255 / white)).round().clip(0, 255).astype(np.uint8))


def _white(low: float, high: float, samples: Samples) -> int:
    """Choose the white that a range of samples fits: not darker than a sixteenth of it, nor beyond it; 0: none."""
    slack = OVERSHOOT if samples.kind == "float" else 0
    for white in samples.whites:
        if -slack * white <= low and (high == low == 0 or white / DARKEST <= high <= (1 + slack) * white):
            return white
    return 0


def tiff_contents(path: Path) -> str:
    """Say what samples a TIFF holds, if they are other than unsigned 8 bits; nothing of another file."""
    with contextlib.suppress(Exception), path.open("rb") as file:  # its parser raises whatever it meets
        header = file.read(8)
        if header[:4] in TIFF:
            directory = ImageFileDirectory_v2(header + (file.read(8) if b"+" in header[:4] else b""))
            file.seek(directory.next)
            directory.load(file)
            bits, kind = directory[BITSPERSAMPLE], directory.get(SAMPLEFORMAT, (1,))[0]
            if bits[0] != 8 or kind != 1:
                return f"it holds {len(bits)} x {bits[0]} bits a pixel, {KINDS.get(kind, 'of no known kind')}"
    return ""


class _Limit:
    """Pillow's own limit of pixels, which a whole process shares: lifted while a file is read here, then put back.

    It warns where MAX_PIXELS refuses. What other threads open meanwhile is not held to it, either.
    """

    def __init__(self) -> None:
        self.lock, self.readers, self.kept = threading.Lock(), 0, Image.MAX_IMAGE_PIXELS

    def __enter__(self) -> None:
        with self.lock:
            if not self.readers:
                self.kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self.readers += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.readers -= 1
            self._put_back()

    def begin_anew(self) -> None:
        """Forget the threads that read: a forked process has none of them."""
        self.lock, self.readers = threading.Lock(), 0
        self._put_back()

    def _put_back(self) -> None:
        if not self.readers:
            Image.MAX_IMAGE_PIXELS = self.kept


lifted = _Limit()
os.register_at_fork(after_in_child=lifted.begin_anew)
