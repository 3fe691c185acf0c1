"""Comparing the outputs of a graph in onnxruntime with those of the estimator."""

import numpy as np
from PIL import Image

from ..features import as_image_sequence, decode_image
from ..inspection import anomaly_maps

# For p-values of the same distance, which differ by rounding only.
_P_VALUE_TOLERANCE = 1e-9
# For maps, relative to their largest value, since positions are not averaged.
_MAP_FACTOR = 10
_BATCH_SIZE = 8


def prepare_images(images, transformer, resize):
    """Decode images, or generate some, as inputs of a graph.

    Parameters
    ----------
    images : sequence of images or None
        None generates some.
    transformer : DeepFeatureTransformer
    resize : bool
        Whether the graph resizes; otherwise the images are resized here.

    Returns
    -------
    images : list of ndarray of shape (height, width, 3)
        Uint8.

    Raises
    ------
    ValueError
        If an image has more than 8 bits.
    """
    size = transformer.preprocessing_.image_size
    if images is None:
        decoded = _make_images(size)
    else:
        images = as_image_sequence(images)
        decoded = [_to_8_bit(images, index) for index in range(len(images))]
    if resize:
        return decoded
    resample = Image.Resampling[transformer.preprocessing_.interpolation.upper()]
    return [
        np.asarray(Image.fromarray(image).resize(size[::-1], resample))
        for image in decoded
    ]


def _to_8_bit(images, index):
    image = decode_image(images, index)
    if image.dtype != np.uint8:
        raise ValueError(
            f"images[{index}]: a graph takes images of 8 bits, and this one has more. "
            "Give images of 8 bits to fit, to check and to score."
        )
    return np.broadcast_to(image, (*image.shape[:2], 3)) + np.uint8(0)


def _make_images(size):
    """Generate smooth images with noise: two of one size, a wide and a tall one."""
    rng = np.random.default_rng(0)
    height, width = size
    images = []
    for shape in [size, size, (height + 21, 2 * width), (3 * height, width // 2 + 7)]:
        shades = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        shades = shades.resize(shape[::-1], Image.Resampling.BICUBIC)
        noisy = np.asarray(shades) + rng.normal(scale=8, size=(*shape, 3))
        images.append(noisy.clip(0, 255).astype(np.uint8))
    return images


def run_graph(content, images):
    """Run a graph on images, in batches of one size.

    Parameters
    ----------
    content : bytes
        The graph.
    images : list of ndarray of shape (height, width, 3)

    Returns
    -------
    results : dict of {str: list}
        Outputs by name, one entry an image.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Errors are raised; warnings about constant folding would go to standard error.
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    results = {name: [None] * len(images) for name in names}
    by_shape = {}
    for index, image in enumerate(images):
        by_shape.setdefault(image.shape, []).append(index)
    for of_shape in by_shape.values():
        for start in range(0, len(of_shape), _BATCH_SIZE):
            indices = of_shape[start : start + _BATCH_SIZE]
            batch = np.stack([images[index] for index in indices])
            found = session.run(None, {"images": batch})
            for name, values in zip(names, found, strict=True):
                for index, value in zip(indices, values, strict=True):
                    results[name][index] = value
    return results


def check_parity(results, estimator, scoring, images, tolerance):
    """Compare the outputs of a graph with those of the estimator.

    Parameters
    ----------
    results : dict of {str: list}
        Of `run_graph`.
    estimator : Pipeline, or meta-estimator around one
    scoring : Scoring
        Of the estimator.
    images : list of ndarray of shape (height, width, 3)
    tolerance : float
        Largest difference of distances, relative to them.

    Returns
    -------
    difference : float
        The largest found.

    Raises
    ------
    RuntimeError
        If it is larger, or labels, p-values or maps differ.
    """
    distances = np.array(results["distance"])
    expected = -np.asarray(estimator.score_samples(images), dtype=np.float64)
    difference = np.abs(distances - expected) / np.maximum(
        expected, np.finfo(float).tiny
    )
    worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    if not difference[worst] <= tolerance:
        _fail(
            f"the distance of image {worst} is {distances[worst]:.9g} in the graph "
            f"and {expected[worst]:.9g} from the estimator, a relative difference of "
            f"{difference[worst]:.2g} with tolerance={tolerance:g}"
        )
    labels = np.array(results["label"])
    # Close to the threshold, labels may differ by rounding.
    clear = np.abs(expected + scoring.offset) > tolerance * expected
    wrong = clear & (labels != np.asarray(estimator.predict(images)))
    if wrong.any():
        _fail(f"the label of image {int(np.argmax(wrong))} differs")
    if "p_value" in results:
        p_values = np.array(results["p_value"])
        expected = scoring.held_out.p_values(distances)
        wrong = ~(np.abs(p_values - expected) <= _P_VALUE_TOLERANCE * expected)
        if wrong.any():
            index = int(np.argmax(wrong))
            _fail(
                f"the p-value of image {index} is {p_values[index]:.9g} in the graph "
                f"and {expected[index]:.9g} from the estimator"
            )
    if "anomaly_map" in results:
        _check_maps(results["anomaly_map"], anomaly_maps(estimator, images), tolerance)
    return float(difference[worst])


def _check_maps(maps, expected, tolerance):
    for index, (found, wanted) in enumerate(zip(maps, expected, strict=True)):
        limit = _MAP_FACTOR * tolerance * np.abs(wanted).max()
        if found.shape != wanted.shape or not np.abs(found - wanted).max() <= limit:
            _fail(f"the anomaly map of image {index} differs")


def _fail(problem):
    raise RuntimeError(
        f"The ONNX graph does not give what the estimator gives: {problem}. No file "
        "was written. Check the versions of onnx, onnxscript and onnxruntime; if the "
        "Gaussian has variances close to rounding error, fit without shallow levels or "
        "give a larger tolerance."
    )
