"""The folder of an evaluation: continues where it stopped, keeps others' work out, lists what fails."""

import math
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from evaluations import (
    DRAWN_COUNTS,
    FULL,
    NAMES,
    OPTIONS,
    Painter,
    holes,
    opened,
    photos,
    pixels,
    preprocessing,
    save,
    strict_json,
)
from skimage.color import rgb2gray
from skimage.feature import canny

from edgeconnect.errors import BadImageError, IncompleteError, UserError
from edgeconnect.evaluation import evaluate as evaluation
from edgeconnect.evaluation import study as study_module
from edgeconnect.evaluation.entries import Classical, Results
from edgeconnect.evaluation.fid import LoaderOptions, score
from edgeconnect.evaluation.manifest import read_manifest
from edgeconnect.evaluation.pairing import compose
from edgeconnect.evaluation.report import charts
from edgeconnect.evaluation.study import Study, measures_of, read_table, slug, table_of, write_table

CANNY = [f"canny_{share}{tolerance}" for tolerance in ("", "_1px") for share in ("precision", "recall", "f1")]
EDGES = (0.0, 0.1, 0.3, 1.0)


def evaluate(*arguments):
    found = evaluation.evaluate(*arguments)
    evaluation.require_all(found, arguments[0])
    return found.to_json()


@pytest.fixture
def manifest(tmp_path):
    """Four pictures of two sizes with two holes each."""
    photos(tmp_path / "pictures", ("a.png", "b.png"), (32, 40))
    photos(tmp_path / "pictures", ("c.png", "d.png"), (40, 32))
    return compose(str(tmp_path / "pictures"), "boxes", preprocessing(size=0, edges=EDGES))


@pytest.fixture
def ids(manifest):
    return [item.id for item in manifest.items]


@pytest.fixture(autouse=True)
def _plain_pages(monkeypatch):
    """Draw no curves, which take most of the time."""
    monkeypatch.setattr(charts, "curves", lambda results: {})


def completed(study, entry):
    return list(study.complete(entry))


def values(folder):
    """Return {method: {bin: (mean PSNR, n)}}."""
    found = strict_json(folder / "results.json")["methods"]
    return {m["name"]: {b: (c["psnr_rgb"]["value"], c["psnr_rgb"]["n"]) for b, c in m["bins"].items()} for m in found}


# Completing


def test_neighbours_of_one_size_share_batches(manifest, ids, tmp_path):
    painter = Painter()
    assert not completed(Study(tmp_path / "out", manifest, 3), painter)
    assert painter.asked == [ids[:3], ids[3:4], ids[4:7], ids[7:]]
    assert sorted(path.stem for path in (tmp_path / "out/pictures/painter").iterdir()) == sorted(ids)


def test_it_goes_on_where_it_stopped_to_the_last_byte(manifest, ids, tmp_path):
    evaluate(tmp_path / "out", manifest, [Painter(), Classical("telea")], OPTIONS)
    files = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    del files[tmp_path / "out/versions.json"]  # it has the date
    for name in (ids[2], ids[5]):
        (tmp_path / f"out/pictures/painter/{name}.png").unlink()
    (tmp_path / "out/results.json").unlink()
    again = Painter()
    evaluate(tmp_path / "out", manifest, [again, Classical("telea")], OPTIONS)
    assert again.asked == [[ids[2]], [ids[5]]]
    assert files == {path: path.read_bytes() for path in files}
    again.asked.clear()
    evaluate(tmp_path / "out", manifest, [again, Classical("telea")], OPTIONS)
    assert not again.asked
    evaluate(tmp_path / "new", manifest, [Painter(), Classical("telea")], replace(OPTIONS, batch_size=1, workers=3))
    for name in ("results.json", "results.csv", "tables.md", "tables.tex", "manifest.json", "measures/painter.csv"):
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name


def test_a_run_stopped_between_edges_and_picture_goes_on(manifest, ids, trained, tmp_path):
    """The edges of an item are written before its picture: they alone do not make it done."""
    run = opened(f"{trained}:joint")
    evaluate(tmp_path / "out", manifest, [run], OPTIONS)
    before = (tmp_path / "out/results.json").read_bytes()
    (tmp_path / f"out/pictures/{slug(run.name)}/{ids[1]}.png").unlink()
    (tmp_path / f"out/edges/{slug(run.name)}/{ids[4]}.png").unlink()
    study = Study(tmp_path / "out", manifest)
    assert list(study.measure(run, NAMES, {}, 2.0)) == [id_ for id_ in ids if id_ not in (ids[1], ids[4])]
    evaluate(tmp_path / "out", manifest, [run], OPTIONS)
    assert (tmp_path / "out/results.json").read_bytes() == before
    assert len(list((tmp_path / "out").glob("*/*/*.png"))) == 2 * len(ids)


@pytest.mark.parametrize(("stage", "folders", "measures"), [("edge", ["edges"], 6), ("inpaint", ["pictures"], 9)])
def test_a_stage_that_only_draws_or_only_paints_is_done_without_the_other(
    stage, folders, measures, manifest, ids, trained, tmp_path
):
    run = opened(f"{trained}:{stage}")
    found = evaluate(tmp_path / "out", manifest, [run], OPTIONS)
    assert sorted({path.parts[-3] for path in (tmp_path / "out").glob("*/*/*.png")}) == folders
    assert all(name.startswith("edge_") == (stage == "edge") for name in found["measures"])
    assert len(found["measures"]) == measures
    run.complete = None
    assert evaluate(tmp_path / "out", manifest, [run], OPTIONS) == found


# Whose work it is


def test_other_weights_and_other_items_are_refused(manifest, tmp_path):
    evaluate(tmp_path / "out", manifest, [Painter(gray=1)], OPTIONS)
    kept = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="its results of painter are of other weights or settings"):
        evaluate(tmp_path / "out", manifest, [Painter(gray=2)], OPTIONS)
    fewer = replace(manifest, items=manifest.items[1:])
    with pytest.raises(UserError, match=r"manifest\.json: holds other pictures, masks or sizes"):
        evaluate(tmp_path / "out", fewer, [Painter(gray=1)], OPTIONS)
    assert kept == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}


def test_others_join_and_the_first_stay(manifest, tmp_path):
    evaluate(tmp_path / "out", manifest, [Painter()], OPTIONS)
    evaluate(tmp_path / "out", manifest, [Classical("telea")], OPTIONS)
    with pytest.raises(UserError, match="painter are of other weights"):
        evaluate(tmp_path / "out", manifest, [Painter(gray=2)], OPTIONS)


@pytest.mark.parametrize("names", [("a b", "a-b"), ("x", "x"), ("run:edge", "run-edge"), ("X", "x")])
@pytest.mark.parametrize("at_once", [True, False])
def test_methods_that_would_share_a_folder_are_refused(names, at_once, manifest, tmp_path):
    one, other = (Painter(name, gray) for gray, name in enumerate(names))
    study = Study(tmp_path, manifest)
    if at_once or names[0] == names[1]:
        with pytest.raises(UserError, match=f"two methods are called {names[1]}"):
            study.begin([one, other])
    else:
        study.begin([one])
        with pytest.raises(UserError, match="two methods are called"):
            study.begin([other])


def test_damaged_records_are_refused_in_one_line(manifest, tmp_path):
    Study(tmp_path, manifest).begin([Painter()])
    (tmp_path / "methods.json").write_text("{")
    with pytest.raises(UserError, match=r"methods\.json: cannot be read"):
        Study(tmp_path, manifest).begin([Painter()])
    (tmp_path / "methods.json").unlink()
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="is no manifest of an evaluation"):
        Study(tmp_path, manifest).begin([Painter()])


def test_the_manifest_follows_files_that_moved(manifest, tmp_path):
    evaluate(tmp_path / "out", manifest, [Painter()], OPTIONS)
    before = (tmp_path / "out/results.json").read_bytes()
    (tmp_path / "pictures").rename(tmp_path / "moved")
    moved = compose(str(tmp_path / "moved"), "boxes", manifest.preprocessing)
    again = Painter()
    evaluate(tmp_path / "out", moved, [again], OPTIONS)
    assert not again.asked
    assert (tmp_path / "out/results.json").read_bytes() == before
    assert read_manifest(tmp_path / "out/manifest.json") == moved


# Threads


@pytest.mark.parametrize("what", ["read", "written"])
def test_two_items_are_read_and_written_at_a_time(what, manifest, tmp_path, monkeypatch):
    """Each waits for another; alone it would wait in vain."""
    together = threading.Barrier(2, timeout=10)
    place, name = (Study, "load") if what == "read" else (study_module.images, "write_png")
    original = getattr(place, name)

    def meeting(*arguments):
        together.wait()
        return original(*arguments)

    monkeypatch.setattr(place, name, meeting)
    study, painter = Study(tmp_path / "out", manifest, 2, workers=2), Painter()
    assert not completed(study, painter)
    assert len(list((tmp_path / "out/pictures/painter").iterdir())) == len(manifest.items)


def test_a_full_disk_is_said(manifest, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/pictures").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        completed(Study(tmp_path / "out", manifest, workers=2), Painter())


# What fails


def test_a_failed_batch_is_let_go_before_its_items_are_tried_alone(manifest, ids, tmp_path):
    handled = []

    class Watched(Painter):
        def complete(self, items):
            handled.append(sys.exc_info()[0])
            return super().complete(items)

    assert len(completed(Study(tmp_path / "out", manifest, 3), Watched(fails=ids[:1]))) == 1
    assert handled == [None] * len(handled)
    assert len(handled) == 4 + 3


def test_an_entry_that_predicts_nothing_is_refused(manifest, tmp_path):
    nothing = Painter()
    nothing.paints = False
    with pytest.raises(UserError, match="painter"):
        evaluate(tmp_path / "out", manifest, [nothing], OPTIONS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [FULL, MemoryError(), BadImageError("a.png", "is no picture")])
def test_an_item_that_fails_is_listed_and_left_out_for_all(error, manifest, ids, tmp_path):
    bad, good = Painter("bad", 0, (ids[1], ids[6]), error), Painter("good", 255)
    with pytest.raises(IncompleteError, match=rf"2 of 8 items failed and count for no method: {ids[1]} \(bad\)"):
        evaluate(tmp_path / "out", manifest, [bad, good, Classical("telea")], OPTIONS)
    found = strict_json(tmp_path / "out/results.json")
    assert [(failure["method"], failure["id"]) for failure in found["failures"]] == [("bad", ids[1]), ("bad", ids[6])]
    rest = tuple(item for item in manifest.items if item.id not in (ids[1], ids[6]))
    with pytest.raises(UserError, match="holds other pictures"):
        evaluate(tmp_path / "out", replace(manifest, items=rest), [good], OPTIONS)
    evaluate(tmp_path / "rest", replace(manifest, items=rest), [Painter("bad", 0), good, Classical("telea")], OPTIONS)
    assert values(tmp_path / "out") == values(tmp_path / "rest")
    assert ids[1] in (tmp_path / "out/report.html").read_text("utf-8")


def test_what_failed_once_is_measured_when_it_is_there(manifest, ids, tmp_path):
    """Not remembered as an item without measures."""
    entries = [Painter("bad", 0, ids[:3]), Painter("good", 255)]
    with pytest.raises(IncompleteError):
        evaluate(tmp_path / "out", manifest, entries, OPTIONS)
    entries[0].fails = ids[:1]
    with pytest.raises(IncompleteError):
        evaluate(tmp_path / "out", manifest, entries, OPTIONS)
    entries[0].fails = ()
    evaluate(tmp_path / "out", manifest, entries, OPTIONS)
    evaluate(tmp_path / "new", manifest, entries, OPTIONS)
    assert (tmp_path / "out/results.json").read_bytes() == (tmp_path / "new/results.json").read_bytes()
    assert values(tmp_path / "out")["bad"]["all"][1] == len(ids)


def test_everything_may_fail(manifest, ids, tmp_path):
    with pytest.raises(IncompleteError, match="8 of 8 items failed"):
        evaluate(tmp_path / "out", manifest, [Painter("bad", 0, ids), Painter("good")], OPTIONS)
    found = strict_json(tmp_path / "out/results.json")
    assert len(found["failures"]) == found["bins"]["all"]["items"] + 8 == 8


def test_other_errors_are_not_hidden(manifest, ids, tmp_path):
    with pytest.raises(ZeroDivisionError):
        evaluate(tmp_path / "out", manifest, [Painter("bad", 0, ids[:1], ZeroDivisionError())], OPTIONS)


def test_bad_results_of_others_are_listed_and_missing_ones_refused(manifest, ids, tmp_path):
    evaluate(tmp_path / "first", manifest, [Painter()], OPTIONS)
    theirs = tmp_path / "first/pictures/painter"
    save(theirs / f"{ids[0]}.png", np.zeros((7, 5, 3), np.uint8))
    (theirs / f"{ids[3]}.png").write_bytes(b"damaged")
    with pytest.raises(IncompleteError, match="2 of 8 items failed"):
        evaluate(tmp_path / "second", manifest, [Results("theirs", theirs), Classical("telea")], OPTIONS)
    why = {failure["id"]: failure["why"] for failure in strict_json(tmp_path / "second/results.json")["failures"]}
    assert list(why) == [ids[0], ids[3]]
    assert "is 5x7, the picture is 40x32" in why[ids[0]]
    assert "cannot be read as a picture" in why[ids[3]]
    assert {m: cells["all"][1] for m, cells in values(tmp_path / "second").items()} == {"theirs": 6, "telea": 6}
    (theirs / f"{ids[5]}.png").unlink()
    telea = Painter("telea")
    with pytest.raises(UserError, match=rf"holds no {ids[5]}\.png; every item needs a result of its id"):
        evaluate(tmp_path / "third", manifest, [telea, Results("theirs", theirs)], OPTIONS)
    assert not telea.asked


# Measuring


def test_measures_are_those_of_the_files(manifest, ids, tmp_path):
    evaluate(tmp_path / "out", manifest, [Painter()], OPTIONS)
    found = measures_of(tmp_path / "out", "painter")
    study = Study(tmp_path / "out", manifest)
    for number, id_ in enumerate(ids):
        one = study.load(number)
        error = pixels(tmp_path / f"out/pictures/painter/{id_}.png").astype(float) - one.picture
        assert found[id_]["psnr_rgb"] == pytest.approx(10 * math.log10(255**2 / (error**2).mean()))
        assert found[id_]["l1_hole"] == pytest.approx(np.abs(error[one.mask]).mean() / 255)
        assert math.isnan(found[id_]["true_positives"])


def test_edges_of_everybody_are_counted_at_one_scale(manifest, ids, trained, tmp_path):
    """By Canny of the whole completed picture inside the hole, and where edges are drawn, by those."""
    telea, run = Classical("telea"), opened(f"{trained}:joint")
    evaluate(tmp_path / "out", manifest, [telea, run], replace(OPTIONS, sigma=3))
    study = Study(tmp_path / "out", manifest)
    for entry in (telea, run):
        found = measures_of(tmp_path / "out", entry.name)
        for number, id_ in enumerate(ids):
            one = study.load(number)
            true = canny(rgb2gray(one.picture), 3) & one.mask
            painted = canny(rgb2gray(pixels(study.file("pictures", entry.name, id_))), 3) & one.mask
            counts = (true & painted).sum(), painted.sum(), true.sum()
            assert [found[id_][f"canny_{name}"] for name in DRAWN_COUNTS] == [*counts]
            if entry is telea:
                assert math.isnan(found[id_]["drawn"])
            else:
                drawn = pixels(study.file("edges", run.name, id_)) > 127
                assert found[id_]["true_positives"] == (true & drawn).sum()
                assert found[id_]["wanted"] == true.sum()
                assert found[id_]["matched"] <= found[id_]["lines"] <= found[id_]["drawn"]


def test_only_what_is_asked_for_is_reported_whatever_was_measured_before(manifest, tmp_path):
    measured = []

    def distance(truth, completed):
        measured.append(truth.shape)
        return [0.5]

    distance.digest = "sha256:1"
    plain = evaluate(tmp_path / "out", manifest, [Painter()], OPTIONS)
    more = replace(OPTIONS, distances={"lpips_alex": distance})
    assert list(evaluate(tmp_path / "out", manifest, [Painter()], more)["measures"]) == [*NAMES, *CANNY, "lpips_alex"]
    evaluate(tmp_path / "out", manifest, [Painter()], more)
    assert len(measured) == 8
    distance.digest = "sha256:2"
    evaluate(tmp_path / "out", manifest, [Painter()], more)
    assert len(measured) == 16
    assert evaluate(tmp_path / "out", manifest, [Painter()], OPTIONS) == plain
    other = replace(OPTIONS, sigma=1)
    for options, expected in ((other, evaluate(tmp_path / "new", manifest, [Painter()], other)), (OPTIONS, plain)):
        assert evaluate(tmp_path / "out", manifest, [Painter()], options) == expected
    assert (expected["sigma"], plain["measures"]) == (2, expected["measures"])
    next((tmp_path / "out/pictures/painter").iterdir()).unlink()
    table_of(tmp_path / "out", "painter").write_text("damaged")
    assert evaluate(tmp_path / "out", manifest, [Painter()], OPTIONS) == plain


def test_tables_of_measures_are_read_as_they_were_written(tmp_path):
    rows = {"a": {"x": 0.1 + 0.2, "y": math.nan}, "b": {"x": 1e-300, "y": 100.0}}
    write_table(tmp_path / "t.csv", rows)
    read = read_table(tmp_path / "t.csv")
    assert read["b"] == rows["b"]
    assert (read["a"]["x"], math.isnan(read["a"]["y"])) == (0.1 + 0.2, True)
    for text in ("", "id,x\na,z\n", "x\n1\n", "id,x\na,1,2\n"):
        (tmp_path / "t.csv").write_text(text)
        assert read_table(tmp_path / "t.csv") == {}
    assert read_table(tmp_path / "gone.csv") == {}


# All pictures together


class Mean:
    """An extractor of three features."""

    name, dims = "mean colour", 3

    def resized(self, picture):
        import torch

        return torch.from_numpy(picture).float().mean((0, 1))[None]

    def features(self, batch):
        return batch.numpy()


def test_fid_is_of_the_items_that_count(manifest, ids, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGECONNECT_CACHE", str(tmp_path / "cache"))
    options = replace(OPTIONS, inception=Mean(), kid=True)
    failing = [id_ for id_ in ids if id_.startswith("b__")] + ids[:1]
    entries = [Painter("bad", 0, failing), Painter("good", 255)]
    with pytest.raises(IncompleteError):
        evaluate(tmp_path / "out", manifest, entries, options)
    found = strict_json(tmp_path / "out/results.json")
    assert found["extractor"] == "mean colour"
    for method, name in zip(found["methods"], ("bad", "good"), strict=True):
        folder = tmp_path / "kept" / name
        for id_ in set(ids) - set(failing):
            save(folder / f"{id_}.png", pixels(tmp_path / f"out/pictures/{name}/{id_}.png"))
        truth = [tmp_path / f"pictures/{stem}.png" for stem in "acd"]
        (tmp_path / "truth.flist").write_text("".join(f"{path}\n" for path in truth))
        scores = score([str(tmp_path / "truth.flist"), str(folder)], Mean(), LoaderOptions(), with_kid=True)
        assert method["set"] == {"fid": pytest.approx(scores.fid), "kid": pytest.approx(scores.kid.mean)}
        assert scores.fid > 1


@pytest.mark.parametrize("count", [7, 8])
def test_fewer_than_two_pictures_have_no_fid_and_cost_no_report(count, manifest, ids, tmp_path, caplog):
    options = replace(OPTIONS, inception=Mean())
    with pytest.raises(IncompleteError, match=f"{count} of 8 items failed"):
        evaluate(tmp_path / "out", manifest, [Painter("bad", 0, ids[:count])], options)
    assert strict_json(tmp_path / "out/results.json")["methods"][0]["set"] == {}
    assert "no FID" in caplog.text


def test_edges_have_no_fid(manifest, trained, tmp_path):
    run = opened(f"{trained}:1")
    found = evaluate(tmp_path / "out", manifest, [run], replace(OPTIONS, inception=Mean()))
    assert found["methods"][0]["set"] == {}


def test_masks_from_files_are_measured_too(tmp_path):
    """Holes from nothing to almost everything, each in its bin, none dropped."""
    pictures = photos(tmp_path / "pictures", ("a.png",))
    masks = holes(tmp_path / "masks", {"1.png": 0.1, "2.png": 0.5, "3.png": 0.98})
    holes(masks, {"0.png": 0.0025}, (400, 400))  # of which resizing leaves nothing
    manifest = compose(str(pictures), str(masks), preprocessing(pairing="all", size=40))
    found = evaluate(tmp_path / "out", manifest, [Painter(), Classical("biharmonic"), Classical("telea")], OPTIONS)
    assert {name: about["items"] for name, about in found["bins"].items()} == {
        "0": 1,
        "(1,10]": 1,
        "(40,50]": 1,
        "(60,100]": 1,
        "all": 4,
    }
    cells = found["methods"][0]["bins"]
    assert (cells["0"]["psnr_rgb"]["value"], cells["0"]["psnr_rgb"]["capped"]) == (100.0, 1)
    assert (cells["0"]["l1_hole"]["n"], cells["all"]["l1_hole"]["n"]) == (0, 3)
