"""Which pictures to complete, with which masks and edges, and where the results go."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeconnect.atomic import expanded
from edgeconnect.data import files
from edgeconnect.errors import IncompleteError, UserError, named

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what moves a terminal's cursor or breaks a line


@dataclass(frozen=True)
class Job:
    """One picture to complete and where its parts lie; `index`, its place in the whole list, seeds SIGMA 0."""

    image: Path
    mask: Path
    edge: Path | None
    output: Path
    index: int = 0


def plan(image: str, mask: str, edge: str, output: str) -> list[Job]:
    """Pair pictures, masks and edges by file stem and name the outputs `<stem>.png`; nothing is read yet.

    `output` is a folder, which keeps the subfolders of a folder of pictures, or, for one picture, a .png file. No name
    in a list leads out of it.
    Raises UserError naming what has no partner or would overwrite another, and for an output inside a folder of inputs.
    """
    image, mask, edge, output = (str(expanded(part)) if part else "" for part in (image, mask, edge, output))
    for option, source in (("--input", image), ("--mask", mask), ("--edge", edge)):
        refuse_inside(output, option, source)
    images, mask_files = files.list_images(image, "--input"), files.list_images(mask, "--mask")
    paired = files.pair(images, mask_files, "mask", shared=not Path(mask).is_dir())
    edge_files = files.list_images(edge, "--edge") if edge else []
    drawn = files.pair(images, edge_files, "edge map", shared=len(images) == 1) if edge else [None] * len(images)
    outputs = [_output(path, Path(image), Path(output), len(images)) for path in images]
    doubles = [str(path) for path, n in Counter(outputs).items() if n > 1]
    if doubles:
        raise UserError(f"--input: several pictures would be written to {named(doubles)}; rename one of each")
    inputs = {os.path.realpath(path) for path in (*images, *mask_files, *edge_files)}
    lost = [str(path) for path in outputs if os.path.realpath(path) in inputs]
    if lost:
        raise UserError(f"--output: would overwrite {named(lost)}; choose another folder")
    return [Job(*parts) for parts in zip(images, paired, drawn, outputs, range(len(images)), strict=True)]


def refuse_inside(output: str, option: str, source: str) -> None:
    """Raise UserError where the next run would find this one's results among its inputs."""
    inner, outer = (Path(os.path.realpath(path)) for path in (output, source))  # unlike resolve(), ends in loops
    if source and outer.is_dir() and inner.is_relative_to(outer):
        problem = f"{output} lies in {option} {source}, where the next run would take it for input"
        raise UserError(f"--output: {problem}; give a folder outside")


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Leave out the jobs whose output is there; an output appears whole, so only an empty file counts as missing."""
    return [job for job in jobs if not (job.output.is_file() and job.output.stat().st_size)]


def incomplete(failed: Sequence[Job], jobs: Sequence[Job]) -> IncompleteError:
    """Name the pictures that could not be completed, and where the others are."""
    names = named([str(job.image) for job in failed])
    place = os.path.commonpath([job.output.parent for job in jobs])
    others = f"; the others are in {place}" if len(failed) < len(jobs) else ""
    problem = f"{len(failed)} of {len(jobs)} pictures could not be completed: {names}{others}"
    return IncompleteError(f"{problem}; correct what the messages above name and run again with --skip-existing")


def _output(image: Path, source: Path, target: Path, count: int) -> Path:
    if files.is_image(target) and not target.is_dir():
        if target.suffix.lower() != ".png":
            raise UserError(f"--output: {target} is not lossless; give a folder or a .png file")
        if count > 1:
            raise UserError(f"--output: {target} is one file for {count} pictures; give a folder")
        return target
    if target.is_file():
        raise UserError(f"--output: {target} is a file; give a folder")
    folder = image.parent.relative_to(source) if source.is_dir() else Path()
    return target / CONTROL.sub("_", str(folder / f"{image.stem}.png"))
