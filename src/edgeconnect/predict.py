"""Complete pictures of any size with trained generators."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeconnect import images
from edgeconnect.atomic import expanded
from edgeconnect.config.sections import DataConfig
from edgeconnect.data import files, masks
from edgeconnect.data.dataset import refuse_inverted
from edgeconnect.data.items import FIXED_EPOCH, make_item
from edgeconnect.engine import Engine, inference
from edgeconnect.errors import BadImageError, IncompleteError, UserError, is_out_of_memory, named, reason
from edgeconnect.images import to_uint8, write_png
from edgeconnect.types import Batch, Method

log = logging.getLogger(__name__)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what moves a terminal's cursor or breaks a line


@dataclass(frozen=True)
class Job:
    """One picture to complete and where its parts lie; `index`, its place in the whole list, seeds SIGMA 0."""

    image: Path
    mask: Path
    edge: Path | None
    output: Path
    index: int = 0


@dataclass(frozen=True)
class Outcome:
    """A job that is done: its picture is written, or `failure` says in one line why not."""

    job: Job
    failure: str = ""


@dataclass(frozen=True)
class Completed:
    """8-bit arrays of the picture's size: (H, W, 3), or (H, W) in stage `edge`."""

    merged: NDArray[np.uint8]
    edge: NDArray[np.uint8]


def plan(image: str, mask: str, edge: str, output: str) -> list[Job]:
    """Pair pictures, masks and edges by file stem and name the outputs `<stem>.png`; nothing is read yet.

    `output` is a folder, which keeps the subfolders of a folder of pictures, or, for one picture, a .png file. No name
    in a list leads out of it.
    Raises UserError naming what has no partner or would overwrite another, and for an output inside a folder of inputs.
    """
    image, mask, edge, output = (str(expanded(part)) if part else "" for part in (image, mask, edge, output))
    for option, source in (("--input", image), ("--mask", mask), ("--edge", edge)):
        if source:
            refuse_inside(Path(output), option, Path(source))
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


def refuse_inside(output: Path, option: str, source: Path) -> None:
    """Raise UserError where the next run would find this one's results among its inputs."""
    inner, outer = (Path(os.path.realpath(path)) for path in (output, source))  # unlike resolve(), ends in loops
    if outer.is_dir() and inner.is_relative_to(outer):
        raise UserError(
            f"--output: {output} lies in {option} {source}, where the next run would take it for input; "
            "give a folder outside"
        )


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Leave out the jobs whose output is there; an output appears whole, so only an empty file counts as missing."""
    return [job for job in jobs if not (job.output.is_file() and job.output.stat().st_size)]


def incomplete(failed: Sequence[Job], jobs: Sequence[Job]) -> IncompleteError:
    """Name the pictures that could not be completed, and where the others are."""
    names = named([str(job.image) for job in failed])
    place = os.path.commonpath([job.output.parent for job in jobs])
    others = f"; the others are in {place}" if len(failed) < len(jobs) else ""
    return IncompleteError(
        f"{len(failed)} of {len(jobs)} pictures could not be completed: {names}{others}; "
        "mend what is said above and run again with --skip-existing"
    )


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


class Predictor:
    """Complete one picture after the other with a method whose generators are loaded.

    `resize_mask` stretches masks and edge maps of another shape; `mirror` averages the completions of the picture and
    of its mirror image, which costs twice the time and smooths the generators' indecision.
    """

    def __init__(
        self,
        method: Method,
        engine: Engine,
        config: DataConfig,
        seed: int = 0,
        resize_mask: bool = False,
        mirror: bool = False,
    ) -> None:
        self.method, self.engine, self.config = method, engine, config
        self.seed, self.resize_mask, self.mirror = seed, resize_mask, mirror
        self.warned: set[str] = set()

    def run(self, jobs: Sequence[Job], debug: bool = False, done: Sequence[Job] = ()) -> Iterator[Outcome]:
        """Complete and write each job's picture and yield what came of it; one that cannot be used stops no other.

        `done` are jobs of the same command that need not be done again. Raises BadImageError for a single picture and
        for a mask that all share, and UserError where nothing can be written.
        """
        everything = [*jobs, *done]
        self.judge_masks([job.mask for job in everything])
        for job in jobs:
            failure = ""
            try:
                self.write(job, debug)
            except BadImageError as error:
                if len(everything) == 1:
                    raise
                failure = str(error)  # the error would keep the memory of the picture
            yield Outcome(job, failure)

    def judge_masks(self, paths: Sequence[Path]) -> None:
        """Raise UserError for masks that look inverted, and for a single one that cannot be read."""
        different = list(dict.fromkeys(paths))
        if len(different) == 1:
            files.read_mask(different[0], self.config.mask_threshold, self.config.max_pixels)
        if different:
            refuse_inverted(different, self.config, "--mask")

    def write(self, job: Job, debug: bool = False) -> None:
        """Complete a job's picture and write it; with `debug`, first its edges and input in `debug/`.

        Raises BadImageError where its files cannot be used or it takes more memory than there is.
        """
        try:
            image, mask, edge = self.read(job)
            done = self.complete(image, mask, edge, job.index, str(job.image))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise BadImageError(job.image, f"takes more memory than there is ({reason(error)}); shrink it") from error
        if debug:
            holed = np.where(mask[..., None], np.uint8(255), image)
            debug_folder = job.output.parent / "debug"
            write_png(debug_folder / f"{job.output.stem}_edge.png", done.edge)
            write_png(debug_folder / f"{job.output.stem}_masked.png", holed)
        write_png(job.output, done.merged)

    def complete(
        self,
        image: NDArray[np.uint8],
        mask: masks.Mask,
        external: NDArray[np.uint8] | None = None,
        index: int = 0,
        name: str = "",
    ) -> Completed:
        """Complete (H, W, 3) RGB where (H, W) `mask` is True; known pixels come back bit for bit.

        Edges are Canny's of the known pixels, or those of `external`, (H, W) in 0 to 255. `index` seeds SIGMA 0.
        """
        batch = make_item(
            image=image,
            mask=mask,
            name=name,
            config=self.config,
            rng=np.random.default_rng((self.seed, FIXED_EPOCH, index)),
            true_edges=False,
            external=external,
        )
        (filled,), (edge,) = complete_batch(self.method, self.engine, batch, self.mirror)
        if filled.shape[2] == 1:
            return Completed(np.where(mask, filled[..., 0], edge), edge)
        return Completed(np.where(mask[..., None], filled, image), edge)

    def read(self, job: Job) -> tuple[NDArray[np.uint8], masks.Mask, NDArray[np.uint8] | None]:
        """Decode a job's picture, its mask (True = missing) and its external edges, all of the picture's size."""
        image = images.read_image(job.image, self.config.max_pixels)
        self.warn_of_losses(job.image)
        height, width = image.shape[:2]
        gray = files.read_mask(job.mask, self.config.mask_threshold, self.config.max_pixels)
        gray = self.fitted(gray, job.mask, "mask", job.image, height, width)
        mask = masks.binarize(gray, self.config.mask_threshold, self.config.mask_polarity)
        if job.edge is None:
            return image, mask, None
        return (
            image,
            mask,
            self.fitted(
                images.read_gray(job.edge, self.config.max_pixels), job.edge, "edge map", job.image, height, width
            ),
        )

    def warn_of_losses(self, path: Path) -> None:
        """Log, once for each kind of loss, what a picture has and its completion will not have."""
        for what in images.losses(path):
            if what not in self.warned:
                self.warned.add(what)
                log.warning("%s has %s, which its completion does not keep; the same for others like it", path, what)

    def fitted(
        self, gray: NDArray[np.uint8], path: Path, what: str, image: Path, height: int, width: int
    ) -> NDArray[np.uint8]:
        """Resize a mask or edge map of the picture's shape; stretch one of another shape only where that is asked."""
        if images.is_stretched(gray.shape, (height, width)) and not self.resize_mask:
            raise BadImageError(
                path,
                f"the {what} is {gray.shape[1]}x{gray.shape[0]}, {image} is {width}x{height}; "
                "give one of its shape, or --resize-mask to stretch it as the published program does",
            )
        return images.resize(gray, height, width)


def complete_batch(
    method: Method, engine: Engine, batch: Batch, mirror: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return what a method makes of a batch: pictures, (B, H, W, 3 or 1), and the edges it went by, (B, H, W).

    `mirror` averages the pictures with the completions of the mirror images.
    """
    with inference(method), engine.autocast():
        placed = engine.place(batch)
        completion = method.complete(placed)
        merged = completion.merged
        if mirror:
            mirrored = placed.map(lambda tensor: tensor.flip(-1))
            merged = (merged + method.complete(mirrored).merged.flip(-1)) / 2
    return to_uint8(merged), to_uint8(completion.edge)[..., 0]
