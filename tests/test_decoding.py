"""Deep samples: every range comes in right or is refused with it; Pillow's limit of pixels stays what it was."""

import io
import threading
from pathlib import Path

import corpus
import cv2
import numpy as np
import pytest
from PIL import Image

from edgeconnect import images
from edgeconnect.errors import BadImageError

RAMP = np.linspace(0, 1, 256 * 4).reshape(4, 256)
SHOWS = np.rint(RAMP * 255).astype(np.uint8)


def tiff(values: np.ndarray, **changed: int) -> bytes:
    """Write gray samples of any kind as TIFF, by hand."""
    order = ">" if values.dtype.byteorder == ">" else "<"
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = {"width": values.shape[1], "height": values.shape[0], "rows": values.shape[0], "format": kind}
    return corpus.tiff(values.tobytes(), order, **(tags | {"bits": 8 * values.dtype.itemsize} | changed))


def packed_12_bits(values: np.ndarray) -> bytes:
    pairs = values.astype(int).reshape(-1, 2)
    three = [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255]
    return np.stack(three, 1).astype(np.uint8).tobytes()


def encoded(array: np.ndarray, suffix: str) -> bytes:
    """Write 16-bit colours, which Pillow does not write."""
    return cv2.imencode(suffix, array)[1].tobytes()


DEEP = (RAMP * 65535).round().astype(np.uint16)
GRAY_AND_ALPHA = np.dstack([DEEP, np.full_like(DEEP, 65535)]).astype(">u2")
RIGHT = {
    "16 bits": tiff(DEEP),
    "16 bits, big-endian": tiff(DEEP.astype(">u2")),
    "16 bits, white is zero": tiff(65535 - DEEP, photometric=0),
    "12 bits, packed": tiff(DEEP, bits=12, length=256 * 4 * 3 // 2)[: -DEEP.nbytes] + packed_12_bits(DEEP >> 4),
    "16 bits, signed": tiff((RAMP * 32767).round().astype(np.int16)),
    "32 bits to 255": tiff(SHOWS.astype(np.int32)),
    "32 bits to 65535": tiff(DEEP.astype(np.uint32)),
    "floats to 1": tiff(RAMP.astype(np.float32)),
    "floats to 255": tiff((RAMP * 255).astype(np.float32)),
    "floats to 65535": tiff((RAMP * 65535).astype(np.float32)),
    "floats, white is zero": tiff((1 - RAMP).astype(np.float32), photometric=0),
    "floats, big-endian": tiff(RAMP.astype(">f4")),
    "PNG of 16 bits": corpus.png(
        corpus.header(256, 4, 16, 0), corpus.chunk(b"IDAT", corpus.zlib.compress(corpus.rows(DEEP.astype(">u2"))))
    ),
    "PNG of 16 bits and alpha": corpus.png(
        corpus.header(256, 4, 16, 4), corpus.chunk(b"IDAT", corpus.zlib.compress(corpus.rows(GRAY_AND_ALPHA)))
    ),
    "PNG of 16-bit colours": encoded(np.dstack([DEEP] * 3), ".png"),
    "TIFF of 16-bit colours": encoded(np.dstack([DEEP] * 3), ".tif"),
    "PGM of 16 bits": b"P5 256 4 65535 " + DEEP.astype(">u2").tobytes(),
    "PGM of 12 bits": b"P5 256 4 4095 " + (DEEP >> 4).astype(">u2").tobytes(),
    "PFM": b"Pf 256 4 -1.0\n" + RAMP[::-1].astype("<f4").tobytes(),
}


@pytest.mark.parametrize("name", RIGHT)
def test_deep_samples_come_in_right(tmp_path, name):
    path = tmp_path / "a.png"
    path.write_bytes(RIGHT[name])
    off = np.abs(images.read_gray(path).astype(int) - SHOWS)
    assert off.max() <= 1  # of 16-bit colours, Pillow keeps the upper byte
    assert (off > 0).mean() < (0.6 if "16-bit" in name or "alpha" in name else 0.15)
    np.testing.assert_array_equal(images.read_image(path)[..., 1], images.read_gray(path))


def test_floats_slightly_beyond_black_and_white_are_cut_off(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff((RAMP * 1.06 - 0.04).astype(np.float32)))
    wanted = np.rint((RAMP * 1.06 - 0.04).clip(0, 1) * 255)
    np.testing.assert_allclose(images.read_gray(tmp_path / "a.tif"), wanted, atol=1)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_black_of_any_depth_is_black(tmp_path, kind):
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((4, 5), kind)))
    assert not images.read_gray(tmp_path / "a.tif").any()


REFUSED = {
    "12 bits in 16": (tiff(DEEP >> 4), "from 0 to 4095"),
    "labels in 16 bits": (tiff((RAMP > 0.5).astype(np.uint16)), "from 0 to 1"),
    "12 bits in 16, signed": (tiff((DEEP >> 4).astype(np.int16) - 1024), "from -1024 to 3071"),
    "8 bits, signed": (tiff((RAMP * 255 - 128).astype(np.int8)), "from -128 to 127"),
    "32 bits in full": (tiff((RAMP * (2**32 - 1)).astype(np.uint32)), r"from 0 to 4.29497e\+09"),
    "32 bits, negative": (tiff((RAMP * 2000 - 1000).astype(np.int32)), "from -1000 to 1000"),
    "floats from -1 to 1": (tiff((RAMP * 2 - 1).astype(np.float32)), "from -1 to 1"),
    "floats to 10": (tiff((RAMP * 10).astype(np.float32)), "from 0 to 10"),
    "floats to 1000": (tiff((RAMP * 1000).astype(np.float32)), "from 0 to 1000"),
    "floats to 1e9": (tiff((RAMP * 1e9).astype(np.float32)), r"from 0 to 1e\+09"),
    "floats that are dark": (tiff((RAMP * 0.01).astype(np.float32)), "from 0 to 0.01"),
    "12 bits in 16-bit colours": (encoded(np.dstack([DEEP >> 4] * 3), ".png"), "below 4096 of 65535"),
    "12 bits in 16-bit colours, TIFF": (encoded(np.dstack([DEEP >> 4] * 3), ".tif"), "below 4096 of 65535"),
    "doubles": (tiff(RAMP), "1 x 64 bits a pixel, floats"),
    "half floats": (tiff(RAMP.astype(np.float16)), "1 x 16 bits a pixel, floats"),
    "32 bits, big-endian": (tiff(DEEP.astype(">u4")), "1 x 32 bits a pixel, unsigned integers"),
    "float colours": (encoded(np.dstack([RAMP] * 3).astype(np.float32), ".tif"), "3 x 32 bits a pixel, floats"),
    "palette of 16 bits": (tiff(DEEP, photometric=3), "1 x 16 bits a pixel"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_deep_samples_of_no_known_white_are_refused_with_what_they_are(tmp_path, name):
    data, message = REFUSED[name]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for read in (images.read_image, images.read_gray, images.read_planes, images.read_with_alpha):
        with pytest.raises(BadImageError, match=message) as caught:
            read(path)
        assert caught.value.code == "deep-samples"
        assert "with 16 from 0 to 65535" in str(caught.value)


def test_damaged_tiff_of_8_bits_is_not_called_deep(tmp_path):
    (tmp_path / "a.tif").write_bytes(corpus.tiff(photometric=77))
    with pytest.raises(BadImageError, match="repair it") as caught:
        images.read_image(tmp_path / "a.tif")
    assert not caught.value.code


# Pillow's own limit


def test_pillows_limit_of_pixels_holds_for_others_before_and_after_a_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)  # warns above, refuses above twice as many
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a.png")
    entered, leave, limits = threading.Event(), threading.Event(), []

    def opened(path: Path) -> None:
        with images.opened(path) as picture:
            limits.append(Image.MAX_IMAGE_PIXELS)
            entered.set()
            assert leave.wait(20)
            assert picture.size == (9, 9)

    reader = threading.Thread(target=opened, args=(tmp_path / "a.png",))
    reader.start()
    assert entered.wait(20)
    assert images.read_image(tmp_path / "a.png").shape == (9, 9, 3)  # while another reads, and after it
    assert images.read_square(tmp_path / "a.png", 4).shape == (4, 4, 3)
    leave.set()
    reader.join()
    assert (limits, Image.MAX_IMAGE_PIXELS) == ([None], 30)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO((tmp_path / "a.png").read_bytes()))
    with pytest.raises(BadImageError):
        images.read_image(tmp_path / "gone.png")
    assert Image.MAX_IMAGE_PIXELS == 30
