"""Signals to a run that trains."""

import multiprocessing
import os
import signal
import threading

import pytest

from edgeconnect.training.signals import Signals, Stopped


def ask_twice(number):
    with Signals() as signals:
        os.kill(os.getpid(), number)
        assert signals.stop == number
        os.kill(os.getpid(), number)
    os._exit(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_stops_at_once(number):
    process = multiprocessing.get_context("spawn").Process(target=ask_twice, args=(number,))
    process.start()
    process.join(60)
    assert process.exitcode == -number


def test_ignored_signals_stay_ignored_and_handlers_come_back():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert not signals.stop
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


def test_save_is_wanted_once_and_stops_nothing():
    with Signals() as signals:
        signal.raise_signal(signal.SIGUSR1)
        signals.agree()
        assert (signals.save_wanted(), signals.save_wanted(), signals.stop) == (True, False, 0)
        signals.raise_if_stopped()


def test_exit_code_is_the_shells(capfd):
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped, match="stopped by SIGTERM") as caught:
            signals.raise_if_stopped()
    assert caught.value.exit_code == 143


def test_other_threads_listen_to_nothing():
    seen = []

    def listen():
        with Signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
