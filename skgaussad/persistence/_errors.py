"""The error that says what is wrong with a model file."""


class ModelFileError(ValueError):
    """A file that :func:`~skgaussad.persistence.load` refuses.

    It is damaged, of another kind, of a newer format, or holds what is not trusted. The
    message names the file, what was expected and what to do.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skgaussad.persistence import ModelFileError, load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.skgaussad")
    ...     _ = path.write_text("no model")
    ...     try:
    ...         load(path)
    ...     except ModelFileError as error:
    ...         print(str(error).partition(": ")[2].partition(".")[0])
    it is no zip archive, which a model file is
    """
