"""What skgaussad and plain timm do, each in a process of its own.

Started by `_speed_processes.Process`.
"""

import time
from functools import cache

import numpy as np
from _speed_child import list_images, serve
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skgaussad import (
    CellwiseMahalanobisDetector,
    DeepFeatureTransformer,
    MahalanobisDetector,
    NegatedPCA,
    load,
    make_detector,
    save,
)
from skgaussad.model_selection import NormalKFold

BACKBONE = "tf_efficientnet_lite0"
# Of the grid search: the larger the network, the less the detectors' own time counts.
GRID_BACKBONE = "tf_efficientnet_lite2"
# Rows of a matrix that are read at a time.
FIT_ROWS = 10_000
# Candidates of the grid search: 3 levels times 8 detectors.
LEVELS = [5, 6, 7]
DETECTORS = {
    "reduction": ["passthrough", NegatedPCA(0.01)],
    "detector__covariance": ["ledoit_wolf", "diagonal"],
    "detector__fpr": [0.01, 0.05],
}
# Depends on the threshold, and so on `fpr`, as well as on the ranking.
SCORING = "balanced_accuracy"


@cache
def make_transformer(
    precision, levels, image_size, memmap_folder, engine="auto", reduce_jpeg=False
):
    """Make a transformer, fitted: the network is loaded before the time is taken."""
    transformer = DeepFeatureTransformer(
        BACKBONE,
        levels=list(levels),
        precision=precision,
        image_size=image_size,
        interpolation="bilinear",
        memmap_folder=memmap_folder,
        engine=engine,
        reduce_jpeg=reduce_jpeg,
    )
    # Nothing is learned from the images.
    return transformer.fit(np.zeros((1, 8, 8), dtype=np.uint8))


def extract(
    folder,
    precision="float32",
    levels=(7,),
    image_size=None,
    limit=None,
    memmap_folder=None,
    engine="auto",
    reduce_jpeg=False,
):
    """Extract features with skgaussad.

    Parameters
    ----------
    folder : str
    precision : str, default="float32"
    levels : sequence of int, default=(7,)
    image_size : int or None, default=None
    limit : int or None, default=None
        Take only the first images.
    memmap_folder : str or None, default=None
        Where the features are left, in the file that the answer has under
        ``"matrix"``; None leaves none.
    engine : str, default="auto"
    reduce_jpeg : bool, default=False
    """
    transformer = make_transformer(
        precision, tuple(levels), image_size, memmap_folder, engine, reduce_jpeg
    )
    paths = list_images(folder, limit)
    started = time.perf_counter()
    features = transformer.transform(paths)
    seconds = time.perf_counter() - started
    if memmap_folder is None:
        return _describe(features, seconds)
    # The file is not read again, which would add to the memory in use.
    return {
        "seconds": seconds,
        "n_images": len(features),
        "n_columns": features.shape[1],
        "matrix": str(features.filename),
    }


def _describe(features, seconds):
    n_images, n_columns = features.shape
    return {
        "seconds": seconds,
        "n_images": n_images,
        "n_columns": n_columns,
        "mean": features.mean(axis=0, dtype=float).tolist(),
    }


@cache
def make_timm_network(layer, weights, is_cut):
    """Make timm's network and its transform.

    Parameters
    ----------
    layer : str
        Such as ``"blocks.4"``.
    weights : str
        Path of a state dict.
    is_cut : bool
        Whether to build the layers up to that one by hand, or to ask timm for features,
        which computes all layers whatever is asked for and offers some only.

    Returns
    -------
    network : torch.nn.Module
        Returns the feature map.
    transform : callable
        From a PIL image to a tensor.
    """
    import timm
    import torch

    network = timm.create_model(BACKBONE, features_only=not is_cut)
    state = torch.load(weights, weights_only=True)
    missing, _ = network.load_state_dict(state, strict=False)
    if not set(missing) <= {"classifier.weight", "classifier.bias"}:
        raise ValueError(f"weights: {weights} lacks {', '.join(missing)}.")
    config = timm.data.resolve_model_data_config(network)
    config |= {"crop_pct": 1.0, "interpolation": "bilinear"}
    if is_cut:
        blocks = network.blocks[: int(layer.removeprefix("blocks.")) + 1]
        network = torch.nn.Sequential(network.conv_stem, network.bn1, *blocks)
        forward = network.eval()
    else:
        index = network.feature_info.module_name().index(layer)
        network.eval()

        def forward(batch):
            return network(batch)[index]

    return forward, timm.data.create_transform(**config)


class _Files:
    """Image files as a data set of torch's kind."""

    def __init__(self, paths, transform):
        self._paths = paths
        self._transform = transform

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        from PIL import Image

        with Image.open(self._paths[index]) as image:
            return self._transform(image.convert("RGB"))


def extract_timm(
    folder, layer, weights, batch_size, num_workers, is_cut=False, limit=None
):
    """Extract features with a loop over timm's network, as one would write it."""
    import torch
    from torch.utils.data import DataLoader

    forward, transform = make_timm_network(layer, weights, is_cut)
    started = time.perf_counter()
    files = _Files(list_images(folder, limit), transform)
    loader = DataLoader(files, batch_size=batch_size, num_workers=num_workers)
    with torch.inference_mode():
        rows = [forward(batch).mean(dim=(2, 3)) for batch in loader]
    features = torch.cat(rows).numpy()
    return _describe(features, time.perf_counter() - started)


def time_parts(folder):
    """Time decoding alone and networks alone; images per second of each."""
    from concurrent.futures import ThreadPoolExecutor

    import torch

    paths = list_images(folder, None)
    n_threads = torch.get_num_threads()
    transformer = make_transformer("float32", (7,), None, None)
    load = transformer.preprocessing_.load
    rates = {}
    with ThreadPoolExecutor(n_threads) as pool:
        started = time.perf_counter()
        list(pool.map(lambda row: load(paths, row), range(len(paths))))
        rates["decoding and resizing"] = len(paths) / (time.perf_counter() - started)
    pixels = np.stack([load(paths, row) for row in range(min(4, len(paths)))])
    for precision in ("float32", "bfloat16"):
        for engine in ("openvino", "torch"):
            transformer = make_transformer(precision, (7,), None, None, engine)
            device = torch.device("cpu")
            extraction = transformer._make_extraction(
                transformer.preprocessing_, device, None
            )
            stacked = _Repeated(pixels, 64)
            list(_stream(extraction, stacked, 8))
            started = time.perf_counter()
            list(_stream(extraction, stacked, len(stacked)))
            seconds = time.perf_counter() - started
            rates[f"network, {precision}, {engine}"] = len(stacked) / seconds
    return rates


class _Repeated:
    """Some preprocessed images again and again, which costs next to nothing."""

    def __init__(self, pixels, n_images):
        self._pixels, self._n_images = pixels, n_images

    def __len__(self):
        return self._n_images

    def load(self, images, row):
        """Return one of the images."""
        return self._pixels[row % len(self._pixels)]


def _stream(extraction, images, n_images):
    return extraction.stream(
        images, range(n_images), batch_size=4, num_workers=0, load=images.load
    )


def fit_default(paths, file):
    """Fit the default detector, and write its file."""
    save(make_detector(fpr=0.2).fit(paths), file)
    return {}


def label_singly(file, paths, engine):
    """Read a detector, and take the time of each image on its own.

    The first takes the time of reading, too, and of importing what both need.
    """
    started = time.perf_counter()
    detector = load(file).set_params(features__engine=engine)
    seconds = []
    for path in paths:
        detector.predict([path])
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    return {"seconds": seconds}


def compare_engines(paths, backbone, weights, n_rounds):
    """Compute the features of images at every level by both engines, in turns."""
    transformers, fits = {}, {}
    # By torch twice, for the first time imports what both need.
    for engine in ("torch", "torch", "openvino"):
        started = time.perf_counter()
        transformers[engine] = DeepFeatureTransformer(
            backbone, levels="all", weights=weights, engine=engine
        ).fit(paths)
        fits[engine] = time.perf_counter() - started
        if transformers[engine].engine_ != engine:
            raise RuntimeError(f"{engine} does not run {backbone}.")
    # Without what all of this takes the first time.
    features = {name: t.transform(paths) for name, t in transformers.items()}
    difference = 0.0
    for columns in transformers["torch"].level_slices_.values():
        expected = features["torch"][:, columns]
        distances = np.linalg.norm(features["openvino"][:, columns] - expected, axis=1)
        relative = distances / np.linalg.norm(expected, axis=1)
        difference = max(difference, float(relative.max()))
    answer = {name: [] for name in transformers}
    for _ in range(n_rounds):
        for name, transformer in transformers.items():
            started = time.perf_counter()
            transformer.transform(paths)
            answer[name].append(time.perf_counter() - started)
    return answer | {
        "n_levels": len(transformers["torch"].level_slices_),
        "difference": difference,
        "conversion": fits["openvino"] - fits["torch"],
    }


def extract_default(paths, matrix, settings):
    """Write the features that the default detector sees, with some settings."""
    transformer = make_detector(**settings)[0]
    np.save(matrix, transformer.set_output(transform="default").fit_transform(paths))
    return {}


def detect(name, train, test, scores):
    """Fit skgaussad's detector and score; see `_speed_peers.detect`.

    Parameters
    ----------
    name : str
        The covariance.
    train, test, scores : str
    """
    X, X_test = np.load(train), np.load(test)
    started = time.perf_counter()
    detector = MahalanobisDetector(name).fit(X)
    fitted = time.perf_counter()
    found = detector.score_samples(X_test)
    scored = time.perf_counter()
    np.save(scores, found)
    return {"fit": fitted - started, "score": scored - fitted}


def fit(matrix):
    """Fit a Gaussian to the rows of a ``.npy`` file, some at a time."""
    X = np.load(matrix, mmap_mode="r")
    parts = [X[start : start + FIT_ROWS] for start in range(0, len(X), FIT_ROWS)]
    started = time.perf_counter()
    detector = MahalanobisDetector()
    for part in parts:
        detector.partial_fit(part)
    detector.calibrate(X)
    return {
        "seconds": time.perf_counter() - started,
        "mapped": X.nbytes,
        "n_samples": X.shape[0],
        "n_features": detector.n_features_in_,
    }


def fit_cells(n_samples, n_features, n_cells):
    """Fit to the cells of synthetic maps, whose spectrum falls as one over the rank.

    The features are float32, as a network gives them.
    """
    rng = np.random.default_rng(0)
    n_factors = min(300, n_samples)
    factors = rng.normal(size=(n_factors, n_features)).astype(np.float32)
    factors /= np.arange(1, n_factors + 1, dtype=np.float32)[:, np.newaxis]
    X = np.empty((n_samples, n_features), dtype=np.float32)
    for start in range(0, n_samples, 1000):
        rows = X[start : start + 1000]
        rows[:] = rng.normal(size=(len(rows), n_factors)) @ factors
        rows += 0.1 * rng.normal(size=rows.shape)
    detector = CellwiseMahalanobisDetector(cells=n_cells)
    started = time.perf_counter()
    detector.fit(X)
    return {"seconds": time.perf_counter() - started}


def search(paths, labels, cache, image_size, n_folds):
    """Search levels and detectors, with features kept in a folder.

    Parameters
    ----------
    paths : list of str
    labels : list of int
    cache : str
        The folder.
    image_size : int
        Side of the network's input, in pixels.
    n_folds : int
    """
    pipeline = Pipeline(
        [
            ("features", _grid_transformer(LEVELS[0], image_size, cache=cache)),
            ("reduction", "passthrough"),
            ("detector", MahalanobisDetector()),
        ]
    )
    grid = {"features__levels": LEVELS, **DETECTORS}
    started = time.perf_counter()
    found = _search(pipeline, grid, n_folds).fit(np.array(paths), np.array(labels))
    return {
        "seconds": time.perf_counter() - started,
        "n_candidates": len(found.cv_results_["params"]),
        "scores": found.cv_results_["mean_test_score"].tolist(),
    }


def search_apart(paths, labels, image_size, n_folds):
    """Take the time of one extraction, and of the detectors on its columns."""
    labels = np.array(labels)
    transformer = _grid_transformer(LEVELS, image_size)
    started = time.perf_counter()
    features = transformer.fit_transform(np.array(paths))
    extracted = time.perf_counter()
    pipeline = Pipeline(
        [("reduction", "passthrough"), ("detector", MahalanobisDetector())]
    )
    scores = []
    for columns in transformer.level_slices_.values():
        found = _search(pipeline, DETECTORS, n_folds)
        found.fit(features[:, columns], labels)
        scores += found.cv_results_["mean_test_score"].tolist()
    return {
        "extraction": extracted - started,
        "detectors": time.perf_counter() - extracted,
        "scores": scores,
    }


def _grid_transformer(levels, image_size, **options):
    # Not to be counted: a fraction of a short search, and the same for all of them.
    import timm  # noqa: F401

    return DeepFeatureTransformer(
        GRID_BACKBONE,
        levels=levels,
        image_size=image_size,
        interpolation="bilinear",
        **options,
    )


def _search(pipeline, grid, n_folds):
    return GridSearchCV(
        pipeline,
        grid,
        scoring=SCORING,
        cv=NormalKFold(n_folds),
        refit=False,
        error_score="raise",
    )


if __name__ == "__main__":
    serve(
        {
            "extract": extract,
            "fit_default": fit_default,
            "label_singly": label_singly,
            "compare_engines": compare_engines,
            "extract_default": extract_default,
            "time_parts": time_parts,
            "extract_timm": extract_timm,
            "detect": detect,
            "fit": fit,
            "fit_cells": fit_cells,
            "search": search,
            "search_apart": search_apart,
        }
    )
