"""Which columns of the features belong together."""

import re

import numpy as np

_HOW_TO_NAME = (
    "Give the features names with DeepFeatureTransformer().set_output("
    "transform='pandas'), or build the whole pipeline with make_detector(), or "
    "name the columns yourself: columns={'level6': slice(0, 112), ...}, for example "
    "the level_slices_ of a fitted DeepFeatureTransformer."
)
# As DeepFeatureTransformer names its output: level7_0012, level7_grid2_r0c1_0012.
_NAME = re.compile(r"(?P<cell>(?P<level>level\d+)(?:_\w+)?)_\d+")


def resolve_columns(columns, n_features, feature_names):
    """Turn the parameter ``columns`` into groups of column indices.

    Parameters
    ----------
    columns : {"level", "cell"} or dict of {object: slice or array-like of int}
        ``"level"`` and ``"cell"`` read the groups from the feature names.
    n_features : int
    feature_names : sequence of str or None

    Returns
    -------
    groups : dict of {str: ndarray of int}
        In the order of first appearance.

    Raises
    ------
    ValueError
        If the names are missing or do not tell, or a group is empty or out of range.
    """
    if isinstance(columns, str) and columns in ("level", "cell"):
        return _groups_from_names(columns, feature_names)
    if not isinstance(columns, dict) or not columns:
        raise ValueError(
            "columns must be 'level', 'cell' or a dict from group names to slices or "
            f"column indices; got {columns!r}."
        )
    groups = {}
    for name, part in columns.items():
        try:
            indices = np.arange(n_features)[part]
        except (IndexError, TypeError):
            indices = np.empty(0, dtype=int)
        if np.ndim(indices) != 1 or not len(indices):
            raise ValueError(
                f"columns[{name!r}] must be a slice or a list of indices of at least "
                f"one of the {n_features} features; got {part!r}."
            )
        groups[str(name)] = indices
    return groups


def _groups_from_names(kind, feature_names):
    if feature_names is None:
        raise ValueError(
            f"columns={kind!r} finds the levels by the names of the features, and X "
            f"has no names. {_HOW_TO_NAME}"
        )
    groups = {}
    for index, name in enumerate(feature_names):
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(
                f"columns={kind!r} finds the levels by names such as 'level7_0012', "
                f"and feature {index} is called {name!r}. {_HOW_TO_NAME}"
            )
        groups.setdefault(match[kind], []).append(index)
    return {name: np.array(indices) for name, indices in groups.items()}
