"""Which weights a stage begins with: no generator starts afresh beside a trained one, and none is lost."""

import itertools
import os
import shutil

import pytest
import torch
from support import tiny_config
from torch import nn

from edgeconnect.checkpoint.stage import Checkpoints
from edgeconnect.errors import UserError
from edgeconnect.methods.catalogue import EDGECONNECT

G1, G2, D1 = "EdgeModel_gen.pth", "InpaintingModel_gen.pth", "EdgeModel_dis.pth"
CONFIGS = {number: tiny_config(MODEL=number) for number in (1, 2, 3, 4)}
STAGES = {stage.number: stage for stage in EDGECONNECT.stages}
FILES = {name: row.file for name, row in STAGES[4].networks.items()}
AFRESH = 0.0


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class Part:
    def state_dict(self):
        return {}


PARTS = {name: Part() for name in ("optimizers", "random", "train")}


def networks(stage, mark=AFRESH):
    """Make networks of one weight, by which they are known."""
    made = {name: nn.Linear(1, 1, bias=False) for name in STAGES[stage].networks}
    for network in made.values():
        nn.init.constant_(network.weight, mark)
    return made


def begin(folder, stage, resume="auto", init_from=None, mark=None):
    """Begin a stage and return its networks' weights by file; with a mark, train to it and save, too."""
    checkpoints, made = Checkpoints(folder, CONFIGS[stage]), networks(stage)
    start = checkpoints.begin(made, resume, init_from)
    found = {FILES[name]: network.weight.item() for name, network in made.items()}
    if mark:
        for name in STAGES[stage].trained:
            nn.init.constant_(made[name].weight, mark)
        checkpoints.save(made, start.step + 1, PARTS)
    return found


def put(folder, *files, mark=9.0):
    """Put files there by hand."""
    folder.mkdir(exist_ok=True)
    for file in files:
        weights = {"weight": torch.full((1, 1), mark)}
        held = {"iteration": 7, "generator": weights} if "gen" in file else {"discriminator": weights}
        torch.save(held, folder / file)  # the very bytes of a save that keeps it


def build(folder, contents):
    """Fill a folder: `top` puts both generators there, `G1` or `G2` one; `3` trains a stage, `3!` starts it over."""
    folder.mkdir()
    for what in contents.split():
        if what.isdigit():
            begin(folder, int(what), "auto", mark=float(what))
        elif what.endswith("!"):
            begin(folder, int(what[0]), "never", mark=10 + float(what[0]))
        else:
            put(folder, *{"top": (G1, G2), "G1": (G1,), "G2": (G2,), "D1": (D1,)}[what])
    return folder


def weights_in(folder):
    """Return every weight that any file of a folder holds, by the kind of its network."""
    found = set()
    for path in folder.rglob("*Model_*.pth"):
        data = torch.load(path, weights_only=True)
        value = (data.get("generator") or data["discriminator"])["weight"].item()
        found.add((path.name.partition(".")[0], value))
    return found


CONTENTS = ("", "top", "G1", "D1", "1 2", "4", "top 3", "top 4", "top 1", "G1 2 3", "top 3 1!", "1 2 3 1", "top 3 3!")
HOW = [("auto", False), ("never", False), ("auto", True)]  # --resume, --init-from


@pytest.mark.parametrize("contents", CONTENTS)
def test_generators_start_afresh_only_where_nothing_is_trained_and_nothing_is_lost(contents, tmp_path):
    made, half = build(tmp_path / "run", contents), build(tmp_path / "half", "G1")
    before = weights_in(made)
    for stage, (resume, other) in itertools.product(STAGES, HOW):
        folder = shutil.copytree(made, tmp_path / f"{stage} {resume} {other}", symlinks=True)
        try:
            found = begin(folder, stage, resume, half if other else None, mark=50.0)
        except UserError:
            assert weights_in(folder) == before
            continue
        case = stage, resume, other, found
        assert weights_in(folder) >= before, case
        generators = [FILES[name] for name in STAGES[stage].completing]
        afresh = [file for file in generators if found[file] == AFRESH]
        if afresh and resume == "auto":
            assert afresh == generators, case
            assert not [held for held in before if f"{held[0]}.pth" in generators], case
        assert not (afresh and other), case


@pytest.mark.parametrize(
    ("contents", "stage", "resume", "expected"),
    [
        ("top 3", 4, "auto", {G1: 9, G2: 3}),  # the published G1 that stage 3 kept
        ("top 3", 1, "auto", {G1: 9}),
        ("top 3", 2, "auto", "saves/edge_inpaint.* --init-from"),
        ("top 3", 4, "never", {G1: 9, G2: 3}),
        ("G1 2 3", 4, "auto", {G1: 9, G2: 3}),
        ("1 2 3", 4, "auto", {G1: 1, G2: 3}),
        ("1 2", 4, "auto", {G1: 1, G2: 2}),
        ("1", 4, "auto", "holds EdgeModel_gen.pth, .*not InpaintingModel_gen.pth.*--model 2"),
        ("1", 4, "never", {G1: 1, G2: AFRESH}),
        ("2", 4, "auto", "not EdgeModel_gen.pth.*--model 1"),
        ("G2", 4, "auto", "not EdgeModel_gen.pth.*--model 1"),
        ("G1", 3, "auto", "not InpaintingModel_gen.pth.*--resume never"),
        ("G1", 3, "never", {G1: 9, G2: AFRESH}),
        ("top", 3, "auto", {G1: 9, G2: 9}),
        ("top", 4, "auto", {G1: 9, G2: 9}),
        ("top 4", 1, "auto", "saves/joint.* --init-from"),
        ("top 4", 1, "never", {G1: AFRESH}),
        ("4", 3, "auto", "saves/joint.* --init-from"),
        ("", 4, "auto", {G1: AFRESH, G2: AFRESH}),
        ("1 2 3", 1, "never", {G1: AFRESH}),
        ("1 2 3", 3, "never", {G1: 1, G2: 2}),
        ("1 2 3 1", 3, "auto", {G1: 1, G2: 3}),
        ("D1", 1, "auto", "holds EdgeModel_dis.pth, but not EdgeModel_gen.pth"),
        ("top 3 3!", 4, "auto", {G1: 9, G2: 13}),
        ("1 2 3 4", 3, "auto", {G1: 1, G2: 3}),
    ],
)
def test_a_stage_begins_with_the_weights_of_the_table(contents, stage, resume, expected, tmp_path):
    folder = build(tmp_path / "run", contents)
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            begin(folder, stage, resume)
    else:
        found = begin(folder, stage, resume)
        assert {file: found[file] for file in expected} == expected


@pytest.mark.parametrize("stage", [1, 4])
def test_published_file_that_a_stage_kept_frozen_is_not_replaced_without_a_copy(stage, tmp_path):
    folder = build(tmp_path / "run", "top 3")
    before = (folder / G1).read_bytes()
    begin(folder, stage, mark=5.0)
    assert (folder / "EdgeModel_gen.old-1.pth").read_bytes() == before


def test_frozen_copy_is_used_where_the_file_at_the_top_is_gone(tmp_path):
    folder = build(tmp_path / "run", "top 3")
    (folder / G1).unlink()
    assert begin(folder, 4)[G1] == 9
    other = tmp_path / "other"
    other.mkdir()
    assert begin(other, 4, init_from=folder) | {D1: 0} == {G1: 9, G2: 3, D1: 0, "InpaintingModel_dis.pth": 3}


@pytest.mark.parametrize(("files", "lacking"), [((G1,), G2), ((G2,), G1)])
def test_init_from_a_folder_with_one_generator_of_two_is_refused(files, lacking, tmp_path):
    put(tmp_path / "half", *files)
    with pytest.raises(UserError, match=f"holds {files[0]}, but not all generators of stage joint; give .*{lacking}"):
        begin(tmp_path / "run", 4, init_from=tmp_path / "half")
    with pytest.raises(UserError, match=lacking):
        begin(tmp_path / "run", 4, "never", tmp_path / "half")


def test_start_over_that_died_before_its_first_save_goes_on_as_it_began(tmp_path):
    folder = build(tmp_path / "run", "1 2 3")
    assert begin(folder, 2, "never")[G2] == AFRESH
    assert begin(folder, 2, "auto")[G2] == AFRESH


def spoil(path, how):
    path.unlink(missing_ok=True)
    if how == "a page":
        path.write_text("<html>404</html>")
    elif how == "a link to nothing":
        path.symlink_to(path.parent / "gone.pth")
    else:
        path.mkdir()


@pytest.mark.parametrize("how", ["a page", "a link to nothing", "a folder"])
@pytest.mark.parametrize("file", [G1, D1, G2])
@pytest.mark.parametrize("other", [False, True])
def test_file_that_cannot_be_read_stops_the_start_by_its_name(how, file, other, tmp_path):
    folder = build(tmp_path / "given", "top D1")
    spoil(folder / file, how)
    run, source = (tmp_path / "run", folder) if other else (folder, None)
    for stage in (number for number, stage in STAGES.items() if file in [row.file for row in stage.networks.values()]):
        for resume in ("auto", "never"):
            with pytest.raises(UserError, match=f"{file} is no"):
                begin(run, stage, resume, source)
    assert not list(folder.glob("*.old-*"))


def test_damaged_save_that_is_named_to_begin_with_stops_the_start(tmp_path):
    folder = build(tmp_path / "given", "1") / "saves/edge/0000001"
    os.truncate(folder / "state.pth", 10)
    with pytest.raises(UserError, match=r"0000001: state.pth is cut off or changed; use another save"):
        begin(tmp_path / "run", 1, init_from=folder)


@pytest.mark.parametrize("count", [1, 2])
def test_stage_without_a_whole_save_stops_and_the_weights_at_the_top_stay(count, tmp_path):
    folder = build(tmp_path / "run", " ".join("1" * count))
    for file in folder.glob("saves/edge/*/*.pth"):
        os.truncate(file, 10)
    for resume in ("auto", "must"):
        with pytest.raises(UserError, match=r"no save of stage edge is whole.*--resume never"):
            begin(folder, 1, resume)
    top = (folder / G1).read_bytes()
    aside = shutil.copytree(folder, tmp_path / "aside")
    assert begin(folder, 1, "never", mark=5.0)[G1] == AFRESH
    assert (folder / "EdgeModel_gen.old-1.pth").read_bytes() == top
    shutil.rmtree(aside / "saves")  # as the message says
    assert begin(aside, 1)[G1] == 1
