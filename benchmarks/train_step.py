"""What a training step costs, against the plain way of benchmarks/plain.py.

    python benchmarks/train_step.py --json                  # every stage at 256x256, batch 2, 64 channels
    python benchmarks/train_step.py --demo --json           # the demo's small network: 64x64, batch 8, 24 channels
    python benchmarks/train_step.py --losses 200 --demo     # how far the default's losses are from those of fp32

Modes take turns, each measurement is a process of its own: plain; fp32, ours with PRECISION fp32; default. The FLOPs
are those of the plain step's convolutions and matrix products, for every mode; `share` is of the rate of a matrix
product in the mode's precision, measured in the same process with the same threads. Pictures and VGG weights are
random; --losses trains on built-in scenes.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from circumstances import circumstances
from plain import plain_step
from torch.utils.flop_counter import FlopCounterMode

from edgeconnect import rng
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import Config
from edgeconnect.data.loader import Feed
from edgeconnect.device import choose_precision
from edgeconnect.engine import make_engine
from edgeconnect.methods.build import build
from edgeconnect.training.logs import read_scalars
from edgeconnect.types import Batch, Progress, is_trained

STAGES = ("edge", "inpaint", "edge_inpaint", "joint")
MODES = ("plain", "fp32", "default")
BLOCKS = 8
SIDE = 2048  # of the matrices whose product is the yardstick


def configuration(options: argparse.Namespace, stage: str, mode: str) -> Config:
    """Return what a stage trains by."""
    size, batch, base = (64, 8, 24) if options.demo else (256, options.batch, 64)
    keys = {"MODEL": stage, "INPUT_SIZE": size, "BATCH_SIZE": batch, "BASE_CHANNELS": base, "RESIDUAL_BLOCKS": BLOCKS}
    keys |= {"VGG_WEIGHTS": "random", "DEVICE": options.device, "PRECISION": "auto" if mode == "default" else "fp32"}
    keys |= {"TRAIN_FLIST": "scenes:4000", "MASK": "strokes"} | dict(text.split("=", 1) for text in options.set)
    return config_file.load(None, [("benchmark", f"{key}={value}") for key, value in keys.items()]).config


def batch_of(config: Config) -> Batch:
    """Draw a random batch whose hole is a quarter of it."""
    count, side = config.optim.batch_size, config.data.input_size
    mask = torch.zeros(count, 1, side, side)
    mask[..., : side // 2, : side // 2] = 1
    edge = (torch.rand(count, 1, side, side) > 0.9).float()
    return Batch(torch.rand(count, 3, side, side), torch.rand(count, 1, side, side), edge, mask, ["random"] * count)


def our_step(config: Config) -> tuple[Callable[[Batch], Any], torch.device]:
    """Return a function that trains a stage as train.py does; scalars stay on the device."""
    engine = make_engine(config, training=True)
    method = build(config, engine.prepare)
    for network in method.networks.values():
        network.train(is_trained(network))
    return lambda batch: engine.step(method, engine.place(batch), Progress(1)), engine.device


def seconds(action: Callable[[], Any], device: torch.device) -> float:
    """Time an action to its end on the device."""
    start = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Measure the FLOP/s of a matrix product."""
    side = SIDE if device.type == "cpu" else 4 * SIDE
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / min(seconds(lambda: a @ b, device) for _ in range(6))


def measure(options: argparse.Namespace, stage: str, mode: str) -> dict[str, float]:
    """Train a few steps in this process."""
    config = configuration(options, stage, mode)
    rng.seed(0)
    batch = batch_of(config)
    device = torch.device(options.device if options.device != "auto" else "cpu")
    if mode == "plain":
        with device:
            step = plain_step(stage, config.networks.base_channels, BLOCKS)
        batch = batch.map(lambda tensor: tensor.to(device))
    else:
        step, device = our_step(config)
    for _ in range(options.warmup):
        step(batch)
    times = [seconds(lambda: step(batch), device) for _ in range(options.steps)]
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {"seconds": statistics.median(times), "peak": float(peak)}
    if mode == "plain":
        with FlopCounterMode(display=False) as counter:
            step(batch)
        found["flops"] = counter.get_total_flops()
    return found | {"matrix": matrix_rate(choose_precision(config.run.precision, device), device)}


def losses(options: argparse.Namespace, stage: str, mode: str) -> dict[str, float]:
    """Train on built-in scenes; return the mean of each loss over the last quarter of the steps."""
    config = configuration(options, stage, mode)
    rng.seed(0)
    step, _ = our_step(config)
    feed: Iterator[Batch] = Feed(config).batches(0)
    rows = [read_scalars(step(next(feed))) for _ in range(options.losses)]
    last = rows[-options.losses // 4 :]
    return {name: statistics.mean(row[name] for row in last) for name in config.stage.losses}


def in_a_process(stage: str, mode: str) -> dict[str, float]:
    """Measure in a process of its own, the plain mode without what importing us sets."""
    plain = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", stage, mode]
    environment = plain if mode == "plain" else dict(os.environ)
    output = subprocess.run(command, capture_output=True, text=True, env=environment)
    if output.returncode:
        sys.exit(f"{stage}, {mode}: {output.stderr}")
    found: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
    return found


def compare_steps(options: argparse.Namespace, stage: str) -> dict[str, Any]:
    """Measure every mode of a stage in turn."""
    rounds = [{mode: in_a_process(stage, mode) for mode in options.modes} for _ in range(options.repeat)]
    flops, pictures = rounds[0]["plain"]["flops"], configuration(options, stage, "plain").optim.batch_size
    report: dict[str, Any] = {"gflop_per_picture": round(flops / pictures / 1e9, 1)}
    for mode in options.modes:
        middle = {key: statistics.median(one[mode][key] for one in rounds) for key in ("seconds", "peak", "matrix")}
        report[mode] = {
            "ms": round(middle["seconds"] * 1e3, 1),
            "pictures_per_second": round(pictures / middle["seconds"], 2),
            "gflop_per_second": round(flops / middle["seconds"] / 1e9),
            "share_of_matrix_product": round(flops / middle["seconds"] / middle["matrix"], 2),
            "peak_gib": round(middle["peak"] / 2**30, 2),
            "times_plain": round(
                statistics.median(one["plain"]["seconds"] / one[mode]["seconds"] for one in rounds), 2
            ),
        }
    return report


def compare_losses(stage: str) -> dict[str, Any]:
    """Train with either precision; return each loss and how far the default's is off."""
    exact, default = in_a_process(stage, "fp32"), in_a_process(stage, "default")
    return {
        name: {"fp32": round(value, 5), "default": round(default[name], 5), "off": f"{default[name] / value - 1:+.2%}"}
        for name, value in exact.items()
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES)
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of ours, such as COMPILE=1")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--losses", type=int, default=0, metavar="STEPS")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps((losses if options.losses else measure)(options, *options.measure)))
        return
    result: dict[str, Any] = {
        stage: compare_losses(stage) if options.losses else compare_steps(options, stage) for stage in options.stages
    }
    result |= circumstances()
    print(json.dumps(result, indent=1) if options.json else "\n".join(f"{k:>14}  {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
