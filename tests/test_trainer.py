"""The training loop with a method of one parameter."""

import csv

import pytest
import torch
from support import FakeFeed, FakeMethod, tiny_config

from edgeconnect.checkpoint import Checkpoints
from edgeconnect.engine import Engine
from edgeconnect.logs import RunLog
from edgeconnect.trainer import Trainer, evaluate


def trainer_in(folder, method, **keys):
    config = tiny_config(**({"LOG_INTERVAL": 1, "SAMPLE_INTERVAL": 0, "SAVE_INTERVAL": 0} | keys))
    checkpoints = Checkpoints(folder, "inpaint")
    start = checkpoints.begin(method)
    log = RunLog(folder, "inpaint", start.step)
    trainer = Trainer(method, Engine(torch.device("cpu")), checkpoints, log, config)
    trainer.restore(start)
    return trainer


@pytest.fixture
def train(tmp_path, monkeypatch):
    from edgeconnect import checkpoint, published

    # The fake method's one parameter needs no renaming, whatever its file is called.
    monkeypatch.setattr(checkpoint, "FILES", {"inpaint_generator": ("InpaintingModel_gen.pth", "generator")})
    assert published.FILES.keys() > checkpoint.FILES.keys()

    def run(name="run", feed=None, **keys):
        folder = tmp_path / name
        method = FakeMethod()
        trainer = trainer_in(folder, method, **keys)
        trainer.train(feed or FakeFeed())
        trainer.log.close()
        return trainer, method, folder

    return run


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_max_iters_is_the_iteration_at_which_a_stage_ends(train):
    trainer, method, folder = train(MAX_ITERS=3)
    assert trainer.step == 3
    assert method.seen == [["batch 1"], ["batch 2"], ["batch 3"]]
    assert [row["iteration"] for row in rows(folder / "log_inpaint.csv")] == ["1", "2", "3"]
    assert torch.load(folder / "InpaintingModel_gen.pth")["iteration"] == 3


def test_resumed_run_equals_an_undisturbed_one_bit_for_bit(train):
    _, whole, there = train("whole", MAX_ITERS=6, EMA_DECAY=0.9)
    train("parts", MAX_ITERS=4, EMA_DECAY=0.9)
    _, resumed, here = train("parts", MAX_ITERS=6, EMA_DECAY=0.9)
    assert resumed.seen == [["batch 5"], ["batch 6"]]
    assert torch.equal(whole.network.value, resumed.network.value)
    assert (there / "log_inpaint.csv").read_text() == (here / "log_inpaint.csv").read_text()
    one, other = (torch.load(folder / "inpaint_state.pth")["ema"] for folder in (there, here))
    assert torch.equal(one["shadow"]["inpaint_generator"]["value"], other["shadow"]["inpaint_generator"]["value"])
    assert one["updates"] == other["updates"] == 6


def test_evaluation_advances_nothing_and_sees_the_same_pictures_every_time(train):
    _, evaluated, folder = train("with", MAX_ITERS=4, EVAL_INTERVAL=2)
    _, plain, _ = train("without", MAX_ITERS=4)
    assert torch.equal(evaluated.network.value, plain.network.value)
    assert [row["iteration"] for row in rows(folder / "log_inpaint_val.csv")] == ["2", "4"]
    engine = Engine(torch.device("cpu"))
    assert evaluate(plain, engine, FakeFeed().validation()) == evaluate(plain, engine, FakeFeed().validation())
    assert all(parameter.requires_grad for parameter in evaluated.network.parameters())


def test_evaluation_weighs_batches_by_their_pictures(train):
    from support import random_batch

    method = FakeMethod()
    engine = Engine(torch.device("cpu"))
    one, three = random_batch(1, seed=1), random_batch(3, seed=2)
    means = [evaluate(method, engine, [batch])["mae"] for batch in (one, three)]
    assert evaluate(method, engine, [one, three])["mae"] == pytest.approx((means[0] + 3 * means[1]) / 4)


def test_intervals_decide_what_is_written(train):
    trainer, _, folder = train(MAX_ITERS=7, LOG_INTERVAL=3, SAMPLE_INTERVAL=5, SAMPLE_SIZE=2)
    assert [row["iteration"] for row in rows(folder / "log_inpaint.csv")] == ["3", "6"]
    assert [path.name for path in (folder / "samples" / "inpaint").iterdir()] == ["0000005.png"]
    assert not (folder / "log_inpaint_val.csv").exists()
    assert trainer.saved == 7


def test_fewer_validation_pictures_than_sample_size_yield_fewer_samples(train):
    import cv2

    _, _, folder = train(feed=FakeFeed(validation=2), MAX_ITERS=1, SAMPLE_INTERVAL=1, SAMPLE_SIZE=12)
    sheet = cv2.imread(str(folder / "samples" / "inpaint" / "0000001.png"))
    assert sheet.shape == (2 * 32 + 4, 5 * 32 + 4 * 4, 3)


def test_saves_come_at_their_interval(train, monkeypatch):
    steps = []
    real = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints, "save", lambda self, method, step, *rest: steps.append(step) or real(self, method, step, *rest)
    )
    train(MAX_ITERS=7, SAVE_INTERVAL=3)
    assert steps == [3, 6, 7]


def test_progress_shows_measures_and_with_verbose_every_loss(train):
    trainer, _, _ = train(MAX_ITERS=1)
    assert trainer.record(1, {"l_g2": torch.tensor(1.0), "psnr": torch.tensor(20.0)}) == {"psnr": "20"}
    trainer, _, _ = train("verbose", MAX_ITERS=1, VERBOSE=1)
    assert set(trainer.record(1, {"l_g2": torch.tensor(1.0), "psnr": torch.tensor(20.0)})) == {"l_g2", "psnr"}
