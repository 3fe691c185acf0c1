"""What `skgaussad serve` does under load.

    python benchmarks/serve.py
    python benchmarks/serve.py --seconds 20 --clients 4

The default detector is fitted to solar cells and served by one process. Clients send an
image after the other for two minutes, and say of every fourth that it was good. Prints
images a second beside those of `score_samples` in one process on the same files, the
median and 99th percentile of the time to an answer, and the memory of the service after
a quarter of the time and at the end. Then the service is killed under load and started
again. The exit status is 1 if an answer is wrong, accepted feedback is lost, memory
grows by more than a tenth, or fewer images go through than one by one in process.
"""

import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
import psutil
from _harness import Verdict, format_table, make_parser, print_verdicts

from skgaussad import make_detector, save
from skgaussad.datasets import load_solar_cells

# Scores in batches of other sizes differ by rounding.
_TOLERANCE = 1e-5
_MAX_GROWTH = 1.1


class Server:
    """The service of a model file, as a process."""

    def __init__(self, model):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "skgaussad", "serve", str(model), "--port=0"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in self._process.stderr:
            if found := re.search(r"running on (http://\S+)", line):
                self.address = found[1]
                break
        else:
            raise RuntimeError("The service did not start.")

    @property
    def megabytes(self):
        """Memory of the process."""
        return psutil.Process(self._process.pid).memory_info().rss / 1e6

    def kill(self):
        """End it as a loss of power does."""
        self._process.kill()
        self._process.wait()
        self._process.stderr.close()


class Clients:
    """Threads that send images, and check what comes back.

    Parameters
    ----------
    address : str
    paths : list of str
    distances : ndarray of shape (n_images,)
        What is to come back.
    n_clients : int
    """

    def __init__(self, address, paths, distances, n_clients):
        self._address = address
        self._contents = [Path(path).read_bytes() for path in paths]
        self._distances = distances
        self.seconds, self.wrong, self.accepted = [], 0, set()
        self.failed = []
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=[number])
            for number in range(n_clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self):
        """Stop after the answers that are under way."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number):
        rng = np.random.default_rng(number)
        with httpx2.Client(base_url=self._address, timeout=60) as client:
            while not self._stopped.is_set():
                try:
                    self._ask(client, int(rng.integers(len(self._contents))))
                except httpx2.TransportError as error:
                    self.failed.append(error)
                    return

    def _ask(self, client, index):
        files = {"files": (f"{index}.png", self._contents[index])}
        started = time.perf_counter()
        answer = client.post("/score", files=files)
        self.seconds.append(time.perf_counter() - started)
        (row,) = answer.raise_for_status().json()["results"]
        expected = self._distances[index]
        is_right = row["name"] == f"{index}.png" and (
            abs(row["distance"] / expected - 1) < _TOLERANCE
        )
        self.wrong += not is_right
        if len(self.seconds) % 4 == 0:
            verdict = {"id": row["id"], "verdict": "good"}
            client.post("/feedback", json=verdict).raise_for_status()
            self.accepted.add(row["id"])


def main(argv=None):
    """Run the benchmark; return the exit status."""
    parser = make_parser(__doc__, "--quick")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args(argv)
    n_fitted, n_sent = (30, 8) if options.quick else (100, 200)
    data = load_solar_cells("mono")
    good = np.random.default_rng(0).permutation(data.paths[data.labels == 1]).tolist()
    sent = good[n_fitted : n_fitted + n_sent]
    detector = make_detector().fit(good[:n_fitted])
    detector.score_samples(sent)
    started = time.perf_counter()
    distances = -detector.score_samples(sent)
    in_process = len(sent) / (time.perf_counter() - started)
    started = time.perf_counter()
    for path in sent:
        detector.score_samples([path])
    one_by_one = len(sent) / (time.perf_counter() - started)

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.skgaussad"
        save(detector, model)
        server = Server(model)
        clients = Clients(server.address, sent, distances, options.clients)
        time.sleep(options.seconds / 4)
        before = server.megabytes
        time.sleep(options.seconds * 3 / 4)
        after = server.megabytes
        seconds = np.array(clients.seconds)
        # Killed while they go on.
        server.kill()
        clients.stop()
        server = Server(model)
        history = httpx2.get(f"{server.address}/history?limit=10000", timeout=60).json()
        server.kill()
    kept = {d["id"] for d in history["decisions"] if d["verdict"] == "good"}
    # Feedback on images of long ago is in the journal only.
    lost = clients.accepted - kept if history["n_decided"] <= 10_000 else set()

    speed = len(seconds) / options.seconds
    print(f"\n{options.clients} clients, {options.seconds:g} s, an image a request\n")
    rows = [
        ("images/s in process, all at once", in_process),
        ("images/s in process, one by one", one_by_one),
        ("images/s served", speed),
        ("median, ms", 1000 * np.median(seconds)),
        ("99th percentile, ms", 1000 * np.quantile(seconds, 0.99)),
        ("memory after a quarter, MB", before),
        ("memory at the end, MB", after),
    ]
    print(format_table({"": "", "value": ".0f"}, rows))
    return print_verdicts(
        "Service",
        [
            Verdict(
                "no wrong answer",
                not clients.wrong,
                f"{clients.wrong} of {len(seconds)}",
            ),
            Verdict(
                "kill -9 loses no accepted feedback",
                not lost,
                f"{len(lost)} of {len(clients.accepted)}",
            ),
            Verdict(
                "memory grows by a tenth at most",
                after <= _MAX_GROWTH * before,
                f"{after / before:.2f} times",
            ),
            Verdict(
                "more images than in process, one by one",
                speed >= one_by_one,
                f"{speed / one_by_one:.2f} times",
            ),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
