"""The published running measures against formulas written once more."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconnect.metrics.training import edge_precision_recall, psnr_8bit, relative_mae


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def numpy_psnr(image: torch.Tensor, completed: torch.Tensor) -> float:
    a, b = (np.trunc(np.float32(255) * x.numpy()).astype(np.int64) for x in (image, completed))
    return 10 * math.log10(255**2 / np.square(a - b).mean())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.001, 0.5))
def test_psnr_is_that_of_the_truncated_pictures_of_the_whole_batch(seed, amount):
    image = noise(2, 3, 9, 11, seed=seed)
    completed = (image + amount * (noise(2, 3, 9, 11, seed=seed + 1) - 0.5)).clamp(0, 1)
    assert psnr_8bit(image, completed).item() == pytest.approx(numpy_psnr(image, completed), abs=1e-3)


def test_psnr_takes_one_error_for_the_batch_and_not_the_mean_of_several():
    image = torch.zeros(2, 3, 4, 4)
    completed = torch.stack([torch.full((3, 4, 4), 0.5), torch.full((3, 4, 4), 0.02)])
    assert psnr_8bit(image, completed).item() == pytest.approx(
        10 * math.log10(255**2 / ((127**2 + 5**2) / 2)), abs=1e-4
    )


def test_psnr_truncates_and_does_not_round():
    image, completed = torch.full((1, 3, 2, 2), 10.2 / 255), torch.full((1, 3, 2, 2), 10.9 / 255)
    assert psnr_8bit(image, completed).item() == psnr_8bit(image, image).item()
    assert psnr_8bit(image, torch.full_like(image, 11.1 / 255)).item() == pytest.approx(20 * math.log10(255), abs=1e-4)


def test_psnr_of_identical_pictures_is_finite_and_above_every_other():
    image = noise(1, 3, 8, 8)
    other = image.clone()
    other[0, 0, 0, 0] = (image[0, 0, 0, 0] + 0.5) % 1
    same, almost = psnr_8bit(image, image), psnr_8bit(image, other)
    assert same.item() == pytest.approx(10 * math.log10(255**2 * 192), abs=1e-3)
    assert almost < same


def test_psnr_does_not_mind_outputs_outside_of_the_range():
    image = torch.ones(1, 3, 2, 2)
    assert psnr_8bit(image, image + 5).item() == psnr_8bit(image, image).item()


def test_relative_mae_is_the_sum_of_differences_over_the_sum_of_the_picture():
    image, completed = noise(2, 3, 5, 7), noise(2, 3, 5, 7, seed=1)
    a, b = image.double().numpy(), completed.double().numpy()
    assert relative_mae(image, completed).item() == pytest.approx(np.abs(a - b).sum() / a.sum(), rel=1e-5)
    assert relative_mae(image, image) == 0


def test_relative_mae_of_a_black_picture_is_finite():
    black = torch.zeros(1, 3, 4, 4)
    assert relative_mae(black, black) == 0
    assert relative_mae(black, black + 1 / 255).item() == pytest.approx(48, rel=1e-5)


def looped(edge, hallucinated, mask, threshold) -> tuple[float, float]:
    hits = relevant = selected = 0
    for e, h, m in zip(edge.flatten().tolist(), hallucinated.flatten().tolist(), mask.flatten().tolist(), strict=True):
        true, found = m > 0 and e > threshold, m > 0 and h > threshold
        hits, relevant, selected = hits + (true and found), relevant + true, selected + found
    if not relevant and not selected:
        return 1.0, 1.0
    return hits / selected if selected else 0.0, hits / relevant if relevant else 0.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.25, 0.5, 0.75]))
def test_precision_and_recall_are_those_of_a_loop_over_the_hole(seed, edges, found, holes, threshold):
    edge = (noise(1, 1, 5, 5, seed=seed) < edges).float()
    hallucinated = noise(1, 1, 5, 5, seed=seed + 1) * found * 2
    mask = (noise(1, 1, 5, 5, seed=seed + 2) < holes).float()
    measured = edge_precision_recall(edge, hallucinated.clamp(0, 1), mask, threshold)
    expected = looped(edge, hallucinated.clamp(0, 1), mask, threshold)
    assert [value.item() for value in measured] == pytest.approx(expected, abs=1e-6)
    assert all(value.ndim == 0 for value in measured)


ONES, ZEROS = torch.ones(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)


@pytest.mark.parametrize(
    ("edge", "hallucinated", "mask", "expected"),
    [
        (ONES, ONES, ZEROS, (1, 1)),
        (ZEROS, ZEROS, ONES, (1, 1)),
        (ZEROS, ONES, ONES, (0, 0)),
        (ONES, ZEROS, ONES, (0, 0)),
        (ONES, ONES, ONES, (1, 1)),
    ],
    ids=["no-hole", "no-edges", "all-false", "all-missed", "all-found"],
)
def test_precision_and_recall_of_the_limits(edge, hallucinated, mask, expected):
    assert [value.item() for value in edge_precision_recall(edge, hallucinated, mask, 0.5)] == pytest.approx(expected)


def test_edges_outside_of_the_hole_do_not_count():
    mask = ZEROS.clone()
    mask[..., 0] = 1
    hallucinated = ZEROS.clone()
    hallucinated[..., :2] = 1
    assert [value.item() for value in edge_precision_recall(ONES, hallucinated, mask, 0.5)] == pytest.approx([1, 1])
