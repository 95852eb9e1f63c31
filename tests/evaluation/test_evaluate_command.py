"""evaluate, end to end: from a run, pictures and masks to tables and a page, and again; mistakes in one line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluations import holes, photos, pixels, save, strict_json

from edgeconnect.cli import main
from edgeconnect.evaluation.baselines import CLASSICAL
from edgeconnect.evaluation.report import charts
from edgeconnect.metrics.definitions import DEFINITIONS

ROOT = Path(__file__).resolve().parents[2]
FILES = ("results.json", "results.csv", "tables.md", "tables.tex", "report.html", "manifest.json")


@pytest.fixture(autouse=True)
def _plain_pages(monkeypatch):
    """Draw no curves, which take most of the time."""
    monkeypatch.setattr(charts, "curves", lambda results: {})


@pytest.fixture
def data(tmp_path):
    """Three pictures, and a mask of each one's name."""
    photos(tmp_path / "pictures")
    return holes(tmp_path / "masks", {"a.png": 0.1, "b.png": 0.3, "c.png": 0.5}).parent


@pytest.fixture
def evaluate(data, capsys):
    """Return a function that evaluates the pictures, with masks by name, and returns exit code, stdout and stderr."""

    def call(output, *arguments, pairing="stem", methods=("telea",), pictures="pictures", masks="masks"):
        named = ["--pictures", data / pictures, "--masks", data / masks, "--pairing", pairing, "--size", 32]
        whole = ["evaluate", *named, "--output", data / output, "--workers", 1, "--shown", 1]
        code = main([str(part) for part in (*whole, *(("--methods", *methods) if methods else ()), *arguments)])
        return code, *capsys.readouterr()

    return call


def error(said):
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, said
    assert "Traceback" not in said
    return lines[0]


# Candidates


def test_candidates_are_a_method_beside_the_run_they_are_of(evaluate, trained, data):
    runs = [f"{trained}:{stage}" for stage in ("joint", "inpaint")]
    code, out, said = evaluate("out", "--runs", *runs, "--candidates", 2)
    assert code == 0, said
    assert "stage inpaint of edgeconnect does not both draw edges and paint" in said
    names = [method["name"] for method in strict_json(data / "out/results.json")["methods"]]
    assert names == ["run:joint", "run:inpaint", "run:joint best of 2", "telea"]
    assert "best of 2" in out


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--candidates", 0], "--candidates"),
        (["--candidates", 25], "--candidates"),
        (["--candidates", 2, "--mirror"], "--mirror: does not go with --candidates"),
        (["--candidates", 2, "--edges", "none"], "--edges none: does not go with --candidates"),
        (["--candidates", 2, "--model", "inpaint"], "does not both draw edges and paint"),
    ],
)
def test_what_does_not_go_with_candidates_is_refused(evaluate, trained, data, options, named):
    code, _, said = evaluate("out", "--checkpoints", trained, *options)
    assert code == 2
    assert named in error(said)
    assert not (data / "out").exists()


# Everything


def test_one_command_measures_everybody_with_everything(evaluate, trained, data):
    runs = [f"{trained}:{stage}" for stage in (1, 2, 3, "joint")]
    code, printed, said = evaluate(
        "out", "--runs", *runs, "--edges", "ground-truth", methods=("telea", "navier_stokes", "biharmonic")
    )
    assert code == 0, said
    assert all((data / "out" / name).stat().st_size for name in FILES)
    found = strict_json(data / "out/results.json")
    of_runs, classical = found["methods"][:4], found["methods"][4:]
    assert [method["name"] for method in of_runs] == [
        f"run:{stage}" for stage in ("edge", "inpaint", "edge_inpaint", "joint")
    ]
    assert {method["edges"] for method in of_runs} == {"ground-truth"}
    assert {method["edges"] for method in classical} == {""}
    measured = [{n for n, c in m["bins"]["all"].items() if c["n"] + c["empty"]} for m in found["methods"]]
    edges = {name for name in DEFINITIONS if name.startswith("edge_")}
    pictures = {name for name, about in DEFINITIONS.items() if not about.needs - {"mask", "edges"}}
    pictures -= edges | {"ssim_gray_uniform51"}
    assert measured == [edges, pictures, edges | pictures, edges | pictures, *[pictures] * 3]
    assert {c["n"] + c["empty"] for m in found["methods"] for c in m["bins"]["all"].values()} == {0, 3}
    assert list(found["bins"]) == ["(1,10]", "(30,40]", "(40,50]", "all"]
    assert "run:joint (ground-truth edges)" in printed
    for name in ("tables.md", "tables.tex", "report.html"):
        assert "ground-truth edges" in (data / "out" / name).read_text("utf-8")
    assert "run:joint,ground-truth," in (data / "out/results.csv").read_text()


def test_three_evaluations_and_their_comparison_say_what_edges_are_worth(evaluate, trained, data, capsys):
    """The scale of Canny is that of SIGMA, where this is one."""
    runs = {
        "none": (f"{trained}:2", "--set", "SIGMA=-1"),
        "strict": (f"{trained}:3",),
        "ground-truth": (f"{trained}:2",),
    }

    def sigma_of(edges, *arguments):
        code, _, said = evaluate(edges, "--edges", edges, "--runs", *runs[edges], *arguments, methods=("none",))
        assert (code, "trained with SIGMA" in said) == (0, edges == "none" or bool(arguments)), said
        return strict_json(data / edges / "results.json")["sigma"]

    def compared():
        folders = [str(data / edges) for edges in runs]
        assert main(["compare", *folders, "--measures", "psnr_rgb", "canny_f1_1px"]) == 0
        printed, said = capsys.readouterr()
        assert printed.count("compared with none/run:inpaint (no edges)") == 2
        assert "strict/run:edge_inpaint (strict edges)" in printed
        assert "ground-truth/run:inpaint (ground-truth edges)" in printed
        return "several scales of Canny are compared (1, 2)" in said

    assert [sigma_of(edges) for edges in runs] == [2, 1, 1]
    assert compared()
    before = (data / "strict/measures/run-edge_inpaint.csv").read_bytes()
    assert [sigma_of(edges, "--sigma", 2) for edges in runs] == [2, 2, 2]
    assert (data / "strict/measures/run-edge_inpaint.csv").read_bytes() != before
    assert not compared()


def test_a_manifest_repeats_it_bit_for_bit(evaluate, trained, data):
    who = ("--runs", f"{trained}:3")
    assert evaluate("one/out", *who, pairing="per-bin", masks="masks")[0] == 0
    again = ("--manifest", data / "one/out/manifest.json")
    code, _, said = evaluate("two/out", *who, *again, "--batch-size", 2, pairing="all", masks="nowhere")
    assert code == 0, said
    for name in FILES:
        assert (data / "one/out" / name).read_bytes() == (data / "two/out" / name).read_bytes(), name
    save(data / "pictures/b.png", np.zeros((40, 40, 3), np.uint8))
    code, _, said = evaluate("three", *again)
    assert (code, "b.png: is not what it was when the manifest was written" in error(said)) == (2, True)
    assert not (data / "three").exists()


def test_drawn_masks_of_the_same_seed_are_the_same_items(data):
    whole = ["evaluate", "--pictures", "scenes:2", "--masks", "irregular", "--size", "32", "--methods", "telea"]
    for output, seed in (("one", "3"), ("two", "3"), ("three", "4")):
        assert main([*whole, "--seed", seed, "--output", str(data / output)]) == 0
    one, two, three = ((data / name / "results.json").read_bytes() for name in ("one", "two", "three"))
    assert one == two != three
    assert strict_json(data / "one/results.json")["bins"]["all"]["items"] == 14


def test_it_goes_on_where_it_stopped(evaluate, trained, data, monkeypatch):
    from edgeconnect.evaluation.entries import Run

    assert evaluate("out", "--runs", f"{trained}:3")[0] == 0
    before = {name: (data / "out" / name).read_bytes() for name in FILES}
    (data / "out/pictures/run-edge_inpaint/b.png").unlink()
    (data / "out/results.json").unlink()
    asked, complete = [], Run.complete
    monkeypatch.setattr(Run, "complete", lambda run, batch: asked.extend(s.id for s in batch) or complete(run, batch))
    assert evaluate("out", "--runs", f"{trained}:3")[0] == 0
    assert asked == ["b"]
    assert before == {name: (data / "out" / name).read_bytes() for name in FILES}


def test_other_weights_in_the_same_folder_are_refused(evaluate, copied, data):
    who = ("--runs", f"{copied}:3")
    assert evaluate("out", *who)[0] == 0
    assert evaluate("out", *who, "--mirror")[1].count("run:edge_inpaint mirrored (strict edges)") == 1
    for change in (("--edges", "ground-truth"), ("--set", "SIGMA=2")):
        code, _, said = evaluate("out", *who, *change)
        assert (code, "its results of run:edge_inpaint are of other weights" in error(said)) == (2, True)
    assert main(["train", "--checkpoints", str(copied), "--model", "3", "--set", "MAX_ITERS=3", "--no-check"]) == 0
    before = (data / "out/results.json").read_bytes()
    code, _, said = evaluate("out", *who)
    assert (code, "are of other weights or settings" in error(said)) == (2, True)
    assert (data / "out/results.json").read_bytes() == before


# Others


def test_what_is_exported_comes_back_as_results(evaluate, data):
    assert evaluate("unused", "--export", data / "export", pairing="all")[0] == 0
    assert not (data / "unused").exists()
    items = json.loads((data / "export/manifest.json").read_text())["items"]
    assert len(items) == 9
    for item in items:
        hole = pixels(data / f"export/masks/{item['id']}.png")
        damaged = pixels(data / f"export/damaged/{item['id']}.png")
        assert set(np.unique(hole)) == {0, 255}
        assert (hole > 0).mean() == item["ratio"]
        assert not damaged[hole > 0].any(), "the hole's pixels leaked"
        assert damaged[hole == 0].any()
    given = ("--manifest", data / "export/manifest.json", "--results", f"black holes={data / 'export/damaged'}")
    code, printed, said = evaluate("out", *given)
    assert code == 0, said
    assert "black holes" in printed
    found = strict_json(data / "out/results.json")
    telea, theirs = (method["bins"]["all"]["l1_hole"] for method in found["methods"])
    assert (telea["n"], theirs["n"]) == (9, 9)
    assert theirs["value"] > 3 * telea["value"]
    code, _, said = evaluate("unused", "--export", data / "export", pairing="stem")
    assert (code, "holds other pictures, masks or sizes" in error(said)) == (2, True)


def test_bad_results_are_listed_and_the_exit_code_is_1(evaluate, data):
    assert evaluate("first")[0] == 0
    theirs = Path(shutil.copytree(data / "first/pictures/telea", data / "theirs"))
    save(theirs / "b.png", np.zeros((9, 9, 3), np.uint8))
    code, _, said = evaluate("out", "--results", f"theirs={theirs}")
    assert (code, error(said)) == (
        1,
        f"error: 1 of 3 items failed and count for no method: b (theirs); {data / 'out/results.json'} has them all",
    )
    assert "theirs: b: " in said
    found = strict_json(data / "out/results.json")
    assert {m["bins"]["all"]["psnr_rgb"]["n"] for m in found["methods"]} == {2}
    assert "9x9" in (data / "out/report.html").read_text("utf-8")
    shutil.copy(data / "first/pictures/telea/b.png", theirs)
    code, printed, said = evaluate("out", "--results", f"theirs={theirs}")
    assert (code, "theirs has changed: measured anew" in said, "3 items" in printed) == (0, True, True)


def test_failures_come_with_what_was_measured(evaluate, data):
    assert evaluate("first")[0] == 0
    theirs = Path(shutil.copytree(data / "first/pictures/telea", data / "theirs"))
    save(theirs / "b.png", np.zeros((9, 9, 3), np.uint8))
    code, printed, said = evaluate("out", "--results", f"theirs={theirs}")
    assert (code, "2 items of 2 pictures" in printed, "report.html" in said) == (1, True, True)


def test_manifest_is_found_again_from_anywhere(evaluate, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(data)
    relative = ["evaluate", "--pictures", "pictures", "--masks", "masks", "--pairing", "stem", "--size", "32"]
    assert main([*relative, "--methods", "telea", "--output", "here"]) == 0
    monkeypatch.chdir("/")
    again = ["evaluate", "--manifest", str(data / "here/manifest.json"), "--methods", "telea"]
    assert main([*again, "--output", str(data / "there")]) == 0
    assert (data / "here/results.json").read_bytes() == (data / "there/results.json").read_bytes()


def test_runs_of_one_folder_name_are_told_apart_by_names_of_their_own(evaluate, trained, copied):
    code, printed, said = evaluate("out", "--runs", f"{trained}:3", f"mine={copied}:3", methods=None)
    assert code == 0, said
    assert "run:edge_inpaint (strict edges)" in printed
    assert "mine:edge_inpaint (strict edges)" in printed


def test_settings_that_only_the_command_line_had_are_found(copied, data, capsys):
    from edgeconnect.config import file as config_file

    (copied / "config_file.yml").write_text(config_file.example())
    assert main(["evaluate", "--checkpoints", str(copied), "--methods", "none", "--output", str(data / "out")]) == 0
    assert strict_json(data / "out/manifest.json")["setting"]["size"] == 32


def test_options_are_not_guessed(copied, capsys):
    with pytest.raises(SystemExit):
        main(["run", "--mode", "3", "--checkpoints", str(copied)])
    assert "--mode" in capsys.readouterr().err


# As the configuration says


def test_mode_3_evaluates_the_model_of_the_configuration(copied, capsys):
    one = ["run", "--checkpoints", str(copied), "--set", "VAL_FLIST=scenes:8-9"]
    before = sorted(path.name for path in copied.iterdir())
    assert main([*one, "--dry-run"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert {"MODE: eval", "MODEL: joint"} <= set(printed)
    assert sorted(path.name for path in copied.iterdir()) == before
    for arguments, stage in (([], "joint"), (["--set", "MODEL=2"], "inpaint"), (["--model", "1"], "edge")):
        assert main([*one, *arguments]) == 0, capsys.readouterr().err
        assert f"run:{stage} (strict edges)" in capsys.readouterr().out
        found = strict_json(copied / f"evaluation_{stage}/results.json")
        assert [method["name"] for method in found["methods"]] == [f"run:{stage}", *CLASSICAL]
        assert found["setting"]["size"] == 32


def test_mode_3_takes_candidates_and_refuses_what_only_completing_knows(copied, capsys):
    one = ["run", "--checkpoints", str(copied), "--set", "VAL_FLIST=scenes:8-9"]
    assert main([*one, "--candidates", "2"]) == 0
    assert "run:joint best of 2" in capsys.readouterr().out
    for options in (["--blend"], ["--marker", "0,255,0"], ["--force"], ["--reject", "0"], ["--tolerance", "0"]):
        assert main([*one, *options]) == 2
        assert f"{options[0]}: means nothing to MODE 3" in capsys.readouterr().err


# Mistakes


def test_every_mistake_is_one_line_and_leaves_no_report(evaluate, trained, data, tmp_path):
    (tmp_path / "empty").mkdir()
    run, here = ("--runs", f"{trained}:3"), ("--manifest", data / "pictures/a.png")
    cases = {
        "no mask of the same name for": {"masks": "unpaired"},
        "does not exist": {"pictures": "gone"},
        "--pictures: ": {"pictures": "empty"},
        "--masks: ": {"masks": "empty"},
        "is no manifest of an evaluation": {"arguments": here},
        "gone is no run's folder": {"arguments": ("--runs", tmp_path / "gone")},
        "EdgeModel_gen.pth does not exist": {"arguments": ("--runs", tmp_path / "empty")},
        "set BASE_CHANNELS": {"arguments": (*run, "--set", "BASE_CHANNELS=8")},
        "is none of: 1 edge": {"arguments": ("--runs", f"{trained}:7")},
        "two methods are called run:edge_inpaint": {"arguments": (*run, run[1])},
        "--methods: magic is none of": {"methods": ("magic",)},
        "nobody to evaluate": {"methods": ("none",)},
        "--results: folder has no name": {"arguments": ("--results", "folder")},
        "--results: =x has no name": {"arguments": ("--results", "=x")},
        "--results: ..=x has no name": {"arguments": ("--results", "..=x")},
        "--results x: gone does not exist": {"arguments": ("--results", "x=gone")},
        "holds no a.png, b.png, c.png": {"arguments": ("--results", f"x={ROOT / 'examples/images'}")},
        "--size: -5 is too small": {"arguments": ("--size", -5)},
        "--size: 3 is too small": {"arguments": ("--size", 3)},
        "--seed: -1 is too small": {"arguments": ("--seed", -1)},
        "--batch-size: 0 is too small": {"arguments": ("--batch-size", 0)},
        "--sigma: 0 is no scale": {"arguments": ("--sigma", 0)},
        "--sigma: -1 is no scale": {"arguments": ("--sigma", -1)},
        "--sigma: nan is no scale": {"arguments": ("--sigma", "nan")},
        "--sigma: 101 is no scale": {"arguments": ("--sigma", 101)},
        "--edges none: stage edge of": {"arguments": ("--runs", f"{trained}:1", "--edges", "none")},
        "--lpips-weights: 1 given for": {"arguments": ("--lpips-weights", "x")},
        "--set SIGMA=x": {"arguments": ("--set", "SIGMA=x")},
    }
    holes(data / "unpaired", {"a.png": 0.1, "x.png": 0.2, "b.png": 0.1})
    for said, case in cases.items():
        arguments = case.pop("arguments", ())
        code, _, errors = evaluate("out", *arguments, **case)
        assert code == 2, (said, errors)
        assert said in error(errors), (said, errors)
        assert not (data / "out").exists(), said


def test_what_is_missing_is_named(data, capsys):
    for arguments, wanted in (
        (["--pictures", data / "pictures", "--masks", data / "masks"], "--output is missing"),
        (["--masks", data / "masks", "--output", data / "out"], "--pictures is missing"),
        (["--pictures", data / "pictures", "--output", data / "out"], "--masks is missing"),
        (["--checkpoints", data / "gone"], "gone does not exist"),
    ):
        assert main(["evaluate", *(str(part) for part in arguments)]) == 2
        assert wanted in error(capsys.readouterr().err)


def test_scripts_open_without_the_package_installed(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for name in ("evaluate", "compare"):
        command = [sys.executable, ROOT / f"scripts/{name}.py", "--help"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode, f"{name}.py [-h]" in done.stdout) == (0, True), done.stderr


def test_rows_of_a_run_are_those_of_its_saves(trained, tmp_path, command):
    """Stages 1 to 4 of one run, and the four saves named directly."""
    items = ("--pictures", "scenes:8-11", "--masks", "strokes", "--size", "32", "--methods", "none")
    stages = {1: "edge", 2: "inpaint", 3: "edge_inpaint", 4: "joint"}
    runs = [f"s{number}={trained}:{number}" for number in stages]
    saves = [f"s{number}={trained}/saves/{stage}/0000002" for number, stage in stages.items()]
    found = {}
    for name, specs in (("runs", runs), ("saves", saves)):
        code, said = command("evaluate", "--runs", *specs, *items, "--output", tmp_path / name)
        assert code == 0, said
        found[name] = json.loads((tmp_path / name / "results.json").read_text())["methods"]
    assert found["runs"] == found["saves"]
    assert len({json.dumps(method["bins"]) for method in found["runs"]}) == 4
    for method, stage in zip(found["runs"], stages.values(), strict=True):
        assert method["provenance"]["stage"] == stage
        assert any("iteration 2" in weights for weights in method["provenance"])
