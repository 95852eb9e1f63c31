"""Picture files as users and attackers have them: what each must decode to, or that it must be refused."""

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, features

HEIGHT, WIDTH = 12, 9
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
NEXT = 255 - RGB
GRAY = np.ascontiguousarray(RGB[..., 0])
SMOOTH = np.dstack([np.add.outer(np.arange(0, 192, 16), np.arange(0, 36, 4))] * 3).astype(np.uint8)
BITS = GRAY > 127
COLOURS, CHOSEN = RNG.integers(0, 256, (4, 3), dtype=np.uint8), GRAY % 4
MEGA = 1 << 20


class Picture(NamedTuple):
    """A file, the (H, W[, 3]) that it shows, and how far off a lossy format may be."""

    data: bytes
    shows: np.ndarray
    tolerance: int = 0


def encoded(array: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind: str, **options: object) -> bytes:
    return encoded(RGB, kind, save_all=True, append_images=[Image.fromarray(NEXT)], **options)


def palette() -> Image.Image:
    picture = Image.fromarray(CHOSEN).copy()
    picture.putpalette(COLOURS.ravel().tolist())
    return picture


def exif(orientation: object) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    tags[ExifTags.Base.Software] = "a program"
    return tags


def patched(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


# Formats by hand


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int = WIDTH, height: int = HEIGHT, depth: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def rows(array: np.ndarray) -> bytes:
    """Put PNG's filter byte before each row."""
    return b"".join(b"\0" + row.tobytes() for row in array)


MAGIC, END = b"\x89PNG\r\n\x1a\n", chunk(b"IEND")
PIXELS = chunk(b"IDAT", zlib.compress(rows(RGB)))
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png(*chunks: bytes) -> bytes:
    return MAGIC + b"".join(chunks) + END


def interlaced() -> bytes:
    passes = (RGB[top::down, left::right] for top, left, down, right in ADAM7)
    return png(header(interlaced=1), chunk(b"IDAT", zlib.compress(b"".join(map(rows, passes)))))


def bomb(kind: bytes, before: bytes) -> bytes:
    return png(header(), chunk(kind, before + zlib.compress(bytes(8 * MEGA))), PIXELS)


def tiff(data: bytes = GRAY.tobytes(), order: str = "<", **changed: int | None) -> bytes:
    """Write a gray TIFF of one strip, whose tags can be changed, added or, with None, left out."""
    numbers = {"width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262, "offset": 273}
    numbers |= {"samples": 277, "rows": 278, "length": 279, "format": 339}
    numbers |= {"tile_width": 322, "tile_height": 323, "tile_offset": 324, "tile_length": 325}
    tags = {"width": WIDTH, "height": HEIGHT, "bits": 8, "compression": 1, "photometric": 1, "offset": 0}
    tags |= {"samples": 1, "rows": HEIGHT, "length": len(data)} | changed
    kept = sorted((numbers[name], name, value) for name, value in tags.items() if value is not None)
    start = 8 + 2 + 12 * len(kept) + 4
    entries = (
        struct.pack(order + "HHII", number, 4, 1, start if name.endswith("offset") and not value else value)
        for number, name, value in kept
    )
    mark = b"II" if order == "<" else b"MM"
    body = struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", len(kept)) + b"".join(entries)
    return mark + body + bytes(4) + data


def tiled(side: int, data: bytes, **changed: int | None) -> bytes:
    strips = {"offset": None, "rows": None, "length": None}
    tiles = {"tile_width": side, "tile_height": side, "tile_offset": 0, "tile_length": len(data)}
    return tiff(data, **(strips | tiles | changed))


def bmp(**changed: int) -> bytes:
    """Change fields in the header of a BMP."""
    offsets = {"width": 18, "height": 22, "bits": 28, "compression": 30}
    data = encoded(RGB, "BMP")
    for name, value in changed.items():
        data = patched(data, offsets[name], struct.pack("<H" if name == "bits" else "<i", value))
    return data


def gif(width: int = WIDTH, height: int = HEIGHT, lzw: bytes = b"") -> bytes:
    """Write a GIF of four grays with the given LZW stream, or of no frame at all."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x81, 0, 0) + bytes(range(12))
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + lzw
    return screen + (frame if lzw else b"") + b";"


def riff(kind: bytes, data: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def sof(marker: int, precision: int = 8, height: int = HEIGHT, width: int = WIDTH) -> bytes:
    """Replace the frame header of a JPEG."""
    data = encoded(SMOOTH, "JPEG")
    start = data.index(b"\xff\xc0")
    return patched(data, start, struct.pack(">BBHBHH", 0xFF, marker, 17, precision, height, width))


def with_exif(data: bytes) -> bytes:
    """Put an EXIF segment into a JPEG."""
    segment = b"Exif\0\0" + data
    jpeg = encoded(SMOOTH, "JPEG")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


JPEG, PROGRESSIVE = encoded(SMOOTH, "JPEG", quality=95), encoded(SMOOTH, "JPEG", quality=95, progressive=True)
PNG, WEBP, TIFF, GIF = encoded(RGB, "PNG"), encoded(RGB, "WEBP", lossless=True), tiff(), encoded(palette(), "GIF")
J2K = encoded(RGB, "JPEG2000", no_jp2=True) if features.check("jpg_2000") else b""
AVIF = encoded(SMOOTH, "AVIF", quality=100, subsampling="4:4:4") if features.check("avif") else b""
LZW = encoded(GRAY, "TIFF", compression="tiff_lzw")
TURNED = exif(6).tobytes().removeprefix(b"Exif\0\0")
DEEP = GRAY.astype(np.uint16) * 257

# What is what it says

PICTURES = {
    "png": Picture(PNG, RGB),
    "png-interlaced": Picture(interlaced(), RGB),
    "png-16-bit": Picture(encoded(DEEP, "PNG"), GRAY),
    "png-1-bit": Picture(encoded(BITS, "PNG"), BITS * np.uint8(255)),
    "png-animated": Picture(animated("PNG"), RGB),
    "png-animated-without-frames": Picture(png(header(), chunk(b"acTL", bytes(8)), PIXELS), RGB),
    "png-palette": Picture(encoded(palette(), "PNG"), COLOURS[CHOSEN]),
    "png-many-parts": Picture(
        png(header(), *(chunk(b"IDAT", bytes([b])) for b in zlib.compress(rows(RGB))), chunk(b"IDAT")), RGB
    ),
    "png-trailing-garbage": Picture(PNG + b"garbage" * 99, RGB),
    "png-unknown-chunk": Picture(png(header(), chunk(b"huHu", b"?" * 99), PIXELS), RGB),
    "png-pixel-checksum": Picture(png(header(), PIXELS[:-1] + b"?"), RGB),
    "png-damaged-exif": Picture(png(header(), chunk(b"eXIf", TURNED[:12] + b"\xff" * 40), PIXELS), RGB),
    "png-exif-of-nonsense": Picture(png(header(), chunk(b"eXIf", b"nonsense"), PIXELS), RGB),
    "png-turned": Picture(encoded(RGB, "PNG", exif=exif(6)), np.rot90(RGB, -1)),
    "png-turned-to-9": Picture(encoded(RGB, "PNG", exif=exif(9)), RGB),
    "png-turned-to-0": Picture(encoded(RGB, "PNG", exif=exif(0)), RGB),
    "jpeg": Picture(JPEG, SMOOTH, 8),
    "jpeg-progressive": Picture(PROGRESSIVE, SMOOTH, 8),
    "jpeg-cmyk": Picture(encoded(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95), SMOOTH, 12),
    "jpeg-of-several": Picture(
        encoded(SMOOTH, "MPO", save_all=True, append_images=[Image.fromarray(NEXT)], quality=95), SMOOTH, 8
    ),
    "jpeg-trailing-garbage": Picture(JPEG + RNG.bytes(999), SMOOTH, 8),
    "jpeg-fill-bytes": Picture(JPEG[:2] + b"\xff" * 9 + JPEG[2:], SMOOTH, 8),
    "jpeg-damaged-exif": Picture(with_exif(TURNED[:8] + b"\xff" * 30), SMOOTH, 12),
    "jpeg-turned-with-damaged-exif": Picture(with_exif(patched(TURNED, 30, b"\xff" * 4)), np.rot90(SMOOTH, -1), 12),
    "gif": Picture(GIF, COLOURS[CHOSEN]),
    "gif-interlaced": Picture(encoded(palette(), "GIF", interlace=1), COLOURS[CHOSEN]),
    "gif-transparent": Picture(encoded(palette(), "GIF", transparency=2), COLOURS[CHOSEN]),
    "gif-animated": Picture(
        encoded(palette(), "GIF", save_all=True, append_images=[Image.new("P", (WIDTH, HEIGHT))]), COLOURS[CHOSEN]
    ),
    "bmp": Picture(bmp(), RGB),
    "bmp-upside-down": Picture(bmp(height=-HEIGHT), RGB[::-1]),
    "bmp-1-bit": Picture(encoded(BITS, "BMP"), BITS * np.uint8(255)),
    "webp": Picture(WEBP, RGB),
    "webp-animated": Picture(animated("WEBP", lossless=True), RGB),
    "webp-turned": Picture(encoded(RGB, "WEBP", lossless=True, exif=exif(6)), np.rot90(RGB, -1)),
    "ppm": Picture(b"P6 %d %d 255\n" % (WIDTH, HEIGHT) + RGB.tobytes(), RGB),
    "ppm-commented": Picture(b"P6 # a\n#\n%d#b\n %d\n255\n" % (WIDTH, HEIGHT) + RGB.tobytes(), RGB),
    "ppm-letters-and-digits": Picture(b"P3 1 2 255\n1 2 3\n4 5 6", np.array([[[1, 2, 3]], [[4, 5, 6]]], np.uint8)),
    "pgm-4-bit": Picture(b"P5 3 1 15\n\x00\x05\x0f", np.array([[0, 85, 255]], np.uint8)),
    "pgm-16-bit": Picture(b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + DEEP.astype(">u2").tobytes(), GRAY),
    "pbm": Picture(b"P1 3 1\n1 0 1", np.array([[0, 255, 0]], np.uint8)),
    "tiff": Picture(TIFF, GRAY),
    "tiff-big-endian": Picture(tiff(order=">"), GRAY),
    "tiff-16-bit-big-endian": Picture(tiff(DEEP.astype(">u2").tobytes(), ">", bits=16), GRAY),
    "tiff-tiled": Picture(tiled(16, np.pad(GRAY, ((0, 4), (0, 7))).tobytes()), GRAY),
    "tiff-lzw": Picture(LZW, GRAY),
    "tiff-of-floats": Picture(tiff((GRAY / np.float32(255)).tobytes(), bits=32, format=3), GRAY),
    "tiff-cmyk": Picture(encoded(Image.fromarray(RGB).convert("CMYK"), "TIFF"), RGB),
    "tiff-turned": Picture(encoded(RGB, "TIFF", tiffinfo={ExifTags.Base.Orientation: 6}), np.rot90(RGB, -1)),
    "tiff-white-is-zero": Picture(tiff(photometric=0), 255 - GRAY),
}

if features.check("jpg_2000"):
    PICTURES["jpeg-2000"] = Picture(encoded(RGB, "JPEG2000"), RGB)
    PICTURES["jpeg-2000-stream"] = Picture(J2K, RGB)
    PICTURES["jpeg-2000-16-bit"] = Picture(encoded(DEEP, "JPEG2000"), GRAY)
if features.check("avif"):
    PICTURES["avif"] = Picture(AVIF, SMOOTH, 8)
    PICTURES["avif-turned"] = Picture(encoded(SMOOTH, "AVIF", quality=100, exif=exif(6)), np.rot90(SMOOTH, -1), 12)

# What is no picture, or not all of one

DAMAGED = {
    "nothing": b"",
    "zero": b"\0",
    "zeros": bytes(4096),
    "text": b"this is\nno picture\n",
    "page": b"<!DOCTYPE html>\n<html>not found</html>\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "archive": b"PK\x03\x04" + bytes(99),
    "program": encoded(RGB, "EPS"),
    "another-format": encoded(RGB, "PCX"),
    "png-magic": MAGIC,
    "png-cut-in-header": PNG[:20],
    "png-cut": PNG[: len(PNG) // 2],
    "png-without-pixels": png(header()),
    "png-pixels-before-header": png(PIXELS, header()),
    "png-two-headers-in-one": png(chunk(b"IHDR", bytes(5)), PIXELS),
    "png-header-checksum": png(header()[:-1] + b"?", PIXELS),
    "png-stream": png(header(), chunk(b"IDAT", patched(zlib.compress(rows(RGB)), 9, b"????"))),
    "png-stream-of-nonsense": png(header(), chunk(b"IDAT", b"nonsense" * 9)),
    "png-width-0": png(header(width=0), PIXELS),
    "png-3-bit": png(header(depth=3), PIXELS),
    "png-colour-9": png(header(colour=9), PIXELS),
    "png-endless-chunk": png(header(), b"\x7f\xff\xff\xfftEXt" + b"?" * 99),
    "png-text-bomb": bomb(b"zTXt", b"a\0\0"),
    "png-international-text-bomb": bomb(b"iTXt", b"a\0\1\0\0\0"),
    "png-profile-bomb": bomb(b"iCCP", b"a\0\0"),
    "jpeg-magic": b"\xff\xd8",
    "jpeg-cut": JPEG[: len(JPEG) // 2],
    "jpeg-cut-in-pixels": JPEG[:-20],
    "jpeg-progressive-cut": PROGRESSIVE[: -len(PROGRESSIVE) // 3],
    "jpeg-12-bit": sof(0xC1, precision=12),
    "jpeg-lossless": sof(0xC3),
    "jpeg-arithmetic": sof(0xC9)[: sof(0xC9).index(b"\xff\xda")],
    "jpeg-width-0": sof(0xC0, width=0),
    "gif-magic": b"GIF89a",
    "gif-cut": GIF[: len(GIF) // 2],
    "gif-without-frames": gif(),
    "gif-stream": gif(lzw=b"\2\4\xff\xff\xff\xff\0"),
    "gif-99-bit": gif(lzw=b"\x63\4\0\0\0\0\0"),
    "gif-width-0": gif(width=0, lzw=b"\2\1\x2c\0"),
    "bmp-magic": b"BM",
    "bmp-cut": bmp()[:99],
    "bmp-99-bit": bmp(bits=99),
    "bmp-compression-99": bmp(compression=99),
    "bmp-width-0": bmp(width=0),
    "bmp-negative-width": bmp(width=-WIDTH),
    "ppm-magic": b"P6",
    "ppm-cut": b"P6 9 9 255\n" + bytes(99),
    "ppm-of-letters": b"P2 2 2 255\nfour words of letters\n",
    "ppm-huge-value": b"P6 2 2 99999\n" + bytes(24),
    "ppm-value-0": b"P6 2 2 0\n" + bytes(12),
    "ppm-negative-width": b"P6 -2 2 255\n" + bytes(12),
    "ppm-brighter-than-all": b"P2 1 1 15\n16\n",
    "webp-magic": b"RIFF\0\0\0\0WEBP",
    "webp-cut": WEBP[: len(WEBP) // 2],
    "webp-nonsense": riff(b"VP8L", b"/" + b"nonsense" * 9),
    "webp-cut-in-header": WEBP[:25],
    "tiff-magic": b"II*\0",
    "tiff-cut": TIFF[:-20],
    "tiff-directory-far-off": b"II*\0\xff\xff\xff\x7f" + bytes(99),
    "tiff-directory-of-itself": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "tiff-strip-far-off": tiff(offset=2**32 - 1),
    "tiff-strip-without-end": tiff(compression=8, length=2**32 - 1),
    "tiff-without-strips": tiff(offset=None, length=None),
    "tiff-lzw-stream": patched(LZW, 8, b"\xff" * 30),
    "tiff-width-0": tiff(width=0),
    "tiff-60000-samples": tiff(samples=60_000),
    "tiff-99-bit": tiff(bits=99),
    "tiff-compression-99": tiff(compression=99),
    "tiff-nan": tiff(np.full((HEIGHT, WIDTH), np.nan, np.float32).tobytes(), bits=32, format=3),
    "tiff-infinite": tiff(np.full((HEIGHT, WIDTH), -np.inf, np.float32).tobytes(), bits=32, format=3),
    "tiff-tiled-cut": tiled(16, bytes(99)),
}

if features.check("jpg_2000"):
    DAMAGED["jpeg-2000-magic"] = encoded(RGB, "JPEG2000")[:12]
    DAMAGED["jpeg-2000-cut"] = encoded(RGB, "JPEG2000")[:99]
    DAMAGED["jpeg-2000-stream-cut"] = J2K[:60]
if features.check("avif"):
    DAMAGED["avif-magic"] = AVIF[:12]
    DAMAGED["avif-cut"] = AVIF[: len(AVIF) // 2]
    DAMAGED["avif-cut-in-pixels"] = AVIF[:-20]

# Small files that say they are large: 16383 is the most that WebP can say

HUGE = {
    "png": png(header(60_000, 60_000), PIXELS),
    "png-beyond-32-bit": png(header(2**31 - 1, 2**31 - 1), PIXELS),
    "jpeg": sof(0xC0, height=65_500, width=65_500),
    "jpeg-progressive": patched(PROGRESSIVE, PROGRESSIVE.index(b"\xff\xc2") + 5, b"\xff\xdc\xff\xdc"),
    "gif": gif(65_535, 65_535, lzw=b"\2\1\x2c\0"),
    "bmp": bmp(width=60_000, height=60_000),
    "bmp-upside-down": bmp(width=60_000, height=-60_000),
    "ppm": b"P6 60000 60000 255\n" + bytes(99),
    "pgm-of-letters": b"P2 60000 60000 255\n1 2 3",
    "pbm": b"P4 99999 99999\n" + bytes(99),
    "webp": riff(b"VP8L", b"/" + struct.pack("<I", 16_382 | 16_382 << 14) + bytes(20)),
    "webp-animated": patched(animated("WEBP"), 24, struct.pack("<I", 16_382)[:3] * 2),
    "tiff": tiff(width=60_000, height=60_000),
    "tiff-deflated": tiff(compression=8, width=60_000, height=60_000),
    "tiff-tile": tiled(20_000, bytes(99), compression=8),
    "tiff-tiles": tiled(20_000, bytes(99), compression=8, width=60_000, height=60_000),
}
if features.check("jpg_2000"):
    HUGE["jpeg-2000-stream"] = patched(J2K, 8, struct.pack(">II", 60_000, 60_000))
    HUGE["jpeg-2000-stream-tile"] = patched(HUGE["jpeg-2000-stream"], 24, struct.pack(">II", 60_000, 60_000))
if features.check("avif"):
    HUGE["avif"] = patched(AVIF, AVIF.index(b"ispe") + 8, struct.pack(">II", 16_000, 16_000))
