"""Electroluminescence images of solar cells, from the package elpv-dataset."""

from importlib.resources import files

import numpy as np
from sklearn.utils import Bunch

from .._utils.optional import check_packages
from .._utils.validation import check_choice

_CELLS_A_MODULE = 60


def load_solar_cells(cells="all", *, uncertain=False):
    """Load paths and labels of the ELPV solar cells.

    2,624 grey images of 300 x 300 pixels, each an electroluminescence image of a
    photovoltaic cell [1]_. They come with the package ``elpv-dataset``
    (``pip install "skgaussad[demo]"``), under the licence CC BY-NC-SA 4.0.

    Parameters
    ----------
    cells : {"all", "mono", "poly"}, default="all"
        Monocrystalline or polycrystalline cells only, or both.

    uncertain : bool, default=False
        Whether to keep the cells that the experts were unsure of, with a defect
        probability of 1/3 or 2/3.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        One entry an image, in the order of the data set:

        paths : ndarray of shape (n_images,), dtype str
            Paths of the images.
        labels : ndarray of shape (n_images,)
            +1 for functional cells (probability below one half), -1 for defective.
        defect_probability : ndarray of shape (n_images,)
            0, 1/3, 2/3 or 1.
        cell_types : ndarray of shape (n_images,), dtype str
            ``"mono"`` or ``"poly"``.
        modules : ndarray of shape (n_images,), dtype int
            Number of the solar module that a cell is of, inferred: see Notes.

    Raises
    ------
    ImportError
        If the package ``elpv-dataset`` is not installed.
    ValueError
        If `cells` is none of its choices.

    Notes
    -----
    Cells of one module look alike, so that a rate measured in folds at random is not
    that in a new module: hold out whole `modules`, as ``groups``. The data do not say
    which cells are of one module, only that they are of 18 monocrystalline and 26
    polycrystalline ones [1]_. Here each run of cells of one type, in the
    order of the files, is split evenly into round(length / 60) modules, most having 6 x
    10 cells. This gives 18 and 26, too, and where features change abruptly the borders
    are within a few cells of it.

    References
    ----------
    .. [1] S. Deitsch et al., "Automatic classification of defective photovoltaic module
       cells in electroluminescence images", Solar Energy 185 (2019), 455-468.

    Examples
    --------
    >>> from skgaussad.datasets import load_solar_cells
    >>> cells = load_solar_cells("mono")
    >>> (cells.labels == 1).sum(), (cells.labels == -1).sum()
    (np.int64(588), np.int64(313))
    >>> len(set(cells.modules))
    18
    """
    check_choice("cells", cells, ("all", "mono", "poly"))
    check_packages("load_solar_cells", "demo", "elpv_dataset")
    folder = files("elpv_dataset") / "data"
    table = np.loadtxt(
        str(folder / "labels.csv"),
        dtype=[("path", "U64"), ("probability", "f8"), ("type", "U4")],
    )
    modules = _infer_modules(table["type"])
    keep = np.full(len(table), True)
    if cells != "all":
        keep &= table["type"] == cells
    if not uncertain:
        keep &= np.isin(table["probability"], (0, 1))
    table = table[keep]
    return Bunch(
        paths=np.array([str(folder / path) for path in table["path"]]),
        labels=np.where(table["probability"] < 0.5, 1, -1),
        defect_probability=table["probability"],
        cell_types=table["type"],
        modules=modules[keep],
    )


def _infer_modules(cell_types):
    """Split each run of cells of one type evenly into modules, and number these."""
    ends = np.flatnonzero(cell_types[1:] != cell_types[:-1]) + 1
    modules, n_before = [], 0
    for run in np.split(np.arange(len(cell_types)), ends):
        n_modules = max(round(len(run) / _CELLS_A_MODULE), 1)
        modules.append(n_before + np.arange(len(run)) * n_modules // len(run))
        n_before += n_modules
    return np.concatenate(modules)
