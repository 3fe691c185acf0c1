"""From feature maps to features, distances and p-values, as nodes of a graph."""

import numpy as np

from ..detectors import count_top
from ..features import LEAST_FRACTION

# Distributions with a finite endpoint give 0 beyond it, and p-values are positive.
_LEAST_P_VALUE = float(np.finfo(float).tiny)
_LOWEST = np.float32("-inf")


def pool(part, feature_map, class_token, weights):
    """Pool the feature map of a level, as `Pooling` does.

    Parameters
    ----------
    part : Part
    feature_map : Value of shape (n, channels, height, width)
    class_token : Value of shape (n, channels) or None
    weights : ndarray of shape (height, width)
        Fraction of each position that is not ignored, in [0, 1].

    Returns
    -------
    features : Value of shape (n, part.width)
        Float32.
    """
    graph, kind = feature_map.graph, part.pooling.kind
    if kind == "class_token":
        return class_token
    if kind == "max":
        counted = graph.op("Where", weights >= LEAST_FRACTION, feature_map, _LOWEST)
        return graph.op("ReduceMax", counted, np.array([2, 3]), keepdims=0)
    if kind == "std":
        weights = (weights / weights.sum()).astype(np.float32)
        mean = (feature_map * weights).sum(2, 3).expand_dims(2, 3)
        centred = feature_map - mean
        return graph.op("Sqrt", (centred * centred * weights).sum(2, 3))
    if kind == "average" and (weights == 1).all():
        return graph.op("ReduceMean", feature_map, np.array([2, 3]), keepdims=0)
    in_cells = graph.constant(cell_weights(part, weights).astype(np.float32))
    positions = feature_map.reshape(0, 0, -1).transpose(0, 2, 1)
    return (in_cells @ positions).reshape(0, -1)


def cell_weights(part, weights):
    """Weight of each position in the mean of each cell.

    Parameters
    ----------
    part : Part
        An average (one cell) or a grid.
    weights : ndarray of shape (height, width)
        Fraction of each position that is not ignored, in [0, 1].

    Returns
    -------
    in_cells : ndarray of shape (n_cells, height * width)
        Rows sum to 1, those of cells ignored entirely to 0.
    """
    cells = part.pooling.cells(*weights.shape)
    in_cells = np.zeros((len(cells), *weights.shape))
    for in_cell, cell in zip(in_cells, cells, strict=True):
        in_cell[cell] = weights[cell] / (weights[cell].sum() or 1)
    return in_cells.reshape(len(cells), -1)


class DistanceNodes:
    """The distance of images to one Gaussian, and its gradient.

    Parameters
    ----------
    features : Value of shape (n, n_features)
        Float64.
    gaussian : Gaussian

    Attributes
    ----------
    squared : Value of shape (n,)
        Squared Mahalanobis distances.
    """

    def __init__(self, features, gaussian):
        graph = features.graph
        self._gaussian = gaussian
        own = features.take(gaussian.columns, axis=1)
        self._matrix = None
        if gaussian.matrix is not None:
            self._matrix = graph.constant(gaussian.matrix)
            own = own.times_transposed(self._matrix)
        self._centred = own - gaussian.center
        self._axes = None
        if len(gaussian.terms) == 1:
            (weights,) = gaussian.terms
            self.squared = self._centred * self._centred @ weights
            return
        axes, along, *rest = gaussian.terms
        self._axes = graph.constant(axes)
        self._coordinates = self._centred.times_transposed(self._axes)
        self.squared = (self._coordinates * self._coordinates) @ along
        if rest:
            taken, elsewhere = rest
            self._left = self._centred - (self._coordinates * taken) @ self._axes
            self.squared = self.squared + (self._left * self._left) @ elsewhere

    def gradient(self):
        """Compute h with (x - source)' h being the squared distance.

        Returns
        -------
        gradient : Value of shape (n, n_columns)
        """
        solved = self._solve()
        return solved if self._matrix is None else solved @ self._matrix

    def _solve(self):
        if self._axes is None:
            return self._centred * self._gaussian.terms[0]
        _, along, *rest = self._gaussian.terms
        solved = (self._coordinates * along) @ self._axes
        if rest:
            taken, elsewhere = rest
            # Orthogonalized again, as in Gaussian.solve.
            again = self._left.times_transposed(self._axes) * taken
            solved = solved + (self._left - again @ self._axes) * elsewhere
        return solved


def aggregate(distances, how, top_fraction):
    """Aggregate the distances of groups.

    Parameters
    ----------
    distances : list of Value of shape (n,)
    how : {"sum", "mean", "max", "top"}
    top_fraction : float

    Returns
    -------
    aggregated : Value of shape (n,)
    weights : Value of shape (n, n_groups), or float
        The aggregated distance is the weighted sum of the distances.
    """
    graph, n_groups = distances[0].graph, len(distances)
    columns = [distance.expand_dims(1) for distance in distances]
    table = graph.op("Concat", *columns, axis=1)
    if how == "sum":
        return table.sum(1), 1.0
    n_used = {"mean": n_groups, "max": 1}.get(how) or count_top(n_groups, top_fraction)
    highest, groups = graph.op("TopK", table, np.array([n_used]), n_outputs=2, axis=1)
    used = graph.op("Equal", groups.expand_dims(2), np.arange(n_groups))
    weights = used.cast(np.float64).sum(1) / float(n_used)
    return highest.sum(1) / float(n_used), weights


def p_values(distances, held_out):
    """Compute conformal p-values, as `HeldOutDistances.p_values` does.

    Parameters
    ----------
    distances : Value of shape (n,)
    held_out : HeldOutDistances

    Returns
    -------
    p_values : Value of shape (n,)
        Float64.
    """
    graph = distances.graph
    ordered, from_each = held_out._sorted
    column = distances.expand_dims(1)
    at_least = (graph.constant(ordered) >= column).cast(np.float64)
    counted = at_least @ -np.diff(from_each)
    found = (counted + 1.0) / float(held_out.n_units + 1)
    found = graph.op("Min", found, 1.0)
    if held_out.tail is None:
        return found
    rates = graph.op("Max", _tail_rates(column, held_out.tail), _LEAST_P_VALUE)
    beyond = distances > float(ordered[-1])
    return graph.op("Where", beyond, graph.op("Min", found, rates), found)


def _tail_rates(column, tail):
    """Rate of normal samples beyond distances, as `GeneralizedParetoTail.rate`."""
    graph = column.graph
    growth = (column - tail.start) * (tail.shapes / tail.scales)
    growth = graph.op("Max", growth, -1.0)
    survival = graph.op("Exp", graph.op("Log", growth + 1.0) * (-1 / tail.shapes))
    return (survival @ tail.weights) * tail.mass
