"""Evaluate runs, classical methods and others' results: `python scripts/evaluate.py --checkpoints DIR`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from edgeconnect.cli import main

if __name__ == "__main__":
    raise SystemExit(main(command="evaluate"))
