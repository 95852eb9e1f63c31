"""What the files of a picture to complete hold: decoded, upright, of one size; what is not kept is said once."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeconnect import images
from edgeconnect.config.sections import DataConfig
from edgeconnect.data import masks
from edgeconnect.data.jobs import Job
from edgeconnect.data.markers import Marks, read_marked
from edgeconnect.errors import BadImageError

log = logging.getLogger(__name__)


class Sources(NamedTuple):
    """What a job's files hold: (H, W, 3) RGB, (H, W) True = missing, and (H, W) external edges, if any.

    Of a marked picture also its (H, W) alpha channel, if it has one, and what was found in it.
    """

    image: NDArray[np.uint8]
    mask: masks.Mask
    edge: NDArray[np.uint8] | None
    alpha: NDArray[np.uint8] | None = None
    marks: Marks | None = None
    is_gray: bool = False


@dataclass
class Inputs:
    """Reads the files of one job after the other; `resize_mask` stretches masks and edge maps of another shape."""

    config: DataConfig
    resize_mask: bool = False
    warned: set[str] = field(default_factory=set)

    def read(self, job: Job) -> Sources:
        """Decode a job's picture, its mask (True = missing) and its external edges, all of the picture's size.

        Raises BadImageError where one of them cannot be used.
        """
        rule, most = (self.config.mask_threshold, self.config.mask_polarity), self.config.max_pixels
        marked = read_marked(job.mask, job.image, job.marking, most) if job.marking else None
        image, about = marked.image if marked else images.read_image(job.image, most), images.facts(job.image)
        self._warn_of_losses(job, about)
        edge = (
            self._fitted(images.read_gray(job.edge, most), job.edge, "edge map", job, image, about)
            if job.edge
            else None
        )
        if marked:
            return Sources(image, marked.marks.mask, edge, marked.alpha, marked.marks, about.is_gray)
        gray = masks.read_mask(job.mask, *rule, most, job.image)
        mask = masks.binarize(self._fitted(gray, job.mask, "mask", job, image, about), *rule)
        if not mask.any():
            size = f"{mask.shape[1]}x{mask.shape[0]}"
            raise BadImageError(job.mask, f"nothing is left of its hole at {size} pixels; give a mask of that size")
        return Sources(image, mask, edge, is_gray=about.is_gray)

    def _fitted(
        self,
        gray: NDArray[np.uint8],
        path: Path,
        what: str,
        job: Job,
        image: NDArray[np.uint8],
        about: images.Facts,
    ) -> NDArray[np.uint8]:
        """Bring a mask or an edge map to the size of its picture; where EXIF turns that alone, turn it likewise."""
        (height, width), own = image.shape[:2], images.facts(path)
        fits = not images.is_stretched(gray.shape, (height, width))
        if own.has_more:
            self._once(f"pages of {what}s", f"{path} has several pages or frames; the first is the {what}")
        turned = ""
        if about.turn is not None and own.turn is None:
            turned = ", as EXIF turns it"
            if not fits and about.turn in images.SIDEWAYS and not images.is_stretched(gray.shape, (width, height)):
                gray, fits = np.array(Image.fromarray(gray).transpose(about.turn)), True
                message = f"EXIF turns {job.image}, and {path} has the shape that it has without: it is turned, too"
                self._once(f"turned {what}", message)
            elif fits and (about.turn not in images.SIDEWAYS or height == width):
                message = f"EXIF turns {job.image}; {path} is taken to be drawn on the turned picture"
                self._once(f"upright {what}", message)
        if not fits and not self.resize_mask:
            sizes = f"the {what} is {gray.shape[1]}x{gray.shape[0]}, {job.image} is {width}x{height}{turned}"
            raise BadImageError(path, f"{sizes}; give one of its shape, or --resize-mask to stretch it")
        return images.resize(gray, height, width)

    def _warn_of_losses(self, job: Job, about: images.Facts) -> None:
        """Warn of what the completion does not keep; marked pictures keep their alpha channel."""
        for what in about.lost:
            if not (job.marking and what == images.ALPHA):
                self._once(what, f"{job.image} has {what}, which its completion does not keep")
        if about.has_more:
            self._once("pages", f"{job.image} has several pages or frames, of which the first is completed")

    def _once(self, kind: str, message: str) -> None:
        """Warn of the first file of a kind."""
        if kind not in self.warned:
            self.warned.add(kind)
            log.warning("%s; so for others like it", message)
