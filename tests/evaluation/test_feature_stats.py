"""Folders, archives and the cache: what is read, how often, and what is refused."""

import logging
import os

import numpy as np
import pytest
import torch
from PIL import Image

from edgeconnect.data.scenes import render
from edgeconnect.errors import BadImageError, UserError
from edgeconnect.evaluation import fid as module
from edgeconnect.evaluation.fid import (
    ExtractorInfo,
    LoaderOptions,
    cache_folder,
    info_of,
    read_archive,
    stats_of,
    write_archive,
)


class Counted:
    """An extractor of six features, as fast as it is meaningless, that counts the pictures of each batch."""

    dims = 6

    def __init__(self, name="counted"):
        self.name, self.batches = name, []

    def resized(self, picture):
        small = Image.fromarray(picture).resize((2, 1), Image.Resampling.BOX)
        return torch.from_numpy(np.array(small).astype(np.float32)).permute(2, 0, 1)[None]

    def features(self, batch):
        self.batches.append(len(batch))
        return batch.flatten(1).numpy()


@pytest.fixture
def folder(tmp_path):
    """Seven pictures of many kinds, one in a subfolder, and a note."""
    place = tmp_path / "pictures"
    (place / "deep").mkdir(parents=True)
    for n, name in enumerate(("0.png", "1.jpg", "2.PNG", "3.bmp", "4.webp", "5.tiff", "deep/6.png")):
        Image.fromarray(render(n, 20 + n, 30)).save(place / name)
    (place / "note.txt").write_text("no picture")
    return place


NAMES = ("0.png", "1.jpg", "2.PNG", "3.bmp", "4.webp", "5.tiff", "deep/6.png")


def expected(folder):
    extractor, resized = Counted(), []
    for name in NAMES:
        with Image.open(folder / name) as picture:
            resized.append(extractor.resized(np.array(picture.convert("RGB"))))
    return extractor.features(torch.cat(resized))


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_every_picture_counts_the_last_batch_too(folder, batch_size, monkeypatch):
    monkeypatch.setattr(module, "BATCH", batch_size)
    extractor = Counted()
    found = stats_of(str(folder), extractor, LoaderOptions())
    assert sum(extractor.batches) == found.n == 7
    assert max(extractor.batches) == min(batch_size, 7)
    assert found.features is None
    x = expected(folder).astype(np.float64)
    np.testing.assert_allclose(found.statistics.mu, x.mean(0))
    np.testing.assert_allclose(found.statistics.sigma, np.cov(x, rowvar=False))


def test_features_are_kept_in_order_only_where_they_are_asked_for(folder):
    found = stats_of(str(folder), Counted(), LoaderOptions(workers=3), keep_features=True)
    assert np.array_equal(found.features, expected(folder))


def test_lists_are_sides_too(folder, tmp_path):
    (tmp_path / "few.flist").write_text("pictures/0.png\npictures/deep/6.png\n")
    assert stats_of(str(tmp_path / "few.flist"), Counted(), LoaderOptions()).n == 2


def test_single_picture_and_empty_folder_are_refused(folder, tmp_path):
    with pytest.raises(UserError, match=r"0\.png is a single picture, which has no covariance"):
        stats_of(str(folder / "0.png"), Counted(), LoaderOptions())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"--path: .*empty holds no picture"):
        stats_of(str(tmp_path / "empty"), Counted(), LoaderOptions())
    with pytest.raises(UserError, match=r"--path: .*gone does not exist"):
        stats_of(str(tmp_path / "gone"), Counted(), LoaderOptions())


@pytest.mark.parametrize("cached", [True, False])
def test_unreadable_picture_is_named(folder, tmp_path, cached):
    (folder / "3.bmp").write_bytes(b"damaged")
    options = LoaderOptions(cache=tmp_path / "cache" if cached else None)
    with pytest.raises(BadImageError, match=r"3\.bmp: cannot be read as a picture"):
        stats_of(str(folder), Counted(), options)
    assert not list(tmp_path.glob("cache/fid/*"))


def test_pipes_and_dead_links_are_named_and_not_waited_for(folder, tmp_path):
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(BadImageError, match=r"pipe\.png: is no file"):
        stats_of(str(folder), Counted(), LoaderOptions(cache=tmp_path / "cache"))
    (folder / "pipe.png").unlink()
    (folder / "dead.png").symlink_to("nowhere")
    with pytest.raises(BadImageError, match=r"dead\.png: is no file, or not there"):
        stats_of(str(folder), Counted(), LoaderOptions(cache=tmp_path / "cache"))


# The cache


def test_same_pictures_are_measured_once_under_any_name(folder, tmp_path):
    options, extractor = LoaderOptions(cache=tmp_path / "cache"), Counted()
    first = stats_of(str(folder), extractor, options)
    renamed = folder.rename(tmp_path / "renamed")
    (renamed / "0.png").rename(renamed / "z.png")
    second = stats_of(str(renamed), extractor, options)
    assert (first.cached, second.cached) == (False, True)
    assert sum(extractor.batches) == second.n == 7
    assert second.info == first.info
    assert np.array_equal(second.statistics.sigma, first.statistics.sigma)
    assert not [path for path in renamed.rglob("*") if path.suffix == ".npz"]


def test_other_content_another_extractor_and_other_dims_are_measured_anew(folder, tmp_path):
    options = LoaderOptions(cache=tmp_path / "cache")
    stats_of(str(folder), Counted(), options)
    assert not stats_of(str(folder), Counted("other weights"), options).cached
    narrow = Counted()
    narrow.dims, narrow.features = 3, lambda batch: batch.flatten(1)[:, :3].numpy()
    assert not stats_of(str(folder), narrow, options).cached
    Image.fromarray(255 - render(0, 20, 30)).save(folder / "0.png")
    assert not stats_of(str(folder), Counted(), options).cached
    (folder / "deep/6.png").unlink()
    assert not stats_of(str(folder), Counted(), options).cached
    assert len(list(tmp_path.glob("cache/fid/*.npz"))) == 5


def test_cache_holds_no_features(folder, tmp_path):
    options = LoaderOptions(cache=tmp_path / "cache")
    stats_of(str(folder), Counted(), options)
    again = stats_of(str(folder), Counted(), options, keep_features=True)
    assert not again.cached
    assert len(again.features) == 7


def test_damaged_entry_is_measured_anew(folder, tmp_path, caplog):
    options = LoaderOptions(cache=tmp_path / "cache")
    first = stats_of(str(folder), Counted(), options)
    (entry,) = tmp_path.glob("cache/fid/*.npz")
    for damage in (b"", entry.read_bytes()[:-100], entry.read_bytes().replace(b"mu", b"xu")):
        entry.write_bytes(damage)
        with caplog.at_level(logging.WARNING, "edgeconnect"):
            again = stats_of(str(folder), Counted(), options)
        assert "measured again" in caplog.text
        assert not again.cached
        assert np.array_equal(again.statistics.mu, first.statistics.mu)
        assert stats_of(str(folder), Counted(), options).cached


def test_cache_that_cannot_be_written_costs_no_measurement(folder, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file")
    with caplog.at_level(logging.WARNING, "edgeconnect"):
        assert stats_of(str(folder), Counted(), LoaderOptions(cache=tmp_path / "cache")).n == 7
    assert "statistics are not kept" in caplog.text


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EDGECONNECT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache/edgeconnect"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert str(cache_folder()) == "/xdg/edgeconnect"
    monkeypatch.setenv("EDGECONNECT_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"


# Archives


def test_archive_says_what_it_is_of_and_the_package_reads_it(folder, tmp_path):
    from pytorch_fid.fid_score import compute_statistics_of_path

    path = tmp_path / "a.npz"
    made = stats_of(str(folder), Counted(), LoaderOptions())
    write_archive(path, made)
    read = read_archive(str(path), 6)
    assert (read.n, read.info, read.source) == (7, info_of(Counted()), str(path))
    mu, sigma = compute_statistics_of_path(str(path), None, 1, 6, "cpu")
    for one in (made.statistics, read.statistics):
        assert np.array_equal(one.mu, mu)
        assert np.array_equal(one.sigma, sigma)


def test_archive_of_the_package_is_read_and_says_nothing_more(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", mu=np.ones(4, np.float32), sigma=np.eye(4))
    read = read_archive(str(tmp_path / "a.npz"), 4)
    assert (read.n, read.info) == (0, ExtractorInfo())
    assert read.statistics.mu.dtype == np.float64


def test_archives_that_do_not_serve_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    cases = [
        ({"mu": np.ones(4), "sigma": np.eye(4)}, "holds 4 features, --dims asks for 6"),
        ({"mu": np.ones(4), "sigma": np.eye(5)}, "holds no mean with its covariance"),
        ({"mu": np.ones((2, 2)), "sigma": np.eye(4)}, "holds no mean with its covariance"),
        ({"mu": np.full(6, np.nan), "sigma": np.eye(6)}, "holds no mean with its covariance"),
        ({"mu": np.ones(6)}, "is no archive of statistics"),
        ({"mu": np.array([None] * 6), "sigma": np.eye(6)}, "is no archive of statistics"),
        ({"mu": np.array(["a"] * 6), "sigma": np.eye(6)}, "is no archive of statistics"),
    ]
    for content, said in cases:
        np.savez(path, **content)
        with pytest.raises(UserError, match=f"--path: .*{said}"):
            read_archive(str(path), 6)
    for data in (b"", b"text", b"PK\x03\x04 cut"):
        path.write_bytes(data)
        with pytest.raises(UserError, match="is no archive of statistics"):
            read_archive(str(path), 6)
    with pytest.raises(UserError, match=r"b\.npz does not exist"):
        read_archive(str(tmp_path / "b.npz"), 6)
