"""Runs that are stopped and started again with the same command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import STAGES, log_of

from edgeconnect.data.sources import draw_scene

ROOT = Path(__file__).resolve().parents[1]
EVERY = {"EMA_DECAY": 0.9, "EVAL_INTERVAL": 3, "SAMPLE_INTERVAL": 4, "LOG_INTERVAL": 1, "SAVE_INTERVAL": 2, "SIGMA": 0}


def flat(value, name=""):
    """Name every leaf of a state."""
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in flat(part, f"{name}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, part in enumerate(value) for k, v in flat(part, f"{name}/{i}").items()}
    return {name: value}


def contents(folder, stage, step):
    """Return everything that a run left behind and that shall not depend on interruptions."""
    save = folder / f"saves/{stage}/{step:07d}"
    states = {path.name: flat(torch.load(path, weights_only=True)) for path in save.glob("*.pth")}
    tensors = {(file, name): value for file, state in states.items() for name, value in state.items()}
    logs = {path.name: log_of(path) for path in folder.glob("log_*.csv")}
    samples = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("samples/**/*.png")}
    return tensors, logs | samples


def assert_same(here, there, stage, step, *but):
    (ours, files), (theirs, other_files) = contents(here, stage, step), contents(there, stage, step)
    assert files == other_files
    assert ours.keys() == theirs.keys()
    unlike = [key for key, value in ours.items() if not same(value, theirs[key]) and key[1] not in but]
    assert not unlike


def same(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stage", STAGES)
def test_n_and_n_steps_equal_twice_n_bit_for_bit(stage, workers, precision, run_folder, command):
    keys = EVERY | {"NUM_WORKERS": workers, "PRECISION": precision, "GRAD_CLIP": 1}
    folders = {name: run_folder(name, **keys) for name in ("whole", "parts")}
    for name, ends in (("whole", [6]), ("parts", [3, 6])):
        if stage in ("edge_inpaint", "joint"):
            for first in (1, 2):
                assert (
                    command("train", "--model", first, "--checkpoints", folders[name], "--set", "MAX_ITERS=1")[0] == 0
                )
        for end in ends:
            code, said = command(
                *("train", "--model", stage, "--checkpoints", folders[name], "--set", f"MAX_ITERS={end}")
            )
            assert code == 0, said
    assert_same(folders["whole"], folders["parts"], stage, 6)


def start(folder, *options):
    """Start train.py as a user does, in a process group of its own."""
    arguments = [sys.executable, "train.py", "--checkpoints", str(folder), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        arguments, cwd=ROOT, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_terminated_process_group_leaves_a_save_and_its_resumption_differs_in_nothing(run_folder, command):
    keys = EVERY | {"NUM_WORKERS": 2, "SAMPLE_INTERVAL": 0, "SAVE_INTERVAL": 100000, "MAX_ITERS": 100000}
    folder, whole = run_folder("parts", **keys), run_folder("whole", **keys)
    process = start(folder, "--model", "1")
    log = folder / "log_edge.csv"
    wait_for(lambda: log.is_file() and log.read_text().count("\n") > 5, process)
    os.killpg(process.pid, signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143, said
    assert "SIGTERM: finishing the step, then saving; a second one stops at once" in said
    assert "stopped by SIGTERM" in said
    assert "Traceback" not in said
    end = max(int(save.name) for save in (folder / "saves/edge").glob("0*")) + 2
    for run in (folder, whole):
        code, said = command("train", "--model", 1, "--checkpoints", run, "--set", f"MAX_ITERS={end}")
        assert code == 0, said
    assert_same(folder, whole, "edge", end)


def test_second_run_in_a_folder_is_refused(run_folder, command):
    folder = run_folder(MAX_ITERS=100000, SAVE_INTERVAL=100000)
    process = start(folder, "--model", "1")
    try:
        wait_for(lambda: (folder / "train.lock").is_file() and (folder / "train.lock").read_text(), process)
        code, said = command("train", "--model", 2, "--checkpoints", folder)
    finally:
        process.kill()
        process.communicate()
    assert (code, f"another run trains here (process {process.pid} on" in said) == (2, True)
    assert command("train", "--model", 2, "--checkpoints", folder, "--set", "MAX_ITERS=1")[0] == 0


def test_worker_that_is_killed_is_reported_with_its_cause(run_folder, command, monkeypatch):
    from edgeconnect.data import sources

    real, parent = sources.SceneSource.read, os.getpid()

    def read(self, index, *square):
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, index, *square)

    monkeypatch.setattr(sources.SceneSource, "read", read)
    folder = run_folder(NUM_WORKERS=1, MAX_ITERS=3)
    code, said = command("train", "--model", 1, "--checkpoints", folder)
    assert code == 2
    assert "error: a process that reads data died (" in said
    assert "killed by signal: Killed" in said
    assert "lower NUM_WORKERS" in said


# Readers that hang or die


HANGS = """
import sys, time
sys.path.insert(0, "src")
from edgeconnect.data import sources
real, reads = sources.SceneSource.read, []
def read(self, index, *square):
    reads.append(index)
    if len(reads) > 4:
        time.sleep(10**6)
    return real(self, index, *square)
sources.SceneSource.read = read
from edgeconnect.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_sigterm_saves_at_once_though_a_reader_hangs(workers, run_folder):
    folder = run_folder(NUM_WORKERS=workers, MAX_ITERS=1000, SAVE_INTERVAL=1000, LOG_INTERVAL=1, BATCH_SIZE=1)
    arguments = [sys.executable, "-c", HANGS, "train", "--model", "1", "--checkpoints", str(folder), "--no-check"]
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    log = folder / "log_edge.csv"
    lines = 0
    wait_for(lambda: log.is_file() and log.read_text().count("\n") > 1, process)
    while log.read_text().count("\n") != lines:  # until it hangs
        lines = log.read_text().count("\n")
        time.sleep(1)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: list((folder / "saves").glob("edge/0*/save.json")), process, seconds=20)
    saved = time.monotonic() - began
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert max(int(save.name) for save in (folder / "saves/edge").glob("0*")) == lines - 1
    assert saved < 10  # 2 s on an idle machine, see docs/runs.md; nothing here waits for the reader


def test_killed_reader_costs_no_finished_step(run_folder):
    folder = run_folder(NUM_WORKERS=2, MAX_ITERS=100000, SAVE_INTERVAL=100000, LOG_INTERVAL=1)
    process = start(folder, "--model", "1", "--no-check")
    log = folder / "log_edge.csv"
    wait_for(lambda: log.is_file() and log.read_text().count("\n") > 5, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    readers = [int(child) for child in children if "train.py" in Path(f"/proc/{child}/cmdline").read_text()]
    os.kill(readers[0], signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 2, said
    assert "error: a process that reads data died" in said
    assert "Traceback" not in said
    steps = log.read_text().count("\n") - 1
    assert max(int(save.name) for save in (folder / "saves/edge").glob("0*")) == steps


# Phases


PHASES = "{edge_inpaint: [{end: 3, lr: 1e-3}, {end: 5, lr: {generator: 1e-4}, train: generator}, {end: 8}]}"


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_resumption_in_the_middle_of_any_phase_is_bit_exact(stop, run_folder, command):
    keys = {"EMA_DECAY": 0.9, "LOG_INTERVAL": 1, "SAMPLE_INTERVAL": 0, "PHASES": f"'{PHASES}'".strip("'")}
    folders = {name: run_folder(name, **keys) for name in ("whole", "parts")}
    for name, ends in (("whole", [8]), ("parts", [stop, 8])):
        for first in (1, 2):
            assert command("train", "--model", first, "--checkpoints", folders[name], "--set", "MAX_ITERS=1")[0] == 0
        for end in ends:
            code, said = command(
                *("train", "--model", 3, "--checkpoints", folders[name], "--set", f"MAX_ITERS={end}", "--no-check")
            )
            assert code == 0, said
    assert_same(folders["whole"], folders["parts"], "edge_inpaint", 8)
    rows = [[row["phase"], row["lr"]] for row in log_of(folders["parts"] / "log_edge_inpaint.csv")]
    assert rows == [["1", "0.001"]] * 3 + [["2", "0.0001"]] * 2 + [["3", "0.0001"]] * 3
    starts = [json.loads(line) for line in (folders["parts"] / "history.jsonl").read_text().splitlines()]
    assert [(start["stage"], start["iteration"]) for start in starts] == [
        *(("edge", 0), ("inpaint", 0), ("edge_inpaint", 0), ("edge_inpaint", stop))
    ]
    assert starts[-1]["set"] == {"MAX_ITERS": "8"}
    assert starts[-1]["changes"] == [f"MAX_ITERS {stop} -> 8"]
    assert {"time", "commit", "command", "phase"} <= starts[-1].keys()


def test_random_states_do_not_depend_on_restarts_with_a_feature_network(run_folder, command):
    keys = {"CONTENT_LOSS_WEIGHT": 0.1, "STYLE_LOSS_WEIGHT": 250, "VGG_WEIGHTS": "random", "LOG_INTERVAL": 1}
    folders = {name: run_folder(name, **keys) for name in ("whole", "parts")}
    for name, ends in (("whole", [4]), ("parts", [2, 4])):
        for end in ends:
            command("train", "--model", 2, "--checkpoints", folders[name], "--set", f"MAX_ITERS={end}", "--no-check")
    assert_same(folders["whole"], folders["parts"], "inpaint", 4)


THREE = "{completion: [{end: 2, train: generator}, {end: 4, train: discriminator}, {end: 6}]}"
TWO = "{completion: [{end: 3, lr: 2e-4}, {end: 6, lr: 5e-5}]}"


@pytest.mark.parametrize(
    ("method", "phases", "stop"),
    [
        *(("glcic", THREE, stop) for stop in (1, 3, 5)),
        ("se_contextual", THREE, 3),
        *(("partialconv", TWO, stop) for stop in (2, 4)),
    ],
)
def test_methods_resume_in_the_middle_of_their_phases_bit_for_bit(method, phases, stop, run_folder, command):
    keys = {"METHOD": method, "INPUT_SIZE": 64, "PHASES": phases, "EMA_DECAY": 0.9, "LOG_INTERVAL": 1}
    keys |= {"SAVE_INTERVAL": 1, "KEEP_CHECKPOINTS": 0, "SAMPLE_INTERVAL": 4, "EVAL_INTERVAL": 3}
    folders = {name: run_folder(name, **keys) for name in ("whole", "parts")}
    for name, ends in (("whole", [6]), ("parts", [stop, 6])):
        for end in ends:
            code, said = command("train", "--checkpoints", folders[name], "--set", f"MAX_ITERS={end}", "--no-check")
            assert code == 0, said
    assert_same(folders["whole"], folders["parts"], "completion", 6)
    rows = [row["phase"] for row in log_of(folders["parts"] / "log_completion.csv")]
    assert rows == (["1", "1", "2", "2", "3", "3"] if phases == THREE else ["1"] * 3 + ["2"] * 3)


def test_each_of_the_three_phases_moves_the_networks_that_it_names(run_folder, command):
    folder = run_folder(METHOD="glcic", INPUT_SIZE=64, PHASES=THREE, SAVE_INTERVAL=1, KEEP_CHECKPOINTS=0, LR=1)
    assert command("train", "--checkpoints", folder, "--no-check")[0] == 0

    def weights(step, file, entry):
        state = torch.load(folder / f"saves/completion/{step:07d}/GLCIC_{file}.pth", weights_only=True)[entry]
        return {key: value for key, value in state.items() if key.endswith("weight")}

    moved = []
    for step in range(2, 7):
        for file, entry in (("gen", "generator"), ("dis", "discriminator")):
            before, after = (weights(number, file, entry) for number in (step - 1, step))
            if any(not torch.equal(before[key], after[key]) for key in before):
                moved.append((step, entry))
    both = [(step, entry) for step in (5, 6) for entry in ("generator", "discriminator")]
    assert moved == [(2, "generator"), (3, "discriminator"), (4, "discriminator"), *both]


def test_the_mean_colour_is_found_once_and_kept(run_folder, command):
    folder = run_folder(METHOD="glcic", INPUT_SIZE=64)
    colours = []
    for end in (1, 2):
        assert command("train", "--checkpoints", folder, "--no-check", "--set", f"MAX_ITERS={end}")[0] == 0
        colours.append(torch.load(folder / "GLCIC_gen.pth", weights_only=True)["generator"]["mean_colour"])
    assert torch.equal(*colours)
    pictures = torch.stack([torch.from_numpy(draw_scene(number, 64)) for number in range(8)])
    torch.testing.assert_close(colours[0], pictures.float().mean((0, 1, 2)) / 255, atol=1e-3, rtol=0)
