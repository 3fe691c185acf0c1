"""The main job in one call: from images to a detector."""

import contextlib
import numbers
import os
import threading
import warnings
from dataclasses import replace

import numpy as np
from scipy.stats import betabinom, binom
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from ._utils.labels import name_positions
from ._utils.training_samples import (
    TrainingSamples,
    as_labels,
    digest_fit,
    keeps_samples,
)
from ._utils.validation import check_choice, check_unmasked
from .datasets import check_unlabelled
from .detectors import (
    CellwiseMahalanobisDetector,
    LevelEnsemble,
    MahalanobisDetector,
    find_decider,
    find_held_out,
    find_part,
    find_threshold,
    find_transformer,
    send_to_part,
)
from .exceptions import FalseAlarmRateWarning
from .features import (
    DeepFeatureTransformer,
    as_image_sequence,
    describe_odd_images,
    list_folder,
)
from .inspection import anomaly_maps
from .reporting import fit_summary

_METHODS = ("cells", "paper")
# Cells along each side of the grid: the accuracy hardly depends on it from 7 to 14.
_GRID = 7
# Of the features of training samples that a pipeline keeps: 12,000 images of the
# default network.
_MAX_BYTES = 256 * 10**6
# Probability of what new good samples hardly do.
_RARE = 0.01
_FIT_ANEW = "Fit anew to old and new samples"
_FROM_FILE = "it was saved without its training samples"
# Two changes at once would each begin with what is before the other.
_changing = threading.Lock()


def _names_of(X, n_samples):
    """Return the paths of samples, or "" where they have none."""
    items = X if isinstance(X, list | tuple | np.ndarray) else [None] * n_samples
    is_path = [isinstance(item, str | os.PathLike) for item in items]
    pairs = zip(items, is_path, strict=True)
    return np.array([os.fsdecode(item) if path else "" for item, path in pairs], str)


def _absolute(names):
    """Return paths as they lead to the same files from any folder."""
    return np.array([name and os.path.abspath(name) for name in names], str)


def _why_not_kept(steps, features, params):
    """Say why a pipeline cannot be updated, or return None."""
    for name, step in steps[:-1]:
        if not (
            step in (None, "passthrough")
            or isinstance(step, DeepFeatureTransformer)
            or not get_tags(step).requires_fit
        ):
            return f"its step {name!r}, {type(step).__name__}, learns from the samples"
    others = sorted(set(params) - {"groups"})
    if others:
        return f"its detector was fitted with {', '.join(others)}"
    values = np.asarray(features) if _is_array(features) else None
    if values is None or values.ndim != 2 or values.dtype.kind not in "biuf":
        return "its detector takes something other than an array of features"
    return _why_too_large(values, "its {} training samples")


def _why_too_large(features, of):
    """Say that features take too much memory to be kept, or return None."""
    if features.nbytes <= _MAX_BYTES:
        return None
    return (
        f"the features of {of.format(len(features))} take "
        f"{features.nbytes / 1e6:.0f} MB, and at most {_MAX_BYTES / 1e6:.0f} MB are "
        "kept"
    )


def _is_array(features):
    return isinstance(features, np.ndarray) or hasattr(features, "iloc")


def _as_mask(rows, n_samples):
    """Return rows, given as a mask, as positions or not at all, as a mask."""
    rows = np.asarray([] if rows is None else rows)
    mask = np.zeros(n_samples, dtype=bool)
    is_mask = rows.dtype.kind == "b" and rows.shape == (n_samples,)
    is_index = (
        rows.dtype.kind in "iu"
        and rows.ndim == 1
        and bool(((rows >= -n_samples) & (rows < n_samples)).all())
    )
    if rows.size and not is_mask and not is_index:
        raise ValueError(
            f"forget must be a mask of the {n_samples} rows of training_samples_, or "
            f"positions among them; got the type {rows.dtype} and shape {rows.shape}."
        )
    mask[rows if rows.size else []] = True
    if is_index and np.count_nonzero(mask) < rows.size:
        named, times = np.unique(rows % n_samples, return_counts=True)
        row = named[times > 1][0]
        raise ValueError(
            f"forget names row {row} more than once: "
            f"{', '.join(map(str, rows[rows % n_samples == row][:3]))}. Give each row "
            "once; a mask must be of bool: mask.astype(bool)."
        )
    return mask


@contextlib.contextmanager
def _noting():
    """Collect warnings in place of showing them; the caller shows them."""
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        yield noted


def _detector_has(attribute):
    """Return a function that tells whether a part of a pipeline has an attribute."""
    return lambda self: find_part(self, attribute) is not None


class DetectorPipeline(Pipeline):
    """Pipeline that ends in a detector and forwards what scikit-learn does not know.

    It is what :func:`make_detector` returns, and may be made of any steps, as
    :class:`~sklearn.pipeline.Pipeline` is.

    Parameters
    ----------
    steps, transform_input, memory, verbose
        As for :class:`~sklearn.pipeline.Pipeline`.

    Attributes
    ----------
    offset_ : float
        Minus the threshold of the detector.

    calibration_distances_ : ndarray of shape (n_samples,)
        Held-out distances of its training samples.

    training_samples_ : dict of str to ndarray of shape (n_samples,)
        What the detector is fitted to; see :meth:`update`.

    summary_ : FitSummary
        What was learned, which rate the images support and which of them to look at:
        see :class:`skgaussad.reporting.FitSummary`.

    warnings_ : list of str
        What the last fit or update warned of, with the names of images.

    notes_ : list of str
        Which training images are of other sizes, or much darker or brighter, than most.

    Notes
    -----
    The features that the detector is fitted to are kept for :meth:`update`, up to
    256 MB: 4 bytes for each feature of each image with the default network. Pickles
    and model files grow by them; :func:`skgaussad.save` can leave them out. Clones have
    none.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skgaussad import DetectorPipeline, MahalanobisDetector
    >>> X_normal = np.random.default_rng(0).normal(size=(199, 3))
    >>> root = FunctionTransformer(np.cbrt)
    >>> detector = DetectorPipeline([("root", root), ("last", MahalanobisDetector())])
    >>> detector = detector.fit(X_normal)
    >>> detector.p_values([[0, 0, 0], [9, 9, 9]])
    array([1.   , 0.005])
    """

    def fit(self, X, y=None, **params):
        """Fit the steps, as :meth:`sklearn.pipeline.Pipeline.fit` does.

        Parameters
        ----------
        X : sequence of n_images images, or array-like of shape (n_samples, n_features)
            Normal samples, as the first step takes them; a folder of images, too.
        y : array-like of shape (n_samples,) or None, default=None
            Ignored, with a warning where it holds -1.
        **params : dict of str -> object
            Parameters of the steps' ``fit``, such as ``detector__groups``.

        Returns
        -------
        self : DetectorPipeline

        Warns
        -----
        FalseAlarmRateWarning
            As the detector does, and if a single sample sets the threshold, one half
            farther out than the next; it is named.
        """
        if isinstance(X, str | os.PathLike) and os.path.isdir(X):
            folder, X = os.fsdecode(X), list_folder(X)
            check_unlabelled(folder, X)
        try:
            with _noting() as noted:
                super().fit(X, y, **params)
        except BaseException:
            # The detector of before may still be there, and these are not its samples.
            self._training = "its last fit failed"
            raise
        if not isinstance(self._training, str):
            self._training = replace(self._training, fitted=digest_fit(self[-1]))
        names = _names_of(X, _num_samples(X))
        self._note(noted, names, stacklevel=3)
        self.notes_ = []
        if find_transformer(self) is not None:
            notes = describe_odd_images(as_image_sequence(X))
            self.notes_ = [name_positions(note, names) for note in notes]
        self._warn_of_lone_sample(self[-1], names, stacklevel=3)
        return self

    def _note(self, noted, names, stacklevel):
        """Keep what a fit warned of, with the names of images, and warn of it."""
        names = [name or f"X[{row}]" for row, name in enumerate(names)]
        self.warnings_ = [
            name_positions(each.message, names)
            for each in noted
            if issubclass(each.category, UserWarning)
        ]
        for each in noted:
            warnings.warn(each.message, stacklevel=stacklevel)

    @property
    def summary_(self):
        """What was learned and what to do about it, of class `FitSummary`."""
        check_is_fitted(self)
        return fit_summary(self)

    def _fit(self, X, y=None, routed_params=None, **options):
        """Fit all steps but the last, and keep what comes out of them."""
        vars(self).pop("_training", None)
        features = super()._fit(X, y, routed_params, **options)
        if _num_samples(X) == 1 and find_transformer(self) is not None:
            raise ValueError(
                "A detector takes at least two normal images; got one. Give more."
            )
        methods = (routed_params or {}).get(self.steps[-1][0], {})
        params = {**methods.get("fit", {}), **methods.get("fit_predict", {})}
        params = {name: value for name, value in params.items() if value is not None}
        reason = _why_not_kept(self.steps, features, params)
        if reason is None:
            # A copy, since without other steps these are the caller's own.
            values, groups = np.array(features, order="C"), params.get("groups")
            n = len(values)
            try:
                groups = None if groups is None else as_labels(groups, n)
            except ValueError:
                # The detector says what is wrong with them.
                return features
            self._training = TrainingSamples.of_fit(
                values, _absolute(_names_of(X, n)), groups, self
            )
        else:
            self._training = reason
        return features

    def __getstate__(self):
        """Return the state, without training samples where they are to be left out."""
        state = super().__getstate__()
        if not keeps_samples.get() and "_training" in state:
            state = {**state, "_training": _FROM_FILE}
        return state

    @staticmethod
    def _warn_of_lone_sample(detector, names, stacklevel):
        """Warn if a single sample sets the threshold."""
        lone = getattr(detector, "_find_lone_sample", lambda: None)()
        if lone is None:
            return
        row, distance, following = lone
        warnings.warn(
            f"{names[row] or f'X[{row}]'} alone sets the threshold: its held-out "
            f"distance is {distance:.4g}, and the next smaller one {following:.4g}. If "
            "it is not normal, defects as far out as it will be missed. "
            "Look at it, and leave it out or use RobustDetector, or give more "
            "images.",
            FalseAlarmRateWarning,
            stacklevel=stacklevel,
        )

    @property
    def training_samples_(self):
        """What the detector is fitted to: names, groups and revisions by sample."""
        samples = self._find_samples()
        rows = samples.is_in
        found = {"name": samples.names[rows], "revision": samples.added[rows]}
        if samples.groups is not None:
            found["group"] = samples.groups[rows]
        return found

    def _find_samples(self):
        """Return the training samples, or say in an error why none are kept."""
        samples = getattr(self, "_training", "it was fitted by an earlier version")
        if not isinstance(samples, str) and (
            samples.fitted not in (None, digest_fit(self[-1]))
        ):
            samples = (
                "a fit or calibrate of its own, partial_fit, merge or remove_samples "
                "changed the detector since"
            )
        if isinstance(samples, str):
            # AttributeError, so that hasattr works.
            raise AttributeError(
                f"This pipeline has no training samples: {samples}. {_FIT_ANEW}; "
                "MahalanobisDetector.partial_fit takes streams of features."
            )
        return samples

    def _begin_change(self):
        """Return the training samples, to be changed; raise where they cannot be."""
        samples = self._find_samples()
        changed = samples.find_changed(self)
        if changed:
            raise ValueError(
                f"The pipeline was fitted with other values of {', '.join(changed)}, "
                f"and an update changes nothing but its samples. Set "
                f"{changed[0]}={samples.settings[changed[0]]} again, or fit anew."
            )
        return samples

    def update(self, X=None, *, groups=None, forget=None):
        """Add samples to those that the detector is fitted to, or take some out.

        The detector is fitted again to the features of all samples, which were kept, so
        that it equals, bit for bit, one fitted to them at once, as long as it draws
        nothing at random or has a `random_state`. Only new images go through the
        network. Another thread may score meanwhile: it sees the detector of
        before, or the new one.

        Parameters
        ----------
        X : sequence of n_images images or None, default=None
            New normal samples, as for :meth:`fit`; None adds none.

        groups : label, array-like of shape (n_images,) or None, default=None
            The group of all new samples, or of each. Needed with `X` if the pipeline
            was fitted with groups, and not taken if it was not.

        forget : array-like of bool of shape (n_samples,), or of int, or None, \
                default=None
            Which rows of `training_samples_`, before `X` is added, to take out: a mask,
            or their positions.

        Returns
        -------
        self : DetectorPipeline

        Raises
        ------
        AttributeError
            If the training samples were not kept: another step learns from samples,
            the detector was fitted with more than groups, the features take too much
            memory, the last fit failed, the detector has been changed since by a
            `partial_fit` of its own or the like, or a file was saved without them or by
            an earlier version.
        ValueError
            If there is nothing to do, `groups` or `forget` do not go with the samples,
            a parameter of the detector was set since the fit, or too few samples or
            groups would be left. Nothing changes then.

        Warns
        -----
        FalseAlarmRateWarning
            As :meth:`fit` does; ``X[i]`` is row i of `training_samples_` afterwards.
            And if more of the new samples are flagged by the detector of before than of
            good ones would be, in one of a hundred updates with good ones at most.

        Examples
        --------
        >>> import numpy as np
        >>> from skgaussad import DetectorPipeline, MahalanobisDetector
        >>> X = np.random.default_rng(0).normal(size=(400, 3))
        >>> days = np.repeat(["11-25", "11-26", "11-27", "11-28"], 100)
        >>> detector = DetectorPipeline([("detector", MahalanobisDetector(fpr=0.5))])
        >>> detector = detector.fit(X[:300], detector__groups=days[:300])
        >>> old = detector.training_samples_["group"] < "11-26"
        >>> detector = detector.update(X[300:], groups="11-28", forget=old)
        >>> np.unique(detector.training_samples_["group"]).tolist()
        ['11-26', '11-27', '11-28']
        >>> detector = detector.undo_update()
        >>> np.unique(detector.training_samples_["group"]).tolist()
        ['11-25', '11-26', '11-27']
        """
        check_is_fitted(self)
        with _changing:
            samples = self._begin_change()
            forgotten = _as_mask(forget, int(samples.is_in.sum()))
            new = self._find_new(samples, X, groups)
            if not len(new[0]) and not forgotten.any():
                raise ValueError(
                    "There is nothing to update: give new samples X, or those to "
                    "forget."
                )
            n_left = np.count_nonzero(samples.is_in) - forgotten.sum() + len(new[0])
            if n_left < 2:
                raise ValueError(
                    f"The update would leave {n_left} training samples, and a detector "
                    "takes at least two. Forget fewer, or give more new ones."
                )
            changed = samples.change(forgotten, *new)
            if changed.n_groups == 1:
                raise ValueError(
                    "The update would leave one group, and leaving groups out takes at "
                    "least two. Forget fewer, or give new ones."
                )
            self._warn_of_flagged(new[0])
            return self._refit(changed)

    def undo_update(self):
        """Undo the last :meth:`update`: new samples go, and those taken out come back.

        Returns
        -------
        self : DetectorPipeline

        Raises
        ------
        AttributeError
            If the training samples were not kept.
        ValueError
            If there was no update since the fit or the last undo, or a parameter of the
            detector was set since.
        """
        check_is_fitted(self)
        with _changing:
            samples = self._begin_change()
            if not samples.can_undo:
                raise ValueError(
                    "There is no update to undo: only the last one can be, once."
                )
            return self._refit(samples.undo())

    def _find_new(self, samples, X, groups):
        """Return features, names and groups of new samples."""
        has_groups = samples.groups is not None
        if X is not None and has_groups != (groups is not None):
            raise ValueError(
                "The pipeline was fitted with groups, and so are updates: give groups, "
                "one label for all new samples or one each."
                if has_groups
                else "The pipeline was fitted without groups, and takes none: leave "
                "groups out, or fit anew with groups for all samples."
            )
        if X is None:
            if groups is not None:
                raise ValueError("groups are of new samples X, and there are none.")
            none = None if not has_groups else samples.groups[:0]
            return samples.features[:0], samples.names[:0], none
        features = X
        for _, _, step in self._iter(with_final=False):
            features = step.transform(features)
        columns = list(getattr(features, "columns", []))
        expected = list(getattr(self[-1], "feature_names_in_", columns))
        check_unmasked("X", features)
        values = np.asarray(features)
        if (
            values.ndim != 2
            or values.shape[1] != samples.features.shape[1]
            or (columns and columns != expected)
        ):
            raise ValueError(
                f"X has features of the shape {values.shape}, and the pipeline was "
                f"fitted to {samples.features.shape[1]} features. Give samples of the "
                "same kind and columns."
            )
        if values.dtype.kind not in "biuf":
            raise ValueError(f"X must hold numbers; got the type {values.dtype}.")
        if has_groups:
            groups = as_labels(groups, len(values))
            # Booleans would join the groups 0 and 1.
            of_fit, of_new = (
                each.dtype.kind if each.dtype.kind in "bU" else "number"
                for each in (samples.groups, groups)
            )
            if of_fit != of_new:
                raise ValueError(
                    f"groups must be of the kind given to fit, such as "
                    f"{samples.groups[0]!r}; got {groups[0]!r}."
                )
            if of_fit == "number":
                given, groups = groups, groups.astype(samples.groups.dtype)
                if not np.array_equal(groups, given):
                    raise ValueError(
                        f"groups must be numbers of the type {groups.dtype}, as those "
                        f"of the fit are; got {given[groups != given][0]!r}."
                    )
        return values, _absolute(_names_of(X, len(values))), groups

    def _with_names(self, features):
        """Return features as the detector was fitted to them."""
        columns = getattr(self[-1], "feature_names_in_", None)
        if columns is None:
            return features
        import pandas as pd

        # Without a copy, which may order its numbers in another way: sums of them would
        # differ in the last bits.
        return pd.DataFrame(features, columns=columns, copy=False)

    def _warn_of_flagged(self, features):
        """Warn if more of the new samples are flagged than of good ones would be."""
        threshold = find_threshold(self[-1])
        fpr = getattr(find_decider(self[-1]), "fpr", None)
        if threshold is None or fpr is None or not len(features):
            return
        distances = -self[-1].score_samples(self._with_names(features))
        n, n_flagged = len(features), int(np.count_nonzero(distances > threshold))
        held_out = find_held_out(self[-1])
        if held_out is None:
            rarity = binom.sf(n_flagged - 1, n, fpr)
        else:
            # The rate of a threshold that some samples set is itself at random.
            n_beyond = max(fpr * (held_out.n_units + 1), 1)
            n_within = max(held_out.n_units + 1 - n_beyond, 1)
            rarity = betabinom.sf(n_flagged - 1, n, n_beyond, n_within)
        if rarity < _RARE:
            warnings.warn(
                f"{n_flagged} of the {n} new samples are flagged by the model of "
                f"before, which was set to flag {100 * fpr:.3g} % of good ones. Those "
                "of a new lot may differ so, and defects do: look at them, and undo "
                "the update if they are not good.",
                FalseAlarmRateWarning,
                stacklevel=3,
            )

    def _refit(self, samples):
        """Fit a new detector to samples, and put it in the place of the old one."""
        rows = samples.is_in
        features, names = samples.features[rows], samples.names[rows]
        reason = _why_too_large(features, "{} samples")
        if reason is not None:
            raise ValueError(
                f"The pipeline cannot be updated: {reason}. {_FIT_ANEW}, or forget "
                "some of the old ones."
            )
        name, detector = self.steps[-1]
        features = self._with_names(features)
        params = {} if samples.groups is None else {"groups": samples.groups[rows]}
        with _noting() as noted:
            fitted = clone(detector).fit(features, **params)
        self._note(noted, names, stacklevel=4)
        self._warn_of_lone_sample(fitted, names, stacklevel=4)
        # A new list, since a shallow copy of the pipeline shares the old one.
        self.steps = [*self.steps[:-1], (name, fitted)]
        self._training = replace(samples, fitted=digest_fit(fitted))
        return self

    @property
    def offset_(self):
        """Minus the threshold of the detector."""
        return self._ask("offset_")

    @property
    def calibration_distances_(self):
        """Held-out distances of the training samples, of shape (n_samples,)."""
        return self._ask("calibration_distances_")

    def _ask(self, attribute):
        """Ask the detector, or what is in it."""
        part = find_part(self, attribute)
        # Where none has it, the last step says why.
        return getattr(self[-1] if part is None else part, attribute)

    @available_if(_detector_has("score_samples"))
    def score_samples(self, X, **params):
        """Score of the detector: higher is more normal.

        Parameters
        ----------
        X : sequence of n_images images, or array-like of shape (n_samples, n_features)
            As the first step takes it.
        **params : dict of str -> object
            For the last step, such as ``categories`` of
            :class:`~skgaussad.MondrianDetector`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
        """
        if not params:
            return super().score_samples(X)
        detector, X = send_to_part(self, "score_samples", X)
        return detector.score_samples(X, **params)

    @available_if(_detector_has("decision_function"))
    def decision_function(self, X, **params):
        """Score relative to the threshold: negative for anomalies.

        Parameters
        ----------
        X : sequence of n_images images, or array-like of shape (n_samples, n_features)
            As the first step takes it.
        **params : dict of str -> object
            As for `score_samples`.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
        """
        if not params:
            return super().decision_function(X)
        detector, X = send_to_part(self, "decision_function", X)
        return detector.decision_function(X, **params)

    @available_if(_detector_has("p_values"))
    def p_values(self, X, **params):
        """Conformal p-values: how unusual images are among normal ones.

        Parameters
        ----------
        X : sequence of n_images images, or array-like of shape (n_samples, n_features)
            As the first step takes it.
        **params : dict of str -> object
            As for `score_samples`.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            In (0, 1]; see :meth:`MahalanobisDetector.p_values
            <skgaussad.MahalanobisDetector.p_values>`.
        """
        detector, X = send_to_part(self, "p_values", X)
        return detector.p_values(X, **params)

    @available_if(_detector_has("predict_batch"))
    def predict_batch(self, X, *, fdr=0.05, **params):
        """Decide on a batch at once, with a limit on the fraction of false discoveries.

        Parameters
        ----------
        X : sequence of n_images images, or array-like of shape (n_samples, n_features)
            As the first step takes it.
        fdr : float, default=0.05
            Acceptable false discovery rate, in (0, 1).
        **params : dict of str -> object
            As for `score_samples`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for normal, -1 for anomalous; see
            :meth:`MahalanobisDetector.predict_batch
            <skgaussad.MahalanobisDetector.predict_batch>`.
        """
        detector, X = send_to_part(self, "predict_batch", X)
        return detector.predict_batch(X, fdr=fdr, **params)

    @available_if(_detector_has("fpr_bound"))
    def fpr_bound(self, confidence=0.95):
        """Upper bound on the false-positive rate of ``predict``.

        Parameters
        ----------
        confidence : float, default=0.95
            Fraction of training sets, in (0, 1), in which the rate is at most the
            bound.

        Returns
        -------
        bound : float
            In (0, 1].
        """
        return find_part(self, "fpr_bound").fpr_bound(confidence)

    def anomaly_maps(self, X, *, size="image"):
        """Draw where in each image its distance comes from.

        Parameters
        ----------
        X : sequence of n_images images
        size : "image" or tuple of (int, int), default="image"
            Height and width of the maps: each those of its image, or the same for all.

        Returns
        -------
        maps : list of n_images ndarrays of shape (height, width)
            See :func:`skgaussad.inspection.anomaly_maps`.
        """
        return anomaly_maps(self, X, size=size)


def make_detector(
    *,
    method="cells",
    levels="auto",
    pooling=None,
    standardize_intensity=None,
    detector=None,
    threshold="quantile",
    fpr=0.05,
    confidence=None,
    **features,
):
    """Build the pipeline from images to a detector, ready to fit.

    Its steps are ``"features"``, a :class:`~skgaussad.DeepFeatureTransformer`, and
    ``"detector"``.

    Parameters
    ----------
    method : {"cells", "paper"}, default="cells"
        ``"cells"`` fits one Gaussian to all cells of a 7 x 7 grid over a feature map,
        and scores an image by the cells that the rest of it does not explain: see
        :class:`~skgaussad.CellwiseMahalanobisDetector`. ``"paper"`` is the distance of
        the mean over the map, as in [1]_: see :class:`~skgaussad.MahalanobisDetector`.

    levels : int, list of int, "all" or "auto", default="auto"
        As for :class:`~skgaussad.DeepFeatureTransformer`. ``"auto"`` is, of the default
        network, level 6 for ``method="cells"`` and level 7 for ``"paper"``. Several are
        joined in each cell, or with ``"paper"`` their distances are summed by a
        :class:`~skgaussad.LevelEnsemble`, as in [1]_.

    pooling : str, int, list of these or None, default=None
        As for :class:`~skgaussad.DeepFeatureTransformer`. None is 7, for a 7 x 7 grid,
        with ``method="cells"`` and ``"average"`` with ``"paper"``.

    standardize_intensity : bool or None, default=None
        As for :class:`~skgaussad.DeepFeatureTransformer`. None is True with
        ``method="cells"``, which sees next to nothing of a change of light over the
        whole image in any case, and finds more defects so, and False with ``"paper"``.

    detector : outlier detector or None, default=None
        None is the one of `method`; another one gets the features of `method`. It has a
        working point of its own, and `threshold`, `fpr` and `confidence` are left at
        their defaults here.

    threshold : {"quantile", "tail"}, default="quantile"
        How `fpr` becomes a distance, as for :class:`~skgaussad.MahalanobisDetector`,
        which knows others for one level of ``method="paper"``.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1).

    confidence : float or None, default=None
        As for :class:`~skgaussad.MahalanobisDetector`.

    **features
        Other parameters of the transformer, such as ``backbone`` or ``device``.

    Returns
    -------
    detector : DetectorPipeline
        With ``fit``, ``score_samples``, ``decision_function`` and ``predict``, and what
        a plain pipeline does not forward: ``offset_``, ``p_values``, ``predict_batch``,
        ``fpr_bound`` and ``anomaly_maps``.

    Raises
    ------
    ValueError
        If `method` is none of these, `pooling` or `threshold` does not go with it, or a
        working point is given beside a detector that has its own.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> from sklearn.utils import shuffle
    >>> from skgaussad import LevelEnsemble, make_detector
    >>> from skgaussad.datasets import load_solar_cells
    >>> cells = load_solar_cells("mono")
    >>> normal = shuffle(cells.paths[cells.labels == 1], random_state=0)
    >>> anomalous = cells.paths[cells.labels == -1]
    >>> detector = make_detector(fpr=0.05).fit(normal[:40])
    >>> detector.predict(anomalous[:3])
    array([-1, -1, -1])
    >>> [anomaly_map.shape for anomaly_map in detector.anomaly_maps(anomalous[:1])]
    [(300, 300)]

    The paper's sum over all levels:

    >>> detector = make_detector(method="paper", levels="all", image_size=96)
    >>> len(detector.fit(normal[:40])[-1].estimators_)
    9

    A Gaussian for each level and cell of a 4 x 4 grid, the mean of the highest 5 % of
    their distances:

    >>> cells = LevelEnsemble(columns="cell", aggregation="top", fpr=0.01)
    >>> detector = make_detector(detector=cells, levels=[6, 7], pooling=4)
    """
    unknown = sorted(features.keys() - DeepFeatureTransformer().get_params().keys())
    if unknown:
        raise TypeError(
            f"make_detector() got an unexpected keyword argument {unknown[0]!r}"
        )
    check_choice("method", method, _METHODS)
    has_cells = method == "cells"
    if pooling is None:
        pooling = _GRID if has_cells else "average"
    elif has_cells and detector is None and not isinstance(pooling, numbers.Integral):
        raise ValueError(
            "pooling must be the number of cells along a side of the grid for "
            f"method='cells'; got {pooling!r}. Use method='paper' for other poolings."
        )
    if standardize_intensity is None:
        standardize_intensity = has_cells
    transformer = DeepFeatureTransformer(
        levels=levels,
        pooling=pooling,
        standardize_intensity=standardize_intensity,
        **features,
    )
    several = not (isinstance(levels, numbers.Integral) or levels == "auto")
    if has_cells or several or detector is not None:
        # The names of the features tell a detector the cells and levels.
        transformer.set_output(transform="pandas")
    working_point = {"threshold": threshold, "fpr": fpr, "confidence": confidence}
    if detector is None:
        kind = LevelEnsemble if several else MahalanobisDetector
        if has_cells:
            kind = CellwiseMahalanobisDetector
        if threshold in ("chi2", "f") and kind is not MahalanobisDetector:
            raise ValueError(
                f"threshold={threshold!r} is the distribution of a Mahalanobis "
                "distance, which one level of method='paper' has; got "
                f"method={method!r} and levels={levels!r}. Use threshold='quantile'."
            )
        detector = kind(**working_point)
    elif not get_tags(detector).input_tags.two_d_array:
        raise ValueError(
            f"detector={detector!r} takes images itself. Fit it without make_detector."
        )
    elif working_point != {"threshold": "quantile", "fpr": 0.05, "confidence": None}:
        raise ValueError(
            "threshold, fpr and confidence of make_detector have no effect beside "
            f"detector={detector!r}. Set them there."
        )
    return DetectorPipeline([("features", transformer), ("detector", detector)])
