"""From the feature map of a level to a vector."""

import numbers
from dataclasses import dataclass

import numpy as np

from ._ignored import LEAST_FRACTION

_STATISTICS = ("average", "max", "std")
_EXPECTED = (
    "'average', 'max', 'std', 'class_token', a positive integer g for a g x g grid, or "
    "a list of these"
)


@dataclass(frozen=True)
class Pooling:
    """One way to turn the feature map of a level into a vector.

    Attributes
    ----------
    kind : {"average", "max", "std", "class_token", "grid"}
        The statistic; ``"grid"`` is the average over each cell of a grid.
    grid : int
        Cells along each side; 1 unless the kind is ``"grid"``.
    """

    kind: str
    grid: int = 1

    def __call__(self, feature_map, prefix_tokens, weights=None):
        """Pool the maps of a batch.

        Parameters
        ----------
        feature_map : tensor of shape (n, channels, height, width)
            Float32.
        prefix_tokens : tensor of shape (n, tokens, channels) or None
            Of a vision transformer; the class token comes first.
        weights : tensor of shape (height, width) or None, default=None
            Fraction of each position that is not ignored, in [0, 1]; None for all.

        Returns
        -------
        vectors : tensor of shape (n, n_cells * channels)
            By cell (row, column), then channel. Zero for cells ignored entirely.
        """
        if self.kind == "class_token":
            return prefix_tokens[:, 0]
        if weights is not None:
            return self._pool_kept(feature_map, weights)
        if self.kind == "average":
            return feature_map.mean(dim=(2, 3))
        if self.kind == "max":
            return feature_map.amax(dim=(2, 3))
        if self.kind == "std":
            return feature_map.std(dim=(2, 3), correction=0)
        from torch.nn.functional import adaptive_avg_pool2d

        cells = adaptive_avg_pool2d(feature_map, self.grid)
        return cells.permute(0, 2, 3, 1).flatten(1)

    def _pool_kept(self, feature_map, weights):
        """Pool with weights of the positions."""
        if self.kind == "max":
            is_ignored = weights < LEAST_FRACTION
            return feature_map.masked_fill(is_ignored, float("-inf")).amax(dim=(2, 3))
        if self.kind == "std":
            mean = _weighted_mean(feature_map, weights)[:, :, None, None]
            return _weighted_mean((feature_map - mean) ** 2, weights).sqrt()
        import torch

        cells = self.cells(*weights.shape)
        return torch.cat(
            [
                _weighted_mean(feature_map[(..., *cell)], weights[cell])
                for cell in cells
            ],
            dim=1,
        )

    @property
    def n_cells(self):
        """Number of cells, each with one value per channel."""
        return self.grid**2

    def cells(self, height, width):
        """Return the rows and columns of each cell of a map as a pair of slices."""
        # A cell has every position that it touches, as in adaptive pooling.
        rows, columns = (
            [
                slice(cell * size // self.grid, -(-(cell + 1) * size // self.grid))
                for cell in range(self.grid)
            ]
            for size in (height, width)
        )
        return [(row, column) for row in rows for column in columns]

    def check(self, level, height, width, has_class_token, weights=None):
        """Raise unless the pooling applies to a level.

        Parameters
        ----------
        level : int
            For the message.
        height, width : int
            Size of its feature map, in positions.
        has_class_token : bool
        weights : ndarray of shape (height, width) or None, default=None
            Fraction of each position that is not ignored, in [0, 1]; None for all.

        Raises
        ------
        ValueError
            If the grid is finer than the map, there is no class token, or too much is
            ignored for the maximum.
        """
        if self.kind == "grid" and self.grid > min(height, width):
            raise ValueError(
                f"pooling={self.grid} asks for a grid of {self.grid} x {self.grid} "
                f"cells, but the feature map of level {level} has only {height} x "
                f"{width} positions. Use a coarser grid, such as pooling="
                f"{min(height, width)}, a shallower level or a larger image_size."
            )
        if self.kind == "class_token" and not has_class_token:
            raise ValueError(
                f"pooling='class_token' needs a backbone with a class token, and level "
                f"{level} of this one has none. Use 'average', or a vision transformer "
                "such as 'vit_small_patch16_224'."
            )
        is_kept = True if weights is None else weights >= LEAST_FRACTION
        if self.kind == "max" and not np.any(is_kept):
            raise ValueError(
                f"ignore leaves no position of the feature map of level {level} with "
                f"at least {LEAST_FRACTION:.0%} of its area, for pooling='max'. Ignore "
                "less, or use a shallower level, a larger image_size or 'average'."
            )

    def names(self, level, n_channels):
        """Return the names of the features, such as ``level7_0012``."""
        cells = [f"{self.kind}_"]
        if self.kind == "average":
            cells = [""]
        elif self.kind == "grid":
            positions = range(self.grid)
            cells = [
                f"grid{self.grid}_r{row}c{column}_"
                for row in positions
                for column in positions
            ]
        return [
            f"level{level}_{cell}{channel:04d}"
            for cell in cells
            for channel in range(n_channels)
        ]


def _weighted_mean(values, weights):
    """Return the weighted mean over positions, of shape (n, channels)."""
    import torch

    # Zero where all weights are.
    total = weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
    return torch.einsum("nchw,hw->nc", values, weights / total)


def resolve_pooling(pooling):
    """Turn the parameter ``pooling`` into a tuple of `Pooling`, in the order given."""
    single = isinstance(pooling, str | numbers.Number)
    try:
        entries = [pooling] if single else list(pooling)
    except TypeError:
        raise ValueError(f"pooling must be {_EXPECTED}; got {pooling!r}.") from None
    poolings = []
    for entry in entries:
        is_integer = isinstance(entry, numbers.Integral) and not isinstance(entry, bool)
        if is_integer and entry >= 1:
            found = Pooling("grid", int(entry))
        elif isinstance(entry, str) and entry in (*_STATISTICS, "class_token"):
            found = Pooling(entry)
        else:
            raise ValueError(f"pooling must be {_EXPECTED}; got {entry!r}.")
        if found in poolings:
            raise ValueError(f"pooling holds {entry!r} twice; give each once.")
        poolings.append(found)
    if not poolings:
        raise ValueError(f"pooling must be {_EXPECTED}; got an empty list.")
    return tuple(poolings)
