"""The published implementation's numbers: pictures within one grey level, training scalars as docs/numerics.md says."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import PARITY, STAGES

from edgeconnect.checkpoint.published_format import from_published, to_published
from edgeconnect.methods.catalogue import EDGECONNECT

NETWORKS = EDGECONNECT.stage("joint").networks
# Relative; losses and mae: LOSSES. Edges are counted above a threshold, where rounding moves single pixels.
LOSSES, TOLERANCES = 1e-3, {"precision": 2e-2, "recall": 2e-2, "psnr": 1e-4}
EXPECTED = json.loads((PARITY / "train" / "expected.json").read_text())


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        ("model1", ("--model", 1)),
        ("model2", ("--model", 2)),
        ("model3", ("--model", 3, "--raw-edges")),
        ("model3_merged", ()),
    ],
)
def test_completed_pictures_equal_the_published_ones(expected, options, published, tmp_path, command):
    code, _ = command(
        *("test", "--checkpoints", published, "--input", PARITY / "images", "--mask", PARITY / "masks"),
        *("--output", tmp_path, *options),
    )
    assert code == 0
    for path in sorted((PARITY / "expected" / expected).glob("*.png")):
        ours, theirs = (np.array(Image.open(p)).astype(int) for p in (tmp_path / path.name, path))
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 1


def test_expected_scalars_are_there_for_these_cases():
    assert sorted(EXPECTED) == ["lsgan-1", "nsgan-1", "nsgan-2", "nsgan-3"]  # as docs/numerics.md says


@pytest.mark.parametrize("case", sorted(EXPECTED))
def test_training_scalars_equal_the_published_ones(case, published, tmp_path, command):
    gan, number = case.split("-")
    for network in NETWORKS.values():
        shutil.copy(published / network.file, tmp_path)
    settings = {
        "GAN_LOSS": gan,
        "TRAIN_FLIST": PARITY / "train" / "image.png",
        "TRAIN_MASK_FLIST": PARITY / "train" / "mask.png",
        "VGG_WEIGHTS": published / "vgg.pth",
        "INPUT_SIZE": 64,
        "BATCH_SIZE": 1,
        "MAX_ITERS": 3,
        "LOG_INTERVAL": 1,
        "NUM_WORKERS": 0,
        "PRECISION": "fp32",
    }
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    code, _ = command("train", "--model", number, "--checkpoints", tmp_path, *options)
    assert code == 0
    with (tmp_path / f"log_{STAGES[int(number) - 1]}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["1", "2", "3"]
    for row, wanted in zip(rows, EXPECTED[case], strict=True):
        assert list(row)[2:-3] == list(wanted)  # then phase, lr, wait
        for name, value in wanted.items():
            assert float(row[name]) == pytest.approx(value, rel=TOLERANCES.get(name, LOSSES)), name


def test_networks_have_the_published_keys_shapes_and_sizes(published):
    from support import tiny_method

    manifest = json.loads((PARITY / "manifest.json").read_text())
    method = tiny_method("joint", BASE_CHANNELS=64, RESIDUAL_BLOCKS=8)
    for name, network in method.networks.items():
        state = to_published(network.state_dict(), NETWORKS[name].alias)
        shapes = {key: list(value.shape) for key, value in state.items()}
        assert shapes == manifest[Path(NETWORKS[name].file).stem]
    sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in method.networks.items()}
    assert (sizes["edge_generator"], sizes["inpaint_generator"]) == (10_761_089, 10_774_595)


def test_published_state_survives_the_round_trip(published):
    for network in NETWORKS.values():
        state = torch.load(published / network.file, weights_only=True)[network.entry]
        back = to_published(from_published(state, network.alias), network.alias)
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)


def test_multi_gpu_prefix_and_pytorch_0_4_files_load(published):
    state = torch.load(published / "EdgeModel_gen.pth", weights_only=True)["generator"]
    wanted = from_published(state)
    prefixed = {f"module.{key}": value for key, value in state.items()}
    assert from_published(prefixed).keys() == wanted.keys()
    old = {key: value for key, value in state.items() if not key.endswith("weight_v")}
    old |= {key.replace("weight_orig", "weight"): value for key, value in state.items() if key.endswith("weight_orig")}
    recovered = from_published(old)
    assert recovered.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(recovered[key], value, rtol=0, atol=1e-2)
