"""What the ranks of a run tell each other; where there is one process, nothing, at no cost.

Networks stay unwrapped: gradients are averaged in `engine.Engine.update`. What concerns control (signals, errors,
losses that are not finite) travels between the processors, so that no GPU is waited for. Whatever asks the other ranks
is to be called by all of them at the same place, never behind an `and` or `or`: they would wait for each other.
"""

import contextlib
import datetime
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from edgeconnect import launch
from edgeconnect.errors import UserError, is_out_of_memory, reason

TIMEOUT = datetime.timedelta(minutes=30)  # for the slowest: a check of the data or a save that the others wait for
PAUSE = 2e-3  # seconds between two looks for an answer at most: a signal is heard meanwhile
T = TypeVar("T")

log = logging.getLogger(__name__)


class LostRankError(UserError):
    """Another rank is gone, and did not say why."""


def world_size() -> int:
    """Return how many ranks train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Be one of the ranks that torchrun started while a context lasts.

    Tensors on processors travel by gloo, those on GPUs by NCCL.
    """
    if launch.count() == 1 or dist.is_initialized():
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        problem = f"rank {launch.rank()} of {launch.count()} does not find the others ({reason(error)})"
        raise UserError(f"{problem}; start them with torchrun, see docs/distributed.md") from error
    try:
        yield
    finally:
        leave()


def leave(abort: bool = False) -> None:
    """Leave the other ranks, and train or save alone from now on; `abort` drops what GPUs still wait for."""
    if dist.is_initialized():
        with contextlib.suppress(RuntimeError):
            if abort and "nccl" in dist.get_backend_config():
                dist.distributed_c10d._abort_process_group()
            else:
                dist.destroy_process_group()


@contextlib.contextmanager
def _others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        problem = f"rank {launch.rank()} has lost another one ({reason(error)})"
        raise LostRankError(f"{problem}; its own messages may say why; the same command resumes") from error


def most(values: Sequence[int]) -> list[int]:
    """Return the largest of each value over the ranks."""
    if world_size() == 1:
        return list(values)
    largest = torch.tensor(values, dtype=torch.int64)
    with _others():
        work = dist.all_reduce(largest, dist.ReduceOp.MAX, async_op=True)
        pause = PAUSE / 64
        while not work.is_completed():
            time.sleep(pause)
            pause = min(2 * pause, PAUSE)
        work.wait()
    return [int(value) for value in largest]


def gather(value: T) -> list[T]:
    """Return what each rank hands over, in their order; values are pickled."""
    values: list[Any] = [value] * world_size()
    if world_size() > 1:
        with _others():
            dist.all_gather_object(values, value)
    return values


def from_main(value: T) -> T:
    """Return what rank 0 hands over."""
    values = [value]
    if world_size() > 1:
        with _others():
            dist.broadcast_object_list(values, 0)
    return values[0]


def agree(problem: Exception | None = None) -> None:
    """Raise on every rank what one of them met, that of the lowest one where several did; rank 0 reports it."""
    if world_size() == 1:
        if problem:
            raise problem
        return
    if not most([problem is not None])[0]:
        return
    met = problem if isinstance(problem, UserError) else None
    if problem and not met:
        met = UserError(reason(problem))
        if not isinstance(problem, OSError) and not is_out_of_memory(problem):
            log.error("rank %d", launch.rank(), exc_info=problem)
    number, first = next((number, error) for number, error in enumerate(gather(met)) if error)
    first.args = (f"rank {number}: {first}" if number else str(first),)
    raise first.everywhere() from problem


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Leave a block on all ranks alike: what one raises in it, all raise. Ranks tell each other nothing inside it."""
    problem = None
    try:
        yield
    except Exception as error:  # noqa: BLE001 - raised again
        problem = error
    agree(problem)


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Run a block on rank 0, then on the others, which find the files that it wrote."""
    if not launch.is_main():
        agree()
    with together():
        yield
    if launch.is_main():
        agree()


def mean_over_ranks(value: Tensor) -> Tensor:
    """Average a tensor over the ranks; it carries no gradient."""
    if world_size() == 1:
        return value
    mean = value.detach() / world_size()
    with _others():
        dist.all_reduce(mean)
    return mean


def averaging(tensors: list[Tensor]) -> Callable[[], None]:
    """Begin to average tensors over the ranks, all in one piece, and return what waits for it and fills them."""
    if world_size() == 1 or not tensors:
        return lambda: None
    flat = torch.cat([tensor.flatten() for tensor in tensors]) / world_size()
    with _others():
        work = dist.all_reduce(flat, async_op=True)

    def finish() -> None:
        with _others():
            work.wait()
        means = torch.split(flat, [tensor.numel() for tensor in tensors])
        torch._foreach_copy_(tensors, [mean.view_as(tensor) for mean, tensor in zip(means, tensors, strict=True)])

    return finish


def copy_from_main(tensors: Sequence[Tensor]) -> None:
    """Overwrite tensors by those of rank 0."""
    if world_size() > 1:
        with _others():
            for tensor in tensors:
                dist.broadcast(tensor, 0)
