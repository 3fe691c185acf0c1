"""Labels of samples: normal or anomalous, and names of lots, products and so on."""

import re

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d


def check_labels(name, labels):
    """Return labels as integers; raise ValueError unless all are +1 or -1."""
    labels = column_or_1d(np.asarray(labels))
    found = set(labels.tolist())
    # True equals 1, so booleans would pass for labels of normal samples.
    if labels.dtype == bool or not found <= {1, -1}:
        message = (
            f"{name} must hold +1 for normal and -1 for anomalous samples only; got "
            f"{', '.join(sorted(map(repr, found))[:5])}."
        )
        if found <= {0, 1}:
            message += (
                f" Where 1 marks anomalies, give np.where({name} == 1, -1, 1); where "
                f"it marks normal samples, give np.where({name} == 1, 1, -1)."
            )
        raise ValueError(message)
    return labels.astype(int)


def check_present(name, labels):
    """Raise ValueError where a label is None, NaN, NaT, NA, masked or blank."""
    if isinstance(labels, np.ma.MaskedArray):
        labels = np.where(np.ma.getmaskarray(labels), None, labels.data.astype(object))
    elif not isinstance(labels, list | tuple):
        labels = np.asarray(labels, dtype=object).ravel()
    for row, label in enumerate(labels):
        try:
            # NaN and NaT are equal to none, themselves included.
            is_missing = (
                label is None
                or label is np.ma.masked
                or bool(label != label)
                or is_blank(label)
            )
        except (TypeError, ValueError):
            # Nobody knows whether NA is equal to NA.
            is_missing = True
        if is_missing:
            raise ValueError(
                f"{name}[{row}] is missing: {label!r}. Give each sample a label, or "
                "leave the sample out."
            )


def is_blank(label):
    """Whether a label is text of nothing but blanks."""
    return isinstance(label, str) and not label.strip()


def number_labels(name, labels, X):
    """Return the different labels of samples, sorted, and the number of each one's.

    Raises
    ------
    ValueError
        If there are not as many as rows of `X`, or one is missing, or they cannot be
        sorted.
    """
    check_present(name, labels)
    labels = column_or_1d(labels)
    check_consistent_length(X, labels)
    try:
        return np.unique(labels, return_inverse=True)
    except TypeError:
        kinds = ", ".join(sorted({type(label).__name__ for label in labels}))
        raise ValueError(
            f"{name} must hold labels of one type that can be sorted; got {kinds}."
        ) from None


def name_positions(message, names):
    """Replace positions of samples in a warning, such as X[3], by their names."""
    return re.sub(r"X\[(\d+)\]", lambda found: names[int(found[1])], str(message))
