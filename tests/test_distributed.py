"""Several ranks train as one process does, and end together."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rank_norms
import rank_steps
import torch
from test_resume import assert_same

from edgeconnect.training.lock import folder_lock

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
LONG = {
    "MAX_ITERS": 100000,
    "SAVE_INTERVAL": 100000,
    "LOG_INTERVAL": 1,
    "SAMPLE_INTERVAL": 0,
    "BATCH_SIZE": 4,
    "PRECISION": "fp32",
}


class Ranks:
    """Starts programs in several ranks, one run after the other."""

    def __init__(self, folder):
        self.folder, self.runs = folder, 0
        pipe = subprocess.PIPE
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(TESTS / "ranks.py")]
        self.python = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def start(self, number, *argv):
        self.runs += 1
        wanted = {"number": number, "argv": [*map(str, argv)], "output": str(self.folder / f"{self.runs}.")}
        self.number = number
        self.python.stdin.write(json.dumps(wanted) + "\n")
        self.python.stdin.flush()
        self.processes = json.loads(self.python.stdout.readline())
        return self.processes

    def end(self):
        """Return exit codes and what each rank printed; ranks that wait for each other are killed."""
        if not select.select([self.python.stdout], [], [], 120)[0]:
            for process in self.processes:
                os.kill(process, signal.SIGKILL)
        codes = json.loads(self.python.stdout.readline())
        return codes, [(self.folder / f"{self.runs}.{number}").read_text() for number in range(self.number)]

    def run(self, number, *argv):
        self.start(number, *argv)
        return self.end()

    def train(self, number, folder, *options):
        return self.run(number, "train.py", "--checkpoints", folder, "--no-check", *options)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    started = Ranks(tmp_path_factory.mktemp("ranks"))
    yield started
    started.python.communicate()


def wait_for_rows(folder, stage, number=3):
    path, deadline = folder / f"log_{stage}.csv", time.monotonic() + 60
    while not (path.is_file() and path.read_text().count("\n") > number):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def newest(folder, stage):
    return max(int(save.name) for save in (folder / f"saves/{stage}").glob("0*"))


def errors(said):
    return [line for text in said for line in text.splitlines() if line.startswith("error:")]


@pytest.fixture(scope="module")
def alone():
    return {name: rank_steps.train(name) for name in rank_steps.KEYS}


@pytest.mark.parametrize("number", [2, 4])
def test_ranks_reproduce_one_process_on_the_same_batches(number, alone, ranks, tmp_path):
    codes, said = ranks.run(number, TESTS / "rank_steps.py", tmp_path / "found.pth")
    assert codes == [0] * number, said
    first, *others = torch.load(tmp_path / "found.pth")
    for name, weights in alone.items():
        for key, value in weights.items():
            exact = {"rtol": 0, "atol": 1e-7 if "." in key else 0}  # measures are the very same
            torch.testing.assert_close(first[name][key], value, **exact, msg=lambda m, of=f"{name} {key}": f"{of}: {m}")
            assert all(torch.equal(other[name][key], first[name][key]) for other in others), f"{name} {key} drifts"


@pytest.mark.parametrize("number", [2, 4])
def test_batch_normalisation_of_ranks_is_that_of_the_whole_batch(number, ranks, tmp_path):
    codes, said = ranks.run(number, TESTS / "rank_norms.py", tmp_path / "found.pth")
    assert codes == [0] * number, said
    alone = rank_norms.train() | rank_norms.train_in_bfloat16()
    first, *others = torch.load(tmp_path / "found.pth")
    assert first.keys() == alone.keys()
    for name, value in alone.items():
        rounding = {"rtol": 1e-2, "atol": 2e-2} if name == "bfloat16" else {"rtol": 1e-5, "atol": 1e-5}
        exact = rounding if "bfloat16" in name else {"rtol": 1e-10, "atol": 1e-10}
        torch.testing.assert_close(first[name], value, **exact, msg=lambda m, of=name: f"{of}: {m}")
        assert all(torch.equal(other[name], first[name]) for other in others), f"{name} drifts"


def test_run_of_two_ranks_resumes_bit_for_bit(ranks, run_folder):
    stage = "edge"
    keys = LONG | {"EMA_DECAY": 0.9, "EVAL_INTERVAL": 3, "MAX_ITERS": 6, "NUM_WORKERS": 1, "SIGMA": 0}
    folders = {name: run_folder(name, **keys) for name in ("whole", "parts", "alone")}
    for name, number, ends in (("whole", 2, [6]), ("parts", 2, [3, 6]), ("alone", 1, [6])):
        for end in ends:
            codes, said = ranks.train(number, folders[name], "--model", stage, "--set", f"MAX_ITERS={end}")
            assert codes == [0] * number, said
    assert_same(folders["whole"], folders["parts"], stage, 6)
    drawn = torch.load(folders["parts"] / f"saves/{stage}/0000006/state.pth")["random"]
    assert not torch.equal(drawn["torch"], drawn["others"][0]["torch"])
    rows = [(folders[name] / f"log_{stage}_val.csv").read_text().splitlines() for name in ("whole", "alone")]
    for ours, theirs in zip(*(row[1:] for row in rows), strict=True):
        ours, theirs = ([float(value) for value in line.split(",")] for line in (ours, theirs))
        assert ours == pytest.approx(theirs, rel=1e-3)
    codes, said = ranks.train(1, folders["whole"], "--model", stage, "--set", "MAX_ITERS=7")
    assert codes == [0]
    assert "random numbers begin anew" in said[0]


@pytest.mark.parametrize(("number", "asked"), [(signal.SIGTERM, [1]), (signal.SIGINT, [0, 1])])
def test_signal_to_any_rank_stops_all_with_everything_saved(number, asked, ranks, run_folder):
    folder = run_folder(**LONG)
    processes = ranks.start(2, "train.py", "--checkpoints", folder, "--model", 1, "--no-check")
    wait_for_rows(folder, "edge")
    for rank in asked:
        os.kill(processes[rank], number)
    codes, said = ranks.end()
    assert codes == [128 + number] * 2, said
    assert "Traceback" not in said[0] + said[1]
    assert f"stopped by {number.name}" in said[0]
    assert newest(folder, "edge") == (folder / "log_edge.csv").read_text().count("\n") - 1


def test_user_signal_to_one_rank_saves_and_goes_on(ranks, run_folder):
    folder = run_folder(**LONG)
    processes = ranks.start(2, "train.py", "--checkpoints", folder, "--model", 1, "--no-check")
    wait_for_rows(folder, "edge")
    os.kill(processes[1], signal.SIGUSR1)
    deadline = time.monotonic() + 30
    while not list(folder.glob("saves/edge/0*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    wait_for_rows(folder, "edge", newest(folder, "edge") + 2)
    os.kill(processes[0], signal.SIGTERM)
    assert ranks.end()[0] == [143, 143]


@pytest.mark.parametrize("killed", [0, 1])
def test_killed_rank_ends_the_others_in_one_line(killed, ranks, run_folder):
    folder = run_folder(**LONG)
    processes = ranks.start(2, "train.py", "--checkpoints", folder, "--model", 1, "--no-check")
    wait_for_rows(folder, "edge")
    os.kill(processes[killed], signal.SIGKILL)
    codes, said = ranks.end()
    assert (codes[killed], codes[1 - killed]) == (-9, 2), said
    assert "Traceback" not in said[0] + said[1]
    assert len(errors(said)) == 1
    assert f"rank {1 - killed} has lost another one" in errors(said)[0]
    steps = (folder / "log_edge.csv").read_text().count("\n") - 1
    if killed:
        assert newest(folder, "edge") == steps
    else:
        assert not (folder / "saves").exists()
    codes, said = ranks.train(2, folder, "--model", 1, "--set", f"MAX_ITERS={steps + 1}")
    assert codes == [0, 0], said


def test_refusals_are_one_line_and_end_all_ranks(ranks, run_folder):
    folder = run_folder(**LONG)
    with folder_lock(folder):
        codes, said = ranks.train(2, folder, "--model", 1)
    assert (codes, len(errors(said))) == ([2, 2], 1)
    assert "another run trains here" in said[0]
    for keys, told in (
        ({"BATCH_SIZE": 3}, "BATCH_SIZE: 3 pictures are not divisible by 2 ranks"),
        ({"BATCH_SIZE": 4, "GRAD_ACCUMULATION": 4}, "set a multiple of 8"),
        ({"TRAIN_FLIST": "gone.flist"}, "gone.flist"),
        ({"RESIDUAL": 1}, "unknown key RESIDUAL"),
    ):
        options = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
        codes, said = ranks.train(2, folder, "--model", 1, *options)
        assert (codes, len(errors(said))) == ([2, 2], 1), said
        assert told in said[0]
    codes, said = ranks.run(2, "test.py", "--checkpoints", folder)
    assert (codes, len(errors(said))) == ([2, 2], 1)
    assert "start it without torchrun" in said[0]


def test_broken_picture_on_one_rank_ends_all_with_everything_saved(ranks, run_folder, tmp_path):
    from edgeconnect.cli import main

    assert main(["scenes", "--output", str(tmp_path / "scenes"), "--count", "8", "--size", "32"]) == 0
    sorted((tmp_path / "scenes/images").iterdir())[3].write_bytes(b"no picture")
    keys = {"TRAIN_FLIST": tmp_path / "scenes/images", "BATCH_SIZE": 2, "MAX_ITERS": 5, "LOG_INTERVAL": 1}
    folder = run_folder(**LONG | keys)
    codes, said = ranks.train(2, folder, "--model", 1)
    assert (codes, len(errors(said))) == ([2, 2], 1), said
    assert "scene_000003.png" in errors(said)[0]
    assert "Traceback" not in said[0] + said[1]
    steps = (folder / "log_edge.csv").read_text().count("\n") - 1 if (folder / "log_edge.csv").is_file() else 0
    assert steps == 0 or newest(folder, "edge") == steps


BAD = """
import sys
sys.path.insert(0, "src")
import torch
from edgeconnect import losses
from edgeconnect.cli import main
from edgeconnect.launch import rank
real, calls = losses.hole_l1, []
def hole_l1(fake, real_image, ratio):
    calls.append(rank())
    return real(fake, real_image, ratio) * (float("nan") if rank() == 1 and len(calls) in BAD_STEPS else 1)
losses.hole_l1 = hole_l1
if not CHECKS:  # as on GPUs
    from edgeconnect.engine import Engine
    real_init = Engine.__init__
    def init(self, *arguments):
        real_init(self, *arguments)
        self.check_every_step = False
    Engine.__init__ = init
raise SystemExit(main(sys.argv[1:]))
"""


def test_bad_loss_of_one_rank_is_passed_over_or_ends_all(ranks, run_folder, tmp_path):
    program, folder = tmp_path / "bad.py", run_folder(**LONG | {"MAX_ITERS": 6})
    program.write_text(BAD.replace("BAD_STEPS", "(3,)").replace("CHECKS", "True"))
    arguments = ("train", "--checkpoints", folder, "--model", 2, "--no-check")
    codes, said = ranks.run(2, program, *arguments)
    assert (codes, len(errors(said))) == ([2, 2], 1), said
    kept = folder / "nonfinite/inpaint_0000003_rank1"
    assert "error: rank 1: stage inpaint, iteration 3: l_l1 is nan; pictures: " in said[0]
    assert len(json.loads((kept / "report.json").read_text())["files"]) == 2
    assert newest(folder, "inpaint") == 2
    codes, said = ranks.run(2, program, *arguments, "--set", "SKIP_NONFINITE=1", "--resume", "never")
    assert codes == [0, 0], said
    assert "batch passed over (1 of 1)" in said[1]
    assert newest(folder, "inpaint") == 6


def test_bad_loss_that_is_noticed_later_is_blamed_on_its_rank_and_step(ranks, run_folder, tmp_path):
    program, folder = tmp_path / "bad.py", run_folder(**LONG | {"MAX_ITERS": 6, "LOG_INTERVAL": 6, "SAVE_INTERVAL": 2})
    program.write_text(BAD.replace("BAD_STEPS", "(3,)").replace("CHECKS", "False"))
    codes, said = ranks.run(2, program, "train", "--checkpoints", folder, "--model", 2, "--no-check")
    assert (codes, len(errors(said))) == ([2, 2], 1), said
    assert "error: rank 1: stage inpaint, iteration 3: l_l1 is nan; pictures: " in said[0]
    assert newest(folder, "inpaint") == 2


DRIFTING = """
import sys
sys.path.insert(0, "src")
import torch
from edgeconnect.cli import main
from edgeconnect.engine import Engine
from edgeconnect.launch import rank
real = Engine.move
def move(self, optimizers):
    real(self, optimizers)
    if rank() == 1:
        optimizers[0].param_groups[0]["params"][0].data.mul_(1.1)
Engine.move = move
raise SystemExit(main(sys.argv[1:]))
"""


def test_weights_that_differ_between_ranks_are_not_saved(ranks, run_folder, tmp_path):
    (tmp_path / "drifting.py").write_text(DRIFTING)
    folder = run_folder(**LONG | {"MAX_ITERS": 2})
    codes, said = ranks.run(2, tmp_path / "drifting.py", "train", "--checkpoints", folder, "--model", 1, "--no-check")
    assert (codes, len(errors(said))) == ([2, 2], 1), said
    assert "differ between ranks" in said[0]
    assert not list(folder.glob("saves/edge/0*"))


SEVERAL = """
import sys
sys.path.insert(0, "src")
from edgeconnect import device
from edgeconnect.cli import main
device.gpus_to_share = lambda config: len(config.gpu)
raise SystemExit(main(sys.argv[1:]))
"""


def test_train_starts_a_rank_for_each_gpu(run_folder, tmp_path):
    (tmp_path / "several.py").write_text(SEVERAL)
    folder = run_folder(**LONG | {"GPU": [0, 1], "DEVICE": "cpu"})
    command = [sys.executable, str(tmp_path / "several.py"), "train", "--checkpoints", str(folder), "--model", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for_rows(folder, "edge")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal's Ctrl-C
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "2 ranks" in said
    assert "Traceback" not in said
    assert newest(folder, "edge") == (folder / "log_edge.csv").read_text().count("\n") - 1
    assert children
    assert not any(Path(f"/proc/{child}").exists() for child in children)
