"""manifest.json: every item in one bin, the same items again, nothing else taken for them."""

import json
import math
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from evaluations import holes, photos, preprocessing, save
from hypothesis import given
from hypothesis import strategies as st

from edgeconnect.data.mask_shapes import GENERATORS
from edgeconnect.errors import BadImageError, UserError
from edgeconnect.evaluation.manifest import BIN_EDGES, Item, Manifest, read_manifest
from edgeconnect.evaluation.pairing import Library, compose, verify, within


def of_ratio(ratio):
    return Item("a", "a.png", "m.png", -1, ratio, "", "")


# Bins


@pytest.mark.parametrize(
    ("ratio", "name"),
    [
        (0.0, "0"),
        (1e-12, "(0,1]"),
        (0.01, "(0,1]"),
        (math.nextafter(0.01, 1), "(1,10]"),
        (0.1, "(1,10]"),
        (math.nextafter(0.1, 1), "(10,20]"),
        (0.3, "(20,30]"),
        (0.6, "(50,60]"),
        (0.7, "(60,100]"),
        (1.0, "(60,100]"),
    ],
)
def test_bins_are_open_on_the_left(ratio, name):
    item = of_ratio(ratio)
    assert Manifest(preprocessing(), (item,)).bin(item) == name


@given(st.lists(st.integers(0, 4096), min_size=1))
def test_every_item_is_in_one_bin_and_bins_rise(counts):
    items = tuple(of_ratio(count / 4096) for count in counts)
    manifest = Manifest(preprocessing(), items)
    names = manifest.bins()
    assert {manifest.bin(item) for item in items} == set(names)
    assert len(names) == len(set(names))
    lows = [-1.0 if name == "0" else float(name[1:].split(",")[0]) for name in names]
    assert lows == sorted(lows)


@given(st.integers(10, 3000), st.integers(10, 3000), st.integers(1, len(BIN_EDGES) - 1))
def test_a_mask_of_a_bin_lies_in_it_to_the_pixel(height, width, number):
    least, most = within(height, width, (BIN_EDGES[number - 1], BIN_EDGES[number]))
    bins = Manifest(preprocessing(), ())
    assert least <= most
    assert {bins.bin(of_ratio(count / (height * width))) for count in (least, most)} == {
        bins.bin(of_ratio((BIN_EDGES[number - 1] + BIN_EDGES[number]) / 2))
    }
    assert bins.bin(of_ratio((least - 1) / (height * width))) != bins.bin(of_ratio(least / (height * width)))


# Drawn masks


@pytest.mark.parametrize("kind", GENERATORS)
def test_drawn_masks_lie_in_their_bins_and_are_drawn_again(kind):
    manifest = compose("scenes:2", kind, preprocessing())
    library = Library(manifest.preprocessing)
    for item in manifest.items:
        mask = library.mask(item.mask, item.seed, 32, 32)
        assert np.array_equal(mask, library.mask(item.mask, item.seed, 32, 32))
        assert mask.mean() == item.ratio
        low, high = (float(part) for part in item.mask.split(" ")[1].split("-"))
        assert low < item.ratio <= high
    assert len({item.seed for item in manifest.items}) == len(manifest.items)
    if kind != "half":
        assert len(manifest.items) == 2 * (len(BIN_EDGES) - 2)
    assert compose("scenes:2", kind, preprocessing(), workers=3) == manifest
    assert {i.mask_hash for i in compose("scenes:2", kind, preprocessing(seed=1)).items} != {
        i.mask_hash for i in manifest.items
    } or kind in ("half", "centre")


def test_drawn_masks_fit_pictures_of_any_size(tmp_path):
    photos(tmp_path, ("a.png",), (33, 90))
    photos(tmp_path, ("b.png",), (20, 16))
    manifest = compose(str(tmp_path), "mixture", preprocessing(size=0))
    assert [manifest.bin(item) for item in manifest.items] == 2 * manifest.bins()


def test_pictures_too_small_for_a_bin_are_not_dropped(tmp_path):
    save(tmp_path / "a.png", np.zeros((8, 9, 3), np.uint8))
    manifest = compose(str(tmp_path), "irregular", preprocessing(size=0))
    assert len(manifest.items) == len(BIN_EDGES) - 2
    assert min(item.ratio for item in manifest.items) > 0


# Pairing


def test_per_bin_gives_every_picture_one_mask_of_each_bin(tmp_path):
    pictures = photos(tmp_path / "pictures")
    masks = holes(tmp_path / "masks", {"few.png": 0.15, "few2.png": 0.2, "half.png": 0.5, "most.png": 0.9})
    manifest = compose(str(pictures), str(masks), preprocessing())
    assert manifest.bins() == ["(10,20]", "(40,50]", "(60,100]"]
    assert [manifest.bin(item) for item in manifest.items] == 3 * manifest.bins()
    drawn = [[item.mask for item in compose(str(pictures), str(masks), preprocessing(seed=s)).items] for s in range(6)]
    assert compose(str(pictures), str(masks), preprocessing()) == manifest
    assert len({tuple(names) for names in drawn}) > 1


def test_all_gives_every_picture_every_mask(tmp_path):
    pictures = photos(tmp_path / "pictures")
    masks = holes(tmp_path / "masks", {"x.png": 0.1, "y.png": 0.5})
    manifest = compose(str(pictures), str(masks), preprocessing(pairing="all"))
    assert [item.id for item in manifest.items] == [f"{picture}__{mask}" for picture in "abc" for mask in "xy"]


def test_stem_gives_the_mask_of_the_name_and_refuses_the_unpaired(tmp_path):
    pictures = photos(tmp_path / "pictures")
    masks = holes(tmp_path / "masks", {"c.png": 0.3, "b.png": 0.2, "a.png": 0.1})
    manifest = compose(str(pictures), str(masks), preprocessing(pairing="stem"))
    assert [(item.id, item.mask[-5:]) for item in manifest.items] == [(name, f"{name}.png") for name in "abc"]
    shared = compose(str(pictures), str(masks / "a.png"), preprocessing(pairing="stem"))
    assert {item.mask for item in shared.items} == {str(masks / "a.png")}
    (masks / "b.png").unlink()
    with pytest.raises(UserError, match=r"no mask of the same name for .*b\.png"):
        compose(str(pictures), str(masks), preprocessing(pairing="stem"))
    (masks / "c.png").unlink()
    with pytest.raises(UserError, match="no mask of the same name for"):
        compose(str(pictures), str(masks), preprocessing(pairing="stem"))


def test_drawn_masks_are_of_each_bin_and_of_no_other_pairing():
    with pytest.raises(UserError, match="--pairing: all is of mask files; irregular masks are drawn per-bin"):
        compose("scenes:1", "irregular", preprocessing(pairing="all"))


# What is read


def test_ratios_are_those_of_what_is_read(tmp_path):
    """Cropped, resized, thresholded, of either polarity: what counts is what methods get."""
    pictures = photos(tmp_path / "pictures", ("a.png",), (50, 41))
    soft = np.tile((np.linspace(-8, 9, 70) * 255).clip(0, 255).astype(np.uint8), (30, 1))
    gray = save(tmp_path / "soft.png", soft)
    for size in (0, 33):
        for polarity in ("hole", "known"):
            for threshold in (100, 150):
                one = preprocessing(size, "all", threshold=threshold, polarity=polarity)
                (item,) = compose(str(pictures), str(gray), one).items
                library = Library(one)
                picture = library.picture(item.picture)
                assert picture.shape == ((size, size, 3) if size else (50, 41, 3))
                assert library.mask(item.mask, item.seed, *picture.shape[:2]).mean() == item.ratio
                assert 0 < item.ratio < 1


def test_files_that_cannot_be_used_are_named(tmp_path):
    pictures, mask = photos(tmp_path / "pictures"), save(tmp_path / "m.png", np.eye(40, dtype=np.uint8) * 255)
    lists = tmp_path / "pictures.flist"
    lists.write_text("pictures/a.png\npictures/gone.png\n")
    with pytest.raises(BadImageError, match=r"gone\.png: is no file, or not there"):
        compose(str(lists), str(mask), preprocessing())
    os.mkfifo(pictures / "pipe.png")
    with pytest.raises(BadImageError, match=r"pipe\.png: is no file, or not there"):
        compose(str(pictures), str(mask), preprocessing())
    (pictures / "pipe.png").unlink()
    (pictures / "b.png").write_bytes(b"damaged")
    with pytest.raises(BadImageError, match=r"b\.png: cannot be read as a picture"):
        compose(str(pictures), str(mask), preprocessing())
    for empty in ("nothing", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=r"--pictures: .*(does not exist|holds no picture)"):
            compose(str(tmp_path / empty), str(mask), preprocessing())
        with pytest.raises(UserError, match=r"--masks: .*(does not exist|holds no picture)"):
            compose("scenes:1", str(tmp_path / empty), preprocessing())


# Names


@pytest.mark.parametrize(
    "names",
    [
        ("a/x.png", "b/x.png", "b/y.png"),
        ("a b.png", "a_b.png", "a:b.png", "a'b.png", "ä\u0308 日本.png"),
        ("a/b_c.png", "a_b/c.png"),
        ("x.png", "X.png"),
        ("deep/er/x.png", "deep/x.png", "x.png"),
        ("n" * 240 + "1.png", "n" * 240 + "2.png", "é" * 120 + ".png"),
        ("scenes.png", "..png", "-.png", "%s.png", "x__m.png", "x__m2.png"),
    ],
)
def test_ids_are_unique_and_names_of_files(names, tmp_path):
    pictures = photos(tmp_path / "pictures", names, (16, 16))
    (tmp_path / "list").write_text("".join(f"pictures/{name}\n" for name in names))
    masks = holes(tmp_path / "masks", {"m.png": 0.2, "m m.png": 0.5, "m_m.png": 0.5, "2/m.png": 0.1})
    for chosen in (pictures / names[0], tmp_path / "list"):
        for mask in (masks / "m.png", masks):
            ids = [item.id for item in compose(str(chosen), str(mask), preprocessing(pairing="all")).items]
            assert len({id_.casefold() for id_ in ids}) == len(ids)
            for id_ in ids:
                assert not id_.startswith(".")
                assert all(c.isalnum() or c in "-._" for c in id_)
                save(tmp_path / "out" / f"{id_}.png", np.zeros((1, 1), np.uint8))


def test_a_picture_listed_twice_is_two_items(tmp_path):
    photos(tmp_path, ("a.png",))
    (tmp_path / "list").write_text("a.png\na.png\n")
    for masks in ("irregular", str(holes(tmp_path / "m", {"m.png": 0.5}))):
        manifest = compose(str(tmp_path / "list"), masks, preprocessing())
        assert len({item.id for item in manifest.items}) == len(manifest.items) in (2, 2 * 7)


# Again


@pytest.fixture
def data(tmp_path):
    """Pictures and masks in one folder that can be moved."""
    photos(tmp_path / "data/pictures")
    holes(tmp_path / "data/masks", {"a.png": 0.1, "b.png": 0.3, "c.png": 0.7})
    return tmp_path / "data"


def composed(data, **changes):
    return compose(str(data / "pictures"), str(data / "masks"), preprocessing(**{"pairing": "stem"} | changes))


def test_what_was_written_is_read(data, tmp_path):
    for manifest in (composed(data), compose("scenes:3-5", "border", preprocessing(seed=2**53))):
        manifest.write(tmp_path / "manifest.json")
        read = read_manifest(tmp_path / "manifest.json")
        assert read == manifest
        verify(read)
        rows = json.loads((tmp_path / "manifest.json").read_text())["items"]
        assert [row["bin"] for row in rows] == [manifest.bin(item) for item in manifest.items]


def test_digest_is_of_contents_and_shapes_and_of_no_folder(data, tmp_path):
    manifest = composed(data)
    moved = composed(data.rename(tmp_path / "moved"))
    assert moved.items[0].picture != manifest.items[0].picture
    assert moved.digest() == manifest.digest()
    data = tmp_path / "moved"
    different = [composed(data, **change) for change in ({"size": 33}, {"threshold": 3}, {"polarity": "known"})]
    different += [composed(data, edges=(0.0, 0.5, 1.0)), replace(manifest, items=manifest.items[:-1])]
    save(data / "masks" / "b.png", np.eye(40, dtype=np.uint8) * 255)
    different.append(composed(data))
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[0, 0] = 1
    save(data / "pictures" / "b.png", picture)
    different.append(composed(data))
    assert len({manifest.digest(), *(other.digest() for other in different)}) == 1 + len(different)
    assert (
        replace(manifest, preprocessing=replace(manifest.preprocessing, max_pixels=7, seed=5)).digest()
        == manifest.digest()
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["items"].pop(),
        lambda m: m["items"].reverse(),
        lambda m: m["items"][0].update(ratio=0.5),
        lambda m: m["items"][0].update(id="../../a"),
        lambda m: m["items"][0].update(picture_hash="0"),
        lambda m: m["items"][0].update(seed=3),
        lambda m: m["setting"].update(size=64),
        lambda m: m["setting"].update(edges=[0, 1]),
        lambda m: m["setting"].update(edges="ab"),
        lambda m: m["setting"].update(colour=1),
        lambda m: m["setting"].pop("size"),
        lambda m: m.update(digest=""),
        lambda m: m.pop("digest"),
        lambda m: m.update(items=3),
    ],
)
def test_a_changed_manifest_is_refused(change, tmp_path):
    path = tmp_path / "manifest.json"
    compose("scenes:2", "boxes", preprocessing()).write(path)
    contents = json.loads(path.read_text())
    change(contents)
    path.write_text(json.dumps(contents))
    with pytest.raises(UserError, match=r"manifest\.json: (was changed since|is no manifest)"):
        read_manifest(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", '{"setting": {', "\0"])
def test_what_is_no_manifest_is_refused(text, tmp_path):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="is no manifest of an evaluation"):
        read_manifest(tmp_path / "manifest.json")
    with pytest.raises(UserError, match="is no manifest of an evaluation"):
        read_manifest(tmp_path)


def test_files_that_changed_since_are_refused(data, tmp_path):
    manifest = composed(data)
    verify(manifest)
    for part, name in (("pictures", "b.png"), ("masks", "c.png")):
        aside = shutil.copy(data / part / name, tmp_path)
        shutil.copy(data / part / "a.png", data / part / name)
        with pytest.raises(UserError, match=rf"{part}/{name}: is not what it was"):
            verify(manifest)
        (data / part / name).unlink()
        with pytest.raises(UserError, match=rf"{part}/{name}: is no file, or not there"):
            verify(manifest)
        shutil.copy(aside, data / part / name)
    verify(manifest)
