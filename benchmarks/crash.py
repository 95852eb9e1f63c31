"""Kill a training run at random instants, damage what it wrote, start it again, compare with an undisturbed run.

    python benchmarks/crash.py --kills 100 --truncate 20 --json

Every iteration is saved. A fifth of the kills comes while the run starts, the others while it trains or saves; after
some of them the newest file of the saves is cut off at a random length. Each start must resume at the iteration of the
newest save that is whole, as this program, not the run, finds it; at the end weights, optimisers and random states must
equal the undisturbed run's bit for bit.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
import time
import zipfile
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from circumstances import circumstances

STAGES = ("edge", "inpaint", "edge_inpaint", "joint")
BEGUN = re.compile(r"stage \w+: (?:resumes at iteration (\d+)|starts)")
SETTINGS = {
    **{"TRAIN_FLIST": "scenes:16", "MASK": "strokes", "INPUT_SIZE": 32, "BATCH_SIZE": 2, "SIGMA": 1},
    **{"BASE_CHANNELS": 4, "RESIDUAL_BLOCKS": 1, "CONTENT_LOSS_WEIGHT": 0, "STYLE_LOSS_WEIGHT": 0},
    **{"SAVE_INTERVAL": 1, "SAMPLE_INTERVAL": 0, "LOG_INTERVAL": 1, "EMA_DECAY": 0.9},
}
IN_START = 0.2  # share of kills that come before the run has begun to train
WINDOW = 0.5  # seconds after that, within which the others come
PATIENCE = 60.0  # seconds for a start; one that never begins ends the benchmark
SHOWN = 10  # differences
FIRST = 3  # iterations before the first kill: damage must leave a whole save behind


def train(arguments: list[str], said: Path) -> None:
    """Run `train.py` in this process, its messages in a file."""
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    multiprocessing.set_start_method("fork", force=True)  # for those that read data, as in a process of its own
    torch.set_num_threads(1)
    from edgeconnect.cli import main

    sys.exit(main(["train", *arguments]))


class Run:
    """A run's folder, and the processes that train in it one after the other."""

    def __init__(self, folder: Path, stage: str, workers: int) -> None:
        self.folder, self.stage, self.said = folder, stage, folder.with_suffix(".said")
        settings = SETTINGS | {"NUM_WORKERS": workers}
        folder.mkdir(parents=True)
        (folder / "config.yml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["torch._dynamo", "edgeconnect.run", "edgeconnect.cli"])

    def start(self, stage: str, max_iters: int) -> BaseProcess:
        """Start training."""
        self.said.write_text("")
        options = ["--checkpoints", str(self.folder), "--model", stage, "--set", f"MAX_ITERS={max_iters}"]
        process = self.context.Process(target=train, args=(options, self.said))
        process.start()
        return process

    def finish(self, stage: str, max_iters: int) -> None:
        """Train to the end, undisturbed."""
        process = self.start(stage, max_iters)
        process.join()
        if process.exitcode:
            raise SystemExit(f"{self.folder}: exit code {process.exitcode}\n{self.said.read_text()}")

    def whole(self) -> list[int]:
        """List the iterations of the saves that are whole, the newest first."""
        saves = sorted((self.folder / "saves" / self.stage).glob("[0-9]*"), reverse=True)
        return [int(save.name) for save in saves if save.name.isdecimal() and is_whole(save)]

    def newest_file(self) -> Path | None:
        """Find the file of the saves that was written last."""
        files = (file for file in (self.folder / "saves" / self.stage).glob("[0-9]*/*") if file.is_file())
        return max(
            (file for file in files if ".damaged" not in str(file)), key=lambda f: f.stat().st_mtime_ns, default=None
        )


def is_whole(save: Path) -> bool:
    """Return whether every file of a save is there and its archives are sound."""
    try:
        record = json.loads((save / "save.json").read_text())
        files, step = record["files"], record["step"]
        torch.load(save / "state.pth", weights_only=True)
        broken = [zipfile.ZipFile(save / file).testzip() for file in files if file.endswith(".pth")]
        return step == int(save.name) and not any(broken) and all((save / file).stat().st_size for file in files)
    except Exception:  # noqa: BLE001 - whatever the damage makes the libraries raise
        return False


def wait_until_begun(run: Run, process: BaseProcess) -> int | None:
    """Return the iteration that a run resumes at; None where it ended before it began."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = BEGUN.search(run.said.read_text())
        if found:
            return int(found[1] or 0)
        if not process.is_alive():
            return None
        time.sleep(0.005)
    return None


def disturb(run: Run, kills: int, truncated: set[int], rng: random.Random) -> dict[str, Any]:
    """Kill and restart; return what was counted."""
    resumed, damaged, failures, deaths = 0, 0, list[str](), {"starting": 0, "training": 0}
    due = 0  # damage that waits for two whole saves
    pending = 0  # kills that no start has recovered from yet
    for number in range(kills + 1):
        expected = next(iter(run.whole()), 0)
        process = run.start(run.stage, 10**6)
        if number < kills and rng.random() < IN_START:
            time.sleep(rng.uniform(0, WINDOW))
            deaths["starting"] += 1
        else:
            begun = wait_until_begun(run, process)
            if begun == expected:
                resumed += pending
            else:
                failures.append(
                    f"start {number}: expected iteration {expected}, got {begun}: {run.said.read_text()[-400:]}"
                )
            pending = 0
            time.sleep(rng.uniform(0, WINDOW))
            deaths["training"] += number < kills
        process.kill()
        process.join()
        pending += number < kills
        due += number in truncated
        if due and len(run.whole()) > 1 and (file := run.newest_file()):
            os.truncate(file, rng.randrange(max(1, file.stat().st_size)))
            due, damaged = due - 1, damaged + 1
    return {
        "kills": kills,
        "kills_while": deaths,
        "truncated": damaged,
        "resumed": resumed,
        "failures": failures,
    }


def leaves(value: object, name: str = "") -> dict[str, object]:
    """Name every value of a state."""
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in leaves(part, f"{name}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, part in enumerate(value) for k, v in leaves(part, f"{name}/{i}").items()}
    return {name: value}


def differences(one: Path, other: Path) -> list[str]:
    """Name what differs between two saves, but for the configuration, which names folders and ends."""
    found = []
    for file in sorted(path.name for path in one.glob("*.pth")):
        ours, theirs = (leaves(torch.load(save / file, weights_only=True)) for save in (one, other))
        for name in ours.keys() | theirs.keys():
            if not name.startswith("/config"):
                a, b = ours.get(name), theirs.get(name)
                same = torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b
                found += [] if same else [f"{file}{name}"]
    return found


def log_of(path: Path) -> list[dict[str, str]]:
    """Read a log, without how long the run waited for data."""
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "wait"} for row in csv.DictReader(file)]


def main() -> None:
    """Run the whole benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--truncate", type=int, default=20, help="how many kills are followed by damage")
    parser.add_argument("--model", choices=STAGES, default="joint")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rng, began = random.Random(options.seed), time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="crash-"))
    try:
        run, whole = (Run(place / name, options.model, options.workers) for name in ("disturbed", "whole"))
        if options.model in ("edge_inpaint", "joint"):
            for one in (run, whole):
                one.finish("edge", 2)
                one.finish("inpaint", 2)
        run.finish(options.model, FIRST)
        truncated = set(rng.sample(range(options.kills), options.truncate))
        result = disturb(run, options.kills, truncated, rng)
        end = max(run.whole(), default=0) + 3
        for one in (run, whole):
            one.finish(options.model, end)
        saves = (one.folder / f"saves/{options.model}/{end:07d}" for one in (run, whole))
        result |= {"iterations": end, "differences": differences(*saves)[:SHOWN]}
        logs = [log_of(one.folder / f"log_{options.model}.csv") for one in (run, whole)]
        result |= {"log_equal": logs[0] == logs[1], "model": options.model, "workers": options.workers}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    result |= {"seconds": round(time.monotonic() - began, 1), "seed": options.seed} | circumstances()
    print(json.dumps(result, indent=1) if options.json else "\n".join(f"{k:>14}  {v}" for k, v in result.items()))
    sys.exit(bool(result["failures"] or result["differences"] or result["resumed"] != options.kills))


if __name__ == "__main__":
    main()
