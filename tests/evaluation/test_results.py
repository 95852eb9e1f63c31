"""results.json: every mean by hand, over the items that it says, and nothing that is no JSON."""

import json
import math
from pathlib import Path

import pytest
from evaluations import DRAWN_COUNTS, preprocessing

from edgeconnect.errors import UserError
from edgeconnect.evaluation.compare import read_methods
from edgeconnect.evaluation.manifest import Item, Manifest
from edgeconnect.evaluation.report import tables
from edgeconnect.evaluation.results import ALL, Measured, summarize
from edgeconnect.evaluation.study import EDGE_COUNTS, Failure
from edgeconnect.metrics.definitions import DEFINITIONS, EDGES

GOLDEN = Path(__file__).parent / "golden"  # written by the first release, whose files stay readable and the same
NAN = math.nan
RATIOS = {"a": 0.1, "b": 0.1000001, "c": 0.15, "d": 1.0}


@pytest.fixture
def manifest():
    """Items of three bins; b and c are of one picture."""
    pictures = {"a": "1.png", "b": "2.png", "c": "2.png", "d": "3.png"}
    return Manifest(preprocessing(), tuple(Item(i, pictures[i], "m.png", -1, RATIOS[i], i, "") for i in RATIOS))


def results(manifest, methods, failures):
    return summarize(manifest, methods, failures).to_json()


def measured(name, rows, of_set=None, edges=""):
    table = {id_: dict.fromkeys(EDGE_COUNTS, NAN) | row for id_, row in rows.items()}
    return Measured(name, edges, table, of_set or {})


def psnr(*values):
    return {id_: {"psnr_rgb": value} for id_, value in zip(RATIOS, values, strict=False)}


def counts(*rows):
    return {id_: dict(zip(DRAWN_COUNTS, row, strict=True)) for id_, row in zip(RATIOS, rows, strict=True)}


def cells(found, method=0, name="psnr_rgb"):
    return {bin_: cell[name] for bin_, cell in found["methods"][method]["bins"].items()}


def test_means_are_over_the_items_of_a_bin(manifest):
    found = results(manifest, [measured("m", psnr(20.0, 30.0, 32.0, 25.0))], [])
    assert {bin_: cell["value"] for bin_, cell in cells(found).items()} == {
        "(1,10]": 20.0,
        "(10,20]": 31.0,
        "(60,100]": 25.0,
        ALL: pytest.approx(26.75),
    }
    assert [cell["n"] for cell in cells(found).values()] == [1, 2, 1, 4]
    assert {bin_: about["items"] for bin_, about in found["bins"].items()} == {
        "(1,10]": 1,
        "(10,20]": 2,
        "(60,100]": 1,
        ALL: 4,
    }
    assert found["bins"][ALL]["ratio"] == pytest.approx(sum(RATIOS.values()) / 4)
    assert (found["pictures"], found["manifest"]) == (3, manifest.digest())
    assert cells(found)["(10,20]"]["low"] == cells(found)["(10,20]"]["high"] == 31.0, "one picture"
    assert found["measures"]["psnr_rgb"]["what"] == DEFINITIONS["psnr_rgb"].what


def test_an_item_that_one_method_fails_at_counts_for_none(manifest):
    good = measured("good", psnr(20.0, 30.0, 32.0, 25.0))
    bad = measured("bad", psnr(10.0, 10.0, 20.0))
    found = results(manifest, [good, bad], [Failure("bad", "d", "gone"), Failure("good", "b", "gone")])
    assert [cell["n"] for cell in cells(found).values()] == [cell["n"] for cell in cells(found, 1).values()]
    assert [cell["value"] for cell in cells(found).values()] == [20.0, 32.0, None, 26.0]
    assert [cell["value"] for cell in cells(found, 1).values()] == [10.0, 20.0, None, 15.0]
    assert [about["items"] for about in found["bins"].values()] == [1, 1, 0, 2]
    assert found["bins"]["(60,100]"]["ratio"] is None
    assert [failure["id"] for failure in found["failures"]] == ["d", "b"]
    assert found["pictures"] == 2


def test_edges_add_up_before_they_are_divided(manifest):
    found = results(manifest, [measured("m", counts((1, 2, 4), (0, 8, 0), (3, 4, 3), (0, 0, 0)), edges="strict")], [])
    assert list(found["measures"]) == ["edge_precision", "edge_recall", "edge_f1"]
    assert cells(found, 0, "edge_precision")[ALL]["value"] == pytest.approx(4 / 14)
    assert cells(found, 0, "edge_recall")[ALL]["value"] == pytest.approx(4 / 7)
    assert cells(found, 0, "edge_f1")[ALL]["value"] == pytest.approx(8 / 21)
    assert cells(found, 0, "edge_f1")["(60,100]"] == {
        **{"value": None, "low": None, "high": None},
        **{"n": 0, "capped": 0, "empty": 1},
    }
    assert found["methods"][0]["edges"] == "strict"


@pytest.mark.parametrize(
    ("row", "shares"),
    [((6, 8, 24), [0.75, 0.25, 0.375]), ((0, 0, 0), [NAN] * 3), ((0, 0, 4), [NAN, 0, 0]), ((0, 4, 0), [0, NAN, 0])],
    ids=["some", "neither", "none-drawn", "none-wanted"],
)
def test_precision_recall_and_f1(manifest, row, shares):
    cells = summarize(manifest, [measured("m", counts(row, row, row, row))]).methods[0].bins[ALL].values()
    assert [cell.value for cell in cells] == pytest.approx(shares, nan_ok=True)


def test_what_does_not_apply_is_left_out_and_counted(manifest):
    rows = psnr(20.0, NAN, 32.0, 100.0) | {}
    found = results(manifest, [measured("m", rows), measured("edges", counts(*[(1, 1, 1)] * 4))], [])
    assert cells(found)["(10,20]"] == {
        **{"value": 32.0, "low": 32.0, "high": 32.0},
        **{"n": 1, "capped": 0, "empty": 0},
    }
    assert (cells(found)[ALL]["n"], cells(found)[ALL]["capped"]) == (3, 1)
    assert [cell["n"] for cell in cells(found, 1).values()] == [0] * 4
    assert list(found["measures"]) == ["psnr_rgb", "edge_precision", "edge_recall", "edge_f1"]


def test_results_are_strict_json_and_their_own_copy(manifest):
    methods = [measured("m", psnr(20.0, NAN, NAN, 25.0), {"fid": 12.5, "kid": NAN}), measured("none", {})]
    for failures in ([Failure("m", "a", "why")], [Failure("none", id_, "why") for id_ in RATIOS]):
        kept = methods[:1] if len(failures) == 1 else methods
        found = results(manifest, kept, failures)
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert found["methods"][0]["set"] == {"fid": 12.5, "kid": None}


def test_measures_come_in_the_order_of_their_definitions(manifest):
    known = [name for name, definition in DEFINITIONS.items() if EDGES not in definition.needs]
    rows = {id_: dict.fromkeys(reversed(known), 1.0) for id_ in RATIOS}
    found = results(manifest, [measured("m", rows)], [])
    assert list(found["measures"]) == known
    assert list(found["bins"]) == ["(1,10]", "(10,20]", "(60,100]", ALL]


def small_case():
    """Nine items of four bins: a painter, one that also draws edges, one that draws alone, a failure, FID."""
    ratios = (0.0, 0.05, 0.05, 0.1, 0.15, 0.15, 0.5, 0.95, 0.97)
    items = tuple(Item(f"i{n}", f"{n // 2}.png", "m.png", -1, ratio, f"{n}", "h") for n, ratio in enumerate(ratios))
    paints = {f"i{n}": {"psnr_rgb": 20 + n / 7, "l1_hole": 0.1 / (n + 1), "lpips_alex": n / 11} for n in range(9)}
    paints["i1"]["psnr_rgb"], paints["i3"]["l1_hole"] = 100.0, NAN
    draws = {f"i{n}": dict(zip(DRAWN_COUNTS, (n % 3, n, (n + 4) % 7), strict=True)) for n in range(9)}
    both = {id_: row | draws[id_] | {"psnr_rgb": row["psnr_rgb"] - 1 / 3} for id_, row in paints.items()}
    methods = [
        measured("telea", paints, {"fid": 123.456789, "kid": NAN}),
        measured("run:joint", both, {"fid": 1 / 3}, "strict"),
        measured("lines", draws, {}, "ground-truth"),
    ]
    return Manifest(preprocessing(), items), methods, [Failure("telea", "i5", "is 9x9")]


def test_files_of_a_small_case_are_the_stored_ones():
    found = summarize(*small_case(), extractor="inception", weights={"lpips_alex": "sha256:0"})
    assert json.dumps(found.to_json(), indent=1) + "\n" == (GOLDEN / "results.json").read_text("utf-8")
    assert tables.as_csv(found) == (GOLDEN / "results.csv").read_text("utf-8")


def test_methods_and_failed_items_are_read_from_the_stored_results():
    labels = {"telea": "telea", "run:joint": "run:joint (strict edges)", "lines": "lines (ground-truth edges)"}
    assert read_methods(GOLDEN / "results.json") == ({"i5"}, labels, 0)


def test_a_method_knows_whether_it_paints_and_draws():
    methods = summarize(*small_case()).methods
    assert [(method.paints, method.draws_edges) for method in methods] == [(True, False), (True, True), (False, True)]


def test_provenance_is_written_only_where_there_is_some(manifest):
    plain, known = measured("m", psnr(20.0, 30.0, 32.0, 25.0)), {"stage": "joint", "iteration": "7"}
    found = summarize(manifest, [plain, plain._replace(name="run", provenance=known)])
    contents = found.to_json()["methods"]
    assert "provenance" not in contents[0]
    assert contents[1]["provenance"] == known
    assert [method.provenance for method in found.methods] == [{}, known]
    assert "- run: stage joint, iteration 7" in tables.as_markdown(found)


def test_damaged_results_are_refused(tmp_path):
    path = tmp_path / "results.json"
    whole = json.loads((GOLDEN / "results.json").read_text("utf-8"))
    unnamed = [{"edges": ""}]
    for contents in ({}, [], 3, {"methods": 3}, whole | {"methods": [3]}, whole | {"methods": unnamed}):
        path.write_text(json.dumps(contents))
        with pytest.raises(UserError, match=r"results\.json"):
            read_methods(path)
    path.write_bytes(b'{"schema": 1, "methods')
    with pytest.raises(UserError, match=r"results\.json"):
        read_methods(path)
