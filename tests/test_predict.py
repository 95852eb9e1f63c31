"""Completing pictures: what is paired with what, where it is written, and that known pixels come back bit for bit."""

import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.feature import canny

from edgeconnect.config.sections import DataConfig
from edgeconnect.data.edges import to_gray
from edgeconnect.data.jobs import Job, incomplete, plan, unfinished
from edgeconnect.data.scenes import render
from edgeconnect.engine import Engine
from edgeconnect.errors import BadImageError, UserError
from edgeconnect.predict import Predictor
from edgeconnect.types import Batch, Completion, composite

FILL = 0.6  # 153 of 255


class Constant:
    """Fill every hole with one gray and note what came in."""

    networks: dict = {}  # noqa: RUF012

    def __init__(self, channels: int = 3) -> None:
        self.channels = channels
        self.seen: list[Batch] = []

    def complete(self, batch: Batch) -> Completion:
        self.seen.append(batch)
        assert torch.is_inference_mode_enabled()
        known = batch.image if self.channels == 3 else batch.edge
        raw = torch.full_like(known, FILL)
        return Completion(composite(known, raw, batch.mask), raw, batch.edge)


def predictor(method: Constant | None = None, resize_mask: bool = False, seed: int = 0, **keys: object) -> Predictor:
    settings = DataConfig(**({"sigma": 1.0} | keys))
    return Predictor(method or Constant(), Engine(torch.device("cpu")), settings, seed, resize_mask)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def touch(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return str(folder)


def hole(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.bool_)
    mask[height // 4 : height // 2 + 1, width // 3 : width // 2 + 1] = True
    return mask


def white(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.uint8) * 255


# What is written where


def test_outputs_are_png_files_of_the_same_stems(tmp_path):
    images = touch(tmp_path / "i", "a.b.jpg", "C.JPEG", "d.PNG", "e f#.tiff")
    masks = touch(tmp_path / "m", "C.png", "a.b.png", "d.bmp", "e f#.png")
    jobs = plan(images, masks, "", str(tmp_path / "out"))
    assert [(job.image.name, job.mask.name, job.edge, job.output) for job in jobs] == [
        ("C.JPEG", "C.png", None, tmp_path / "out/C.png"),
        ("a.b.jpg", "a.b.png", None, tmp_path / "out/a.b.png"),
        ("d.PNG", "d.bmp", None, tmp_path / "out/d.png"),
        ("e f#.tiff", "e f#.png", None, tmp_path / "out/e f#.png"),
    ]
    assert not (tmp_path / "out").exists()


def test_subfolders_are_kept(tmp_path):
    images = touch(tmp_path / "i", "cat/1.jpg", "dog/1.jpg", "2.jpg")
    masks = touch(tmp_path / "m", "cat/1.png", "dog/1.png", "i/2.png")
    jobs = plan(images, masks, "", str(tmp_path / "out"))
    outputs = [str(job.output.relative_to(tmp_path / "out")) for job in jobs]
    assert outputs == ["2.png", "cat/1.png", "dog/1.png"]
    assert [str(job.mask.relative_to(tmp_path / "m")) for job in jobs] == ["i/2.png", "cat/1.png", "dog/1.png"]


def test_home_folder_is_known_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path / "i", "cat/1.jpg", "dog/1.jpg")
    touch(tmp_path / "m", "hole.png")
    jobs = plan("~/i", "~/m/hole.png", "", "~/out")
    assert [job.output for job in jobs] == [tmp_path / "out/cat/1.png", tmp_path / "out/dog/1.png"]


def test_one_mask_serves_all_and_edges_are_paired(tmp_path):
    images = touch(tmp_path / "i", "a.jpg", "b.jpg")
    touch(tmp_path, "hole.png")
    jobs = plan(images, str(tmp_path / "hole.png"), touch(tmp_path / "e", "b.png", "a.png"), str(tmp_path / "out"))
    assert [job.mask.name for job in jobs] == ["hole.png"] * 2
    assert [job.edge.name for job in jobs] == ["a.png", "b.png"]


def test_a_folder_of_one_mask_does_not_serve_all(tmp_path):
    images, masks = touch(tmp_path / "i", "a.jpg", "b.jpg"), touch(tmp_path / "m", "a.png")
    with pytest.raises(UserError, match=r"no mask of the same name for .*b\.jpg"):
        plan(images, masks, "", str(tmp_path / "out"))


def test_listed_pictures_are_written_side_by_side(tmp_path):
    touch(tmp_path, "x/a.jpg", "y/b.jpg", "hole.png")
    (tmp_path / "list").write_text("x/a.jpg\ny/b.jpg\n")
    jobs = plan(str(tmp_path / "list"), str(tmp_path / "hole.png"), "", str(tmp_path / "out"))
    assert [job.output for job in jobs] == [tmp_path / "out/a.png", tmp_path / "out/b.png"]


def test_listed_pictures_of_one_stem_are_written_below_the_folders_that_tell_them_apart(tmp_path):
    touch(tmp_path, "set/x/1.jpg", "set/y/1.jpg", "set/y/2.jpg", "hole.png")
    (tmp_path / "list").write_text("set/x/1.jpg\nset/y/1.jpg\nset/../set/y/2.jpg\n")
    jobs = plan(str(tmp_path / "list"), str(tmp_path / "hole.png"), "", str(tmp_path / "out"))
    assert [job.output for job in jobs] == [tmp_path / f"out/{name}.png" for name in ("x/1", "y/1", "y/2")]
    (tmp_path / "list").write_text("set/x/1.jpg\nset/y/1.jpg\nset/y/1.jpg\n")
    with pytest.raises(UserError, match=r"several pictures would be written to .*y/1\.png"):
        plan(str(tmp_path / "list"), str(tmp_path / "hole.png"), "", str(tmp_path / "out"))


def test_masks_without_a_picture_are_named_and_the_others_used(tmp_path, caplog):
    images, masks = touch(tmp_path / "i", "a.jpg", "b.jpg"), touch(tmp_path / "m", "a.png", "b.png", "c.png", "d.png")
    jobs = plan(images, masks, "", str(tmp_path / "out"))
    assert [job.mask.name for job in jobs] == ["a.png", "b.png"]
    (record,) = caplog.records
    assert ["c.png" in record.getMessage(), "b.png" in record.getMessage()] == [True, False]


def test_masks_of_other_names_are_refused_with_what_takes_them(tmp_path):
    images, masks = touch(tmp_path / "i", "a.jpg", "b.jpg"), touch(tmp_path / "m", "00001.png", "00002.png")
    with pytest.raises(
        UserError, match=r"^--mask: no mask of the same name for .*a\.jpg.*scripts/evaluate\.py --size 0"
    ):
        plan(images, masks, "", str(tmp_path / "out"))


@pytest.mark.parametrize(("output", "expected"), [("new.png", "new.png"), ("new.PNG", "new.PNG"), ("new", "new/a.png")])
def test_one_picture_goes_to_a_png_file_or_a_folder(tmp_path, output, expected):
    touch(tmp_path, "a.jpg", "hole.png")
    (job,) = plan(str(tmp_path / "a.jpg"), str(tmp_path / "hole.png"), "", str(tmp_path / output))
    assert job.output == tmp_path / expected


def test_folder_named_like_a_picture_is_a_folder(tmp_path):
    touch(tmp_path, "a.jpg", "hole.png")
    (tmp_path / "out.png").mkdir()
    (job,) = plan(str(tmp_path / "a.jpg"), str(tmp_path / "hole.png"), "", str(tmp_path / "out.png"))
    assert job.output == tmp_path / "out.png/a.png"


@pytest.mark.parametrize("name", ["out.jpg", "out.JPEG", "out.webp", "out.bmp"])
def test_output_that_is_not_png_is_refused(tmp_path, name):
    touch(tmp_path, "a.jpg", "hole.png")
    with pytest.raises(UserError, match=rf"--output: .*{name} is not lossless; give a folder or a \.png file"):
        plan(str(tmp_path / "a.jpg"), str(tmp_path / "hole.png"), "", str(tmp_path / name))


def test_one_file_for_several_pictures_is_refused(tmp_path):
    images = touch(tmp_path / "i", "a.jpg", "b.jpg")
    touch(tmp_path, "hole.png")
    with pytest.raises(UserError, match=r"--output: .*out\.png is one file for 2 pictures; give a folder"):
        plan(images, str(tmp_path / "hole.png"), "", str(tmp_path / "out.png"))


def test_pictures_that_would_be_written_to_one_file_are_refused(tmp_path):
    images = touch(tmp_path / "i", "a.jpg", "a.png", "b.jpg")
    touch(tmp_path, "hole.png")
    with pytest.raises(UserError, match=r"several pictures would be written to .*out/a\.png; rename one of each"):
        plan(images, str(tmp_path / "hole.png"), "", str(tmp_path / "out"))


@pytest.mark.parametrize("target", ["i", "m", "e", "i/../m"])
def test_output_never_overwrites_an_input(tmp_path, target):
    images, masks, edges = (touch(tmp_path / name, "a.png") for name in "ime")
    with pytest.raises(UserError, match=r"^--output: "):
        plan(images, masks, edges, str(tmp_path / target))
    one, mask = str(tmp_path / "i/a.png"), str(tmp_path / "m/a.png")
    if target == "i":
        with pytest.raises(UserError, match=r"^--output: would overwrite .*a\.png"):
            plan(one, mask, "", str(tmp_path / target))


def test_links_to_an_input_are_seen_through(tmp_path):
    images, masks = touch(tmp_path / "i", "a.png"), touch(tmp_path / "m", "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "i")
    for one in (images, str(tmp_path / "i/a.png")):
        with pytest.raises(UserError, match=r"^--output: "):
            plan(one, masks, "", str(tmp_path / "link"))


@pytest.mark.parametrize("target", ["i/out", "m/deep/out", "e/out", "link/out", "i/new/../out"])
def test_output_inside_a_folder_of_inputs_is_refused_at_once(tmp_path, target):
    images, masks, edges = (touch(tmp_path / name, "a.jpg") for name in "ime")
    (tmp_path / "link").symlink_to(tmp_path / "i")
    with pytest.raises(UserError, match=r"^--output: "):
        plan(images, masks, edges, str(tmp_path / target))


def test_output_around_the_inputs_or_beside_listed_ones_is_fine(tmp_path, monkeypatch):
    images, mask = touch(tmp_path / "out/i", "a.jpg"), touch(tmp_path / "m", "a.png")
    assert plan(images, mask, "", str(tmp_path / "out"))[0].output == tmp_path / "out/a.png"
    (tmp_path / "out/i/list").write_text("a.jpg\n")
    assert plan(str(tmp_path / "out/i/list"), mask, "", str(tmp_path / "out/i/o"))[0].output.parent.name == "o"
    monkeypatch.chdir(tmp_path / "out/i")
    with pytest.raises(UserError, match=r"^--output: "):
        plan(".", mask, "", "results")
    assert plan(".", mask, "", "../results")[0].output == Path("../results/a.png")


@pytest.mark.parametrize(("part", "key"), [(0, "--input"), (1, "--mask"), (2, "--edge")])
def test_what_is_missing_is_named_by_its_option(tmp_path, part, key):
    sources = [touch(tmp_path / name, "a.png") for name in "ime"]
    sources[part] = str(tmp_path / "gone")
    with pytest.raises(UserError, match=f"{key}: .*gone does not exist"):
        plan(*sources, str(tmp_path / "out"))


# What a completion is


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 37), st.integers(1, 53), st.floats(0, 1), st.integers(0, 1000))
def test_known_pixels_come_back_bit_for_bit_whatever_the_size(height, width, ratio, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = rng.random((height, width)) < ratio
    done = predictor().complete(image, mask)
    assert done.merged.dtype == done.edge.dtype == np.uint8
    assert done.edge.shape == (height, width)
    np.testing.assert_array_equal(done.merged, np.where(mask[..., None], np.uint8(153), image))


def test_known_pixels_come_back_even_from_a_method_that_changes_them():
    class Careless(Constant):
        def complete(self, batch: Batch) -> Completion:
            done = super().complete(batch)
            return Completion(done.raw.bfloat16(), done.raw, done.edge)

    image, mask = render(0, 37, 53), hole(37, 53)
    done = predictor(Careless()).complete(image, mask)
    np.testing.assert_array_equal(done.merged, np.where(mask[..., None], np.uint8(153), image))


def test_empty_mask_returns_the_picture():
    image = render(0, 21, 34)
    np.testing.assert_array_equal(predictor().complete(image, np.zeros((21, 34), np.bool_)).merged, image)


def test_edge_stage_returns_an_edge_map():
    image, mask = render(0, 32, 40), hole(32, 40)
    done = predictor(Constant(channels=1)).complete(image, mask)
    assert done.merged.shape == (32, 40)
    assert (done.merged[mask] == 153).all()
    np.testing.assert_array_equal(done.merged[~mask], done.edge[~mask])


def test_method_sees_the_picture_its_mask_and_canny_of_the_known_pixels():
    image, mask, method = render(0, 32, 40), hole(32, 40), Constant()
    predictor(method).complete(image, mask, name="a.png")
    (batch,) = method.seen
    assert [tuple(tensor.shape) for tensor in batch[:4]] == [(1, 3, 32, 40), *[(1, 1, 32, 40)] * 3]
    np.testing.assert_array_equal(batch.image[0].permute(1, 2, 0).numpy(), image.astype(np.float32) / 255)
    np.testing.assert_array_equal(batch.mask[0, 0].numpy() > 0, mask)
    np.testing.assert_array_equal(batch.edge[0, 0].numpy() > 0, canny(to_gray(image), sigma=1.0, mask=~mask))
    assert batch.name == ["a.png"]


def test_what_the_hole_holds_changes_nothing_that_is_known():
    image, mask, method = render(0, 48, 48), hole(48, 48), Constant()
    for value in (0, 255):
        predictor(method).complete(np.where(mask[..., None], np.uint8(value), image), mask)
    assert torch.equal(method.seen[0].edge, method.seen[1].edge)


def test_random_sigma_is_that_of_seed_and_index():
    image, mask, method = render(2, 48, 48), hole(48, 48), Constant()
    for seed, index in ((0, 1), (0, 1), *((0, n) for n in range(2, 20))):
        predictor(method, sigma=0.0, seed=seed).complete(image, mask, index=index)
    drawn = [batch.edge.numpy().tobytes() for batch in method.seen]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("nms", [False, True])
def test_external_edges_are_taken_and_thinned_where_asked(nms):
    image, mask, method = render(0, 32, 32), hole(32, 32), Constant()
    drawn = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    predictor(method, nms=nms).complete(image, mask, drawn)
    thin = canny(to_gray(image), sigma=1.0, mask=~mask)
    expected = drawn.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(method.seen[0].edge[0, 0].numpy(), expected * thin if nms else expected)


# Files


def job(folder: Path, name: str = "a.png") -> Job:
    return Job(folder / name, folder / "m.png", None, folder / "out/a.png")


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_known_pixels_of_every_kind_of_file_are_written_as_they_are_read(tmp_path, mode):
    image, mask = render(3, 37, 53), hole(37, 53)
    picture = Image.fromarray(image).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    picture.save(tmp_path / "a.tif")
    save(tmp_path / "m.png", white(mask))
    plain = np.asarray(picture.convert("RGB")) if mode != "I;16" else np.dstack([np.asarray(picture) // 257] * 3)
    assert list(predictor().run([job(tmp_path, "a.tif")])) == [(job(tmp_path, "a.tif"), "")]
    written = read(tmp_path / "out/a.png")
    assert written.dtype == np.uint8
    wanted = np.where(mask[..., None], 153, plain)
    is_gray = mode in ("L", "1", "LA", "I;16")
    np.testing.assert_array_equal(written, wanted[..., 0] if is_gray else wanted)


class Tint(Constant):
    """Fill every hole with red."""

    def complete(self, batch: Batch) -> Completion:
        raw = torch.zeros_like(batch.image)
        raw[:, 0] = 1
        return Completion(composite(batch.image, raw, batch.mask), raw, batch.edge)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB"])
def test_gray_file_gives_a_gray_result_and_colours_keep_theirs(tmp_path, mode):
    gray, mask = np.asarray(Image.fromarray(render(3, 37, 53)).convert("L")), hole(37, 53)
    Image.fromarray(gray).convert(mode).save(tmp_path / "a.png")
    save(tmp_path / "m.png", white(mask))
    list(predictor(Tint()).run([job(tmp_path)]))
    red = (255, 0, 0) if mode == "RGB" else (76,) * 3  # 0.299 of 255
    wanted = np.where(mask[..., None], red, gray[..., None])
    np.testing.assert_array_equal(read(tmp_path / "out/a.png"), wanted if mode == "RGB" else wanted[..., 0])


def test_picture_is_completed_as_exif_turns_it(tmp_path):
    image, mask = render(3, 20, 31), hole(31, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.png", image, exif=exif)
    save(tmp_path / "m.png", white(mask))
    list(predictor().run([job(tmp_path)]))
    expected = np.where(mask[..., None], 153, np.rot90(image, -1))
    np.testing.assert_array_equal(read(tmp_path / "out/a.png"), expected)


def test_mask_of_another_size_and_the_same_shape_is_resized(tmp_path):
    image, small = render(3, 40, 60), hole(20, 30)
    save(tmp_path / "a.png", image)
    save(tmp_path / "m.png", white(small))
    list(predictor().run([job(tmp_path)]))
    resized = np.asarray(Image.fromarray(white(small)).resize((60, 40), Image.Resampling.BILINEAR)) > 127
    expected = np.where(resized[..., None], 153, image)
    np.testing.assert_array_equal(read(tmp_path / "out/a.png"), expected)


def test_mask_of_another_shape_is_refused_with_its_remedy_and_stretched_where_asked(tmp_path):
    image = render(3, 40, 60)
    save(tmp_path / "a.png", image)
    save(tmp_path / "m.png", white(hole(40, 40)))
    with pytest.raises(UserError) as caught:
        list(predictor().run([job(tmp_path)]))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'm.png'}: the mask is 40x40, {tmp_path / 'a.png'} is 60x40;")
    assert "--resize-mask" in text
    assert "\n" not in text
    assert not (tmp_path / "out").exists()
    list(predictor(resize_mask=True).run([job(tmp_path)]))
    stretched = np.asarray(Image.fromarray(white(hole(40, 40))).resize((60, 40), Image.Resampling.BILINEAR)) > 127
    np.testing.assert_array_equal(read(tmp_path / "out/a.png"), np.where(stretched[..., None], 153, image))


@pytest.mark.parametrize(("keys", "inverted"), [({}, False), ({"mask_polarity": "known"}, True)])
def test_white_means_what_mask_polarity_says(tmp_path, keys, inverted):
    image, mask = render(3, 40, 60), hole(40, 60)
    save(tmp_path / "a.png", image)
    save(tmp_path / "m.png", white(~mask if inverted else mask))
    list(predictor(**keys).run([job(tmp_path)]))
    np.testing.assert_array_equal(read(tmp_path / "out/a.png"), np.where(mask[..., None], 153, image))


def test_inverted_masks_are_refused_before_anything_is_written(tmp_path):
    save(tmp_path / "a.png", render(3, 40, 60))
    save(tmp_path / "m.png", white(~hole(40, 60)))
    with pytest.raises(UserError, match=r"--mask: .*MASK_POLARITY: known.*ALLOW_LARGE_HOLES: 1"):
        list(predictor().run([job(tmp_path)]))
    assert not (tmp_path / "out").exists()


def test_debug_writes_edges_and_input_apart(tmp_path):
    image, mask = render(3, 40, 60), hole(40, 60)
    save(tmp_path / "a.png", image)
    save(tmp_path / "m.png", white(mask))
    list(predictor().run([job(tmp_path)], debug=True))
    assert sorted(path.name for path in (tmp_path / "out" / "debug").iterdir()) == ["a_edge.png", "a_masked.png"]
    np.testing.assert_array_equal(read(tmp_path / "out/debug/a_masked.png"), np.where(mask[..., None], 255, image))
    edges = canny(to_gray(image), sigma=1.0, mask=~mask)
    np.testing.assert_array_equal(read(tmp_path / "out/debug/a_edge.png"), white(edges))


def test_without_debug_nothing_is_written_beside(tmp_path):
    save(tmp_path / "a.png", render(3, 40, 60))
    save(tmp_path / "m.png", white(hole(40, 60)))
    list(predictor().run([job(tmp_path)]))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_external_edge_file_is_resized_to_the_picture(tmp_path):
    method = Constant()
    drawn = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    save(tmp_path / "a.png", render(3, 40, 60))
    save(tmp_path / "m.png", white(hole(40, 60)))
    save(tmp_path / "e.png", drawn)
    with_edge = Job(tmp_path / "a.png", tmp_path / "m.png", tmp_path / "e.png", tmp_path / "out/a.png")
    list(predictor(method, nms=False).run([with_edge]))
    resized = np.asarray(Image.fromarray(drawn).resize((60, 40), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(method.seen[0].edge[0, 0].numpy(), resized.astype(np.float32) / np.float32(255))


# Many pictures, some of them bad


def folder_of(folder: Path, names: str = "abcd", **broken: bytes) -> list[Job]:
    """Make pictures with a mask each, of which some are replaced by other bytes, and plan their completion."""
    for index, name in enumerate(names):
        save(folder / f"i/{name}.png", render(index, 40, 60))
        save(folder / f"m/{name}.png", white(hole(40, 60)))
    for name, data in broken.items():
        kind, _, stem = name.partition("_")
        (folder / f"{kind}/{stem}.png").write_bytes(data)
    return plan(str(folder / "i"), str(folder / "m"), "", str(folder / "out"))


def names_in(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*"))


def test_files_that_cannot_be_read_are_named_and_the_others_completed(tmp_path):
    jobs = folder_of(tmp_path, "abcdef", i_a=b"no picture", m_c=b"", i_f=b"")
    save(tmp_path / "m/d.png", white(hole(40, 40)))
    (tmp_path / "m/e.png").unlink()
    outcomes = list(predictor().run(jobs))
    assert [job for job, _ in outcomes] == jobs
    parts = ["i/a.png: cannot", "", "m/c.png: cannot", "m/d.png: the mask is 40x40", "m/e.png: does not", "i/f.png: "]
    for (_, failure), part in zip(outcomes, parts, strict=True):
        assert failure.startswith(f"{tmp_path}/{part}" if part else "")
        assert bool(failure) == bool(part)
        assert "\n" not in failure
    assert names_in(tmp_path / "out") == ["b"]


def test_edge_map_that_cannot_be_read_costs_its_own_picture_alone(tmp_path):
    folder_of(tmp_path, "ab")
    touch(tmp_path / "e", "a.png")
    save(tmp_path / "e/b.png", white(hole(40, 60)))
    jobs = plan(*(str(tmp_path / name) for name in ("i", "m", "e", "out")))
    failures = [failure for _, failure in predictor().run(jobs)]
    assert failures[0].startswith(f"{tmp_path / 'e/a.png'}: cannot be read as a picture")
    assert failures[1] == ""
    assert names_in(tmp_path / "out") == ["b"]


@pytest.mark.parametrize("error", [MemoryError, partial(torch.OutOfMemoryError, "CUDA out of memory. Tried ...")])
def test_picture_that_takes_too_much_memory_costs_no_other_and_is_let_go(tmp_path, error):
    class Greedy(Constant):
        def complete(self, batch: Batch) -> Completion:
            if batch.name[0].endswith("b.png"):
                self.image = weakref.ref(batch.image)
                raise error()
            if batch.name[0].endswith("c.png"):
                assert self.image() is None
            return super().complete(batch)

    failures = [failure for _, failure in predictor(Greedy()).run(folder_of(tmp_path))]
    assert failures[1].startswith(f"{tmp_path / 'i/b.png'}: takes more memory than there is (")
    assert failures[:1] + failures[2:] == [""] * 3
    assert names_in(tmp_path / "out") == ["a", "c", "d"]


@pytest.mark.parametrize("bytes_a_pixel", [0, 640])
def test_picture_that_takes_more_memory_than_is_free_is_refused_before_it_is_completed(
    tmp_path, monkeypatch, bytes_a_pixel
):
    from edgeconnect import predict

    jobs = folder_of(tmp_path, "abc")
    large = Image.open(jobs[1].image).resize((600, 400))
    large.save(jobs[1].image)
    monkeypatch.setattr(predict, "free_memory", lambda: 600 * 400 * (200 if bytes_a_pixel else 50))
    method = Constant()
    made = Predictor(method, Engine(torch.device("cpu")), DataConfig(), bytes_a_pixel=bytes_a_pixel)
    failures = [failure for _, failure in made.run(jobs)]
    assert [bool(failure) for failure in failures] == [False, True, False]
    assert failures[1].startswith(f"{jobs[1].image}: is 600x400, which takes 0.")
    assert len(method.seen) == 2
    assert names_in(tmp_path / "out") == ["a", "c"]


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), KeyError("x"), OSError(28, "No space left")])
def test_what_is_no_fault_of_the_picture_stops_at_once(tmp_path, error):
    class Wrong(Constant):
        def complete(self, batch: Batch) -> Completion:
            raise error

    with pytest.raises(type(error)):
        list(predictor(Wrong()).run(folder_of(tmp_path)))


def test_output_that_cannot_be_written_stops_at_once(tmp_path):
    jobs = folder_of(tmp_path)
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match=r"out/a\.png: cannot be written") as caught:
        list(predictor().run(jobs))
    assert not isinstance(caught.value, BadImageError)


def test_single_picture_and_mask_raise_what_is_wrong_with_them(tmp_path):
    for broken in ("i_a", "m_a"):
        (one,) = folder_of(tmp_path / broken, "a", **{broken: b"no picture"})
        with pytest.raises(BadImageError, match=f"{broken[0]}/a.png: cannot be read"):
            list(predictor().run([one]))


def test_mask_of_all_that_cannot_be_read_stops_at_once(tmp_path):
    folder_of(tmp_path)
    touch(tmp_path, "mask.png")
    jobs = plan(str(tmp_path / "i"), str(tmp_path / "mask.png"), "", str(tmp_path / "out"))
    with pytest.raises(BadImageError, match=r"mask\.png: cannot be read"):
        next(predictor().run(jobs))
    assert not (tmp_path / "out").exists()


def test_interrupted_folder_goes_on_with_what_is_missing_and_its_own_edges(tmp_path):
    method, again = Constant(), Constant()
    jobs = folder_of(tmp_path)
    list(predictor(method, sigma=0.0).run(jobs))
    (tmp_path / "out/c.png").unlink()
    before = {path: path.stat() for path in (tmp_path / "out").iterdir()}
    assert unfinished(jobs) == [jobs[2]]
    assert [job for job, _ in predictor(again, sigma=0.0).run(unfinished(jobs))] == [jobs[2]]
    assert torch.equal(again.seen[0].edge, method.seen[2].edge)
    image, mask, *_ = predictor().inputs.read(jobs[2])
    predictor(again, sigma=0.0).complete(image, mask, index=2)
    assert torch.equal(again.seen[0].edge, again.seen[1].edge)
    assert before == {path: path.stat() for path in before}
    assert unfinished(jobs) == []
    assert list(predictor().run([])) == []
    jobs[0].output.write_bytes(b"")
    assert unfinished(jobs) == [jobs[0]]


def test_each_kind_of_loss_is_warned_of_once(tmp_path, caplog):
    jobs = folder_of(tmp_path, "abcd")
    for job, alpha in zip(jobs, (True, True, False, False), strict=True):
        picture = Image.open(job.image).convert("RGBA" if alpha else "RGB")
        picture.save(job.image, "PNG", icc_profile=b"Adobe RGB" if job.index in (1, 2) else None)
    list(predictor().run(jobs))
    lost = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert ["alpha" in text for text in lost] == [True, False]
    assert str(jobs[0].image) in lost[0]
    assert str(jobs[1].image) in lost[1]


def test_an_output_is_there_only_once_all_that_belongs_to_it_is(tmp_path, monkeypatch):
    from edgeconnect import predict

    order: list[str] = []
    monkeypatch.setattr(predict, "write_png", lambda path, image: order.append(path.name))
    list(predictor().run(folder_of(tmp_path, "a"), debug=True))
    assert order == ["a_edge.png", "a_masked.png", "a.png"]


def test_end_of_the_report_counts_names_and_says_where_the_others_are(tmp_path):
    jobs = folder_of(tmp_path, "abcdefgh")
    error = incomplete(jobs[1:3], jobs)
    named = f"{jobs[1].image}, {jobs[2].image}; the others are in {tmp_path / 'out'}; "
    assert str(error).startswith(f"2 of 8 pictures could not be completed: {named}")
    assert error.exit_code == 1
    assert "and 2 more; the others are in" in str(incomplete(jobs[:7], jobs))
    assert "others" not in str(incomplete(jobs, jobs))


class Ramp(Constant):
    """Fill every hole with a ramp from left to right."""

    def complete(self, batch: Batch) -> Completion:
        known = batch.image if self.channels == 3 else batch.edge
        raw = torch.linspace(0, 1, known.shape[-1]).expand_as(known)
        return Completion(composite(known, raw, batch.mask), raw, composite(batch.edge, raw[:, :1], batch.mask))


@pytest.mark.parametrize("channels", [1, 3])
def test_mirror_averages_both_directions_and_keeps_known_pixels(channels):
    image, mask = render(0, 32, 40), hole(32, 40)
    averaging = Predictor(Ramp(channels), Engine(torch.device("cpu")), DataConfig(sigma=1.0), mirror=True)
    done, plain = averaging.complete(image, mask).merged, predictor(Ramp(channels)).complete(image, mask).merged
    assert (np.abs(done[mask].astype(int) - 127.5) <= 1).all()
    np.testing.assert_array_equal(done[~mask], plain[~mask])
    assert (plain[mask] != done[mask]).any()
