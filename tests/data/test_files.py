"""File lists, decoded pictures, pairing: every file that users have, and one readable line for what is broken."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeconnect import images
from edgeconnect.data import files, masks
from edgeconnect.errors import UserError


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, array: np.ndarray, convert: str | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(array)
    (picture.convert(convert) if convert else picture).save(path, **options)
    return path


def mode(path: Path) -> str:
    with Image.open(path) as picture:
        return picture.mode


def one_line(caught: pytest.ExceptionInfo, *parts: object) -> None:
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


# What a picture decodes to


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "webp", "ppm"])
def test_rgb_comes_back_as_it_was(tmp_path, suffix):
    image = noise(5, 7, 3)
    path = save(tmp_path / f"a.{suffix}", image, **({"lossless": True} if suffix == "webp" else {}))
    read = images.read_image(path)
    assert read.dtype == np.uint8
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, image)


def test_gray_becomes_three_equal_channels(tmp_path):
    gray = noise(5, 7)
    path = save(tmp_path / "a.png", gray)
    np.testing.assert_array_equal(images.read_image(path), np.dstack([gray] * 3))
    np.testing.assert_array_equal(images.read_gray(path), gray)


def test_one_bit_becomes_black_and_white(tmp_path):
    bits = noise(5, 7) > 127
    path = save(tmp_path / "a.png", bits)
    assert mode(path) == "1"
    np.testing.assert_array_equal(images.read_gray(path), np.uint8(255) * bits)
    np.testing.assert_array_equal(images.read_image(path)[..., 2], np.uint8(255) * bits)


def test_gray_with_alpha_drops_it_in_a_picture_and_blends_it_into_black_in_a_mask(tmp_path):
    layer = np.dstack([np.full((4, 6), 200, np.uint8), np.repeat([[0, 0, 0, 255, 255, 255]], 4, 0).astype(np.uint8)])
    path = save(tmp_path / "a.png", layer)
    assert mode(path) == "LA"
    np.testing.assert_array_equal(images.read_image(path), 200)
    np.testing.assert_array_equal(images.read_gray(path), np.where(layer[..., 1] > 0, 200, 0))


def test_colours_with_alpha_drop_it_in_a_picture_and_blend_it_into_black_in_a_mask(tmp_path):
    image = noise(4, 6, 4)
    image[..., 3] = np.repeat([[0, 0, 0, 255, 255, 255]], 4, 0)
    path = save(tmp_path / "a.png", image)
    np.testing.assert_array_equal(images.read_image(path), image[..., :3])
    gray = np.asarray(Image.fromarray(image[..., :3]).convert("L"))
    np.testing.assert_array_equal(images.read_gray(path), np.where(image[..., 3] > 0, gray, 0))


def test_palette_becomes_its_colours(tmp_path):
    colours, chosen = noise(4, 3), noise(5, 7) % 4
    picture = Image.fromarray(chosen).copy()
    picture.putpalette(colours.ravel().tolist())
    picture.save(tmp_path / "a.png")
    assert mode(tmp_path / "a.png") == "P"
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), colours[chosen])


@pytest.mark.parametrize("transparency", [2, bytes([255, 128, 0, 64])])
def test_palette_with_transparency_keeps_its_colours_in_a_picture_and_is_black_where_clear_in_a_mask(
    tmp_path, transparency
):
    colours, chosen = noise(4, 3) | 64, noise(5, 7) % 4
    picture = Image.fromarray(chosen).copy()
    picture.putpalette(colours.ravel().tolist())
    picture.save(tmp_path / "a.png", transparency=transparency)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), colours[chosen])
    gray = images.read_gray(tmp_path / "a.png")
    assert (gray[chosen == 2] == 0).all()
    opaque = np.asarray(Image.fromarray(colours[chosen]).convert("L"))
    np.testing.assert_array_equal(gray[chosen == 0], opaque[chosen == 0])


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, :8] = (230, 40, 30)
    image[:, 8:] = (20, 60, 200)
    path = save(tmp_path / "a.jpg", image, "CMYK", quality=95)
    assert mode(path) == "CMYK"
    read = images.read_image(path).astype(int)
    assert read.shape == (16, 16, 3)
    assert np.abs(read[:, 2:6] - image[:, 2:6]).max() < 25
    assert np.abs(read[:, 10:14] - image[:, 10:14]).max() < 25


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, suffix):
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = save(tmp_path / f"a.{suffix}", deep)
    assert mode(path) == "I;16"
    expected = ((deep.astype(int) + 128) // 257).astype(np.uint8)
    np.testing.assert_array_equal(images.read_gray(path), expected)
    np.testing.assert_array_equal(images.read_image(path), np.dstack([expected] * 3))


@pytest.mark.parametrize("top", [255, 65535])
def test_integers_of_32_bits_count_to_255_or_to_65535(tmp_path, top):
    path = save(tmp_path / "a.tif", np.array([[0, top // 5, top]], np.int32))
    assert mode(path) == "I"
    np.testing.assert_array_equal(images.read_gray(path), [[0, 51, 255]])


@pytest.mark.parametrize(("top", "expected"), [(1.0, [0, 64, 128, 255]), (255.0, [0, 64, 128, 255])])
def test_floats_count_from_0_to_1_or_from_0_to_255(tmp_path, top, expected):
    path = save(tmp_path / "a.tif", np.array([expected], np.float32) / 255 * np.float32(top))
    assert mode(path) == "F"
    np.testing.assert_array_equal(images.read_gray(path), [expected])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_floats_that_are_not_finite_are_refused(tmp_path, bad):
    path = save(tmp_path / "a.tif", np.array([[0.5, bad]], np.float32))
    with pytest.raises(UserError) as caught:
        images.read_gray(path)
    one_line(caught, path, "not finite")


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pictures_and_masks_are_turned_upright_as_exif_says(tmp_path, orientation):
    stored = noise(5, 9, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", stored, exif=exif)
    np.testing.assert_array_equal(images.read_image(path), UPRIGHT[orientation](stored))
    gray = np.asarray(Image.fromarray(stored).convert("L"))
    np.testing.assert_array_equal(images.read_gray(path), UPRIGHT[orientation](gray))


# What cannot be decoded


@pytest.fixture
def broken(tmp_path):
    jpeg, png = save(tmp_path / "whole.jpg", noise(64, 64, 3)), save(tmp_path / "whole.png", noise(64, 64, 3))
    return {
        "half.jpg": jpeg.read_bytes()[: jpeg.stat().st_size // 2],
        "half.png": png.read_bytes()[: png.stat().st_size // 2],
        "empty.png": b"",
        "text.jpg": b"this is\nno picture\n",
        "zeros.tif": bytes(100),
    }


@pytest.mark.parametrize("name", ["half.jpg", "half.png", "empty.png", "text.jpg", "zeros.tif"])
@pytest.mark.parametrize("read", [images.read_image, images.read_gray, lambda path: masks.read_mask(path, 127, "hole")])
def test_broken_file_is_a_user_error_of_one_line_that_names_it(tmp_path, broken, name, read):
    path = tmp_path / name
    path.write_bytes(broken[name])
    with pytest.raises(UserError) as caught:
        read(path)
    one_line(caught, path, "cannot be read as a picture", "repair it or take it off the list")


def test_missing_file_is_a_user_error_that_names_it(tmp_path):
    with pytest.raises(UserError) as caught:
        images.read_image(tmp_path / "gone.png")
    one_line(caught, tmp_path / "gone.png", "does not exist", "correct the list")


def test_folder_named_like_a_picture_is_a_user_error(tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError) as caught:
        images.read_image(tmp_path / "folder.png")
    one_line(caught, tmp_path / "folder.png")


# Lists and folders


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"a.png\nb.png\n", ["a.png", "b.png"]),
        (b"a.png", ["a.png"]),
        (b"a.png\r\nb.png\r\n", ["a.png", "b.png"]),
        (b"\xef\xbb\xbfa.png\nb.png", ["a.png", "b.png"]),
        (b"\n\n  \na.png\n\r\n\nb.png\n\n", ["a.png", "b.png"]),
        (b"my holiday.png\n#1.png\na # b.png", ["my holiday.png", "#1.png", "a # b.png"]),
        (b"A.PNG\nb.Tiff\nc.JPEG", ["A.PNG", "b.Tiff", "c.JPEG"]),
        (b"a,b;c.png\n'q'.png\n\"r\".png\n%41.png", ["a,b;c.png", "'q'.png", '"r".png', "%41.png"]),
        ("größe.png\n日本.png".encode(), ["größe.png", "日本.png"]),
        (b"z.png\na.png\nz.png", ["z.png", "a.png", "z.png"]),
    ],
    ids=["plain", "one", "crlf", "bom", "blank", "spaces", "upper", "punctuation", "utf8", "own-order"],
)
def test_list_names_one_path_a_line(tmp_path, data, names):
    listed = files.list_images(str(write(tmp_path / "list.flist", data)), "KEY")
    assert [path.name for path in listed] == names


def test_names_that_begin_with_a_tilde_are_names(tmp_path):
    names = ["~a.png", "~$b.png", "~nobody-by-this-name/c.png"]
    listed = files.read_list(write(tmp_path / "list", "\n".join(names).encode()), "KEY")
    assert [str(path) for path in listed] == names


def test_lines_that_begin_with_a_hash_and_a_blank_are_comments_unless_a_file_has_that_name(tmp_path):
    save(tmp_path / "# b.png", noise(2, 2, 3))
    path = write(tmp_path / "list", b"# pictures of May\n  # indented\na.png\n#c.png\n# b.png\n")
    assert [entry.name for entry in files.read_list(path, "KEY")] == ["a.png", "#c.png", "# b.png"]


def test_list_of_comments_alone_lists_no_picture(tmp_path):
    with pytest.raises(UserError, match="lists no picture"):
        files.read_list(write(tmp_path / "list", b"# nothing\n"), "KEY")


def test_dollar_signs_in_lists_are_part_of_names(tmp_path):
    assert files.read_list(write(tmp_path / "list", b"/a/$HOME.png"), "KEY") == [Path("/a/$HOME.png")]


def test_variables_are_resolved_in_what_names_a_list(tmp_path, monkeypatch):
    save(tmp_path / "a.png", noise(2, 2, 3))
    monkeypatch.setenv("MY_PICTURES", str(tmp_path))
    assert files.list_images("$MY_PICTURES", "KEY") == [tmp_path / "a.png"]


def test_latin_1_bytes_in_names_reach_the_file(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    save(tmp_path / "a.png", noise(2, 3, 3)).rename(tmp_path / name)
    (listed,) = files.list_images(str(write(tmp_path / "list.txt", b"caf\xe9.png\n")), "KEY")
    assert os.fsencode(listed.name) == b"caf\xe9.png"
    np.testing.assert_array_equal(images.read_image(listed), noise(2, 3, 3))


def test_relative_paths_count_from_the_lists_folder(tmp_path, monkeypatch):
    save(tmp_path / "set/images/a.png", noise(2, 2, 3))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write(tmp_path / "set/list.txt", b"images/a.png\nimages/b.png\n")
    listed = files.list_images(str(tmp_path / "set/list.txt"), "KEY")
    assert listed == [tmp_path / "set/images/a.png", tmp_path / "set/images/b.png"]


def test_relative_paths_count_from_the_working_directory_where_the_lists_folder_has_none(tmp_path, monkeypatch):
    save(tmp_path / "work/images/a.png", noise(2, 2, 3))
    (tmp_path / "lists").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    listed = files.list_images(str(write(tmp_path / "lists/list.txt", b"images/a.png\n")), "KEY")
    assert listed == [Path("images/a.png")]


def test_absolute_paths_are_kept_among_relative_ones(tmp_path):
    save(tmp_path / "a.png", noise(2, 2, 3))
    listed = files.read_list(write(tmp_path / "list", b"/far/b.png\na.png\n"), "KEY")
    assert listed == [Path("/far/b.png"), tmp_path / "a.png"]


def test_one_picture_is_a_list_of_one(tmp_path):
    path = save(tmp_path / "A.JPG", noise(2, 2, 3), format="jpeg")
    assert files.list_images(str(path), "KEY") == [path]


def test_folder_comes_sorted_with_its_subfolders_and_without_what_is_hidden(tmp_path):
    wanted = ["a.png", "b/1.JPG", "b/2.tiff", "b/c/3.PnG", "d e/#4.webp", "z.gif"]
    hidden = ["._a.png", ".cache/5.png", "b/.6.jpg"]
    for name in [*wanted, *hidden, "notes.txt", "b/list.flist", "png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files.list_images(str(tmp_path), "KEY") == sorted(tmp_path / name for name in wanted)


PARTS = st.text("ab-. !0~\U0001f600", min_size=1, max_size=3).filter(lambda part: not part.startswith("."))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(PARTS, min_size=1, max_size=3), max_size=8))
def test_folder_comes_in_the_order_of_paths_whatever_its_files_are_called(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("order")
    for *above, name in names:
        folder.joinpath(*above).mkdir(parents=True, exist_ok=True)
        folder.joinpath(*above, f"{name}.PnG").touch()
    wanted = sorted(path for path in folder.rglob("*") if path.is_file())
    assert files.walk_images(folder, "KEY") == [str(path) for path in wanted]


@pytest.mark.parametrize("start", [".", "", "set", "./set/../set"])
def test_folder_is_named_as_it_was_given(tmp_path, monkeypatch, start):
    save(tmp_path / "set/b/c.png", noise(2, 2, 3))
    monkeypatch.chdir(tmp_path)
    assert files.walk_images(Path(start), "KEY") == [str(path) for path in Path(start).rglob("*.png")]


RELATIVE = st.lists(st.sampled_from(["a", "b", "b c", "..d"]), min_size=1, max_size=4).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(RELATIVE.map("/{}/e.png".format), min_size=1), RELATIVE.map("/{}".format))
def test_names_seen_from_a_folder_are_those_of_relpath(paths, folder):
    assert files.relative_names(paths, folder) == [os.path.relpath(path, folder) for path in paths]


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_suffixes_count_in_any_case(suffix):
    assert files.is_image(Path("a" + suffix))
    assert files.is_image(Path("a" + suffix.upper()))
    assert not files.is_image(Path("._a" + suffix))
    assert not files.is_image(Path(suffix))


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda folder: "", ["is empty", "list file"]),
        (lambda folder: str(folder / "gone"), ["gone", "does not exist"]),
        (lambda folder: str(folder / "gone.png"), ["gone.png", "does not exist"]),
        (lambda folder: "~nobody-by-this-name/a", ["~nobody-by-this-name/a", "does not exist"]),
        (lambda folder: str(folder), ["holds no picture", ".png"]),
        (lambda folder: str(write(folder / "list", b"")), ["list", "lists no picture"]),
        (lambda folder: str(write(folder / "list", b"\xef\xbb\xbf\r\n \n")), ["list", "lists no picture"]),
        (lambda folder: str(write(folder / "model.pth", b"PK\x03\x04\0\0ab\n")), ["model.pth", "no list of paths"]),
        (lambda folder: str(write(folder / "utf16.txt", "a.png".encode("utf-16"))), ["utf16.txt", "no list of paths"]),
    ],
    ids=[
        "nothing",
        "missing",
        "missing-picture",
        "missing-home",
        "empty-folder",
        "empty-list",
        "blank-list",
        "binary",
        "utf-16",
    ],
)
def test_source_without_pictures_is_a_user_error_that_names_key_and_path(tmp_path, make, parts):
    source = make(tmp_path)
    with pytest.raises(UserError) as caught:
        files.list_images(source, "SOME_FLIST")
    one_line(caught, "SOME_FLIST", *parts)


# Sizes


@pytest.mark.parametrize("shape", [(37, 53, 3), (53, 37, 3), (40, 40, 3), (1, 9, 3), (64, 33), (33, 64)])
@pytest.mark.parametrize("side", [32, 45])
def test_fit_is_a_centre_crop_and_pillows_bilinear(shape, side):
    image = noise(*shape)
    height, width = shape[:2]
    short = min(height, width)
    left, top = (width - short) // 2, (height - short) // 2
    expected = Image.fromarray(image).crop((left, top, left + short, top + short))
    expected = np.asarray(expected.resize((side, side), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(images.fit(image, side), expected)


def test_resize_without_a_crop_stretches():
    image = noise(20, 31, 3)
    expected = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(images.resize(image, 16, 16), expected)


@pytest.mark.parametrize("side", [0, 24])
def test_fit_leaves_alone_what_fits(side):
    image = noise(24, 24, 3)
    assert images.fit(image, side) is image


@pytest.mark.parametrize("shape", [(37, 53, 3), (53, 37)])
def test_resize_is_pillows_bilinear(shape):
    image = noise(*shape)
    expected = np.asarray(Image.fromarray(image).resize((19, 30), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(images.resize(image, 30, 19), expected)


# Pairs


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


@pytest.mark.parametrize("shared", [False, True])
def test_pairs_are_made_by_stem_not_by_order(shared):
    found = files.pair(paths("i/b.jpg", "i/a.jpg"), paths("m/a.png", "m/b.png"), "mask", shared)
    assert found == paths("m/b.png", "m/a.png")


def test_stems_keep_all_dots_but_the_last():
    found = files.pair(paths("a.b.jpg", "a.jpg", "a.c.jpg"), paths("a.png", "a.b.png", "a.c.png"), "mask", False)
    assert found == paths("a.b.png", "a.png", "a.c.png")


def test_single_shared_file_serves_every_picture():
    assert files.pair(paths("a.jpg", "b.jpg"), paths("hole.png"), "mask", True) == paths("hole.png", "hole.png")


def test_single_file_that_is_not_shared_must_have_the_name():
    with pytest.raises(UserError) as caught:
        files.pair(paths("i/a.jpg"), paths("m/hole.png"), "mask", False)
    one_line(caught, "no mask of the same name for i/a.jpg")


def test_pictures_without_partner_are_listed():
    with pytest.raises(UserError) as caught:
        files.pair(paths("i/a.jpg", "i/b.jpg", "i/c.jpg"), paths("m/b.png", "m/x.png"), "mask", False)
    one_line(caught, "no mask of the same name for i/a.jpg, i/c.jpg;")


def test_long_lists_of_names_are_counted():
    with pytest.raises(UserError) as caught:
        files.pair(paths(*(f"i/{n}.jpg" for n in range(9))), paths("m/0.png", "m/x.png"), "mask", False)
    one_line(caught, "i/1.jpg, i/2.jpg, i/3.jpg, i/4.jpg, i/5.jpg and 3 more;")


def test_surplus_partners_are_listed():
    with pytest.raises(UserError) as caught:
        files.pair(paths("a.jpg", "b.jpg"), paths("m/a.png", "m/b.png", "m/c.png"), "mask", False)
    one_line(caught, "no picture of the same name for the mask m/c.png;")


def test_single_picture_finds_its_partner_in_a_whole_folder():
    assert files.pair(paths("b.jpg"), paths("m/a.png", "m/b.png", "m/c.png"), "mask", False) == paths("m/b.png")


def test_repeated_stems_are_told_apart_by_their_folders():
    images = paths("i/cat/1.jpg", "i/dog/1.jpg", "i/dog/2.jpg")
    found = files.pair(images, paths("m/dog/2.png", "m/dog/1.png", "m/cat/1.png"), "mask", False)
    assert found == paths("m/cat/1.png", "m/dog/1.png", "m/dog/2.png")


def test_partners_of_one_name_are_refused():
    with pytest.raises(UserError) as caught:
        files.pair(paths("a.jpg", "b.jpg"), paths("m/a.png", "m/a.jpg", "m/b.png"), "mask", False)
    one_line(caught, "masks: several files are called a;")


def test_pictures_that_nothing_tells_apart_are_refused():
    with pytest.raises(UserError) as caught:
        files.pair(paths("i/a.jpg", "i/a.png"), paths("m/a.png", "m/b.png"), "mask", False)
    one_line(caught, "several pictures are called i/a;")


STEM = st.text("abc.", min_size=1, max_size=4).filter(lambda name: name.strip(".") != "")


@settings(deadline=None)
@given(st.sets(st.tuples(st.sampled_from(["x", "y", "x/z"]), STEM), min_size=2, max_size=12), st.randoms())
def test_pairing_does_not_depend_on_the_order_of_either_side(names, rng: random.Random):
    partner = {Path("i", folder, f"{stem}.jpg"): Path("m", folder, f"{stem}.png") for folder, stem in names}
    images, masks = list(partner), list(partner.values())
    rng.shuffle(images)
    rng.shuffle(masks)
    assert files.pair(images, masks, "mask", False) == [partner[image] for image in images]


def test_paths_are_told_apart_by_as_few_parts_as_it_takes():
    one, two, three = Path("/x/a/run"), Path("/x/b/run"), Path("/y/b/other.1")
    assert files.unique_suffixes([one, three, one]) == {one: ("run",), three: ("other.1",)}
    assert files.unique_suffixes([one, two]) == {one: ("a", "run"), two: ("b", "run")}
    assert files.unique_suffixes([]) == {}
    assert files.unique_suffixes([three], without_suffix=True) == {three: ("other",)}
    with pytest.raises(UserError, match="several pictures are called a"):
        files.unique_suffixes([Path("a.png"), Path("a.jpg")], without_suffix=True)


def test_long_lists_pair_line_by_line(monkeypatch):
    monkeypatch.setattr(files, "LONG", 2)
    images, masks = paths("i/b.jpg", "i/a.jpg", "i/c.jpg"), paths("m/b.png", "m/a.png", "m/c.png")
    found = files.pair(images, masks, "mask", True)
    assert (len(found), found[1], list(found), found[::2]) == (3, masks[1], masks, masks[::2])
    assert files.pair(images, masks[:1], "mask", True)[2] == masks[0]


@pytest.mark.parametrize(
    ("masks", "parts"),
    [
        (["m/a.png", "m/b.png"], ["3 pictures and 2 masks", "line by line"]),
        (["m/a.png", "m/c.png", "m/b.png"], ["line 2", "m/c.png", "i/b.jpg", "same order"]),
    ],
)
def test_long_lists_of_another_order_are_refused(monkeypatch, masks, parts):
    monkeypatch.setattr(files, "LONG", 2)
    with pytest.raises(files.PairError) as caught:
        files.pair(paths("i/a.jpg", "i/b.jpg", "i/c.jpg"), paths(*masks), "mask", False)
    one_line(caught, *parts)


def test_partner_of_another_name_is_refused_when_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(files, "LONG", 2)
    monkeypatch.setattr(files, "SAMPLE", 1)
    found = files.pair(paths("a.jpg", "b.jpg", "c.jpg"), paths("a.png", "x.png", "c.png"), "edge map", False)
    assert found[2] == Path("c.png")
    with pytest.raises(files.PairError, match=r"line 2 has the edge map x\.png for b\.jpg"):
        found[1]
