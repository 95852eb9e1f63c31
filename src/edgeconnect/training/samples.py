"""Samples: what a method makes of some pictures, for eyes."""

import numpy as np
from numpy.typing import NDArray

from edgeconnect.images import to_uint8
from edgeconnect.types import Batch, Completion


def sample_rows(batch: Batch, completion: Completion) -> list[list[NDArray[np.uint8]]]:
    """Lay out each picture of a batch as input, edges, completion, merged, truth."""
    holed = batch.image * (1 - batch.mask) + batch.mask
    truth = batch.image if completion.merged.shape[1] == 3 else batch.edge
    columns = [to_uint8(tensor) for tensor in (holed, completion.edge, completion.raw, completion.merged, truth)]
    return [[column[i] for column in columns] for i in range(len(batch.name))]
