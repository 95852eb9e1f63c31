"""Pictures for eyes: 8 bits, grids of rows and columns, PNG."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from edgeconnect.config.sections import SPLITS, TRAIN, DataConfig
from edgeconnect.data.dataset import InpaintingDataset
from edgeconnect.data.scenes import render
from edgeconnect.errors import BadImageError
from edgeconnect.images import GAP, PAPER, facts, fit, image_grid, read_image, read_square, to_uint8, write_png
from edgeconnect.training.logs import sample_rows
from edgeconnect.types import Batch, Completion, composite


def test_every_8_bit_value_survives_the_way_through_a_tensor():
    values = torch.arange(256, dtype=torch.float32).reshape(1, 1, 16, 16) / 255
    np.testing.assert_array_equal(to_uint8(values)[0, ..., 0], np.arange(256).reshape(16, 16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_values_are_rounded_and_clamped_and_channels_come_last(dtype):
    tensor = torch.tensor([[-1.0, 0.0], [0.25, 1.5]], dtype=dtype).reshape(1, 1, 2, 2).repeat(2, 3, 1, 1)
    array = to_uint8(tensor.requires_grad_())
    assert array.shape == (2, 2, 2, 3)
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array[1, ..., 2], [[0, 0], [64, 255]])


def cell(height: int, width: int, channels: int, value: int) -> np.ndarray:
    return np.full((height, width, channels), value, np.uint8)


def test_cells_of_any_size_stand_on_white_paper_with_gaps():
    made = image_grid([[cell(4, 6, 3, 10), cell(2, 3, 1, 20)], [cell(3, 5, 1, 30)]])
    assert made.shape == (4 + GAP + 4, 6 + GAP + 6, 3)
    expected = np.full(made.shape, PAPER, np.uint8)
    expected[:4, :6] = 10
    expected[:2, 6 + GAP : 6 + GAP + 3] = 20
    expected[4 + GAP : 4 + GAP + 3, :5] = 30
    np.testing.assert_array_equal(made, expected)


def batch_of_two() -> tuple[Batch, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image, gray, edge = (torch.rand((2, channels, 5, 7), generator=generator) for channels in (3, 1, 1))
    mask = (torch.rand((2, 1, 5, 7), generator=generator) > 0.5).float()
    return Batch(image, gray, edge, mask, ["a", "b"]), torch.rand((2, 3, 5, 7), generator=generator)


def test_row_shows_input_edges_completion_merged_and_truth():
    batch, raw = batch_of_two()
    merged, guide = composite(batch.image, raw, batch.mask), 1 - batch.edge
    rows = sample_rows(batch, Completion(merged, raw, guide), "image")
    assert len(rows) == 2
    missing = batch.mask[1, 0].numpy() > 0
    holed, edge, completed, composed, truth = rows[1]
    assert (holed[missing] == 255).all()
    np.testing.assert_array_equal(holed[~missing], truth[~missing])
    np.testing.assert_array_equal(edge, to_uint8(guide)[1])
    np.testing.assert_array_equal(completed, to_uint8(raw)[1])
    np.testing.assert_array_equal(composed, np.where(missing[..., None], completed, truth))
    np.testing.assert_array_equal(truth, to_uint8(batch.image)[1])
    assert image_grid(rows).shape == (2 * 5 + GAP, 5 * (7 + GAP) - GAP, 3)


def test_truth_of_an_edge_completion_is_the_edge_map():
    batch, raw = batch_of_two()
    rows = sample_rows(batch, Completion(raw[:, :1], raw[:, :1], raw[:, :1]), "edge")
    np.testing.assert_array_equal(rows[0][-1], to_uint8(batch.edge)[0])


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4), (1, 1, 3)])
def test_png_is_lossless(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_png(tmp_path / "a.png", array)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), array)


def test_png_takes_arrays_that_are_views(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)[:, ::-1]
    write_png(tmp_path / "a.png", array)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), array)


SRGB, OTHER = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"\0A\0d\0o\0b\0e\0 \0R\0G\0B"


@pytest.mark.parametrize(
    ("array", "suffix", "options", "lost"),
    [
        (np.zeros((4, 5, 3), np.uint8), "png", {}, []),
        (np.zeros((4, 5), np.uint8), "png", {}, []),
        (np.zeros((4, 5, 3), np.uint8), "jpg", {"icc_profile": SRGB}, []),
        (np.zeros((4, 5, 3), np.uint8), "jpg", {"icc_profile": OTHER}, ["profile"]),
        (np.zeros((4, 5, 4), np.uint8), "png", {"icc_profile": OTHER}, ["alpha", "profile"]),
        (np.zeros((4, 5, 4), np.uint8), "webp", {}, ["alpha"]),
        (np.zeros((4, 5), np.uint8), "png", {"transparency": 0}, ["alpha"]),
        (np.zeros((4, 5), np.uint16), "png", {}, ["8 bits"]),
        (np.zeros((4, 5), np.float32), "tif", {}, ["8 bits"]),
    ],
)
def test_what_8_bit_rgb_cannot_keep_is_named(tmp_path, array, suffix, options, lost):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(array).save(path, **options)
    found = facts(path).lost
    assert len(found) == len(lost)
    assert all(part in what for part, what in zip(lost, found, strict=True))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_colours_are_a_loss(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), np.zeros((4, 5, 3), np.uint16))
    assert ["8 bits" in what for what in facts(tmp_path / f"a.{suffix}").lost] == [True]


# Reading and fitting at once


def jpeg(path, height, width, orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(render(3, height, width)).save(path, exif=exif, quality=90)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "LA", "I;16", "F", "1"])
@pytest.mark.parametrize(("height", "width"), [(40, 61), (61, 40), (33, 32), (32, 32), (20, 16), (200, 150)])
def test_squares_are_those_of_reading_then_fitting(height, width, mode, tmp_path):
    picture = Image.fromarray(render(1, height, width))
    path = tmp_path / ("a.tif" if mode == "F" else "a.png")
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    (deep if mode == "I;16" else picture.convert(mode)).save(path)
    np.testing.assert_array_equal(read_square(path, 32), fit(read_image(path), 32))
    np.testing.assert_array_equal(read_square(path, 32, draft=64), fit(read_image(path), 32))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("height", "width"), [(128, 131), (127, 160)])
def test_jpeg_below_four_times_the_side_is_decoded_exactly(height, width, orientation, tmp_path):
    path, side = jpeg(tmp_path / "a.jpg", height, width, orientation), 32 + (height == 128)
    np.testing.assert_array_equal(read_square(path, side, draft=2 * side), fit(read_image(path), side))


@pytest.mark.parametrize(("height", "width"), [(256, 256), (257, 391), (519, 260), (1040, 1025)])
def test_drafts_stay_near_the_exact_square(height, width, tmp_path):
    path = jpeg(tmp_path / "a.jpg", height, width)
    exact, draft = fit(read_image(path), 64), read_square(path, 64, draft=128)
    assert 0 < np.abs(exact.astype(int) - draft).mean() < 2  # scenes are all edges


@pytest.mark.parametrize("enlarged", [2, 6.4])
def test_drafts_of_photographs_stay_within_a_grey_level(enlarged, shared, tmp_path):
    differences = []
    for path in sorted((shared / "data/natural/val").glob("*.jpg"))[:8]:
        with Image.open(path) as photograph:
            size = (round(photograph.width * enlarged), round(photograph.height * enlarged))
            photograph.resize(size, Image.Resampling.LANCZOS).save(tmp_path / path.name, quality=90)
        side = round(64 * enlarged)
        squares = (read_square(tmp_path / path.name, side, draft=draft) for draft in (0, 2 * side))
        differences.append(np.abs(np.subtract(*squares, dtype=int)).mean())
    assert 0 < np.mean(differences) < 1


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned_jpeg_is_decoded_exactly(orientation, tmp_path):
    path = jpeg(tmp_path / "a.jpg", 257, 391, orientation)
    np.testing.assert_array_equal(read_square(path, 64, draft=128), fit(read_image(path), 64))


def test_drafts_are_trained_on_and_not_measured(tmp_path):
    path = jpeg(tmp_path / "a.jpg", 256, 256)
    lists = {f"{split.lower()}_flist": str(path) for split in SPLITS}
    for split in SPLITS:
        source = InpaintingDataset(DataConfig(**lists, input_size=32, mask="half"), split, 0).source
        np.testing.assert_array_equal(source.read(0), read_square(path, 32, draft=64 * (split == TRAIN)))


def test_what_is_too_large_is_too_large_for_a_draft(tmp_path):
    with pytest.raises(BadImageError, match="is 256x256, more than MAX_PIXELS 65535"):
        read_square(jpeg(tmp_path / "a.jpg", 256, 256), 32, max_pixels=65535, draft=64)
