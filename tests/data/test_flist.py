"""Written lists: sorted, split exactly, and read back to the same files."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconnect.config import file as config_file
from edgeconnect.data import files, flist
from edgeconnect.errors import UserError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def numbered(folder: Path, count: int) -> Path:
    return touch(folder, *(f"{n:03d}.png" for n in range(count)))


NAMES = (
    "b.png",
    "# e.png",
    "a 1.JPG",
    "#c.tiff",
    "deep/er/d.webp",
    "größe.png",
    os.fsdecode(b"caf\xe9.png"),
    "a.b.png",
)


@pytest.mark.parametrize("relative", [False, True])
def test_list_reads_back_to_every_picture_in_order(tmp_path, relative):
    folder = touch(tmp_path / "data", *NAMES, "notes.txt", ".hidden.png", ".cache/x.png")
    output = tmp_path / "lists/all.flist"
    assert flist.write_lists(folder, output, None, 0, relative) == [output]
    listed = files.read_list(output, "KEY")
    assert [path.resolve() for path in listed] == sorted(folder / name for name in NAMES)
    lines = output.read_bytes().split(b"\n")
    assert lines[-1] == b""
    assert all(line.startswith(b"../data/" if relative else b"/") for line in lines[:-1])


def test_paths_are_absolute_where_the_folder_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(numbered(tmp_path / "data", 2).parent)
    flist.write_lists(Path("data"), Path("all.txt"), None, 0, relative=False)
    assert Path("all.txt").read_text() == f"{tmp_path}/data/000.png\n{tmp_path}/data/001.png\n"


def test_relative_list_survives_a_move_of_the_whole_folder(tmp_path, monkeypatch):
    folder = touch(tmp_path / "old/data", "a.png", "b/c.png")
    flist.write_lists(folder, tmp_path / "old/list.txt", None, 0, relative=True)
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.chdir("/")
    listed = files.read_list(tmp_path / "new/list.txt", "KEY")
    assert [path.resolve() for path in listed] == [tmp_path / "new/data/a.png", tmp_path / "new/data/b/c.png"]


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 40), st.integers(0, 99), st.sampled_from([(0.8, 0.2), (0.5, 0.5), (0.6, 0.2, 0.2)]))
def test_split_is_complete_disjoint_and_sorted(tmp_path_factory, count, seed, shares):
    folder = numbered(tmp_path_factory.mktemp("split"), count)
    lists = flist.write_lists(folder, folder / "list.txt", shares, seed, relative=False)
    parts = [files.read_list(path, "KEY") for path in lists]
    assert sorted(path for part in parts for path in part) == sorted(folder.glob("*.png"))
    assert all(part == sorted(part) for part in parts)


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        ((0.9, 0.1), [90, 10]),
        ((0.8, 0.1, 0.1), [80, 10, 10]),
        ((0.28, 0.01, 0.71), [28, 1, 71]),
        ((1 / 3, 1 / 3, 1 / 3), [33, 34, 33]),
    ],
)
def test_split_takes_exactly_its_shares(tmp_path, shares, counts):
    folder = numbered(tmp_path / "data", 100)
    lists = flist.write_lists(folder, tmp_path / "list.flist", shares, 0, relative=False)
    assert lists == [tmp_path / f"list_{name}.flist" for name in ("train", "val", "test")[: len(counts)]]
    assert [len(path.read_text().splitlines()) for path in lists] == counts


def test_split_is_the_seeds(tmp_path):
    folder = numbered(tmp_path / "data", 50)

    def val(seed: int) -> str:
        lists = flist.write_lists(folder, tmp_path / "list", (0.7, 0.3), seed, relative=False, overwrite=True)
        return lists[1].read_text()

    assert val(1) == val(1)
    assert val(1) != val(2)


@pytest.mark.parametrize(
    "shares",
    [(1.0,), (0.9, 0.2), (0.5, 0.3), (1.5, -0.5), (0.25, 0.25, 0.25, 0.25), (float("nan"), float("nan"))],
    ids=str,
)
def test_shares_that_make_no_sense_are_refused(tmp_path, shares):
    folder = numbered(tmp_path / "data", 10)
    with pytest.raises(UserError, match=r"^--split: .* are no two or three shares that sum to 1$"):
        flist.write_lists(folder, tmp_path / "list", shares, 0, relative=False)
    assert not list(tmp_path.glob("list*"))


def test_share_without_a_picture_is_refused(tmp_path):
    folder = numbered(tmp_path / "data", 10)
    with pytest.raises(UserError, match="--split: no picture is left for val of 10; give it a larger share"):
        flist.write_lists(folder, tmp_path / "list", (0.99, 0.01), 0, relative=False)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"--path: .*/gone is no folder"):
        flist.write_lists(tmp_path / "gone", tmp_path / "list", None, 0, relative=False)


def test_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(UserError, match=r"--path: .*/data holds no picture"):
        flist.write_lists(touch(tmp_path / "data", "a.txt"), tmp_path / "list", None, 0, relative=False)


@pytest.mark.parametrize("name", ["a\nb.png", "a\rb.png"])
def test_line_break_in_a_name_is_refused_before_anything_is_written(tmp_path, name):
    folder = touch(tmp_path / "data", "a.png", name)
    with pytest.raises(UserError, match="a list cannot name a file with a line break in its name; rename it") as caught:
        flist.write_lists(folder, tmp_path / "list", None, 0, relative=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "list").exists()


def test_another_list_is_overwritten_only_where_that_is_asked(tmp_path):
    folder, output = numbered(tmp_path / "data", 10), tmp_path / "list"
    lists = flist.write_lists(folder, output, (0.5, 0.5), 0, relative=False)
    before = [path.read_bytes() for path in lists]
    assert flist.write_lists(folder, output, (0.5, 0.5), 0, relative=False) == lists  # the same content is no loss
    lists[0].unlink()
    with pytest.raises(UserError, match=r"^--output: .*list_val"):
        flist.write_lists(folder, output, (0.5, 0.5), 1, relative=False)
    assert not lists[0].exists()
    assert lists[1].read_bytes() == before[1]
    flist.write_lists(folder, output, (0.5, 0.5), 1, relative=False, overwrite=True)
    assert [path.read_bytes() for path in lists] != before


def test_runs_folder_with_relative_lists_travels(tmp_path, monkeypatch):
    old, new = tmp_path / "old", tmp_path / "new"
    flist.write_lists(numbered(old / "photos", 10), old / "photos.flist", (0.8, 0.2), 0, relative=True)
    (old / "config.yml").write_text("TRAIN_FLIST: photos_train.flist\nVAL_FLIST: photos_val.flist\n")
    old.rename(new)
    monkeypatch.chdir("/")
    data = config_file.load(new / "config.yml").config.data
    found = [path.resolve() for value in (data.train_flist, data.val_flist) for path in files.list_images(value, "KEY")]
    assert sorted(found) == sorted((new / "photos").iterdir())
