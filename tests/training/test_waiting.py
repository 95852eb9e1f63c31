import itertools

import pytest

from edgeconnect.training import waiting
from edgeconnect.training.waiting import WINDOW, Wait


class Clock:
    """Time, and an engine whose device is busy until `busy`: on it, a mark is the moment when that is done."""

    now = busy = 0.0
    threads = 0

    def perf_counter(self):
        return self.now

    def mark(self):
        return max(self.now, self.busy)

    def seconds(self, start, end):
        return end - start


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def train(wait, clock, fetching, steps, computing=0.0):
    """Take batches that are `fetching` seconds late, and so many seconds for each step."""

    def batches():
        while True:
            clock.now += fetching
            yield object()

    for _, seconds in zip(wait.watch(batches()), steps, strict=False):
        clock.now += seconds
        clock.busy = max(clock.now, clock.busy) + computing


def test_share_of_time_and_the_warning_where_it_is_most(clock, caplog):
    wait = Wait(clock, workers=2)
    train(wait, clock, 3.0, itertools.repeat(1.0, 2 * WINDOW))
    assert wait.share() == pytest.approx(0.75, abs=0.01)
    assert wait.share() == 0
    assert caplog.text.count("NUM_WORKERS (now 2)") == 1


def test_on_a_gpu_only_the_time_that_it_idles_counts(clock, caplog):
    wait = Wait(clock, workers=2)
    train(wait, clock, 0.21, itertools.repeat(0.02, 2 * WINDOW), computing=0.2)  # 0.01 s late of 0.23 a step
    assert wait.share() == pytest.approx(0.01 / 0.23, rel=0.1)
    assert not caplog.text


@pytest.mark.parametrize(("threads", "warned", "named"), [(2, 1, 1), (1, 1, 0), (0, 0, 0)])
def test_steps_that_stall_are_told_once_with_the_remedy(threads, warned, named, clock, caplog):
    clock.threads = threads
    wait = Wait(clock, workers=2)
    train(wait, clock, 0.0, [1.0] * 2 * WINDOW + [3.0] * 3 * WINDOW)
    assert caplog.text.count("other programs") == warned
    assert caplog.text.count("THREADS") == named


def test_slow_samples_are_no_stall(clock, caplog):
    clock.threads = 2
    wait = Wait(clock, workers=2)
    train(wait, clock, 0.0, [1.0] * WINDOW + [1.0, 9.0, 1.0, 1.0] * WINDOW)
    assert not caplog.text
