"""Networks and their published files."""

import pickle

import pytest
import torch
from support import differing, state_of
from test_stage import Plain, begin, checkpoints_of, load_generators, method_of, parts_of, save

from edgeconnect.checkpoint.weights import load_network
from edgeconnect.errors import UserError
from edgeconnect.methods.catalogue import EDGECONNECT


@pytest.mark.parametrize(
    ("keys", "remedy"),
    [
        ({"BASE_CHANNELS": 8}, "set BASE_CHANNELS: 4, RESIDUAL_BLOCKS: 1"),
        ({"RESIDUAL_BLOCKS": 3}, "RESIDUAL_BLOCKS: 1"),
        ({"HALVINGS": 1}, "HALVINGS: 2"),
        ({"SKIPS": 1}, "SKIPS: 0"),
    ],
)
def test_other_architecture_is_refused_with_the_settings_that_fit(keys, remedy, tmp_path):
    save(tmp_path, "edge")
    path = tmp_path / "EdgeModel_gen.pth"
    with pytest.raises(UserError, match=r"EdgeModel_gen\.pth: ") as caught:
        load_network(
            path,
            EDGECONNECT.stage("edge").networks["edge_generator"],
            method_of("edge", **keys).networks["edge_generator"],
        )
    assert remedy in str(caught.value)


def test_a_painter_of_another_prefill_is_refused_by_its_name(tmp_path):
    save(tmp_path, "inpaint")
    with pytest.raises(UserError, match="PREFILL: white"):
        load_generators(tmp_path, method_of("inpaint", PREFILL="harmonic"))


def test_edge_weights_under_the_inpainting_name_are_refused(tmp_path):
    save(tmp_path / "other", "edge")
    (tmp_path / "other/EdgeModel_gen.pth").rename(tmp_path / "InpaintingModel_gen.pth")
    with pytest.raises(UserError, match=r"InpaintingModel_gen\.pth: .*it is another kind of network"):
        load_generators(tmp_path, method_of("inpaint"))


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"InpaintingModel_gen\.pth does not exist"):
        load_generators(tmp_path, method_of("inpaint"))
    save(tmp_path / "other", "inpaint")
    path = tmp_path / "InpaintingModel_gen.pth"
    path.write_bytes((tmp_path / "other/InpaintingModel_gen.pth").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"InpaintingModel_gen\.pth is no readable checkpoint"):
        load_generators(tmp_path, method_of("inpaint"))


def test_missing_file_at_the_top_is_read_from_the_newest_save(tmp_path):
    method = save(tmp_path, "inpaint")
    (tmp_path / "InpaintingModel_gen.pth").unlink()
    loaded = method_of("inpaint", seed=3)
    load_generators(tmp_path, loaded)
    assert not differing(
        state_of(method.networks["inpaint_generator"]), loaded.networks["inpaint_generator"].state_dict()
    )


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


def test_pickles_in_checkpoints_are_not_executed(tmp_path):
    marker = tmp_path / "executed"
    (tmp_path / "InpaintingModel_gen.pth").write_bytes(pickle.dumps({"generator": Hostile(marker)}))
    with pytest.raises(UserError, match="no readable checkpoint"):
        load_generators(tmp_path, method_of("inpaint"))
    torch.save({"generator": Hostile(marker)}, tmp_path / "InpaintingModel_gen.pth")
    with pytest.raises(UserError, match="no readable checkpoint"):
        load_generators(tmp_path, method_of("inpaint"))
    assert not marker.exists()


def averaged(loaded):
    return [weights.file for weights in loaded if weights.averaged]


def test_averaged_weights_complete_pictures_where_they_belong_to_the_file(tmp_path):
    method = method_of("inpaint")
    average = {key: value + 1 for key, value in state_of(method.networks["inpaint_generator"]).items()}
    extra = {"ema": {"updates": 1, "shadow": {"inpaint_generator": average}}}
    parts = parts_of(method) | {name: Plain(state) for name, state in extra.items()}
    checkpoints_of(tmp_path, "inpaint").save(method.networks, 1, parts)
    loaded = method_of("inpaint", seed=1)
    assert averaged(load_generators(tmp_path, loaded)) == ["InpaintingModel_gen.pth"]
    assert not differing(average, loaded.networks["inpaint_generator"].state_dict())
    assert averaged(load_generators(tmp_path, loaded, use_ema=False)) == []
    assert not differing(
        state_of(method.networks["inpaint_generator"]), loaded.networks["inpaint_generator"].state_dict()
    )
    path = tmp_path / "InpaintingModel_gen.pth"
    weights = torch.load(path)["generator"]
    path.unlink()
    torch.save({"iteration": 3, "generator": weights}, path)
    assert averaged(load_generators(tmp_path, loaded)) == []


def test_frozen_generator_is_the_average_in_training_and_in_the_save(tmp_path):
    method = method_of("edge")
    average = {key: value + 1 for key, value in state_of(method.networks["edge_generator"]).items()}
    extra = {"ema": {"updates": 1, "shadow": {"edge_generator": average}}}
    parts = parts_of(method) | {name: Plain(state) for name, state in extra.items()}
    checkpoints_of(tmp_path, "edge").save(method.networks, 1, parts)
    stage = method_of("edge_inpaint", seed=4)
    checkpoints = checkpoints_of(tmp_path, "edge_inpaint")
    checkpoints.begin(stage.networks, "never")
    checkpoints.save(stage.networks, 1, parts_of(stage))
    alone = method_of("edge_inpaint", seed=5)
    load_generators(tmp_path / "saves/edge_inpaint/0000001", alone)
    again = method_of("edge_inpaint", seed=6)
    begin(tmp_path, "edge_inpaint", again)
    for one in (stage, alone, again):
        assert not differing(average, one.networks["edge_generator"].state_dict())


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        ({"generator": {"encoder.1.weight": 1}}, "has no entry `generator` of tensors"),
        ({"generator": []}, "has no entry `generator` of tensors"),
        ({"iteration": "abc", "generator": {}}, "its iteration is 'abc'"),
        ({"iteration": -5, "generator": {}}, "its iteration is -5"),
    ],
)
def test_strange_contents_are_named(contents, problem, tmp_path):
    torch.save(contents, tmp_path / "InpaintingModel_gen.pth")
    with pytest.raises(UserError, match=problem):
        load_generators(tmp_path, method_of("inpaint"))


def test_damaged_copy_at_the_top_is_passed_over_by_readers(tmp_path, caplog):
    method = save(tmp_path, "inpaint")
    (tmp_path / "InpaintingModel_gen.pth").write_bytes(b"cut off")
    loaded = method_of("inpaint", seed=3)
    load_generators(tmp_path, loaded)
    assert "InpaintingModel_gen.pth cannot be read" in caplog.text
    assert not differing(
        state_of(method.networks["inpaint_generator"]), loaded.networks["inpaint_generator"].state_dict()
    )
