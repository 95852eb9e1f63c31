"""The training loop with a method of one parameter."""

import csv
import json
import signal
import time
from contextlib import closing

import pytest
import torch
from support import FakeFeed, FakeMethod, log_of, random_batch, tiny_config, tiny_method

from edgeconnect.checkpoint.stage import Checkpoints
from edgeconnect.engine import Engine
from edgeconnect.errors import UserError
from edgeconnect.methods.catalogue import EDGECONNECT
from edgeconnect.training.best import Best, score
from edgeconnect.training.logs import RunLog
from edgeconnect.training.signals import Signals, Stopped
from edgeconnect.training.trainer import Trainer, evaluate


def trainer_in(folder, method, signals=None, check_every_step=None, **keys):
    config = tiny_config(**({"METHOD": "fake", "LOG_INTERVAL": 1, "SAMPLE_INTERVAL": 0, "SAVE_INTERVAL": 0} | keys))
    checkpoints = Checkpoints(folder, config)
    start = checkpoints.begin(method.networks)
    pending = bool(start.state and start.state["train"]["evaluation_pending"])
    log = RunLog(folder, "inpaint", start.step, start.step - pending)
    engine = Engine(torch.device("cpu"), check_every_step=check_every_step)
    trainer = Trainer(method, engine, checkpoints, log, config, signals)
    trainer.restore(start)
    return trainer


@pytest.fixture
def train(tmp_path):
    def run(name="run", feed=None, method=None, signals=None, check_every_step=None, **keys):
        folder = tmp_path / name
        method = method or FakeMethod()
        trainer = trainer_in(folder, method, signals, check_every_step, **keys)
        with closing(trainer.log):
            trainer.train(feed or FakeFeed())
        return trainer, method, folder

    return run


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_max_iters_is_the_iteration_at_which_a_stage_ends(train):
    trainer, method, folder = train(MAX_ITERS=3)
    assert trainer.state.step == 3
    assert method.seen == [["batch 1"], ["batch 2"], ["batch 3"]]
    assert [row["iteration"] for row in rows(folder / "log_inpaint.csv")] == ["1", "2", "3"]
    assert torch.load(folder / "InpaintingModel_gen.pth")["iteration"] == 3


def test_resumed_run_equals_an_undisturbed_one_bit_for_bit(train):
    _, whole, there = train("whole", MAX_ITERS=6, EMA_DECAY=0.9)
    train("parts", MAX_ITERS=4, EMA_DECAY=0.9)
    _, resumed, here = train("parts", MAX_ITERS=6, EMA_DECAY=0.9)
    assert resumed.seen == [["batch 5"], ["batch 6"]]
    assert torch.equal(whole.network.value, resumed.network.value)
    assert log_of(there / "log_inpaint.csv") == log_of(here / "log_inpaint.csv")
    one, other = (torch.load(folder / "saves/inpaint/0000006/state.pth")["ema"] for folder in (there, here))
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
    grid = cv2.imread(str(folder / "samples" / "inpaint" / "0000001.png"))
    assert grid.shape == (2 * 32 + 4, 5 * 32 + 4 * 4, 3)


def test_saves_come_at_their_interval(train, monkeypatch):
    steps = []
    real = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints, "save", lambda self, networks, step, *rest: steps.append(step) or real(self, networks, step, *rest)
    )
    train(MAX_ITERS=7, SAVE_INTERVAL=3)
    assert steps == [3, 6, 7]


def test_progress_shows_measures_and_with_verbose_every_loss(train):
    trainer, _, _ = train(MAX_ITERS=1)
    assert trainer.record(1, {"l_g2": torch.tensor(1.0), "psnr": torch.tensor(20.0)}) == {"psnr": "20", "wait": "0%"}
    trainer, _, _ = train("verbose", MAX_ITERS=1, VERBOSE=1)
    assert set(trainer.record(1, {"l_g2": torch.tensor(1.0), "psnr": torch.tensor(20.0)})) == {"l_g2", "psnr", "wait"}


class Interrupting(FakeFeed):
    """Send a signal to this process before a batch, or before a picture of the validation."""

    def __init__(self, number, batch=0, picture=0, **keys):
        super().__init__(**keys)
        self.number, self.batch, self.picture = number, batch, picture

    def batches(self, pictures):
        for step, batch in enumerate(super().batches(pictures), start=pictures + 1):
            if step == self.batch:
                signal.raise_signal(self.number)
            yield batch

    def validation(self, limit=None):
        for index, batch in enumerate(super().validation(limit), start=1):
            if index == self.picture:
                signal.raise_signal(self.number)
            yield batch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_finishes_the_step_saves_and_says_so(number, train, tmp_path, capfd):
    handler = signal.getsignal(number)
    with pytest.raises(Stopped, match=number.name) as caught, Signals() as signals:
        train(feed=Interrupting(number, batch=3), signals=signals, MAX_ITERS=9)
    assert caught.value.exit_code == 128 + number
    assert "a second one stops at once" in capfd.readouterr().err
    assert signal.getsignal(number) == handler
    assert torch.load(tmp_path / "run/InpaintingModel_gen.pth")["iteration"] == 2
    _, resumed, _ = train(MAX_ITERS=9)
    _, whole, _ = train("whole", MAX_ITERS=9)
    assert torch.equal(resumed.network.value, whole.network.value)


def test_user_signal_saves_and_goes_on(train, monkeypatch):
    steps = []
    real = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints, "save", lambda self, networks, step, *rest: steps.append(step) or real(self, networks, step, *rest)
    )
    with Signals() as signals:
        train(feed=Interrupting(signal.SIGUSR1, batch=3), signals=signals, MAX_ITERS=5)
    assert steps == [3, 5]


def test_signal_during_evaluation_leaves_it_to_the_next_start(train, tmp_path):
    with pytest.raises(Stopped), Signals() as signals:
        train(feed=Interrupting(signal.SIGTERM, picture=2), signals=signals, MAX_ITERS=4, EVAL_INTERVAL=2)
    assert not (tmp_path / "run/log_inpaint_val.csv").exists()
    _, _, here = train(MAX_ITERS=4, EVAL_INTERVAL=2)
    _, _, there = train("whole", MAX_ITERS=4, EVAL_INTERVAL=2)
    for name in ("log_inpaint.csv", "log_inpaint_val.csv"):
        assert log_of(here / name) == log_of(there / name)


def test_best_save_is_kept_and_survives_a_resume(train):
    falling = {"MAX_ITERS": 8, "EVAL_INTERVAL": 2, "SAVE_INTERVAL": 1, "BEST_METRIC": "mae"}
    trainer, _, folder = train(**falling)
    measured = {int(row["iteration"]): float(row["mae"]) for row in rows(folder / "log_inpaint_val.csv")}
    best = min(measured, key=measured.get)
    assert (folder / "saves/inpaint/best").resolve().name == f"{best:07d}"
    assert trainer.best.value == pytest.approx(-measured[best])
    resumed, _, _ = train(**falling | {"MAX_ITERS": 9})
    assert resumed.best.state_dict() == trainer.best.state_dict()
    assert resumed.best.step == best
    assert not (train("none", **falling | {"BEST_METRIC": "none"})[2] / "saves/inpaint/best").exists()


def test_score_is_higher_for_better():
    edge, inpaint, joint = (EDGECONNECT.stage(name).metrics for name in ("edge", "inpaint", "joint"))
    assert score({"psnr": 20.0, "mae": 0.1}, "auto", inpaint) == 20
    assert score({"psnr": 20.0, "mae": 0.1}, "mae", inpaint) == -0.1
    assert score({"precision": 0.5, "recall": 0.25}, "auto", edge) == pytest.approx(1 / 3)
    assert score({"pre": 0.5, "rec": 0.25, "psnr": 3.0}, "f1", joint) == pytest.approx(1 / 3)
    assert score({"precision": 0.0, "recall": 0.0}, "f1", edge) == 0
    assert score({"precision": 0.5, "recall": 0.25}, "psnr", edge) is None
    assert score({"psnr": 20.0}, "none", inpaint) is None


class Poisoned(FakeFeed):
    """Serve batches some of which are not numbers."""

    def __init__(self, *bad, **keys):
        super().__init__(**keys)
        self.bad = bad

    def batches(self, pictures):
        for step, batch in enumerate(super().batches(pictures), start=pictures + 1):
            yield batch._replace(image=batch.image * float("nan")) if step in self.bad else batch


@pytest.mark.parametrize("check_every_step", [True, False])
def test_loss_that_is_not_finite_stops_names_and_keeps_the_batch(check_every_step, train, tmp_path):
    with pytest.raises(UserError) as caught:
        train(feed=Poisoned(4), check_every_step=check_every_step, MAX_ITERS=9, SAVE_INTERVAL=3, LOG_INTERVAL=4)
    said = str(caught.value)
    kept = tmp_path / "run/nonfinite/inpaint_0000004"
    assert f"stage inpaint, iteration 4: l_g2 is nan; pictures: batch 4, kept in {kept}" in said
    assert "the last save is of iteration 3" in said
    assert json.loads((kept / "report.json").read_text()) == {
        **{"stage": "inpaint", "iteration": 4, "losses": {"l_g2": "nan"}, "files": ["batch 4"]}
    }
    assert torch.load(kept / "batch.pth")["image"].isnan().all()
    assert (kept / "batch.png").is_file()
    assert torch.load(tmp_path / "run/InpaintingModel_gen.pth")["generator"]["value"].isfinite()


def test_bad_losses_are_passed_over_as_often_as_allowed(train, tmp_path, caplog):
    trainer, method, _ = train(feed=Poisoned(2, 4), MAX_ITERS=5, SKIP_NONFINITE=2)
    assert method.network.value.isfinite()
    assert (trainer.state.step, trainer.state.pictures, trainer.state.passed_over) == (5, 5, 2)
    assert "iteration 2: l_g2 is nan; batch passed over (1 of 2): batch 2" in caplog.text
    with pytest.raises(UserError, match="iteration 6: l_g2 is nan"):
        train(feed=Poisoned(6), MAX_ITERS=9, SKIP_NONFINITE=2)


def test_weights_that_are_not_finite_are_never_saved(train, tmp_path):
    class Diverging(FakeMethod):
        def step(self, batch, update, progress):
            scalars = super().step(batch, update, progress)
            if len(self.seen) == 3:
                self.network.value.data.fill_(float("inf"))
            return scalars

    with pytest.raises(UserError, match=r"weights of inpaint_generator are not finite; not saved, .* iteration 2"):
        train(method=Diverging(), MAX_ITERS=9, SAVE_INTERVAL=1)
    assert torch.load(tmp_path / "run/InpaintingModel_gen.pth")["iteration"] == 2


def test_feed_that_gives_out_costs_no_step(train, tmp_path):
    class Short(FakeFeed):
        def batches(self, pictures):
            for step, batch in enumerate(super().batches(pictures), start=pictures + 1):
                if step == 4:
                    raise UserError("bad.png: cannot be read")
                yield batch

    with pytest.raises(UserError, match=r"bad\.png"):
        train(feed=Short(), MAX_ITERS=9)
    assert torch.load(tmp_path / "run/InpaintingModel_gen.pth")["iteration"] == 3


def test_steps_before_a_refused_one_are_saved(train, tmp_path):
    with pytest.raises(UserError, match="the last save is of iteration 3"):
        train(feed=Poisoned(4), MAX_ITERS=9)
    assert torch.load(tmp_path / "run/InpaintingModel_gen.pth")["iteration"] == 3


def test_steps_before_a_process_died_are_saved(train, tmp_path):
    class Dying(FakeFeed):
        def batches(self, pictures):
            for step, batch in enumerate(super().batches(pictures), start=pictures + 1):
                if step == 4:
                    raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")
                yield batch

    with pytest.raises(RuntimeError, match="killed by signal"):
        train(feed=Dying(), MAX_ITERS=9)
    assert torch.load(tmp_path / "run/InpaintingModel_gen.pth")["iteration"] == 3


def test_best_is_marked_again_after_a_crash_and_forgotten_when_judged_otherwise(train, monkeypatch):
    keys = {"MAX_ITERS": 4, "EVAL_INTERVAL": 4, "SAVE_INTERVAL": 4, "BEST_METRIC": "mae"}
    with monkeypatch.context() as patch:
        patch.setattr("edgeconnect.checkpoint.saves.StageSaves.mark_best", lambda *_: None)
        folder = train(**keys)[2]
    assert not (folder / "saves/inpaint/best").exists()
    train(**keys)
    assert (folder / "saves/inpaint/best").resolve().name == "0000004"
    trainer, _, _ = train(**keys | {"MASK_RATIO": "0.2-0.3"})
    assert trainer.best.step == 0


def test_best_of_an_old_save_counts_where_keys_that_it_did_not_know_are_at_their_defaults():
    best = Best(tiny_config())
    state = best.state_dict()
    del state["config"]["KNOWN_EDGES"]
    state["best"] = (0.5, 3)
    best.load_state_dict(state)
    assert best.step == 3
    other = Best(tiny_config(KNOWN_EDGES="damaged"))
    other.load_state_dict(state)
    assert other.step == 0


def test_owed_evaluation_of_the_last_step_is_done(train, tmp_path):
    keys = {"MAX_ITERS": 4, "EVAL_INTERVAL": 4, "BEST_METRIC": "mae"}
    with pytest.raises(Stopped), Signals() as signals:
        train(feed=Interrupting(signal.SIGTERM, picture=2), signals=signals, **keys)
    _, _, here = train(**keys)
    assert [row["iteration"] for row in rows(here / "log_inpaint_val.csv")] == ["4"]
    assert (here / "saves/inpaint/best").resolve().name == "0000004"
    assert not torch.load(here / "saves/inpaint/0000004/state.pth")["train"]["evaluation_pending"]


def test_other_pictures_are_said(train, caplog):
    class Others(FakeFeed):
        def identity(self):
            return "other batches"

    train(MAX_ITERS=1)
    train(feed=Others(), MAX_ITERS=2)
    assert "TRAIN_FLIST was random batches, is other batches" in caplog.text


@pytest.mark.parametrize("when", [{"SAMPLE_INTERVAL": 3}, {"EVAL_INTERVAL": 3}])
@pytest.mark.parametrize("error", [UserError("bad.png: cannot be read"), MemoryError(), RuntimeError("out of memory")])
def test_errors_while_sampling_or_evaluating_cost_no_step(when, error, train, tmp_path):
    class Bad(FakeFeed):
        def validation(self, limit=None):
            raise error
            yield

    with pytest.raises(type(error)):
        train(feed=Bad(), MAX_ITERS=9, **when)
    assert torch.load(tmp_path / "run/InpaintingModel_gen.pth")["iteration"] == 3


def test_error_out_of_a_step_costs_no_step_before_it(train, tmp_path):
    class Full(FakeMethod):
        def step(self, batch, update, progress):
            if progress.iteration == 4:
                raise RuntimeError("CUDA out of memory")
            return super().step(batch, update, progress)

    with pytest.raises(RuntimeError, match="out of memory"):
        train(method=Full(), MAX_ITERS=9)
    assert torch.load(tmp_path / "run/InpaintingModel_gen.pth")["iteration"] == 3


def test_half_moved_weights_are_not_saved(train, tmp_path):
    method, steps = FakeMethod(), []
    real = method.optimizers["generator"].step

    def move(*arguments):
        steps.append(1)
        if len(steps) == 4:
            raise RuntimeError("device lost")
        return real(*arguments)

    method.optimizers["generator"].step = move
    with pytest.raises(RuntimeError, match="device lost"):
        train(method=method, MAX_ITERS=9, SAVE_INTERVAL=2)
    assert torch.load(tmp_path / "run/InpaintingModel_gen.pth")["iteration"] == 2


def test_samples_without_a_readable_picture_are_left_out(train, tmp_path, caplog):
    train(feed=FakeFeed(evaluates=False, validation=0), MAX_ITERS=2, SAMPLE_INTERVAL=1)
    assert not (tmp_path / "run/samples").exists()
    assert "none of the first" in caplog.text


def test_validation_does_not_depend_on_the_batch_size():
    method, engine = tiny_method("joint"), Engine(torch.device("cpu"))
    batch = random_batch(4, seed=3)
    alone = [batch._replace(name=[name])._replace(**parts(batch, i)) for i, name in enumerate(batch.name)]
    one, four = evaluate(method, engine, alone), evaluate(method, engine, [batch])
    assert one.keys() == four.keys() == {"pre", "rec", "psnr", "mae"}
    assert all(one[name] == pytest.approx(four[name], abs=1e-5) for name in one)


def parts(batch, i):
    return {name: getattr(batch, name)[i : i + 1] for name in ("image", "gray", "edge", "mask")}


class Late(FakeFeed):
    """Serve every batch late."""

    def batches(self, pictures):
        for batch in super().batches(pictures):
            time.sleep(0.05)
            yield batch


@pytest.mark.parametrize(("feed", "low", "high"), [(FakeFeed(), 0, 0.5), (Late(), 0.5, 1)])
def test_log_has_the_share_of_time_spent_waiting_for_data(feed, low, high, train):
    folder = train(feed=feed, MAX_ITERS=6, LOG_INTERVAL=3)[2]
    shares = [float(row["wait"]) for row in rows(folder / "log_inpaint.csv")]
    assert all(low <= share < high for share in shares)


@pytest.mark.parametrize(("feed", "warnings"), [(FakeFeed(), 0), (Late(), 1)])
def test_waiting_most_of_the_time_is_warned_of_once(feed, warnings, train, caplog, monkeypatch):
    monkeypatch.setattr("edgeconnect.training.waiting.WINDOW", 4)
    train(feed=feed, MAX_ITERS=9, NUM_WORKERS=3)
    assert caplog.text.count("waiting for data: raise NUM_WORKERS (now 3)") == warnings


def test_log_gets_columns_that_come_later(tmp_path):
    from edgeconnect.training.logs import CsvLog

    log = CsvLog(tmp_path / "log.csv", 0)
    log.write({"iteration": 1})
    log.write({"iteration": 2, "psnr": 20.0})
    assert (tmp_path / "log.csv").read_text() == "iteration,psnr\n1,\n2,20\n"
