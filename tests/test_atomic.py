"""Files that appear whole or not at all."""

import errno
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from edgeconnect import atomic
from edgeconnect.atomic import copy_whole, discard, expanded, flush, free_name, sweep, whole_folder, write_whole
from edgeconnect.digest import damage, file_digest
from edgeconnect.errors import UserError


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


def archive(path: Path, **parts: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, text in parts.items():
            file.writestr(f"{path.stem}/{name}", text)
    return path


def test_digest_is_of_contents_not_of_names(tmp_path):
    one, same = archive(tmp_path / "a.pth", x="1", y="2"), archive(tmp_path / "b.pth", x="1", y="2")
    assert file_digest(one) == file_digest(same)
    assert file_digest(one) != file_digest(archive(tmp_path / "c.pth", x="1", y="3"))
    (tmp_path / "plain").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "plain") == "sha256:" + hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_damage_is_noticed_wherever_it_is(tmp_path):
    path = archive(tmp_path / "a.pth", x="1" * 1000, y="2" * 1000)
    digest, data = file_digest(path), path.read_bytes()
    assert damage(path, digest) == ""
    for place in range(0, len(data), 97):
        path.write_bytes(data[:place])
        assert "cut off or changed" in damage(path, digest)
    path.write_bytes(data[:500] + b"x" + data[501:])
    assert damage(path, digest) == "a.pth is damaged at a/x"
    path.unlink()
    assert damage(path, digest).startswith("a.pth cannot be read (")


def test_folder_appears_whole_and_replaces_what_was_there(tmp_path):
    for text in ("old", "new"):
        with whole_folder(tmp_path / "deep/here") as part:
            (part / "file").write_text(text)
            assert not (tmp_path / "deep/here/file").exists() or text == "new"
        assert (tmp_path / "deep/here/file").read_text() == text
    assert names(tmp_path / "deep") == ["here"]


def test_folder_that_cannot_be_finished_leaves_what_was_there(tmp_path, monkeypatch):
    with whole_folder(tmp_path / "here") as part:
        (part / "file").write_text("old")
    monkeypatch.setattr(os, "fsync", refuse(errno.ENOSPC))
    with pytest.raises(UserError, match="No space left"), whole_folder(tmp_path / "here") as part:
        (part / "file").write_text("new")
    assert (tmp_path / "here/file").read_text() == "old"
    assert names(tmp_path) == ["here"]


def test_copy_is_no_link(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    copy_whole(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "1"
    assert not (tmp_path / "a").samefile(tmp_path / "b")
    assert names(tmp_path) == ["a", "b"]


def test_file_system_that_cannot_flush_folders_is_lived_with(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", refuse(errno.EINVAL))
    flush(tmp_path)
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match="Invalid argument"):
        flush(tmp_path / "a")


def test_leftovers_of_a_dead_run_are_swept(tmp_path):
    (atomic.beside_of(tmp_path / "a") / "b").mkdir(parents=True)
    atomic.beside_of(tmp_path / "c").touch()
    foreign = [".a.123.part", ".c.9.part", ".download.part", f".{'a' * 16}.x.part", "d.part"]
    for name in foreign:
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert names(tmp_path) == sorted(foreign)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("~/a", "/home/me/a"),
        ("$HOME/a", "/home/me/a"),
        ("${HOME}/a", "/home/me/a"),
        ("/data/$WHO/a", "/data/me/a"),
        ("$NOT_SET_AT_ALL/a", "$NOT_SET_AT_ALL/a"),
        ("~nobody/a", "~nobody/a"),
        ("a~/b", "a~/b"),
        ("kept$WHO", "kept$WHO"),
    ],
)
def test_home_and_variables_are_resolved_unless_a_file_has_that_name(tmp_path, monkeypatch, source, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept$WHO").touch()
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("WHO", "me")
    assert expanded(source) == Path(path)


def test_free_name_counts_up(tmp_path):
    (tmp_path / "log.old-1.csv").touch()
    assert free_name(tmp_path / "log.csv") == tmp_path / "log.old-2.csv"
