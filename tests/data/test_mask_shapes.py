"""Masks of every shape: the pixels that are missing are counted, the border is kept or met, the seed decides."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconnect.config.sections import MASKS, SHAPES, TRAIN, VAL, DataConfig
from edgeconnect.data import mask_shapes as shapes
from edgeconnect.data.dataset import InpaintingDataset
from edgeconnect.data.items import FIXED_EPOCH
from edgeconnect.data.mask_shapes import Pixels

SIDE = st.integers(16, 96)


def strokes(height, width, rng, ratio):
    return shapes.strokes(height, width, rng, shapes.pixel_range(height, width, ratio))


EXACT = [kind for kind in shapes.GENERATORS if kind != "half"]
BINS = [(0.01, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6)]


def draw(kind, seed=0, size=(64, 64), ratio=(0.2, 0.4), touches_border=None):
    return shapes.draw(kind, *size, np.random.default_rng(seed), shapes.pixel_range(*size, ratio), touches_border)


def pieces(mask):
    """Return the four sides (top, bottom, left, right) of what is missing."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


# How much is missing


@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("kind", EXACT)
@given(height=SIDE, width=SIDE, low=st.floats(0.0005, 0.97), spread=st.floats(0, 0.3), seed=st.integers(0, 10_000))
def test_every_range_is_met_by_count(kind, height, width, low, spread, seed):
    mask = draw(kind, seed, (height, width), (low, min(0.99, low + spread)))
    least, most = shapes.pixel_range(height, width, (low, min(0.99, low + spread)))
    assert mask.shape == (height, width)
    assert mask.dtype == np.bool_
    assert least <= mask.sum() <= most


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("count", [0, 1, 2, 997, 40 * 56 - 1, 40 * 56])
def test_every_single_count_is_hit(kind, count):
    for seed in range(4):
        mask = shapes.draw(kind, 40, 56, np.random.default_rng(seed), Pixels(count, count))
        assert mask.sum() == count


@pytest.mark.parametrize("kind", EXACT)
def test_a_range_is_filled_evenly(kind):
    ratios = [draw(kind, seed, (48, 48), (0.1, 0.5)).mean() for seed in range(160)]
    counts, _ = np.histogram(ratios, bins=4, range=(0.1, 0.5))
    assert counts.sum() == 160
    assert counts.min() > 20


@pytest.mark.parametrize("kind", shapes.GENERATORS)
def test_the_seed_and_nothing_else_decides(kind):
    np.random.seed(0)
    state = np.random.get_state()[1].tolist()
    ratio = (0.4, 0.5)
    one, same = (draw(kind, 3, ratio=ratio) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert any((one != draw(kind, seed, ratio=ratio)).any() for seed in range(4, 12))
    assert np.random.get_state()[1].tolist() == state


# Where


@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("kind", shapes.INTERIOR)
@given(height=SIDE, width=SIDE, ratio=st.sampled_from(BINS), seed=st.integers(0, 10_000))
def test_interior_masks_keep_the_margin_and_the_others_meet_the_border(kind, height, width, ratio, seed):
    pixels = shapes.pixel_range(height, width, ratio)
    touching = shapes.draw(kind, height, width, np.random.default_rng(seed), pixels, True)
    assert shapes.at_border(touching)
    assert pixels.least <= touching.sum() <= pixels.most
    if shapes.reaches(kind, height, width, pixels, False):
        interior = shapes.draw(kind, height, width, np.random.default_rng(seed), pixels, False)
        top, bottom, left, right = pieces(interior)
        assert min(top, height - bottom) >= 50 / 512 * height
        assert min(left, width - right) >= 50 / 512 * width
        assert pixels.least <= interior.sum() <= pixels.most


def test_interior_strokes_turn_before_the_margin_and_are_not_cut_there():
    top, left = shapes.margins(128, 128)
    for seed in range(20):
        inner = draw("irregular", seed, (128, 128), (0.1, 0.2), touches_border=False)[top:-top, left:-left]
        rim = np.concatenate((inner[0], inner[-1], inner[:, 0], inner[:, -1]))
        assert rim.mean() < 0.05


def test_interior_masks_of_all_bins_of_the_paper_can_be_drawn_at_256_pixels():
    for kind in shapes.INTERIOR:
        assert all(shapes.reaches(kind, 256, 256, shapes.pixel_range(256, 256, ratio), False) for ratio in BINS)
        assert not shapes.reaches(kind, 256, 256, shapes.pixel_range(256, 256, (0.65, 0.7)), False)


@pytest.mark.parametrize("kind", [kind for kind in shapes.GENERATORS if kind not in shapes.INTERIOR])
def test_other_kinds_cannot_be_told_where(kind):
    assert shapes.reaches(kind, 64, 64, Pixels(1, 64 * 64), None)
    assert not shapes.reaches(kind, 64, 64, Pixels(1, 64 * 64), False)


@pytest.mark.parametrize("place", [(0, 5), (9, 5), (4, 0), (4, 11)])
def test_each_side_is_border(place):
    mask = np.zeros((10, 12), np.bool_)
    mask[1:-1, 1:-1] = True
    assert not shapes.at_border(mask)
    mask[place] = True
    assert shapes.at_border(mask)


# Which shape


@pytest.mark.parametrize("ratio", [(0.01, 0.1), (0.1, 0.2)])
def test_irregular_masks_are_a_few_strokes_and_no_dust(ratio):
    from scipy import ndimage

    for seed in range(20):
        mask = draw("irregular", seed, (256, 256), ratio)
        _, parts = ndimage.label(mask, np.ones((3, 3)))
        assert parts <= 8
        core = ndimage.binary_dilation(ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1), np.ones((3, 3)))
        assert core.sum() > 0.9 * mask.sum()


def test_irregular_strokes_change_their_width():
    from scipy import ndimage
    from skimage.morphology import skeletonize

    spreads = []
    for seed in range(10):
        mask = draw("irregular", seed, (128, 128), (0.05, 0.15), touches_border=False)
        widths = 2 * ndimage.distance_transform_edt(mask)[skeletonize(mask)]
        spreads.append(np.percentile(widths, 90) / np.percentile(widths, 30))
    assert np.median(spreads) > 1.2


def test_boxes_are_one_to_five_rectangles():
    for seed in range(40):
        mask = draw("boxes", seed)
        corners = sum(
            mask[row : row + 2, column : column + 2].sum() in (1, 3) for row in range(63) for column in range(63)
        )
        assert corners <= 4 * shapes.MOST_BOXES + 8  # two crossing edges make two more


@pytest.mark.parametrize("size", [(64, 64), (48, 96), (33, 50)])
def test_centre_is_a_centred_rectangle_of_the_pictures_proportions(size):
    for seed in range(10):
        mask = draw("centre", seed, size)
        top, bottom, left, right = pieces(mask)
        assert mask[top:bottom, left:right].all()
        assert abs(top - (size[0] - bottom)) <= 1
        assert abs(left - (size[1] - right)) <= 1
        assert (bottom - top) / size[0] == pytest.approx((right - left) / size[1], abs=0.04)


def test_border_leaves_a_rectangle_that_gives_way_on_one_to_four_sides():
    found = set()
    for seed in range(60):
        mask = draw("border", seed, (60, 90))
        top, bottom, left, right = pieces(~mask)
        assert not mask[top:bottom, left:right].any()
        gaps = (top / 60, (60 - bottom) / 60, left / 90, (90 - right) / 90)
        missing = [gap for gap in gaps if gap]
        assert max(missing) - min(missing) < 0.02
        found.add(tuple(gap > 0 for gap in gaps))
    assert len(found) == 15


@pytest.mark.parametrize(("width", "counts"), [(64, {2048}), (33, {16 * 64, 17 * 64})])
def test_half_is_drawn_where_it_has_so_many_pixels(width, counts):
    for count in counts:
        pixels = Pixels(count, count)
        assert shapes.reaches("half", 64, width, pixels)
        assert all(
            shapes.draw("half", 64, width, np.random.default_rng(seed), pixels).sum() == count for seed in range(8)
        )
    assert not shapes.reaches("half", 64, width, Pixels(1, min(counts) - 1))
    assert not shapes.reaches("half", 64, width, Pixels(max(counts) + 1, 64 * width))


def test_mixture_draws_every_other_kind_that_reaches_the_range_and_strokes_beside_boxes(monkeypatch):
    seen = []
    for kind, generator in shapes.GENERATORS.items():
        monkeypatch.setitem(
            shapes.GENERATORS, kind, lambda *a, kind=kind, generator=generator: seen.append(kind) or generator(*a)
        )
    for ratio, without in (((0.4, 0.5), set()), ((0.2, 0.4), {"half"})):
        seen.clear()
        for seed in range(60):
            shapes.draw("mixture", 32, 32, np.random.default_rng(seed), shapes.pixel_range(32, 32, ratio))
        assert set(seen) == set(shapes.GENERATORS) - without
        assert len(seen) < 120  # the others are both


# In training


@settings(max_examples=40, deadline=None)
@given(SIDE, SIDE, st.floats(0.001, 0.9), st.floats(0, 0.09), st.integers(0, 10_000))
def test_strokes_are_bit_for_bit_those_of_mask_7(height, width, low, spread, seed):
    ours = draw("strokes", seed, (height, width), (low, low + spread))
    np.testing.assert_array_equal(ours, strokes(height, width, np.random.default_rng(seed), (low, low + spread)))


def test_settings_name_what_is_drawn():
    assert {*SHAPES, "half"} == set(shapes.GENERATORS)
    assert [MASKS[number] for number in range(7, 13)] == list(SHAPES)


@pytest.mark.parametrize("split", [TRAIN, VAL])
@pytest.mark.parametrize("kind", SHAPES)
def test_training_draws_every_shape_with_mask_ratio(kind, split):
    config = DataConfig(train_flist="scenes:4", val_flist="scenes:4-8", input_size=48, mask=kind, mask_ratio=(0.2, 0.3))
    dataset = InpaintingDataset(config, split, 1)
    items = [dataset[FIXED_EPOCH, index].mask for index in range(4)]
    assert all(0.2 <= mask.float().mean() <= 0.3 and set(mask.unique().tolist()) == {0.0, 1.0} for mask in items)
    assert all(torch.equal(mask, dataset[FIXED_EPOCH, index].mask) for index, mask in enumerate(items))


DIGESTS = {  # of masks drawn before the shapes moved into one module
    "block": "c4650a368debda0e",
    "half": "a46260001a6f8204",
    "strokes": "15f8f641ca066a04",
    "irregular": "117746af8ea89de4",
    "boxes": "92d7c395520c63fd",
    "centre": "3e42f625ed403c59",
    "border": "5c403098b359696f",
    "mixture": "cefbd5be351a87b9",
}


@pytest.mark.parametrize("kind", DIGESTS)
def test_masks_are_bit_for_bit_what_they_always_were(kind):
    digest = hashlib.sha256()
    for side, ratio in ((48, (0.1, 0.5)), (33, (0.2, 0.3)), (64, (0.01, 0.02))):
        keys = {"train_flist": "scenes:4", "input_size": side, "mask": kind, "mask_ratio": ratio, "sigma": -1.0}
        dataset = InpaintingDataset(DataConfig(**keys), TRAIN, 3)
        for epoch in range(1, 4):
            for index in range(4):
                digest.update(dataset[epoch, index].mask.numpy().astype(np.uint8).tobytes())
    assert digest.hexdigest()[:16] == DIGESTS[kind]


# Blocks, halves and straight strokes


@settings(deadline=None)
@given(st.integers(2, 70), st.integers(2, 70), st.integers(0, 10_000))
def test_block_is_one_rectangle_of_half_the_sides_inside_the_picture(height, width, seed):
    mask = shapes.block(height, width, np.random.default_rng(seed))
    assert mask.shape == (height, width)
    assert mask.dtype == np.bool_
    assert mask.sum() == (height // 2) * (width // 2)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (height // 2, width // 2)


def test_block_reaches_every_place():
    drawn = [shapes.block(8, 9, np.random.default_rng(seed)) for seed in range(400)]
    corners = {(int(np.flatnonzero(m.any(1))[0]), int(np.flatnonzero(m.any(0))[0])) for m in drawn}
    assert corners == {(top, left) for top in range(5) for left in range(6)}


@pytest.mark.parametrize("width", [8, 9])
def test_half_is_the_left_or_the_right_half(width):
    drawn = [shapes.half(6, width, np.random.default_rng(seed)) for seed in range(200)]
    left, right = np.zeros((6, width), np.bool_), np.zeros((6, width), np.bool_)
    left[:, : width // 2] = True
    right[:, width // 2 :] = True
    lefts, rights = (sum(np.array_equal(mask, side) for mask in drawn) for side in (left, right))
    assert lefts + rights == 200
    assert 70 < lefts < 130


@settings(max_examples=60, deadline=None)
@given(SIDE, SIDE, st.floats(0.01, 0.95), st.floats(0.004, 0.4), st.integers(0, 10_000))
def test_strokes_keep_their_ratio_inside_the_range(height, width, low, spread, seed):
    high = min(0.99, low + spread)
    mask = strokes(height, width, np.random.default_rng(seed), (low, high))
    assert mask.shape == (height, width)
    assert mask.dtype == np.bool_
    assert low * height * width - 1e-6 <= mask.sum() <= high * height * width + 1e-6


@pytest.mark.parametrize("ratio", [0.0001, 0.07, 0.25, 0.29, 0.57, 0.9999])
def test_strokes_hit_a_range_of_one_count_exactly(ratio):
    for seed in range(3):
        assert strokes(100, 100, np.random.default_rng(seed), (ratio, ratio)).sum() == round(ratio * 10_000)


def test_strokes_are_the_generators_and_nothing_elses():
    one, same, other = (strokes(64, 48, np.random.default_rng(seed), (0.2, 0.4)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_strokes_fill_their_range_evenly():
    ratios = [strokes(48, 48, np.random.default_rng(seed), (0.1, 0.5)).mean() for seed in range(200)]
    counts, _ = np.histogram(ratios, bins=4, range=(0.1, 0.5))
    assert counts.sum() == 200
    assert counts.min() > 25


@pytest.mark.parametrize(("side", "ratio", "pixels"), [(33, (0.5, 0.5), 544), (16, (0.001, 0.003), 0)])
def test_range_without_a_whole_number_of_pixels_takes_the_nearest(side, ratio, pixels):
    assert strokes(side, side, np.random.default_rng(0), ratio).sum() == pixels


@pytest.mark.parametrize(
    ("ratio", "pixels"),
    [
        ((0.1, 0.2), (1000, 2000)),
        ((0.29, 0.57), (2900, 5700)),
        ((0.10001, 0.10009), (1000, 1000)),
        ((0.3, 0.3), (3000,) * 2),
    ],
)
def test_range_of_ratios_is_one_of_whole_pixels_with_both_ends(ratio, pixels):
    assert shapes.pixel_range(100, 100, ratio) == pixels


@given(height=SIDE, width=SIDE, seed=st.integers(0, 10_000))
def test_a_rectangle_has_sides_in_their_range_and_lies_anywhere(height, width, seed):
    mask = shapes.rectangle(height, width, np.random.default_rng(seed), (0.375, 0.5))
    top, bottom, left, right = pieces(mask)
    assert mask[top:bottom, left:right].all()
    for extent, side in ((bottom - top, height), (right - left, width)):
        assert 0.375 * side - 0.5 <= extent <= 0.5 * side + 0.5


def test_rectangles_are_drawn_to_train_on():
    data = InpaintingDataset(DataConfig(train_flist="scenes:8", input_size=64, mask="rectangle"), TRAIN, 0)
    ratios = {float(data[0, index].mask.float().mean()) for index in range(8)}
    assert len(ratios) > 1
    assert all(0.13 < ratio < 0.26 for ratio in ratios)
