"""The fit of a pipeline with the images divided among the workers of a cluster."""

import numpy as np

from .._utils.progress import progress_bar
from ..features import as_image_sequence
from ._fit_gaussian import fit_detector
from ._partitions import choose_partition_size, cut, take
from ._pipeline import assemble, check_pipeline, copy_for_workers
from ._tasks import Tasks, count_threads, resolve_client
from ._workers import extract, find_invalid, require_features

# Images in a partition: enough to take a worker a second or more, and few enough for
# some partitions a thread, so that all threads end at about the same time.
_MAX_IMAGES = 256
_PARTITIONS_PER_THREAD = 4


def fit(
    pipeline, X, y=None, *, client=None, partition_size=None, verbose=False, **params
):
    """Fit a pipeline with the images divided among the workers of a Dask cluster.

    The result is that of ``pipeline.fit(X)``, to rounding: the workers compute the
    features, in the same batches. The features stay with them where the pipeline is a
    :class:`~skgaussad.DeepFeatureTransformer` and a
    :class:`~skgaussad.MahalanobisDetector` or
    :class:`~skgaussad.CellwiseMahalanobisDetector` alone: see Notes.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted in place. Its first step is a DeepFeatureTransformer, its last a
        detector.

    X : sequence of n_images images
        Normal images, as the pipeline takes them. Paths must lead to the same files on
        all machines; images in memory are sent.

    y : array-like of shape (n_images,) or None, default=None
        For steps that take it.

    client : dask.distributed.Client or None, default=None
        None takes the one opened last.

    partition_size : int or None, default=None
        Images that a worker gets at a time, a multiple of the transformer's batch size,
        so that batches are those of one machine. None takes 256, or fewer where there
        are fewer images.

    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    **params : dict of str -> object
        Parameters of ``fit`` of the other steps, such as ``detector__groups``.

    Returns
    -------
    pipeline : Pipeline
        The one given.

    Raises
    ------
    InvalidImageError
        If an image cannot be used; names its position in `X` and its path. Any other
        failure of a task is tried again, twice.
    ValueError
        If a parameter is out of its range, there is no client, or the pipeline cannot
        be fitted.
    TypeError
        If `pipeline` does not begin with a DeepFeatureTransformer.
    ImportError
        If Dask is missing.

    See Also
    --------
    score_to_parquet : Scores very many images.

    Notes
    -----
    Each worker loads the network once. It runs on the device that the transformer's
    ``device`` gives on the worker; ``"auto"`` lets workers have GPUs where this process
    has none. A ``cache`` is on the worker, too, where its path must be that of a local
    disk.

    If a worker dies, others repeat its computations.

    With a MahalanobisDetector, or a CellwiseMahalanobisDetector and a single level, as
    the only other step, no groups, and more images than features, the workers keep the
    features (4 bytes each) until they have merged their moments and measured the
    leave-one-out distances. To this process come the moments, which take 8
    n_features^2 bytes, and 8 bytes an image, or an image and cell. Distances have the
    precision of
    :meth:`MahalanobisDetector.partial_fit
    <skgaussad.MahalanobisDetector.partial_fit>`, and an image that makes up
    all but 1e-8 of a moment counts as infinitely far from the others.

    All other steps are fitted here, to all features, which take 4 n_images n_features
    bytes in this process, or on its disk with the transformer's ``memmap_folder``.

    Features are the same to the last bit if workers have the same processors, versions
    and number of threads as this process. Dask starts workers with
    ``OMP_NUM_THREADS=1``. Another number of threads changed features of
    ``tf_efficientnet_lite0``, and the distances, by 1e-6 of their size.

    Dask's settings for the memory of workers slow the network down on some machines.
    With those of the user guide, a fit on two workers of an Intel Xeon took a third of
    the time.

    Examples
    --------
    >>> import numpy as np
    >>> from dask.distributed import Client
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector, distributed
    >>> X = np.random.default_rng(0).integers(0, 256, (40, 32, 32), dtype=np.uint8)
    >>> pipe = make_pipeline(DeepFeatureTransformer(), MahalanobisDetector())
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0"):
    ...     distributed.fit(pipe, X).score_samples(X).shape
    (40,)
    """
    client = resolve_client(client, "skgaussad.distributed.fit")
    check_pipeline(pipeline)
    detector = _find_only_detector(pipeline, params)
    if detector is not None:
        detector._check_parameters()
    transformer = pipeline[0].fit(X)
    if len(transformer.levels_) > 1 and hasattr(detector, "cells"):
        # Each level is divided by its deviation, which takes all features.
        detector = None
    images = as_image_sequence(X)
    n_features = len(transformer.get_feature_names_out())
    partition_size = choose_partition_size(
        partition_size,
        min(
            _MAX_IMAGES, len(images) // (_PARTITIONS_PER_THREAD * count_threads(client))
        ),
        transformer,
    )
    with Tasks(client) as tasks:
        silent = copy_for_workers(pipeline)[0]
        partitions = cut(len(images), partition_size)
        features = _extract(tasks, silent, images, partitions, verbose)
        if detector is not None and len(images) > n_features:
            detector._warn_of_anomalies(y)
            row = [(range(1), np.zeros((1, n_features), dtype=np.float32))]
            names = assemble(silent, take(images, range(1)), row)
            fit_detector(detector, tasks, features, names)
            return pipeline
        gathered = (
            (partition, require_features(part.result()))
            for partition, part in zip(partitions, features, strict=True)
        )
        matrix = assemble(transformer, images, gathered)
    rest = pipeline[1:].fit(matrix, y, **params)
    # A pipeline with a memory has cloned some of them.
    pipeline.steps[1:] = rest.steps
    return pipeline


def _find_only_detector(pipeline, params):
    """Return the detector if it can be fitted to moments of the features, or None."""
    steps = [
        step for _, step in pipeline.steps[1:] if step not in (None, "passthrough")
    ]
    alone = not params and len(steps) == 1 and hasattr(steps[0], "_fit_moments")
    return steps[0] if alone else None


def _extract(tasks, transformer, images, partitions, verbose):
    """Have the workers compute features; return futures, a partition each."""
    from dask.distributed import as_completed

    model = tasks.send_model(transformer)
    features = [
        tasks.submit(
            "skgaussad-extract",
            extract,
            model,
            tasks.send(take(images, partition)),
            partition.start,
        )
        for partition in partitions
    ]
    sizes = {
        tasks.submit("skgaussad-check", find_invalid, part, priority=1): len(partition)
        for partition, part in zip(partitions, features, strict=True)
    }
    with progress_bar("features", verbose, total=len(images)) as bar:
        for check in as_completed(sizes):
            error = check.result()
            if error is not None:
                raise error
            bar.update(sizes[check])
    return features
