import itertools

import pytest

from edgeconnect.training import waiting
from edgeconnect.training.waiting import WINDOW, Wait


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def train(wait, clock, fetching, steps):
    """Take batches that are `fetching` seconds late, and so many seconds for each step."""

    def batches():
        while True:
            clock.now += fetching
            yield object()

    for _, seconds in zip(wait.watch(batches()), steps, strict=False):
        clock.now += seconds


def test_share_of_time_and_the_warning_where_it_is_most(clock, caplog):
    wait = Wait(lambda: True, workers=2)
    train(wait, clock, 3.0, itertools.repeat(1.0, 2 * WINDOW))
    assert wait.share() == pytest.approx(0.75, abs=0.01)
    assert wait.share() == 0
    assert caplog.text.count("NUM_WORKERS (now 2)") == 1


@pytest.mark.parametrize(("threads", "warnings"), [(2, 1), (0, 0)])
def test_steps_that_stall_are_told_once_with_the_remedy(threads, warnings, clock, caplog):
    wait = Wait(lambda: True, workers=2, threads=threads)
    train(wait, clock, 0.0, [1.0] * 2 * WINDOW + [3.0] * 3 * WINDOW)
    assert caplog.text.count("THREADS") == warnings


def test_slow_samples_are_no_stall(clock, caplog):
    wait = Wait(lambda: True, workers=2, threads=2)
    train(wait, clock, 0.0, [1.0] * WINDOW + [1.0, 9.0, 1.0, 1.0] * WINDOW)
    assert not caplog.text
