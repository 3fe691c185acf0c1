"""Saving and loading fitted estimators, and reading what a file says of its own."""

import contextlib
import hashlib
import inspect
import io
import json
import os
import warnings
import zipfile

from sklearn.base import BaseEstimator

from .._utils.training_samples import leaving_samples_out
from ..exceptions import ModelFileError
from ..features import WeightStore
from ._classes import RUN_PARAMETERS, InvalidObjectError, examine
from ._container import (
    ESTIMATOR,
    Container,
    open_container,
    weights_name,
    write_container,
)
from ._metadata_requests import owners_by_name
from ._schema import Schema, UntrustedError
from ._summary import installed_versions, summarize


def save(estimator, path, *, keep_samples=True):
    """Save a fitted estimator to one file that contains no code.

    The file is written under another name in the same folder and then renamed to
    `path`, so that readers find the old or the new file, never a part of it. What a
    killed process leaves, ``.NAME.*.tmp``, is removed by the next save in the folder.

    Parameters
    ----------
    estimator : estimator
        Of this package, or a pipeline or other estimator of scikit-learn.
    path : path
        By convention with the extension ``.skgaussad``. Its folder must exist.
    keep_samples : bool, default=True
        Whether the features of training samples that a
        :class:`~skgaussad.DetectorPipeline` keeps for its ``update`` are in the file,
        with the paths and groups of the samples. Without them the file is smaller and
        says less of the samples, and what is loaded from it cannot be updated.

    Raises
    ------
    TypeError
        If `estimator` is not an estimator, or contains what a model file cannot:
        functions, estimators of other packages, trees.
    OSError
        If the file cannot be written.

    See Also
    --------
    skgaussad.load : Loads the estimator from the file.
    skgaussad.persistence.model_info : Returns what the file says of its content.

    Notes
    -----
    The weights of a network are stored once, however many parts of the estimator share
    it. With ``store_weights=False`` of :class:`~skgaussad.DeepFeatureTransformer` only
    their SHA-256 is stored, and the weights are read again after loading.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad import load, save
    >>> from skgaussad.persistence import model_info
    >>> X_normal = np.random.default_rng(0).normal(size=(100, 3))
    >>> detector = MahalanobisDetector(fpr=0.02).fit(X_normal)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "parts.skgaussad")
    ...     save(detector, path)
    ...     facts, loaded = model_info(path), load(path)
    >>> bool(np.all(loaded.score_samples(X_normal) == detector.score_samples(X_normal)))
    True
    >>> facts["detector"]["fpr"]
    0.02
    """
    # It imports all of scikit-learn, which loading does not need.
    import skops.io

    if not isinstance(estimator, BaseEstimator):
        raise TypeError(
            "estimator must be an estimator of this package or of scikit-learn; got "
            f"{type(estimator).__module__}.{type(estimator).__qualname__}"
            f"{', a class: give an instance' if isinstance(estimator, type) else ''}."
        )
    left_out = contextlib.nullcontext() if keep_samples else leaving_samples_out()
    with WeightStore().in_use() as store, owners_by_name(estimator), left_out:
        try:
            content = _shorten(skops.io.dumps(estimator))
            Schema(content)
            examine(estimator)
        except (
            UntrustedError,
            InvalidObjectError,
            TypeError,
            AttributeError,
            LookupError,
            ValueError,
            RecursionError,
        ) as error:
            raise TypeError(_explain_unsupported(estimator, error)) from error
    members = {ESTIMATOR: content}
    members.update({weights_name(key): file for key, file in store.files.items()})
    facts = summarize(estimator)
    if not keep_samples:
        facts["training_samples"] = None
    write_container(path, facts, members)


def load(path, *, fetch=False):
    """Load an estimator from a model file, without running code from the file.

    Whoever can change the file decides how the estimator scores images: load files from
    trusted sources, even though they cannot run code.

    Parameters
    ----------
    path : path
        Of a file written by :func:`~skgaussad.save`.

    fetch : bool, default=False
        Whether a network whose weights are not in the file, as with
        ``store_weights=False``, may be of any size, and timm may download its weights,
        when the estimator first scores. Otherwise scoring raises an error where the
        weights come neither from an installed weight package nor from the path in
        ``weights``, or the network is large for them. Only for files from people you
        trust.

    Returns
    -------
    estimator : estimator
        With the same parameters and fitted attributes, bit for bit, but for how it
        runs: see Warns.

    Raises
    ------
    ModelFileError
        If the file is damaged, not a model file, of a newer format, or contains types
        that are not trusted or values that do not go together.
    OSError
        If the file cannot be read.

    Warns
    -----
    UserWarning
        If ``n_jobs``, ``num_workers``, ``torch_compile``, ``cache``, ``memmap_folder``
        or ``memory`` of an estimator were set: they are back at their defaults, so that
        no file starts processes, compiles or writes. ``set_params`` sets them again.
    InconsistentVersionWarning
        From scikit-learn, if its estimators in the file were saved with another
        version.

    See Also
    --------
    skgaussad.save : Writes the file, with an example.

    Notes
    -----
    The whole file is checked before any object is created: the sizes of its members and
    arrays, their SHA-256, and each type against a fixed list of estimators of this
    package and scikit-learn. Then the shapes and ranges of what each object holds are
    checked. Nothing is unpacked to the disk.
    """
    with open_container(path) as container:
        return _load(container, fetch=fetch)


def load_with_facts(path):
    """Load an estimator with what its file says of it, of one look at the file.

    Returns
    -------
    estimator : estimator
        As of `load`.
    facts : dict
        As of `model_info`.
    digest : str
        SHA-256 of the file.
    """
    with open(path, "rb") as file:
        content = file.read()
    container = Container(os.fspath(path), io.BytesIO(content))
    digest = hashlib.sha256(content).hexdigest()
    return _load(container, fetch=False), container.facts, digest


def _load(container, *, fetch):
    """Load the estimator of a model file that is open."""
    try:
        schema = Schema(container.read(ESTIMATOR))
    except UntrustedError as error:
        raise _refuse_untrusted(container, error) from error
    except (ModelFileError, MemoryError):
        raise
    except Exception as error:
        raise container.refuse(
            f"its member {ESTIMATOR!r} is not an archive of skops "
            f"({type(error).__name__}: {error})"
        ) from error
    store = WeightStore(lambda key: container.read(weights_name(key)), fetch=fetch)
    with store.in_use():
        try:
            estimator = schema.make()
            parts = examine(estimator)
        except (ModelFileError, MemoryError):
            raise
        except InvalidObjectError as error:
            raise container.refuse(str(error)) from error
        except Exception as error:
            raise _refuse_unmade(container, error) from error
    if not isinstance(estimator, BaseEstimator):
        raise container.refuse(
            f"it holds an object of type {type(estimator).__name__}, not an estimator"
        )
    _add_parameters(parts)
    _reset_run_parameters(parts)
    return estimator


def _add_parameters(parts):
    """Set parameters that the version of the file did not have to their defaults."""
    for part in parts:
        for name, parameter in inspect.signature(type(part)).parameters.items():
            if name not in vars(part) and parameter.default is not parameter.empty:
                setattr(part, name, parameter.default)


def _reset_run_parameters(parts):
    """Set what says where and how estimators run to the defaults, with a warning."""
    found = set()
    for part in parts:
        for name, default in RUN_PARAMETERS.items():
            value = vars(part).get(name, default)
            # By type first: values may be arrays.
            if type(value) is not type(default) or value != default:
                found.add(f"{name}={value!r:.80} of {type(part).__name__}")
                setattr(part, name, default)
    if found:
        warnings.warn(
            f"The model file sets {', '.join(sorted(found))}, which a file may not: "
            "they are at their defaults. Use set_params if you want them.",
            UserWarning,
            stacklevel=4,
        )


def model_info(path):
    """Return what a model file says of its content, without loading the estimator.

    Parameters
    ----------
    path : path
        Of a file written by :func:`~skgaussad.save`.

    Returns
    -------
    facts : dict
        What ``model.json`` in the file says: ``"estimator"``, its class, and
        ``"parameters"``; ``"networks"``, each with its levels, preprocessing and the
        SHA-256 of its weights; ``"detector"`` or None, with the distance that is its
        threshold (not squared for detectors of this package), the parameters that it
        was set by and fitted numbers; ``"python"`` and ``"packages"``, the versions it
        was saved with; ``"training_samples"`` or None, with the numbers of samples and
        groups kept, of updates and the time of the last; ``"files"``, the size in bytes
        and SHA-256 of each member;
        ``"format"`` and ``"format_version"``.

    Raises
    ------
    ModelFileError
        If it is damaged, not a model file, or of a newer format.
    OSError
        If the file cannot be read.

    See Also
    --------
    skgaussad.save : Writes the file, with an example.

    Notes
    -----
    The information is read as it was written, without comparing it with the estimator
    or checking any SHA-256. :func:`~skgaussad.load` checks the SHA-256.
    """
    with open_container(path) as container:
        return container.facts


def _shorten(content):
    """Remove the indentation of the schema, two thirds of the size of small models."""
    shortened = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(shortened, "w") as target,
    ):
        for info in source.infolist():
            member = source.read(info)
            if info.filename == "schema.json":
                member = json.dumps(json.loads(member), separators=(",", ":"))
            target.writestr(info.filename, member)
    return shortened.getvalue()


def _explain_unsupported(estimator, error):
    names = getattr(error, "names", ())
    found = f"{error}: {', '.join(names)}" if names else str(error)
    return (
        f"{type(estimator).__name__} cannot be saved to a model file, which holds "
        "estimators of this package and scikit-learn with numbers, strings, arrays and "
        f"paths as parameters ({found}). Leave that out, or use joblib.dump, whose "
        "files run code when they are loaded. Of a fitted search save best_estimator_."
    )


def _refuse_untrusted(container, error):
    advice = (
        "No object was created and no code was run. Files written by skgaussad.save "
        "contain nothing of the kind: find out where this one is from. If it is from a "
        "newer skgaussad, as model_info(path) says, install that."
    )
    names = ", ".join(error.names)
    return container.refuse(f"{error}: {names}" if names else str(error), advice)


def _refuse_unmade(container, error):
    reason = f"its estimator cannot be created ({type(error).__name__}: {error})"
    saved, here = container.facts.get("packages"), installed_versions()
    if saved == here:
        return container.refuse(reason)
    return container.refuse(
        reason,
        f"It was saved with {saved}, and here are {here}. Install the versions it was "
        "saved with, or save the model again.",
    )
