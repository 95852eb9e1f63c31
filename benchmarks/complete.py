"""What completing a picture costs, both networks, against the plain way.

    python benchmarks/complete.py --pictures photographs/ --masks masks/ --json
    python benchmarks/complete.py --megapixels 4 --modes default --json     # the peak memory of one large picture

Modes take turns, each in a process of its own: plain (read, find edges, run the networks of benchmarks/plain.py in eval
mode, write, one after the other); default, as test.py; bf16, as test.py with PRECISION bf16. Without --checkpoints the
weights are random. `grey_levels` compares what bf16 and default wrote.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from circumstances import circumstances
from plain import generator
from skimage.feature import canny

from edgeconnect import images, rng
from edgeconnect.config import file as config_file
from edgeconnect.data.files import list_images
from edgeconnect.data.jobs import Job
from edgeconnect.data.scenes import render
from edgeconnect.engine import make_engine
from edgeconnect.methods.build import build
from edgeconnect.predict import Predictor
from edgeconnect.trained import fold, load_run

MODES = ("plain", "default", "bf16")


def jobs_of(options: argparse.Namespace, output: Path) -> list[Job]:
    """Pair pictures with masks in turn."""
    pictures, masks = list_images(options.pictures, "--pictures"), list_images(options.masks, "--masks")
    chosen = pictures[: options.count]
    return [Job(p, masks[n % len(masks)], None, output / f"{p.stem}.png", n) for n, p in enumerate(chosen)]


def plain(jobs: list[Job]) -> Callable[[Job], None]:
    """Return what completes one picture after the other, as one reads it in the paper."""
    first, second = generator(3, 1, 64, 8, True).eval(), generator(4, 3, 64, 8, False).eval()

    @torch.no_grad()
    def complete(job: Job) -> None:
        image = images.read_image(job.image)
        height, width = (side // 4 * 4 for side in image.shape[:2])
        image = image[:height, :width]
        mask = images.resize(images.read_gray(job.mask), height, width) > 127
        gray = image @ np.array([0.2125, 0.7154, 0.0721]) / 255
        edges = canny(gray, sigma=2, mask=~mask)
        x, g, e, m = (torch.from_numpy(a.astype(np.float32))[None] for a in (image, gray, edges, mask))
        x, g, e, m = x.permute(0, 3, 1, 2) / 255, g[None], e[None], m[None]
        drawn = torch.sigmoid(first(torch.cat([g * (1 - m) + m, e * (1 - m), m], 1)))
        painted = second(torch.cat([x * (1 - m) + m, drawn * m + e * (1 - m)], 1))
        merged = (torch.tanh(painted) + 1) / 2 * m + x * (1 - m)
        images.write_png(job.output, (merged[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))

    return complete


def predictor(options: argparse.Namespace, mode: str) -> Predictor:
    """Return what test.py completes with."""
    precision = "bf16" if mode == "bf16" else "auto"
    keys = [("benchmark", f"{key}={value}") for key, value in {"MODEL": 3, "PRECISION": precision}.items()]
    if options.checkpoints:
        from edgeconnect.checkpoint.folder import folder_config

        run = load_run(folder_config(options.checkpoints, keys).config, options.checkpoints)
        return Predictor.of(run, resize_mask=True)
    config = config_file.load(None, keys).config
    engine = make_engine(config)
    rng.seed(0)
    method = build(config, engine.prepare)
    for network in method.networks.values():
        fold(network)
    return Predictor(method, engine, config.data, resize_mask=True)


def measure(options: argparse.Namespace, mode: str, output: Path) -> dict[str, float]:
    """Complete the pictures in this process, the first one twice."""
    warm, *_ = jobs = jobs_of(options, output)
    if mode == "plain":
        one = plain(jobs)

        def run(several: list[Job]) -> None:
            for job in several:
                one(job)
    else:
        ours = predictor(options, mode)

        def run(several: list[Job]) -> None:
            failures = [failure for _, failure in ours.run(several) if failure]
            if failures:
                sys.exit(failures[0])

    run([warm])
    start = time.perf_counter()
    run(jobs)
    spent = time.perf_counter() - start
    return {
        "seconds": spent / len(jobs),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def in_a_process(mode: str, output: Path) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", mode, str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{mode}: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def grey_levels(folder: Path) -> dict[str, float]:
    """Compare what bf16 and default wrote, known pixels included."""
    pairs = [
        (images.read_image(path), images.read_image(folder / "bf16" / path.name)) for path in folder.glob("default/*")
    ]
    off = [np.abs(a.astype(int) - b) for a, b in pairs]
    return {
        "mean": round(float(np.mean([one.mean() for one in off])), 3),
        "largest_of_a_picture_median": float(np.median([one.max() for one in off])),
        "largest": int(max(one.max() for one in off)),
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", help="folder or list")
    parser.add_argument("--masks", help="folder or list")
    parser.add_argument("--megapixels", type=float, default=0, help="one built-in scene of this size in their place")
    parser.add_argument("--checkpoints", type=Path, help="a run; random weights of the published size without")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        mode, output = options.measure
        print(json.dumps(measure(options, mode, Path(output))))
        return
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if options.megapixels:
            side = round((options.megapixels * 1e6) ** 0.5)
            images.write_png(place / "pictures/scene.png", render(0, side, side))
            images.write_png(place / "masks/scene.png", np.eye(side, dtype=np.uint8) * 255)
            sys.argv += ["--pictures", str(place / "pictures"), "--masks", str(place / "masks"), "--count", "1"]
        rounds = [{mode: in_a_process(mode, place / mode) for mode in options.modes} for _ in range(options.repeat)]
        result: dict[str, Any] = {}
        for mode in options.modes:
            result[mode] = {
                "seconds_per_picture": round(statistics.median(one[mode]["seconds"] for one in rounds), 3),
                "peak_gib": round(statistics.median(one[mode]["peak_gib"] for one in rounds), 2),
            }
            if "plain" in options.modes:
                ratios = [one["plain"]["seconds"] / one[mode]["seconds"] for one in rounds]
                result[mode]["times_plain"] = round(statistics.median(ratios), 2)
        if {"default", "bf16"} <= set(options.modes):
            result["grey_levels"] = grey_levels(place)
    result |= circumstances()
    print(json.dumps(result, indent=1) if options.json else "\n".join(f"{k:>12}  {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
