"""Logs: a header once, no row twice, nothing of an earlier run lost."""

import csv
import errno
import math
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgeconnect.errors import UserError
from edgeconnect.progress import progress
from edgeconnect.training.logs import CsvLog, RunLog, read_scalars


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def written(path: Path, steps: range, start: int = 0) -> CsvLog:
    log = CsvLog(path, start)
    for step in steps:
        log.write({"epoch": 1, "iteration": step, "loss": step / 8})
    return log


def test_header_is_written_once_and_before_the_first_row(tmp_path):
    written(tmp_path / "log.csv", range(1, 4))
    assert (tmp_path / "log.csv").read_text() == "epoch,iteration,loss\n1,1,0.125\n1,2,0.25\n1,3,0.375\n"


def test_log_without_a_row_leaves_no_file(tmp_path):
    CsvLog(tmp_path / "log.csv", 0)
    assert not list(tmp_path.iterdir())


def test_every_row_is_on_disk_when_it_is_written(tmp_path):
    log = CsvLog(tmp_path / "log.csv", 0)
    for step in (1, 2):
        log.write({"iteration": step})
        assert [row["iteration"] for row in rows(tmp_path / "log.csv")] == [str(n) for n in range(1, step + 1)]


@pytest.mark.parametrize("value", [1.0, 1 / 3, 1e-20, 1.2345678e8, -0.1, 0.0, math.inf])
def test_values_read_back_with_the_precision_of_float32(tmp_path, value):
    CsvLog(tmp_path / "log.csv", 0).write({"iteration": 1, "loss": value})
    assert float(rows(tmp_path / "log.csv")[0]["loss"]) == pytest.approx(value, rel=5e-7)


def test_values_that_are_no_number_are_written_and_read_back(tmp_path):
    CsvLog(tmp_path / "log.csv", 0).write({"iteration": 1, "loss": math.nan})
    assert math.isnan(float(rows(tmp_path / "log.csv")[0]["loss"]))


def test_large_iterations_are_written_in_full(tmp_path):
    CsvLog(tmp_path / "log.csv", 0).write({"iteration": 123_456_789})
    assert rows(tmp_path / "log.csv")[0]["iteration"] == "123456789"


def test_columns_keep_their_places_whatever_a_row_holds(tmp_path):
    log = CsvLog(tmp_path / "log.csv", 0)
    log.write({"iteration": 1, "a": 1.0, "b": 2.0})
    log.write({"b": 4.0, "iteration": 2})
    log.write({"a": 5.0, "b": 6.0, "iteration": 3})
    assert [list(row.values()) for row in rows(tmp_path / "log.csv")] == [["1", "1", "2"], ["2", "", "4"], list("356")]


@pytest.mark.parametrize("step", [1, 4, 7])
def test_resumed_log_drops_the_rows_that_come_again_and_goes_on_under_one_header(tmp_path, step):
    written(tmp_path / "log.csv", range(1, 8))
    written(tmp_path / "log.csv", range(step + 1, 10), start=step)
    assert [int(row["iteration"]) for row in rows(tmp_path / "log.csv")] == list(range(1, 10))
    assert (tmp_path / "log.csv").read_text().count("iteration") == 1
    assert names(tmp_path) == ["log.csv"]


def test_run_that_starts_at_0_puts_the_log_of_an_earlier_one_aside(tmp_path):
    for last in (3, 4, 5):
        written(tmp_path / "log.csv", range(1, last))
    assert names(tmp_path) == ["log.csv", "log.old-1.csv", "log.old-2.csv"]
    assert [len(rows(tmp_path / name)) for name in ("log.old-1.csv", "log.old-2.csv", "log.csv")] == [2, 3, 4]


def test_file_that_is_no_log_is_put_aside(tmp_path):
    (tmp_path / "log.csv").write_text("1 2 0.5\n")
    written(tmp_path / "log.csv", range(5, 6), start=4)
    assert (tmp_path / "log.old-1.csv").read_text() == "1 2 0.5\n"
    assert len(rows(tmp_path / "log.csv")) == 1


@pytest.mark.parametrize("torn", ["1", "1,4", "1,4,", '"1,4'])
def test_torn_last_line_is_dropped(tmp_path, torn):
    written(tmp_path / "log.csv", range(1, 4))
    with (tmp_path / "log.csv").open("a") as file:
        file.write(torn)
    written(tmp_path / "log.csv", range(4, 6), start=3)
    assert [list(row.values()) for row in rows(tmp_path / "log.csv")] == [
        ["1", str(step), f"{step / 8:g}"] for step in range(1, 6)
    ]


def test_full_disk_is_a_user_error_that_names_the_log(tmp_path, monkeypatch):
    log = written(tmp_path / "log.csv", range(1, 2))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match=r"log\.csv: cannot be written \(No space left on device\)"):
        log.write({"iteration": 2})


# The logs of a stage


def events(folder: Path) -> EventAccumulator:
    board = EventAccumulator(str(folder))
    board.Reload()
    return board


def test_run_log_writes_rows_samples_and_tensorboard_events(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    with closing(RunLog(tmp_path, "edge", 0)) as log:
        log.train(1, 10, {"l_g1": 0.5})
        log.train(2, 20, {"l_g1": 0.25})
        log.validate(2, 20, {"precision": 0.75})
        path = log.sample(20, picture)
    assert rows(tmp_path / "log_edge.csv") == [
        {"epoch": "1", "iteration": "10", "l_g1": "0.5"},
        {"epoch": "2", "iteration": "20", "l_g1": "0.25"},
    ]
    assert rows(tmp_path / "log_edge_val.csv") == [{"epoch": "2", "iteration": "20", "precision": "0.75"}]
    assert path == tmp_path / "samples/edge/0000020.png"
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    board = events(tmp_path / "tensorboard/edge")
    assert [(e.step, e.value) for e in board.Scalars("train/l_g1")] == [(10, 0.5), (20, 0.25)]
    assert [(e.step, e.value) for e in board.Scalars("val/precision")] == [(20, 0.75)]
    assert [(e.step, e.width, e.height) for e in board.Images("samples")] == [(20, 9, 6)]


def test_resumed_run_log_has_every_step_once(tmp_path):
    for start, last in ((0, 6), (3, 8)):
        with closing(RunLog(tmp_path, "joint", start)) as log:
            for step in range(start + 1, last + 1):
                log.train(1, step, {"l_g2": float(start)})
                log.validate(1, step, {"mae": float(start)})
    for name in ("log_joint.csv", "log_joint_val.csv"):
        assert [int(row["iteration"]) for row in rows(tmp_path / name)] == list(range(1, 9))
    kept = events(tmp_path / "tensorboard/joint").Scalars("train/l_g2")
    assert [e.step for e in kept if e.step <= 3] == [1, 2, 3]
    assert [e.value for e in kept if e.step > 3] == [3.0] * 5


def test_stages_do_not_touch_each_others_logs(tmp_path):
    for stage in ("edge", "inpaint"):
        with closing(RunLog(tmp_path, stage, 0)) as log:
            log.train(1, 1, {"loss": 1.0})
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["log_edge.csv", "log_inpaint.csv"]


def test_scalars_are_read_as_plain_numbers_in_their_order():
    tensors = {
        "b": torch.tensor(0.5, requires_grad=True),
        "a": torch.tensor(2, dtype=torch.int64),
        "c": torch.tensor(0.25, dtype=torch.bfloat16),
    }
    read = read_scalars(tensors)
    assert list(read.items()) == [("b", 0.5), ("a", 2.0), ("c", 0.25)]
    assert all(type(value) is float for value in read.values())
    assert read_scalars({}) == {}


def test_progress_counts_from_where_a_run_stands():
    with progress(10, 4, "edge", "step") as bar:
        bar.update(2)
        assert (bar.n, bar.total, bar.desc, bar.unit.strip()) == (6, 10, "edge", "step")
