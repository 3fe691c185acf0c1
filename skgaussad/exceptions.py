"""Errors and warnings, to catch or to filter by name."""


class FalseAlarmRateWarning(UserWarning):
    """The training samples do not support, or contradict, the false-alarm rate.

    Examples
    --------
    A rate of 0.1 % cannot be told from 50 samples:

    >>> import warnings
    >>> import numpy as np
    >>> from skgaussad import MahalanobisDetector
    >>> from skgaussad.exceptions import FalseAlarmRateWarning
    >>> X_normal = np.random.default_rng(0).normal(size=(50, 3))
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", FalseAlarmRateWarning)
    ...     detector = MahalanobisDetector(fpr=0.001).fit(X_normal)
    >>> print(str(caught[0].message).split(".  ")[0][:66])
    fpr=0.001 needs at least 999 training samples, and there are 50. T
    """


class InvalidImageError(ValueError):
    """An item of ``X`` that is not an image or cannot be decoded.

    Parameters
    ----------
    index : int
        Position of the item in ``X``.

    item : str
        Short description of the item: a quoted path, or a kind such as
        ``"array of shape (3, 4), dtype int64"``.

    problem : str
        What was expected, what came and what to do about it.

    Attributes
    ----------
    index, item, problem
        The parameters, unchanged.
    """

    def __init__(self, index, item, problem):
        # The parameters are also `args`, from which an exception is unpickled.
        super().__init__(index, item, problem)
        self.index = index
        self.item = item
        self.problem = problem

    def __str__(self):
        """Return one line that names the item and its problem."""
        return f"X[{self.index}] ({self.item}): {self.problem}"


class DarkImagesWarning(UserWarning):
    """No pixel of the training images passes a sixteenth of what is taken for white.

    The camera may have fewer bits than the files.

    Examples
    --------
    Images of 10 bits in uint16:

    >>> import warnings
    >>> import numpy as np
    >>> from skgaussad import DeepFeatureTransformer
    >>> from skgaussad.exceptions import DarkImagesWarning
    >>> rng = np.random.default_rng(0)
    >>> X_normal = rng.integers(0, 1024, (4, 50, 60), dtype=np.uint16)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", DarkImagesWarning)
    ...     transformer = DeepFeatureTransformer().fit(X_normal)
    >>> for sentence in str(caught[0].message).partition(": ")[2].split(". ")[:2]:
    ...     print(sentence.partition(", ")[0])
    the largest value is 1023 of 65535
    If the camera has fewer bits than the files
    >>> transformer = DeepFeatureTransformer(max_value=1023).fit(X_normal)
    """


class FeatureCacheWarning(UserWarning):
    """Cached features were damaged, or could not be kept; they are computed anew."""


class ModelFileError(ValueError):
    """A file that :func:`~skgaussad.load` refuses.

    It is damaged, of another kind, of a newer format, or holds what is not trusted. The
    message names the file, what was expected and what to do.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skgaussad import load
    >>> from skgaussad.exceptions import ModelFileError
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.skgaussad")
    ...     _ = path.write_text("no model")
    ...     try:
    ...         load(path)
    ...     except ModelFileError as error:
    ...         print(str(error).partition(": ")[2].partition(".")[0])
    it is not a zip archive, as model files are
    """
