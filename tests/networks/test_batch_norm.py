"""Batch normalisation in one process; `test_distributed.py` has that of several."""

import rank_norms
import torch
from torch import nn

from edgeconnect.networks.batch_norm import BatchNorm


def test_one_process_computes_what_pytorch_does():
    ours, theirs = rank_norms.train(BatchNorm), rank_norms.train(nn.BatchNorm2d)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def test_evaluation_takes_the_running_statistics():
    norm = BatchNorm(2)
    x = torch.randn(4, 2, 5, 5) + 3
    norm(x)
    kept = {name: value.clone() for name, value in norm.state_dict().items()}
    y = norm.eval()(x)
    mean, variance = (kept[f"running_{name}"].view(1, -1, 1, 1) for name in ("mean", "var"))
    torch.testing.assert_close(y, (x - mean) / (variance + 1e-5).sqrt())
    assert all(torch.equal(value, kept[name]) for name, value in norm.state_dict().items())


def test_statistics_are_float32_under_autocast():
    x = torch.randn(4, 3, 16, 16) + 100
    norm = BatchNorm(3)
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(x.bfloat16())
    assert (y.dtype, norm.running_mean.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(norm.running_mean, 0.1 * x.bfloat16().float().mean((0, 2, 3)))
