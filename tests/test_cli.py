"""End to end, as a user would: train, go on, complete; and every mistake in one line."""

import argparse
import csv
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import STAGES

from edgeconnect.cli import COMMANDS, main, parser

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def pictures(tmp_path, command):
    command("scenes", "--output", tmp_path / "data", "--count", 3, "--size", 40, 56, "--masks", "0.2-0.4")
    return tmp_path / "data"


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.fixture
def trained(run_folder, command):
    folder = run_folder(MAX_ITERS=2, LOG_INTERVAL=1, SAMPLE_INTERVAL=1, EVAL_INTERVAL=1, SAMPLE_SIZE=5)
    code, said = command("train", "--model", "all", "--checkpoints", folder)
    assert code == 0, said
    return folder


def test_all_trains_three_stages_each_to_its_own_budget(trained, command):
    for stage in STAGES[:3]:
        with (trained / f"log_{stage}.csv").open() as file:
            assert [row["iteration"] for row in csv.DictReader(file)] == ["1", "2"]
        assert (trained / "samples" / stage / "0000002.png").is_file()
        assert (trained / f"log_{stage}_val.csv").is_file()
        assert (trained / f"resolved_{stage}.yml").is_file()
        assert list((trained / "tensorboard" / stage).iterdir())
    before = {path: path.read_bytes() for path in trained.glob("*.pth")}
    code, said = command("train", "--model", "all", "--checkpoints", trained)
    assert code == 0
    assert said.count("nothing to do") == 1
    assert said.count("not trained further") == 2
    assert before == {path: path.read_bytes() for path in trained.glob("*.pth")}


def test_same_command_goes_on_and_joint_follows(trained, command):
    code, said = command("train", "--model", 3, "--checkpoints", trained, "--set", "MAX_ITERS=3")
    assert code == 0
    assert "resumes at iteration 2" in said
    code, said = command("train", "--model", 4, "--checkpoints", trained)
    assert code == 0
    assert "of stage edge_inpaint" in said
    with (trained / "log_joint.csv").open() as file:
        columns = file.readline().strip().split(",")
    assert (
        " ".join(columns) == "epoch iteration l_d1 l_g1 l_fm pre rec l_d2 l_g2 l_l1 l_per l_sty psnr mae phase lr wait"
    )


@pytest.mark.parametrize(("model", "mode"), [(None, "RGB"), (1, "L"), (2, "RGB"), (3, "RGB")])
def test_every_model_completes_pictures_at_their_own_size(model, mode, trained, pictures, tmp_path, command):
    chosen = ("--model", model) if model else ()
    code, said = command(
        *("test", "--checkpoints", trained, "--input", pictures / "images", "--mask", pictures / "masks"),
        *("--output", tmp_path / "out", *chosen),
    )
    assert code == 0, said
    for path in (pictures / "images").iterdir():
        truth, mask, done = (pixels(f / path.name) for f in (path.parent, pictures / "masks", tmp_path / "out"))
        assert done.shape == ((40, 56) if mode == "L" else truth.shape)
        if mode == "RGB":
            assert (done[mask == 0] == truth[mask == 0]).all()


def test_flags_of_test_reach_the_method(trained, pictures, tmp_path, command):
    base = ("test", "--checkpoints", trained, "--input", pictures / "images", "--mask", pictures / "masks")
    for name, extra in (
        ("plain", ()),
        ("raw", ("--raw-edges",)),
        ("edges", ("--edge", pictures / "masks")),
        ("mirror", ("--mirror",)),
    ):
        code, said = command(*base, "--output", tmp_path / name, *extra)
        assert code == 0, said
    plain, *others = (pixels(tmp_path / n / "scene_000000.png") for n in ("plain", "raw", "edges", "mirror"))
    assert all((plain != other).any() for other in others)


def test_main_follows_mode(trained, pictures, tmp_path, capsys):
    assert main(["run", "--checkpoints", str(trained), "--set", "MODE=3", "--model", "3"]) == 0
    assert "edge_inpaint (strict edges)" in capsys.readouterr().out
    measured = json.loads((trained / "evaluation/results.json").read_text())["measures"]
    assert {"psnr_rgb", "ssim_rgb_gauss11", "l1_hole", "edge_f1"} <= measured.keys()
    lists = [f"TEST_FLIST={pictures / 'images'}", f"TEST_MASK_FLIST={pictures / 'masks'}", "MODE=test"]
    assert main(["run", "--checkpoints", str(trained), *(p for text in lists for p in ("--set", text))]) == 0
    assert len(list((trained / "results_edge").iterdir())) == 3


def test_all_goes_on_to_a_larger_budget(trained, command):
    code, said = command("train", "--model", "all", "--checkpoints", trained, "--set", "MAX_ITERS=3")
    assert code == 0, said
    assert said.count("not trained further") == 2
    assert said.count("resumes at iteration 2") == 1


def test_main_goes_by_model_and_test_by_its_default(trained, capsys):
    for arguments, model in (
        (["run", "--set", "MODE=2", "--set", "MODEL=2"], "inpaint"),
        (["test"], "edge_inpaint"),
        (["test", "--set", "MODEL=2"], "inpaint"),
        (["test", "--set", "MODEL=2", "--model", "4"], "joint"),
    ):
        assert main([arguments[0], "--checkpoints", str(trained), *arguments[1:], "--dry-run"]) == 0
        assert f"MODEL: {model}\n" in capsys.readouterr().out


def test_read_only_checkpoints_complete_pictures(trained, pictures, tmp_path, command, monkeypatch):
    from edgeconnect.commands import runs
    from edgeconnect.errors import UserError

    def refuse(path, data):
        raise UserError(f"{path}: cannot be written")

    (trained / "config.yml").unlink()
    monkeypatch.setattr(runs, "write_whole", refuse)
    code, said = command(
        *("test", "--checkpoints", trained, "--input", pictures / "images", "--mask", pictures / "masks"),
        *("--output", tmp_path / "out", "--set", "BASE_CHANNELS=4", "--set", "RESIDUAL_BLOCKS=1"),
    )
    assert code == 0, said
    assert "config.yml does not exist: defaults" in said


def test_published_vgg_weights_are_asked_for_before_the_first_stage(run_folder, command):
    folder = run_folder(STYLE_LOSS_WEIGHT=1, VGG_WEIGHTS="gone.pth", MAX_ITERS=1)
    code, said = command("train", "--model", "all", "--checkpoints", folder)
    assert code == 2
    assert "VGG_WEIGHTS: gone.pth does not exist" in said
    assert not list(folder.glob("*.pth"))


def test_missing_configuration_is_copied_from_the_example_and_said(tmp_path, command):
    code, said = command("train", "--checkpoints", tmp_path / "new")
    assert code == 0
    assert "config.yml was not there: copied from the example" in said
    assert "set TRAIN_FLIST" in said
    assert command("train", "--checkpoints", tmp_path / "new")[0] == 2
    assert (tmp_path / "new" / "config.yml").read_text() == (ROOT / "config.yml.example").read_text()


def test_dry_run_prints_and_writes_nothing(tmp_path, capsys):
    folder = tmp_path / "new"
    assert main(["train", "--checkpoints", str(folder), "--model", "2", "--set", "LR=3e-4", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "MODEL: inpaint\n" in printed
    assert "LR: 0.0003\n" in printed
    assert not folder.exists()


def mistakes(folder, data, tmp_path):
    test = ["test", "--checkpoints", folder, "--input", data / "images", "--mask", data / "masks"]
    train = ["train", "--checkpoints", folder, "--set", "MAX_ITERS=3"]
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "empty.flist").write_text("\n")
    flat = tmp_path / "flat.png"
    Image.fromarray(np.eye(20, 200, dtype=np.uint8) * 255).save(flat)
    inverted = tmp_path / "inverted.png"
    Image.fromarray(255 - pixels(data / "masks" / "scene_000000.png")).save(inverted)
    lone = tmp_path / "lone"
    lone.mkdir()
    Image.new("L", (24, 24), 255).save(lone / "scene_000001.png")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    return {
        "no folder": (["test", "--checkpoints", tmp_path / "none", *test[3:]], "none does not exist"),
        "no checkpoint": (["test", "--checkpoints", empty, *test[3:]], "EdgeModel_gen.pth does not exist"),
        "no input": ([*test[:4], tmp_path / "gone", *test[5:]], "gone does not exist"),
        "empty input": ([*test[:4], empty, *test[5:]], "empty holds no picture"),
        "bad input": (
            [*test[:4], bad, "--mask", data / "masks" / "scene_000000.png"],
            "bad.png: cannot be read as a picture",
        ),
        "unpaired": ([*test[:6], lone], "no mask of the same name for"),
        "polarity": ([*test[:6], inverted], "MASK_POLARITY: known"),
        "blended edges": ([*test, "--model", "1", "--blend"], "--blend: stage edge draws edges"),
        "lossy output": ([*test, "--output", tmp_path / "a.jpg"], "not lossless"),
        "architecture": ([*test, "--set", "BASE_CHANNELS=8"], "set BASE_CHANNELS: 4"),
        "unknown key": ([*train, "--set", "BATCHSIZE=2"], "did you mean BATCH_SIZE"),
        "bad value": ([*train, "--set", "LR=fast"], "LR: 'fast' is no number"),
        "bad model": ([*train, "--model", "5"], "1 edge, 2 inpaint, 3 edge_inpaint, 4 joint, all"),
        "empty list": ([*train, "--set", f"TRAIN_FLIST={tmp_path / 'empty.flist'}"], "lists no picture"),
        "no masks": ([*train, "--set", "MASK=3"], "TRAIN_MASK_FLIST is empty"),
        "no vgg": (
            [*train, "--model", "4", "--set", "STYLE_LOSS_WEIGHT=1", "--set", "VGG_WEIGHTS=gone.pth"],
            "VGG_WEIGHTS: gone.pth does not exist",
        ),
        "trained otherwise": ([*train, "--model", "1", "--set", "RESIDUAL_BLOCKS=2"], "RESIDUAL_BLOCKS 1 -> 2"),
        "no cuda": ([*train, "--set", "DEVICE=cuda:99"], "cuda:99 is not there"),
        "beta": ([*train, "--set", "BETA1=1"], "BETA1: 1 is no number from 0 to below 1"),
        "date": ([*train, "--set", "TRAIN_FLIST=2024-13-45"], "TRAIN_FLIST: 2024-13-45 does not exist"),
        "seed": ([*train, "--set", "SEED=99999999999999999999"], "SEED: "),
        "small": ([*train, "--set", "INPUT_SIZE=0", "--set", f"TRAIN_FLIST={lone}"], "a side below the 32 pixels"),
        "file": (["train", "--checkpoints", bad], "bad.png is a file, not a folder"),
        "output file": ([*test, "--output", tmp_path / "empty.flist"], "empty.flist is a file; give a folder"),
        "list over photo": (["flist", "--path", data, "--output", flat], "is no name for a list"),
        "edge map": ([*test, "--edge", flat], "no edge map of the same name"),
        "overwrite": ([*test, "--output", data / "images"], "error: --output: "),
    }


def test_every_mistake_is_one_line_and_costs_nothing(trained, pictures, tmp_path, command):
    cases = mistakes(trained, pictures, tmp_path)
    kept = (*trained.glob("*.pth"), *trained.glob("*.csv"), *pictures.rglob("*.png"))
    before = {path: path.read_bytes() for path in kept}
    for name, (arguments, wanted) in cases.items():
        code, said = command(*arguments)
        lines = [line for line in said.splitlines() if line.startswith("error: ")]
        assert code == 2, name
        assert len(lines) == 1, (name, said)
        assert wanted in lines[0], (name, lines[0])
        assert "Traceback" not in said, name
    assert before == {path: path.read_bytes() for path in before}


SCRIPTS = sorted(f"scripts/{path.name}" for path in (ROOT / "scripts").glob("*.py"))
DOORS = ["train.py", "test.py", "main.py", *SCRIPTS]


@pytest.mark.parametrize("door", ["train.py", "main.py", "scripts/flist.py", "-m"])
def test_doors_open_without_the_package_installed(door, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    if door != "-m":
        environment.pop("PYTHONPATH")
    command = [sys.executable, *(["-m", "edgeconnect"] if door == "-m" else [ROOT / door]), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {'edgeconnect' if door == '-m' else ROOT / door} [")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("option", "exit_code"), [("--help", 0), ("--nonsense", 2)])
def test_scripts_show_their_own_usage(door, option, exit_code, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [door, option])
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / door), run_name="__main__")
    assert ended.value.code == exit_code
    assert "".join(capsys.readouterr()).startswith(f"usage: {ROOT / door} [")


def commands_of_the_parser():
    top = parser()
    return next(action for action in top._actions if isinstance(action, argparse._SubParsersAction)).choices


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_option_can_be_read_on_its_own(name, capsys):
    sub = commands_of_the_parser()[name]
    for action in sub._actions:
        assert (action.help or "").strip(), action.dest
        assert not action.help.startswith("of "), action.dest
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    said = capsys.readouterr().out
    assert (ended.value.code, said.startswith(f"usage: edgeconnect {name} [")) == (0, True)
    for action in sub._actions:
        if isinstance(action.default, int) and not isinstance(action.default, bool) and action.help:
            assert "default" in sub._get_formatter()._get_help_string(action)


def test_commands_that_succeed_return_0_and_print_no_list(pictures, tmp_path, capsys):
    assert main(["flist", "--path", str(pictures / "images"), "--output", str(tmp_path / "a.flist")]) == 0
    assert capsys.readouterr().out == ""


def test_unknown_options_show_the_usage_of_their_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["flist", "--path", "x", "--output", "y", "--nonsense"])
    said = capsys.readouterr().err
    assert (ended.value.code, said.startswith("usage: edgeconnect flist ")) == (2, True)
    assert "--nonsense" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["train"], "BATCH_SIZE"),
        (["masks", "--output", "x"], "--size"),
        (["check-data"], "--workers"),
        (["test"], "smaller pictures"),
    ],
)
def test_remedy_for_used_up_memory_is_one_that_the_command_has(arguments, remedy, monkeypatch, capsys):
    def fail(parsed):
        raise MemoryError

    real = argparse.ArgumentParser.parse_known_args

    def parsed(*args, **kwargs):
        found, unknown = real(*args, **kwargs)
        found.action = fail
        return found, unknown

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parsed)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: MemoryError; ")
    assert remedy in said
    assert ("BATCH_SIZE" in said) == (arguments == ["train"])


def test_unreadable_picture_in_training_names_itself(run_folder, tmp_path, command):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8 truncated")
    folder = run_folder(TRAIN_FLIST=bad, VAL_FLIST="", NUM_WORKERS=1, MAX_ITERS=1)
    code, said = command("train", "--model", 1, "--checkpoints", folder, "--no-check")
    assert code == 2
    assert f"error: {bad}: cannot be read as a picture" in said
    code, said = command("train", "--model", 1, "--checkpoints", folder)
    assert code == 2
    assert "error: TRAIN_FLIST: 1 of 1 pictures: in no known format; replace it, or take it off the list" in said
    assert str(bad) in said


def test_check_data_tells_all_and_its_exit_code_how_bad_it_is(run_folder, pictures, tmp_path, capsys):
    folder = run_folder(TRAIN_FLIST=pictures / "images", VAL_FLIST="", INPUT_SIZE=32)
    assert main(["check-data", "--checkpoints", str(folder)]) == 0
    assert "TRAIN" in capsys.readouterr().out
    same = ["check-data", "--checkpoints", str(folder), "--json", "--set", f"VAL_FLIST={pictures / 'images'}"]
    assert main(same) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["severity"], report["throughput"]["num_workers"]) == (1, 0)
    assert [finding["code"] for finding in report["findings"] if finding["severity"] == "warning"] == ["overlap"]
    cut = tmp_path / "cut.png"
    cut.write_bytes(next((pictures / "images").iterdir()).read_bytes()[:300])
    assert main(["check-data", "--checkpoints", str(folder), "--quick", "--set", f"TRAIN_FLIST={cut}"]) == 2
    assert "truncated-file" in capsys.readouterr().out


def test_bad_pictures_of_a_folder_are_reported_at_the_end_and_stop_no_other(trained, pictures, tmp_path, command):
    images, output = tmp_path / "some", tmp_path / "out"
    shutil.copytree(pictures / "images", images)
    good = sorted(path.stem for path in images.iterdir())
    (images / "0 cut.png").write_bytes(next(images.iterdir()).read_bytes()[:200])
    options = ["--checkpoints", trained, "--model", 2, "--input", images, "--output", output]
    mask = ["--mask", next((pictures / "masks").iterdir())]
    code, said = command("test", *options, *mask)
    assert code == 1
    assert "0 cut.png: cannot be read as a picture" in said
    assert f"error: 1 of {len(good) + 1} pictures could not be completed: {images / '0 cut.png'}; the others" in said
    assert sorted(path.stem for path in output.iterdir()) == good
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    shutil.copy(images / f"{good[0]}.png", images / "0 cut.png")
    code, said = command("test", *options, *mask, "--skip-existing")
    assert (code, f"{len(good)} of {len(good) + 1} pictures are there already" in said) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (output / "0 cut.png").is_file()
    code, said = command("test", *options, *mask, "--skip-existing")
    assert (code, "pictures are there already" in said) == (0, True)


def test_mask_of_another_shape_fails_every_picture(trained, pictures, tmp_path, command):
    flat = tmp_path / "flat.png"
    Image.fromarray(np.eye(20, 200, dtype=np.uint8) * 255).save(flat)
    options = ["--checkpoints", trained, "--input", pictures / "images", "--output", tmp_path / "out", "--mask", flat]
    code, said = command("test", "--model", 2, *options)
    assert (code, "the mask is 200x20" in said) == (1, True)


def test_stage_checkpoint_records_configuration_and_versions(trained):
    state = torch.load(trained / "saves/edge/0000002/state.pth", weights_only=True)
    assert state["train"]["step"] == 2
    assert state["config"]["BASE_CHANNELS"] == 4
    assert state["versions"]["torch"] == str(torch.__version__)


def test_real_photographs_train_and_are_completed(shared, run_folder, tmp_path, command):
    data = shared / "data"
    folder = run_folder(
        TRAIN_FLIST=data / "facades" / "val",
        VAL_FLIST=data / "natural" / "val",
        TRAIN_MASK_FLIST=data / "masks",
        MASK=3,
        INPUT_SIZE=64,
        MAX_ITERS=1,
        SAMPLE_INTERVAL=1,
    )
    code, said = command("train", "--model", "all", "--checkpoints", folder)
    assert code == 0, said
    pairs = data / "examples" / "psv"
    code, said = command(
        *("test", "--checkpoints", folder, "--input", pairs / "images", "--mask", pairs / "masks"),
        *("--output", tmp_path / "out"),
    )
    assert code == 0, said
    for path in (pairs / "images").iterdir():
        truth, mask, done = (pixels(f / path.name) for f in (path.parent, pairs / "masks", tmp_path / "out"))
        assert (done[mask <= 127] == truth[mask <= 127]).all()


def test_main_trains_where_mode_says_so(run_folder, command):
    folder = run_folder(MAX_ITERS=1, MODE=1)
    code, said = command("run", "--checkpoints", folder, "--model", 1)
    assert code == 0, said
    assert (folder / "EdgeModel_gen.pth").is_file()


def test_saves_are_read_but_neither_trained_in_nor_written_to(trained, pictures, command):
    best = trained / "saves/edge_inpaint/best"
    options = ["--input", pictures / "images", "--mask", pictures / "masks"]
    code, said = command("test", "--checkpoints", best, *options)
    assert (code, "--output is missing" in said) == (2, True)
    assert command("test", "--checkpoints", best, *options, "--output", trained / "out")[0] == 0
    code, said = command("train", "--checkpoints", best, "--model", 2)
    assert (code, "is a save, not a run's folder; begin another run with --init-from" in said) == (2, True)


def test_all_takes_what_another_run_has_and_must_means_stages_that_have_begun(trained, run_folder, tmp_path, command):
    edges = tmp_path / "edges"
    edges.mkdir()
    shutil.copy(trained / "EdgeModel_gen.pth", edges)
    folder = run_folder("other", MAX_ITERS=1)
    code, said = command("train", "--model", "all", "--checkpoints", folder, "--init-from", edges)
    assert code == 0, said
    assert "stage edge: starts from the weights in EdgeModel_gen.pth" in said
    assert "stage inpaint: starts afresh" in said
    shutil.rmtree(folder / "saves/edge_inpaint")
    shutil.rmtree(folder / "saves/inpaint")
    shutil.rmtree(folder / "saves/edge")
    code, said = command("train", "--model", "all", "--checkpoints", folder, "--resume", "must")
    assert (code, "holds no save of stage edge" in said) == (2, True)


def test_everything_starts_over(trained, command):
    code, said = command("train", "--model", "all", "--checkpoints", trained, "--resume", "never")
    assert code == 0
    assert "stage edge: starts afresh" in said
    assert "stage inpaint: starts afresh" in said
    assert "stage edge_inpaint: starts from the weights of stage inpaint" in said


@pytest.mark.parametrize("how", ["set", "file"])
def test_completing_goes_by_what_training_was_given(how, run_folder, capsys):
    """One rule for test.py, MODE 2 and 3 and evaluate.py."""
    folder = run_folder(MAX_ITERS=1)
    given = ("--set", "SIGMA=3", "--set", "MASK_POLARITY=known") if how == "set" else ()
    if how == "file":
        (folder / "config.yml").write_text((folder / "config.yml").read_text().replace("SIGMA: 1", "SIGMA: 3"))
    assert main(["train", "--model", "3", "--checkpoints", str(folder), "--no-check"]) == 2  # no G1 yet
    assert (
        main(["train", "--model", "1", "--checkpoints", str(folder), "--no-check", *(given if how == "set" else ())])
        == 0
    )
    for command in (["test", "--model", "1"], ["run", "--set", "MODE=2"], ["run", "--set", "MODE=3"]):
        capsys.readouterr()
        assert main([command[0], "--checkpoints", str(folder), *command[1:], "--dry-run"]) == 0
        printed = capsys.readouterr().out
        assert "SIGMA: 3\n" in printed
        assert ("MASK_POLARITY: known" in printed) == (how == "set")
    (folder / "config.yml").write_text((folder / "config.yml").read_text() + "TEST_FLIST: scenes:3\n")
    assert main(["test", "--model", "1", "--checkpoints", str(folder), "--set", "SIGMA=2", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "SIGMA: 2\n" in printed
    assert "TEST_FLIST: scenes:3\n" in printed
