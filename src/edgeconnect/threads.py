"""Work in several threads, its results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_threads(function: Callable[[A], B], items: Iterable[A], workers: int, ahead: int = 0) -> Iterator[B]:
    """Yield the results in the order of the items.

    Unlike Executor.map, never work further than `ahead` results ahead: by default two for each thread, or none, in the
    calling thread, below two workers.
    """
    if workers < 2 and not ahead:
        yield from map(function, items)
        return
    results: deque[Future[B]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            if len(results) == (ahead or 2 * workers):
                yield results.popleft().result()
            results.append(pool.submit(function, item))
        while results:
            yield results.popleft().result()
