"""Compare evaluations of the same items: `python scripts/compare.py DIR DIR`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from edgeconnect.cli import main

if __name__ == "__main__":
    raise SystemExit(main(command="compare"))
