"""Images with their anomaly maps and the masks of their defects."""

import math
import os

import numpy as np

from .._utils.validation import check_choice, check_integer, check_real
from ..detectors import find_max_value
from ..features import as_image_sequence, decode_image
from ._anomaly_maps import anomaly_maps, map_meaning
from ._base import BaseDisplay
from ._map_colors import COLORS, in_grey, limit_of, map_norm, opacity, ticks_of
from ._matplotlib import check_matplotlib

_EXPLANATIONS = {
    "contribution": "contribution to the distance\n"
    "(an image of which all is 1\n"
    "is at the threshold)",
    "tile": "contribution to the distance\n"
    "of a tile (a tile of which all is 1\n"
    "is at the threshold)",
    "position": "distance of a position, in thresholds\n"
    "(an image with a position above 1\nis flagged)",
    "cell": "residual of a cell, in thresholds\n"
    "(an image is flagged if the mean\n"
    "of its highest cells is above 1)",
    None: "anomaly score of a place",
}
_MEANINGS = ("contribution", "tile", "position", "cell")
# In inches: the width of an image, and of the colour bar without and with its text.
_TILE = 1.8
_COLOR_BAR = 0.2
_COLOR_BAR_WITH_TEXT = 1.6
# Height of the colour bar in widths of it.
_COLOR_BAR_ASPECT = 18


class AnomalyMapDisplay(BaseDisplay):
    """Images, and below each its anomaly map and, if given, the mask of its defects.

    The map lies over the image, which is grey. One scale holds for all maps, so that a
    colour means the same in every image and in every picture: nothing is coloured up to
    0.5, the white line is at 1, which :func:`anomaly_maps` ties to the threshold, and
    from there on the scale is nearly logarithmic.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`; all parameters
    become attributes.

    Parameters
    ----------
    images : list of n_images ndarrays of shape (height, width, 1) or (height, width, 3)
        Uint8, or floats in [0, 1].

    maps : list of n_images ndarrays of shape (height, width)
        Higher is more anomalous.

    masks : list of n_images ndarrays of shape (height, width) or None, dtype bool, \
            default=None
        True where a defect is, in the size of the image. None for normal images; None
        instead of the list draws no masks.

    titles : list of n_images str or None, default=None
        Titles of the images.

    meaning : {"contribution", "tile", "position"} or None, default=None
        Where the maps come from, for the colour bar: :func:`anomaly_maps`, the same of
        a :class:`~skgaussad.TiledDetector`, a :class:`~skgaussad.PositionDetector`, or
        elsewhere.

    Attributes
    ----------
    axes_ : ndarray of shape (n_rows, n_columns), dtype object
        The matplotlib Axes: a row of images, below it one of their maps and one of
        their masks, and so on for the next images. None where there is no image.

    map_images_ : list of n_images matplotlib AxesImage
        The maps as drawn.

    contours_ : list of n_images matplotlib QuadContourSet or None
        The lines at 1; None where a map does not cross it. Empty without a `meaning`.

    color_bar_ : matplotlib Colorbar
        The scale.

    ax_ : matplotlib Axes
        The axes that the grid replaces.

    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    anomaly_maps : The maps.
    skgaussad.metrics.per_region_overlap : Compares maps with masks.

    Examples
    --------
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn.utils import shuffle
    >>> from skgaussad import DeepFeatureTransformer, MahalanobisDetector
    >>> from skgaussad.datasets import load_solar_cells
    >>> from skgaussad.inspection import AnomalyMapDisplay
    >>> cells = load_solar_cells("mono")
    >>> good = shuffle(cells.paths[cells.labels == 1], random_state=0)
    >>> bad = cells.paths[cells.labels == -1]
    >>> pipe = Pipeline(
    ...     [
    ...         ("features", DeepFeatureTransformer(levels=7, image_size=96)),
    ...         ("detector", MahalanobisDetector()),
    ...     ]
    ... ).fit(good[:40])
    >>> display = AnomalyMapDisplay.from_estimator(pipe, bad[:3])
    >>> display.axes_.shape
    (2, 3)
    """

    def __init__(self, *, images, maps, masks=None, titles=None, meaning=None):
        self.images = images
        self.maps = maps
        self.masks = masks
        self.titles = titles
        self.meaning = meaning

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        masks=None,
        titles=None,
        ax=None,
        n_columns=6,
        limit=None,
        **kwargs,
    ):
        """Draw the anomaly maps of a detector.

        Parameters
        ----------
        estimator : Pipeline, meta-estimator around one, or PositionDetector
            Fitted. The maps are those of :func:`anomaly_maps`, or the detector's own
            where it has a method of that name.
        X : sequence of n_images images
            As the pipeline takes them.
        masks : sequence of n_images masks or None, default=None
            Where the defects are: a path, or an array of booleans or of numbers, not
            zero in a defect, of the size of the image. None for a normal image.
        titles : sequence of n_images str or None, default=None
            Titles of the images, such as their types of defect.
        ax : matplotlib Axes or None, default=None
            Axes to replace, one of a grid of subplots; None makes a new figure.
        n_columns : int, default=6
            Most images side by side.
        limit : float or None, default=None
            Value at the end of the colour scale, more than 1. None is 60 for
            contributions, which grow with the square of the distance, and 10 for other
            maps.
        **kwargs : dict
            Passed to matplotlib's ``imshow`` for the maps.

        Returns
        -------
        display : AnomalyMapDisplay

        Raises
        ------
        ValueError
            If the pipeline has no maps, or its threshold is not finite.
        InvalidImageError
            If an image cannot be used.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        images = as_image_sequence(X)
        return cls._draw(
            images,
            anomaly_maps(estimator, images),
            masks=masks,
            titles=titles,
            meaning=map_meaning(estimator),
            max_value=find_max_value(estimator),
            ax=ax,
            n_columns=n_columns,
            limit=limit,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        images,
        maps,
        *,
        masks=None,
        titles=None,
        meaning="contribution",
        ax=None,
        n_columns=6,
        limit=None,
        **kwargs,
    ):
        """Draw maps.

        Parameters
        ----------
        images : sequence of n_images images
            As pipelines of this package take them.
        maps : sequence of n_images array-likes of shape (height, width)
            Of any size, such as what :func:`anomaly_maps` returns. Higher is more
            anomalous.
        masks : sequence of n_images masks or None, default=None
            Where the defects are: a path, or an array of booleans or of numbers, not
            zero in a defect, of the size of the image. None for a normal image.
        titles : sequence of n_images str or None, default=None
            Titles of the images, such as their types of defect.
        meaning : {"contribution", "tile", "position", "cell"} or None, \
                default="contribution"
            Where the maps come from, for the colour bar: :func:`anomaly_maps` of pooled
            features, the same of a :class:`~skgaussad.TiledDetector`, a
            :class:`~skgaussad.PositionDetector`, a
            :class:`~skgaussad.CellwiseMahalanobisDetector` (also in tiles), or
            elsewhere, where 1 has no meaning.
        ax : matplotlib Axes or None, default=None
            Axes to replace, one of a grid of subplots; None makes a new figure.
        n_columns : int, default=6
            Most images side by side.
        limit : float or None, default=None
            Value at the end of the colour scale, more than 1. None is 60 for
            contributions, which grow with the square of the distance, and 10 for other
            maps.
        **kwargs : dict
            Passed to matplotlib's ``imshow`` for the maps.

        Returns
        -------
        display : AnomalyMapDisplay

        Raises
        ------
        ValueError
            If lengths or the sizes of masks and images differ, a map is not
            two-dimensional and finite, or `meaning` is none of its choices.
        InvalidImageError
            If an image cannot be used.
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        if meaning is not None:
            check_choice("meaning", meaning, _MEANINGS)
        return cls._draw(
            as_image_sequence(images),
            maps,
            masks=masks,
            titles=titles,
            meaning=meaning,
            ax=ax,
            n_columns=n_columns,
            limit=limit,
            **kwargs,
        )

    @classmethod
    def _draw(cls, images, maps, *, masks, titles, meaning, max_value=None, **kwargs):
        """Check lengths and sizes, and draw."""
        for name, items in (("maps", maps), ("masks", masks), ("titles", titles)):
            if items is not None and len(items) != len(images):
                raise ValueError(
                    f"{name} must have an item for each of the {len(images)} images; "
                    f"got {len(items)}."
                )
        maps = [_check_map(index, of_image) for index, of_image in enumerate(maps)]
        images = [
            decode_image(images, index, max_value) for index in range(len(images))
        ]
        if masks is not None:
            masks = [
                _read_mask(index, mask, image.shape[:2])
                for index, (mask, image) in enumerate(zip(masks, images, strict=True))
            ]
        display = cls(
            images=images,
            maps=maps,
            masks=masks,
            titles=None if titles is None else [str(title) for title in titles],
            meaning=meaning,
        )
        return display.plot(**kwargs)

    def plot(self, ax=None, *, n_columns=6, limit=None, **kwargs):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to replace, one of a grid of subplots; None makes a new figure.
        n_columns : int, default=6
            Most images side by side.
        limit : float or None, default=None
            Value at the end of the colour scale, more than 1. None is 60 for
            contributions, which grow with the square of the distance, and 10 for other
            maps.
        **kwargs : dict
            Passed to matplotlib's ``imshow`` for the maps.

        Returns
        -------
        display : AnomalyMapDisplay
            Itself.
        """
        check_integer("n_columns", n_columns, 1)
        if limit is None:
            limit = limit_of(self.meaning)
        check_real("limit", limit, 1, np.inf)
        if ax is not None and ax.get_subplotspec() is None:
            raise ValueError(
                "ax must be one of a grid, as plt.subplots makes them, which can be "
                "divided for the images. Give such axes, or ax=None for a new figure."
            )
        self._draw_on(ax)
        self.ax_.set_axis_off()
        self._make_axes(n_columns, is_new=ax is None)
        style = {"cmap": COLORS, "norm": map_norm(limit)}
        self.map_images_, self.contours_ = [], []
        for index, (image, values) in enumerate(
            zip(self.images, self.maps, strict=True)
        ):
            ax_image, ax_map, *ax_mask = self._axes_of(index)
            height, width = image.shape[:2]
            # In pixels of the image, whatever the size of the map.
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            ax_image.imshow(image, cmap="gray", vmin=0, vmax=_white(image))
            if self.titles is not None:
                ax_image.set_title(self.titles[index], fontsize="medium")
            ax_map.imshow(in_grey(image), cmap="gray", vmin=0, vmax=1)
            over = {"extent": extent, "alpha": opacity(values)}
            drawn = ax_map.imshow(values, **(style | over | kwargs))
            self.map_images_.append(drawn)
            if self.meaning is not None:
                self.contours_.append(_draw_contour(ax_map, values, extent))
            for of_mask in ax_mask:
                mask = self.masks[index]
                mask = np.zeros((height, width), bool) if mask is None else mask
                of_mask.imshow(mask, cmap="gray", vmin=0, vmax=1)
        self._draw_color_bar(drawn, limit)
        return self

    def _make_axes(self, n_columns, is_new):
        """Divide the place of ``ax_``."""
        rows = ["image", "map"] + ["mask"] * (self.masks is not None)
        self._n_kinds = len(rows)
        n_images = len(self.images)
        n_blocks = math.ceil(n_images / n_columns)
        n_columns = math.ceil(n_images / n_blocks)
        n_rows = self._n_kinds * n_blocks
        if is_new:
            height, width = np.median([i.shape[:2] for i in self.images], axis=0)
            self.figure_.set_size_inches(
                _TILE * n_columns + _COLOR_BAR_WITH_TEXT,
                max(_TILE * height / width * n_rows, 2 * _TILE),
            )
        place = self.ax_.get_subplotspec()
        left, self._color_bar_place = place.subgridspec(
            1, 2, width_ratios=[_TILE * n_columns, _COLOR_BAR]
        )
        grid = left.subgridspec(n_rows, n_columns)
        self.axes_ = np.full((n_rows, n_columns), None)
        for index in range(n_images):
            block, column = divmod(index, n_columns)
            for kind, label in enumerate(rows):
                row = block * self._n_kinds + kind
                ax = self.figure_.add_subplot(grid[row, column])
                ax.set(xticks=[], yticks=[])
                if column == 0:
                    ax.set_ylabel(label)
                self.axes_[row, column] = ax

    def _axes_of(self, index):
        block, column = divmod(index, self.axes_.shape[1])
        first = block * self._n_kinds
        return self.axes_[first : first + self._n_kinds, column]

    def _draw_color_bar(self, drawn, limit):
        # In a place of its own: taken from the axes of images, which keep their aspect,
        # it would push their labels out of the figure.
        ax = self.figure_.add_subplot(self._color_bar_place)
        ax.set_box_aspect(_COLOR_BAR_ASPECT)
        self.color_bar_ = self.figure_.colorbar(
            drawn,
            cax=ax,
            extend="both",
            ticks=ticks_of(limit),
            label=_EXPLANATIONS[self.meaning],
        )
        if self.meaning is not None:
            self.color_bar_.ax.axhline(1, color="white", linewidth=1.5)


def _check_map(index, values):
    values = np.asarray(values)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(
            f"maps[{index}] must be of shape (height, width) and finite; got shape "
            f"{values.shape}{'' if values.ndim != 2 else ' with other values'}."
        )
    return values


def _read_mask(index, mask, size):
    """Return a mask as booleans of the size of its image."""
    if mask is None:
        return None
    if isinstance(mask, str | os.PathLike):
        mask = decode_image([mask], 0).any(axis=2)
    mask = np.asarray(mask)
    if mask.shape != size:
        raise ValueError(
            f"masks[{index}] must be of the size of its image, {size}; got shape "
            f"{mask.shape}."
        )
    return mask != 0


def _white(image):
    return 255 if image.dtype == np.uint8 else 1


def _draw_contour(ax, values, extent):
    """Draw the line at 1, if the map crosses it."""
    if min(values.shape) < 2 or not values.min() < 1 < values.max():
        return None
    return ax.contour(
        values, levels=[1], colors="white", linewidths=1, origin="upper", extent=extent
    )
