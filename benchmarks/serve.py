"""What `skgaussad serve` does under load.

    python benchmarks/serve.py
    python benchmarks/serve.py --seconds 20 --clients 4

The default detector is fitted to solar cells and served by one process. Clients send an
image after the other for two minutes, and say of every fourth that it was good. Prints
images a second beside those of `score_samples` in one process on the same files, before
and after: one by one, as many at once as there are clients, which is the most that
could go through at once, and all at once. Prints the median and 99th percentile of the
time to an answer, and the memory of the service after a quarter of the time and at the
end. Then the service is killed under load and started again. The exit status is 1 if an
answer is wrong, accepted feedback is lost, memory grows by more than a tenth, or fewer
images go through than one by one, or than half of those all at once: clients and
service share the cores.
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
_LEAST_OF_BATCH = 0.5


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


def measure_rate(detector, paths, n_at_once):
    """Return images a second, scored so many at once in this process."""
    started = time.perf_counter()
    for start in range(0, len(paths), n_at_once):
        detector.score_samples(paths[start : start + n_at_once])
    return len(paths) / (time.perf_counter() - started)


def main(argv=None):
    """Run the benchmark; return the exit status."""
    parser = make_parser(__doc__, "--quick")
    parser.add_argument("--seconds", type=float, help="of load (default: 120)")
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args(argv)
    n_fitted, n_sent, n_seconds = (30, 8, 8) if options.quick else (100, 64, 120)
    if options.seconds is not None:
        n_seconds = options.seconds
    data = load_solar_cells("mono")
    good = np.random.default_rng(0).permutation(data.paths[data.labels == 1]).tolist()
    sent = good[n_fitted : n_fitted + n_sent]
    detector = make_detector().fit(good[:n_fitted])
    distances = -detector.score_samples(sent)
    sizes = {"one": 1, "clients": options.clients, "all": len(sent)}
    before = {name: measure_rate(detector, sent, n) for name, n in sizes.items()}

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.skgaussad"
        save(detector, model)
        server = Server(model)
        clients = Clients(server.address, sent, distances, options.clients)
        time.sleep(n_seconds / 4)
        memory = server.megabytes
        time.sleep(n_seconds * 3 / 4)
        memory_after = server.megabytes
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

    # Of a machine that others use, before and after differ.
    rates = {
        name: (before[name] + measure_rate(detector, sent, n)) / 2
        for name, n in sizes.items()
    }
    speed = len(seconds) / n_seconds
    print(f"\n{options.clients} clients, {n_seconds:g} s, an image a request\n")
    rows = [
        ("images/s in process, all at once", rates["all"]),
        (f"images/s in process, {options.clients} at once", rates["clients"]),
        ("images/s in process, one by one", rates["one"]),
        ("images/s served", speed),
        ("median, ms", 1000 * np.median(seconds)),
        ("99th percentile, ms", 1000 * np.quantile(seconds, 0.99)),
        ("memory after a quarter, MB", memory),
        ("memory at the end, MB", memory_after),
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
                memory_after <= _MAX_GROWTH * memory,
                f"{memory_after / memory:.2f} times",
            ),
            Verdict(
                "more images than in process, one by one",
                speed >= rates["one"],
                f"{speed / rates['one']:.2f} times",
            ),
            Verdict(
                f"at least {_LEAST_OF_BATCH:g} times those in process, all at once",
                speed >= _LEAST_OF_BATCH * rates["all"],
                f"{speed / rates['all']:.2f} times, and "
                f"{speed / rates['clients']:.2f} times {options.clients} at once",
            ),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
