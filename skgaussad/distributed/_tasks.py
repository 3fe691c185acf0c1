"""Tasks for a Dask cluster that survive the loss of workers.

The inputs of tasks are made by tasks, too, and not scattered: the scheduler can repeat
these when the worker that held a result is lost.
"""

import hashlib
import uuid

from .._utils.optional import check_packages

# How often a task that fails is tried again, by any worker. A lost worker does not
# count as a failure; Dask's own limit for those that a task takes with it is three.
RETRIES = 2
# Bytes that are sent at a time. Dask warns of more than ten millions.
_PIECE = 8_000_000


def resolve_client(client, user):
    """Return the client to work with.

    Parameters
    ----------
    client : dask.distributed.Client or None
        None for the one that was made last.
    user : str
        Who needs it, for messages.

    Returns
    -------
    client : dask.distributed.Client

    Raises
    ------
    ImportError
        If Dask is missing.
    ValueError
        If there is no client.
    """
    check_packages(user, "dask", "dask.distributed")
    from dask.distributed import default_client

    if client is not None:
        return client
    try:
        return default_client()
    except ValueError:
        raise ValueError(
            f"{user} needs a Dask client, and none is open. Open one, which need not "
            "be handed over: dask.distributed.Client() for the processors of this "
            "machine, or Client(address) for a cluster."
        ) from None


def count_threads(client):
    """Count the threads of all present workers, at least one."""
    return max(1, sum(client.nthreads().values()))


class Tasks:
    """Tasks of one call, all of which are released when it ends.

    Parameters
    ----------
    client : dask.distributed.Client

    Examples
    --------
    >>> from dask.distributed import Client
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     with Tasks(client) as tasks:
    ...         tasks.submit("root", pow, 9, 0.5).result()
    3.0
    """

    def __init__(self, client):
        self.client = client
        self._token = uuid.uuid4().hex
        self._n_submitted = 0
        self._futures = {}

    def submit(self, name, function, *args, priority=0):
        """Have a function called by a worker.

        Parameters
        ----------
        name : str
            What Dask's dashboard and messages call it.
        function : callable
        *args : object
            Futures, and lists and tuples of them, are replaced by their results.
        priority : int, default=0
            Higher ones come first.

        Returns
        -------
        future : dask.distributed.Future
        """
        self._n_submitted += 1
        future = self.client.submit(
            function,
            *args,
            key=f"{name}-{self._token}-{self._n_submitted}",
            retries=RETRIES,
            priority=priority,
        )
        self._futures[future.key] = future
        return future

    def send_model(self, model):
        """Send a model that many tasks need, for `load`.

        Parameters
        ----------
        model : object

        Returns
        -------
        digest : str
            SHA-256 of its pickle.
        pieces : list of dask.distributed.Future
        """
        pickled = _pickle(model)
        digest = hashlib.sha256(pickled).hexdigest()
        return digest, [self._send(piece) for piece in _cut(pickled)]

    def send(self, value):
        """Send what one task needs, for `unpack`.

        Parameters
        ----------
        value : object

        Returns
        -------
        pieces : list of bytes, or of dask.distributed.Future
        """
        pieces = _cut(_pickle(value))
        return pieces if len(pieces) == 1 else [self._send(piece) for piece in pieces]

    def _send(self, piece):
        return self.submit("skgaussad-send", bytes, piece)

    def drop(self, futures):
        """Release tasks: those that no other one needs are cancelled or forgotten.

        Parameters
        ----------
        futures : iterable of dask.distributed.Future
        """
        for future in futures:
            self._futures.pop(future.key).release()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A traceback would keep them alive. Not by Client.cancel, which made the
        # scheduler of Dask 2026.8 fail on tasks that depend on others.
        self.drop(list(self._futures.values()))


def _pickle(value):
    # Pickles classes of scripts and notebooks, too, which workers cannot import.
    import cloudpickle

    return cloudpickle.dumps(value)


def _cut(pickled):
    return [pickled[i : i + _PIECE] for i in range(0, len(pickled), _PIECE)]
