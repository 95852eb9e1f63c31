"""Progress: plain lines in a file, a bar on a terminal."""

import io
import logging
import re
import sys

import pytest

from edgeconnect.progress import progress as show


@pytest.fixture
def messages(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("edgeconnect"), "handlers", [])  # what a command before has left
    caplog.set_level(logging.INFO, "edgeconnect")
    return caplog


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_off_a_terminal_each_half_minute_and_the_end_are_lines_of_their_own(messages, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    with show(200, 100, "edge", "it") as bar:
        for _ in range(70):
            now[0] += 1.0
            bar.set_postfix({"psnr": "21.3"}, refresh=False)
            bar.update()
    lines = [record.getMessage() for record in messages.records]
    assert len(lines) == 3
    assert [re.match(r"edge: (\d+) of 200 \((\d+) %\)", line).groups() for line in lines] == [
        ("130", "65"),
        ("160", "80"),
        ("170", "85"),
    ]
    assert all("1.00 it/s" in line and "left" in line and line.endswith("psnr=21.3") for line in lines)
    assert capsys.readouterr() == ("", "")


def test_nothing_to_do_and_short_tasks_log_at_most_one_line(messages):
    with show(0, 0, "reading", "file"):
        pass
    with show(5, 5, "edge", "it"):
        pass
    assert not messages.records
    with show(3, 0, "reading", "file") as bar:
        bar.update(3)
    assert len(messages.records) == 1
    assert "\r" not in messages.records[0].getMessage()


def test_lines_end_where_an_error_ends_the_task(messages):
    def work():
        with show(9, 0, "edge", "it") as bar:
            bar.update(2)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    assert messages.records[0].getMessage().startswith("edge: 2 of 9 ")


def test_messages_on_a_terminal_stand_on_lines_of_their_own(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    log = logging.getLogger("edgeconnect")
    handler = logging.StreamHandler(terminal)
    monkeypatch.setattr(log, "handlers", [handler])
    with show(10, 0, "edge", "it") as bar:
        bar.update()
        log.warning("something")
        bar.update()
    assert log.handlers == [handler]
    shown = terminal.getvalue()
    assert "edge: " in shown
    assert re.search(r"[\r\n]something\n", shown)
