"""Draw the training curves of runs: `python scripts/plot.py RUN RUN`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from edgeconnect.cli import main

if __name__ == "__main__":
    raise SystemExit(main(command="plot"))
