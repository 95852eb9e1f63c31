"""evaluate refuses what would harm: hostile manifests, folders that it reads, evaluations that say nothing."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from evaluations import holes, photos, save, strict_json

from edgeconnect.cli import main
from edgeconnect.evaluation.report import charts


@pytest.fixture(autouse=True)
def _plain_pages(monkeypatch):
    """Draw no curves, which take most of the time."""
    monkeypatch.setattr(charts, "curves", lambda results: {})


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Two pictures, and a mask of each one's name, in the folder above the working directory."""
    (tmp_path / "deep/here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/here")
    photos(tmp_path / "pictures", ("a.png", "b.png"))
    return holes(tmp_path / "masks", {"a.png": 0.1, "b.png": 0.3}).parent


@pytest.fixture
def evaluate(capsys):
    """Return a function that evaluates with telea alone and returns the exit code and stderr."""

    def call(*arguments, methods=("telea",)):
        capsys.readouterr()
        who = ("--methods", *methods) if methods else ()
        code = main([str(part) for part in ("evaluate", "--workers", 1, "--shown", 0, *who, *arguments)])
        return code, capsys.readouterr().err

    return call


def files_below(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


def of(data, pairing="stem"):
    """Return the options that name the pictures and masks."""
    return "--pictures", data / "pictures", "--masks", data / "masks", "--pairing", pairing, "--size", 32


# Manifests from outside


def signed(contents):
    """Give a manifest the digest that fits it."""
    shape = contents["setting"] | {"max_pixels": 0, "pairing": "", "seed": 0}
    names = ("id", "picture_hash", "mask_hash", "seed", "ratio")
    facts = [[item.get(name) for name in names] for item in contents["items"]]
    return contents | {"digest": hashlib.sha256(json.dumps([shape, facts]).encode()).hexdigest()}


DRAWN = {"seed": 3, "mask": "strokes 0.1-0.2"}
HOSTILE_ITEMS = [
    {"id": "../../outside"},
    {"id": "/tmp/outside-of-everything"},
    {"id": "a/b"},
    {"id": ".."},
    {"id": ""},
    {"id": ".hidden"},
    {"id": "nul\0"},
    {"id": "n" * 300},
    {"id": 7},
    {"id": None},
    {"id": ["a"]},
    {"id": "B"},
    {"picture": 7},
    {"picture": ""},
    {"picture": "scenes:abc"},
    {"picture": "scenes:" + "9" * 30},
    {"picture": "nul\0.png"},
    {"picture": "\ud800.png"},
    {"mask": None},
    {"picture_hash": "../../../outside"},
    {"mask_hash": 3},
    {"seed": -5},
    {"seed": 1.5},
    {"seed": "3"},
    {"seed": True},
    {"seed": 3},
    {"ratio": "x"},
    {"ratio": float("inf")},
    {"ratio": float("nan")},
    {"ratio": 7.0},
    DRAWN | {"seed": 2**80},
    DRAWN | {"mask": "magic 0.1-0.2"},
    DRAWN | {"mask": "half 0.1-0.2"},
    DRAWN | {"mask": "strokes"},
    DRAWN | {"mask": "strokes 0.9-0.1"},
    DRAWN | {"mask": "strokes nan-0.1"},
]
HOSTILE_SETTINGS = [
    {"size": -1},
    {"size": 10**9},
    {"size": 2.5},
    {"size": "x"},
    {"size": 3},
    {"mask_threshold": 999},
    {"mask_threshold": None},
    {"mask_polarity": "odd"},
    {"mask_polarity": []},
    {"max_pixels": 0},
    {"max_pixels": "many"},
    {"pairing": 3},
    {"seed": -1},
    {"edges": []},
    {"edges": [0.5, 0.2]},
    {"edges": [0.0, "a", 1.0]},
    {"edges": [0.0, 0.1, 0.2]},
    {"edges": 7},
    {"colour": 1},
]


@pytest.fixture
def manifest(data, evaluate):
    """Return the contents of a manifest of the two pictures."""
    assert evaluate(*of(data), "--export", data / "first")[0] == 0
    contents = json.loads((data / "first/manifest.json").read_text())
    shutil.rmtree(data / "first")
    return contents


@pytest.mark.parametrize("option", ["--output", "--export"])
@pytest.mark.parametrize("change", [*HOSTILE_ITEMS, *({"setting": change} for change in HOSTILE_SETTINGS)], ids=ascii)
def test_a_hostile_manifest_is_one_line_and_writes_nothing(change, option, manifest, data, evaluate):
    if "setting" in change:
        manifest["setting"].update(change["setting"])
    else:
        manifest["items"][0].update(change)
    (data / "hostile.json").write_text(json.dumps(signed(manifest)))
    before = files_below(data)
    code, said = evaluate("--manifest", data / "hostile.json", option, "out")
    assert (code, said.count("error: "), "Traceback" in said) == (2, 1, False), said
    assert len(said) < 2000
    assert files_below(data) == before


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{}", "[" * 100_000, '{"items": 3, "setting": [], "digest": ""}', '{"setting": {"edges": []}}'],
)
def test_what_is_no_manifest_at_all_is_one_line(text, data, evaluate):
    (data / "hostile.json").write_text(text)
    code, said = evaluate("--manifest", data / "hostile.json", "--output", "out")
    assert (code, said.count("error: "), "Traceback" in said) == (2, 1, False), said


def test_no_items_and_another_schema_are_refused(manifest, data, evaluate):
    for change in ({"items": []}, {"schema": 99}, {"items": [[]]}, {"items": [3]}):
        contents = manifest | change
        if all(isinstance(item, dict) for item in contents["items"]):
            contents = signed(contents)
        (data / "hostile.json").write_text(json.dumps(contents))
        code, said = evaluate("--manifest", data / "hostile.json", "--output", "out")
        assert (code, said.count("error: ")) == (2, 1), said


# Folders that are read


@pytest.mark.parametrize("option", ["--output", "--export"])
@pytest.mark.parametrize("place", ["pictures", "masks", "pictures/deeper", "masks/out", ".", "linked", "linked/new"])
def test_nothing_is_written_where_pictures_and_masks_are_read(place, option, data, evaluate):
    (data / "linked").symlink_to(data / "masks")
    before = files_below(data)
    code, said = evaluate(*of(data), option, data / place)
    assert (code, said.count("error: "), option in said) == (2, 1, True), said
    assert files_below(data) == before


def test_nothing_is_written_around_what_a_list_names_or_a_run_holds(data, evaluate, trained):
    (data / "lists").mkdir()
    (data / "lists/test.flist").write_text(f"{data / 'pictures/a.png'}\n{data / 'pictures/b.png'}\n")
    listed = ("--pictures", data / "lists/test.flist", "--masks", data / "masks/a.png", "--size", 32)
    for place in ("lists", "pictures"):
        assert evaluate(*listed, "--output", data / place)[0] == 2, place
    before = files_below(trained.parent)
    for place in (trained, trained.parent):
        assert evaluate(*listed, "--runs", f"{trained}:1", "--output", place)[0] == 2
    assert files_below(trained.parent) == before


def test_nothing_is_written_where_results_of_others_lie(data, evaluate):
    assert evaluate(*of(data), "--output", data / "out")[0] == 0
    theirs = shutil.copytree(data / "out/pictures/telea", data / "theirs/deep")
    for place in ("theirs", "theirs/deep", "theirs/deep/out"):
        assert evaluate(*of(data), "--results", f"x={theirs}", "--output", data / place)[0] == 2, place
    code, said = evaluate(*of(data), "--results", f"x={theirs}", "--output", data / "out")
    assert code == 0, said


# Evaluations that say nothing


@pytest.mark.parametrize("option", ["--output", "--export"])
def test_masks_without_any_hole_are_refused(option, data, evaluate):
    holes(data / "masks", {"a.png": 0, "b.png": 0})
    code, said = evaluate(*of(data), option, "out")
    assert (code, said.count("error: ")) == (2, 1), said
    assert not files_below(data / "deep/here")


def test_mask_without_a_hole_is_named(data, evaluate):
    holes(data / "masks", {"a.png": 0})
    code, said = evaluate(*of(data), "--output", "out")
    assert (code, "a.png: marks nothing" in said) == (2, True), said


def test_picture_is_not_its_own_mask(data, evaluate):
    for name in ("a", "b"):
        save(data / f"masks/{name}.png", np.eye(40, dtype=np.uint8) * 255)
        save(data / f"pictures/{name}.png", np.eye(40, dtype=np.uint8) * 255)
    code, said = evaluate(*of(data), "--output", "out")
    assert (code, "is the picture itself" in said) == (2, True), said


def test_items_without_a_hole_are_warned_about(data, evaluate):
    thin = np.zeros((640, 640), np.uint8)
    thin[5, 5:300] = 255  # which no pixel of the picture has half of
    save(data / "masks/a.png", thin)
    code, said = evaluate(*of(data), "--output", "out")
    assert code == 0
    assert "1 of 2 items have no hole: a" in said


def test_inverted_masks_are_refused_unless_large_holes_are_meant(data, evaluate):
    holes(data / "masks", {"a.png": 0.8, "b.png": 0.9})
    code, said = evaluate(*of(data), "--output", "out")
    assert (code, "MASK_POLARITY" in said) == (2, True)
    assert evaluate(*of(data), "--output", "out", "--set", "MASK_POLARITY=known")[0] == 0
    assert evaluate(*of(data), "--output", "large", "--set", "ALLOW_LARGE_HOLES=1")[0] == 0


# What the configuration says


def test_the_masks_of_the_configuration_are_drawn_or_named(data, evaluate):
    pictures = ("--pictures", data / "pictures", "--size", 32)
    assert evaluate(*pictures, "--set", "MASK=half", "--output", "half")[0] == 0
    assert {item["mask"].split(" ")[0] for item in strict_json(data / "deep/here/half/manifest.json")["items"]} == {
        "half"
    }
    code, said = evaluate(*pictures, "--set", "MASK=block", "--output", "block")
    assert (code, "MASK block" in said) == (0, True)
    listed = ("--set", "MASK=external_block", "--set", f"VAL_MASK_FLIST={data / 'masks'}")
    code, said = evaluate(*pictures, *listed, "--output", "external")
    assert (code, "MASK external_block" in said) == (0, True)


def test_a_run_with_external_edges_goes_by_them(data, evaluate, copied):
    who = ("--runs", f"{copied}:2", "--set", "EDGE=external", "--set", "NMS=0")
    code, said = evaluate(*of(data), *who, "--output", "none", methods=("none",))
    assert (code, "TEST_EDGE_FLIST" in said) == (2, True), said
    for name, every in (("few", 9), ("many", 3)):
        stripes = np.zeros((40, 48), np.uint8)
        stripes[:, ::every] = 255
        for stem in ("a", "b"):
            save(data / name / f"{stem}.png", stripes)
        edges = ("--set", f"TEST_EDGE_FLIST={data / name}")
        code, said = evaluate(*of(data), *who, *edges, "--output", name, methods=("none",))
        assert code == 0, said
        assert strict_json(data / f"deep/here/{name}/results.json")["methods"][0]["edges"] == "external"
    few, many = ((data / f"deep/here/{name}/pictures/run-inpaint/a.png").read_bytes() for name in ("few", "many"))
    assert few != many
    code, said = evaluate(*of(data), *who, *edges, "--output", "few", methods=("none",))
    assert (code, "--overwrite" in said) == (2, True), "the edges are part of what identifies the completions"
    (data / "many/b.png").unlink()
    assert evaluate(*of(data), *who, *edges, "--output", "unpaired", methods=("none",))[0] == 2


# Runs


@pytest.mark.parametrize("name", ["lr=1e-4", "a:b", "x=y:3", "=", "deep=er:2=1"])
def test_runs_may_have_any_name(name, data, evaluate, copied, capsys):
    run = copied.rename(copied.parent / name)
    what = (*of(data), "--output")
    assert evaluate("--checkpoints", run, "--model", 2, *what, data / "one", methods=("none",))[0] == 0
    assert evaluate("--runs", f"{run}:2", *what, data / "two", methods=("none",))[0] == 0
    assert evaluate("--runs", f"mine={run}:2", *what, data / "three", methods=("none",))[0] == 0
    named = [strict_json(data / f"{place}/results.json")["methods"][0]["name"] for place in ("one", "two", "three")]
    assert named == [f"{name}:inpaint", f"{name}:inpaint", "mine:inpaint"]
    assert main(["run", "--checkpoints", str(run), "--set", "VAL_FLIST=scenes:8-9", "--model", "1"]) == 0


def test_mode_3_refuses_what_it_would_ignore_and_takes_output_and_mirror(copied, tmp_path, capsys):
    one = ["run", "--checkpoints", str(copied), "--set", "VAL_FLIST=scenes:8-9"]
    before = files_below(tmp_path)
    for given in (["--input", "x"], ["--mask", "x"], ["--edge", "x"], ["--raw-edges"], ["--resize-mask"], ["--no-ema"]):
        assert main([*one, *given]) == 2
        assert given[0] in capsys.readouterr().err
    for given in (["--skip-existing"], ["--resume", "must"], ["--init-from", "x"], ["--no-check"]):
        assert main([*one, *given]) == 2
        assert given[0] in capsys.readouterr().err
    assert files_below(tmp_path) == before
    assert main([*one, "--output", str(tmp_path / "chosen"), "--mirror"]) == 0
    names = [method["name"] for method in strict_json(tmp_path / "chosen/results.json")["methods"]]
    assert names[0] == "run:joint mirrored"
    assert files_below(tmp_path) - before == {Path("chosen")} | {
        Path("chosen") / path for path in files_below(tmp_path / "chosen")
    }


def test_stages_have_reports_of_their_own(copied, data, evaluate):
    for stage, folder in ((3, "evaluation"), (2, "evaluation_inpaint"), (4, "evaluation_joint")):
        assert evaluate("--checkpoints", copied, "--model", stage, *of(data), methods=("none",))[0] == 0
        assert (copied / folder / "report.html").is_file()


# Again


def test_overwrite_completes_what_changed_and_nothing_else(copied, data, evaluate):
    who = ("--runs", f"{copied}:2", f"{copied}:4", "--output", data / "out")
    assert evaluate(*of(data), *who)[0] == 0
    telea, before = data / "out/pictures/telea/a.png", (data / "out/results.json").read_bytes()
    stamp = telea.stat().st_mtime_ns
    code, said = evaluate(*of(data), *who, "--set", "SIGMA=2")
    assert (code, "--overwrite" in said) == (2, True)
    assert (data / "out/results.json").read_bytes() == before
    code, said = evaluate(*of(data), *who, "--set", "SIGMA=2", "--overwrite")
    assert code == 0, said
    assert evaluate(*of(data), *who[:-1], data / "new", "--set", "SIGMA=2")[0] == 0
    assert (data / "out/results.json").read_bytes() == (data / "new/results.json").read_bytes() != before
    assert telea.stat().st_mtime_ns == stamp


def test_batches_of_another_size_are_not_mixed(trained, data, evaluate):
    who = (*of(data), "--runs", f"{trained}:2", "--output", data / "out")
    assert evaluate(*who)[0] == 0
    code, said = evaluate(*who, "--batch-size", 1)
    assert (code, "--overwrite" in said) == (2, True)
    assert evaluate(*who, "--batch-size", 1, "--overwrite")[0] == 0
    assert strict_json(data / "out/versions.json")["batch size"] == "1"


def test_methods_that_are_not_asked_for_again_are_named(data, evaluate):
    out = ("--output", data / "out")
    assert evaluate(*of(data), *out, methods=("telea", "biharmonic"))[0] == 0
    code, said = evaluate(*of(data), *out)
    assert (code, "biharmonic" in said) == (0, True)
    assert [method["name"] for method in strict_json(data / "out/results.json")["methods"]] == ["telea"]


def test_versions_say_where_the_numbers_come_from(data, evaluate):
    assert evaluate(*of(data), "--output", data / "out")[0] == 0
    theirs = shutil.copytree(data / "out/pictures/telea", data / "theirs")
    assert evaluate(*of(data), "--results", f"x={theirs}", "--output", data / "out")[0] == 0
    origin = strict_json(data / "out/versions.json")
    assert {"commit", "command", "time", "device", "batch size", "torch"} <= origin.keys()
    methods = strict_json(data / "out/results.json")["methods"]
    assert "provenance" not in methods[0]
    assert list(methods[1]["provenance"]) == ["digest"]


def test_networks_that_measure_are_where_the_configuration_says(data, evaluate):
    code, said = evaluate(*of(data), "--output", data / "out", "--set", "DEVICE=cuda:99")
    assert (code, "cuda:99" in said) == (2, True), said
