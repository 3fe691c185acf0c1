"""Images of many requests, scored together by one thread."""

import queue
import threading
import time
from concurrent.futures import Future

# How long to wait for the next requests of those that were just answered, by the time
# that their last ones took: else clients that came apart would stay so, and each part
# would go through by itself.
_LINGER = 0.1


class Batcher:
    """Gathers what requests bring while the network is busy, and works on it at once.

    One thread computes, so that requests do not compete for the cores.

    Parameters
    ----------
    work : callable
        Takes a list of items; returns a list of as many results.
    most : int
        Number of items at which no more are gathered.
    """

    def __init__(self, work, most):
        self._work = work
        self._most = most
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        """Begin to work."""
        self._thread.start()

    def stop(self):
        """Finish what was submitted, and work no more."""
        self._queue.put(None)
        self._thread.join()

    def submit(self, items):
        """Wait for the results of some items."""
        future = Future()
        self._queue.put((items, future))
        return future.result()

    def _run(self):
        n_expected, deadline = 1, 0.0
        while (request := self._queue.get()) is not None:
            requests = [request]
            while sum(len(items) for items, _ in requests) < self._most:
                is_complete = len(requests) >= n_expected
                wait = 0.0 if is_complete else max(deadline - time.monotonic(), 0.0)
                try:
                    request = self._queue.get(timeout=wait)
                except queue.Empty:
                    break
                if request is None:
                    self._queue.put(None)
                    break
                requests.append(request)
            started = time.monotonic()
            self._answer(requests)
            ended = time.monotonic()
            # Those that were answered come again, to those that have waited.
            n_expected = len(requests) + self._queue.qsize()
            deadline = ended + _LINGER * (ended - started)

    def _answer(self, requests):
        try:
            results = iter(self._work([item for some, _ in requests for item in some]))
        except BaseException as error:
            for _, future in requests:
                future.set_exception(error)
            return
        for items, future in requests:
            future.set_result([next(results) for _ in items])
