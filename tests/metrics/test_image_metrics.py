"""Measures of 8-bit pictures against scikit-image and numpy."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from edgeconnect.data.scenes import render
from edgeconnect.metrics.images import PSNR_CAP, l1_hole, means, measure, psnr_rgb, ssim_gauss11


def pictures(amount: int) -> tuple[np.ndarray, np.ndarray]:
    truth = render(4, 40, 53)
    rng = np.random.default_rng(0)
    off = rng.integers(-amount, amount + 1, truth.shape)
    return truth, (truth.astype(int) + off).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("amount", [1, 20, 200])
def test_psnr_is_scikit_images(amount):
    truth, completed = pictures(amount)
    assert psnr_rgb(truth, completed) == pytest.approx(peak_signal_noise_ratio(truth, completed, data_range=255))
    error = np.square(truth.astype(float) - completed).mean()
    assert psnr_rgb(truth, completed) == pytest.approx(10 * np.log10(255**2 / error))


def test_psnr_is_capped_at_100_db():
    truth = np.zeros((600, 600, 3), np.uint8)
    almost = truth.copy()
    almost[0, 0, 0] = 1  # 108.5 dB
    assert PSNR_CAP == 100.0
    assert psnr_rgb(truth, truth) == 100.0
    assert psnr_rgb(truth, almost) == 100.0
    assert np.isfinite(psnr_rgb(truth, truth + np.uint8(255)))


@pytest.mark.parametrize("amount", [1, 20, 200])
def test_ssim_is_the_mean_of_the_channels_in_a_gaussian_window_of_11(amount):
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
    assert ssim_gauss11(truth, completed) == pytest.approx(np.mean(channels), abs=1e-9)


def test_ssim_of_identical_pictures_is_1():
    truth, _ = pictures(1)
    assert ssim_gauss11(truth, truth) == pytest.approx(1.0)


def test_l1_counts_the_hole_alone_from_0_to_1():
    truth, completed = pictures(50)
    mask = np.random.default_rng(1).random(truth.shape[:2]) < 0.3
    apart = [abs(int(t) - int(c)) for t, c in zip(truth[mask].ravel(), completed[mask].ravel(), strict=True)]
    assert l1_hole(truth, completed, mask) == pytest.approx(np.mean(apart) / 255)
    assert l1_hole(truth, np.where(mask[..., None], truth, 255 - truth), mask) == 0
    black = np.zeros((2, 2, 3), np.uint8)
    assert l1_hole(black, black + np.uint8(255), np.eye(2, dtype=np.bool_)) == 1


def test_l1_does_not_wrap_around_at_8_bits():
    dark, bright = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 200, np.uint8)
    everywhere = np.ones((2, 2), np.bool_)
    assert l1_hole(dark, bright, everywhere) == l1_hole(bright, dark, everywhere) == pytest.approx(200 / 255)


def test_l1_without_a_hole_is_0():
    truth, completed = pictures(50)
    assert l1_hole(truth, completed, np.zeros(truth.shape[:2], np.bool_)) == 0.0


def test_measure_names_every_measure():
    truth, completed = pictures(20)
    mask = np.ones(truth.shape[:2], np.bool_)
    assert measure(truth, completed, mask) == {
        "psnr_rgb": psnr_rgb(truth, completed),
        "ssim_gauss11": ssim_gauss11(truth, completed),
        "l1_hole": l1_hole(truth, completed, mask),
    }


def test_means_are_taken_measure_by_measure():
    assert means([{"a": 1.0, "b": 10.0}, {"b": 30.0, "a": 2.0}]) == {"a": 1.5, "b": 20.0}
