"""Folds whose training part holds normal samples only."""

from abc import ABCMeta, abstractmethod

import numpy as np
from sklearn.model_selection import (
    BaseCrossValidator,
    GroupKFold,
    KFold,
    StratifiedKFold,
)
from sklearn.utils import check_array, check_random_state, indexable

from .._utils.labels import check_labels
from .._utils.validation import check_integer, check_real


class _BaseNormalKFold(BaseCrossValidator, metaclass=ABCMeta):
    """Folds over the normal samples; anomalies are for testing only."""

    def __init__(self, n_splits=5, *, shuffle=False, random_state=None, anomalies=1.0):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state
        self.anomalies = anomalies

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : Ignored
            Present for API consistency.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def split(self, X, y=None, groups=None):
        """Yield the indices of the training and the test samples of each fold.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            The samples, of any kind; only their number matters.
        y : array-like of shape (n_samples,), default=None
            +1 for normal samples, -1 for anomalies. None takes all samples for normal.
        groups : array-like of shape (n_samples,), default=None
            Strata or groups, as the class needs; NormalKFold takes none.

        Yields
        ------
        train : ndarray of int
            Normal samples, in ascending order.
        test : ndarray of int
            The other normal samples and the anomalies, in ascending order.

        Raises
        ------
        ValueError
            If a parameter is out of its range, `y` holds other labels, there are too
            few normal samples, or `groups` does not suit.
        """
        self._check_parameters()
        X, y, groups = indexable(X, y, groups)
        if y is None:
            labels = np.ones(X.shape[0] if hasattr(X, "shape") else len(X), dtype=int)
        else:
            labels = check_labels("y", y)
        normal = np.flatnonzero(labels == 1)
        if len(normal) < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} needs at least as many normal samples "
                f"(y == 1); got {len(normal)} among {len(labels)} samples. Use fewer "
                "folds, or give more normal samples."
            )
        groups = self._check_groups(groups, normal)
        anomalous = np.flatnonzero(labels == -1)
        generator = check_random_state(self.random_state)
        for train, held_out in self._split_normal(normal, groups):
            drawn = self._draw(anomalous, generator)
            yield normal[train], np.sort(np.concatenate([normal[held_out], drawn]))

    def _check_parameters(self):
        check_integer("n_splits", self.n_splits, 2)
        check_real("anomalies", self.anomalies, 0, 1, closed="high")
        if not isinstance(self.shuffle, bool | np.bool_):
            raise ValueError(f"shuffle must be True or False; got {self.shuffle!r}.")
        is_random = self.shuffle or self.anomalies < 1
        if self.random_state is not None and not is_random:
            raise ValueError(
                f"random_state={self.random_state!r} has no effect without "
                "shuffle=True or anomalies < 1. Set one of them, or leave it None."
            )

    def _draw(self, anomalous, generator):
        if self.anomalies == 1 or len(anomalous) == 0:
            return anomalous
        n_drawn = max(round(self.anomalies * len(anomalous)), 1)
        return generator.choice(anomalous, n_drawn, replace=False)

    def _folds(self, kind):
        """Make scikit-learn's splitter of a kind with the parameters of this one."""
        # Given without shuffling, the seed is that of the anomalies.
        random_state = self.random_state if self.shuffle else None
        return kind(self.n_splits, shuffle=self.shuffle, random_state=random_state)

    @abstractmethod
    def _check_groups(self, groups, normal):
        """Check `groups` and return those of the normal samples."""

    @abstractmethod
    def _split_normal(self, normal, groups):
        """Yield positions in `normal` to train on and to hold out."""


class NormalKFold(_BaseNormalKFold):
    """K-fold over normal samples, with anomalies for testing only.

    The normal samples are divided into folds as :class:`~sklearn.model_selection.KFold`
    does. Each fold trains on the normal samples of the others and is tested on its own
    normal samples and on the anomalies: the protocol of section IV of [1]_, in which
    every fold meets the same anomalies.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.

    shuffle : bool, default=False
        Whether to shuffle the normal samples before dividing them: see Notes.

    random_state : int, RandomState instance or None, default=None
        Seed of shuffling and of drawing anomalies. With an int every call of `split`
        gives the same folds. Only to be given if there is something to draw.

    anomalies : float, default=1.0
        Fraction of the anomalies in each test set, in (0, 1], rounded to a whole
        number, at least one, drawn anew for each fold.

    See Also
    --------
    StratifiedNormalKFold : Each fold has the same fraction of each stratum.
    GroupNormalKFold : No group is in the training and the test set at once.

    Notes
    -----
    Shuffled folds answer how well a detector does on further samples of the lots it was
    fitted to, as of a data set that was drawn at random. They flatter it where
    neighbours are nearly equal, such as frames of a video or parts of one lot:
    :class:`GroupNormalKFold` answers how well it does on a new lot, and folds in order
    (``shuffle=False``) come near to that where the lots are not known. On solar cells
    (mono, poly) the AUROC of the default detector was 96.2 and 91.9 % in shuffled
    folds, 83.4 and 83.8 % in folds by module, and 82.7 and 83.9 % in file order.

    Labels are +1 and -1 as in scikit-learn's outlier detectors. Without `y`, or without
    anomalies in it, the test sets are the held-out normal samples, which is enough to
    check a false-positive rate.

    :class:`~sklearn.model_selection.GridSearchCV` and its kin fit the best candidate to
    all samples at the end, the anomalies included, and no splitter can prevent that.
    Give them ``refit=False`` and fit ``best_params_`` to the normal samples. Training
    scores (``return_train_score=True``) that need anomalies are undefined.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad.model_selection import NormalKFold
    >>> y = [1, 1, -1, 1, 1, -1]
    >>> for train, test in NormalKFold(n_splits=2).split(np.zeros((6, 3)), y):
    ...     print(train, test)
    [3 4] [0 1 2 5]
    [0 1] [2 3 4 5]
    """

    def _check_groups(self, groups, normal):
        if groups is not None:
            raise ValueError(
                "groups has no effect in NormalKFold. Use StratifiedNormalKFold or "
                "GroupNormalKFold, or leave it None."
            )

    def _split_normal(self, normal, groups):
        return self._folds(KFold).split(normal)


class _GroupedNormalKFold(_BaseNormalKFold):
    """Folds that read `groups`."""

    # With metadata routing, groups arrive without a request, as in sklearn.GroupKFold.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def _check_groups(self, groups, normal):
        name = type(self).__name__
        if groups is None:
            raise ValueError(
                f"{name} needs groups, one for each sample. Give groups= to split, "
                'fit or cross_validate; with metadata routing params={"groups": ...} '
                "to cross_validate."
            )
        groups = check_array(groups, input_name="groups", ensure_2d=False, dtype=None)
        if groups.ndim != 1:
            raise ValueError(
                f"groups must be of shape (n_samples,); got {groups.shape}."
            )
        self._check_counts(*np.unique(groups[normal], return_counts=True))
        return groups[normal]

    @abstractmethod
    def _check_counts(self, names, counts):
        """Check the sizes of the groups of the normal samples."""


class StratifiedNormalKFold(_GroupedNormalKFold):
    """K-fold over normal samples that keeps the fraction of each stratum.

    As :class:`NormalKFold`, with the normal samples divided as
    :class:`~sklearn.model_selection.StratifiedKFold` does: every fold trains and is
    tested on each stratum, such as a variant of a product, by its fraction of the
    normal samples. The strata are given as `groups`; those of anomalies are not used.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of normal samples of the
        smallest stratum.

    shuffle : bool, default=False
        Whether to shuffle the normal samples of each stratum before dividing them.

    random_state : int, RandomState instance or None, default=None
        Seed of shuffling and of drawing anomalies. With an int every call of `split`
        gives the same folds. Only to be given if there is something to draw.

    anomalies : float, default=1.0
        Fraction of the anomalies in each test set, in (0, 1], rounded to a whole
        number, at least one, drawn anew for each fold.

    See Also
    --------
    NormalKFold : Without strata; its notes hold here too.
    GroupNormalKFold : No group is in the training and the test set at once.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad.model_selection import StratifiedNormalKFold
    >>> y = [1, 1, 1, 1, 1, 1, -1]
    >>> variants = ["a", "a", "a", "a", "b", "b", "b"]
    >>> folds = StratifiedNormalKFold(n_splits=2)
    >>> for train, test in folds.split(np.zeros((7, 3)), y, groups=variants):
    ...     print(train, test)
    [2 3 5] [0 1 4 6]
    [0 1 4] [2 3 5 6]
    """

    def _check_counts(self, names, counts):
        smallest = np.argmin(counts)
        if counts[smallest] < self.n_splits:
            raise ValueError(
                f"Stratum {names[smallest]!s} of groups has {counts[smallest]} normal "
                f"samples, too few to have one in each of n_splits={self.n_splits} "
                "folds. Use fewer folds, or give rare strata one common name."
            )

    def _split_normal(self, normal, groups):
        # As integers, strata may be of any type, floats included.
        strata = np.unique(groups, return_inverse=True)[1]
        return self._folds(StratifiedKFold).split(normal, strata)


class GroupNormalKFold(_GroupedNormalKFold):
    """K-fold over normal samples that keeps groups together.

    As :class:`NormalKFold`, with the normal samples divided as
    :class:`~sklearn.model_selection.GroupKFold` does: the normal samples of one group,
    such as the pictures of one part or one production lot, are never in the training
    and the test set at once. So its figures are those for a new lot, where
    :class:`NormalKFold` with ``shuffle=True`` gives those for further samples of the
    same lots.

    Anomalies are tested on in every fold, those from a group that is trained on too:
    every fold meets the same anomalies, so its figures compare. If pictures of a group
    look alike, such an anomaly is scored by a detector fitted on the group, as on a
    production line that the detector was fitted on.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of groups with normal
        samples.

    shuffle : bool, default=False
        Whether to shuffle the groups before dividing them. If not, they are divided
        such that the folds are about equal in size.

    random_state : int, RandomState instance or None, default=None
        Seed of shuffling and of drawing anomalies. With an int every call of `split`
        gives the same folds. Only to be given if there is something to draw.

    anomalies : float, default=1.0
        Fraction of the anomalies in each test set, in (0, 1], rounded to a whole
        number, at least one, drawn anew for each fold.

    See Also
    --------
    NormalKFold : Without groups; its notes hold here too.
    StratifiedNormalKFold : Each fold has the same fraction of each stratum.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad.model_selection import GroupNormalKFold
    >>> y = [1, 1, 1, 1, -1, 1]
    >>> lots = [7, 7, 8, 8, 8, 9]
    >>> for train, test in GroupNormalKFold(2).split(np.zeros((6, 3)), y, groups=lots):
    ...     print(train, test)
    [0 1] [2 3 4 5]
    [2 3 5] [0 1 4]
    """

    def _check_counts(self, names, counts):
        if len(names) < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} needs at least as many groups with normal "
                f"samples; groups has {len(names)}. Use fewer folds or finer groups."
            )

    def _split_normal(self, normal, groups):
        return self._folds(GroupKFold).split(normal, groups=groups)
