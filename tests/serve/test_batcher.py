"""Requests at once are worked on at once."""

import threading
import time
from collections import Counter

import pytest

from skgaussad.serve._batcher import Batcher


@pytest.fixture
def sizes():
    return []


@pytest.fixture
def batcher(sizes):
    def work(items):
        if "bad" in items:
            raise ValueError("bad")
        sizes.append(len(items))
        time.sleep(0.1)
        return [item * 2 for item in items]

    batcher = Batcher(work, 16)
    batcher.start()
    yield batcher
    batcher.stop()


def test_clients_that_began_apart_come_together(batcher, sizes):
    def ask(number):
        # The second half comes while the first is worked on.
        time.sleep(0.45 if number >= 4 else 0.0)
        for _ in range(20):
            assert batcher.submit([number]) == [2 * number]

    threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sizes) == 160
    assert Counter(sizes).most_common(1)[0][0] >= 6


def test_one_client_does_not_wait(batcher, sizes):
    started = time.monotonic()
    for _ in range(5):
        batcher.submit([1])
    assert sizes == [1] * 5
    assert time.monotonic() - started < 5 * 0.1 + 0.4


def test_an_error_is_that_of_the_request(batcher):
    with pytest.raises(ValueError, match="bad"):
        batcher.submit(["bad"])
    assert batcher.submit([2, 3]) == [4, 6]
