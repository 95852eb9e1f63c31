"""scripts/metrics.py: pairs, figures, files that cannot be used."""

import argparse
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2gray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchvision.models import alexnet

from edgeconnect.commands.metrics import add_metrics_options
from edgeconnect.data.scenes import render
from edgeconnect.errors import IncompleteError, UserError
from edgeconnect.evaluation.pairs import Measurer, Pair, PairReport, Row, find_pairs
from edgeconnect.images import read_image
from edgeconnect.metrics.definitions import MASK, obtainable
from edgeconnect.metrics.images import compute_metrics
from edgeconnect.threads import in_threads

WIDTH, HEIGHT = 72, 64


@pytest.fixture
def compare(capsys):
    """Run the command and return what it printed."""

    def call(*arguments: object) -> str:
        parser = argparse.ArgumentParser()
        add_metrics_options(parser)
        parsed = parser.parse_args([str(argument) for argument in arguments])
        parsed.action(parsed)
        return capsys.readouterr().out

    return call


@pytest.fixture
def folders(tmp_path):
    """Three true pictures, their completions under other suffixes, their masks."""
    rng = np.random.default_rng(0)
    for kind in ("truth", "results", "masks"):
        (tmp_path / kind / "deep").mkdir(parents=True)
    for i, stem in enumerate(("a", "b.c", "deep/d")):
        truth = render(i, HEIGHT, WIDTH)
        hole = np.zeros((HEIGHT, WIDTH), np.uint8)
        hole[10 : 30 + i, 20:50] = 255
        off = rng.integers(-40, 41, truth.shape) * (hole[..., None] > 0)
        Image.fromarray(truth).save(tmp_path / "truth" / f"{stem}.bmp")
        Image.fromarray((truth + off).clip(0, 255).astype(np.uint8)).save(tmp_path / "results" / f"{stem}.png")
        Image.fromarray(hole).save(tmp_path / "masks" / f"{stem}.png")
    return tmp_path


def paths(folders, *more):
    return "--data-path", folders / "truth", "--output-path", folders / "results", *more


def report(folders, compare, *more):
    return json.loads(compare(*paths(folders, "--json", *more)))


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_figures_of_photographs_are_scikit_images(shared, tmp_path, compare):
    photographs = sorted((shared / "data" / "natural" / "test").iterdir())[::15]
    for path in photographs:
        Image.open(path).save(tmp_path / f"{path.stem}.jpg", quality=30)
    (tmp_path / "list").write_text("".join(f"{path}\n" for path in photographs))
    compare("--data-path", tmp_path / "list", "--output-path", tmp_path, "--csv", tmp_path / "out.csv")
    for path, row in zip(photographs, rows(tmp_path / "out.csv"), strict=True):
        a, b = (np.array(Image.open(p)) for p in (path, tmp_path / path.name))
        gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
        grays = rgb2gray(a), rgb2gray(b)
        expected = {
            "psnr_gray": peak_signal_noise_ratio(*grays, data_range=1),
            "ssim_gray_uniform51": structural_similarity(*grays, data_range=1, win_size=51),
            "psnr_rgb": peak_signal_noise_ratio(a, b, data_range=255),
            "ssim_rgb_gauss11": structural_similarity(a, b, data_range=255, **gaussian),
        }
        assert {name: float(row[name]) for name in expected} == pytest.approx(expected, abs=1e-6)


def test_every_pair_is_measured_with_its_own_mask(folders, compare):
    found = report(folders, compare, "--mask", folders / "masks", "--csv", folders / "out.csv")
    names = list(obtainable({MASK}))
    expected = []
    for stem in ("a", "b.c", "deep/d"):
        mask = np.array(Image.open(folders / "masks" / f"{stem}.png")) > 0
        truth, completed = (
            read_image(folders / "truth" / f"{stem}.bmp"),
            read_image(folders / "results" / f"{stem}.png"),
        )
        expected.append(compute_metrics(truth, completed, mask) | {"hole_ratio": mask.mean()})
    written = rows(folders / "out.csv")
    assert list(written[0]) == ["picture", "result", "hole_ratio", *names, "failure"]
    assert [{name: float(row[name]) for name in (*names, "hole_ratio")} for row in written] == expected
    assert [row["picture"] for row in written] == [str(folders / "truth" / f"{s}.bmp") for s in ("a", "b.c", "deep/d")]
    assert (found["pictures"], found["measured"], found["failed"]) == (3, 3, {})
    for name in names:
        values = [row[name] for row in expected]
        told = found["measures"][name]
        assert (told["mean"], told["std"], told["n"]) == (
            pytest.approx(np.mean(values)),
            pytest.approx(np.std(values)),
            3,
        )
    assert list(found["measures"]) == names


def test_the_table_leads_with_the_published_measures_and_says_what_each_is(folders, compare):
    lines = compare(*paths(folders)).splitlines()
    assert lines[0] == "3 of 3 pictures measured"
    assert [line.split()[0] for line in lines[2:5]] == ["psnr_gray", "ssim_gray_uniform51", "mae_relative_sum"]
    assert len([line for line in lines if line.startswith("mae_over_image ")]) == 2
    assert max(map(len, lines)) <= 100
    assert not any("_hole" in line for line in lines)


def test_threads_change_nothing(folders):
    pairs = find_pairs(str(folders / "truth"), str(folders / "results"), str(folders / "masks"))
    measurer = Measurer(obtainable({MASK}))
    assert list(in_threads(measurer.row, pairs, 1)) == list(in_threads(measurer.row, pairs, 3))


def test_identical_pictures_are_counted(folders, compare):
    Image.open(folders / "truth" / "a.bmp").save(folders / "results" / "a.png")
    found = report(folders, compare)["measures"]
    assert (found["psnr_rgb"]["capped"], found["psnr_rgb"]["n"]) == (1, 3)
    assert found["l1"]["capped"] == 0
    assert "dB, 1 capped at 100" in compare(*paths(folders))


def test_pictures_too_small_for_a_window_are_counted(folders, compare):
    for kind, suffix in (("truth", "bmp"), ("results", "png")):
        path = folders / kind / f"a.{suffix}"
        Image.open(path).crop((0, 0, 50, 60)).save(path)
    found = report(folders, compare, "--csv", folders / "out.csv")["measures"]
    assert (found["ssim_gray_uniform51"]["n"], found["ssim_gray_uniform51"]["unmeasured"]) == (2, 1)
    assert (found["psnr_gray"]["n"], found["ssim_rgb_gauss11"]["n"]) == (3, 3)
    assert [row["ssim_gray_uniform51"] == "" for row in rows(folders / "out.csv")] == [True, False, False]


def test_what_has_no_value_is_null(tmp_path, compare):
    Image.new("RGB", (5, 5)).save(tmp_path / "black.png")
    found = json.loads(compare("--data-path", tmp_path, "--output-path", tmp_path, "--json"))
    assert found["measures"]["mae_relative_sum"]["mean"] is None
    assert found["median_hole_ratio"] is None
    assert " nan " in compare("--data-path", tmp_path, "--output-path", tmp_path)


def test_unpaired_pictures_are_named_before_anything_is_measured(folders, compare):
    (folders / "results" / "a.png").rename(folders / "results" / "else.png")
    with pytest.raises(UserError, match=r"no result of the same name for .*truth/a\.bmp"):
        compare(*paths(folders))
    (folders / "truth" / "a.bmp").unlink()
    with pytest.raises(UserError, match=r"else\.png"):
        compare(*paths(folders))
    with pytest.raises(UserError, match=r"no true picture for the results .*else\.png"):
        compare("--data-path", folders / "truth" / "b.c.bmp", "--output-path", folders / "results")


def test_one_picture_and_one_result_may_have_any_names(folders, compare):
    files = ("--data-path", folders / "truth" / "a.bmp", "--output-path", folders / "results" / "deep" / "d.png")
    assert "1 of 1" in compare(*files, "--mask", folders / "masks" / "b.c.png")


def test_pictures_that_cannot_be_used_are_in_no_mean_and_named(folders, compare, caplog, capsys):
    (folders / "results" / "a.png").write_bytes(b"no picture")
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(folders / "results" / "b.c.png")
    message = r"2 of 3 pictures could not be measured.*truth/a\.bmp, .*b\.c\.bmp"
    with caplog.at_level("WARNING"), pytest.raises(IncompleteError, match=message):
        compare(*paths(folders, "--json", "--csv", folders / "out.csv"))
    found = json.loads(capsys.readouterr().out)
    assert (found["pictures"], found["measured"]) == (3, 1)
    assert list(found["failed"]) == [str(folders / "truth" / name) for name in ("a.bmp", "b.c.bmp")]
    assert {told["n"] for told in found["measures"].values()} == {1}
    assert [row["failure"] != "" for row in rows(folders / "out.csv")] == [True, True, False]
    assert [name in text for name, text in zip(("a.png", "b.c.png"), caplog.messages, strict=True)] == [True, True]
    assert re.search(r"b\.c\.png: is 72x65, .*b\.c\.bmp is 72x64", caplog.messages[1])


def test_masks_are_read_as_test_py_reads_them(folders):
    pairs = find_pairs(str(folders / "truth"), str(folders / "results"), str(folders / "masks" / "a.png"))
    ratio = 20 * 30 / (WIDTH * HEIGHT)
    known = Measurer((), polarity="known")
    assert [Measurer(()).row(pair).hole_ratio for pair in pairs] == [pytest.approx(ratio)] * 3
    assert [known.row(pair).hole_ratio for pair in pairs] == [pytest.approx(1 - ratio)] * 3
    Image.open(folders / "masks" / "a.png").resize((2 * WIDTH, 2 * HEIGHT)).save(folders / "masks" / "a.png")
    assert Measurer(()).row(pairs[0]).hole_ratio == pytest.approx(ratio, rel=0.05)
    Image.open(folders / "masks" / "a.png").resize((WIDTH, WIDTH)).save(folders / "masks" / "a.png")
    assert "72x72" in Measurer(()).row(pairs[0]).failure
    stretched = Measurer((), resize_mask=True)
    assert stretched.row(pairs[0]).hole_ratio == pytest.approx(ratio, rel=0.05)


@pytest.mark.parametrize("given", ["truth", "results"])
def test_pictures_given_as_masks_are_refused_by_name(folders, given):
    pairs = find_pairs(str(folders / "truth"), str(folders / "results"), str(folders / given))
    for pair in pairs:
        assert Measurer(()).row(pair).failure.startswith(f"{pair.mask}: is ")


def test_masks_that_look_inverted_are_said_so(folders, compare, caplog):
    masks = ("--mask", folders / "masks")
    compare(*paths(folders, *masks))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    compare(*paths(folders, *masks, "--mask-polarity", "known"))
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "the median hole takes 86 %" in warning


def test_lpips_is_measured_with_the_weights_given(folders, compare):
    torch.manual_seed(0)
    features = alexnet(weights=None).features.state_dict()
    torch.save({f"features.{key}": value for key, value in features.items()}, folders / "alexnet.pth")
    found = report(folders, compare, "--lpips", "alex", "--weights", folders / "alexnet.pth", "--device", "cpu")
    told = found["measures"]["lpips_alex"]
    assert told["n"] == 3
    assert told["mean"] > 0
    assert list(found["measures"])[-1] == "lpips_alex"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--weights", "w.pth"), r"--weights: 1 given for --lpips \(none\)"),
        (("--lpips", "alex", "vgg", "--weights", "w.pth"), "--weights: 1 given for --lpips alex vgg"),
        (("--lpips", "alex", "--weights", "w.pth"), "--weights: w.pth does not exist; fetch https"),
        (("--workers", "0"), "--workers: 0"),
        (("--mask", "nowhere"), "--mask: nowhere does not exist"),
    ],
)
def test_mistakes_are_one_line(folders, compare, options, message):
    with pytest.raises(UserError, match=message):
        compare(*paths(folders, *options))


def test_csv_into_a_folder_that_cannot_be_written_says_so(folders, compare):
    with pytest.raises(UserError, match="cannot be written"):
        compare(*paths(folders, "--csv", folders / "truth"))


def summarize(values, names):
    pair = Pair(Path("a"), Path("b"))
    return PairReport([Row(pair, metrics) for metrics in values], names).statistics()


def test_summaries_tell_over_how_many_pictures_the_mean_is():
    rows = [{"psnr_rgb": 20.0, "l1": 0.1}, {"psnr_rgb": 100.0, "l1": float("nan")}, {"psnr_rgb": 30.0, "l1": 0.3}]
    found = summarize(rows, ["psnr_rgb", "l1"])
    assert found["psnr_rgb"] == (50.0, pytest.approx(np.std([20, 100, 30])), 3, 1, 0)
    assert found["l1"] == (pytest.approx(0.2), pytest.approx(0.1), 2, 0, 1)


def test_a_summary_of_nothing_has_no_mean():
    for rows in ([], [{"l1": float("nan")}]):
        found = summarize(rows, ["l1"])["l1"]
        assert np.isnan(found.mean)
        assert np.isnan(found.std)
        assert (found.n, found.capped, found.unmeasured) == (0, 0, len(rows))
