"""The classes that a model file may name, and what their objects must hold."""

import functools
import importlib
import inspect
import math
import numbers
import pathlib
import re
from array import array
from dataclasses import dataclass

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator

# Of the network's input, and of an image scaled for its centre crop.
_MAX_PIXELS = 2**24
_MAX_SCALED_PIXELS = 2**26
# Of a map of cells: some of it may have none.
_MAX_PLACES_PER_CELL = 64
_PLACE = re.compile(r".*r(\d+)c(\d+)")
# Of all images of a batch.
_MAX_BATCH_PIXELS = 2**27
_MAX_FEATURES = 2**22
_MAX_TEXT = 2000
# Each takes the memory of its weights, which the file has once.
_MAX_NETWORKS = 16
_MAX_CHANNELS = 2**16
_MAX_MASK_SIDE = 2**13
# Least product of the steps from tile to tile, down and to the right, in pixels.
_LEAST_TILE_STEP = 64

# Where and how a model runs is for who loads it to say.
RUN_PARAMETERS = {
    "cache": None,
    "memmap_folder": None,
    "memory": None,
    "n_jobs": None,
    "num_workers": "auto",
    "torch_compile": False,
}

# Of one argument, and with a result of its size.
FUNCTIONS = {
    function.__name__: function
    for function in (
        *(np.absolute, np.arcsinh, np.arctan, np.cbrt, np.exp, np.expm1, np.fabs),
        *(np.log, np.log10, np.log1p, np.log2, np.negative, np.reciprocal, np.sign),
        *(np.sqrt, np.square, np.tanh),
    )
}


class InvalidObjectError(Exception):
    """An object of a listed class holds what such an object cannot."""


# -- Rules ---------------------------------------------------------------------------
# A rule says whether an attribute may have a value. It binds the sizes it meets to the
# letters of its class, and each letter stands for one size in an object.


def _bind(sizes, letter, size):
    return letter is None or sizes.setdefault(letter, size) == size


def _array(*letters, kinds="f", finite=False):
    """Array whose sides have the sizes of letters."""

    def holds(value, sizes, check):
        return (
            isinstance(value, np.ndarray)
            and value.dtype.kind in kinds
            and value.ndim == len(letters)
            and all(map(functools.partial(_bind, sizes), letters, value.shape))
            and not (finite and not np.isfinite(value).all())
        )

    return holds


def _count(letter=None, least=0):
    """Integer, which is the size of a letter."""

    def holds(value, sizes, check):
        return (
            isinstance(value, numbers.Integral)
            and not isinstance(value, bool)
            and value >= least
            and _bind(sizes, letter, int(value))
        )

    return holds


def _number(low=-math.inf, high=math.inf):
    """Real number in a closed interval; not NaN."""
    return lambda value, sizes, check: (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and bool(low <= value <= high)
    )


def _choice(*choices):
    return lambda value, sizes, check: isinstance(value, str) and value in choices


def _flag(value, sizes, check):
    return isinstance(value, bool | np.bool_)


def _text(value, sizes, check):
    """Text for messages, without what a terminal may act on."""
    return isinstance(value, str) and value.isprintable() and len(value) <= _MAX_TEXT


def _nothing(value, sizes, check):
    return value is None


def _path(value, sizes, check):
    """Path of a file; not of a server, which Windows logs in to."""
    is_path = isinstance(value, str | pathlib.PurePath)
    return is_path and not str(value).startswith(("//", "\\\\"))


def _instance(cls):
    return lambda value, sizes, check: isinstance(value, cls)


def _data(value, sizes, check):
    """Anything that no rule reads."""
    return True


def _estimator(value, sizes, check):
    return isinstance(value, BaseEstimator) and check(value) is not None


def _step(value, sizes, check):
    """Name and estimator, or what stands for none."""
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and isinstance(value[0], str)
        and (
            value[1] is None
            or isinstance(value[1], str)
            or _estimator(value[1], sizes, check)
        )
    )


def _shape(value, sizes, check):
    """Channels, height and width of a level, and whether it has a class token."""
    return (
        isinstance(value, tuple)
        and len(value) == 4
        and all(_count(least=1)(side, sizes, check) for side in value[:3])
        and isinstance(value[3], bool)
    )


def _anything(value, sizes, check):
    """Check objects of listed classes, wherever they are in data."""
    if isinstance(value, dict):
        value = value.values()
    elif isinstance(value, np.ndarray):
        value = value.tolist() if value.dtype == object else ()
    elif not isinstance(value, list | tuple):
        check(value)
        return True
    return all(_anything(item, sizes, check) for item in value)


def _any_of(*rules):
    def holds(value, sizes, check):
        for rule in rules:
            found = dict(sizes)
            if rule(value, found, check):
                sizes.update(found)
                return True
        return False

    return holds


def _optional(rule):
    return _any_of(_nothing, rule)


def _sequence(rule, letter=None, of=(list, tuple)):
    """List or tuple of a length, or a NumPy array of objects."""

    def holds(value, sizes, check):
        return (
            isinstance(value, of)
            and _bind(sizes, letter, len(value))
            and all(rule(item, sizes, check) for item in value)
        )

    return holds


def _names(letter):
    """Array of objects which are strings."""
    return _sequence(_instance(str), letter, np.ndarray)


def _mapping(key, rule, letter=None):
    def holds(value, sizes, check):
        return (
            isinstance(value, dict)
            and _bind(sizes, letter, len(value))
            and all(isinstance(name, key) for name in value)
            and all(rule(item, sizes, check) for item in value.values())
        )

    return holds


def _part(cls, **letters):
    """Object of a listed class, with the same sizes for some of its letters."""

    def holds(value, sizes, check):
        if type(value).__name__ != cls:
            return False
        found = check(value)
        return all(
            _bind(sizes, own, found[its])
            for own, its in letters.items()
            if its in found
        )

    return holds


# -- Classes -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Class:
    """What objects of a class may hold.

    Attributes
    ----------
    rules : dict of {str: rule}
        By attribute. Parameters without a rule may be anything, as before a fit.
    is_open : bool
        Whether further attributes may hold anything.
    examine : callable
        Returns what else is wrong with an object, or None.
    """

    rules: dict
    is_open: bool = False
    examine: object = lambda value: None


_DETECTOR = {
    "n_features_in_": _count("d", 1),
    "feature_names_in_": _names("d"),
    "_held_out_distances": _part("HeldOutDistances"),
    "_copies": _optional(_array(None, kinds="iu")),
    "_offset": _number(),
    "_fitted_scoring": _mapping(str, _anything),
    "_fitted_working_point": _mapping(str, _anything),
}
_GAUSSIAN_DETECTOR = {
    **_DETECTOR,
    "_gaussian": _optional(_part("Gaussian", d="d")),
    "_moments": _part("Moments", d="d"),
    "_lacking": _optional(_text),
    "location_": _array("d"),
    "shrinkage_": _number(0, 1),
    "n_samples_seen_": _count(),
    # Of earlier versions.
    "n_dof_": _count(),
}
_COMPONENTS = {
    "n_features_in_": _count("d"),
    "feature_names_in_": _names("d"),
    "mean_": _optional(_array("d")),
    "components_": _array("k", "d"),
    "n_components_": _count("k"),
    "explained_variance_": _array("k"),
    "explained_variance_ratio_": _array("k"),
}
_SIZE = _sequence(_count(least=1))


def _examine_gaussian(gaussian):
    is_diagonal = gaussian.covariance in ("diagonal", "isotropic")
    scatter = gaussian.moments.scatter
    if is_diagonal != (isinstance(scatter, np.ndarray) and scatter.ndim == 1):
        return f"moments are not those of covariance={gaussian.covariance!r}"
    variances = vars(gaussian).get("variances")
    if variances is None:
        return None
    spectrum = vars(gaussian).get("spectrum")
    if is_diagonal:
        axes = gaussian.moments.location.shape
    else:
        spectrum = scatter if spectrum is None else spectrum
        axes = getattr(spectrum, "eigenvalues", variances).shape
    return None if variances.shape == axes else "variances are not those of its axes"


def _examine_kept_area(area):
    if max(area.is_kept.shape) > _MAX_MASK_SIDE:
        return f"is_kept has a side of more than {_MAX_MASK_SIDE}"
    sides = (len(area.row_edges) - 1, len(area.column_edges) - 1)
    if sides != area.is_kept.shape or 0 in sides:
        return "edges are not those of is_kept"
    return None


def _examine_preprocessing(preprocessing):
    size = preprocessing.image_size
    if len(size) != 2 or math.prod(size) > _MAX_PIXELS:
        return f"image_size must have two sides and at most {_MAX_PIXELS} pixels"
    crop_pct = preprocessing.crop_pct
    if crop_pct is not None and math.prod(size) > _MAX_SCALED_PIXELS * crop_pct**2:
        return f"crop_pct={crop_pct} makes too large an image"
    if len(preprocessing.mean) != 3 or len(preprocessing.std) != 3:
        return "mean and std must have three values"
    return None


def _examine_pooling(pooling):
    return None if pooling.kind == "grid" or pooling.grid == 1 else "it has no grid"


def _examine_transformer(transformer):
    preprocessing = vars(transformer).get("preprocessing_")
    if preprocessing is None:
        return None
    size, backbone = preprocessing.image_size, transformer._backbone
    batch_size = transformer.batch_size
    if batch_size != "auto":
        if not _count(least=1)(batch_size, {}, None):
            return f"batch_size={batch_size!r} is no number of images"
        if batch_size * math.prod(size) > _MAX_BATCH_PIXELS:
            return f"batch_size={batch_size} takes too large an input"
    if backbone._image_size not in (None, size):
        return "the input of its network has another size"
    shapes = backbone.shapes
    if not set(transformer.levels_) <= set(shapes):
        return "its network lacks a level"
    for channels, *sides, _ in shapes.values():
        if channels > _MAX_CHANNELS or any(
            a > b for a, b in zip(sides, size, strict=True)
        ):
            return "a level is larger than its input"
    for part in transformer._parts:
        channels, height, width, _ = shapes.get(part.level, (0, 0, 0, False))
        if part.n_channels != channels or part.pooling.grid > min(height, width):
            return "its features are not those of its levels"
    n_features = sum(part.width for part in transformer._parts)
    if n_features > _MAX_FEATURES:
        return f"it has {n_features} features, more than {_MAX_FEATURES}"
    return None


def _examine_tiles(detector):
    if "tile_size_" not in vars(detector):
        return None
    sides, overlap = detector.tile_size_, detector.overlap
    if len(sides) != 2 or not _number(0, 1)(overlap, {}, None) or overlap == 1:
        return "tile_size_ must have two sides, and overlap be in [0, 1)"
    if math.prod(max(1, side * (1 - overlap)) for side in sides) < _LEAST_TILE_STEP:
        return "its tiles are too many for an image"
    return None


def _examine_cells(detector):
    names = vars(detector).get("cells_", [])
    places = [match.groups() for match in map(_PLACE.fullmatch, names) if match]
    farthest = [max(map(float, axis)) for axis in zip(*places, strict=True)]
    if (
        math.prod(1 + side for side in farthest)
        > _MAX_PLACES_PER_CELL * len(places) + 1
    ):
        return "its cells are far apart"
    columns = vars(detector).get("_columns")
    return None if columns is None else _examine_columns(detector, [columns])


def _examine_levels(ensemble):
    columns = vars(ensemble).get("columns_", {}).values()
    return _examine_columns(ensemble, columns) or _examine_folds(ensemble)


def _examine_folds(detector):
    held_out = vars(detector).get("_held_out_distances")
    detectors = vars(detector).get("fold_estimators_")
    if held_out is None or (held_out.folds is None and detectors is None):
        return None
    if held_out.folds is None or detectors is None:
        return "it has detectors of folds without folds, or folds without detectors"
    folds = held_out.folds
    if len(folds) == 0 or not 0 <= folds.min() <= folds.max() < len(detectors):
        return "folds are not numbered by its detectors"
    return None


def _examine_columns(detector, columns):
    d = vars(detector).get("n_features_in_", 0)
    if any(((some < 0) | (some >= d)).any() for some in columns):
        return "it has columns that its features lack"
    return None


def _examine_positions(detector):
    if "detectors_" not in vars(detector):
        return None
    expected = 1 if detector.positions == "shared" else detector._counts.sum()
    return None if len(detector.detectors_) == expected else "it lacks positions"


def _examine_held_out(held_out):
    cached = vars(held_out).get("_sorted")
    n, groups = len(held_out.distances), held_out.groups
    if groups is not None and (
        len(groups) == 0 or not 0 <= groups.min() <= groups.max() < n
    ):
        return "groups are not numbered by its distances"
    if cached is not None and [part.shape for part in cached] != [(n,), (n + 1,)]:
        return "sorted distances are not those of its distances"
    return None


def _examine_samples(samples):
    n_revisions = len(samples.times)
    for revisions, least in ((samples.added, 0), (samples.removed, -1)):
        if len(revisions) and not (
            least <= revisions.min() <= revisions.max() < n_revisions
        ):
            return "samples are of revisions that were not"
    return None


_OURS = {
    "_make_detector.DetectorPipeline": _Class(
        {
            "steps": _sequence(_step),
            "_training": _any_of(_text, _part("TrainingSamples")),
            "warnings_": _sequence(_text),
            "notes_": _sequence(_text),
        }
    ),
    "_utils.training_samples.TrainingSamples": _Class(
        {
            "features": _array("n", "d", kinds="biuf"),
            "names": _array("n", kinds="U"),
            "groups": _optional(_array("n", kinds="biufU")),
            "added": _array("n", kinds="i"),
            "removed": _array("n", kinds="i"),
            "times": _sequence(_text),
            "can_undo": _flag,
            "settings": _optional(_mapping(str, _text)),
            "fitted": _optional(_text),
        },
        examine=_examine_samples,
    ),
    "augmentation._image_augmentation.ImageAugmentation": _Class({}),
    "calibration._held_out.HeldOutDistances": _Class(
        {
            "distances": _array("n"),
            "groups": _optional(_array("n", kinds="iu")),
            "tail": _optional(_part("GeneralizedParetoTail")),
            "folds": _optional(_array("n", kinds="iu")),
            "_sorted": _sequence(_array(None)),
        },
        examine=_examine_held_out,
    ),
    "calibration._monitor.ConformalMonitor": _Class(
        {
            "_log_threshold": _number(),
            "_log_capitals": _array("b"),
            "_log_peak": _number(),
            "n_seen_": _count(),
            "log_martingale_": _number(),
            "log_components_": _mapping(str, _number()),
            "alarm_": _flag,
            "alarm_index_": _optional(_count()),
            "diagnosis_": _optional(_choice("drift", "burst")),
            "_random": _instance(np.random.RandomState),
            "_distances": _instance(array),
            "_by_lot": _flag,
            "_least_in_lot": _count(),
        }
    ),
    "calibration._tail.GeneralizedParetoTail": _Class(
        {
            "start": _number(),
            "mass": _number(0, 1),
            "shapes": _array("n"),
            "scales": _array("n"),
            "weights": _array("n"),
        }
    ),
    "covariance._gaussian.Gaussian": _Class(
        {
            "moments": _part("Moments", d="d"),
            "covariance": _text,
            "intensity": _optional(_number(0, 1)),
            "shrinkage": _number(0, 1),
            "spectrum": _optional(_part("Spectrum", d="d")),
            "variances": _array("k", finite=True),
        },
        examine=_examine_gaussian,
    ),
    "covariance._moments.Moments": _Class(
        {
            "n_samples": _count(least=1),
            "unit": _number(0),
            "origin": _array("d", finite=True),
            "mean": _array("d", finite=True),
            "low": _array("d", finite=True),
            "high": _array("d", finite=True),
            "scatter": _any_of(
                _part("Spectrum", d="d"),
                _array("d", finite=True),
                _array("d", "d", finite=True),
            ),
            "cubic": _optional(_array("d", finite=True)),
            "fourth": _optional(_number()),
            "trace": _number(),
            "squared_norm": _number(),
        }
    ),
    "covariance._spectrum.Spectrum": _Class(
        {
            "eigenvalues": _array("k", finite=True),
            "axes": _array("k", "d", finite=True),
            "least_floor": _number(),
            "is_precise": _flag,
        }
    ),
    "decomposition._negated_pca.NegatedPCA": _Class(_COMPONENTS),
    "detectors._augmented.AugmentedDetector": _Class(
        {**_DETECTOR, "estimator_": _estimator}
    ),
    "detectors._cellwise.CellwiseMahalanobisDetector": _Class(
        {
            **_GAUSSIAN_DETECTOR,
            "cells_": _sequence(_instance(str), "c"),
            "_columns": _array("c", "w", kinds="iu"),
            "scale_": _optional(_array("d")),
            "_calibration_residuals": _array("n", "c"),
        },
        examine=_examine_cells,
    ),
    "detectors._conformal.ConformalDetector": _Class(
        {
            **_DETECTOR,
            "estimator_": _estimator,
            "fold_estimators_": _sequence(_estimator),
        },
        examine=_examine_folds,
    ),
    "detectors._level_ensemble.LevelEnsemble": _Class(
        {
            **_DETECTOR,
            "columns_": _mapping((str, int), _array(None, kinds="iu"), "c"),
            "estimators_": _sequence(_estimator, "c"),
            "fold_estimators_": _optional(_sequence(_sequence(_estimator, "c"))),
        },
        examine=_examine_levels,
    ),
    "detectors._mahalanobis.MahalanobisDetector": _Class(_GAUSSIAN_DETECTOR),
    "detectors._mondrian.MondrianDetector": _Class(
        {
            **_DETECTOR,
            "categories_": _array("c", kinds="biufUO"),
            "thresholds_": _array("c"),
            "estimators_": _sequence(_estimator, "c"),
            "_held_outs": _sequence(_part("HeldOutDistances"), "c"),
            "_has_categories": _flag,
        }
    ),
    "detectors._position.PositionDetector": _Class(
        {
            **_DETECTOR,
            "transformer_": _part("DeepFeatureTransformer"),
            "_counts": _array("h", "w", kinds="b"),
            "detectors_": _sequence(_part("MahalanobisDetector")),
        },
        examine=_examine_positions,
    ),
    "detectors._robust.RobustDetector": _Class(
        {
            **_DETECTOR,
            "n_iter_": _count(),
            "support_": _array("n", kinds="b"),
            "estimator_": _estimator,
            "training_p_values_": _array("n"),
            "suspects_": _array(None, kinds="iu"),
        }
    ),
    "detectors._tiled.TiledDetector": _Class(
        {
            **_DETECTOR,
            "tile_estimator_": _estimator,
            "transformer_": _part("DeepFeatureTransformer"),
            "tile_size_": _SIZE,
        },
        examine=_examine_tiles,
    ),
    "detectors._variant_mahalanobis.VariantMahalanobisDetector": _Class(
        {
            **_DETECTOR,
            "variants_": _array("v", kinds="biufUO"),
            "n_iter_": _count(),
            "weights_": _array("v"),
            "locations_": _array("v", "d"),
            "_gaussian": _part("Gaussian", d="d"),
            "shrinkage_": _number(0, 1),
            "n_dof_": _count(),
            "training_variants_": _array("n", kinds="biufUO"),
        }
    ),
    "features._backbone.Backbone": _Class(
        {
            "name": _text,
            "_weights": _optional(_path),
            "_image_size": _optional(_SIZE),
            "_seed": _count(),
            "_keep_weights": _flag,
            # Of a saved estimator; its file holds none, and none is taken from it.
            "_module": _data,
            "_device": _data,
            "_last": _data,
            "_arrays": _optional(_mapping(str, _instance(np.ndarray))),
            "levels": _sequence(_count(least=1)),
            "n_levels": _count(least=1),
            "shapes": _mapping(int, _shape),
            "data_config": _mapping(str, _data),
            "weights_source": _instance(str),
            "weights_sha256": _text,
            "_is_limited": _flag,
        }
    ),
    "features._cache.FeatureCache": _Class({"folder": _path, "max_bytes": _count()}),
    "features._ignored.KeptArea": _Class(
        {
            "row_edges": _array(None, finite=True),
            "column_edges": _array(None, finite=True),
            "is_kept": _array("r", "c", kinds="b"),
        },
        examine=_examine_kept_area,
    ),
    "features._parts.Part": _Class(
        {
            "level": _count(least=1),
            "pooling": _part("Pooling"),
            "n_channels": _count(least=1),
        }
    ),
    "features._pooling.Pooling": _Class(
        {
            "kind": _choice("average", "max", "std", "class_token", "grid"),
            "grid": _count(least=1),
        },
        examine=_examine_pooling,
    ),
    "features._preprocessing.Preprocessing": _Class(
        {
            "image_size": _SIZE,
            "interpolation": _choice(
                *(member.name.lower() for member in Image.Resampling)
            ),
            "crop_pct": _optional(_number(0, 1)),
            "mean": _sequence(_number()),
            "std": _sequence(_number()),
            "standardize_intensity": _flag,
            "max_value": _optional(_count(least=1)),
            "reduce_jpeg": _flag,
        },
        examine=_examine_preprocessing,
    ),
    "features._transformer.DeepFeatureTransformer": _Class(
        {
            "_backbone": _part("Backbone"),
            "_poolings": _sequence(_part("Pooling")),
            "_parts": _sequence(_part("Part")),
            "_kept_area": _optional(_part("KeptArea")),
            "levels_": _sequence(_count(least=1)),
            "n_levels_": _count(least=1),
            "level_slices_": _mapping(int, _instance(slice)),
            "preprocessing_": _part("Preprocessing"),
            "precision_": _choice("float32", "bfloat16", "float16"),
            "engine_": _choice("torch", "openvino"),
            "weights_source_": _instance(str),
            "weights_sha256_": _text,
        },
        examine=_examine_transformer,
    ),
    "model_selection._split.GroupNormalKFold": _Class({}),
    "model_selection._split.NormalKFold": _Class({}),
    "model_selection._split.StratifiedNormalKFold": _Class({}),
}

_FEATURES = {"n_features_in_": _count("d"), "feature_names_in_": _names("d")}
_COVARIANCE = {
    **_FEATURES,
    "location_": _array("d"),
    "covariance_": _array("d", "d"),
    "precision_": _optional(_array("d", "d")),
    "shrinkage_": _number(0, 1),
    "raw_location_": _array("d"),
    "raw_covariance_": _array("d", "d"),
    "raw_support_": _array("n", kinds="b"),
    "support_": _array("n", kinds="b"),
    "dist_": _array("n"),
    "offset_": _number(),
}
_FUNCTION = _optional(lambda value, *_: value in FUNCTIONS.values())
_EMPTY = _optional(lambda value, *_: value == {})
# Of scikit-learn those that compute with NumPy alone and in proportion to their arrays.
# Others may hold attributes that only other versions have.
_SKLEARN = {
    "covariance._elliptic_envelope.EllipticEnvelope": _COVARIANCE,
    "covariance._empirical_covariance.EmpiricalCovariance": _COVARIANCE,
    "covariance._robust_covariance.MinCovDet": _COVARIANCE,
    "covariance._shrunk_covariance.LedoitWolf": _COVARIANCE,
    "covariance._shrunk_covariance.OAS": _COVARIANCE,
    "covariance._shrunk_covariance.ShrunkCovariance": _COVARIANCE,
    "decomposition._incremental_pca.IncrementalPCA": {
        **_COMPONENTS,
        "singular_values_": _array("k"),
        "var_": _array("d"),
    },
    "decomposition._pca.PCA": {**_COMPONENTS, "singular_values_": _array("k")},
    "decomposition._truncated_svd.TruncatedSVD": {
        **_COMPONENTS,
        "singular_values_": _array("k"),
    },
    "feature_selection._variance_threshold.VarianceThreshold": {
        **_FEATURES,
        "variances_": _array("d"),
    },
    "pipeline.FeatureUnion": {"transformer_list": _sequence(_step)},
    "pipeline.Pipeline": {"steps": _sequence(_step)},
    "preprocessing._data.MaxAbsScaler": {
        **_FEATURES,
        "max_abs_": _array("d"),
        "scale_": _array("d"),
    },
    "preprocessing._data.MinMaxScaler": {
        **_FEATURES,
        **dict.fromkeys(
            ("min_", "scale_", "data_min_", "data_max_", "data_range_"), _array("d")
        ),
    },
    "preprocessing._data.Normalizer": _FEATURES,
    "preprocessing._data.RobustScaler": {
        **_FEATURES,
        "center_": _optional(_array("d")),
        "scale_": _optional(_array("d")),
    },
    "preprocessing._data.StandardScaler": {
        **_FEATURES,
        "mean_": _optional(_array("d")),
        "var_": _optional(_array("d")),
        "scale_": _optional(_array("d")),
    },
    "preprocessing._function_transformer.FunctionTransformer": {
        **_FEATURES,
        "func": _FUNCTION,
        "inverse_func": _FUNCTION,
        "kw_args": _EMPTY,
        "inv_kw_args": _EMPTY,
        "feature_names_out": _optional(_choice("one-to-one")),
    },
    "random_projection.GaussianRandomProjection": {
        **_FEATURES,
        "components_": _array("k", "d"),
        "n_components_": _count("k"),
    },
    **{
        f"model_selection._split.{name}": {}
        for name in (
            "GroupKFold",
            "GroupShuffleSplit",
            "KFold",
            "LeaveOneGroupOut",
            "LeaveOneOut",
            "RepeatedKFold",
            "ShuffleSplit",
        )
    },
    "utils._metadata_requests.MetadataRequest": {},
    "utils._metadata_requests.MethodMetadataRequest": {},
}

CLASSES = {
    **{f"skgaussad.{name}": found for name, found in _OURS.items()},
    **{
        f"sklearn.{name}": _Class(rules, is_open=True)
        for name, rules in _SKLEARN.items()
    },
}
# What scikit-learn adds to estimators of any package.
_ADDED = ("_metadata_request", "_sklearn_output_config")


def import_class(name):
    """Import a class of the list by its full name."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def examine(root):
    """Check everything that an object holds.

    Parameters
    ----------
    root : object

    Returns
    -------
    estimators : list
        The estimators in it.

    Raises
    ------
    InvalidObjectError
        If an attribute has no value of its kind, or two do not go together.
    """
    known = {}

    def check(value):
        """Return the sizes by letter, of an object that is checked once."""
        if id(value) in known:
            return known[id(value)][1]
        cls = type(value)
        allowed = CLASSES.get(f"{cls.__module__}.{cls.__qualname__}")
        sizes = {}
        if allowed is not None:
            known[id(value)] = value, sizes
            _examine_attributes(value, allowed, sizes, check)
        return sizes

    _anything(root, {}, check)
    n_networks = sum(type(value).__name__ == "Backbone" for value, _ in known.values())
    if n_networks > _MAX_NETWORKS:
        raise InvalidObjectError(
            f"it has {n_networks} networks, more than {_MAX_NETWORKS}"
        )
    return [value for value, _ in known.values() if isinstance(value, BaseEstimator)]


def _examine_attributes(value, allowed, sizes, check):
    parameters = {*inspect.signature(type(value)).parameters, *_ADDED}
    for name, held in vars(value).items():
        rule = allowed.rules.get(name)
        if rule is None:
            if not allowed.is_open and name not in parameters:
                raise InvalidObjectError(
                    f"{type(value).__name__} has an attribute {name!r}, which it "
                    "should not have"
                )
            rule = _anything
        if not rule(held, sizes, check):
            shape = f" of shape {held.shape}" if isinstance(held, np.ndarray) else ""
            raise InvalidObjectError(
                f"{name} of {type(value).__name__}, a {type(held).__name__}{shape}, "
                "is out of its range, or does not go with its other attributes"
            )
    try:
        problem = allowed.examine(value)
    except AttributeError as error:
        problem = f"it lacks an attribute ({error})"
    if problem is not None:
        raise InvalidObjectError(f"{type(value).__name__}: {problem}")
