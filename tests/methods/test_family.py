"""GLCIC, SE-ResNet with contextual loss, partial convolutions: what is theirs beside the contract."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import OTHERS, SIDES, batch_for, differing, random_batch, state_of, tiny_config, tiny_method

from edgeconnect.config import file as config_file
from edgeconnect.config.presets import preset
from edgeconnect.data.scenes import render
from edgeconnect.engine import Engine, inference
from edgeconnect.errors import UserError
from edgeconnect.images import write_png
from edgeconnect.methods.build import build
from edgeconnect.methods.catalogue import METHODS
from edgeconnect.methods.glcic import find_mean_colour
from edgeconnect.methods.patches import anywhere, around_holes, patches
from edgeconnect.training.phases import phases_of
from edgeconnect.types import Progress

CPU = torch.device("cpu")
GENERATOR, DISCRIMINATOR = ["generator"], ["discriminator"]
PICTURE, HOLE = render(0, 40, 48), np.zeros((40, 48), np.uint8)
HOLE[10:20, 8:30] = 255


def training(name, **keys):
    method = tiny_method(name, **keys)
    for network in method.networks.values():
        network.train()
    return method


def box(*sides, height=40, width=56):
    top, bottom, left, right = sides
    mask = torch.zeros(1, 1, height, width)
    mask[..., top:bottom, left:right] = 1
    return mask


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_patch_covers_the_box_of_what_is_missing_where_it_can(data):
    top, left = data.draw(st.integers(0, 38)), data.draw(st.integers(0, 54))
    bottom, right = data.draw(st.integers(top + 1, 40)), data.draw(st.integers(left + 1, 56))
    mask, side = box(top, bottom, left, right), data.draw(st.integers(1, 40))
    row, column = around_holes(mask, side)[0].tolist()
    assert 0 <= row <= 40 - side
    assert 0 <= column <= 56 - side
    patch = mask[..., row : row + side, column : column + side]
    assert patch.any()
    if max(bottom - top, right - left) <= side:
        assert patch.sum() == mask.sum()


def test_patches_of_several_holes_come_to_each_and_those_of_none_lie_in_the_middle():
    mask = torch.maximum(box(0, 5, 0, 5), box(30, 40, 46, 56))
    torch.manual_seed(0)
    corners = around_holes(mask.expand(200, -1, -1, -1), 12)
    first = (corners == torch.tensor([0, 0])).all(1)
    assert 0 < first.sum() < 100  # a fifth of the missing pixels
    assert torch.equal(around_holes(0 * mask, 12), torch.tensor([[14, 22]]))


def test_patches_are_cut_where_their_corners_say():
    pictures = torch.arange(2 * 3 * 6 * 7).view(2, 3, 6, 7)
    cut = patches(pictures, torch.tensor([[1, 2], [3, 0]]), 3)
    assert torch.equal(cut[0], pictures[0, :, 1:4, 2:5])
    assert torch.equal(cut[1], pictures[1, :, 3:6, 0:3])
    corners = anywhere(torch.zeros(500, 1, 6, 7), 3)
    assert corners.amin(0).tolist() == [0, 0]
    assert corners.amax(0).tolist() == [3, 4]


@pytest.mark.parametrize("name", ["glcic", "se_contextual"])
def test_a_network_that_does_not_learn_in_a_phase_stays_where_it_is(name):
    for roles, resting in ((GENERATOR, DISCRIMINATOR), (DISCRIMINATOR, GENERATOR)):
        method = training(name)
        before = {key: state_of(network) for key, network in method.networks.items()}
        scalars = Engine(CPU).step(method, batch_for(name), Progress(1, 0, roles))
        rested, learned = method.networks[resting[0]], method.networks[roles[0]]
        moved = differing(before[resting[0]], rested.state_dict())
        assert not moved & {key for key, _ in rested.named_parameters()}
        assert differing(before[roles[0]], learned.state_dict()) & {key for key, _ in learned.named_parameters()}
        assert (scalars["l_g"] == 0) == (roles == GENERATOR)  # by the squared error alone


def test_the_mean_colour_is_that_of_the_training_pictures_and_fills_the_hole():
    method, batches = tiny_method("glcic"), [random_batch(seed=seed) for seed in range(3)]
    find_mean_colour(method.generator, batches)
    mean = torch.stack([batch.image for batch in batches]).mean(dim=(0, 1, 3, 4))
    torch.testing.assert_close(method.generator.mean_colour, mean)
    seen = []
    method.generator.forward = lambda filled, mask: seen.append(filled) or filled
    with inference(method):
        method.complete(batches[0])
    hole = batches[0].mask.expand(-1, 3, -1, -1) > 0
    assert torch.equal(seen[0][hole], mean.view(1, 3, 1, 1).expand_as(seen[0])[hole])
    assert "mean_colour" in method.generator.state_dict()


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_of_the_hole_is_seen_and_the_mosaic_where_there_is_one(name):
    batch, other = random_batch(), random_batch(seed=1)
    inside = batch._replace(image=torch.where(batch.mask > 0, other.image, batch.image))
    method = training(name)
    with torch.no_grad():
        known = [method.complete(one).raw for one in (batch, inside)]
    assert torch.equal(*known)
    method = training(name, CORRUPTION="mosaic")
    with torch.no_grad():
        hinted = [method.complete(one._replace(mosaic=one.image)).raw for one in (batch, inside)]
    assert not torch.equal(*hinted)


def test_the_encoders_statistics_are_frozen_from_the_second_phase_on():
    method, engine = training("partialconv"), Engine(CPU)
    statistics = {key for key in method.generator.state_dict() if "running" in key}
    encoder = {key for key in statistics if key.startswith("encoder")}
    for phase, moves in ((0, statistics), (1, statistics - encoder), (0, statistics)):
        before = state_of(method.generator)
        engine.step(method, random_batch(seed=phase), Progress(1, phase))
        assert differing(before, method.generator.state_dict()) & statistics == moves


@pytest.mark.parametrize("name", ["glcic", "se_contextual"])
def test_a_size_that_is_left_open_is_refused(name):
    with pytest.raises(UserError, match="INPUT_SIZE: 0"):
        tiny_method(name, INPUT_SIZE=0)


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("glcic", {"GLCIC.LOCAL_SIZE": 0.4}, "GLCIC.LOCAL_SIZE: patches of 26 pixels"),
        ("se_contextual", {"SE_CONTEXTUAL.LOCAL_SIZE": 0.2}, "SE_CONTEXTUAL.LOCAL_SIZE: patches of 6 pixels"),
        ("glcic", {"INPUT_SIZE": 48}, "INPUT_SIZE: 48 is neither 0 nor 64 or more"),
    ],
)
def test_patches_and_pictures_that_are_too_small_are_refused(name, keys, said):
    with pytest.raises(UserError, match=said):
        tiny_method(name, **keys)


def test_one_picture_whose_last_map_is_one_pixel_is_refused():
    with pytest.raises(UserError, match="BATCH_SIZE: 2"):
        Engine(CPU).step(training("glcic"), batch_for("glcic", 1))


@pytest.mark.parametrize(
    ("name", "keys", "scalars"),
    [
        ("se_contextual", {"SE_CONTEXTUAL.CONTEXTUAL_LOSS_WEIGHT": 0.004}, ["l_cx"]),
        ("partialconv", {"PARTIALCONV.PERCEPTUAL_LOSS_WEIGHT": 0.05}, ["l_per"]),
        ("partialconv", {"PARTIALCONV.STYLE_LOSS_WEIGHT": 120}, ["l_sty"]),
    ],
)
@pytest.mark.parametrize("net", ["vgg16", "squeezenet1_1"])
def test_every_feature_network_measures_for_every_method(name, keys, scalars, net):
    method = training(name, VGG_WEIGHTS="random", FEATURE_NET=net, **keys)
    found = Engine(CPU).step(method, random_batch())
    assert all(found[scalar] > 0 for scalar in scalars)


@pytest.mark.parametrize("name", OTHERS)
def test_published_presets_are_the_papers(name):
    config = config_file.load(preset(name)).config
    (stage,) = METHODS[name].stages
    roles = ["generator", "discriminator"] if name != "partialconv" else ["generator"]
    phases = phases_of(config.optim, stage.name, roles)
    learning = [(phase.end, list(phase.rates)) for phase in phases]
    if name == "partialconv":
        assert [(phase.rates["generator"]) for phase in phases] == [2e-4, 5e-5]
        return
    assert learning == [(90_000, GENERATOR), (100_000, DISCRIMINATOR), (500_000, roles)]
    size = config.data.input_size
    assert (size, round(size * config.own.local_size)) == {"glcic": (256, 128), "se_contextual": (160, 96)}[name]
    assert config.optim.batch_size == {"glcic": 96, "se_contextual": 12}[name]
    assert config.own.adv_loss_weight == 0.0004


@pytest.mark.parametrize("name", OTHERS)
def test_networks_are_as_wide_as_the_configuration_says(name):
    widths = [
        sum(
            p.numel()
            for p in build(tiny_config(METHOD=name, BASE_CHANNELS=width, INPUT_SIZE=64), Engine(CPU).prepare)
            .networks["generator"]
            .parameters()
        )
        for width in (4, 8)
    ]
    assert 3 < widths[1] / widths[0] < 4.5


# From the command line


def test_a_method_named_on_the_command_line_completes_pictures_too(run_folder, command):
    folder = run_folder(MAX_ITERS=1, BATCH_SIZE=2)
    chosen = "--checkpoints", folder, "--set", "METHOD=partialconv"
    code, said = command("train", *chosen, "--no-check")
    assert code == 0, said
    write_png(folder / "a.png", PICTURE)
    write_png(folder / "m.png", HOLE)
    given = "--input", folder / "a.png", "--mask", folder / "m.png"
    code, said = command("test", *chosen, *given, "--output", folder / "out.png")
    assert code == 0, said
    assert "resolved_completion.yml: RESIDUAL_BLOCKS" not in said
    assert (folder / "out.png").is_file()


@pytest.mark.parametrize("name", OTHERS)
def test_every_method_is_evaluated_as_one_that_sees_no_edges(name, run_folder, command):
    rate = {"LR": 1, "D2G_LR": 1} if name == "glcic" else {}
    folder = run_folder(MAX_ITERS=1, METHOD=name, **rate | {"INPUT_SIZE": SIDES.get(name, 32)})
    assert command("train", "--checkpoints", folder, "--no-check")[0] == 0
    items = "--pictures", "scenes:8-10", "--masks", "strokes", "--methods", "telea"
    code, said = command("evaluate", "--checkpoints", folder, *items, "--shown", 1)
    assert code == 0, said
    run, telea = json.loads((folder / "evaluation/results.json").read_text())["methods"]
    assert (run["name"], run["edges"], telea["edges"]) == ("run:completion", "", "")


def test_a_run_keeps_its_method(run_folder, command):
    folder = run_folder(MAX_ITERS=1, METHOD="partialconv")
    assert command("train", "--checkpoints", folder, "--no-check")[0] == 0
    config = (folder / "config.yml").read_text()
    (folder / "config.yml").write_text(config.replace("METHOD: partialconv", "METHOD: se_contextual"))
    code, said = command("train", "--checkpoints", folder, "--no-check")
    assert code == 2
    assert "METHOD partialconv -> se_contextual" in said


def test_networks_of_another_size_are_refused_with_the_keys_that_shape_them(run_folder, command):
    folder = run_folder(MAX_ITERS=1, METHOD="se_contextual")
    assert command("train", "--checkpoints", folder, "--no-check")[0] == 0
    code, said = command(
        "train", "--checkpoints", folder, "--no-check", "--set", "INPUT_SIZE=64", "--set", "MAX_ITERS=2"
    )
    assert code == 2
    assert "INPUT_SIZE" in said


def test_shared_keys_that_a_method_does_not_read_are_named():
    loaded = config_file.load(None, [("here", "METHOD=partialconv"), ("here", "STYLE_LOSS_WEIGHT=0")])
    assert loaded.notes == ("here: STYLE_LOSS_WEIGHT means nothing to METHOD partialconv",)
    assert not config_file.load(None, [("here", "STYLE_LOSS_WEIGHT=0")]).notes
    assert set(METHODS["glcic"].unread) <= set(config_file.known_keys())


def test_a_rate_for_adam_is_warned_of_where_adadelta_takes_it(caplog):
    tiny_method("glcic", LR=1e-4)
    assert "set LR: 1" in caplog.text
