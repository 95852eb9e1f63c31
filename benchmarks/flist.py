"""What long file lists cost: to open and shuffle, to write, to begin training on.

    python benchmarks/flist.py --json

Opens a list of ten million lines and draws paths from it in shuffled order, beside `read().splitlines()` and a NumPy
permutation, each in its own process; a worker is forked from it and draws as many. Writes the list of a million
empty files, beside `find`. Runs train.py for one step of tiny networks, from its start to its end, on that long list
and on one of a thousand lines. Private memory is that of /proc (Linux); what was there before is taken off. Files that
have just been made are in the system's cache.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from circumstances import ROOT, circumstances

from edgeconnect.data.files import read_list
from edgeconnect.data.loader import epoch_items
from edgeconnect.images import write_png

PICTURES = 500  # that the lists name, again and again
FOLDERS = 1000  # that the files lie in
DRAWN = 1000  # paths
TINY = {"MASK": "strokes", "BASE_CHANNELS": 4, "RESIDUAL_BLOCKS": 1, "INPUT_SIZE": 32, "BATCH_SIZE": 2, "MAX_ITERS": 1}


def seconds(action: Callable[[], object]) -> float:
    """Time an action."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def private_megabytes() -> float:
    """Return what this process shares with no other."""
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    return sum(int(line[1]) for line in lines if line[0] in ("Private_Clean:", "Private_Dirty:")) / 1024


def peak_megabytes() -> float:
    """Return the most memory that this process has had at once."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def draw(paths: Sequence[Path] | Sequence[str], indices: Sequence[int]) -> None:
    """Make paths."""
    for index in indices:
        Path(paths[index])


def measure_worker(paths: Sequence[Path] | Sequence[str], indices: Sequence[int]) -> float:
    """Return the megabytes that a forked process has of its own once it has drawn."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def work() -> None:
        before = private_megabytes()
        draw(paths, indices)
        sender.send(private_megabytes() - before)

    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    megabytes: float = receiver.recv()
    worker.join()
    return megabytes


def open_list(path: Path, plain: bool) -> dict[str, float]:
    """Open a list and draw from it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    before, peak, start = private_megabytes(), peak_megabytes(), time.perf_counter()
    paths = path.read_text().splitlines() if plain else read_list(path, "--lines")
    opened = time.perf_counter() - start
    start = time.perf_counter()
    if plain:
        indices = np.random.default_rng((0, 1)).permutation(len(paths))[:DRAWN].tolist()
    else:
        indices = [index for _, index in islice(epoch_items(len(paths), 0), DRAWN)]
    return {
        "open_seconds": round(opened, 6),
        "first_indices_seconds": round(time.perf_counter() - start, 4),
        "microseconds_a_path": round(seconds(lambda: draw(paths, indices)) / DRAWN * 1e6, 1),
        "private_megabytes": round(private_megabytes() - before, 1),
        "peak_megabytes": round(peak_megabytes() - peak, 1),
        "worker_megabytes": round(measure_worker(paths, indices), 1),
    }


def make_list(folder: Path, lines: int) -> Path:
    """Write a list that names a few pictures again and again."""
    (folder / "pictures").mkdir(exist_ok=True)
    paths = [folder / "pictures" / f"{number:08d}.png" for number in range(PICTURES)]
    rng = np.random.default_rng(0)
    for path in paths:
        write_png(path, rng.integers(0, 256, (32, 32, 3), np.uint8))
    whole, rest = divmod(lines, PICTURES)
    names = [f"{path}\n" for path in paths]
    output = folder / f"{lines}.flist"
    with output.open("w") as file:
        file.writelines("".join(names) for _ in range(whole))
        file.writelines(names[:rest])
    return output


def call(*command: str | Path) -> None:
    """Run a command, keep what it says for the case that it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


def write_list(folder: Path, count: int, repeat: int) -> dict[str, list[float]]:
    """List so many empty files by scripts/flist.py and, in turn, by `find`."""
    for number in range(count):
        place = folder / "files" / f"{number * FOLDERS // count:04d}"
        if number * FOLDERS % count < FOLDERS:
            place.mkdir(parents=True, exist_ok=True)
        os.close(os.open(place / f"{number:08d}.png", os.O_CREAT | os.O_WRONLY))
    script = ("scripts/flist.py", "--path", folder / "files", "--output", folder / "files.flist", "--overwrite")
    ours, finds = [], []
    for _ in range(repeat):
        ours.append(seconds(lambda: call(sys.executable, ROOT / script[0], *script[1:])))
        finds.append(seconds(lambda: call("find", folder / "files", "-type", "f", "-fprint", folder / "found")))
    return {"flist_seconds": ours, "find_seconds": finds}


def train(folder: Path, source: Path) -> float:
    """Return how long train.py takes for one step in a folder that is new."""
    keys = [text for key, value in (TINY | {"TRAIN_FLIST": source}).items() for text in ("--set", f"{key}={value}")]
    run = Path(tempfile.mkdtemp(dir=folder))
    return seconds(lambda: call(sys.executable, ROOT / "train.py", "--model", "1", "--checkpoints", run, *keys))


def in_process(path: Path, *options: str) -> dict[str, float]:
    """Open a list in a process of its own."""
    command = [sys.executable, __file__, "--open", path, *options]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return figures


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="runs of train.py, flist.py and find, in turn")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default the system's temporary folder")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    if a.open:
        print(json.dumps(open_list(a.open, a.plain)))
        return
    with tempfile.TemporaryDirectory(dir=a.folder) as name:
        folder = Path(name)
        path = make_list(folder, a.lines)
        ours, plain = in_process(path), in_process(path, "--plain")
        lists = {"long": path, "short": make_list(folder, 1000)}
        training = [{name: train(folder, source) for name, source in lists.items()} for _ in range(a.repeat)]
        listing = write_list(folder, a.files, a.repeat)
    ratios = [ours / find for ours, find in zip(*listing.values(), strict=True)]
    result = {
        "lines": a.lines,
        "list": ours,
        "plain": plain,
        "open_ratio": round(ours["open_seconds"] / plain["open_seconds"], 3),
        "memory_ratio": round(ours["private_megabytes"] / plain["private_megabytes"], 3),
        "train_seconds": {name: [round(turn[name], 1) for turn in training] for name in lists},
        "files": a.files,
        **{name: [round(value, 2) for value in values] for name, values in listing.items()},
        "ratios_to_find": [round(min(ratios), 2), round(float(np.median(ratios)), 2), round(max(ratios), 2)],
        **circumstances(),
    }
    print(json.dumps(result, indent=1) if a.json else "\n".join(f"{k:>16}  {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
