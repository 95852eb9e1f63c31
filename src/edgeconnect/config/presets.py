"""What ships with the code: presets, which are configurations to begin with, and a trained checkpoint."""

import sys
from pathlib import Path

from edgeconnect.errors import UserError

PLACES = (Path(sys.prefix, "share/edgeconnect"), Path(__file__).resolve().parents[3])  # installed, beside the code


def presets() -> dict[str, Path]:
    """Return the presets, the files of `configs/`, by name."""
    return {path.stem: path for place in PLACES for path in sorted((place / "configs").glob("*.yml"))}


def preset(name: str) -> Path:
    """Return the file of a preset, or of a path. Raises UserError where it is neither."""
    path = presets().get(name, Path(name))
    if not path.is_file():
        raise UserError(f"--preset: {name} is none of: {', '.join(presets())}; nor is it a file")
    return path


def shipped_checkpoint() -> Path:
    """Return the folder of the checkpoint of built-in scenes. Raises UserError where it was left out."""
    folders = [place / "checkpoints/scenes" for place in reversed(PLACES)]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise UserError(f"{' and '.join(map(str, folders))} do not exist; get the checkpoint that ships with the code")
