"""Export of a fitted pipeline to an ONNX file."""

import json
from importlib.metadata import version
from pathlib import Path

from .._utils.atomic_write import replacing
from .._utils.optional import check_packages
from .._utils.validation import check_real
from ..inspection import anomaly_maps

_PACKAGES = (
    "skgaussad",
    "scikit-learn",
    "numpy",
    "pillow",
    "torch",
    "timm",
    "onnx",
    "onnxscript",
    "onnxruntime",
)


def to_onnx(
    estimator, path, *, with_maps=False, resize=True, images=None, tolerance=1e-4
):
    """Export a fitted pipeline to an ONNX graph.

    The graph computes distances, labels and p-values from images, and runs where
    neither this package nor torch is installed. Before the file is written, the graph
    is run by onnxruntime and its outputs are compared with those of the estimator.

    Parameters
    ----------
    estimator : Pipeline, or a meta-estimator around one
        Fitted, from a :class:`~skgaussad.DeepFeatureTransformer`, by affine
        steps such as :class:`~skgaussad.NegatedPCA`, to a
        :class:`~skgaussad.CellwiseMahalanobisDetector`, a
        :class:`~skgaussad.MahalanobisDetector` or a
        :class:`~skgaussad.LevelEnsemble` of the latter. It may be wrapped in
        meta-estimators of this package.

    path : path-like
        The file to write. An existing file is replaced only on success.

    with_maps : bool, default=False
        Whether the graph returns anomaly maps, too, for which the pooling must be
        ``"average"`` or a grid, and nothing ignored: see
        :func:`~skgaussad.inspection.anomaly_maps`.

    resize : bool, default=True
        Whether the graph takes images of any size (the same within a batch) and resizes
        them as Pillow does. If False it takes images of the size of the network's
        input, which saves one matrix product per side.

    images : sequence of images or None, default=None
        Images of 8 bits for the comparison; None generates four.

    tolerance : float, default=1e-4
        Largest relative difference of distances, in (0, 1).

    Returns
    -------
    metadata : dict
        Stored in the file, too, as JSON under the key ``"skgaussad"`` of its metadata:
        ``outputs``, ``preprocessing`` (the settings of the transformer, and
        ``resize``), ``backbone``, ``levels``, ``weights_sha256``, ``threshold`` (on
        the distance, not squared), ``fpr``, ``versions`` and ``parity`` (the largest
        relative difference found).

    Raises
    ------
    ValueError
        If a step of the pipeline cannot be written, or a parameter is out of its range.
    RuntimeError
        If the outputs of the graph differ from those of the estimator. No file is
        written then.
    FileNotFoundError
        If the folder to write to does not exist.
    ImportError
        If an ONNX package is not installed.

    See Also
    --------
    skgaussad.inspection.anomaly_maps : The maps.

    Notes
    -----
    The input ``images`` has the shape (n, height, width, 3) and the type uint8: RGB, as
    Pillow decodes it. The outputs are

    - ``distance``, float64 of shape (n,): minus the score, not squared;
    - ``label``, int64 of shape (n,): +1 for normal, -1 for anomalous;
    - ``p_value``, float64 of shape (n,), if the detector has p-values;
    - ``anomaly_map``, float32 of shape (n, height, width), with `with_maps`.

    The network and the residuals of cells are computed in float32 and the rest in
    float64, which onnxruntime supports on CPUs. Features differ from those of torch in
    the last digits of float32; directions of small variance amplify such differences in
    the distance.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn.utils import shuffle
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector
    >>> from skgaussad.datasets import load_solar_cells
    >>> from skgaussad.export import to_onnx
    >>> cells = load_solar_cells("mono")
    >>> X_normal = shuffle(cells.paths[cells.labels == 1], random_state=0)
    >>> X_anomalous = cells.paths[cells.labels == -1]
    >>> pipe = Pipeline(
    ...     [
    ...         ("features", DeepFeatureTransformer(levels=7, image_size=96)),
    ...         ("detector", MahalanobisDetector()),
    ...     ]
    ... ).fit(X_normal[:40])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     metadata = to_onnx(pipe, Path(folder, "cells.onnx"), images=X_anomalous[:2])
    >>> metadata["outputs"]
    ['distance', 'label', 'p_value']
    >>> metadata["parity"] < 1e-4
    True
    """
    check_packages("to_onnx", "onnx", "onnx", "onnxscript", "onnxruntime")
    check_real("tolerance", tolerance, 0, 1)
    path = Path(path)
    # Checked before the work rather than after it.
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path: there is no folder {str(path.parent)!r}.")
    from ._arrays import Scoring
    from ._build import build_graph
    from ._parity import check_parity, prepare_images, run_graph

    scoring = Scoring.of(estimator)
    transformer = scoring.transformer
    _check_preprocessing(transformer.preprocessing_, resize)
    images = prepare_images(images, transformer, resize)
    if with_maps:
        _check_maps(estimator, transformer, images)
    graph = build_graph(scoring, resize, with_maps)
    metadata = _describe(scoring, resize, graph.output_names)
    content = graph.model({}).SerializeToString()
    results = run_graph(content, images)
    metadata["parity"] = check_parity(results, estimator, scoring, images, tolerance)
    model = graph.model({"skgaussad": json.dumps(metadata)})
    with replacing(path) as temporary:
        Path(temporary).write_bytes(model.SerializeToString())
    return metadata


def _check_maps(estimator, transformer, images):
    """Raise unless the estimator has anomaly maps, and a graph can have them."""
    if transformer._kept_area is not None:
        raise ValueError(
            "with_maps=True: a graph has no maps for a DeepFeatureTransformer with "
            "ignore. Set with_maps=False, or fit with ignore=None."
        )
    anomaly_maps(estimator, images[:1])


def _check_preprocessing(preprocessing, resize):
    """Raise unless the graph can scale and resize, or its user if it shall not."""
    from ._resampling import RESAMPLINGS

    if preprocessing.max_value is not None:
        raise ValueError(
            f"A graph takes images of 8 bits; got a DeepFeatureTransformer for 16 bits "
            f"(max_value={preprocessing.max_value}). Fit it to images of 8 bits, with "
            "max_value=None."
        )
    if preprocessing.reduce_jpeg:
        raise ValueError(
            "A graph takes the pixels of whole images; got a DeepFeatureTransformer "
            "that reduces JPEG files while it decodes them. Fit it with "
            "reduce_jpeg=False."
        )
    if resize and preprocessing.interpolation not in RESAMPLINGS:
        raise ValueError(
            f"resize=True: the graph resizes by {', '.join(RESAMPLINGS)}; got a "
            f"DeepFeatureTransformer with {preprocessing.interpolation!r}. Set "
            "resize=False, or fit with another interpolation."
        )
    if not resize and preprocessing.crop_pct is not None:
        raise ValueError(
            "resize=False takes images that are resized as a whole, and the "
            f"DeepFeatureTransformer crops (crop_pct={preprocessing.crop_pct:g}). Set "
            "resize=True, or fit with crop_pct=None."
        )


def _describe(scoring, resize, outputs):
    """Return the metadata of the file."""
    transformer = scoring.transformer
    preprocessing = transformer.preprocessing_
    return {
        "outputs": outputs,
        "preprocessing": {
            "resize": bool(resize),
            "image_size": list(preprocessing.image_size),
            "interpolation": preprocessing.interpolation,
            "crop_pct": preprocessing.crop_pct,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "standardize_intensity": preprocessing.standardize_intensity,
        },
        "backbone": transformer._backbone.name,
        "levels": [int(level) for level in transformer.levels_],
        "weights_sha256": transformer.weights_sha256_,
        "threshold": -scoring.offset,
        "fpr": float(scoring.fpr),
        "versions": {package: version(package) for package in _PACKAGES},
    }
