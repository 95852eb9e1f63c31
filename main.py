"""Everything: `python main.py COMMAND ...`; without a command, what MODE in config.yml says."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from edgeconnect.cli import COMMANDS, main

if __name__ == "__main__":
    named = len(sys.argv) > 1 and sys.argv[1] in (*COMMANDS, "-h", "--help", "--version")
    raise SystemExit(main(command=None if named else "run"))
