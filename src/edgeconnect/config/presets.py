"""Presets: configurations to begin with, the files of `configs/`."""

import sys
from pathlib import Path

from edgeconnect.errors import UserError

FOLDER = "configs"


def presets() -> dict[str, Path]:
    """Return the presets by name, from beside the code or from where the package was installed."""
    places = (Path(sys.prefix, "share/edgeconnect", FOLDER), Path(__file__).resolve().parents[3] / FOLDER)
    return {path.stem: path for place in places for path in sorted(place.glob("*.yml"))}


def preset(name: str) -> Path:
    """Return the file of a preset, or of a path. Raises UserError where it is neither."""
    path = presets().get(name, Path(name))
    if not path.is_file():
        raise UserError(f"--preset: {name} is none of: {', '.join(presets())}; nor is it a file")
    return path
