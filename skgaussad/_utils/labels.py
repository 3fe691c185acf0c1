"""Labels of normal and anomalous samples."""

import numpy as np
from sklearn.utils.validation import column_or_1d


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
