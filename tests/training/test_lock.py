"""One run at a time in a folder."""

import json
import multiprocessing
import os
import signal

import pytest

from edgeconnect.errors import UserError
from edgeconnect.training.lock import LOCK, folder_lock


def hold(folder, ready):
    with folder_lock(folder):
        ready.set()
        signal.pause()


@pytest.fixture
def other_run(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def test_second_run_is_refused_and_a_dead_one_is_not_waited_for(tmp_path, other_run):
    with pytest.raises(UserError, match=f"another run trains here \\(process {other_run.pid} on .*, since 2"):
        folder_lock(tmp_path).__enter__()
    os.kill(other_run.pid, signal.SIGKILL)
    other_run.join()
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == other_run.pid
    with folder_lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert (tmp_path / LOCK).read_text() == ""


def test_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"train\.lock: cannot be written"):
        folder_lock(tmp_path / "file").__enter__()


def test_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    import fcntl

    def none(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", none)
    with folder_lock(tmp_path):
        assert "has no locks" in caplog.text
