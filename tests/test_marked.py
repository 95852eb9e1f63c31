"""Completing what is marked in colour: pictures of every kind, originals, reports, refusals, from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import FakeMethod

from edgeconnect.data.jobs import plan
from edgeconnect.data.markers import Marking
from edgeconnect.data.scenes import render
from edgeconnect.engine import Engine
from edgeconnect.errors import UserError
from edgeconnect.trained import LoadedRun
from edgeconnect.types import Completion

GREEN = (0, 255, 0)
FILL = 51  # what the fake method fills holes with
SIZE = (40, 60)
SEEN: list[np.ndarray] = []  # what its network was given


class Watched(FakeMethod):
    """Note what is to be completed."""

    def complete(self, batch):
        SEEN.append((batch.image[0].permute(1, 2, 0) * 255).round().byte().numpy())
        return super().complete(batch)


class Drawing(FakeMethod):
    """Draw an edge map, as the first stage does."""

    def complete(self, batch):
        return Completion(*[torch.ones_like(batch.edge)] * 3)


@pytest.fixture
def test(run_folder, command, monkeypatch, tmp_path):
    """Return a function that runs test.py on a folder `in`, with a method that needs no weights."""
    SEEN.clear()
    folder = run_folder()

    def load(config, folder, use_ema):
        method = Drawing() if config.stage.name == "edge" else Watched()
        return LoadedRun(config, Engine(torch.device("cpu")), method, [], folder)

    monkeypatch.setattr("edgeconnect.trained.load_run", load)

    def call(*options, source="in", output="out", marker="0,255,0", model=2):
        marks = ("--marker", marker) if marker else ()
        given = ("--checkpoints", folder, "--model", model, "--input", tmp_path / source, "--output", tmp_path / output)
        return command("test", *given, *marks, *options)

    return call


def holes(*boxes):
    mask = np.zeros(SIZE, np.bool_)
    for top, left, bottom, right in boxes or ((5, 8, 20, 30),):
        mask[top:bottom, left:right] = True
    return mask


def painted(image, mask):
    return np.where(mask[..., None], np.uint8(GREEN), image)


def filled(image, mask):
    return np.where(mask[..., None], np.uint8(FILL), image)


def save(path: Path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(path, **options)
    return path


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


def report(path):
    text = path.read_text()
    assert text.endswith("}\n")
    return json.loads(text)


# Folder in, folder out


def test_folder_of_marked_pictures_gives_pictures_and_reports(test, tmp_path):
    masks = {"a": holes(), "cat/b": holes((0, 0, 10, 10), (10, 10, 20, 20)), "cat/c.d": holes((30, 40, 40, 60))}
    for n, (name, mask) in enumerate(masks.items()):
        save(tmp_path / f"in/{name}.png", painted(render(n, *SIZE), mask))
    code, said = test()
    assert (code, "3 written to" in said) == (0, True)
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert written == {f"{name}.{kind}" for name in masks for kind in ("png", "json")}
    for n, (name, mask) in enumerate(masks.items()):
        np.testing.assert_array_equal(pixels(tmp_path / f"out/{name}.png"), filled(render(n, *SIZE), mask))
    assert report(tmp_path / "out/cat/b.json") == {
        "marked": str(tmp_path / "in/cat/b.png"),
        "original": str(tmp_path / "in/cat/b.png"),
        "output": "b.png",
        "marker": [0, 255, 0],
        "tolerance": 8,
        "min_region": 16,
        "width": 60,
        "height": 40,
        "pixels": 200,
        "share": 200 / 2400,
        "grown": 0,
        "dropped": {"regions": 0, "pixels": 0},
        "forced": False,
        "regions": [{"left": 0, "top": 0, "width": 20, "height": 20, "pixels": 200}],
    }


def test_one_picture_goes_to_a_file_and_its_report_beside(test, tmp_path):
    save(tmp_path / "a.png", painted(render(0, *SIZE), holes()))
    code, said = test("--tolerance", 0, "--min-region", 330, source="a.png", output="done.png", marker="#00ff00")
    assert code == 0, said
    assert (report(tmp_path / "done.json")["tolerance"], report(tmp_path / "done.json")["min_region"]) == (0, 330)
    np.testing.assert_array_equal(pixels(tmp_path / "done.png"), filled(render(0, *SIZE), holes()))


def test_bad_pictures_are_named_the_others_are_completed_and_skip_existing_goes_on(test, tmp_path):
    image = render(0, *SIZE)
    save(tmp_path / "in/a marked.png", painted(image, holes()))
    save(tmp_path / "in/b unmarked.png", image)
    save(tmp_path / "in/c gray.png", Image.fromarray(image).convert("L"))
    save(tmp_path / "in/d all.png", painted(image, holes((0, 0, 30, 60))))
    (tmp_path / "in/e cut.png").write_bytes((tmp_path / "in/b unmarked.png").read_bytes()[:200])
    many = image.copy()
    many[::4, ::4] = GREEN
    save(tmp_path / "in/f many.png", many)
    code, said = test("--min-region", 1)
    assert code == 1
    for part in (
        "b unmarked.png: no pixel of --marker 0,255,0",
        "c gray.png: is gray, so nothing in it can be --marker 0,255,0",
        "d all.png: 75% of it is of --marker 0,255,0",
        "e cut.png: cannot be read as a picture",
        "f many.png: 150 regions of --marker 0,255,0",
        "error: 5 of 6 pictures could not be completed: ",
    ):
        assert part in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a marked.json", "a marked.png"]
    (tmp_path / "in/e cut.png").unlink()
    before = (tmp_path / "out/a marked.png").stat()
    code, said = test("--min-region", 1, "--force", "--skip-existing")
    assert (code, "1 of 5 pictures are there already" in said) == (0, True)
    assert (tmp_path / "out/a marked.png").stat() == before
    np.testing.assert_array_equal(pixels(tmp_path / "out/b unmarked.png"), image)
    forced = {path.stem[0]: report(path)["forced"] for path in (tmp_path / "out").glob("*.json")}
    assert forced == {"a": False, "b": True, "c": True, "d": True, "f": True}


def test_single_picture_that_is_refused_ends_with_its_line_and_writes_nothing(test, tmp_path):
    save(tmp_path / "in/a.png", render(0, *SIZE))
    code, said = test()
    assert code == 2
    assert f"error: {tmp_path / 'in/a.png'}: no pixel of --marker 0,255,0" in said
    assert not (tmp_path / "out").exists()


# Pictures of every kind


def paletted(image):
    return Image.fromarray(image).quantize(64, dither=Image.Dither.NONE)


@pytest.mark.parametrize("kind", ["palette.png", "palette.gif", "cmyk.tif", "bmp.bmp", "lossless.webp", "exif.png"])
def test_known_pixels_of_every_kind_of_file_come_back_as_they_are_read(kind, test, tmp_path):
    image, mask = render(3, *SIZE), holes()
    marked, options = Image.fromarray(painted(image, mask)), {}
    if kind.startswith("palette"):
        marked = paletted(painted(image, mask))
    if kind == "cmyk.tif":
        marked = marked.convert("CMYK")
    if kind == "lossless.webp":
        options = {"lossless": True}
    if kind == "exif.png":
        exif = Image.Exif()
        exif[0x0112] = 3
        marked, options = marked.transpose(Image.Transpose.ROTATE_180), {"exif": exif}
    save(tmp_path / "in" / kind, marked, **options)
    seen = np.asarray(marked.convert("RGB"))
    code, said = test()
    assert code == 0, said
    expected = filled(seen[::-1, ::-1] if kind == "exif.png" else seen, mask)
    np.testing.assert_array_equal(pixels(tmp_path / f"out/{kind.partition('.')[0]}.png"), expected)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_alpha_is_kept_without_a_warning(mode, test, tmp_path):
    image, mask = render(3, *SIZE), holes()
    alpha = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8) + 100
    marked = Image.fromarray(np.dstack((painted(image, mask), alpha)))
    if mode == "P":
        alpha = np.where(mask, 255, 128).astype(np.uint8)  # one level for each colour of the palette
        marked = paletted(painted(image, mask))
        levels = [255 if tuple(marked.getpalette()[3 * n : 3 * n + 3]) == GREEN else 128 for n in range(64)]
        save(tmp_path / "in/a.png", marked, transparency=bytes(levels))
    else:
        save(tmp_path / "in/a.png", marked)
    seen = np.asarray(marked.convert("RGB"))
    code, said = test()
    assert (code, "does not keep" in said) == (0, False), said
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), np.dstack((filled(seen, mask), alpha)))


def test_edge_map_of_a_marked_picture_has_no_alpha(test, tmp_path):
    save(tmp_path / "in/a.png", Image.fromarray(painted(render(3, *SIZE), holes())).convert("RGBA"))
    code, said = test(model=1)
    assert code == 0, said
    assert pixels(tmp_path / "out/a.png").shape == SIZE


def test_clear_pixels_are_not_marked_whatever_colour_they_have(test, tmp_path):
    image, mask, clear = render(3, *SIZE), holes(), holes((25, 40, 40, 60))
    alpha = np.where(clear, 0, 255).astype(np.uint8)
    save(tmp_path / "in/a.png", np.dstack((painted(image, mask | clear), alpha)))
    assert test()[0] == 0
    done = pixels(tmp_path / "out/a.png")
    np.testing.assert_array_equal(done, np.dstack((filled(painted(image, clear), mask), alpha)))


def test_without_marker_alpha_is_not_kept_and_warned_of(test, tmp_path):
    save(tmp_path / "in/a.png", Image.fromarray(render(3, *SIZE)).convert("RGBA"))
    save(tmp_path / "masks/a.png", holes().astype(np.uint8) * 255)
    code, said = test("--mask", tmp_path / "masks", marker="")
    assert (code, "a.png has an alpha channel" in said) == (0, True)
    assert pixels(tmp_path / "out/a.png").shape == (*SIZE, 3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


# Originals


def test_mosaics_are_seen_in_originals_alone(test, tmp_path):
    save(tmp_path / "in/a.png", painted(render(0, *SIZE), holes()))
    save(tmp_path / "originals/a.png", render(0, *SIZE))
    mosaic = "--set", "CORRUPTION=mosaic"
    code, said = test(*mosaic)
    assert code == 2
    assert "name the pictures without paint with --original" in said
    assert test(*mosaic, "--original", tmp_path / "originals")[0] == 0


def test_pixels_come_from_originals_of_the_same_stems_whatever_their_kind(test, tmp_path):
    image, mask = render(3, *SIZE), holes()
    for n, kind in enumerate(("a.bmp", "b.tif", "c.jpg")):
        save(tmp_path / "originals" / kind, render(n, *SIZE))
        save(tmp_path / f"in/{kind[0]}.png", painted(255 - image, mask))
    save(tmp_path / "originals/spare.png", image)
    code, said = test("--original", tmp_path / "originals")
    assert code == 0, said
    for n, kind in enumerate(("a.bmp", "b.tif", "c.jpg")):
        original = pixels(tmp_path / "originals" / kind)
        np.testing.assert_array_equal(pixels(tmp_path / f"out/{kind[0]}.png"), filled(original, mask))
        np.testing.assert_array_equal(SEEN[n], original)  # in the hole, too
    said_of = report(tmp_path / "out/c.json")
    assert (said_of["marked"], said_of["original"]) == (
        str(tmp_path / "in/c.png"),
        str(tmp_path / "originals/c.jpg"),
    )


def test_alpha_is_the_originals_and_one_original_may_have_another_name(test, tmp_path):
    image, mask = render(3, *SIZE), holes()
    alpha = np.arange(2400, dtype=np.uint8).reshape(SIZE)
    save(tmp_path / "truth.png", np.dstack((image, alpha)))
    save(tmp_path / "in/a.png", painted(image, mask))
    assert test("--original", tmp_path / "truth.png")[0] == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), np.dstack((filled(image, mask), alpha)))


def test_original_of_another_size_costs_its_own_picture_alone(test, tmp_path):
    for name in "ab":
        save(tmp_path / f"in/{name}.png", painted(render(0, *SIZE), holes()))
        save(tmp_path / f"originals/{name}.png", render(0, *(SIZE if name == "a" else (20, 30))))
    code, said = test("--original", tmp_path / "originals")
    assert code == 1
    problem = f"the original is 30x20, its marked copy {tmp_path / 'in/b.png'} is 60x40; mark a copy of the same size"
    assert f"{tmp_path / 'originals/b.png'}: {problem}" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a.png"]


def test_marked_picture_without_original_is_named(test, tmp_path):
    for name in "ab":
        save(tmp_path / f"in/{name}.png", painted(render(0, *SIZE), holes()))
    save(tmp_path / "originals/a.png", render(0, *SIZE))
    code, said = test("--original", tmp_path / "originals")
    assert (code, f"no original of the same name for {tmp_path / 'in/b.png'}" in said) == (2, True)


# Options and places


@pytest.mark.parametrize(
    "options", [("--tolerance", 0), ("--min-region", 4), ("--original", "x"), ("--force",)], ids=lambda o: o[0]
)
def test_options_of_marks_without_marker_are_refused(options, test):
    code, said = test(*options, marker="")
    assert code == 2
    assert f"error: {options[0]}: means nothing without --marker; name the colour of the holes" in said


@pytest.mark.parametrize(
    ("options", "marker", "part"),
    [
        (("--mask", "m.png"), "0,255,0", "--mask: m.png and --marker 0,255,0 both say where the holes are"),
        ((), "green", "--marker: green is no colour"),
        (("--tolerance", -1), "0,255,0", "--tolerance: -1 is out of range; give a number from 0 to 255"),
        (("--tolerance", 256), "0,255,0", "--tolerance: 256 is out of range"),
        (("--min-region", 0), "0,255,0", "--min-region: 0 is out of range"),
    ],
)
def test_contradictions_are_refused_before_anything_is_read(options, marker, part, test):
    code, said = test(*options, marker=marker)
    assert code == 2
    assert f"error: {part}" in said


def test_masks_of_the_configuration_are_not_asked_for(test, tmp_path):
    save(tmp_path / "in/a.png", painted(render(0, *SIZE), holes()))
    code, said = test("--set", "TEST_MASK_FLIST=/nowhere")
    assert code == 0, said


def test_neither_pictures_nor_reports_overwrite_inputs(tmp_path):
    marking = Marking(GREEN)
    for name in ("in/a.png", "originals/a.png", "list/a.png"):
        save(tmp_path / name, painted(render(0, *SIZE), holes()))
    for target in ("in", "originals", "in/deep"):
        with pytest.raises(UserError, match=r"^--output: "):
            plan(str(tmp_path / "in"), "", "", str(tmp_path / target), marking, str(tmp_path / "originals"))
    (tmp_path / "list/a.json").write_text("a.png\n")  # a list may have any name
    with pytest.raises(UserError, match=r"^--output: would overwrite .*list/a\.png.*list/a\.json"):
        plan(str(tmp_path / "list/a.json"), "", "", str(tmp_path / "list"), marking)


def test_a_picture_is_there_only_once_its_report_is(test, tmp_path, monkeypatch):
    save(tmp_path / "in/a.png", painted(render(0, *SIZE), holes()))
    there = []
    monkeypatch.setattr("edgeconnect.predict.write_png", lambda path, _: there.append(path.with_suffix(".json").stat()))
    assert test()[0] == 0
    assert len(there) == 1


def test_marked_pictures_are_completed_by_trained_networks(run_folder, command, tmp_path):
    folder, image, mask = run_folder(MAX_ITERS=1), render(0, *SIZE), holes()
    code, said = command("train", "--model", 2, "--checkpoints", folder, "--no-check")
    assert code == 0, said
    save(tmp_path / "in/a.png", painted(image, mask))
    where = ("--input", tmp_path / "in", "--output", tmp_path / "out", "--marker", "0,255,0")
    code, said = command("run", "--checkpoints", folder, "--set", "MODE=2", "--set", "MODEL=2", *where)
    assert code == 0, said
    done = pixels(tmp_path / "out/a.png")
    np.testing.assert_array_equal(done[~mask], image[~mask])
    assert (done[mask] != GREEN).any()
