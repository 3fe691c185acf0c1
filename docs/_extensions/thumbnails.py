"""Pictures in the gallery for the examples that draw none.

Such an example names its picture by ``# sphinx_gallery_thumbnail_path =
"generated/thumbnails/NAME.png"``, and a function here called NAME draws it.
"""

import itertools
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

BLUE, ORANGE, GREY = "#1f77b4", "#d9631e", "#8a8a8a"


def _box(ax, x, y, text, width=2.2, height=1.3, color=BLUE):
    """Draw a box with text around (x, y)."""
    corner = (x - width / 2, y - height / 2)
    ax.add_patch(
        FancyBboxPatch(
            corner,
            width,
            height,
            boxstyle="round,pad=0.1",
            facecolor="w",
            ec=color,
            lw=2,
        )
    )
    ax.text(x, y, text, ha="center", va="center", fontsize=13)


def _arrow(ax, start, end):
    """Draw an arrow between two points."""
    style = {"arrowstyle": "->", "lw": 2, "color": GREY, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=style)


def _texture(size=64):
    """Draw one woven texture, without the package."""
    rows, columns = np.mgrid[:size, :size]
    return np.sin(rows * 0.8) + np.sin(columns * 0.8)


def bad_images(ax):
    """Draw four files, of which the third is cut off."""
    texture = _texture()
    for index in range(4):
        left = 2.5 * index
        shown = texture.copy()
        if index == 2:
            shown[34:] = np.nan
        ax.imshow(shown, cmap="gray", extent=(left, left + 2, 2, 4), vmin=-2, vmax=2)
        ax.add_patch(
            Rectangle((left, 2), 2, 2, fill=False, ec=ORANGE if index == 2 else GREY)
        )
        ax.text(left + 1, 1.4, f"{index}.png", ha="center", fontsize=12)
    ax.text(6, 4.3, "truncated", ha="center", color=ORANGE, fontsize=13)
    ax.set(xlim=(-0.3, 9.8), ylim=(0, 6))


def export_to_onnx(ax):
    """Draw the way from a pipeline to a file."""
    _box(ax, 2, 3, "pipeline")
    _box(ax, 7.5, 3, "cells.onnx", color=ORANGE)
    _arrow(ax, (3.3, 3), (6.1, 3))
    ax.text(4.7, 3.4, "to_onnx", ha="center", fontsize=12)
    ax.text(4.7, 1.4, "largest difference is checked", ha="center", color=GREY)
    ax.set(xlim=(0, 9.5), ylim=(0, 6))


def onnx_runner(ax):
    """Draw the way from a file and an image to a score."""
    ax.imshow(_texture(), cmap="gray", extent=(0.2, 2.2, 3.2, 5.2))
    _box(ax, 1.2, 1.4, "cells.onnx", color=ORANGE)
    _box(ax, 5, 3, "onnx-\nruntime")
    _arrow(ax, (2.3, 4.2), (3.7, 3.3))
    _arrow(ax, (2.5, 1.4), (3.7, 2.7))
    for y, text in enumerate(("map", "p-value", "label", "distance")):
        ax.text(7, 1.2 + 1.2 * y, text, fontsize=13, va="center")
        _arrow(ax, (6.3, 3), (6.9, 1.2 + 1.2 * y))
    ax.set(xlim=(-0.3, 9.2), ylim=(0, 6))


def fit_on_a_cluster(ax):
    """Draw images going to workers, and their moments to one Gaussian."""
    _box(ax, 1.4, 3, "images", color=GREY)
    _box(ax, 8.4, 3, "Gaussian", color=ORANGE)
    for y in (1, 3, 5):
        _box(ax, 4.9, y, "worker", height=1)
        _arrow(ax, (2.7, 3), (3.6, y))
        _arrow(ax, (6.2, y), (7.1, 3))
    ax.set(xlim=(0, 9.8), ylim=(0, 6))


def save_model(ax):
    """Draw what is in a model file."""
    _box(ax, 4.8, 3, "", width=6.6, height=5, color=ORANGE)
    ax.text(4.8, 5, "cells.skgaussad", ha="center", va="center", fontsize=13)
    for y, text in ((4.1, "model.json"), (2.75, "estimator.skops"), (1.4, "weights/")):
        _box(ax, 4.8, y, text, width=4.6, height=0.75)
    ax.set(xlim=(0, 9.6), ylim=(0, 6))


def report(ax):
    """Draw a page with figures and images."""
    ax.add_patch(Rectangle((2, 0.2), 5.6, 5.6, fill=False, ec=GREY, lw=2))
    ax.text(2.4, 5.2, "Solar cells", fontsize=14, va="center")
    ax.plot([2.4, 7.2], [4.7, 4.7], color=GREY)
    ax.bar(np.linspace(2.6, 4.6, 6), [0.3, 1.0, 1.4, 0.9, 0.4, 0.1], 0.3, 3, color=BLUE)
    ax.bar(np.linspace(4.6, 7, 6), [0.1, 0.3, 0.5, 0.8, 0.5, 0.3], 0.3, 3, color=ORANGE)
    for left in (2.4, 4.05, 5.7):
        ax.imshow(_texture(), cmap="gray", extent=(left, left + 1.45, 0.7, 2.15))
    ax.set(xlim=(0, 9.6), ylim=(0, 6))


def search_settings(ax):
    """Draw levels by grids, of which one is the best."""
    for x, y in itertools.product((3, 5, 7), (4.2, 2.2)):
        best = (x, y) == (5, 2.2)
        _box(ax, x, y, "best" if best else "", 1.6, 1.6, ORANGE if best else BLUE)
    for x, text in zip((3, 5, 7), (5, 6, 7), strict=True):
        ax.text(x, 0.7, f"level {text}", ha="center", fontsize=12)
    for y, text in ((4.2, "4 x 4"), (2.2, "7 x 7")):
        ax.text(1.8, y, text, ha="right", va="center", fontsize=12)
    ax.set(xlim=(0, 8.6), ylim=(0, 6))


PICTURES = (
    bad_images,
    export_to_onnx,
    fit_on_a_cluster,
    onnx_runner,
    report,
    save_model,
    search_settings,
)


def draw_all(folder):
    """Draw every picture into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"font.family": "sans-serif"}):
        for draw in PICTURES:
            figure = Figure(figsize=(4, 2.8), layout="constrained")
            FigureCanvasAgg(figure)
            ax = figure.subplots()
            draw(ax)
            ax.set_aspect("equal")
            ax.set_axis_off()
            figure.savefig(folder / f"{draw.__name__}.png", dpi=100)


def setup(app):
    """Draw before the gallery, which comes with the same event, looks for them."""
    app.connect(
        "builder-inited",
        lambda app: draw_all(Path(app.srcdir, "generated", "thumbnails")),
        priority=10,
    )
    return {"parallel_read_safe": True}
