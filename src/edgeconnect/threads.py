"""Work in several threads, its results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_threads(function: Callable[[A], B], items: Iterable[A], workers: int) -> Iterator[B]:
    """Yield the results in the order of the items; below two workers, compute them in the calling thread.

    Unlike Executor.map, never work further ahead than two results for each thread.
    """
    if workers < 2:
        yield from map(function, items)
        return
    ahead: deque[Future[B]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            if len(ahead) == 2 * workers:
                yield ahead.popleft().result()
            ahead.append(pool.submit(function, item))
        while ahead:
            yield ahead.popleft().result()
