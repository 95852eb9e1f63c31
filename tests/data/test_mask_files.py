"""Masks written as PNG: in their bins, in the table, the same whatever the processes."""

import csv
import itertools
import os
import re
from collections import Counter

import cv2
import numpy as np
import pytest

from edgeconnect import images
from edgeconnect.data import mask_shapes
from edgeconnect.data.mask_files import Bin, MaskPlan, write_masks
from edgeconnect.errors import UserError

EDGES = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def described(size=(32,), kinds=("irregular",), edges=EDGES, count=4, interior=0.5, seed=0):
    return MaskPlan(size, kinds, edges, count, interior, seed)


def written(folder, workers=1, **keys):
    write_masks(folder, described(**keys), workers)
    with (folder / "masks.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folders_hold_as_many_masks_as_asked_each_inside_its_bin(tmp_path):
    rows = written(
        tmp_path / "m", size=(32, 48), kinds=("irregular", "boxes", "strokes", "centre", "border", "mixture")
    )
    names = ["01-10", "10-20", "20-30", "30-40", "40-50", "50-60"]
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [*names, "masks.csv"]
    assert [row["file"] for row in rows] == [f"{name}/mask_{n:06d}.png" for name in names for n in range(4)]
    for row, (low, high) in zip(rows, [pair for pair in itertools.pairwise(EDGES) for _ in range(4)], strict=True):
        mask = images.read_gray(tmp_path / "m" / row["file"])
        assert mask.shape == (32, 48)
        assert set(np.unique(mask)) <= {0, 255}
        assert low < (mask > 0).mean() == float(row["ratio"]) <= high
        assert bool(int(row["touches_border"])) == mask_shapes.at_border(mask > 0)


def test_kinds_take_turns(tmp_path):
    rows = written(tmp_path / "m", kinds=("boxes", "half", "border"), edges=(0.4, 0.5), count=7)
    assert [row["kind"] for row in rows] == ["boxes", "half", "border", "boxes", "half", "border", "boxes"]


@pytest.mark.parametrize(("interior", "at_border"), [(0, 10), (0.3, 7), (0.5, 5), (1, 0)])
def test_share_of_irregular_masks_and_boxes_keeps_away_from_the_border(tmp_path, interior, at_border):
    rows = written(tmp_path / "m", kinds=("irregular", "boxes"), edges=EDGES[:3], count=20, interior=interior)
    found = Counter((row["file"][:5], row["kind"]) for row in rows if row["touches_border"] == "1")
    wanted = {(name, kind): at_border for name in ("01-10", "10-20") for kind in ("irregular", "boxes") if at_border}
    assert found == wanted


def test_the_processes_do_not_matter(tmp_path):
    for workers in (1, 3):
        written(tmp_path / str(workers), workers, kinds=("irregular", "boxes", "mixture"), edges=EDGES[:4], count=40)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")
    assert len(contents(tmp_path / "1")) == 3 * 40 + 1


def test_more_masks_or_other_bins_change_none_and_another_seed_all(tmp_path):
    few, more, other = (
        {row["file"]: row["seed"] for row in written(tmp_path / name, **keys)}
        for name, keys in {
            "few": {"edges": (0.1, 0.2), "count": 3},
            "more": {"edges": (0.05, 0.1, 0.2), "count": 5},
            "other": {"edges": (0.1, 0.2), "count": 3, "seed": 1},
        }.items()
    )
    for file, seed in few.items():
        assert (tmp_path / "few" / file).read_bytes() == (tmp_path / "more" / file).read_bytes()
        assert (tmp_path / "few" / file).read_bytes() != (tmp_path / "other" / file).read_bytes()
        assert seed == more[file] != other[file]
    assert len(set(more.values())) == 10


def test_a_row_draws_its_mask_again(tmp_path):
    row = written(tmp_path / "m", edges=(0.2, 0.3))[3]
    rng, pixels = np.random.default_rng(int(row["seed"])), Bin(0.2, 0.3).pixels(32, 32)
    again = mask_shapes.draw(row["kind"], 32, 32, rng, pixels, row["touches_border"] == "1")
    np.testing.assert_array_equal(images.read_gray(tmp_path / "m" / row["file"]) > 0, again)


@pytest.mark.parametrize(
    ("edges", "name", "pixels"),
    [
        ((0.01, 0.1), "01-10", (101, 1000)),
        ((0.29, 0.57), "29-57", (2901, 5700)),
        ((0.005, 0.125), "0.5-12.5", (51, 1250)),
        ((0, 1), "00-100", (1, 10000)),
    ],
)
def test_a_bin_is_without_its_lower_end_and_with_its_upper_one(edges, name, pixels):
    assert (str(Bin(*edges)), Bin(*edges).pixels(100, 100)) == (name, pixels)


# Mistakes


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"kinds": ("half",)},
            "--kinds: half cannot reach 01-10, 10-20, 20-30, 30-40, 50-60 %, it reaches 40-50; give",
        ),
        ({"kinds": ("half",), "edges": (0.1, 0.2)}, "--kinds: half cannot reach 10-20 %, it reaches none; give it its"),
        (
            {"edges": (0.1, 0.2, 0.7, 0.8)},
            "--interior: irregular away from the border cannot reach 70-80 %, it reaches 10-20, 20-70; give",
        ),
        ({"edges": (0.1, 0.1001)}, "--bins: no number of 32x32 pixels is in 10-10.01 %; widen the bin"),
        ({"edges": (0.1,)}, "--bins: 0.1 are no two or more rising hole ratios from 0 to 1"),
        ({"edges": (0.2, 0.1)}, "--bins: 0.2 0.1 are no two or more rising"),
        ({"edges": (0.2, 0.2)}, "--bins: 0.2 0.2 are no two or more rising"),
        ({"edges": (0.5, 1.5)}, "--bins: 0.5 1.5 are no two or more rising"),
        ({"edges": (0.5, float("nan"))}, "--bins: 0.5 nan are no two or more rising"),
        (
            {"kinds": ("boxes", "circles")},
            "--kinds: circles is none of: strokes, irregular, boxes, half, centre, border,",
        ),
        ({"kinds": ()}, "--kinds: nothing is none of: strokes"),
        ({"count": 0}, "--count: 0"),
        ({"count": 10**9}, "--count: 1000000000"),
        ({"seed": -1}, "--seed: -1"),
        ({"size": (15,)}, "--size: 15"),
        ({"size": (32, 8)}, "--size: 8"),
        ({"size": (32, 32, 32)}, "--size: 32 32 32"),
        ({"size": (10**6,)}, "--size: pixels of 1000000x1000000"),
        ({"interior": 1.1}, "--interior: 1.1"),
        ({"interior": -0.1}, "--interior: -0.1"),
        ({"interior": float("nan")}, "--interior: nan"),
    ],
)
def test_masks_that_cannot_be_drawn_are_refused_in_one_line(keys, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        described(**keys)
    assert "\n" not in str(caught.value)


def test_interior_share_is_not_asked_of_kinds_without_one():
    assert len(described(kinds=("border", "strokes"), edges=(0.7, 0.8), interior=1, count=3)) == 3


def test_no_folder_in_use_is_written_to(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "note.txt"):
        with pytest.raises(UserError, match="is there already; name a new folder or an empty one"):
            write_masks(place, described(), 1)
    assert contents(tmp_path) == {"note.txt": b"mine"}


def test_an_empty_folder_is_filled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    assert len(written(tmp_path / "m")) == 24


def test_no_processes_are_refused(tmp_path):
    with pytest.raises(UserError, match="--workers: 0 is no number of processes"):
        write_masks(tmp_path / "m", described(), 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_halfway_leaves_nothing(tmp_path, monkeypatch, workers):
    def fail(path, image):
        raise UserError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr("edgeconnect.data.mask_files.write_png", fail)
    with pytest.raises(UserError, match="No space left"):
        write_masks(tmp_path / "m", described(count=40), workers)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [MemoryError("no more"), cv2.error("Insufficient memory")])
def test_masks_that_take_more_memory_than_there_is_are_refused_with_a_remedy_of_this_command(
    tmp_path, monkeypatch, error
):
    def fail(*_):
        raise error

    monkeypatch.setattr(mask_shapes, "draw", fail)
    with pytest.raises(UserError, match=r"^--size: .*smaller"):
        write_masks(tmp_path / "m", described(), 1)


def test_a_killed_process_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("edgeconnect.data.mask_files.write_png", lambda path, image: os._exit(9))
    with pytest.raises(UserError, match="--workers: one of 2 processes was killed; give fewer, or free memory"):
        write_masks(tmp_path / "m", described(count=40), 2)
    assert not list(tmp_path.iterdir())
