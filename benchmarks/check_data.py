"""How long check-data takes for 100,000 pictures: `python benchmarks/check_data.py --count 10000 --json`."""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from circumstances import circumstances

from edgeconnect.config import file as config_file
from edgeconnect.data import validation
from edgeconnect.data.validation import listings

MANY = 100_000


def make_pictures(folder: Path, count: int, side: int) -> int:
    """Write JPEGs of low-frequency noise, all different, and return the size of one in bytes."""
    rng = np.random.default_rng(0)
    for n in range(count):
        coarse = rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{n:06d}.jpg"), cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC))
    return (folder / "000000.jpg").stat().st_size


def measure(folder: Path, workers: int) -> dict[str, float]:
    """Examine a folder; what comes after reading (items on trial, the loader) takes as long for any number."""
    config = config_file.load(None, [("benchmark", f"TRAIN_FLIST={folder}"), ("benchmark", "MASK=strokes")]).config
    start = time.perf_counter()
    lists, _ = listings.open_lists(config.data)
    read = sum(len(found.infos) for found in listings.read_lists(lists, config.data, quick=False, workers=workers))
    reading, start = time.perf_counter() - start, time.perf_counter()
    report = validation.examine(config, workers=workers)
    total = time.perf_counter() - start
    if any(finding.severity != "note" for finding in report.findings):
        sys.exit(report.table())
    rate = read / reading
    return {
        "pictures_per_second": round(rate, 1),
        "seconds_beside_reading": round(total - reading, 1),
        "minutes_for_100000": round((MANY / rate + total - reading) / 60, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="pictures")
    parser.add_argument("--size", type=int, default=256, help="their side in pixels")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="threads")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = make_pictures(Path(folder), a.count, a.size)
        setting = {"count": a.count, "side": a.size, "bytes_each": size, "workers": a.workers}
        figures = {**setting, **measure(Path(folder), a.workers), **circumstances()}
    print(
        json.dumps(figures, indent=1) if a.json else "\n".join(f"{name:<24}{value}" for name, value in figures.items())
    )


if __name__ == "__main__":
    main()
