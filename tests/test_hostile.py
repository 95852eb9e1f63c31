"""Files, names, lists and configurations from anywhere: a correct result or one line, little memory, no way out."""

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import corpus
import numpy as np
import pytest
import torch
import yaml
from corpus import DAMAGED, HUGE, PICTURES
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import FakeMethod

from edgeconnect import images
from edgeconnect.config.file import Config, load
from edgeconnect.config.sections import DataConfig, known_keys
from edgeconnect.data import files, flist, masks
from edgeconnect.data.jobs import plan
from edgeconnect.engine import Engine
from edgeconnect.errors import BadImageError, UserError, printable
from edgeconnect.predict import Predictor

SMALL = 10_000  # pixels: what fuzzed headers may ask for
SOURCE = Path(__file__).resolve().parents[1] / "src"
READERS = {
    "read_image": images.read_image,
    "read_with_alpha": lambda path, limit: images.read_with_alpha(path, limit)[0],
    "read_gray": images.read_gray,
    "read_mask": lambda path, limit: masks.read_mask(path, 127, "hole", limit),
}
reading = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def line(error: Exception, start: object = "") -> str:
    """Return what an error says: no line break, no escape sequence, nothing that cannot be encoded."""
    text = str(error)
    assert text.isprintable()
    assert text.startswith(printable(str(start), kept=""))
    return text


def refused(read, path: Path, limit: int = SMALL) -> str:
    with pytest.raises(BadImageError) as caught:
        read(path, limit)
    return line(caught.value, f"{path}: ")


def as_rgb(shows: np.ndarray) -> np.ndarray:
    return shows if shows.ndim == 3 else np.dstack([shows] * 3)


# Every file


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_read_as_what_it_shows(tmp_path, name):
    data, shows, tolerance = PICTURES[name]
    path = write(tmp_path / "a.png", data)
    image = images.read_image(path, SMALL)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    rgb, alpha = images.read_with_alpha(path, SMALL)
    np.testing.assert_array_equal(rgb, image)
    assert alpha is None or (alpha.dtype, alpha.shape) == (np.uint8, image.shape[:2])
    np.testing.assert_allclose(image.astype(int), as_rgb(shows), rtol=0, atol=tolerance)
    clear = corpus.CHOSEN == 2 if name == "gif-transparent" else np.zeros(image.shape[:2], np.bool_)
    gray = np.where(clear, 0, np.asarray(Image.fromarray(image).convert("L")))
    np.testing.assert_allclose(images.read_gray(path).astype(int), gray, rtol=0, atol=1)
    brightness, strongest, opaque = images.read_planes(path, SMALL)
    np.testing.assert_array_equal(np.where(opaque > 0, brightness, 0), images.read_gray(path))
    np.testing.assert_allclose(strongest.astype(int), image.max(2), rtol=0, atol=1)


@reading
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_file_is_refused_in_one_line_that_names_it(tmp_path, name, read):
    refused(read, write(tmp_path / "a.png", DAMAGED[name]))


@reading
@pytest.mark.parametrize("name", HUGE)
def test_small_file_that_says_it_is_large_is_refused_with_the_key_that_allows_it(tmp_path, name, read):
    text = refused(read, write(tmp_path / "a.png", HUGE[name]), DataConfig().max_pixels)
    assert "more than MAX_PIXELS 200000000; shrink it, or raise that" in text


def test_sizes_are_judged_before_memory_is_taken(tmp_path):
    for name, data in (HUGE | {name: data for name, data in DAMAGED.items() if "bomb" in name}).items():
        write(tmp_path / name, data)
    program = """
import pathlib, sys
from edgeconnect import images

def peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

before = peak()
for path in pathlib.Path(sys.argv[1]).iterdir():
    try:
        images.read_image(path)
    except images.BadImageError:
        print(peak() - before)
"""
    command = [sys.executable, "-W", "error", "-c", program, tmp_path]
    done = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True)
    grown = [int(line) for line in done.stdout.split()]
    assert len(grown) == len(list(tmp_path.iterdir()))
    assert grown[-1] < 50_000  # kB; decoding takes 400 MB and more


@pytest.mark.parametrize("name", ["png", "jpeg", "gif", "bmp", "webp", "ppm", "tiff", "tiff-tiled"])
def test_max_pixels_is_exact(tmp_path, name):
    path, most = write(tmp_path / "a.png", PICTURES[name].data), corpus.HEIGHT * corpus.WIDTH
    most = 256 if name == "tiff-tiled" else most  # one tile of 16x16 is decoded for 12x9 pixels
    assert images.read_image(path, most).shape == (corpus.HEIGHT, corpus.WIDTH, 3)
    assert f"more than MAX_PIXELS {most - 1}" in refused(images.read_image, path, most - 1)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([data[:8] for data, _, _ in PICTURES.values()]), st.binary(max_size=200))
def test_random_bytes_after_any_magic_are_a_picture_or_one_line(tmp_path_factory, magic, data):
    either(write(tmp_path_factory.getbasetemp() / "hostile/magic.png", magic + data))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([data for data, _, _ in PICTURES.values()]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
    st.sampled_from([b"", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"]),
)
def test_picture_with_flipped_bytes_or_cut_off_is_a_picture_or_one_line(tmp_path_factory, data, flips, kept, word):
    changed = bytearray(data)
    for place, byte in flips:
        changed[int(place * len(changed))] = byte
    start = int(kept * len(changed))
    cut = changed[:start] if not word else changed[:start] + word + changed[start + 4 :]
    either(write(tmp_path_factory.getbasetemp() / "hostile/flipped.png", cut))


def either(path: Path) -> None:
    """Read a file in every way: an array of some pixels, or a refusal."""
    for name, read in READERS.items():
        try:
            array = read(path, SMALL)
        except BadImageError as error:
            line(error, f"{path}: ")
        else:
            assert array.dtype == np.uint8
            assert array.ndim == (3 if name in ("read_image", "read_with_alpha") else 2)
            assert 0 < array.shape[0] * array.shape[1] <= SMALL


WHITES = {
    "1": (np.bool_, 1),
    "L": (np.uint8, 255),
    "I;16": (np.uint16, 65535),
    "I": (np.int32, 255),
    "F": (np.float32, 1),
}


@pytest.mark.parametrize(
    ("mode", "suffix"), [*((mode, "tiff") for mode in WHITES), ("1", "png"), ("L", "png"), ("I;16", "png")]
)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_masks_of_every_depth_mark_what_is_white_whatever_the_threshold(tmp_path_factory, mode, suffix, data):
    dtype, white = WHITES[mode]
    height, width, threshold = (data.draw(st.integers(low, 254 if low == 0 else 9)) for low in (1, 2, 0))
    cells = st.lists(st.booleans(), min_size=height * width, max_size=height * width)
    hole = np.array(data.draw(cells.filter(lambda found: 0 < sum(found) < len(found)))).reshape(height, width)
    picture = Image.fromarray((hole * white).astype(dtype))
    assert picture.mode == mode
    path = tmp_path_factory.getbasetemp() / f"mask.{suffix}"
    picture.save(path)
    for polarity, wanted in (("hole", hole), ("known", ~hole)):
        marked = masks.binarize(masks.read_mask(path, threshold, polarity), threshold, polarity)
        np.testing.assert_array_equal(marked, wanted)


# What is no file, and what files are called


PLACES = {
    "folder": (Path.mkdir, "is no file"),
    "pipe": (os.mkfifo, "is no file"),
    "link to itself": (lambda path: path.symlink_to(path), "symbolic links"),
    "link to nothing": (lambda path: path.symlink_to("nothing"), "does not exist"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is no file"),
    "picture of no name": (lambda path: None, "does not exist"),
}


@reading
@pytest.mark.parametrize("kind", PLACES)
def test_what_is_no_file_is_refused_without_waiting(tmp_path, kind, read):
    make, part = PLACES[kind]
    make(tmp_path / "a.png")
    assert part in refused(read, tmp_path / "a.png")


@reading
@pytest.mark.parametrize("name", ["a" * 300, "a\0b"])
def test_name_that_no_file_can_have_is_refused(tmp_path, name, read):
    refused(read, tmp_path / f"{name}.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_refused(tmp_path):
    path = write(tmp_path / "a.png", corpus.PNG)
    path.chmod(0)
    assert "Permission denied" in refused(images.read_image, path)


NAMES = {
    "line break": b"a\nerror: b",
    "carriage return": b"a\rb",
    "escape sequence": b"\x1b[31mred\x1b]0;title\x07",
    "control character of 8 bits": "a\x9b31m".encode(),
    "line separator": "a\u2028b".encode(),
    "undecodable": b"caf\xe9",
    "right to left": "a\u202egnp".encode(),
    "long": b"a" * 230,
    "blank": b" ",
    "option": b"--output",
}


@pytest.mark.parametrize("name", NAMES)
def test_error_escapes_what_a_name_holds(tmp_path, name):
    path = tmp_path / os.fsdecode(NAMES[name] + b".png")
    refused(images.read_image, write(path, b"no picture"))
    write(path, corpus.PNG)
    np.testing.assert_array_equal(images.read_image(path), corpus.RGB)


def test_folders_that_are_linked_in_circles_are_walked_once(tmp_path):
    place = tmp_path / "set"
    write(place / "a/1.png", b"")
    write(place / "b/2.png", b"")
    write(tmp_path / "far/3.png", b"")
    for link, target in {
        "parent": "..",
        "self": ".",
        "itself": "itself",
        "a/up": "../..",
        "a/across": "../b",
        "far_1": "../far",
        "far_2": "../far",
    }.items():
        (place / link).symlink_to(target)
    found = files.list_images(str(place), "KEY")
    assert [str(path.relative_to(place)) for path in found] == ["a/1.png", "b/2.png", "far_1/3.png"]


def test_folder_that_cannot_be_read_is_an_error_that_names_it(tmp_path, monkeypatch):
    write(tmp_path / "a/1.png", b"")
    write(tmp_path / "b/2.png", b"")
    scandir = os.scandir

    def forbid(path):
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbid)
    with pytest.raises(UserError) as caught:
        files.list_images(str(tmp_path), "SOME_FLIST")
    assert f"{tmp_path / 'a'} cannot be read (Permission denied)" in line(caught.value, "SOME_FLIST: ")


def test_pictures_of_kinds_that_cannot_be_read_are_counted_in_one_warning(tmp_path, caplog):
    for name in ("a.png", "b.heic", "c/d.HEIC", "c/e.svg", ".f.jxl", "notes.txt"):
        write(tmp_path / name, b"")
    for _ in range(3):  # for the check, for training, for samples
        assert files.list_images(str(tmp_path), "KEY") == [tmp_path / "a.png"]
    (record,) = caplog.records
    assert "2 .heic, 1 .svg" in record.message
    assert "jxl" not in record.message


def test_reading_in_threads_leaves_the_warning_filters_as_they_were(tmp_path, monkeypatch):
    opened, filters = images._opened, list(warnings.filters)
    entered, leave = ({name: threading.Event() for name in "ab"} for _ in range(2))

    def waiting(path, *rest):
        entered[path.stem].set()
        assert leave[path.stem].wait(20)
        return opened(path, *rest)

    monkeypatch.setattr(images, "_opened", waiting)
    paths = {name: write(tmp_path / f"{name}.png", corpus.PNG) for name in "ab"}
    readers = {name: threading.Thread(target=images.read_image, args=(path,)) for name, path in paths.items()}
    for name, reader in readers.items():
        reader.start()
        assert entered[name].wait(20)
    for name, reader in readers.items():  # who comes first goes first
        leave[name].set()
        reader.join()
    assert warnings.filters == filters


@pytest.mark.parametrize("source", ["a" * 300, "a\0b", "link", "pipe", "a\nb"])
def test_source_that_cannot_be_read_is_one_line_of_its_key(tmp_path, source):
    (tmp_path / "link").symlink_to("link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError) as caught:
        files.list_images(str(tmp_path / source), "SOME_FLIST")
    line(caught.value, "SOME_FLIST: ")


# Lists


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=5).map(b"\n".join))
def test_any_bytes_are_a_list_or_one_line(tmp_path_factory, data):
    path = write(tmp_path_factory.getbasetemp() / "hostile/list", data)
    try:
        listed = files.read_list(path, "KEY")
    except UserError as error:
        line(error, "KEY: ")
    else:
        assert 0 < len(listed) <= data.count(b"\n") + 1


NAME = st.binary(min_size=1, max_size=12).map(lambda name: os.fsdecode(name.translate(None, b"\0/"))).filter(bool)


@settings(max_examples=40, deadline=None)
@given(st.sets(NAME, min_size=1, max_size=4), st.sampled_from(["", "~", " ", "\ufeff"]), st.booleans())
def test_list_that_is_written_reads_back_whatever_files_are_called(tmp_path_factory, names, folder, relative):
    place = tmp_path_factory.mktemp("names")
    kept = {name for name in names if not name.startswith(".") and not {"\n", "\r"} & set(name)}
    paths = {write(place / folder / f"{name}.png", b"") for name in kept}
    if paths:
        flist.write_lists(place, place / "list", None, 0, relative)
        assert set(files.read_list(place / "list", "KEY")) == paths


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.one_of(NAME, st.lists(st.sampled_from(["..", ".", "", "~", "a", "b.png"]), min_size=1).map("/".join)),
        min_size=1,
        max_size=6,
    )
)
def test_no_list_leads_out_of_the_output_folder(tmp_path_factory, lines):
    folder = tmp_path_factory.getbasetemp() / "hostile"
    write(folder / "names", os.fsencode("\n".join(lines)))
    mask = write(folder / "mask.png", b"")
    try:
        jobs = plan(str(folder / "names"), str(mask), "", str(folder / "out"))
    except UserError as error:
        line(error)
        return
    assert all(job.output.is_relative_to(folder / "out") and ".." not in job.output.parts for job in jobs)
    assert len({job.output for job in jobs}) == len(jobs)
    assert not any(c < " " or "\x7f" <= c <= "\x9f" for job in jobs for c in job.output.name)


def test_control_characters_in_names_do_not_reach_the_outputs(tmp_path):
    for name in ("a\nb", "cat\x1b[2J/c", "caf\udce9"):
        write(tmp_path / f"i/{name}.png", b"")
    mask = write(tmp_path / "mask.png", b"")
    jobs = plan(str(tmp_path / "i"), str(mask), "", str(tmp_path / "out"))
    outputs = [str(job.output.relative_to(tmp_path / "out")) for job in jobs]
    assert outputs == ["a_b.png", "caf\udce9.png", "cat_[2J/c.png"]
    write(tmp_path / "i/a\tb.png", b"")
    with pytest.raises(UserError, match="several pictures would be written to") as caught:
        plan(str(tmp_path / "i"), str(mask), "", str(tmp_path / "out"))
    line(caught.value)


def test_link_to_itself_in_a_list_costs_its_own_picture_alone(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    write(tmp_path / "list", b"loop.png\nlong" + b"g" * 300 + b".png\n")
    jobs = plan(str(tmp_path / "list"), str(write(tmp_path / "mask.png", b"")), "", str(tmp_path / "out"))
    assert len(jobs) == 2


# From end to end


def test_folder_of_every_file_completes_what_is_a_picture_and_names_the_rest(tmp_path):
    for name, data in DAMAGED.items():
        write(tmp_path / f"i/damaged {name}.png", data)
    for name, data in HUGE.items():
        write(tmp_path / f"i/huge {name}.png", data)
    for name, picture in PICTURES.items():
        write(tmp_path / f"i/{name}.png", picture.data)
    os.mkfifo(tmp_path / "i/damaged pipe.png")
    write(tmp_path / "i/damaged \x1b[2J\n.png", b"no picture")
    mask = tmp_path / "mask.png"
    Image.fromarray(np.tri(9, dtype=np.uint8) * 255).save(mask)
    jobs = plan(str(tmp_path / "i"), str(mask), "", str(tmp_path / "out"))
    predictor = Predictor(FakeMethod(), Engine(torch.device("cpu")), DataConfig(), resize_mask=True)
    for job, failure in predictor.run(jobs):
        assert bool(failure) == job.image.name.startswith(("damaged", "huge"))
        assert failure.isprintable()
        assert job.output.is_file() == (not failure)
        if not failure:
            image, hole, *_ = predictor.inputs.read(job)
            np.testing.assert_array_equal(images.read_image(job.output)[~hole], image[~hole])


# Configurations

KEYS = ("LR", "MASK", "GPU", "SIGMA", "TRAIN_FLIST", "GAN_POOL_SIZE", "<<", "&a", "*a")
NUMBERS = ("1", "-1", "1e9", "0x", "1:1", ".nan", "yes", "2001-01-01")
TAGS = ("!!int", "!!float", "!!bool", "!!binary", "!!timestamp", "!!set", "!!omap", "!!python/name:os")
SIGNS = (*"&*?-:,[]{}|>#%@'\"~./ ", "  ", "\n", ": ", "\n  ", "---", "\ud800", "\x07", "\u2028", "\x85", "\ufeff")
TEXT = st.lists(st.sampled_from((*KEYS, *NUMBERS, *TAGS, *SIGNS)), max_size=20).map("".join)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.binary(max_size=9))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))


def config_or_one_line(path: Path | None, overrides: list[tuple[str, str]]) -> None:
    try:
        assert isinstance(load(path, overrides).config, Config)
    except UserError as error:
        line(error)


@settings(max_examples=150, deadline=None)
@given(TEXT)
def test_any_yaml_is_a_configuration_or_one_line(tmp_path_factory, text):
    path = write(tmp_path_factory.getbasetemp() / "hostile/config.yml", text.encode("utf-8", "surrogatepass"))
    config_or_one_line(path, [])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(known_keys())), st.one_of(TEXT, VALUES.map(lambda value: yaml.safe_dump(value).strip())))
def test_any_value_of_any_key_is_taken_or_refused_in_one_line(tmp_path_factory, key, value):
    path = tmp_path_factory.getbasetemp() / "hostile/key.yml"
    config_or_one_line(write(path, f"{key}: {value}".encode("utf-8", "surrogatepass")), [])
    config_or_one_line(None, [(f"--set {key}={value}", f"{key}={value}")])


LAUGHS = "".join(f"{b}: &{b} [{f'*{a}, ' * 9}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))
TRICKS = {
    "nesting": "LR: " + "[" * 600,
    "list in itself": "LR: &a [*a]",
    "mapping in itself": "LR: &a {x: *a}",
    "billion laughs": f"a: &a ha\n{LAUGHS}LR: *j",
    "billion laughs as a key": f"? &a [{'x, ' * 9}]\n: 1\n? [*a, *a]\n: 1",
    "billion laughs as a value": f"LR: &a [{'x, ' * 9}]\nSEED: [*a, *a]",
    "huge number": "LR: 0x" + "f" * 5000,
    "huge number of base 60": "SEED: " + ":".join("1" * 3000),
    "huge number in quotes": f"MODEL: '{'1' * 5000}'",
    "long list": f"GPU: [{'0, ' * 500}]",
    "long word": "MASK: " + "x" * 50_000,
    "empty integer": "SEED: !!int ''",
    "empty float": "LR: !!float ''",
    "no switch": "DEBUG: !!bool perhaps",
    "no time": "LR: !!timestamp soon",
    "time before all time": "LR: 0001-01-01T00:00:00+23:59",
    "object": "LR: !!python/object/apply:os.system [touch /tmp/no]",
    "two documents": "LR: 1\n---\nLR: 2",
    "line break in a key": '"LR\\nerror": 1',
    "line break in a value": 'MASK: "a\\nerror: b"',
    "escape sequence": 'MASK: "\\e[2J"',
    "number of digits alone": "MODEL: '²'",
}


@pytest.mark.parametrize("name", TRICKS)
def test_tricks_of_yaml_are_refused_in_one_short_line(tmp_path, name):
    path = write(tmp_path / "config.yml", TRICKS[name].encode())
    with pytest.raises(UserError) as caught:
        load(path)
    assert len(line(caught.value, path)) < 1000


def test_path_that_is_too_long_to_exist_is_left_to_whoever_opens_it():
    assert load(None, [("--set", f"TRAIN_FLIST={'a' * 5000}")]).config.data.train_flist == "a" * 5000
