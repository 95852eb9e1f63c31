"""compare: the same items or nothing, differences in pairs, and a verdict only where it is one."""

import json
import shutil

import numpy as np
import pytest
from evaluations import DRAWN_COUNTS, OPTIONS, Painter, holes, opened, photos, preprocessing, strict_json

from edgeconnect.cli import main
from edgeconnect.errors import IncompleteError, UserError
from edgeconnect.evaluation.compare import ComparedMethod, Difference, choose_pairs, differences, load
from edgeconnect.evaluation.entries import Classical
from edgeconnect.evaluation.evaluate import evaluate, require_all
from edgeconnect.evaluation.intervals import Interval
from edgeconnect.evaluation.manifest import Item, Manifest
from edgeconnect.evaluation.pairing import compose
from edgeconnect.evaluation.report import charts
from edgeconnect.evaluation.results import Measured, summarize
from edgeconnect.evaluation.study import EDGE_COUNTS


def items(count, of_each=1):
    """Items of two bins; `of_each` of them share a picture."""
    rows = [Item(f"i{n}", f"{n // of_each}.png", "m", -1, 0.05 + 0.1 * (n % 2), str(n), "") for n in range(count)]
    return Manifest(preprocessing(), tuple(rows))


def entry(name, values, failed=()):
    return ComparedMethod(
        name, name, {f"i{n}": {"psnr_rgb": value} for n, value in enumerate(values)}, frozenset(failed)
    )


def compared(manifest, *entries, names=("psnr_rgb",)):
    pairs = choose_pairs(entries, every=True)
    return {(d.first, d.second, d.measure, d.bin): d for d in differences(manifest, pairs, names)}


@pytest.fixture(scope="module")
def noisy():
    """Two methods that differ by little on pictures that differ by much."""
    rng = np.random.default_rng(0)
    values = rng.normal(25, 4, 80)
    return items(80), entry("one", values), entry("other", values + rng.normal(0.3, 0.5, 80))


# Numbers


def test_differences_are_paired(noisy):
    manifest, one, other = noisy
    found = compared(manifest, one, other)
    assert [key[3] for key in found] == ["(1,10]", "(10,20]", "all"]
    difference = found["one", "other", "psnr_rgb", "all"]
    values = [np.array([row["psnr_rgb"] for row in side.rows.values()]) for side in (one, other)]
    gaps = values[1] - values[0]
    assert difference.means == pytest.approx((values[0].mean(), values[1].mean()))
    assert difference.difference.value == pytest.approx(gaps.mean())
    width = difference.difference.high - difference.difference.low
    assert width == pytest.approx(2 * 1.96 * gaps.std() / np.sqrt(80), rel=0.1)
    assert width < 2 * 1.96 * values[0].std() / np.sqrt(80) / 3
    assert (difference.n, difference.pictures, found["one", "other", "psnr_rgb", "(1,10]"].n) == (80, 80, 40)
    assert difference.verdict == "other is better"
    turned = compared(manifest, other, one)["other", "one", "psnr_rgb", "all"]
    assert turned.difference.low == pytest.approx(-difference.difference.high)
    assert turned.verdict == "other is better"


def test_items_of_one_picture_go_together():
    values = np.repeat(np.random.default_rng(0).normal(25, 4, 20), 4)
    gaps = np.repeat(np.random.default_rng(1).normal(0, 1, 20), 4)
    widths = []
    for of_each in (1, 4):
        found = compared(items(80, of_each), entry("one", values), entry("other", values + gaps))
        difference = found["one", "other", "psnr_rgb", "all"]
        assert difference.pictures == 80 // of_each
        widths.append(difference.difference.high - difference.difference.low)
    assert widths[1] > 1.7 * widths[0]


@pytest.mark.parametrize(
    ("measure", "interval", "pictures", "verdict"),
    [
        ("psnr_rgb", (1.0, 0.1, 2.0), 6, "b is better"),
        ("psnr_rgb", (-1.0, -2.0, -0.1), 6, "a is better"),
        ("l1_hole", (1.0, 0.1, 2.0), 6, "a is better"),
        ("l1_hole", (-1.0, -2.0, -0.1), 6, "b is better"),
        ("psnr_rgb", (1.0, -0.1, 2.0), 6, "no difference shown"),
        ("psnr_rgb", (1.0, 0.0, 2.0), 6, "no difference shown"),
        ("psnr_rgb", (0.0, 0.0, 0.0), 6, "no difference shown"),
        ("psnr_rgb", (1.0, 1.0, 1.0), 5, "no difference shown"),
    ],
)
def test_a_verdict_needs_an_interval_without_0_and_pictures_enough(measure, interval, pictures, verdict):
    assert Difference(measure, "all", "a", "b", (0.0, 0.0), Interval(*interval), 9, pictures).verdict == verdict


def test_the_same_numbers_differ_by_nothing(noisy):
    manifest, one, _ = noisy
    difference = compared(manifest, one, one._replace(label="same"))["one", "same", "psnr_rgb", "all"]
    assert difference.difference == (0.0, 0.0, 0.0)
    assert difference.verdict == "no difference shown"


def test_items_that_failed_in_either_or_were_not_measured_are_left_out():
    one = entry("one", [10, 20, 30, 40, float("nan"), 60], failed={"i0"})
    other = entry("other", [1, 2, 3, 4, 5, 6], failed={"i3"})
    del other.rows["i5"]
    found = compared(items(6), one, other)
    assert {key[3]: (d.n, d.means) for key, d in found.items()} == {
        "(1,10]": (1, (30.0, 3.0)),
        "(10,20]": (1, (20.0, 2.0)),
        "all": (2, (25.0, 2.5)),
    }
    assert not compared(items(6), one, other, names=("l1_hole",))


def test_edges_are_added_up_as_in_the_tables():
    """The F1 of a bin is of its pixels together, so that compare shows the numbers of the report."""
    rng = np.random.default_rng(0)

    def drawn(share):
        rows = {}
        for n in range(30):
            hits = int(rng.binomial(50, share)) if n else 0
            rows[f"i{n}"] = dict(zip(DRAWN_COUNTS, (hits, 50 if n else 0, 50 if n else 0), strict=True))
        return rows

    one, other = (ComparedMethod(name, name, drawn(share)) for name, share in (("one", 0.3), ("other", 0.6)))
    difference = compared(items(30), one, other, names=("edge_f1",))["one", "other", "edge_f1", "all"]
    totals = [sum(row["true_positives"] for row in side.rows.values()) for side in (one, other)]
    assert difference.means == pytest.approx([2 * total / 2900 for total in totals])
    assert difference.difference.value == pytest.approx((totals[1] - totals[0]) / 1450)
    assert (difference.n, difference.verdict) == (29, "other is better")
    nothing = {id_: dict.fromkeys(EDGE_COUNTS, 0.0) for id_ in one.rows}
    assert not compared(items(30), one, ComparedMethod("none", "none", nothing), names=("edge_precision",))


def test_the_baseline_is_the_first_or_the_one_named(noisy):
    _, one, other = noisy
    methods = [one, other, one._replace(name="third", label="folder/third (strict edges)")]

    def labels(**how):
        return [(first.name, second.name) for first, second in choose_pairs(methods, **how)]

    assert labels() == [("one", "other"), ("one", "third")]
    assert labels(every=True) == [("one", "other"), ("one", "third"), ("other", "third")]
    for name in ("third", "folder/third (strict edges)"):
        assert labels(baseline=name) == [("third", "one"), ("third", "other")]
    for known, name in ((methods, "fourth"), ([one, one, other], "one")):
        with pytest.raises(UserError, match=f"--baseline: {name}"):
            choose_pairs(known, name)


def test_n_is_that_of_the_tables():
    """Items without an edge count for neither."""
    edges = [(1, 2, 2), (0, 0, 0), (0, 0, 3), (0, 4, 0), (2, 2, 2), (0, 0, 0)]
    rows = {f"i{n}": dict(zip(DRAWN_COUNTS, map(float, row), strict=True)) for n, row in enumerate(edges)}
    manifest = items(6)
    cells = summarize(manifest, [Measured("m", "", rows, {})]).methods[0].bins["all"]
    method = ComparedMethod("m", "m", rows)
    for name in ("edge_precision", "edge_recall", "edge_f1"):
        found = compared(manifest, method, method._replace(label="other"), names=(name,))["m", "other", name, "all"]
        assert (found.n, found.means[0]) == (cells[name].n, pytest.approx(cells[name].value))


# Folders


@pytest.fixture(scope="module")
def folders(tmp_path_factory, trained):
    """Evaluations of the same items in a/evaluation and b/evaluation; those in a failed at one item."""
    place = tmp_path_factory.mktemp("evaluations")
    pictures = photos(place / "pictures", [f"{n}.png" for n in range(7)], (32, 32))
    masks = holes(place / "masks", {"m.png": 0.3, "n.png": 0.5}, (32, 32))
    manifest = compose(str(pictures), str(masks), preprocessing(pairing="all"))
    runs = [opened(f"{trained}:{stage}") for stage in (1, 4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "curves", lambda results: {})
        entries = [Painter("black", 0, ["3__m"]), Classical("telea")]
        found = evaluate(place / "a/evaluation", manifest, entries, OPTIONS)
        with pytest.raises(IncompleteError):
            require_all(found, place / "a/evaluation")
        evaluate(place / "b/evaluation", manifest, [Classical("telea"), *runs], OPTIONS)
    return place


def compare(folders, capsys, *arguments, names=("a/evaluation", "b/evaluation")):
    code = main(["compare", *(str(folders / name) for name in names), *arguments])
    return code, *capsys.readouterr()


def test_folders_are_compared_item_by_item(folders, capsys):
    code, printed, said = compare(
        *(folders, capsys, "--json", "--all-pairs", "--measures", "psnr_rgb", "edge_f1"),
        *("--output", str(folders / "c.json")),
    )
    assert code == 0, said
    found = strict_json(folders / "c.json")
    assert json.loads(printed) == found
    rows = {(row["first"], row["second"], row["measure"], row["bin"]): row for row in found["differences"]}
    telea = rows["a/evaluation/telea", "b/evaluation/telea", "psnr_rgb", "all"]
    assert (telea["n"], telea["pictures"]) == (13, 7)
    assert telea["difference"] == {"value": 0, "low": 0, "high": 0}
    black = rows["a/evaluation/black", "b/evaluation/telea", "psnr_rgb", "all"]
    assert black["verdict"] == "b/evaluation/telea is better"
    assert black["difference"]["low"] > 0
    of_edges = {key[:2] for key in rows if key[2] == "edge_f1"}
    assert of_edges == {tuple(f"b/evaluation/run:{stage} (strict edges)" for stage in ("edge", "joint"))}
    cell = strict_json(folders / "a/evaluation/results.json")["methods"][0]["bins"]["all"]["psnr_rgb"]
    assert black["means"][0] == pytest.approx(cell["value"])
    assert (cell["n"], black["n"]) == (13, 13)


def test_the_report_and_the_comparison_say_the_same_of_edges(folders, capsys):
    code, printed, _ = compare(
        *(folders, capsys, "--json", "--measures", "edge_f1", "--baseline", "run:edge"), names=("b/evaluation",)
    )
    assert code == 0
    means = next(row["means"] for row in json.loads(printed)["differences"] if row["bin"] == "all")
    methods = strict_json(folders / "b/evaluation/results.json")["methods"][1:]
    assert means == pytest.approx([method["bins"]["all"]["edge_f1"]["value"] for method in methods])


def test_one_folder_is_compared_in_itself_and_twice_is_once(folders, capsys):
    one = compare(folders, capsys, names=("a/evaluation",))
    assert one[0] == 0
    assert one[1].startswith("psnr_rgb ↑ compared with evaluation/black\n")
    assert compare(folders, capsys, names=("a/evaluation", "a/../a/evaluation"))[:2] == one[:2]


def test_a_metric_that_some_lack_is_said(folders, capsys):
    code, printed, said = compare(folders, capsys, "--measures", "psnr_rgb", "edge_f1", names=("b/evaluation",))
    assert (code, "edge_f1" in printed, "psnr_rgb" in printed) == (0, False, True)
    assert "edge_f1 was not measured for evaluation/telea\n" in said
    assert "psnr_rgb was not measured for evaluation/run:edge (strict edges)\n" in said
    code, _, said = compare(folders, capsys, "--measures", "edge_f1", names=("b/evaluation",))
    assert (code, said.count("error: "), "give --baseline" in said) == (2, 1, True)


def test_the_table_says_why_no_difference_is_shown(folders, capsys):
    lines = compare(folders, capsys, "--measures", "l1_hole")[1].splitlines()
    assert not [line for line in lines if line.endswith("no difference shown")]
    small = [line for line in lines if "(20,30]" in line or "(40,50]" in line]
    assert small
    same = compare(folders, capsys, "--baseline", "a/evaluation/telea", "--measures", "l1_hole")[1].splitlines()
    assert [line for line in same if "b/evaluation/telea" in line and line.endswith("shown: the interval holds 0")]


def test_other_items_are_refused(folders, capsys):
    manifest = compose(str(folders / "pictures"), str(folders / "masks/m.png"), preprocessing())
    evaluate(folders / "c", manifest, [Classical("telea")], OPTIONS)
    code, _, said = compare(folders, capsys, names=("a/evaluation", "c"))
    assert (code, "evaluate different items; repeat one with --manifest of the other" in said) == (2, True)


def test_what_cannot_be_compared_is_said_in_one_line(folders, tmp_path, capsys):
    shutil.copytree(folders / "a/evaluation", tmp_path / "a")
    shutil.copytree(folders / "a/evaluation", tmp_path / "damaged")
    (tmp_path / "damaged/results.json").write_text("{}")
    cases = [
        (("a", "gone"), (), "is no manifest of an evaluation"),
        (("a", "damaged"), (), "results.json: holds no results"),
        (("a",), ("--measures", "beauty"), "--measures: beauty is none of"),
        (("a",), ("--baseline", "magic"), "--baseline: magic"),
        (("a",), ("--measures", "psnr_rgb", "edge_f1"), "--measures: no method has edge_f1"),
    ]
    for names, arguments, wanted in cases:
        code, _, said = compare(tmp_path, capsys, *arguments, names=names)
        assert (code, said.count("error: "), wanted in said) == (2, 1, True), said
    (tmp_path / "a/measures/telea.csv").unlink()
    with pytest.raises(UserError, match=r"telea\.csv: holds no measures; evaluate telea again"):
        load([tmp_path / "a"])
