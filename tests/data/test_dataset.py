"""Items: what is in them, what they depend on, and which sets are refused."""

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.feature import canny

from edgeconnect import images
from edgeconnect.config.sections import TEST, TRAIN, VAL, DataConfig
from edgeconnect.data import files, sources
from edgeconnect.data.dataset import InpaintingDataset, random_square
from edgeconnect.data.edges import to_gray
from edgeconnect.data.items import FIXED_EPOCH, collate
from edgeconnect.data.path_list import PathList
from edgeconnect.data.scenes import render
from edgeconnect.data.sources import draw_scene, open_source
from edgeconnect.errors import BadImageError, UserError
from edgeconnect.images import read_square
from edgeconnect.types import Batch, in_floats


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def pictures(folder: Path, count: int = 6, height: int = 48, width: int = 48) -> str:
    for n in range(count):
        save(folder / f"{n}.png", render(n, height, width))
    return str(folder)


def hole(height: int = 48, width: int = 48, top: int = 10, left: int = 6, side: int = 16) -> np.ndarray:
    """Return a white square on black, off the middle."""
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + side, left : left + side] = 255
    return mask


def free_form(seed: int, side: int = 64) -> np.ndarray:
    """Draw thick white lines on black, as in the irregular mask data set of Liu et al. (2018)."""
    rng, mask = np.random.default_rng(seed), np.zeros((side, side), np.uint8)
    for _ in range(6):
        start, end = rng.integers(0, side, (2, 2)).tolist()
        cv2.line(mask, start, end, 255, 4)
    return mask


def scenes(split: str = TRAIN, seed: int = 1, **keys: object) -> InpaintingDataset:
    settings = {"train_flist": "scenes:8", "val_flist": "scenes:8-12", "input_size": 32, "mask": "strokes"}
    return InpaintingDataset(DataConfig(**(settings | keys)), split, seed)


def same(one: Batch, other: Batch) -> bool:
    return one.name == other.name and all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))


def flipped(batch: Batch) -> Batch:
    return Batch(*(tensor.flip(-1) for tensor in batch[:4]), batch.name)


# What an item is


@pytest.mark.parametrize("mask", ["block", "half", "strokes"])
@pytest.mark.parametrize("split", [TRAIN, VAL])
def test_item_has_the_shapes_types_and_ranges_of_a_batch(mask, split):
    item = scenes(split, mask=mask)[1, 2].map(in_floats)
    assert [tuple(tensor.shape) for tensor in item[:4]] == [(1, 3, 32, 32), *[(1, 1, 32, 32)] * 3]
    for tensor in item[:4]:
        assert tensor.dtype == torch.float32
        assert 0 <= tensor.min() < tensor.max() <= 1
    assert set(item.mask.unique().tolist()) == {0.0, 1.0}
    assert set(item.edge.unique().tolist()) == {0.0, 1.0}
    assert item.name == ["scene_000002" if split == TRAIN else "scene_000010"]


def test_picture_gray_and_edges_belong_together():
    item = scenes(VAL, sigma=1.0)[1, 0].map(in_floats)
    image = draw_scene(8, 32)
    np.testing.assert_array_equal(item.image[0].permute(1, 2, 0).numpy(), image.astype(np.float32) / 255)
    np.testing.assert_array_equal(item.gray[0, 0].numpy(), to_gray(image).astype(np.float32))
    np.testing.assert_array_equal(item.edge[0, 0].numpy() > 0, canny(to_gray(image), sigma=1.0))


def test_files_are_cropped_and_resized_before_anything_else(tmp_path):
    folder = pictures(tmp_path, 1, height=40, width=61)
    dataset = InpaintingDataset(DataConfig(val_flist=folder, mask="half", input_size=32), VAL, 0)
    image = images.fit(render(0, 40, 61), 32)
    item = dataset[0, 0].map(in_floats)
    np.testing.assert_array_equal(item.image[0].permute(1, 2, 0).numpy(), image.astype(np.float32) / 255)
    assert item.name == [str(tmp_path / "0.png")]


def test_input_size_0_leaves_pictures_as_they_are(tmp_path):
    folder = pictures(tmp_path, 1, height=40, width=61)
    item = InpaintingDataset(DataConfig(val_flist=folder, mask="block", input_size=0), VAL, 0)[0, 0]
    assert item.image.shape == (1, 3, 40, 61)
    assert item.mask.sum() == 20 * 30


# What an item depends on


def test_item_depends_on_seed_epoch_and_index_and_nothing_else():
    dataset, again = scenes(sigma=0.0), scenes(sigma=0.0)
    forward = [dataset[epoch, index] for epoch in (1, 2) for index in range(8)]
    backward = [again[epoch, index] for epoch in (2, 1) for index in reversed(range(8))]
    assert all(same(one, other) for one, other in zip(forward, reversed(backward), strict=True))


def test_seed_and_epoch_change_the_masks():
    masks = [scenes(seed=seed)[epoch, 0].mask for seed in (1, 2) for epoch in (1, 2)]
    assert all(not torch.equal(a, b) for i, a in enumerate(masks) for b in masks[:i])


def test_the_global_generators_are_neither_read_nor_moved():
    np.random.seed(0)
    torch.manual_seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    first = scenes()[3, 1]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    np.random.seed(1)
    torch.manual_seed(1)
    assert same(first, scenes()[3, 1])


def test_half_of_the_training_items_are_flipped_as_a_whole():
    dataset = scenes(edge="canny", sigma=1.0)
    upright = [torch.from_numpy(draw_scene(n, 32)).permute(2, 0, 1)[None] for n in range(8)]
    grays = [to_gray(draw_scene(n, 32)) for n in range(8)]
    flips = 0
    for epoch in range(1, 14):
        for index in range(8):
            item = dataset[epoch, index]
            turned = not torch.equal(item.image, upright[index])
            flips += turned
            straight = flipped(item) if turned else item
            assert torch.equal(straight.image, upright[index])
            np.testing.assert_array_equal(straight.gray[0, 0].numpy(), grays[index].astype(np.float32))
            np.testing.assert_array_equal(straight.edge[0, 0].numpy() > 0, canny(grays[index], sigma=1.0))
    assert 36 < flips < 68


@pytest.mark.parametrize("split", [VAL, TEST])
def test_nothing_else_is_ever_flipped(split):
    dataset = scenes(split, test_flist="scenes:8-12")
    for index in range(2):
        image = torch.from_numpy(draw_scene(8 + index, 32)).permute(2, 0, 1)[None]
        assert all(torch.equal(dataset[epoch, index].image, image) for epoch in range(12))


# Masks


@pytest.mark.parametrize(
    ("mask", "areas"),
    [
        ("block", {256}),
        ("half", {512}),
        ("external", {64, 100}),
        ("external_block", {256, 64, 100}),
        ("external_block_half", {256, 512, 64, 100}),
    ],
)
def test_every_kind_of_mask_draws_its_areas_and_no_others(tmp_path, mask, areas):
    save(tmp_path / "a.png", hole(32, 32, side=8))
    save(tmp_path / "b.png", hole(32, 32, side=10))
    dataset = scenes(mask=mask, train_mask_flist=str(tmp_path))
    assert {int(dataset[epoch, index].mask.sum()) for epoch in range(1, 9) for index in range(8)} == areas


def test_paired_masks_belong_to_their_pictures_and_turn_with_them(tmp_path):
    folder = pictures(tmp_path / "images", 4)
    for n in range(4):
        save(tmp_path / "masks" / f"{n}.png", hole(side=4 + 4 * n, left=2 * n))
    settings = DataConfig(train_flist=folder, train_mask_flist=str(tmp_path / "masks"), mask="paired", input_size=48)
    dataset = InpaintingDataset(settings, TRAIN, 0)
    turned = set()
    for epoch in range(1, 9):
        for n in range(4):
            item, expected = dataset[epoch, n], hole(side=4 + 4 * n, left=2 * n) > 0
            image = torch.from_numpy(render(n, 48, 48)).permute(2, 0, 1)[None]
            flip = not torch.equal(item.image, image)
            turned.add(flip)
            np.testing.assert_array_equal(item.mask[0, 0].numpy() > 0, expected[:, ::-1] if flip else expected)
    assert turned == {False, True}


def test_one_mask_serves_every_picture_where_masks_are_paired(tmp_path):
    save(tmp_path / "hole.png", hole(32, 32, side=8))
    dataset = scenes(VAL, mask="paired", val_mask_flist=str(tmp_path / "hole.png"))
    assert [int(dataset[0, n].mask.sum()) for n in range(4)] == [64] * 4


def test_paired_masks_without_a_picture_are_refused(tmp_path):
    folder = pictures(tmp_path / "images", 2)
    save(tmp_path / "masks/0.png", hole())
    save(tmp_path / "masks/9.png", hole())
    settings = DataConfig(train_flist=folder, train_mask_flist=str(tmp_path / "masks"), mask="paired")
    with pytest.raises(UserError, match=r"no mask of the same name for .*1\.png"):
        InpaintingDataset(settings, TRAIN, 0)


def test_irregular_mask_files_are_cropped_resized_and_binarized_like_pictures(tmp_path):
    mask = np.hstack([free_form(1, 96), free_form(2, 96)[:, :40]])
    save(tmp_path / "m.png", mask)
    item = scenes(VAL, mask="external", val_mask_flist=str(tmp_path))[0, 0]
    np.testing.assert_array_equal(item.mask[0, 0].numpy() > 0, images.fit(mask, 32) > 127)
    assert 0.05 < item.mask.float().mean() < 0.5


def test_mask_files_take_the_pictures_shape_where_input_size_is_0(tmp_path):
    folder = pictures(tmp_path / "images", 1, height=40, width=60)
    save(tmp_path / "m.png", hole(20, 30, side=10))
    settings = DataConfig(val_flist=folder, val_mask_flist=str(tmp_path / "m.png"), mask="external", input_size=0)
    mask = InpaintingDataset(settings, VAL, 0)[0, 0].mask
    np.testing.assert_array_equal(mask[0, 0].numpy() > 0, images.resize(hole(20, 30, side=10), 40, 60) > 127)


def test_jpeg_residue_below_the_threshold_is_no_hole(tmp_path):
    residue = np.random.default_rng(0).integers(0, 30, (32, 32), dtype=np.uint8)
    mask = np.maximum(hole(32, 32, side=8), residue)
    save(tmp_path / "m.png", mask)
    published = scenes(VAL, mask="external", val_mask_flist=str(tmp_path), mask_threshold=0, allow_large_holes=True)
    assert published[0, 0].mask.float().mean() > 0.9
    item = scenes(VAL, mask="external", val_mask_flist=str(tmp_path))[0, 0]
    np.testing.assert_array_equal(item.mask[0, 0].numpy() > 0, hole(32, 32, side=8) > 0)


@pytest.mark.parametrize("split", [TRAIN, VAL])
def test_mask_file_without_a_hole_is_skipped_or_stops_as_on_bad_image_says(tmp_path, split):
    save(tmp_path / "m.png", np.zeros((32, 32), np.uint8))
    keys = {"mask": "external", "train_mask_flist": str(tmp_path), "val_mask_flist": str(tmp_path)}
    (skipped,) = scenes(split, **keys, on_bad_image="skip").draw(1, 0, stand_in=False).skipped
    assert skipped.path == str(tmp_path / "m.png")
    with pytest.raises(BadImageError, match=r"m\.png: marks nothing"):
        scenes(split, **keys, on_bad_image="stop").draw(1, 0, stand_in=False)


def test_paired_mask_that_is_the_picture_itself_is_refused(tmp_path):
    save(tmp_path / "a.png", hole(32, 32, side=8))
    keys = {"train_flist": str(tmp_path), "train_mask_flist": str(tmp_path), "mask": "paired"}
    with pytest.raises(BadImageError, match="is the picture itself"):
        scenes(TRAIN, **keys, on_bad_image="stop").draw(1, 0, stand_in=False)


def test_validation_takes_the_training_masks_where_it_has_none_of_its_own(tmp_path):
    save(tmp_path / "train/m.png", hole(32, 32, side=8))
    save(tmp_path / "val/m.png", hole(32, 32, side=10))
    keys = {"mask": "external", "train_mask_flist": str(tmp_path / "train")}
    assert scenes(VAL, **keys)[0, 0].mask.sum() == 64
    assert scenes(VAL, **keys, val_mask_flist=str(tmp_path / "val"))[0, 0].mask.sum() == 100


@pytest.mark.parametrize("mask", ["external", "external_block", "external_block_half", "paired"])
def test_masks_that_are_not_named_are_asked_for(mask):
    with pytest.raises(UserError, match=f"TRAIN_MASK_FLIST is empty and MASK is {mask}; name masks there, or set MASK"):
        scenes(mask=mask)


def test_inverted_masks_are_refused_with_their_remedies(tmp_path):
    for n in range(3):
        save(tmp_path / f"{n}.png", 255 - free_form(n))
    with pytest.raises(UserError, match=r"TRAIN_MASK_FLIST.*MASK_POLARITY: known.*ALLOW_LARGE_HOLES: 1"):
        scenes(mask="external", train_mask_flist=str(tmp_path))


def test_inverted_masks_are_right_where_white_means_known(tmp_path):
    save(tmp_path / "m.png", 255 - hole(32, 32, side=8))
    item = scenes(VAL, mask="external", val_mask_flist=str(tmp_path), mask_polarity="known")[0, 0]
    np.testing.assert_array_equal(item.mask[0, 0].numpy() > 0, hole(32, 32, side=8) > 0)


def test_large_holes_are_accepted_where_they_are_meant(tmp_path):
    save(tmp_path / "m.png", 255 - hole(32, 32, side=8))
    item = scenes(VAL, mask="external", val_mask_flist=str(tmp_path), allow_large_holes=True)[0, 0]
    assert item.mask.sum() == 1024 - 64


def test_ratio_without_a_whole_number_of_pixels_takes_the_nearest():
    assert scenes(input_size=33, mask_ratio=(0.5, 0.5))[1, 0].mask.sum() == 544  # of 544.5


# Edges


def test_sigma_minus_1_leaves_the_edge_map_empty():
    assert not scenes(sigma=-1.0)[1, 0].edge.any()


@pytest.mark.parametrize("nms", [False, True])
def test_external_edges_are_resized_like_pictures_and_thinned_where_asked(tmp_path, nms):
    folder = pictures(tmp_path / "images", 3, height=40, width=61)
    rng = np.random.default_rng(0)
    drawn = {n: rng.integers(0, 256, (40, 61), dtype=np.uint8) for n in range(3)}
    for n in drawn:
        save(tmp_path / "edges" / f"{n}.png", drawn[n])
    settings = DataConfig(
        val_flist=folder,
        val_edge_flist=str(tmp_path / "edges"),
        mask="half",
        edge="external",
        nms=nms,
        sigma=1.0,
        input_size=32,
    )
    dataset = InpaintingDataset(settings, VAL, 0)
    for n in drawn:
        expected = images.fit(drawn[n], 32).astype(np.float32) / np.float32(255)
        thin = canny(to_gray(images.fit(render(n, 40, 61), 32)), sigma=1.0)
        assert thin.any()
        found = in_floats(dataset[0, n].edge)[0, 0].numpy()
        np.testing.assert_array_equal(found, expected * thin if nms else expected)


def test_external_edges_that_are_not_named_are_asked_for():
    with pytest.raises(UserError, match="TRAIN_EDGE_FLIST is empty"):
        scenes(edge="external")


def test_external_edges_without_a_partner_are_refused(tmp_path):
    folder = pictures(tmp_path / "images", 2)
    save(tmp_path / "edges/0.png", hole())
    settings = DataConfig(train_flist=folder, train_edge_flist=str(tmp_path / "edges"), edge="external", mask="half")
    with pytest.raises(UserError, match=r"no edge map of the same name for .*1\.png"):
        InpaintingDataset(settings, TRAIN, 0)


# Sources


@pytest.mark.parametrize(
    ("value", "first", "count"), [("scenes:3", 0, 3), ("scenes:5-9", 5, 4), (" scenes:0-1 ", 0, 1)]
)
def test_scenes_are_numbered_from_0_or_from_the_first(value, first, count):
    source = open_source(value, "KEY", 32)
    assert len(source) == count
    assert [source.name(n) for n in range(count)] == [f"scene_{first + n:06d}" for n in range(count)]
    np.testing.assert_array_equal(source.read(count - 1), draw_scene(first + count - 1, 32))


def test_scenes_are_256_wide_where_input_size_is_0():
    assert open_source("scenes:1", "KEY", 0).read(0).shape == (256, 256, 3)


@pytest.mark.parametrize(
    "value", ["scenes:", "scenes:0", "scenes:9-9", "scenes:9-5", "scenes:-3", "scenes:a", "scenes:1-2-3", "scenes:1.5"]
)
def test_range_without_scenes_is_a_user_error_that_shows_how_to_write_one(value):
    with pytest.raises(UserError, match=f"^KEY: {value} .*write scenes:2000 or scenes:2000-2064$"):
        open_source(value, "KEY", 32)


@pytest.mark.parametrize(
    "value", [f"scenes:{'9' * 22}", f"scenes:0-{'9' * 5000}", "scenes:10000001", "scenes:5-99999999999999"]
)
def test_ranges_that_are_too_large_are_refused_at_once(value):
    with pytest.raises(UserError, match=r"^KEY: scenes:"):
        open_source(value, "KEY", 32)


def test_ten_million_scenes_are_opened_without_naming_them(monkeypatch):
    from edgeconnect.data import sources

    monkeypatch.setattr(sources, "scene_name", lambda number: pytest.fail("named"))
    dataset = scenes(train_flist="scenes:10000000")
    assert len(dataset) == 10**7
    assert dataset.source.identity() == open_source("scenes:0-10000000", "KEY", 64).identity()
    assert dataset.source.identity() != open_source("scenes:1-10000001", "KEY", 32).identity()


def test_identity_of_files_is_that_of_their_names_wherever_they_lie(tmp_path, monkeypatch):
    for place in ("a", "deep/er"):
        for name in ("1.png", "x/2.png"):
            save(tmp_path / place / name, hole())
    one, moved = (open_source(str(tmp_path / place), "KEY", 0) for place in ("a", "deep/er"))
    assert one.identity() == moved.identity()
    monkeypatch.chdir(tmp_path)
    assert open_source("a", "KEY", 0).identity() == one.identity()
    assert open_source("a/x", "KEY", 0).identity() != one.identity()
    (tmp_path / "list").write_text("a/x/2.png\na/1.png\n")
    assert open_source("list", "KEY", 0).identity() != one.identity()  # another order


def test_identity_of_runs_that_have_begun_stays_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "list").write_text("/far/x/a.png\n//far/b.png\n/far/x/../x//c.png\n./d e.png\n")
    monkeypatch.chdir(tmp_path)
    paths = [os.path.abspath(path) for path in files.list_images("list", "KEY")]  # noqa: PTH100
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    names = "\n".join(os.path.relpath(path, folder) for path in paths)
    digest = hashlib.sha256(names.encode()).hexdigest()[:8]
    assert open_source("list", "KEY", 0).identity() == f"4 pictures ({digest})"
    (tmp_path / "fixed").write_text("/far/x/a.png\n/far/b.png\n")
    assert open_source("fixed", "KEY", 0).identity() == "2 pictures (a52ce147)"


def test_identity_of_a_long_list_is_that_of_its_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LONG", 1)
    monkeypatch.setattr(PathList, "names", lambda self: pytest.fail("all paths"))
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for path, text in ((one, "/a\n/b\n"), (same, "/a\n/b\n"), (other, "/b\n/a\n")):
        path.write_text(text)
    identities = [open_source(str(path), "KEY", 0).identity() for path in (one, same, other)]
    assert identities[0] == identities[1] != identities[2]
    assert identities[0].startswith("2 pictures (")


def test_source_that_is_missing_is_named_with_its_key():
    with pytest.raises(UserError, match="VAL_FLIST: nowhere/list does not exist"):
        scenes(VAL, val_flist="nowhere/list")


# Batches


def test_collate_stacks_items_in_order():
    dataset = scenes()
    items = [dataset[1, n] for n in (4, 2, 7)]
    batch = collate(items)
    assert batch.name == ["scene_000004", "scene_000002", "scene_000007"]
    for n, item in enumerate(items):
        assert all(torch.equal(batch[i][n], item[i][0]) for i in range(4))
    assert all(tensor.is_contiguous() for tensor in batch[:4])


def test_pictures_of_several_sizes_in_a_batch_are_a_user_error_with_its_remedy(tmp_path):
    save(tmp_path / "a.png", render(0, 40, 61))
    save(tmp_path / "b.png", render(1, 50, 30))
    settings = DataConfig(val_flist=str(tmp_path), mask="half", input_size=0)
    dataset = InpaintingDataset(settings, VAL, 0)
    with pytest.raises(UserError, match=r"several sizes \(61x40 and 30x50\); set INPUT_SIZE, or BATCH_SIZE: 1"):
        collate([dataset[FIXED_EPOCH, 0], dataset[FIXED_EPOCH, 1]])


def test_small_scenes_are_the_middle_of_larger_ones():
    np.testing.assert_array_equal(draw_scene(3, 64), render(3, 128, 128)[32:96, 32:96])
    np.testing.assert_array_equal(draw_scene(3, 256), render(3, 256, 256))


# Random squares


def test_random_squares_are_for_training_alone_repeat_and_lie_inside_the_picture(tmp_path):
    folder = pictures(tmp_path, 1, 40, 64)
    keys = {"train_flist": folder, "val_flist": folder, "random_crop": 0.5}
    train, val = scenes(TRAIN, **keys), scenes(VAL, **keys)
    assert torch.equal(val[0, 0].image, scenes(VAL, **(keys | {"random_crop": 1.0}))[0, 0].image)
    assert same(train[3, 0], train[3, 0])
    items = [train[epoch, 0].image for epoch in range(20)]
    assert len({item.numpy().tobytes() for item in items}) == 20
    rng, squares = np.random.default_rng(0), []
    for _ in range(200):
        left, top, cut = random_square(0.5, rng, 64, 40)
        assert 20 <= cut <= 40
        assert 0 <= left <= 64 - cut
        assert 0 <= top <= 40 - cut
        squares.append((left, top, cut))
    assert max(left + cut for left, _, cut in squares) > 60
    assert min(cut for *_, cut in squares) < 23


def test_random_squares_of_large_jpeg_are_decoded_at_least_twice_as_large(tmp_path):
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::32] = stripes[:, 1::32] = 255
    Image.fromarray(stripes).save(tmp_path / "a.jpg", quality=95)
    exact, drafted = (
        read_square(tmp_path / "a.jpg", 64, draft=draft, choose=lambda *_: (100, 100, 256)) for draft in (0, 256)
    )
    train = scenes(random_crop=0.5, train_flist=str(tmp_path), input_size=64)
    assert train.source.draft == 256
    assert np.abs(exact.astype(int) - drafted).mean() < 6


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"input_size": 0}, "INPUT_SIZE"),
        ({"mask": "paired"}, "MASK"),
        ({"edge": "external"}, "EDGE"),
        ({"edge_cache": "cache"}, "EDGE_CACHE"),
        ({"train_flist": "scenes:4"}, "scenes"),
    ],
)
def test_random_squares_are_refused_with_what_belongs_to_the_whole_picture(keys, named, tmp_path):
    with pytest.raises(UserError, match=f"RANDOM_CROP: 0.5 does not go with .*{named}"):
        scenes(random_crop=0.5, **({"train_flist": pictures(tmp_path)} | keys))
