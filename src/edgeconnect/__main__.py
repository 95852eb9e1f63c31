"""The commands: `python -m edgeconnect COMMAND ...`."""

from edgeconnect.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
