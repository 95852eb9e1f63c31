"""What a save costs, against writing as many bytes and waiting for the disk.

    python benchmarks/save.py --json

Saves the full-size stage 3 (G2, D2, both optimisers, a frozen G1, with --ema the moving average), and in turn with it
writes the very bytes of that save's folder to files with fsync; that a save also copies G2 and D2 to the top of the
run's folder is its own cost. Training stands still while a save is written, so the figures are the stall, too.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from circumstances import circumstances

from edgeconnect.checkpoint.stage import Checkpoints, Frozen
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import Config
from edgeconnect.engine import Engine
from edgeconnect.methods.build import build
from edgeconnect.training.ema import EMA
from edgeconnect.training.state import Optimizers
from edgeconnect.types import Method


def trained(config: Config) -> Method:
    """Build stage 3 with optimisers that have taken a step."""
    method = build(config, Engine(torch.device("cpu")).prepare)
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return method


def seconds(action: Callable[[], None]) -> float:
    """Time an action."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def write_raw(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files one after the other, each flushed to the disk."""
    for name, data in contents.items():
        with (folder / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default the system's temporary folder")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--ema", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    decay = 0.999 if options.ema else 0
    config = config_file.load(None, [("stage", "MODEL=edge_inpaint"), ("ema", f"EMA_DECAY={decay}")]).config
    method = trained(config)
    averaged = {"inpaint_generator": method.networks["inpaint_generator"]}
    parts = {"optimizers": Optimizers(method.optimizers), "ema": EMA(averaged, decay)}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        place = Path(name)
        checkpoints = Checkpoints(place, config)
        checkpoints.frozen = {"edge_generator": Frozen(0, "")}
        checkpoints.save(method.networks, 1, parts)
        newest = place / "saves/edge_inpaint/0000001"
        contents = {path.name: path.read_bytes() for path in newest.iterdir()}
        (place / "raw").mkdir()
        saves, writes = [], []
        for step in range(2, options.repeat + 2):
            saves.append(seconds(lambda step=step: checkpoints.save(method.networks, step, parts)))
            writes.append(seconds(lambda: write_raw(place / "raw", contents)))
            for file in contents:
                (place / "raw" / file).unlink()
    ratios = [save / write for save, write in zip(saves, writes, strict=True)]
    result = {
        "megabytes": round(sum(map(len, contents.values())) / 1e6, 1),
        "save_seconds": round(statistics.median(saves), 3),
        "write_seconds": round(statistics.median(writes), 3),
        "ratio_of_medians": round(statistics.median(saves) / statistics.median(writes), 2),
        "ratios": [round(min(ratios), 2), round(statistics.median(ratios), 2), round(max(ratios), 2)],
        "ema": options.ema,
        **circumstances(),
    }
    print(json.dumps(result, indent=1) if options.json else "\n".join(f"{k:>16}  {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
