"""Complete pictures of any size with trained generators."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeconnect.atomic import write_whole
from edgeconnect.config.sections import DataConfig
from edgeconnect.data import masks
from edgeconnect.data.blending import blended
from edgeconnect.data.dataset import refuse_inverted
from edgeconnect.data.inputs import Inputs, Sources
from edgeconnect.data.items import FIXED_EPOCH, make_item
from edgeconnect.data.jobs import Job, incomplete, report
from edgeconnect.device import free_memory
from edgeconnect.engine import Engine
from edgeconnect.errors import BadImageError, is_out_of_memory, reason
from edgeconnect.images import write_png
from edgeconnect.progress import progress
from edgeconnect.threads import in_threads
from edgeconnect.trained import LoadedRun, complete_batch, in_bytes
from edgeconnect.types import Batch, Method
from edgeconnect.verification import Verifier

EDGES, PLANES, ACTIVATIONS = 56, 64, 9  # bytes of a pixel: to find edges; to complete, and that for each channel, too
AHEAD = 2  # pictures that are read, and that are written, at most while another one is completed

Part = TypeVar("Part")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Completed:
    """8-bit arrays of the picture's size: (H, W, 3), or (H, W) in stage `edge`."""

    merged: NDArray[np.uint8]
    edge: NDArray[np.uint8]


class Prepared(NamedTuple):
    """A picture to complete: what its files hold, and the batch of one that they make."""

    job: Job
    sources: Sources
    batch: Batch


@dataclass
class Predictor:
    """Complete one picture after the other with a method whose generators are loaded.

    `resize_mask` stretches masks and edge maps of another shape; `mirror` averages the completions of the picture and
    of its mirror image, which costs twice the time and smooths the generators' indecision; `blend` takes colours from
    the rim, see `blending.blended`; a `verifier` tries several completions and keeps the most real. `bytes_a_pixel`
    are what completing a picture takes at the least.
    """

    method: Method
    engine: Engine
    config: DataConfig
    seed: int = 0
    resize_mask: bool = False
    mirror: bool = False
    blend: bool = False
    needs_edges: bool = True
    verifier: Verifier | None = None
    bytes_a_pixel: int = 0

    def __post_init__(self) -> None:
        self.inputs = Inputs(self.config, self.resize_mask)

    @classmethod
    def of(
        cls,
        run: LoadedRun,
        resize_mask: bool = False,
        mirror: bool = False,
        blend: bool = False,
        verifier: Verifier | None = None,
    ) -> "Predictor":
        """Complete with a trained run."""
        settings = run.config.data, run.config.run.seed, resize_mask, mirror, blend, run.stage.needs_edges
        on_cpu = run.engine.device.type == "cpu"  # a GPU refuses by itself what it has no memory for
        needed = PLANES + ACTIVATIONS * run.config.networks.base_channels if on_cpu else 0
        return cls(run.method, run.engine, *settings, verifier, needed)

    def run(self, jobs: Sequence[Job], debug: bool = False, done: Sequence[Job] = ()) -> Iterator[tuple[Job, str]]:
        """Complete and write each job's picture; yield it with nothing, or with why it is not there, in one line.

        While one is completed, the next ones are read and the ones before are written, in threads. One picture that
        cannot be used, or takes more memory than there is, stops no other. `done` are jobs of the same command that
        need not be done again.
        Raises BadImageError for a single picture and for a mask that all share, and UserError where masks look inverted
        or nothing can be written.
        """
        everything = [*jobs, *done]
        different = list(dict.fromkeys(job.mask for job in everything if not job.marking))
        if len(different) == 1:
            alone = everything[0].image if len(everything) == 1 else None
            rule = self.config.mask_threshold, self.config.mask_polarity, self.config.max_pixels
            masks.read_mask(different[0], *rule, alone)
        if different:
            refuse_inverted(different, self.config, "--mask")
        tried = partial(_tried, alone=len(everything) == 1)
        prepared = in_threads(lambda job: (job, tried(self.prepare, job, job)), jobs, 1, AHEAD)
        filled = ((job, tried(self.fill, job, item)) for job, item in prepared)
        written = in_threads(lambda part: tried(partial(self.write, debug=debug), *part), filled, 1, AHEAD)
        yield from zip(jobs, written, strict=True)

    def prepare(self, job: Job) -> "Prepared":
        """Read a job's files and find its edges. Raises BadImageError where one of them cannot be used."""
        sources = self.inputs.read(job)
        self.refuse_too_large(job, sources.mask, EDGES if self.needs_edges else 0)
        batch = self.batch(sources.image, sources.mask, sources.edge, job.index, str(job.image))
        return Prepared(job, sources, batch)

    def fill(self, item: "Prepared") -> "tuple[Prepared, Completed]":
        """Complete what has been read."""
        self.refuse_too_large(item.job, item.sources.mask, self.bytes_a_pixel)
        if self.verifier:
            return item, self.verify(item, self.verifier)
        return item, self.fill_batch(item.batch, item.sources.image, item.sources.mask)

    def refuse_too_large(self, job: Job, mask: masks.Mask, bytes_a_pixel: int) -> None:
        """Raise BadImageError for a picture that takes more memory than is free: Linux would end the process for it."""
        needed, free, (height, width) = mask.size * bytes_a_pixel, free_memory(), mask.shape
        if needed > free:
            problem = (
                f"is {width}x{height}, which takes {needed / 1e9:.1f} GB of memory or more; {free / 1e9:.1f} are free"
            )
            raise BadImageError(job.image, f"{problem}; shrink it, or cut out what lies around the hole")

    def verify(self, item: "Prepared", verifier: Verifier) -> Completed:
        """Complete in several ways and write all scores. Raises BadImageError where none is real enough."""
        job, (image, mask, external, *_), batch = item
        given = image, mask, external, job.index, str(job.image)
        made, scores = verifier.complete(lambda scale: batch if scale == 1 else self.batch(*given, scale))
        write_whole(job.scores, (json.dumps(scores, indent=1) + "\n").encode())
        if made is None:
            highest = max(min(score["edges"], score["picture"]) for score in scores)
            problem = f"none of {len(scores)} candidates scores {verifier.least:g} or more, the best {highest:.2f}"
            raise BadImageError(job.image, f"{problem}; lower --reject, or raise --candidates; all are in {job.scores}")
        (merged,), (raw,), (edge,) = in_bytes(made)
        return Completed(self.composed(image, mask, merged, raw), edge)

    def write(self, filled: "tuple[Prepared, Completed]", debug: bool = False) -> str:
        """Write a completed picture, after what was marked in it; with `debug`, first edges and input in `debug/`."""
        (job, (image, mask, _, alpha, marks, is_gray), _), done = filled
        if debug:
            holed = np.where(mask[..., None], np.uint8(255), image)
            for what, picture in (("edge", done.edge), ("masked", holed)):
                write_png(job.output.parent / "debug" / f"{job.output.stem}_{what}.png", picture)
        if job.marking and marks:
            write_whole(job.report, report(job, job.marking, marks))
        merged = done.merged
        if merged.ndim == 3:  # an edge map is gray and has no alpha
            if is_gray:
                gray = np.array(Image.fromarray(merged).convert("L"))  # equal channels give that very value
                merged = gray if alpha is None else np.dstack([gray] * 3)
            merged = merged if alpha is None else np.dstack((merged, alpha))
        write_png(job.output, merged)
        return ""

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
        return self.fill_batch(self.batch(image, mask, external, index, name), image, mask)

    def batch(
        self,
        image: NDArray[np.uint8],
        mask: masks.Mask,
        external: NDArray[np.uint8] | None,
        index: int,
        name: str,
        scale: float = 1.0,
    ) -> Batch:
        """Make a batch of one, with its edges, Canny's at SIGMA times `scale`; SIGMA 0 and -1 stay what they are."""
        rng, needed = np.random.default_rng((self.seed, FIXED_EPOCH, index)), self.needs_edges
        given = image, mask, name, self.config.at_scale(scale), rng
        return make_item(*given, true_edges=False, whole=False, external=external, with_edges=needed)

    def fill_batch(self, batch: Batch, image: NDArray[np.uint8], mask: masks.Mask) -> Completed:
        """Complete a batch of one, and take the known pixels from the picture itself."""
        (filled,), (raw,), (edge,) = complete_batch(self.method, self.engine, batch, self.mirror)
        if filled.shape[2] == 1:
            return Completed(np.where(mask, filled[..., 0], edge), edge)
        return Completed(self.composed(image, mask, filled, raw), edge)

    def composed(
        self, image: NDArray[np.uint8], mask: masks.Mask, filled: NDArray[np.uint8], raw: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Put what was completed, or with `blend` what was painted everywhere, into the hole of a picture."""
        return blended(image, raw, mask) if self.blend else np.where(mask[..., None], filled, image)


def _tried(step: Callable[[Part], Result], job: Job, part: Part | str, alone: bool) -> Result | str:
    """Take a step of a job, or hand its failure on, as text: an error would keep the memory of the picture."""
    if isinstance(part, str):
        return part
    try:
        return step(part)
    except BadImageError as error:
        if alone:
            raise
        return str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        large = BadImageError(job.image, f"takes more memory than there is ({reason(error)}); shrink it")
        if alone:
            raise large from error
        return str(large)


def complete(predictor: Predictor, jobs: Sequence[Job], debug: bool = False, done: Sequence[Job] = ()) -> None:
    """Complete pictures; one that cannot be used stops no other.

    `done` are those of the same command that are there already. Raises IncompleteError at the end where some are not.
    """
    failed = []
    with progress(len(jobs), 0, "completing", "picture") as bar:
        for job, failure in predictor.run(jobs, debug, done):
            if failure:
                failed.append(job)
                log.warning("%s", failure)
            bar.update()
    if failed:
        raise incomplete(failed, [*jobs, *done])
