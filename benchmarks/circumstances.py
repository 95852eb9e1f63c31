"""What a figure was measured on. Importing this makes the package importable where it is not installed."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
os.environ["PYTHONPATH"] = str(ROOT / "src")  # for processes that a benchmark starts


def circumstances() -> dict[str, str | int]:
    """Return commit, hardware and versions."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    model = next((line.partition(":")[2].strip() for line in cpu_lines() if line.startswith("model name")), "unknown")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "commit": commit.stdout.strip() or "unknown",
        "processor": f"{model}, {os.cpu_count()} cores",
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def cpu_lines() -> list[str]:
    """Read what the kernel says of the processor."""
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []
