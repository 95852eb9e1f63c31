"""What one busy neighbour on one of the cores costs a training step.

    python benchmarks/contention.py --json

Times the step of benchmarks/train_step.py with THREADS as by default, with each number of --threads, alone and beside
a process that keeps core 0 busy, in turn. The ratio is busy over idle.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from circumstances import circumstances

STEP = Path(__file__).with_name("train_step.py")
SPIN = "import os; os.sched_setaffinity(0, [0])\nwhile True: pass"


@contextlib.contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """Keep one core busy while the context lasts."""
    process = subprocess.Popen([sys.executable, "-c", SPIN]) if busy else None
    try:
        yield
    finally:
        if process:
            process.kill()
            process.wait()


def seconds(stage: str, threads: int, size: list[str], busy: bool) -> float:
    """Time a step in a process of its own."""
    settings = ["--set", f"THREADS={threads}"]
    command = [sys.executable, str(STEP), *size, *settings, "--steps", "15", "--measure", stage, "default"]
    with neighbour(busy):
        output = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=True).stdout
    return float(json.loads(output.splitlines()[-1])["seconds"])


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", default="edge")
    parser.add_argument("--full", action="store_true", help="256x256 in place of the demo's small network")
    parser.add_argument("--threads", nargs="+", type=int, default=[0, 1, 2], help="0: the default")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result: dict[str, object] = {"stage": options.stage, "full": options.full}
    for threads in options.threads:
        size = [] if options.full else ["--demo"]
        rounds = [
            [seconds(options.stage, threads, size, busy) for busy in (False, True)] for _ in range(options.repeat)
        ]
        idle, busy = (statistics.median(times) for times in zip(*rounds, strict=True))
        name = f"THREADS={threads}" if threads else "default"
        result[name] = {"idle_ms": round(idle * 1e3), "busy_ms": round(busy * 1e3), "ratio": round(busy / idle, 2)}
    result |= circumstances()
    print(json.dumps(result, indent=1) if options.json else "\n".join(f"{k:>12}  {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
