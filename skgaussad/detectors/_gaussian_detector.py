"""What detectors of one Gaussian have in common: they fit, grow and calibrate alike."""

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .._utils.array_api import namespace_of, to_host
from .._utils.validation import check_choice, check_real, validate_data
from ..covariance import (
    COVARIANCES,
    DIAGONAL_COVARIANCES,
    Gaussian,
    Moments,
    TooFewSamplesError,
)
from ._base import RULES, BaseDetector
from ._copies import find_copies
from ._hold_out import number_groups
from ._learned_steps import warn_of_learned_steps
from ._order import warn_of_order

_SHRINKAGE = 0.1


class MahalanobisMixin:
    """What detectors share that measure Mahalanobis distances.

    They have the parameters ``covariance`` and ``shrinkage``, the fitted `_gaussian`
    and a method ``mahalanobis``.
    """

    def _check_covariance(self):
        """Check ``covariance`` and ``shrinkage``, and whether they go together."""
        check_choice("covariance", self.covariance, COVARIANCES)
        if self.shrinkage is not None:
            check_real("shrinkage", self.shrinkage, 0, 1, closed="high")
            if self.covariance != "shrunk":
                raise ValueError(
                    f"shrinkage={self.shrinkage:g} has no effect with covariance="
                    f"{self.covariance!r}. Set covariance='shrunk', or shrinkage=None."
                )

    @property
    def _shrinkage(self):
        """The intensity for ``covariance="shrunk"``."""
        return _SHRINKAGE if self.shrinkage is None else self.shrinkage

    @property
    def covariance_(self):
        """Estimated covariance, of shape (n_features, n_features)."""
        check_is_fitted(self)
        return self._gaussian.matrix()

    @property
    def precision_(self):
        """Inverse of the estimated covariance, of shape (n_features, n_features)."""
        check_is_fitted(self)
        return self._gaussian.precision()

    def score_samples(self, X):
        """Minus the Mahalanobis distance (not squared): higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Float64, <= 0.
        """
        squared = self.mahalanobis(X)
        return -namespace_of(squared).sqrt(squared)


class GaussianDetector(MahalanobisMixin, BaseDetector):
    """Detector by one Gaussian over all features.

    A subclass has the parameters of a `BaseDetector`, ``covariance`` and ``shrinkage``,
    and defines `_measure_left_out` beside ``score_samples``.
    """

    # Leaving out takes no further fits.
    _is_closed_form = True
    _rules = RULES
    _not_calibrated = (
        "There is no threshold, or there are no p-values: fit failed at them, or "
        "partial_fit, merge or remove_samples have changed the Gaussian since. Call "
        "calibrate(X) with the training samples, or with a random sample of them."
    )

    def fit(self, X, y=None, *, groups=None):
        """Fit the Gaussian and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of normal samples.
        y : array-like of shape (n_samples,) or None, default=None
            Ignored, with a warning where it holds -1: all rows of `X` are taken to be
            normal.
        groups : array-like of shape (n_samples,) or None, default=None
            Lot, shift or capture run of each sample, at least two different ones.
            Distances are then those to the Gaussian of the other groups.

        Returns
        -------
        self : object
            The detector itself.

        Raises
        ------
        ValueError
            If a parameter is out of its range, `X` holds NaN or infinity, all rows are
            identical, or the samples are too few for the covariance asked for.

        Warns
        -----
        FalseAlarmRateWarning
            If the samples are too few for `fpr`, with the number that would do; if
            the leave-one-out distances contradict the distribution asked for, with both
            rates; or if some samples are copies, equal to the last bit, which are left
            out together and count as one; or, without groups, if neighbours resemble
            each other: fitted to the first half of the samples, the detector calls
            clearly more of the last half anomalous than `fpr`, or the other way round;
            or if a step before has learned from the same samples, as far as that is
            seen.
        """
        self._check_parameters(groups)
        self._warn_of_anomalies(y)
        given = X
        X = validate_data(self, to_host(X), dtype=np.float64, ensure_min_samples=2)
        copies = find_copies(X)
        self._fit_samples(X, number_groups(groups, X, copies), copies)
        self._set_threshold()
        warn_of_learned_steps(self, X)
        if groups is None:
            warn_of_order(self, given, copies)
        return self

    def _fit_samples(self, X, groups, copies):
        """Fit to validated samples, and measure each without its group or copies."""
        X, learned = self._learn_features(X)
        gaussian, row_vectors = Gaussian.fit(
            X,
            self.covariance,
            self._shrinkage,
            n_distinct=None if copies is None else copies.max() + 1,
        )
        # Not before: a fit that fails leaves the one before it as it was.
        vars(self).update(learned)
        self._set_gaussian(gaussian)
        left_out = self._measure_left_out(
            gaussian, X, groups, copies=copies, row_vectors=row_vectors
        )
        self._set_left_out(left_out, groups, copies)

    def partial_fit(self, X, y=None):
        """Add training samples.

        Mean, covariance, shrinkage and distances are those of a single `fit` to all
        samples, to rounding: samples of any number of calls, one by one or many at a
        time, in any order, after a `fit` or from the start. It costs O(m D^2) for m
        samples, whatever their total; the covariance is decomposed when it is first
        used, without shrinkage at once.

        As long as the samples do not determine a Gaussian, scoring raises an error that
        says what is missing.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of further normal samples; a single one will do.
        y : array-like of shape (n_samples,) or None, default=None
            Ignored, with a warning where it holds -1: all rows of `X` are taken to be
            normal.

        Returns
        -------
        self : object
            The detector itself, without a threshold until `calibrate` has set one, but
            for a ``threshold`` by a distribution, ``"chi2"`` or ``"f"``.

        Raises
        ------
        ValueError
            If a parameter is out of its range, `X` holds NaN or infinity or has other
            features than before, or `covariance` needs other moments than those that
            were kept, or the features are of several levels that were scaled.

        Notes
        -----
        Where the least variance of the covariance is a fraction s of the largest, the
        distances have about 16 + log10(s) digits: the moments are sums of squares, and
        those of the smallest variances are lost first. `fit` has the rows and is exact
        for fractions far below, too. With n < D, `fit` is also the faster one: this
        keeps and decomposes a matrix of D x D numbers, 241 MB for 5,488 features.

        With ``threshold="chi2"`` or ``"f"``, only `fit` and `calibrate` warn where the
        training samples contradict the distribution.
        """
        self._check_going_on()
        self._warn_of_anomalies(y)
        first = not hasattr(self, "_gaussian")
        X = validate_data(self, to_host(X), dtype=np.float64, reset=first)
        if first:
            vars(self).update(self._learn_features(X)[1])
            self._check_additive()
        moments = Moments.of(X, diagonal=self.covariance in DIAGONAL_COVARIANCES)
        self._go_on_with(moments if first else self._moments.merge(moments))
        return self

    def merge(self, other):
        """Take in the training samples of another detector.

        The Gaussian becomes that of both sets of samples, as one `fit` to all of them
        gives it, so that parts of the samples can be fitted on several machines.

        Parameters
        ----------
        other : detector of the same class
            Fitted, in full or in part, to other samples with the same features and the
            same `covariance` and `shrinkage`. It does not change.

        Returns
        -------
        self : object
            The detector itself, without a threshold until `calibrate` has set one, but
            for a ``threshold`` by a distribution, ``"chi2"`` or ``"f"``.

        Raises
        ------
        TypeError
            If `other` is of another class.
        ValueError
            If the two differ in what they have to share.
        NotFittedError
            If one of them has no training samples.
        """
        self._check_going_on()
        if type(other) is not type(self):
            raise TypeError(
                f"other must be a {type(self).__name__}; got {type(other).__name__}."
            )
        for name, detector in (("This detector", self), ("The other detector", other)):
            if not hasattr(detector, "_gaussian"):
                raise NotFittedError(
                    f"{name} has no training samples to merge. Call fit or partial_fit "
                    "on it first."
                )
        other._check_additive()
        names = ["covariance", "n_features_in_", "feature_names_in_"]
        if self.covariance == "shrunk":
            names.append("shrinkage")
        for name in names:
            mine, theirs = getattr(self, name, None), getattr(other, name, None)
            if not np.array_equal(mine, theirs):
                raise ValueError(
                    f"Detectors to merge must have the same {name}; this one has "
                    f"{mine!r} and the other {theirs!r}."
                )
        self._go_on_with(self._moments.merge(other._moments))
        return self

    def remove_samples(self, X):
        """Take training samples out again.

        The Gaussian becomes that of the samples left, as a `fit` to these gives it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples that were trained on, the same to the last digit, but not all of
            them. Samples that were not are refused where what would be left is
            impossible, which cannot always be seen.

        Returns
        -------
        self : object
            The detector itself, without a threshold until `calibrate` has set one, but
            for a ``threshold`` by a distribution, ``"chi2"`` or ``"f"``.

        Raises
        ------
        ValueError
            If there are not more training samples than that, `X` is seen to hold
            samples that are not among them, or nothing but rounding would be left.
        NotFittedError
            If there are no training samples.

        Notes
        -----
        What is left is a difference, with fewer digits. Measured on samples of up to
        300, the distances are those of a `fit` to 1e-10 as long as the samples left
        make up 1 % of the sum of squares about the mean, with ``"ledoit_wolf"``, whose
        shrinkage takes fourth powers, and 0.1 % with the others. So half of the samples
        may go, or 90 % that are like the others, or samples thirty times as far out as
        those that stay.

        Whether a feature still varies cannot be known for certain without the samples.
        It counts as constant where less than 1e-10 of its variation is left, which is
        right where all samples that varied in it are removed.
        """
        self._check_going_on()
        if not hasattr(self, "_gaussian"):
            # Not otherwise: what is too little for a Gaussian can be removed, too.
            check_is_fitted(self)
        X = validate_data(self, to_host(X), dtype=np.float64, reset=False)
        removed = Moments.of(X, diagonal=self._moments.is_diagonal)
        self._go_on_with(self._moments.without(removed))
        return self

    def calibrate(self, X):
        """Set the threshold from the leave-one-out distances of training samples.

        They are exact, as those of `fit`: each sample is taken out of mean, covariance
        and shrinkage. The samples are worked on a block at a time, and
        ``calibration_distances_``, ``offset_``, ``p_values`` and all that depends on
        them are those of `fit` to all training samples, to rounding.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            All training samples, or a random sample of them, over which the rule for
            the threshold then runs: it must have as many as `fpr` needs. Copies are
            found among these only.

        Returns
        -------
        self : object
            The detector itself.

        Raises
        ------
        ValueError
            If there are more samples than were trained on, or some are seen not to be
            among them.
        NotFittedError
            If the training samples do not determine a Gaussian yet.

        Warns
        -----
        FalseAlarmRateWarning
            As `fit` does.

        Notes
        -----
        Where `X` is a part of the training samples and holds one that is so far from
        the others that it makes up all but 1e-8 of a moment, its distance counts as
        infinite, for the others' part of the moments has hardly a digit left. With
        ``"diagonal"`` and ``"isotropic"``, a feature in which that is so counts as
        constant among the others. With all training samples such a distance is taken
        from a fit to the others.
        """
        self._check_going_on()
        check_is_fitted(self)
        used = self._gaussian.covariance, self._gaussian.intensity
        if used != (self.covariance, self._shrinkage):
            # Set since: the moments are the same.
            self._go_on_with(self._moments)
            check_is_fitted(self)
        # Left in single precision, for a memory map to stay one.
        dtypes = (np.float64, np.float32)
        X = validate_data(self, to_host(X), dtype=dtypes, reset=False)
        moments = self._moments
        if len(X) > moments.n_samples:
            raise ValueError(
                f"X has {len(X)} samples, and the detector was trained on "
                f"{moments.n_samples}. Give these, or a random sample of them."
            )
        moments.check_range(X.min(axis=0), X.max(axis=0))
        are_all = moments.are_of(X)
        copies = find_copies(X)
        left_out = self._measure_left_out(
            self._gaussian, X, copies=copies, are_all=are_all
        )
        self._set_left_out(left_out, copies=copies)
        self._set_threshold()
        warn_of_learned_steps(self, X)
        warn_of_order(self, X, copies)
        return self

    def __sklearn_is_fitted__(self):
        """Whether there are training samples, or an error that says what they lack."""
        if not hasattr(self, "_gaussian"):
            return False
        if self._gaussian is None:
            raise NotFittedError(self._lacking)
        return True

    def _check_parameters(self, groups=None):
        """Check the parameters."""
        self._check_covariance()
        self._check_working_point(groups, self._rules)

    def _learn_features(self, X):
        """Return the features as the Gaussian takes them, and attributes to set."""
        return X, {}

    def _distances_of(self, measured):
        """Distances of samples, from what `_measure_left_out` gives."""
        return measured

    def _measure_left_out(self, gaussian, X, groups=None, **options):
        """Measure training samples by the Gaussian without their group.

        Parameters
        ----------
        gaussian, X, groups, **options
            As for `leave_out`.

        Returns
        -------
        measured : ndarray of shape (n_samples, ...)
            What `_set_left_out` takes.
        """
        raise NotImplementedError

    def _set_left_out(self, measured, groups=None, copies=None):
        """Keep what `_measure_left_out` gives."""
        self._set_held_out(self._distances_of(measured), groups, copies)

    def _check_going_on(self):
        """Check whether samples can be added, joined, taken out or calibrated with."""
        self._check_parameters()
        if not hasattr(self, "_gaussian"):
            return
        self._check_additive()
        diagonal = self.covariance in DIAGONAL_COVARIANCES
        if self._moments.is_diagonal != diagonal:
            raise ValueError(
                f"covariance={self.covariance!r} needs "
                f"{'only ' if diagonal else ''}variances"
                f"{'' if diagonal else ' and correlations'}, and the detector was "
                "fitted with a covariance that keeps others. Call fit."
            )

    def _go_on_with(self, moments):
        """Set the Gaussian from moments that may be of too few samples for it."""
        try:
            gaussian = Gaussian.from_moments(moments, self.covariance, self._shrinkage)
        except TooFewSamplesError as error:
            for name in ("location_", "shrinkage_"):
                vars(self).pop(name, None)
            self._discard_threshold()
            self._gaussian, self._moments, self._lacking = None, moments, str(error)
            self.n_samples_seen_ = moments.n_samples
            return
        self._set_gaussian(gaussian)

    def _check_additive(self):
        """Raise if moments do not tell all, as where groups were left out."""
        held_out = vars(self).get("_held_out_distances")
        if held_out is not None and held_out.groups is not None:
            raise ValueError(
                "The detector was fitted with groups, which only a fit to all samples "
                "can leave out. Use fit(X, groups=groups)."
            )

    def _fit_moments(self, moments):
        """Fit to moments of training samples, such as those merged from many machines.

        What is missing for a fit is `_measure_left_out` by ``_gaussian``, for each part
        of the samples apart, set by `_set_left_out`, and then `_set_threshold`.

        Parameters
        ----------
        moments : Moments
            Of the diagonal alone for ``"diagonal"`` and ``"isotropic"``.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or there are too few samples.
        """
        self._check_parameters()
        self.n_features_in_ = moments.n_features
        self._set_gaussian(
            Gaussian.from_moments(moments, self.covariance, self._shrinkage)
        )

    def _set_gaussian(self, gaussian):
        """Set all that scoring needs."""
        self._discard_threshold()
        self._gaussian, self._moments = gaussian, gaussian.moments
        self._lacking = None
        self.location_ = gaussian.location
        self.shrinkage_ = gaussian.shrinkage
        self.n_samples_seen_ = gaussian.n_samples
        # A threshold that needs nothing else.
        threshold = self._parametric_threshold()
        if threshold is not None:
            self.offset_ = -threshold


def fit_part(detector, X, groups=None, copies=None):
    """Fit a clone to a part of each sample; parts of different samples may be equal.

    Parameters
    ----------
    detector : GaussianDetector or LevelEnsemble
        That leaves out in closed form.
    X : array-like of shape (n_samples, n_features)
    groups, copies : ndarray of shape (n_samples,), dtype int, or None, default=None
        What to leave out together, as for `leave_out`; none of the equal rows besides.

    Returns
    -------
    fitted : GaussianDetector or LevelEnsemble
    """
    fitted = clone(detector)
    fitted._check_parameters(groups)
    X = validate_data(fitted, to_host(X), dtype=np.float64, ensure_min_samples=2)
    fitted._fit_samples(X, groups, copies)
    fitted._set_threshold()
    return fitted
