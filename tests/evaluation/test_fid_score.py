"""scripts/fid_score.py: the package's number, what is said with it, mistakes in one line."""

import argparse
import json
import logging
import shutil
import warnings
from unittest import mock

import numpy as np
import pytest
import torch
from inceptions import random_state, saved
from PIL import Image
from pytorch_fid import fid_score, inception

from edgeconnect.commands.fid import add_fid_options, device_of
from edgeconnect.data.scenes import render
from edgeconnect.errors import UserError
from edgeconnect.evaluation.fid import ExtractorInfo, agreed
from edgeconnect.images import read_image

DIMS = 64  # the first block alone: fast, and its matrices are small


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("weights") / "inception.pth", random_state())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a/ and b/ with five and four pictures of one size, so that the package can batch them."""
    place = tmp_path_factory.mktemp("pictures")
    for name, numbers in (("a", range(5)), ("b", range(5, 9))):
        (place / name).mkdir()
        for n in numbers:
            Image.fromarray(render(n, 40, 48)).save(place / name / f"{n}.{'jpg' if n % 2 else 'png'}")
    return place


@pytest.fixture
def run(capsys, weights, folders, monkeypatch, tmp_path):
    """Return a function that runs the command, in the folder of the pictures and with a cache of the test's own."""
    monkeypatch.chdir(folders)
    monkeypatch.setenv("EDGECONNECT_CACHE", str(tmp_path / "cache"))

    def call(*arguments: object, dims: int = DIMS) -> str:
        parser = argparse.ArgumentParser()
        add_fid_options(parser)
        base = ["--weights", str(weights), "--dims", str(dims), "--gpu", "-1", "--workers", "2"]
        parsed = parser.parse_args(base + [str(argument) for argument in arguments])
        parsed.action(parsed)
        return capsys.readouterr().out

    return call


def by_package(weights, one, other, batch_size):
    state = torch.load(weights, weights_only=True)
    with (
        mock.patch.object(inception, "load_state_dict_from_url", return_value=state),
        warnings.catch_warnings(action="ignore"),  # scipy's, of the way the package calls it
    ):
        return float(fid_score.calculate_fid_given_paths([str(one), str(other)], batch_size, "cpu", DIMS, 0))


def test_fid_is_the_packages(run, weights, folders):
    found = json.loads(run("--path", "a", "b", "--json", "--batch-size", 3))
    assert found["fid"] == pytest.approx(by_package(weights, folders / "a", folders / "b", 3), rel=1e-3)
    assert found["fid"] > 0.01
    assert [side["n"] for side in found["samples"]] == [5, 4]
    assert (found["dims"], found["kid"]) == (DIMS, None)
    assert found["extractor"].startswith("pytorch-fid-inception-v3 sha256:")
    assert found["resize"] == "bilinear to 299x299, not antialiased"


def test_fid_of_real_pictures_of_different_sizes_is_the_packages(run, weights, shared, tmp_path):
    for name, part in (("a", "test"), ("b", "val")):
        (tmp_path / name).mkdir()
        for path in sorted((shared / "data/natural" / part).iterdir())[:4]:
            (tmp_path / name / path.name).symlink_to(path)
    assert len({read_image(path).shape for path in tmp_path.glob("[ab]/*")}) > 1
    one, other = tmp_path / "a", tmp_path / "b"
    found = json.loads(run("--path", one, other, "--json"))
    assert found["fid"] == pytest.approx(by_package(weights, one, other, 1), rel=1e-3)


def test_table_says_of_what_the_number_is(run, caplog):
    with caplog.at_level(logging.WARNING, "edgeconnect"):
        said = run("--path", "a", "b", "--kid", "--kid-size", 3)
    for part in ("FID ", "KID ", "100 subsets of 3", "a: 5 pictures", "b: 4 pictures", "sha256:", "64 features", "299"):
        assert part in said
    assert "a: 5 pictures: below 2048 FID is biased, its covariance of less than full rank" in caplog.text
    assert "KID (--kid) is the better number" in caplog.text


def test_second_run_takes_the_statistics_from_the_cache_unless_told_otherwise(run, tmp_path):
    first, second, third = (json.loads(run("--path", "a", "b", "--json", *more)) for more in ((), (), ("--no-cache",)))
    assert [[side["cached"] for side in found["samples"]] for found in (first, second, third)] == [
        [False, False],
        [True, True],
        [False, False],
    ]
    assert first["fid"] == second["fid"] == third["fid"]
    assert len(list(tmp_path.glob("cache/fid/*.npz"))) == 2


def test_no_digit_depends_on_batches_names_or_the_cache(run, folders, tmp_path):
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for n, path in enumerate(sorted((folders / "a").iterdir(), reverse=True)):
        shutil.copy(path, renamed / f"{n}{path.suffix}")
    cases = [("a", 3, "--no-cache"), ("a", 50), (renamed, 3, "--no-cache"), (renamed, 50)]
    found = [json.loads(run("--path", side, "b", "--json", "--batch-size", *how)) for side, *how in cases]
    assert len({scores["fid"] for scores in found}) == 1
    assert [side["cached"] for side in found[-1]["samples"]] == [True, True]


def test_a_folder_that_is_missing_is_named_before_anything_is_downloaded(run, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", None)  # calling it would be another error
    with pytest.raises(UserError, match="--path: gone does not exist"):
        run("--path", "a", "gone", "--weights", "")


def test_archives_stand_for_folders_on_either_side(run, tmp_path, caplog):
    expected = json.loads(run("--path", "a", "b", "--json"))
    for name in ("a", "b"):
        with caplog.at_level(logging.INFO, "edgeconnect"):
            assert run("--path", name, "--save-stats", tmp_path / f"{name}.npz") == ""
    assert f"statistics of 5 pictures written to {tmp_path / 'a.npz'}" in caplog.text
    for pair in ((tmp_path / "a.npz", "b"), ("a", tmp_path / "b.npz"), (tmp_path / "a.npz", tmp_path / "b.npz")):
        found = json.loads(run("--path", *pair, "--json"))
        assert found["fid"] == expected["fid"]
        assert [side["n"] for side in found["samples"]] == [5, 4]
        assert found["extractor"] == expected["extractor"]


def test_archives_need_no_network(run, tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", mu=np.zeros(DIMS), sigma=np.eye(DIMS))
    np.savez(tmp_path / "b.npz", mu=np.ones(DIMS), sigma=np.eye(DIMS))
    pair = ("--path", tmp_path / "a.npz", tmp_path / "b.npz", "--weights", "gone.pth")
    found = json.loads(run(*pair, "--json"))
    assert found["fid"] == pytest.approx(DIMS)
    assert found["extractor"] is None
    assert "an unknown number of pictures" in run(*pair)


def test_statistics_of_another_extractor_are_refused_before_the_work(run, tmp_path):
    np.savez(tmp_path / "a.npz", mu=np.zeros(DIMS), sigma=np.eye(DIMS), n=9, extractor="other", resize="other")
    with pytest.raises(UserError, match=r"not made alike \(.*a\.npz: other, other; b: pytorch-fid-inception-v3 sha256"):
        run("--path", tmp_path / "a.npz", "b", "--no-cache")


def test_recipe_that_is_not_known_agrees_with_any_and_is_told(caplog):
    known = ExtractorInfo("network", "resize")
    with caplog.at_level(logging.WARNING, "edgeconnect"):
        assert agreed({"a.npz": ExtractorInfo(), "b": known}) == known
        assert agreed({"a.npz": ExtractorInfo()}) == ExtractorInfo()
    assert "a.npz does not say what extractor and resize it was made with" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--path", "a"), "--path: 1 given; give two to compare, or one with --save-stats"),
        (("--path", "a", "b", "a"), "--path: 3 given"),
        (("--path", "a", "b", "--save-stats", "x.npz"), "--path: 2 given"),
        (("--path", "a", "--save-stats", "a/0.png"), "--save-stats: a/0.png of a; give a folder, and a name"),
        (("--path", "a.npz", "--save-stats", "b.npz"), "--save-stats: b.npz of a.npz; give a folder, and a name"),
        (("--path", "a", "b", "--batch-size", "0"), "--batch-size: 0 is too small; give 1 or more"),
        (("--path", "a", "b", "--workers", "0"), "--workers: 0 is too small; give 1 or more"),
        (("--path", "a", "b", "--kid-size", "1"), "--kid-size: 1 is too small; give 2 or more"),
        (("--path", "a", "b", "--gpu", "99"), "--gpu: 99 is not there: this machine shows"),
        (("--path", "a", "b", "--gpu", "-2"), "--gpu: -2 is not there"),
        (("--path", "a", "gone"), "--path: gone does not exist"),
        (("--path", "a", "gone.npz"), "--path: gone.npz does not exist"),
        (("--path", "a", "b", "--weights", "gone.pth"), "--weights: gone.pth does not exist"),
    ],
)
def test_mistakes_end_in_one_line(run, arguments, said):
    with pytest.raises(UserError) as caught:
        run(*arguments)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_kid_of_an_archive_is_refused(run, tmp_path):
    np.savez(tmp_path / "a.npz", mu=np.zeros(DIMS), sigma=np.eye(DIMS))
    with pytest.raises(UserError, match=r"--kid: .*a\.npz holds no features; give the folder"):
        run("--path", tmp_path / "a.npz", "b", "--kid")


def test_device_is_the_first_gpu_where_there_is_one(monkeypatch):
    assert device_of(-1).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of(None) == torch.device("cuda:0")
    assert device_of(1) == torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(None) == torch.device("cpu")
