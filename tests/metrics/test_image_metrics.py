"""Measures of 8-bit pictures against scikit-image and numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2gray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from edgeconnect.data.scenes import render
from edgeconnect.metrics.definitions import DEFINITIONS, EDGES, MASK, NETWORK, PSNR_CAP, obtainable
from edgeconnect.metrics.images import METRICS, compute_metrics

HOLES = [name for name in obtainable({MASK}) if name.endswith("_hole")]


def pictures(amount: int, height: int = 60, width: int = 53) -> tuple[np.ndarray, np.ndarray]:
    truth = render(4, 90, 90)[:height, :width]
    rng = np.random.default_rng(0)
    off = rng.integers(-amount, amount + 1, truth.shape)
    return truth, (truth.astype(int) + off).clip(0, 255).astype(np.uint8)


def hole(truth: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).random(truth.shape[:2]) < 0.3


def test_every_measure_of_two_pictures_and_a_mask_is_defined_and_measured():
    truth, completed = pictures(20)
    measures = compute_metrics(truth, completed, hole(truth))
    assert list(measures) == list(obtainable({MASK}))
    assert all(np.isfinite(value) and isinstance(value, float) for value in measures.values())
    assert set(obtainable()) == set(METRICS)
    assert set(obtainable({MASK, EDGES, NETWORK})) == set(DEFINITIONS)


def test_the_published_measures_come_first():
    assert list(DEFINITIONS)[:3] == ["psnr_gray", "ssim_gray_uniform51", "mae_relative_sum"]


@pytest.mark.parametrize("name", [name for name in DEFINITIONS if not {EDGES, NETWORK} & DEFINITIONS[name].needs])
def test_arrows_point_to_where_better_is(name):
    truth, slightly = pictures(5)
    _, badly = pictures(60)
    mask = hole(truth)
    better, worse = (compute_metrics(truth, completed, mask, [name])[name] for completed in (slightly, badly))
    assert (better > worse) == DEFINITIONS[name].higher_is_better
    assert DEFINITIONS[name].arrow == ("↑" if better > worse else "↓")


@pytest.mark.parametrize("amount", [1, 20, 200])
def test_psnr_is_scikit_images(amount):
    truth, completed = pictures(amount)
    measures = compute_metrics(truth, completed, hole(truth))
    error = np.square(truth.astype(float) - completed)
    assert measures["psnr_rgb"] == pytest.approx(peak_signal_noise_ratio(truth, completed, data_range=255), abs=1e-9)
    assert measures["psnr_rgb"] == pytest.approx(10 * np.log10(255**2 / error.mean()))
    assert measures["psnr_rgb_hole"] == pytest.approx(10 * np.log10(255**2 / error[hole(truth)].mean()))
    gray = [rgb2gray(picture) for picture in (truth, completed)]
    assert measures["psnr_gray"] == pytest.approx(peak_signal_noise_ratio(*gray, data_range=1), abs=1e-9)


def test_gray_weighs_the_channels_as_the_published_program_does():
    truth, completed = pictures(20)
    a, b = (picture.astype(float) @ [0.2125, 0.7154, 0.0721] / 255 for picture in (truth, completed))
    assert compute_metrics(truth, completed)["psnr_gray"] == pytest.approx(-10 * np.log10(np.square(a - b).mean()))


def test_psnr_is_capped_at_100_db():
    truth = np.zeros((600, 600, 3), np.uint8)
    almost = truth.copy()
    almost[0, 0, 0] = 1  # 108.5 dB
    names = ("psnr_rgb", "psnr_gray")
    assert PSNR_CAP == 100.0
    assert set(compute_metrics(truth, truth, names=names).values()) == {100.0}
    assert set(compute_metrics(truth, almost, names=names).values()) == {100.0}
    assert np.isfinite(list(compute_metrics(truth, truth + np.uint8(255), names=names).values())).all()


@pytest.mark.parametrize("amount", [1, 20, 200])
def test_ssim_rgb_is_the_mean_of_the_channels_in_a_gaussian_window_of_11(amount):
    truth, completed = pictures(amount)
    channels = [
        structural_similarity(
            truth[..., c],
            completed[..., c],
            win_size=11,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
        for c in range(3)
    ]
    assert compute_metrics(truth, completed)["ssim_rgb_gauss11"] == pytest.approx(np.mean(channels), abs=1e-9)


@pytest.mark.parametrize("amount", [1, 20, 200])
def test_ssim_gray_is_that_of_a_uniform_window_of_51(amount):
    truth, completed = pictures(amount)
    gray = [rgb2gray(picture) for picture in (truth, completed)]
    expected = structural_similarity(*gray, win_size=51, data_range=1)
    assert compute_metrics(truth, completed)["ssim_gray_uniform51"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("name", "side"), [("ssim_gray_uniform51", 51), ("ssim_rgb_gauss11", 11)])
def test_ssim_is_not_measured_where_its_window_does_not_fit(name, side):
    for height, width in ((side - 1, 90), (90, side - 1), (1, 1)):
        assert np.isnan(compute_metrics(*pictures(9, height, width), names=[name])[name])
    assert np.isfinite(compute_metrics(*pictures(9, side, side), names=[name])[name])


def test_ssim_of_identical_pictures_is_1():
    truth, _ = pictures(1)
    measures = compute_metrics(truth, truth)
    assert [measures[name] for name in ("ssim_rgb_gauss11", "ssim_gray_uniform51")] == pytest.approx([1, 1])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 255))
def test_the_three_errors_are_what_a_loop_finds(seed, amount):
    truth, completed = np.random.default_rng(seed).integers(0, amount + 1, (2, 3, 4, 3)).astype(np.uint8)
    mask = np.random.default_rng(seed).random((3, 4)) < 0.5
    measures = compute_metrics(
        truth, completed, mask, [name for name in obtainable({MASK}) if "l1" in name or "mae" in name]
    )
    for where, suffix in ((np.ones_like(mask), ""), (mask, "_hole")):
        a, b = truth[where].tolist(), completed[where].tolist()
        pairs = [(x / 255, y / 255) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)]
        l1 = sum(abs(x - y) for x, y in pairs)
        light = sum(x for x, _ in pairs)
        g, h = ([0.2125 * p[0] + 0.7154 * p[1] + 0.0721 * p[2] for p in part] for part in (a, b))
        apart, both = sum(abs(x - y) for x, y in zip(g, h, strict=True)), sum(g) + sum(h)
        expected = {
            f"l1{suffix}": l1 / len(pairs) if pairs else np.nan,
            f"mae_over_image{suffix}": l1 / light if light else np.nan,
            f"mae_relative_sum{suffix}": apart / both if both else np.nan,
        }
        assert {name: measures[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_errors_do_not_wrap_around_at_8_bits():
    dark, bright = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 200, np.uint8)
    there, back = (
        compute_metrics(*pair, names=["l1", "mae_relative_sum"]) for pair in ((dark, bright), (bright, dark))
    )
    assert there == back == {"l1": pytest.approx(200 / 255), "mae_relative_sum": pytest.approx(1)}


def test_a_hole_counts_alone():
    truth, completed = pictures(50)
    mask = hole(truth)
    outside = np.where(mask[..., None], truth, completed)
    measures = compute_metrics(truth, outside, mask)
    assert measures["psnr_rgb_hole"] == PSNR_CAP
    assert [measures[name] for name in HOLES if name != "psnr_rgb_hole"] == [0, 0, 0]
    assert measures["l1"] > 0


@pytest.mark.parametrize("mask", [None, np.zeros((60, 53), np.bool_)], ids=["no-mask", "empty-mask"])
def test_without_a_hole_nothing_is_measured_in_it(mask):
    truth, completed = pictures(50)
    measures = compute_metrics(truth, completed, mask)
    assert [name for name, value in measures.items() if np.isnan(value)] == HOLES
    whole = {name: measures[name] for name in obtainable()}
    assert whole == compute_metrics(truth, completed, hole(truth), obtainable())
