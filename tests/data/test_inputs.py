"""Files of a picture to complete: masks of turned pictures, pages, what is lost; each kind is said once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeconnect.config.sections import DataConfig
from edgeconnect.data.inputs import Inputs
from edgeconnect.data.jobs import Job
from edgeconnect.data.scenes import render
from edgeconnect.errors import BadImageError

HOLE = np.zeros((20, 32), np.bool_)
HOLE[3:9, 5:17] = True
TURNS = {2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose, 6: lambda a: np.rot90(a, -1)}
TURNS |= {7: lambda a: np.rot90(a.T, 2), 8: np.rot90}


def save(path: Path, array: np.ndarray, turn: int = 1, **options: object) -> Path:
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.ascontiguousarray(array)).save(path, **({"exif": exif} if turn > 1 else {}), **options)
    return path


def job(folder: Path, edge: str = "", picture: str = "a.png") -> Job:
    return Job(folder / picture, folder / "m.png", folder / edge if edge else None, folder / "out.png")


def white(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.uint8) * 255


@pytest.mark.parametrize("resize_mask", [False, True])
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("turn", [5, 6, 7, 8])
def test_mask_of_the_shape_that_exif_turns_is_turned_likewise(tmp_path, caplog, turn, size, resize_mask):
    save(tmp_path / "a.png", np.kron(render(0, 20, 32), np.ones((size, size, 1), np.uint8)), turn)
    save(tmp_path / "m.png", white(HOLE))
    found = Inputs(DataConfig(), resize_mask).read(job(tmp_path))
    assert found.mask.shape == found.image.shape[:2] == (32 * size, 20 * size)
    np.testing.assert_array_equal(found.mask[size // 2 :: size, size // 2 :: size], TURNS[turn](HOLE))
    assert "EXIF turns" in caplog.text


@pytest.mark.parametrize("turn", [5, 6])
def test_mask_drawn_on_the_upright_picture_or_turned_by_its_own_exif_is_left_as_it_is(tmp_path, caplog, turn):
    save(tmp_path / "a.png", render(0, 20, 32), turn)
    save(tmp_path / "m.png", white(TURNS[turn](HOLE)))
    np.testing.assert_array_equal(Inputs(DataConfig()).read(job(tmp_path)).mask, TURNS[turn](HOLE))
    save(tmp_path / "m.png", white(HOLE), turn)
    np.testing.assert_array_equal(Inputs(DataConfig()).read(job(tmp_path)).mask, TURNS[turn](HOLE))
    assert not caplog.records


@pytest.mark.parametrize(("turn", "square"), [(2, False), (3, False), (4, False), (3, True), (6, True)])
def test_turn_that_leaves_the_shape_is_said_once(tmp_path, caplog, turn, square):
    mask = HOLE[:, :20] if square else HOLE
    save(tmp_path / "a.png", render(0, *mask.shape), turn)
    save(tmp_path / "m.png", white(mask))
    inputs = Inputs(DataConfig())
    for _ in range(2):
        np.testing.assert_array_equal(inputs.read(job(tmp_path)).mask, mask)
    (record,) = caplog.records
    assert "EXIF turns" in record.getMessage()


def test_mask_that_fits_neither_way_is_refused_with_the_turn(tmp_path):
    save(tmp_path / "a.png", render(0, 20, 32), 6)
    save(tmp_path / "m.png", white(HOLE[:, :20]))
    with pytest.raises(
        BadImageError, match=r"m\.png: the mask is 20x20, .*a\.png is 20x32, as EXIF turns it; .*--resize"
    ):
        Inputs(DataConfig()).read(job(tmp_path))


def test_edge_map_is_turned_like_the_mask(tmp_path):
    save(tmp_path / "a.png", render(0, 20, 32), 6)
    save(tmp_path / "m.png", white(HOLE))
    save(tmp_path / "e.png", white(HOLE))
    found = Inputs(DataConfig()).read(job(tmp_path, "e.png"))
    np.testing.assert_array_equal(found.edge, white(TURNS[6](HOLE)))


@pytest.mark.parametrize(("suffix", "pages"), [("tif", 3), ("gif", 2), ("png", 2), ("webp", 2), ("tif", 1), ("gif", 1)])
@pytest.mark.parametrize("what", ["picture", "mask"])
def test_first_of_several_pages_or_frames_is_taken_and_that_is_said_once(tmp_path, caplog, suffix, pages, what):
    first = render(0, 20, 32) if what == "picture" else np.dstack([white(HOLE)] * 3)
    more = [Image.fromarray(255 - first), Image.fromarray(first)][: pages - 1]
    save(tmp_path / "a.png", render(0, 20, 32))
    save(tmp_path / "m.png", white(HOLE))
    path = tmp_path / ("a.png" if what == "picture" else "m.png")
    kind = {"tif": "TIFF"}.get(suffix, suffix.upper())
    options = {"save_all": True, "append_images": more} if more else {}
    save(path, first, format=kind, **options | ({"lossless": True} if suffix == "webp" else {}))
    inputs = Inputs(DataConfig())
    for _ in range(2):
        np.testing.assert_array_equal(inputs.read(job(tmp_path)).mask, HOLE)
    assert ["first" in record.getMessage() for record in caplog.records] == [True] * (pages > 1)


def test_hole_that_is_lost_in_resizing_is_refused(tmp_path):
    thin = np.zeros((200, 320), np.uint8)
    thin[50, 40:200] = 255
    save(tmp_path / "a.png", render(0, 20, 32))
    save(tmp_path / "m.png", thin)
    with pytest.raises(BadImageError, match=r"m\.png: nothing is left of its hole at 32x20"):
        Inputs(DataConfig()).read(job(tmp_path))
    assert Inputs(DataConfig(mask_threshold=0)).read(job(tmp_path)).mask.any()


def test_preview_of_a_camera_is_no_page(tmp_path, caplog):
    save(tmp_path / "a.mpo", render(0, 20, 32), format="MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    save(tmp_path / "m.png", white(HOLE))
    Inputs(DataConfig()).read(job(tmp_path, picture="a.mpo"))
    assert not caplog.records
