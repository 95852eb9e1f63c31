"""Files that appear whole or not at all."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from edgeconnect.errors import UserError
from edgeconnect.storage import digest, discard, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_and_its_folders_are_made(tmp_path):
    write_whole(tmp_path / "a/b/c.bin", b"new")
    assert (tmp_path / "a/b/c.bin").read_bytes() == b"new"
    assert names(tmp_path / "a/b") == ["c.bin"]


def test_file_is_replaced(tmp_path):
    for data in (b"a long first content", b"", b"new"):
        write_whole(tmp_path / "c.bin", data)
        assert (tmp_path / "c.bin").read_bytes() == data
    assert names(tmp_path) == ["c.bin"]


def test_file_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("flushed"), sync(number)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append("renamed"), replace(self, target)))
    write_whole(tmp_path / "c.bin", b"new")
    assert done == ["flushed", "renamed"]


def refuse(number: int):
    def raising(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return raising


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "replace")])
def test_full_disk_leaves_the_old_content_and_no_trace(tmp_path, monkeypatch, owner, name):
    path = tmp_path / "c.bin"
    write_whole(path, b"old")
    monkeypatch.setattr(owner, name, refuse(errno.ENOSPC))
    with pytest.raises(UserError) as caught:
        write_whole(path, b"new")
    assert str(caught.value) == f"{path}: cannot be written (No space left on device); nothing was overwritten"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["c.bin"]


def test_interrupted_write_leaves_the_old_content_and_no_trace(tmp_path, monkeypatch):
    path = tmp_path / "c.bin"
    write_whole(path, b"old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["c.bin"]


@pytest.mark.parametrize("name", ["file/c.bin", "file/deeper/c.bin"])
def test_file_in_the_place_of_a_folder_is_a_user_error_that_names_the_path(tmp_path, name):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(UserError) as caught:
        write_whole(tmp_path / name, b"new")
    assert str(caught.value).startswith(f"{tmp_path / name}: cannot be written (")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_folder_in_the_place_of_the_file_is_a_user_error_and_stays(tmp_path):
    (tmp_path / "c.bin").mkdir()
    with pytest.raises(UserError, match=r"c\.bin: cannot be written"):
        write_whole(tmp_path / "c.bin", b"new")
    assert names(tmp_path) == ["c.bin"]


def test_discard_removes_what_is_there_and_forgives_what_is_not(tmp_path):
    (tmp_path / "a").touch()
    discard(tmp_path / "a")
    discard(tmp_path / "a")
    discard(tmp_path / "no/folder/a")
    assert not list(tmp_path.iterdir())


def test_digest_is_sha_256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert digest(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
