"""Scores of many images, written by the workers of a cluster as Parquet files."""

import os
from itertools import islice
from pathlib import Path

from sklearn.utils.validation import check_is_fitted

from .._utils.atomic_write import remove_left, replacing
from .._utils.optional import check_packages
from .._utils.progress import progress_bar
from .._utils.score_table import arrow_schema, score_rows
from .._utils.validation import check_choice
from ..detectors import find_threshold, offers, send_to_part
from ..exceptions import InvalidImageError
from ..features import ReplacedImages, as_image_sequence
from ._manifest import Manifest
from ._partitions import choose_partition_size, cut, paths_of
from ._pipeline import copy_for_workers, open_pipeline
from ._tasks import Tasks, count_threads, resolve_client
from ._workers import load, transform, unpack

_N_IMAGES = 2048
# Partitions submitted for each thread: one more than it works on.
_IN_FLIGHT = 2


def score_to_parquet(
    pipeline,
    X,
    folder,
    *,
    client=None,
    partition_size=None,
    on_error="raise",
    verbose=False,
):
    """Score images on a Dask cluster, into a folder of Parquet files.

    The workers compute features and scores, a partition of the images at a time, and
    write a file for each. Repeated after an interrupt, a call computes the missing
    files only.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted. Its first step is a :class:`~skgaussad.DeepFeatureTransformer`, its last
        a detector. A search or meta-estimator that scores by such a pipeline will do.

    X : sequence of n_images paths
        Paths that lead to the same files on all workers.

    folder : path
        On a disk that all workers and this process share; made if missing. It belongs
        to one pipeline and one list of images, which a file ``_manifest.json`` in it
        identifies.

    client : dask.distributed.Client or None, default=None
        None takes the one opened last.

    partition_size : int or None, default=None
        Images in a file, a multiple of the transformer's batch size. None takes 2048.

    on_error : {"raise", "record"}, default="raise"
        What to do at an image that cannot be used: ``"raise"`` an error, or
        ``"record"`` it in the column ``error`` and go on.

    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    folder : pathlib.Path
        With the parts, ``part-00000000.parquet`` and so on, in the order of `X`. Their
        columns are ``path``, ``distance`` (minus the score), ``threshold_ratio``,
        ``p_value``, ``label`` (+1 or -1) and ``error``, the :ref:`table of scores
        <table-of-scores>` of the command line.

    Raises
    ------
    InvalidImageError
        If an image cannot be used, and ``on_error="raise"``; names its position in `X`
        and its path. Any other failure of a task is tried again, twice.
    ValueError
        If a parameter is out of its range, there is no client, or `folder` belongs to
        another pipeline, list, `partition_size` or `on_error`.
    TypeError
        If `pipeline` does not begin with a DeepFeatureTransformer, or `X` holds
        something else than paths.
    ImportError
        If Dask or PyArrow is missing.

    See Also
    --------
    fit : Fits a pipeline on a cluster.

    Notes
    -----
    Scores are those of ``pipeline.score_samples(X)``, to rounding, where workers
    compute as this process does: see :func:`fit`. With ``on_error="record"`` a black
    image takes the place of one that cannot be used.

    This process holds the list of paths, and submits a few partitions at a time, so
    that its memory does not grow with the results. Workers hold a partition's features.

    Each file is written under another name and then renamed. Pipeline and list are
    identified by hashes of the pipeline's parameters and fitted attributes and of the
    paths, not of the content of the images.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from dask.distributed import Client
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector
    >>> from skgaussad.datasets import load_solar_cells
    >>> from skgaussad.distributed import score_to_parquet
    >>> paths = load_solar_cells("mono").paths[:40]
    >>> transformer = DeepFeatureTransformer(image_size=64)
    >>> pipe = make_pipeline(transformer, MahalanobisDetector()).fit(paths[:30])
    >>> with (
    ...     tempfile.TemporaryDirectory() as folder,
    ...     Client(processes=False, n_workers=1, dashboard_address=":0"),
    ... ):
    ...     scores = pd.read_parquet(score_to_parquet(pipe, paths, folder))
    >>> list(scores.columns)
    ['path', 'distance', 'threshold_ratio', 'p_value', 'label', 'error']
    """
    user = "skgaussad.distributed.score_to_parquet"
    check_packages(user, "dask", "pyarrow")
    client = resolve_client(client, user)
    pipeline = open_pipeline(pipeline)
    check_is_fitted(pipeline)
    check_choice("on_error", on_error, ("raise", "record"))
    paths = paths_of(as_image_sequence(X))
    partition_size = choose_partition_size(partition_size, _N_IMAGES, pipeline[0])
    # Workers may have another working directory.
    folder = Path(folder).absolute()
    Manifest.from_call(pipeline, paths, partition_size, on_error).claim(folder)
    parts = {
        f"part-{number:08d}.parquet": positions
        for number, positions in enumerate(cut(len(paths), partition_size))
    }
    done = set(os.listdir(folder)).intersection(parts)
    n_done = sum(len(parts[name]) for name in done)
    missing = [name for name in parts if name not in done]
    with (
        Tasks(client) as tasks,
        progress_bar("scores", verbose, initial=n_done, total=len(paths)) as bar,
    ):
        model = tasks.send_model(copy_for_workers(pipeline))

        def submit(name):
            positions = parts[name]
            return tasks.submit(
                "skgaussad-score",
                score_part,
                model,
                tasks.send(paths[positions.start : positions.stop]),
                positions.start,
                str(folder / name),
                on_error == "record",
            )

        for n_images in _run_few_at_a_time(tasks, map(submit, missing)):
            bar.update(n_images)
    remove_left(folder)
    return folder


def _run_few_at_a_time(tasks, futures):
    """Yield the results of tasks, of which only a few are submitted at a time.

    Parameters
    ----------
    tasks : Tasks
    futures : iterator of dask.distributed.Future
        Submits each when it is asked for.

    Yields
    ------
    result : object
        As tasks finish.

    Raises
    ------
    InvalidImageError
        If a task returns one.
    """
    from dask.distributed import as_completed

    def submit_some(n_under_way):
        # Counted each time: clusters grow.
        n_free = _IN_FLIGHT * count_threads(tasks.client) - n_under_way
        return list(islice(futures, max(n_free, 1)))

    under_way = as_completed(submit_some(0))
    for future in under_way:
        result = future.result()
        if isinstance(result, InvalidImageError):
            raise result
        tasks.drop([future])
        yield result
        under_way.update(submit_some(under_way.count()))


def score_part(model, paths, start, path, record):
    """Score a partition, and write the file of its scores.

    Parameters
    ----------
    model : tuple (str, list of bytes)
        Of a pipeline, see `load`.
    paths : list of bytes
        See `unpack`.
    start : int
        Position of the first of the images in the whole ``X``.
    path : str
        Where to write.
    record : bool
        Whether to go on where an image cannot be used.

    Returns
    -------
    n_images : int, or InvalidImageError
        An image that cannot be used is returned as the error, not raised, for what is
        raised is tried again.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        rows = _score(load(model), unpack(paths), start, record)
    except InvalidImageError as error:
        return error
    with replacing(path, durable=True) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows, arrow_schema()), temporary)
    return len(rows)


def _score(pipeline, paths, start, record):
    """Return the rows of a partition."""
    errors = {}
    try:
        features = transform(pipeline[0], paths, start)
    except InvalidImageError:
        if not record:
            raise
        images = ReplacedImages(paths, pipeline[0].preprocessing_)
        features = transform(pipeline[0], images, start)
        errors = images.errors
    detector, features = send_to_part(pipeline[1:], "offset_", features)
    distances = -detector.score_samples(features)
    p_values = None
    if offers(detector, "p_values"):
        p_values = detector.p_values(features)
    return score_rows(paths, distances, find_threshold(detector), p_values, errors)
