"""Which columns of the features belong together."""

import math
import numbers
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
_PLACE = re.compile(r"(grid\d+_)?r(?P<row>\d+)c(?P<column>\d+)")
_CELL = re.compile(r"(?P<level>level\d+)_(?P<place>(?P<grid>grid\d+)_r\d+c\d+)_\d+")


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


def resolve_cells(cells, n_features, feature_names):
    """Turn the parameter ``cells`` into cells of as many columns each.

    Parameters
    ----------
    cells : "auto", int or dict of {object: slice or array-like of int}
        ``"auto"`` reads them from the feature names.
    n_features : int
    feature_names : sequence of str or None

    Returns
    -------
    columns : dict of {str: ndarray of int}
        Of each cell, which together are all columns once.
    levels : ndarray of shape (n_features,)
        Name of the level of each column; all alike where names do not tell.

    Raises
    ------
    ValueError
        If the names are missing or do not tell, or the cells do not have as many
        columns each, of all once.
    """
    levels = np.full(n_features, "")
    if isinstance(cells, str) and cells == "auto":
        columns, levels = _cells_from_names(feature_names)
    elif isinstance(cells, numbers.Integral) and not isinstance(cells, bool):
        if cells < 1 or n_features % cells:
            raise ValueError(
                f"cells={cells} does not divide the {n_features} features into cells "
                "of as many columns each. Give the number of cells of the grid, such "
                "as 49 for pooling=7."
            )
        parts = np.arange(n_features).reshape(cells, -1)
        columns = dict(zip(_number_cells(cells), parts, strict=True))
    elif isinstance(cells, dict):
        columns = resolve_columns(cells, n_features, feature_names)
    else:
        raise ValueError(
            "cells must be 'auto', a number of cells or a dict from names of cells to "
            f"slices or column indices; got {cells!r}."
        )
    columns = {name: np.asarray(part) for name, part in columns.items()}
    widths = {len(part) for part in columns.values()}
    together = np.sort(np.concatenate(list(columns.values())))
    if len(widths) > 1 or not np.array_equal(together, np.arange(n_features)):
        raise ValueError(
            "cells must have as many columns each, and all columns once; got cells of "
            f"{', '.join(map(str, sorted(widths)))} columns, {len(together)} in all "
            f"with {n_features} features. Pool all levels on one grid."
        )
    return columns, levels


def _cells_from_names(feature_names):
    """Return the columns of each cell, and the level of each column, by the names."""
    if feature_names is None:
        raise ValueError(
            "cells='auto' finds the cells by the names of the features, and X has "
            "no names. Build the whole pipeline with make_detector(), give the "
            "features names with DeepFeatureTransformer(pooling=7).set_output("
            "transform='pandas'), or give the number of cells, such as cells=49 "
            "for the 7 x 7 grid of one level."
        )
    matches = [_CELL.fullmatch(name) for name in feature_names]
    if None in matches:
        index = matches.index(None)
        raise ValueError(
            "cells='auto' finds the cells by names such as 'level6_grid7_r0c1_0012'"
            f", and feature {index} is called {feature_names[index]!r}. Set "
            "pooling=7 of the DeepFeatureTransformer, for a 7 x 7 grid, with no "
            "reduction after it, or tell the columns of each cell: cells={'r0c0': "
            "slice(0, 112), ...}."
        )
    levels = np.array([match["level"] for match in matches])
    grids = sorted({match["grid"] for match in matches})
    if len(grids) > 1:
        raise ValueError(
            f"cells='auto' takes the cells of one grid, and the features are of "
            f"{', '.join(grids)}. Pool on one of them, or tell the columns of each "
            "cell."
        )
    columns = {}
    for index, match in enumerate(matches):
        columns.setdefault(match["place"], []).append(index)
    return columns, levels


def _number_cells(n_cells):
    """Name cells in reading order, as those of a square grid where they can be."""
    side = math.isqrt(n_cells)
    if side**2 != n_cells:
        return [f"cell{index}" for index in range(n_cells)]
    return [f"r{row}c{column}" for row in range(side) for column in range(side)]


def place_cells(names):
    """Return row and column of cells, ndarray of shape (n_cells, 2), by their names.

    Raises
    ------
    ValueError
        If the names do not tell, or two cells have one place.
    """
    matches = [_PLACE.fullmatch(name) for name in names]
    places = {(int(match["row"]), int(match["column"])) for match in matches if match}
    if len(places) < len(names):
        raise ValueError(
            "The cells have no places on one grid, so there is no map of them: they "
            f"are called {', '.join(map(repr, names[:3]))}, .... Pool the features on "
            "one grid, or call the cells 'r0c0', 'r0c1' and so on."
        )
    return np.array([(int(match["row"]), int(match["column"])) for match in matches])
