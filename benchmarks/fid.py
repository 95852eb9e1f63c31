"""FID against the pytorch-fid package: equal numbers, the time of both, and memory that does not grow.

    python benchmarks/fid.py --images FOLDER --weights pt_inception-2015-12-05-6726825d.pth --json

Compares so many pictures, cut square, with blurred copies of them; each measurement has its own process. Without
--images, built-in scenes; without --weights, a network with seeded random weights, which takes as long.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from circumstances import circumstances
from pytorch_fid import fid_score, inception

from edgeconnect import images
from edgeconnect.data import files
from edgeconnect.data.scenes import render
from edgeconnect.evaluation.fid import LoaderOptions, score, stats_of
from edgeconnect.images import write_png
from edgeconnect.metrics.inception import Inception

WAYS = ("ours", "package", "one side")


def random_weights(path: Path) -> None:
    """Write a state dict with the package's key names and shapes that keeps the scale of what passes the network."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None).state_dict()
    state = {}
    for name, value in shapes.items():
        if value.ndim == 4:
            state[name] = torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5
        else:
            state[name] = torch.full(value.shape, float(name.endswith(("running_var", "bn.weight"))))
    torch.save(state, path)


def make_pairs(folder: Path, source: str, count: int, side: int) -> None:
    """Write pictures to a/ and blurred copies to b/."""
    paths = files.list_images(source, "--images")[:count] if source else []
    for n in range(count):
        picture = images.fit(images.read_image(paths[n]), side) if source else render(n, side, side)
        write_png(folder / "a" / f"{n:06d}.png", picture)
        write_png(folder / "b" / f"{n:06d}.png", cv2.GaussianBlur(picture, (0, 0), 1.5))


def make_noise(folder: Path, count: int) -> None:
    """Write small pictures, all different."""
    rng = np.random.default_rng(0)
    for n in range(count):
        picture: NDArray[np.uint8] = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        write_png(folder / f"{n:06d}.png", picture)


def measure(a: argparse.Namespace) -> dict[str, float]:
    """Do one measurement in this process; time begins after the imports."""
    start, fid = time.perf_counter(), 0.0
    options = LoaderOptions(a.workers)
    extractor = Inception(a.weights, a.dims, torch.device("cpu"))
    if a.way == "ours":
        fid = score([f"{a.folder}/a", f"{a.folder}/b"], extractor, options).fid
    elif a.way == "one side":
        stats_of(str(a.folder), extractor, options)
    else:
        state = torch.load(a.weights, weights_only=True)
        with mock.patch.object(inception, "load_state_dict_from_url", return_value=state):
            sides = [f"{a.folder}/a", f"{a.folder}/b"]
            fid = fid_score.calculate_fid_given_paths(sides, a.batch_size, "cpu", a.dims, a.workers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"fid": float(fid), "seconds": round(time.perf_counter() - start, 1), "peak_mib": round(peak)}


def apart(a: argparse.Namespace, way: str, folder: Path, weights: Path) -> dict[str, float]:
    """Do one measurement in a process of its own."""
    options = ("--batch-size", a.batch_size, "--workers", a.workers, "--dims", a.dims)
    command = [sys.executable, __file__, "--way", way, "--folder", folder, "--weights", weights, *options]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(a: argparse.Namespace, folder: Path, weights: Path) -> dict[str, float]:
    """Measure the same two folders by both."""
    make_pairs(folder, a.images, a.count, a.side)
    ours, package = (apart(a, way, folder, weights) for way in ("ours", "package"))
    return {
        "fid": ours["fid"],
        "package_fid": package["fid"],
        "relative_difference": abs(ours["fid"] - package["fid"]) / package["fid"],
        "seconds": ours["seconds"],
        "package_seconds": package["seconds"],
        "time_ratio": round(ours["seconds"] / package["seconds"], 2),
    }


def compare_memory(a: argparse.Namespace, folder: Path, weights: Path) -> dict[str, float]:
    """Measure a folder of few and one of many pictures."""
    make_noise(folder / "few", a.count)
    make_noise(folder / "many", a.many)
    few, many = (apart(a, "one side", folder / name, weights)["peak_mib"] for name in ("few", "many"))
    return {"few_mib": few, "many_mib": many, "growth_mib": many - few}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="", help="folder or list; default built-in scenes")
    parser.add_argument("--weights", default="", help="the published ones; default random")
    parser.add_argument("--count", type=int, default=300, help="pictures a side")
    parser.add_argument("--many", type=int, default=3000, help="pictures whose memory is compared with that of --count")
    parser.add_argument("--side", type=int, default=256, help="pixels")
    parser.add_argument("--dims", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--parts", nargs="+", default=["numbers", "memory"], choices=("numbers", "memory"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.way:
        print(json.dumps(measure(a)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = Path(a.weights or folder / "random.pth")
        if not a.weights:
            random_weights(weights)
        setting = {"pictures": a.images or "scenes", "weights": a.weights or "random", "count": a.count, "dims": a.dims}
        figures: dict[str, object] = {**setting, "batch_size": a.batch_size, "workers": a.workers}
        for part, measured in (("numbers", compare), ("memory", compare_memory)):
            figures |= measured(a, folder / part, weights) if part in a.parts else {}
        figures |= circumstances()
    print(json.dumps(figures, indent=1) if a.json else "\n".join(f"{k:<24}{v}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
