"""Batches: the same whatever the workers and the point of resumption; validation the same every time."""

import gc
import itertools
import multiprocessing.synchronize
import os
import signal
import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import tiny_config

from edgeconnect.config.sections import Config, DataConfig, OptimizerConfig, RunConfig
from edgeconnect.data import loader, path_list
from edgeconnect.data.loader import Feed, epoch_items, shuffled
from edgeconnect.data.scenes import render
from edgeconnect.errors import UserError
from edgeconnect.types import Batch


def feed(train: str = "scenes:5", val: str = "scenes:5-12", workers: int = 0, batch_size: int = 2, **data) -> Feed:
    settings = {"train_flist": train, "val_flist": val, "input_size": 32, "mask": "strokes"} | data
    return Feed(
        Config(
            run=RunConfig(seed=3, num_workers=workers),
            data=DataConfig(**settings),
            optim=OptimizerConfig(batch_size=batch_size),
        )
    )


def first(source: Feed, count: int, step: int = 0) -> list[Batch]:
    return list(itertools.islice(source.batches(step * source.batch_size), count))


def same(one: Batch, other: Batch) -> bool:
    return one.name == other.name and all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))


def all_same(ones: list[Batch], others: list[Batch]) -> bool:
    return len(ones) == len(others) and all(same(a, b) for a, b in zip(ones, others, strict=True))


def test_batches_are_the_same_with_and_without_workers():
    alone = first(feed(sigma=0.0), 6)
    assert all_same(alone, first(feed(sigma=0.0, workers=2), 6))
    assert not same(alone[0], alone[3])


@pytest.mark.parametrize("step", [1, 3, 5, 17])
def test_batches_go_on_where_a_run_was_stopped(step):
    assert all_same(first(feed(), 4, step), list(itertools.islice(feed().batches(0), step, step + 4)))


def test_batches_of_a_resumed_run_are_the_same_with_workers():
    assert all_same(first(feed(workers=1), 3, step=4), first(feed(), 7)[4:])


def test_every_batch_is_full_across_the_ends_of_epochs():
    batches = first(feed(batch_size=2), 5)
    assert [len(batch.name) for batch in batches] == [2] * 5
    names = [name for batch in batches for name in batch.name]
    assert sorted(names[:5]) == sorted(names[5:]) == [f"scene_{n:06d}" for n in range(5)]


@pytest.mark.parametrize("count", [1, 3])
def test_sets_smaller_than_a_batch_are_enough_to_train_on(count):
    batches = first(feed(f"scenes:{count}", batch_size=8), 2)
    assert [len(batch.name) for batch in batches] == [8, 8]
    assert len(set(batches[0].name)) == count


def test_a_picture_has_another_mask_in_every_epoch():
    batches = first(feed("scenes:1", batch_size=1), 4)
    masks = {batch.mask.numpy().tobytes() for batch in batches}
    mirrored = {batch.mask.flip(-1).numpy().tobytes() for batch in batches}
    assert len(masks) == 4
    assert not masks & mirrored


@pytest.mark.parametrize(("step", "epoch"), [(0, 1), (1, 1), (2, 1), (3, 2), (5, 2), (6, 3), (500, 200)])
def test_epoch_is_that_of_the_last_picture_of_a_step(step, epoch):
    assert feed().epoch(2 * step) == epoch


def test_epoch_agrees_with_the_sampler():
    source, sampler = feed("scenes:7", batch_size=3), epoch_items(7, 0)
    for step in range(1, 30):
        assert source.epoch(3 * step) == [next(sampler) for _ in range(3)][-1][0]


# The sampler


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 99), st.integers(0, 60), st.integers(0, 30))
def test_sampler_started_anywhere_goes_on_as_the_one_started_at_0(length, seed, start, count):
    whole = list(itertools.islice(epoch_items(length, seed), start + count))
    assert list(itertools.islice(epoch_items(length, seed, start), count)) == whole[start:]


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(0, 99))
def test_every_epoch_is_a_permutation(length, seed):
    drawn = list(itertools.islice(epoch_items(length, seed), 3 * length))
    for epoch in range(3):
        part = drawn[epoch * length : (epoch + 1) * length]
        assert {number for number, _ in part} == {epoch + 1}
        assert sorted(index for _, index in part) == list(range(length))


def test_epochs_and_seeds_have_orders_of_their_own():
    first_epoch, second_epoch = np.array(list(itertools.islice(epoch_items(50, 0), 100)))[:, 1].reshape(2, 50)
    other = np.array(list(itertools.islice(epoch_items(50, 1), 50)))[:, 1]
    assert (first_epoch != second_epoch).any()
    assert (first_epoch != other).any()
    assert (first_epoch != np.arange(50)).any()


def test_orders_of_runs_that_have_begun_stay_as_they_were():
    drawn = list(itertools.islice(epoch_items(5, 3), 10))
    assert [index for _, index in drawn[:5]] == np.random.default_rng((3, 1)).permutation(5).tolist()
    assert [index for _, index in drawn[5:]] == np.random.default_rng((3, 2)).permutation(5).tolist()
    number = 2_000_000
    assert next(epoch_items(number, 3)) == (1, np.random.default_rng((3, 1)).permutation(number)[0])
    assert next(epoch_items(number + 1, 3)) == (1, shuffled(np.array([0]), number + 1, (3, 1))[0]) == (1, 1_110_623)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 99), st.integers(1, 99))
def test_long_lists_are_shuffled_by_a_permutation_whatever_their_length(length, seed, epoch):
    places = np.arange(length)
    order = shuffled(places, length, (seed, epoch))
    assert sorted(order.tolist()) == places.tolist()
    assert shuffled(places[::-3], length, (seed, epoch)).tolist() == order[::-3].tolist()
    if length > 20:
        assert order.tolist() != places.tolist()
        assert order.tolist() != shuffled(places, length, (seed, epoch + 1)).tolist()
        assert order.tolist() != shuffled(places, length, (seed + 1, epoch)).tolist()


def test_long_lists_are_shuffled_well():
    length, order = 10**7, shuffled(np.arange(10**5), 10**7, (0, 1))
    counts = np.bincount(order // (length // 100), minlength=100)
    assert 50 < ((counts - 1000) ** 2 / 1000).sum() < 160  # chi-squared of 99 degrees of freedom
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(order, np.arange(10**5))[0, 1]) < 0.02
    short = {tuple(shuffled(np.arange(3), 3, (0, epoch)).tolist()) for epoch in range(100)}
    assert len(short) == 6


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(0, 99), st.integers(0, 60), st.integers(0, 30))
def test_long_list_started_anywhere_goes_on_as_the_one_started_at_0(length, seed, start, count):
    with mock.patch.multiple(loader, LONG=0, ORDERED=5):
        whole = list(itertools.islice(epoch_items(length, seed), start + count))
        assert list(itertools.islice(epoch_items(length, seed, start), count)) == whole[start:]
    assert [epoch for epoch, _ in whole] == [1 + place // length for place in range(start + count)]


def test_workers_read_the_paths_of_a_long_list_from_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(path_list, "HELD", 0)
    for number in range(5):
        Image.fromarray(render(number, 32, 32)).save(tmp_path / f"{number}.png")
    (tmp_path / "list").write_text("".join(f"{number}.png\n" for number in range(5)))
    held_open = feed(str(tmp_path / "list"), workers=2)
    (tmp_path / "list").unlink()
    assert all_same(first(held_open, 6), first(feed(str(tmp_path)), 6))


def test_process_that_holds_a_lock_when_it_is_ended_keeps_nobody_waiting(monkeypatch):
    is_set = multiprocessing.synchronize.Event.is_set

    def slow(event):
        with event._cond:
            time.sleep(0.3)
        return is_set(event)

    monkeypatch.setattr(multiprocessing.synchronize.Event, "is_set", slow)
    batches = feed(workers=1).batches(0)
    next(batches)
    closing = threading.Thread(target=batches.close, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()


# Validation


def test_validation_is_the_same_on_every_pass_and_in_order():
    source = feed()
    once = list(source.validation())
    first(source, 3)
    assert all_same(once, list(source.validation()))
    assert [name for batch in once for name in batch.name] == [f"scene_{n:06d}" for n in range(5, 12)]


def test_last_batch_of_validation_is_as_small_as_it_comes():
    assert [len(batch.name) for batch in feed(batch_size=3).validation()] == [3, 3, 1]


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1]), (3, [2, 1]), (4, [2, 2]), (7, [2, 2, 2, 1])])
def test_limit_takes_the_first_pictures(limit, sizes):
    batches = list(feed().validation(limit))
    assert [len(batch.name) for batch in batches] == sizes
    whole = [name for batch in feed().validation() for name in batch.name]
    assert [name for batch in batches for name in batch.name] == whole[:limit]


def test_limit_beyond_the_set_yields_the_set_and_ends():
    assert sum(len(batch.name) for batch in feed(val="scenes:2").validation(12)) == 2


def test_batch_size_does_not_change_what_is_validated_on():
    ones, threes = (list(feed(batch_size=size).validation()) for size in (1, 3))
    assert torch.equal(torch.cat([batch.mask for batch in ones]), torch.cat([batch.mask for batch in threes]))


def test_without_a_validation_set_training_pictures_are_shown_the_same_every_time():
    source = feed(val="")
    assert not source.evaluates
    shown = list(source.validation(3))
    assert all_same(shown, list(source.validation(3)))
    assert [name for batch in shown for name in batch.name] == ["scene_000000", "scene_000001", "scene_000002"]
    assert source.describe() == "5 pictures to train on; no VAL_FLIST: samples show these, too"


def test_description_counts_both_sets():
    assert feed().describe() == "5 pictures to train on; 7 for validation"


def readers():
    return {child.pid for child in multiprocessing.active_children()}


def test_processes_that_validate_are_kept_until_the_next_time():
    source, before = feed(workers=2, sigma=0.0), readers()
    once = list(source.validation())
    kept = readers() - before
    assert len(kept) == 2
    for limit in (3, None):
        again = list(source.validation(limit))
        assert all_same(again[:1], once[:1])
        assert sum(len(batch.name) for batch in again) == limit or 7
    assert readers() - before == kept
    assert all_same(list(source.validation()), list(feed(sigma=0.0).validation()))
    del source
    gc.collect()
    assert not readers() - before


def test_validation_that_is_left_ends_its_processes_and_starts_anew():
    source, before = feed(workers=2, batch_size=1), readers()
    whole = list(source.validation())
    passing = source.validation()
    next(passing)
    passing.close()
    assert not readers() - before
    assert all_same(list(source.validation()), whole)


def test_process_that_dies_between_two_validations_is_reported():
    source, before = feed(workers=1), readers()
    list(source.validation())
    (pid,) = readers() - before
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(UserError, match="a process that reads data died"):
        list(source.validation())
    assert len(list(source.validation())) == 4


# Mistakes


def broken_set(folder: Path) -> str:
    folder.mkdir()
    for n in range(4):
        Image.fromarray(render(n, 32, 32)).save(folder / f"{n}.png")
    (folder / "2.png").write_bytes(b"no picture\nat all")
    return str(folder)


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_file_is_a_user_error_of_one_line_that_names_it(tmp_path, workers):
    folder = broken_set(tmp_path / "set")
    with pytest.raises(UserError) as caught:
        first(feed(folder, workers=workers), 4)
    assert str(caught.value).startswith(f"{tmp_path / 'set' / '2.png'}: cannot be read as a picture")
    assert "\n" not in str(caught.value)


def test_unreadable_file_in_validation_is_named(tmp_path):
    folder = broken_set(tmp_path / "set")
    with pytest.raises(UserError, match=r"2\.png: cannot be read as a picture"):
        list(feed(val=folder).validation())


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_of_several_sizes_are_a_user_error(tmp_path, workers):
    for n, side in enumerate((32, 40)):
        Image.fromarray(render(n, side, 32)).save(tmp_path / f"{n}.png")
    source = feed(str(tmp_path), input_size=0, workers=workers)
    with pytest.raises(UserError, match=r"several sizes .*; set INPUT_SIZE, or BATCH_SIZE: 1"):
        first(source, 1)


@pytest.fixture
def half_bad(tmp_path):
    """Return a configuration of four pictures, one of them cut off and one missing, and these two."""
    for name in "abc":
        Image.fromarray(np.random.default_rng(ord(name)).integers(0, 256, (40, 40, 3), np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    cut = tmp_path / "b.png"
    cut.write_bytes(cut.read_bytes()[:500])
    names = [tmp_path / f"{name}.png" for name in "abcd"]
    (tmp_path / "list").write_text("".join(f"{name}\n" for name in names))
    data = {"TRAIN_FLIST": tmp_path / "list", "VAL_FLIST": tmp_path / "list", "MASK": "strokes", "BATCH_SIZE": 4}
    return data, {str(cut), str(tmp_path / "d.png")}


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_pictures_are_replaced_by_others_and_named_once(workers, half_bad, caplog):
    data, bad = half_bad
    feed = Feed(tiny_config(**data, ON_BAD_IMAGE="skip", NUM_WORKERS=workers))
    batches = list(itertools.islice(feed.batches(0), 3))
    for batch in batches:
        assert len(batch.name) == 4
        assert not bad & set(batch.name)
    assert feed.bad_images == bad
    assert [line.count("skipped (") for line in caplog.text.splitlines()] == [1, 1]
    again = list(itertools.islice(Feed(tiny_config(**data, ON_BAD_IMAGE="skip")).batches(4), 2))
    for one, other in zip(batches[1:], again, strict=True):
        assert one.name == other.name
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.mask, other.mask)


def test_bad_pictures_stop_by_default_and_above_the_limit(half_bad):
    data, _ = half_bad
    with pytest.raises(UserError, match=r"(b|d)\.png: "):
        next(Feed(tiny_config(**data)).batches(0))
    feed = Feed(tiny_config(**data, ON_BAD_IMAGE="skip", BAD_IMAGE_LIMIT=1))
    with pytest.raises(UserError, match=r"2 files cannot be used, BAD_IMAGE_LIMIT allows 1; .*check_data\.py"):
        list(itertools.islice(feed.batches(0), 3))


def test_nothing_stands_in_where_it_is_measured(half_bad):
    data, bad = half_bad
    feed = Feed(tiny_config(**data, ON_BAD_IMAGE="skip"))
    names = [name for batch in feed.validation() for name in batch.name]
    assert len(names) == 2
    assert not bad & set(names)
    with pytest.raises(UserError):
        list(Feed(tiny_config(**data)).validation())


def test_list_of_bad_pictures_alone_ends(half_bad):
    data, bad = half_bad
    config = tiny_config(**data | {"TRAIN_FLIST": sorted(bad)[0], "VAL_FLIST": ""}, ON_BAD_IMAGE="skip")
    with pytest.raises(UserError, match="cannot be read"):
        next(Feed(config).batches(0))
