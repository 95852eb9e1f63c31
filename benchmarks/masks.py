"""How long 12,000 masks take, written as PNG, and whether each lies in its bin: `python benchmarks/masks.py --json`."""

import argparse
import collections
import csv
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

from edgeconnect.data import mask_files

BINS = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def inspect(folder: Path, plan: mask_files.MaskPlan) -> dict[str, object]:
    """Read every mask again and compare it with its bin and its row; exit where one is wrong."""
    bins = {str(each): each for each in plan.bins}
    histogram: collections.Counter[str] = collections.Counter()
    at_border: collections.Counter[str] = collections.Counter()
    ratios = collections.defaultdict(list)
    with (folder / mask_files.TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        mask = cv2.imread(str(folder / row["file"]), cv2.IMREAD_UNCHANGED)
        name, ratio = row["file"].partition("/")[0], np.count_nonzero(mask) / mask.size
        inside = bins[name].low < ratio <= bins[name].high and set(np.unique(mask)) <= {0, 255}
        if not inside or ratio != float(row["ratio"]):
            sys.exit(f"{row['file']}: hole ratio {ratio}, the table says {row['ratio']}")
        histogram[name] += 1
        at_border[name] += int(row["touches_border"])
        ratios[name].append(ratio)
    if len(rows) != len(plan):
        sys.exit(f"{len(rows)} masks were written, not {len(plan)}")
    return {
        "masks_in_their_bin": dict(histogram),
        "of_these_at_the_border": dict(at_border),
        "mean_ratio": {name: round(float(np.mean(of_bin)), 4) for name, of_bin in ratios.items()},
    }


def main() -> None:
    """Write, inspect, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="masks of each of six bins")
    parser.add_argument("--size", type=int, default=256, help="their side in pixels")
    parser.add_argument("--kinds", nargs="+", default=["irregular"])
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    plan = mask_files.MaskPlan.checked([a.size], a.kinds, BINS, a.count, interior=0.5, seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name) / "masks", time.perf_counter()
        mask_files.write_masks(folder, plan, a.workers)
        seconds = time.perf_counter() - start
        found = inspect(folder, plan)
    figures = {
        "masks": len(plan),
        "side": a.size,
        "kinds": " ".join(a.kinds),
        "workers": a.workers,
        "seconds": round(seconds, 1),
        **found,
        **circumstances(),
    }
    print(json.dumps(figures, indent=1) if a.json else "\n".join(f"{key:<24}{value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
