"""Data that are checked: every kind of damage is named by file and code, sound data by nothing."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import tiny_config

from edgeconnect import images
from edgeconnect.data import files, mask_shapes, validation
from edgeconnect.data.path_list import PathList
from edgeconnect.data.validation import dry_run, file_info, listings
from edgeconnect.data.validation.file_info import inspect_picture
from edgeconnect.data.validation.report import Edgeless, Finding, Holes, Range, Report, SplitFigures, Throughput
from edgeconnect.errors import BadImageError

LARGE = 10**8


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(dry_run, "SECONDS", 0.0)


def textured(seed: int = 0, height: int = 40, width: int = 40) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)


def hole(side: int = 40, part: int = 16, white: int = 255) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[4 : 4 + part, 6 : 6 + part] = white
    return mask


def save(path: Path, array: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def encoded(array: np.ndarray, kind: str, **options) -> bytes:
    data = io.BytesIO()
    Image.fromarray(array).save(data, kind, **options)
    return data.getvalue()


def pictures(folder: Path, count: int = 6, first: int = 0, **shape: int) -> str:
    for n in range(first, first + count):
        save(folder / f"{n}.png", textured(n, **shape))
    return str(folder)


def mask_folder(folder: Path, count: int = 3) -> str:
    for n in range(count):
        save(folder / f"{n}.png", hole(part=14 + n))
    return str(folder)


def listed(path: Path, *entries: object) -> str:
    return str(write(path, "\n".join(map(str, entries)).encode()))


def examined(quick: bool = False, workers: int = 0, **keys: object) -> validation.Report:
    return validation.examine(tiny_config(**({"MASK": "block", "SIGMA": 1} | keys)), quick=quick, workers=workers)


def found(report: validation.Report, code: str, where: str | None = None) -> set[str]:
    """Return the names of the files that findings of a code hold."""
    chosen = [finding for finding in report.findings if finding.code == code and where in (None, finding.where)]
    return {Path(name).name for finding in chosen for name in finding.files}


def codes(report: validation.Report) -> set[tuple[str, str, str]]:
    return {(finding.severity, finding.where, finding.code) for finding in report.findings}


# Sound data


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("mask", ["strokes", "external", "paired"])
def test_sound_data_have_no_findings(tmp_path, quick, mask):
    keys = {"TRAIN_MASK_FLIST": mask_folder(tmp_path / "a"), "VAL_MASK_FLIST": str(tmp_path / "b")}
    for n in range(3, 5):
        save(tmp_path / "b" / f"{n}.png", hole(part=10 + n))
    train, val = pictures(tmp_path / "train", 3), pictures(tmp_path / "val", 2, first=3)
    report = examined(quick, TRAIN_FLIST=train, VAL_FLIST=val, MASK=mask, **keys)
    assert report.findings == ()
    assert report.severity == 0
    assert [(split.name, split.listed, split.read) for split in report.splits] == [("TRAIN", 3, 3), ("VAL", 2, 2)]
    assert (report.throughput is None) == quick


def test_scenes_are_sound_and_nothing_of_them_is_read():
    report = examined(TRAIN_FLIST="scenes:6", VAL_FLIST="scenes:6-8")
    assert report.findings == ()
    assert [(split.listed, split.read, split.kinds) for split in report.splits] == [
        (6, 0, {"scene": 6}),
        (2, 0, {"scene": 2}),
    ]
    assert report.splits[0].holes.histogram == (0, 0, 6, 0, 0, 0, 0, 0, 0, 0)
    assert report.throughput.pictures_per_second > 0


def test_validation_that_is_missing_is_noted(tmp_path):
    report = examined(TRAIN_FLIST=pictures(tmp_path))
    assert codes(report) == {("note", "VAL_FLIST", "no-validation")}
    assert report.severity == 0


# Damaged files


def png_header(width: int, height: int, spoilt: bool = False) -> bytes:
    """Write a PNG that is all header, of any size, perhaps with a wrong checksum."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body) + spoilt)


NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
PNG = encoded(NOISE, "PNG")
DAMAGED = {
    "float_rgb.tif": ("deep-samples", cv2.imencode(".tif", np.full((40, 40, 3), 0.5, np.float32))[1].tobytes()),
    "12_in_16_bits.png": ("deep-samples", encoded(NOISE[..., 0].astype(np.uint16) * 16, "PNG")),
    "cut.jpg": ("truncated-file", encoded(NOISE, "JPEG")[:900]),
    "cut.png": ("truncated-file", PNG[:900]),
    "cut.webp": ("truncated-file", encoded(NOISE, "WEBP")[:-100]),
    "cut.bmp": ("truncated-file", encoded(NOISE, "BMP")[:900]),
    "cut.tif": ("truncated-file", encoded(NOISE, "TIFF", compression="tiff_lzw")[:900]),
    "cut.gif": ("truncated-file", encoded(NOISE, "GIF")[:-300]),
    "magic_only.jpg": ("truncated-file", encoded(NOISE, "JPEG")[:8]),
    "zero.png": ("empty-file", b""),
    "text.png": ("not-a-picture", b"<html>404</html>"),
    "magic.png": ("not-a-picture", b"XX" + PNG[2:]),
    "header.png": ("damaged-file", png_header(40, 40, spoilt=True) + PNG[33:]),
    "content.png": ("damaged-file", PNG[:1000] + bytes(100) + PNG[1100:]),
    "huge.png": ("too-large", png_header(100_000, 100_000) + PNG[33:]),
    "gone.png": ("missing-file", None),
    "good.png/below.png": ("missing-file", None),
    "folder.png": ("not-a-file", None),
    "pipe.png": ("not-a-file", None),
}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    save(folder / "good.png", textured())
    for name, (_, data) in DAMAGED.items():
        if data is not None:
            write(folder / name, data)
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    return folder


@pytest.fixture(scope="module")
def listed_damage(damaged):
    return listed(damaged / "list", "good.png", *DAMAGED)


@pytest.fixture(scope="module")
def damage_report(listed_damage):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dry_run, "SECONDS", 0.0)
        keys = {"TRAIN_FLIST": listed_damage, "VAL_FLIST": "scenes:1", "TEST_FLIST": listed_damage}
        return examined(**keys, MASK="external", TRAIN_MASK_FLIST=listed_damage)


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("where", ["TRAIN_FLIST", "TEST_FLIST", "TRAIN_MASK_FLIST"])
def test_damaged_file_is_named_with_its_code(damage_report, where, name):
    code = DAMAGED[name][0]
    assert Path(name).name in found(damage_report, code, where)
    holding = {x.code for x in damage_report.findings if any(file.endswith(f"/{name}") for file in x.files)}
    assert holding & {code for code, _ in DAMAGED.values()} == {code}
    assert damage_report.severity == 2


def test_sound_file_among_damaged_ones_is_in_no_fault(damage_report):
    assert all("good.png" not in found(damage_report, code) for code, _ in DAMAGED.values())
    assert (damage_report.splits[0].listed, damage_report.splits[0].kinds) == (len(DAMAGED) + 1, {"PNG RGB": 1})


def test_file_without_permission_is_named(tmp_path, monkeypatch):
    folder = pictures(tmp_path, 2)
    opened = Image.open

    def refused(path, *arguments, **options):
        if Path(path).name == "1.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Image, "open", refused)
    assert found(examined(TRAIN_FLIST=folder), "no-permission") == {"1.png"}


@pytest.mark.parametrize(
    ("policy", "limit", "expected"),
    [
        ("stop", 100, {("error", "TRAIN_FLIST", "truncated-file"), ("error", "TEST_FLIST", "truncated-file")}),
        ("skip", 2, {("warning", "TRAIN_FLIST", "truncated-file"), ("error", "TEST_FLIST", "truncated-file")}),
        (
            "skip",
            1,
            {
                ("error", "TRAIN_FLIST", "truncated-file"),
                ("error", "TEST_FLIST", "truncated-file"),
                ("error", "BAD_IMAGE_LIMIT", "too-many-bad"),
            },
        ),
    ],
)
def test_bad_files_weigh_what_on_bad_image_makes_of_them(tmp_path, policy, limit, expected):
    train, test = pictures(tmp_path / "train", 3), pictures(tmp_path / "test", 1, first=9)
    for name in ("train/0.png", "train/1.png", "test/9.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:150])
    keys = {"ON_BAD_IMAGE": policy, "BAD_IMAGE_LIMIT": limit, "TEST_MASK_FLIST": mask_folder(tmp_path / "m", 1)}
    report = examined(TRAIN_FLIST=train, TEST_FLIST=test, VAL_FLIST="scenes:1", **keys)
    assert {code for code in codes(report) if code[2] in ("truncated-file", "too-many-bad")} == expected
    assert found(report, "truncated-file", "TRAIN_FLIST") == {"0.png", "1.png"}


JPEGS = [
    encoded(np.ascontiguousarray(cv2.resize(NOISE, (61, 90))), "JPEG", **options)
    for options in ({}, {"progressive": True}, {"quality": 95, "subsampling": 0}, {"restart_marker_blocks": 2})
]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(JPEGS), st.floats(0.001, 1.0), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255))))
def test_jpegs_decoded_at_an_eighth_are_refused_exactly_when_training_refuses_them(tmp_path_factory, data, share, dots):
    spoilt = bytearray(data[: max(1, int(share * len(data)))])
    for place, value in dots:
        spoilt[int(place * len(spoilt))] = value
    path = write(tmp_path_factory.getbasetemp() / "spoilt.jpg", bytes(spoilt))
    info = inspect_picture(path, LARGE)
    try:
        height, width = images.read_image(path, LARGE).shape[:2]
        assert (info.fault, info.width, info.height) == ("", width, height)
    except BadImageError:
        assert info.fault in ("truncated-file", "damaged-file", "not-a-picture", "too-large")


@pytest.mark.parametrize("data", JPEGS)
def test_every_cut_of_a_jpeg_is_called_truncated(tmp_path, data):
    for end in range(4, len(data) - 8, 97):
        assert inspect_picture(write(tmp_path / "a.jpg", data[:end]), LARGE).fault == "truncated-file"


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_upright_pictures(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.fromarray(textured(0, 40, 61)).save(path, kind, exif=exif)
    height, width = images.read_image(path).shape[:2]
    info = inspect_picture(path, LARGE)
    assert (info.fault, info.width, info.height) == ("", width, height)


# Lists


@pytest.mark.parametrize("value", ["", "gone.flist", "scenes:0"])
def test_list_that_cannot_be_used_is_an_error_and_the_others_are_still_read(tmp_path, value):
    val = pictures(tmp_path)
    (tmp_path / "5.png").write_bytes(b"")
    report = examined(TRAIN_FLIST=value, VAL_FLIST=val)
    assert ("error", "TRAIN_FLIST", "unusable-list") in codes(report)
    assert found(report, "empty-file", "VAL_FLIST") == {"5.png"}
    assert all(finding.line().count(finding.where) == 1 for finding in report.findings)
    assert report.severity == 2


def test_masks_and_edges_that_are_not_named_are_asked_for(tmp_path):
    report = examined(TRAIN_FLIST=pictures(tmp_path), MASK="external", EDGE="external")
    assert {code for code in codes(report) if code[0] == "error"} == {
        ("error", "TRAIN_MASK_FLIST", "unusable-list"),
        ("error", "TRAIN_EDGE_FLIST", "unusable-list"),
    }


def test_what_training_refuses_for_another_reason_is_told_in_its_own_words(tmp_path, monkeypatch):
    from edgeconnect.data import dataset
    from edgeconnect.errors import UserError

    class Refusing:
        def __init__(self, *_: object) -> None:
            raise UserError("TRAIN_FLIST: no")

    monkeypatch.setattr(dataset, "InpaintingDataset", Refusing)
    report = examined(TRAIN_FLIST=pictures(tmp_path))
    assert [(x.code, x.message) for x in report.findings if x.severity == "error"] == [("refused", "no")]


# Sizes


def test_pictures_too_small_to_train_on_are_named_where_they_are_taken_as_they_are(tmp_path):
    train = pictures(tmp_path / "train", 2)
    save(tmp_path / "train/small.png", textured(7, 31, 90))
    report = examined(TRAIN_FLIST=train, INPUT_SIZE=0, BATCH_SIZE=1)
    assert found(report, "too-small", "TRAIN_FLIST") == {"small.png"}
    assert report.severity == 2
    assert examined(TRAIN_FLIST=train).severity == 0


def test_pictures_of_several_sizes_make_no_batch(tmp_path):
    train = pictures(tmp_path / "train", 3)
    save(tmp_path / "train/odd.png", textured(7, 40, 41))
    report = examined(TRAIN_FLIST=train, INPUT_SIZE=0)
    assert found(report, "mixed-sizes", "TRAIN_FLIST") == {"odd.png"}
    assert report.severity == 2
    assert examined(TRAIN_FLIST=train, INPUT_SIZE=0, BATCH_SIZE=1).severity == 0


def test_pictures_smaller_than_input_size_are_noted(tmp_path):
    report = examined(TRAIN_FLIST=pictures(tmp_path, 2, height=50), INPUT_SIZE=44)
    assert found(report, "enlarged") == {"0.png", "1.png"}
    assert report.severity == 0


# The same picture twice


def test_path_that_is_listed_twice_is_named_links_included(tmp_path):
    pictures(tmp_path, 4)
    (tmp_path / "link.png").symlink_to(tmp_path / "2.png")
    report = examined(TRAIN_FLIST=listed(tmp_path / "l", "0.png", "1.png", "0.png", "2.png", "link.png", "3.png"))
    assert found(report, "listed-twice", "TRAIN_FLIST") == {"0.png", "2.png", "link.png"}
    assert not found(report, "same-content")
    assert report.severity == 1


def test_content_under_two_names_is_named_with_both(tmp_path):
    train = pictures(tmp_path, 3)
    write(tmp_path / "copy.png", (tmp_path / "1.png").read_bytes())
    save(tmp_path / "other.bmp", textured(1))  # the same pixels are not the same content
    report = examined(TRAIN_FLIST=train)
    assert found(report, "same-content", "TRAIN_FLIST") == {"1.png", "copy.png"}
    assert report.severity == 1


@pytest.mark.parametrize("quick", [False, True])
def test_pictures_of_two_splits_are_named(tmp_path, quick):
    train, val = pictures(tmp_path / "train", 4), pictures(tmp_path / "val", 2, first=7)
    write(tmp_path / "val/copy.png", (tmp_path / "train/1.png").read_bytes())
    (tmp_path / "val/link.png").symlink_to(tmp_path / "train/2.png")
    both = listed(tmp_path / "val.flist", *sorted(Path(val).iterdir()), tmp_path / "train/3.png")
    report = examined(quick, TRAIN_FLIST=train, VAL_FLIST=both, TEST_FLIST=str(tmp_path / "val/7.png"))
    assert found(report, "overlap", "VAL_FLIST") == {"link.png", "3.png"}
    assert found(report, "overlap-content", "VAL_FLIST") == (set() if quick else {"copy.png"})
    assert ("note", "TEST_FLIST", "overlap") in codes(report)
    assert report.severity == 1


def test_ranges_of_scenes_that_overlap_are_named():
    report = examined(TRAIN_FLIST="scenes:10", VAL_FLIST="scenes:8-12")
    assert found(report, "overlap", "VAL_FLIST") == {"scene_000008", "scene_000009"}


def test_millions_of_scenes_are_checked_in_a_moment(monkeypatch):
    from edgeconnect.data import sources

    few = []
    monkeypatch.setattr(sources, "scene_name", lambda number: few.append(number) or str(number))
    report = examined(quick=True, TRAIN_FLIST="scenes:10000000", VAL_FLIST="scenes:9999998-10000003")
    assert found(report, "overlap", "VAL_FLIST") == {"scene_9999998", "scene_9999999"}
    assert [split.listed for split in report.splits] == [10_000_000, 5]
    assert len(few) < 1000


def test_line_of_a_finding_has_its_severity_and_code():
    line = Finding("warning", "no-edges", "TRAIN_FLIST", "2 of 3 items", ("a", "b")).line()
    assert line == "TRAIN_FLIST: 2 of 3 items: a, b [warning: no-edges]"


# Masks


def masked(folder: Path, **keys: object) -> validation.Report:
    return examined(
        **({"TRAIN_FLIST": "scenes:2", "VAL_FLIST": "scenes:2-3", "MASK": "external"} | keys),
        TRAIN_MASK_FLIST=str(folder),
    )


def test_inverted_masks_are_named_with_the_remedy_and_only_then(tmp_path):
    for n in range(3):
        save(tmp_path / f"{n}.png", 255 - hole(part=10 + n))
    save(tmp_path / "right.png", hole())
    report = masked(tmp_path)
    assert found(report, "inverted-masks", "TRAIN_MASK_FLIST") == {"0.png", "1.png", "2.png"}
    assert "MASK_POLARITY: known" in next(x.message for x in report.findings if x.code == "inverted-masks")
    assert report.severity == 2
    assert masked(tmp_path, ALLOW_LARGE_HOLES=1).severity == 0
    assert masked(tmp_path, MASK_POLARITY="known").severity == 0


@pytest.mark.parametrize(
    ("mask", "threshold", "code", "severity"),
    [
        (np.full((40, 40), 255, np.uint8), 127, "all-hole", "error"),
        (np.zeros((40, 40), np.uint8), 127, "no-hole", "error"),
        (hole(white=100), 127, "dark-mask", "error"),
        (hole(white=1), 127, "dark-mask", "error"),
        (np.maximum(hole(), hole(part=18, white=90)), 127, "non-binary", "note"),
        (np.maximum(hole(), hole(part=34, white=90)), 127, "in-part", "error"),
        (hole().astype(np.uint16), 127, "deep-samples", "error"),
        (np.maximum(hole(), hole(part=18, white=3)), 0, "non-binary", "warning"),
        (textured(3)[..., 0], 127, "gray-mask", "error"),
    ],
    ids=[
        "all-white",
        "empty",
        "dark",
        "zeros-and-ones",
        "rims",
        "classes",
        "labels-in-16-bits",
        "residue",
        "photograph",
    ],
)
def test_strange_mask_is_named(tmp_path, mask, threshold, code, severity):
    folder = mask_folder(tmp_path)
    save(tmp_path / "strange.png", mask)
    report = masked(folder, MASK_THRESHOLD=threshold)
    assert codes(report) == {(severity, "TRAIN_MASK_FLIST", code)}
    assert found(report, code) == {"strange.png"}


def test_jpeg_masks_are_not_binary(tmp_path):
    folder = mask_folder(tmp_path)
    drawn = mask_shapes.strokes(64, 64, np.random.default_rng(0), mask_shapes.Pixels(800, 1600)).astype(np.uint8) * 255
    save(tmp_path / "strokes.jpg", drawn)
    assert found(masked(folder), "non-binary") == {"strokes.jpg"}


def test_hole_ratios_are_counted_after_crop_resize_and_threshold(tmp_path):
    wide = np.zeros((32, 96), np.uint8)
    wide[:, :48] = 255  # half of the middle square
    save(tmp_path / "wide.png", wide)
    for n in range(3):
        save(tmp_path / f"{n}.png", hole(32, part=8))
    train, val = masked(tmp_path).splits
    assert train.holes.histogram == (3, 0, 0, 0, 0, 1, 0, 0, 0, 0)
    assert (train.holes.source, train.holes.listed, train.holes.read) == ("TRAIN_MASK_FLIST", 4, 4)
    assert (train.holes.ratio.low, train.holes.ratio.median, train.holes.ratio.high) == (1 / 16, 1 / 16, 0.5)
    assert val.holes == train.holes


# Pairs


@pytest.mark.parametrize(
    ("partners", "alone"),
    [
        ({"0.png", "2.png"}, {"1.png"}),
        ({"0.png", "1.png", "2.png", "9.png"}, {"9.png"}),
        ({"0.png", "1.png", "1.bmp", "2.png"}, {"1.png", "1.bmp"}),
    ],
    ids=["missing", "surplus", "double"],
)
@pytest.mark.parametrize("kind", ["MASK", "EDGE"])
def test_partners_that_are_missing_or_too_many_are_named(tmp_path, kind, partners, alone):
    for name in partners:
        save(tmp_path / "partners" / name, hole())
    keys = {f"TRAIN_{kind}_FLIST": str(tmp_path / "partners"), "VAL_FLIST": ""}
    keys |= {"MASK": "paired"} if kind == "MASK" else {"EDGE": "external"}
    report = examined(TRAIN_FLIST=pictures(tmp_path / "images", 3), **keys)
    assert found(report, "unpaired", f"TRAIN_{kind}_FLIST") == alone
    assert report.severity == 2


def test_edge_map_that_is_damaged_is_named(tmp_path):
    for n in range(3):
        save(tmp_path / "edges" / f"{n}.png", hole())
    (tmp_path / "edges/1.png").write_bytes(b"")
    keys = {"EDGE": "external", "TRAIN_EDGE_FLIST": str(tmp_path / "edges")}
    report = examined(TRAIN_FLIST=pictures(tmp_path / "images", 3), **keys)
    assert found(report, "empty-file", "TRAIN_EDGE_FLIST") == {"1.png"}


def test_paired_mask_of_another_shape_is_named_by_its_picture(tmp_path):
    train = pictures(tmp_path / "images", 2, width=50)
    save(tmp_path / "masks/0.png", np.pad(hole(80), ((0, 0), (0, 20))))
    save(tmp_path / "masks/1.png", hole(80))
    report = examined(TRAIN_FLIST=train, MASK="paired", TRAIN_MASK_FLIST=str(tmp_path / "masks"))
    assert found(report, "other-shape", "TRAIN_FLIST") == {"1.png"}


def test_pictures_to_test_need_masks_of_their_own(tmp_path):
    keys = {"TRAIN_FLIST": "scenes:2", "VAL_FLIST": "scenes:2-3", "TEST_FLIST": pictures(tmp_path / "t", 2)}
    assert codes(examined(**keys)) == {("note", "TEST_MASK_FLIST", "no-test-masks")}
    report = examined(**keys, TEST_MASK_FLIST=mask_folder(tmp_path / "m", 1))
    assert found(report, "unpaired", "TEST_MASK_FLIST") == {"1.png"}
    assert codes(report) == {("note", "TEST_MASK_FLIST", "unpaired")}  # evaluate.py takes them
    assert report.severity == 0


# Edges


def test_flat_pictures_have_no_edges_in_their_hole(tmp_path):
    train = pictures(tmp_path, 3)
    for n in range(2):
        save(tmp_path / f"flat{n}.png", np.full((40, 40, 3), 50 + n, np.uint8))
    report = examined(TRAIN_FLIST=train, VAL_FLIST="scenes:1")
    assert codes(report) == {("warning", "TRAIN_FLIST", "no-edges")}
    assert found(report, "no-edges") == {"flat0.png", "flat1.png"}
    assert (report.splits[0].edgeless.items, report.splits[0].edgeless.without) == (5, 2)
    assert examined(TRAIN_FLIST=train, VAL_FLIST="scenes:1", SIGMA=-1).findings == ()


# The report


def test_json_survives_a_round_trip_and_keeps_its_fields(damage_report):
    plain = damage_report.to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert list(plain) == ["schema", "severity", "quick", "splits", "findings", "throughput"]
    assert list(plain["findings"][0]) == ["severity", "code", "where", "message", "files"]
    fields = ["name", "listed", "read", "kinds", "width", "height", "holes", "edgeless"]
    assert list(plain["splits"][0]) == fields
    assert plain["schema"] == 1


def test_every_code_is_explained_and_no_other():
    text = (Path(__file__).resolve().parents[2] / "docs/data.md").read_text()
    findings = text.partition("## Findings")[2].partition("## JSON")[0]
    source = "".join(path.read_text() for path in Path(validation.__file__).parent.glob("*.py"))
    explained = set(re.findall(r"^\| `([a-z-]+)` \|", findings, re.MULTILINE))
    assert explained >= set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source))
    assert all(f'"{code}"' in source for code in explained)


def test_table_is_what_it_says():
    finding = Finding("warning", "same-content", "TRAIN_FLIST", "7 of 9 pictures: twice", tuple("abcdefg"))
    size, ratio = Range(256, 300.0, 400), Range(0.1, 0.25, 0.31)
    drawn = Holes("drawn", 4, 4, (1, 2, 0, 1, 0, 0, 0, 0, 0, 0), ratio)
    kinds = {"JPEG RGB": 8, "PNG L": 1}
    train = SplitFigures("TRAIN", 10, 9, kinds, size, size, drawn, Edgeless(4, 1))
    val = SplitFigures("VAL", 2, 2, {"scene": 2}, None, None, None, None)
    report = Report(False, (train, val), (finding,), Throughput(81.6, 8, 2))
    assert report.table().splitlines() == [
        "pictures  listed  read    width   height  kinds",
        "TRAIN         10     9  256-400  256-400  JPEG RGB 8, PNG L 1",
        "VAL            2     2        -        -  scene 2",
        "",
        "holes in %  masks  0-10  10-20  20-30  30-40  40-50  50-60  60-70  70-80  80-90  90-100  median",
        "TRAIN           4     1      2      0      1      0      0      0      0      0       0   25.0%",
        "",
        "TRAIN: 1 of 4 items have no edge in their hole",
        "loader: 82 pictures a second (BATCH_SIZE 8, NUM_WORKERS 2)",
        "",
        "warning  TRAIN_FLIST  same-content",
        "  7 of 9 pictures: twice",
        "    a",
        "    b",
        "    c",
        "    d",
        "    e",
        "    and 2 more",
        "",
        "1 warning",
    ]


def test_table_fits_a_terminal(damage_report):
    lines = damage_report.table().splitlines()
    assert all(len(line) <= 100 for line in lines if not line.startswith("    /"))


def test_names_cannot_move_the_cursor(tmp_path):
    write(tmp_path / os.fsdecode(b"\x1b[2J\xff.png"), b"")
    report = examined(TRAIN_FLIST=str(tmp_path))
    assert "\x1b" not in report.table()
    assert json.loads(json.dumps(report.to_json())) == report.to_json()


# How it reads


def test_quick_look_reads_few_files_spread_over_each_list(tmp_path, monkeypatch):
    train, read = pictures(tmp_path / "train", 1), []
    many = listed(tmp_path / "many", *[train + "/0.png"], *(f"train/{n}.png" for n in range(1, 200)))

    def look(path: Path, max_pixels: int, hashed: bool = False) -> file_info.FileInfo:
        read.append(path.stem)
        assert not hashed
        return file_info.FileInfo(path, str(path), kind="PNG RGB", width=40, height=40)

    monkeypatch.setattr(listings, "inspect_picture", look)
    report = examined(quick=True, TRAIN_FLIST=many)
    assert read == [str(n) for n in range(0, 200, 4)]
    assert (report.quick, report.throughput, report.splits[0].read) == (True, None, 50)
    assert report.splits[0].edgeless is None or report.splits[0].edgeless.items <= dry_run.QUICK_ITEMS
    assert "only some files" in report.table()


def test_quick_look_at_a_long_list_passes_over_none_of_it(tmp_path, monkeypatch):
    for name in ("QUICK_NAMES", "QUICK"):
        monkeypatch.setattr(listings, name, 10)
    monkeypatch.setattr(files, "LONG", 10)
    save(tmp_path / "a.png", textured())
    save(tmp_path / "masks/a.png", hole())
    lists = [write(tmp_path / name, b"a.png\n" * 100) for name in ("list", "masks/list")]
    monkeypatch.setattr(PathList, "__iter__", lambda self: pytest.fail("all paths"))
    report = examined(quick=True, TRAIN_FLIST=lists[0], TRAIN_MASK_FLIST=lists[1], MASK="paired", VAL_FLIST=lists[0])
    assert [(split.listed, split.read) for split in report.splits] == [(100, 1), (100, 1)]
    assert found(report, "listed-twice", "TRAIN_FLIST") == {"a.png"}
    assert found(report, "overlap", "VAL_FLIST") == {"a.png"}


def test_quick_look_draws_fewer_items_of_large_pictures(tmp_path):
    large = listings.Listing("TRAIN", "TRAIN_FLIST", "picture", [tmp_path])
    for side, width, quick, count in (
        (256, 400, True, 16),
        (256, 400, False, 256),
        (512, 400, True, 15),
        (256, 4000, True, 5),
        (0, 4000, True, 1),
        (0, 4000, False, 5),
    ):
        infos = {tmp_path: file_info.FileInfo(tmp_path, "", width=width, height=width * 3 // 4)}
        assert dry_run._affordable(side, replace(large, infos=infos), quick) == count


def test_file_that_several_lists_name_is_read_once(tmp_path, monkeypatch):
    train, read, real = pictures(tmp_path, 5), [], inspect_picture

    def look(path: Path, max_pixels: int, hashed: bool = False) -> file_info.FileInfo:
        read.append(path.name)
        return real(path, max_pixels, hashed)

    monkeypatch.setattr(listings, "inspect_picture", look)
    examined(TRAIN_FLIST=train, VAL_FLIST=train, TEST_FLIST=train)
    assert sorted(read) == [f"{n}.png" for n in range(5)]


def test_threads_change_nothing(listed_damage):
    config = tiny_config(TRAIN_FLIST=listed_damage, MASK="block", SIGMA=1)
    alone, together = validation.examine(config), validation.examine(config, workers=2)
    assert together.findings == alone.findings
    assert together.splits == alone.splits


def test_check_is_there_before_torch():
    code = "import sys, edgeconnect.data.validation; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(validation.__file__).parents[3])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
