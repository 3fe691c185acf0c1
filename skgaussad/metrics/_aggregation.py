"""Mean and standard error over the categories of a benchmark."""

import numpy as np
from sklearn.utils import check_array


def mean_and_sem(values):
    """Mean and standard error of the mean over categories, as in the paper's tables.

    The folds of each category are averaged first. The standard error is that of the
    category means: their standard deviation, with denominator n_categories - 1,
    divided by the square root of n_categories.

    Parameters
    ----------
    values : array-like of shape (n_categories, n_folds), or dict
        A figure such as the AUROC for each fold of each category, in any unit. A dict
        takes the name of a category to its figures of shape (n_folds,); the number of
        folds may differ.

    Returns
    -------
    mean : float
        In the unit of `values`.
    sem : float
        The standard error, in the same unit.

    Raises
    ------
    ValueError
        If there are fewer than two categories, a category has no fold, or a figure is
        not finite.

    Notes
    -----
    The paper [1]_ reports mean and standard error over categories and folds and gives
    no formula. Its table VIII lists the figures of 15 categories and the rows ``Mean``
    and ``SEM``. With this function all ten standard errors follow from the columns to
    the printed digit, and the means as far as the rounding of the figures allows. With
    denominator n_categories, six of the ten standard errors do not follow. If the 75
    pairs of a category and a fold counted as independent samples, the standard errors
    would be about half of those printed.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> from skgaussad.metrics import mean_and_sem
    >>> mean_and_sem({"mono": [93.0, 95.0], "poly": [89.0, 91.0]})
    (92.0, 2.0)
    """
    if isinstance(values, dict):
        means = [_mean_of(name, folds) for name, folds in values.items()]
    else:
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 2:
            raise ValueError(
                "values must be of shape (n_categories, n_folds) or a dict of category "
                f"to figures; got shape {values.shape}. With one figure for each "
                "category, give an array with one column."
            )
        means = [_mean_of(number, folds) for number, folds in enumerate(values)]
    if len(means) < 2:
        raise ValueError(
            "A standard error over categories needs at least 2 of them; values has "
            f"{len(means)}."
        )
    sem = np.std(means, ddof=1) / np.sqrt(len(means))
    return float(np.mean(means)), float(sem)


def _mean_of(category, folds):
    folds = check_array(
        folds,
        dtype=np.float64,
        ensure_2d=False,
        input_name=f"values[{category!r}]",
    )
    if folds.ndim != 1:
        raise ValueError(
            f"values[{category!r}] must be of shape (n_folds,); got {folds.shape}."
        )
    return folds.mean()
