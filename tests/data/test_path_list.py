"""List files of any length: the paths that a plain reading finds, from files that others may replace meanwhile."""

import codecs
import os
import pickle
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeconnect.atomic import expanded
from edgeconnect.data import path_list
from edgeconnect.data.path_list import PathList
from edgeconnect.errors import UserError


def plainly(path: Path) -> list[Path]:
    """Read a list in memory, line by line."""

    def is_comment(line):
        return line.startswith("# ") and not os.path.lexists(path.parent / line) and not os.path.lexists(line)

    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    lines = [os.fsdecode(line).strip() for line in data.split(b"\n")]
    entries = [expanded(line, variables=False) for line in lines if line and not is_comment(line)]
    relative = next((entry for entry in entries if not entry.is_absolute()), None)
    base = path.parent if relative and os.path.lexists(path.parent / relative) else Path()
    return [base / entry for entry in entries]


PIECES = [
    b"a.png",
    b"gone.png",
    b"/x/b.png",
    b"//y",
    b"./c/../d.png",
    b"# e",
    b"# there.png",
    b"#f",
    b"~/g",
    b"~h",
    b"~",
]
BLANKS = [b"", b" ", b"\t", b"\r", b"\x0b", b"\x1f", "\xa0".encode(), "\u3000".encode(), "\u2028".encode(), b"\x85"]
ODD = [b"\xff", b"\xef\xbb\xbf", "größe".encode(), "日本.png".encode(), b"\x7f", b"/", b".", b".."]
LINE = st.lists(st.sampled_from([*PIECES, *BLANKS, *ODD]), max_size=3).map(b"".join)
BYTES = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b""))


@settings(max_examples=300, deadline=None)
@given(st.lists(LINE | BYTES, max_size=12).map(b"\n".join), st.sampled_from([1, 4, 1 << 22]), st.booleans())
@example(b"\xef\xbb\xbf\r\n# there.png\r\n# e\r\na.png", 4, False)
@example(b"~/a\n/b\n \xc2\xa0\n# there.png\nc", 1, False)
def test_list_is_what_a_plain_reading_finds(tmp_path_factory, data, block, held):
    folder = tmp_path_factory.getbasetemp() / "plainly"
    folder.mkdir(exist_ok=True)
    for name in ("a.png", "# there.png"):
        (folder / name).touch()
    (folder / "list").write_bytes(data)
    with mock.patch.multiple(path_list, BLOCK=block, LINES=2, HELD=1000 * held):
        paths, expected = PathList(folder / "list", "KEY"), plainly(folder / "list")
        assert len(paths) == len(expected)
        assert list(paths) == expected
        assert [paths[index] for index in range(len(paths))] == expected
        assert paths == expected
        assert paths[::-2] == expected[::-2]
        assert pickle.loads(pickle.dumps(paths)) == expected


@pytest.fixture
def unheld(monkeypatch):
    monkeypatch.setattr(path_list, "HELD", 0)


def write(path: Path, names: list[str]) -> Path:
    path.write_text("\n".join(names) + "\n")
    return path


def test_paths_are_found_by_number_as_in_any_sequence(tmp_path):
    paths = PathList(write(tmp_path / "list", ["/a", "/b", "/c"]), "KEY")
    assert (paths[-1], paths[0:2], paths.index(Path("/b"))) == (Path("/c"), [Path("/a"), Path("/b")], 1)
    assert paths != [Path("/a"), Path("/b"), Path("/d")]
    assert paths != "/a"
    with pytest.raises(IndexError):
        paths[3]


def test_long_list_takes_eight_bytes_a_line(tmp_path, unheld):
    names = [f"/pictures/{number:06d}.png" for number in range(200_000)]
    paths = PathList(write(tmp_path / "list", names), "KEY")
    assert len(paths) == len(names)
    assert paths[123_456] == Path(names[123_456])
    assert paths.starts.nbytes == 8 * (len(names) + 1)
    assert not paths.held


@pytest.mark.usefixtures("unheld")
@pytest.mark.parametrize(
    "change", ["", "/a\n", "/a\n/b\n/c\n/d\n", "/x\n/b\n/c\n"], ids=["empty", "cut", "more", "other"]
)
def test_long_list_that_is_changed_while_it_is_read_is_one_line(tmp_path, change):
    path = write(tmp_path / "list", ["/a", "/b", "/c"])
    os.utime(path, (0, 0))  # long ago
    paths = PathList(path, "SOME_FLIST")
    path.write_text(change)
    for reading in (lambda: paths[2], lambda: list(paths), paths.digest):
        with pytest.raises(UserError, match=r"^SOME_FLIST: .*list was changed while it was in use; .*flist\.py"):
            reading()


@pytest.mark.usefixtures("unheld")
def test_long_list_that_is_replaced_or_removed_is_read_on(tmp_path):
    path = write(tmp_path / "list", ["/a", "/b", "/c"])
    paths = PathList(path, "KEY")
    write(tmp_path / "other", ["/d"]).replace(path)
    assert list(paths) == [Path("/a"), Path("/b"), Path("/c")]
    path.unlink()
    assert paths[1] == Path("/b")


@pytest.mark.usefixtures("unheld")
def test_process_that_opens_another_list_than_its_parent_says_so(tmp_path):
    path = write(tmp_path / "list", ["/a", "/b"])
    handed_over = pickle.dumps(PathList(path, "KEY"))
    write(tmp_path / "other", ["/d", "/e"]).replace(path)
    with pytest.raises(UserError, match="was changed"):
        pickle.loads(handed_over)[0]


def test_short_list_is_held_whatever_becomes_of_its_file(tmp_path):
    path = write(tmp_path / "list", ["/a", "/b"])
    paths = PathList(path, "KEY")
    path.write_text("")
    assert list(paths) == [Path("/a"), Path("/b")]


@pytest.mark.usefixtures("unheld")
def test_digest_is_that_of_the_bytes(tmp_path):
    one, same, other = (write(tmp_path / name, ["/a", end]) for name, end in (("1", "/b"), ("2", "/b"), ("3", "/c")))
    assert PathList(one, "KEY").digest() == PathList(same, "KEY").digest() != PathList(other, "KEY").digest()


def test_files_are_closed_with_their_lists(tmp_path):
    path = write(tmp_path / "list", ["/a"])
    numbers = {PathList(path, "KEY")._file for _ in range(50)}
    assert len(numbers) <= 2
