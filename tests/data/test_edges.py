"""Edge maps: scikit-image's Canny with the published choices, blind to missing pixels at test time."""

import errno
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import canny

from edgeconnect.config.sections import TRAIN, VAL, DataConfig
from edgeconnect.data import edges
from edgeconnect.data.dataset import InpaintingDataset
from edgeconnect.data.scenes import render
from edgeconnect.images import fit, read_image


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_gray_weighs_colours_as_scikit_image_does():
    image = rng().integers(0, 256, (9, 7, 3), dtype=np.uint8)
    gray = edges.to_gray(image)
    assert gray.dtype == np.float64
    expected = image.astype(np.float64) @ [0.2125, 0.7154, 0.0721] / 255
    np.testing.assert_allclose(gray, expected, rtol=0, atol=1e-12)


def test_gray_runs_from_0_to_1():
    np.testing.assert_allclose(edges.to_gray(np.full((2, 2, 3), 255, np.uint8)), 1.0, atol=1e-12)
    np.testing.assert_array_equal(edges.to_gray(np.zeros((2, 2, 3), np.uint8)), 0.0)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.0, 3.7])
def test_edges_are_scikit_images_canny(sigma):
    gray = edges.to_gray(render(1, 64, 48))
    found = edges.canny_edges(gray, sigma)
    assert found.dtype == np.bool_
    assert found.any()
    np.testing.assert_array_equal(found, canny(gray, sigma=sigma))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.floats(0.05, 12), st.integers(0, 1000), st.booleans(), st.booleans())
def test_edges_are_scikit_images_canny_for_any_picture(height, width, sigma, seed, drawn, repeated):
    noise = rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    gray = edges.to_gray(render(seed, height, width) if drawn and min(height, width) >= 16 else noise)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges, "REPEATED", height * width if repeated else 0)
        found = edges.canny_edges(gray, sigma)
    np.testing.assert_array_equal(found, canny(gray, sigma=sigma))


def test_edges_of_photographs_are_scikit_images_canny(shared):
    for number, path in enumerate(sorted((shared / "data/natural").glob("*/*.jpg"))[::16]):
        gray = edges.to_gray(fit(read_image(path), 128 * (number % 3)))
        np.testing.assert_array_equal(edges.canny_edges(gray, 1 + number % 4), canny(gray, sigma=1 + number % 4))


def test_sigma_0_draws_1_2_3_or_4_from_the_generator():
    drawn = [edges.draw_sigma(0, rng(seed)) for seed in range(30)]
    assert set(drawn) == {1.0, 2.0, 3.0, 4.0}
    assert drawn == [edges.draw_sigma(0, rng(seed)) for seed in range(30)]


def test_fixed_sigma_leaves_the_generator_alone():
    generator = rng(5)
    assert edges.draw_sigma(2.0, generator) == 2.0
    assert generator.integers(1 << 30) == rng(5).integers(1 << 30)


def test_sigma_minus_1_means_no_edges():
    found = edges.canny_edges(edges.to_gray(render(1, 32, 40)), -1)
    np.testing.assert_array_equal(found, np.zeros((32, 40), np.bool_))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30), st.integers(0, 1000))
def test_what_the_hole_holds_changes_no_edge(scene, seed):
    gray = edges.to_gray(render(scene, 64, 64))
    known = np.ones((64, 64), np.bool_)
    top, left = rng(seed).integers(0, 40, 2)
    known[top : top + 24, left : left + 24] = False
    contents = (gray, np.where(known, gray, 1.0), np.where(known, gray, rng(seed).random((64, 64))))
    found = [edges.canny_edges(content, 2.0, known) for content in contents]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert not found[0][~known].any()


@pytest.mark.parametrize("inside", [0.0, 1.0])
def test_rim_of_the_hole_is_no_edge(inside):
    known = np.ones((64, 64), np.bool_)
    known[20:44, 16:40] = False
    gray = np.where(known, 0.5, inside)
    assert edges.canny_edges(gray, 2.0).any()
    assert not edges.canny_edges(gray, 2.0, known).any()


@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.parametrize("hole", [False, True])
def test_tiny_pictures_have_edge_maps_too(side, hole):
    known = np.full((side, side), not hole)
    found = edges.canny_edges(np.full((side, side), 0.5), 2.0, known)
    np.testing.assert_array_equal(found, np.zeros((side, side), np.bool_))


# Kept on disk


IMAGE = render(1, 64, 47)


def kept(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def count(monkeypatch):
    """Return a list that grows with every map that is drawn."""
    drawn, real = [], edges.canny_edges
    monkeypatch.setattr(edges, "canny_edges", lambda *given: drawn.append(1) or real(*given))
    return drawn


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.1, 5), st.integers(0, 99))
def test_kept_edges_are_those_that_were_drawn(height, width, sigma, seed):
    image = rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    gray = edges.to_gray(image)
    with tempfile.TemporaryDirectory() as folder:
        found = [edges.EdgeCache(Path(folder)).edges(image, gray, sigma) for _ in range(2)]
    for one in found:
        assert one.dtype == np.bool_
        np.testing.assert_array_equal(one, canny(gray, sigma=sigma))


def test_edges_are_drawn_once_for_each_picture_and_sigma(tmp_path, count):
    cache, other = edges.EdgeCache(tmp_path), IMAGE.copy()
    other[5, 5] ^= 1
    for image in (IMAGE, other):
        for sigma in (1.0, 2.0):
            for _ in range(3):
                cache.edges(image, edges.to_gray(image), sigma)
    assert len(count) == len(kept(tmp_path)) == 4
    assert all(path.stat().st_size == 4 + 64 * 47 // 8 for path in kept(tmp_path))


@pytest.mark.parametrize("damage", [lambda data: data[:50], lambda data: data[:9] + b"?" + data[10:], lambda data: b""])
def test_damaged_map_is_drawn_anew(damage, tmp_path, count):
    cache, gray = edges.EdgeCache(tmp_path), edges.to_gray(IMAGE)
    whole = cache.edges(IMAGE, gray, 1.0)
    (path,) = kept(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        np.testing.assert_array_equal(cache.edges(IMAGE, gray, 1.0), whole)
    assert len(count) == 2


def test_disk_that_is_full_costs_one_warning(tmp_path, count, caplog, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    cache, gray = edges.EdgeCache(tmp_path), edges.to_gray(IMAGE)
    for _ in range(3):
        np.testing.assert_array_equal(cache.edges(IMAGE, gray, 1.0), canny(gray, sigma=1.0))
    assert (len(count), len(caplog.records), kept(tmp_path)) == (3, 1, [])
    assert "EDGE_CACHE" in caplog.text
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize("sigma", [-1.0, 0.0, 2.0])
@pytest.mark.parametrize("split", [TRAIN, VAL])
def test_items_are_the_same_with_the_cache(split, sigma, tmp_path):
    keys = {"train_flist": "scenes:3", "val_flist": "scenes:3", "input_size": 32, "mask": "strokes", "sigma": sigma}
    plain = InpaintingDataset(DataConfig(**keys), split, 1)
    cached = InpaintingDataset(DataConfig(**keys, edge_cache=str(tmp_path / "new/cache")), split, 1)
    for item in [(epoch, index) for epoch in (1, 2, 1) for index in range(3)]:
        assert all(torch.equal(one, other) for one, other in zip(plain[item][:4], cached[item][:4], strict=True))
    assert (len(kept(tmp_path)) >= 3) == (sigma != -1)
