"""benchmarks/learning.py: a tiny study from end to end, interrupted and extended; what its numbers are made of."""

import importlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from evaluations import pixels
from support import PLAIN, TINY

from edgeconnect.errors import UserError
from edgeconnect.methods.build import build

ROOT = Path(__file__).resolve().parents[1]
STUDY = {
    **{"minutes": 0.005, "seeds": [1, 2], "points": 2, "model": "edge", "preset": "demo"},
    **{"pictures": "scenes:100-102", "masks": "strokes", "metrics": ["edge_f1", "psnr_rgb"]},
    **{"keys": TINY | PLAIN | {"TRAIN_FLIST": "scenes:8"}, "variants": {"demo": {}}},
    "bin": "(20,30]",
    "evaluate": ["--shown", 0],
}
STAGES = {"model": "all", "shares": {"edge": 1, "edge_inpaint": 3}}


@pytest.fixture
def learning(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))  # as the benchmark sets it, but for this test alone
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("learning")


def written(path, **changes):
    path.write_text(yaml.safe_dump(STUDY | changes))
    return path


def test_a_study_continues_and_grows(learning, tmp_path, capsys):
    output, variants = tmp_path / "study", {"demo": {}, "slow": {"LR": 1e-5, "SIGMA": 2}, "broken": {"LRR": 1}}
    assert learning.main([str(written(tmp_path / "s.yml")), "--output", str(output), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first == json.loads((output / "study.json").read_text())
    run = first["variants"]["demo"]["2"]
    end = run["iterations"]["edge"]
    assert [point["iteration"] for point in run["points"]] == [end // 2, end]
    assert 0 < run["points"][0]["minutes"] < run["points"][1]["minutes"] == run["minutes"]
    assert all(0 <= point["edge_f1"] <= 1 and point["psnr_rgb"] is None for point in run["points"])
    assert first["classical"]["telea"]["psnr_rgb"] > 10
    evaluated = json.loads((output / "variants/demo/1-evaluation/results.json").read_text())
    assert evaluated["methods"][0]["bins"].keys() == {"(20,30]", "all"}

    shutil.rmtree(output / "variants/demo/1-evaluation")
    assert learning.main([str(written(tmp_path / "s.yml", variants=variants)), "--output", str(output)]) == 1
    second = json.loads((output / "study.json").read_text())
    assert second["variants"]["demo"] == first["variants"]["demo"]
    assert second["variants"].keys() == {"demo", "slow"}
    evaluations = [output / "classical", *output.glob("variants/*/*-evaluation")]
    assert len(evaluations) == 5
    assert {json.loads((folder / "results.json").read_text())["sigma"] for folder in evaluations} == {1}
    assert "LRR" in second["failures"]["broken"]
    rows = [line.split("|")[1].strip() for line in (output / "table.md").read_text().splitlines() if "|" in line]
    assert rows[2:] == ["demo", "slow", "telea", "navier_stokes", "biharmonic"]
    assert pixels(output / "study.png").std() > 0

    capsys.readouterr()
    assert learning.main([str(written(tmp_path / "s.yml", bin="(20,25]")), "--output", str(output)]) == 2
    assert "(20,25] holds no items" in capsys.readouterr().err


def test_stages_share_the_minutes_by_their_pace(learning, tmp_path):
    study = learning.Study(**STUDY | STAGES | {"minutes": 10})
    asked = {"points": 2, "seconds": {"edge": 150, "edge_inpaint": 450}} | study.configuration({}).flat()
    known = json.dumps({"asked": asked, "pace": {"edge": 0.5, "edge_inpaint": 1}})
    (tmp_path / "pace.json").write_text(known)
    assert learning.iterations(study, study.configuration({}), tmp_path) == {"edge": 300, "edge_inpaint": 450}
    with pytest.raises(UserError, match="LR changed"):
        learning.iterations(study, study.configuration({"LR": 1}), tmp_path)


def test_phases_keep_the_proportion_of_their_ends(learning):
    phases = [{"end": 18, "train": ["generator"]}, {"end": 24, "lr": 1e-5}]
    assert learning.scaled_phases(phases, 400) == [{"end": 300, "train": ["generator"]}, {"end": 400, "lr": 1e-5}]
    assert learning.scaled_phases(phases, 1) == [{"end": 1, "lr": 1e-5}]
    assert learning.scaled_phases([], 7) == [{"end": 7}]


def test_minutes_are_those_that_led_to_a_save(learning, tmp_path):
    """Begun at 0 s, killed after a save at 10 s, begun again at 100 s from there."""
    starts = [(0, "edge", 0), (100, "edge", 5), (200, "inpaint", 0)]
    lines = [
        {"time": datetime.fromtimestamp(10**9 + second, UTC).isoformat(), "stage": stage, "iteration": step}
        for second, stage, step in starts
    ]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step, second in ((5, 10), (7, 103), (9, 107)):
        record = {"step": step, "written": (10**9 + second) * 10**9, "stage": "edge", "files": {}, "origins": {}}
        (folder := learning.save_of(tmp_path, "edge", step)).mkdir(parents=True)
        (folder / "save.json").write_text(json.dumps(record))
    assert [learning.seconds_until(tmp_path, "edge", step) for step in (5, 7, 9)] == [10, 13, 17]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seeds": [1]}, "seeds"),
        ({"metrics": ["psnr"]}, "psnr_rgb"),
        ({"model": "all"}, "shares"),
        ({"variants": {"a/b": {}}}, "a/b"),
        ({"variants": {"a": 1}}, "'a'"),
        ({"minutes": "long"}, "str"),
        ({"metric": []}, "'metric'"),
    ],
)
def test_a_study_file_that_is_none_is_refused_in_one_line(learning, changes, named, tmp_path, capsys):
    assert learning.main([str(written(tmp_path / "s.yml", **changes)), "--output", str(tmp_path / "study")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / 's.yml'}: ")
    assert named in said
    assert not (tmp_path / "study").exists()


def test_the_example_is_a_study(learning):
    path = ROOT / "benchmarks/studies/scenes.yml"
    study = learning.read_study(path)
    for keys in study.variants.values():
        for stage in study.shares:
            assert build(study.configuration(keys | {"MODEL": stage}), lambda network: network)
