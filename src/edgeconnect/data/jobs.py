"""Which pictures to complete, with which masks and edges, and where the results go."""

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeconnect.atomic import expanded
from edgeconnect.data import files
from edgeconnect.data.markers import Marking, Marks
from edgeconnect.data.path_list import LONG
from edgeconnect.errors import IncompleteError, UserError, named

log = logging.getLogger(__name__)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what moves a terminal's cursor or breaks a line


@dataclass(frozen=True)
class Job:
    """One picture to complete and where its parts lie; `index`, its place in the whole list, seeds SIGMA 0.

    With a `marking`, the mask is a copy of the picture with the holes painted in, often the picture itself.
    """

    image: Path
    mask: Path
    edge: Path | None
    output: Path
    index: int = 0
    marking: Marking | None = None

    @property
    def scores(self) -> Path:
        """Return where the scores of its candidates are written."""
        return self.output.with_name(f"{self.output.stem}_candidates.json")

    @property
    def report(self) -> Path:
        """Return where it is said what was marked."""
        return self.output.with_suffix(".json")


def plan(
    image: str, mask: str, edge: str, output: str, marking: Marking | None = None, original: str = ""
) -> list[Job]:
    """Pair pictures, masks and edges by file stem and name the outputs `<stem>.png`; nothing is read yet.

    `output` is a folder, which keeps the subfolders of a folder of pictures, and of a list those that tell pictures of
    one stem apart; or, for one picture, a .png file. No name in a list leads out of it. With a `marking`, `image` names
    marked copies, in place of masks, and `original` the pictures, where they are others.
    Raises UserError naming what has no partner or would overwrite another, and for an output inside a folder of inputs.
    """
    given = (image, mask, edge, output, original)
    image, mask, edge, output, original = (str(expanded(part)) if part else "" for part in given)
    for option, source in (("--input", image), ("--mask", mask), ("--edge", edge), ("--original", original)):
        refuse_inside(output, option, source)
    images = files.list_images(image, "--input")
    mask_files = images if marking else files.list_images(mask, "--mask")
    masks = images if marking else _paired_masks(images, mask_files, shared=not Path(mask).is_dir())
    edge_files = files.list_images(edge, "--edge") if edge else []
    edges = files.pair(images, edge_files, "edge map", shared=len(images) == 1) if edge else [None] * len(images)
    originals = files.list_images(original, "--original") if original else images
    alone = len(images) == 1
    pictures = files.pair(images, originals, "original", shared=alone, spare=True) if original else images
    outputs = _outputs(images, Path(image), Path(output))
    count = range(len(images))
    jobs = [Job(*parts, marking) for parts in zip(pictures, masks, edges, outputs, count, strict=True)]
    refuse_overwriting(jobs, {Path(image), *images, *mask_files, *edge_files, *originals})
    return jobs


def refuse_overwriting(jobs: Sequence[Job], inputs: Collection[Path]) -> None:
    """Raise UserError where two jobs would write to one file, or one would write to an input."""
    doubles = [str(path) for path, n in Counter(job.output for job in jobs).items() if n > 1]
    if doubles:
        raise UserError(f"--input: several pictures would be written to {named(doubles)}; rename one of each")
    places, written = {os.path.realpath(path) for path in inputs}, [job.output for job in jobs]
    written += [job.report for job in jobs if job.marking]
    lost = [str(path) for path in written if os.path.realpath(path) in places]
    if lost:
        raise UserError(f"--output: would overwrite {named(lost)}; choose another folder")


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


def report(job: Job, marking: Marking, marks: Marks) -> bytes:
    """Return in JSON what was marked in a picture, and where it is."""
    places = {"marked": str(job.mask), "original": str(job.image), "output": job.output.name}
    settings = {"marker": marking.colour, "tolerance": marking.tolerance, "min_region": marking.min_region}
    return (json.dumps(places | settings | marks.report(), indent=1) + "\n").encode()


def _paired_masks(images: Sequence[Path], found: Sequence[Path], shared: bool) -> Sequence[Path]:
    """Return the mask of each picture; log what belongs to none. Raises UserError where one has none."""
    try:
        masks = files.pair(images, found, "mask", shared, spare=True)
    except files.PairError as error:
        others = "scripts/evaluate.py --size 0 completes with masks of any names, which it chooses"
        raise UserError(f"--mask: {error}; {others}") from error
    unused = [] if len(images) == 1 or len(found) > LONG else sorted({*map(str, found)} - {*map(str, masks)})
    if unused:
        log.warning("--mask: no picture of the same name for %s; the others are completed", named(unused))
    return masks


def _outputs(images: Sequence[Path], source: Path, target: Path) -> list[Path]:
    """Name the results: `<stem>.png`, below the folders that tell pictures of one stem apart."""
    if files.is_image(target) and not target.is_dir():
        if target.suffix.lower() != ".png":
            raise UserError(f"--output: {target} is not lossless; give a folder or a .png file")
        if len(images) > 1:
            raise UserError(f"--output: {target} is one file for {len(images)} pictures; give a folder")
        return [target]
    if target.is_file():
        raise UserError(f"--output: {target} is a file; give a folder")
    if source.is_dir():
        names = [(*path.parent.relative_to(source).parts, path.stem) for path in images]
    else:
        told_apart = files.unique_suffixes(images, without_suffix=True)
        names = [
            (*(part for part in told_apart[path][:-1] if part not in (path.anchor, "..")), path.stem) for path in images
        ]
    return [target / CONTROL.sub("_", str(Path(*name[:-1], f"{name[-1]}.png"))) for name in names]
