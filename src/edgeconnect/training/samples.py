"""Samples: what a method makes of some pictures, for eyes."""

import numpy as np
from numpy.typing import NDArray

from edgeconnect.images import to_uint8
from edgeconnect.types import Batch, Completion


def sample_rows(batch: Batch, completion: Completion, predicts: str) -> list[list[NDArray[np.uint8]]]:
    """Arrange each picture of a batch as input, edges, completion, merged, truth; `predicts` is image or edge."""
    holed = batch.image * (1 - batch.mask) + batch.mask
    truth = batch.edge if predicts == "edge" else batch.image
    columns = [to_uint8(tensor) for tensor in (holed, completion.edge, completion.raw, completion.merged, truth)]
    return [[column[i] for column in columns] for i in range(len(batch.name))]
