"""The table of scores that the command line and Dask workers write."""

import os

# Names in order, with their types in Arrow and pandas.
COLUMNS = {
    "path": "string",
    "distance": "float64",
    "threshold_ratio": "float64",
    "p_value": "float64",
    "label": "int8",
    "error": "string",
}


def score_rows(paths, distances, threshold, p_values=None, errors=None):
    """Make the rows of a table of scores.

    Parameters
    ----------
    paths : list of str
    distances : ndarray of shape (n_images,)
        Minus the scores.
    threshold : float
        On the distance.
    p_values : ndarray of shape (n_images,) or None, default=None
        None where the detector has none.
    errors : dict of {int: str} or None, default=None
        Position and problem of images that cannot be used; only path and error are
        given in their rows.

    Returns
    -------
    rows : list of dict
        With the keys of `COLUMNS`, and None for missing values.
    """
    errors = {} if errors is None else errors
    missing = dict.fromkeys(COLUMNS)
    rows = []
    for index, path in enumerate(paths):
        row = {**missing, "path": path_to_text(path), "error": errors.get(index)}
        if index not in errors:
            distance = float(distances[index])
            row["distance"] = distance
            # Of a negative threshold, as of OneClassSVM, a ratio has no meaning.
            if threshold > 0:
                row["threshold_ratio"] = distance / threshold
            if p_values is not None:
                row["p_value"] = float(p_values[index])
            # As predict does, also where either is NaN.
            row["label"] = 1 if threshold - distance >= 0 else -1
        rows.append(row)
    return rows


def path_to_text(path):
    r"""Return a path as text: bytes that are none become ``\xff`` and the like."""
    try:
        content = os.fsencode(path)
    except UnicodeEncodeError:
        content = os.fspath(path).encode("utf-8", "backslashreplace")
    return content.decode("utf-8", "backslashreplace")


def arrow_schema():
    """Return the columns as a schema of Arrow."""
    import pyarrow

    return pyarrow.schema(
        [(name, pyarrow.type_for_alias(kind)) for name, kind in COLUMNS.items()]
    )
