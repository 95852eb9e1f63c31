"""Write masks as PNG, a folder for each range of hole ratios: `python scripts/make_masks.py --output FOLDER`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from edgeconnect.cli import main

if __name__ == "__main__":
    raise SystemExit(main(command="masks"))
