"""Work in threads: in order, never far ahead, an error where it belongs."""

import threading
import time

import pytest

from edgeconnect.threads import in_threads


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_results_come_in_order(workers):
    def slow_first(number):
        time.sleep(0.01 * (number == 0))
        return number * number

    assert list(in_threads(slow_first, range(20), workers)) == [number * number for number in range(20)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_work_is_at_most_two_results_a_thread_ahead(workers):
    begun = []
    results = in_threads(lambda number: begun.append(number) or number, iter(range(10**9)), workers)
    assert [next(results) for _ in range(5)] == list(range(5))
    results.close()
    assert len(begun) <= 5 + 2 * workers


def test_below_two_workers_the_calling_thread_works():
    assert set(in_threads(lambda _: threading.get_ident(), range(3), 1)) == {threading.get_ident()}


@pytest.mark.parametrize("workers", [0, 2])
def test_error_comes_at_the_place_of_its_item(workers):
    results = in_threads(lambda number: 1 // (2 - number), range(4), workers)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
