"""Rows as CSV, JSON Lines or Parquet, written as they come."""

import contextlib
import csv
import io
import json
import os
import sys

import numpy as np

from .._utils.atomic_write import replacing
from .._utils.optional import check_packages
from .._utils.score_table import COLUMNS, arrow_schema
from ..exceptions import ModelFileError
from ..features import IMAGE_EXTENSIONS

# Rows of a Parquet file that are compressed together, a few megabytes.
_ROW_GROUP = 20_000
# What spreadsheets take for the beginning of a formula, or skip before one.
_FORMULA = tuple(
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
_QUOTE = "'"
# Of numbers in CSV, which is to be read; JSON and Parquet have all.
_N_DIGITS = 4
_MODEL_EXTENSION = ".skgaussad"
_EXTENSIONS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}


def format_of(path):
    """Tell the format of a file by its name; CSV for standard output.

    Parameters
    ----------
    path : str or None

    Returns
    -------
    format : {"csv", "json", "parquet"}

    Raises
    ------
    ValueError
        If the name does not say.
    """
    if path is None:
        return "csv"
    extension = os.path.splitext(path)[1].lower()
    if extension not in _EXTENSIONS:
        raise ValueError(
            f"-o {path} says no format: name it .csv, .jsonl or .parquet, or add "
            "--csv, --json or --parquet."
        )
    return _EXTENSIONS[extension]


def check_html(path):
    """Raise ValueError unless a page is to be written to a file that browsers open."""
    if os.path.splitext(path)[1].lower() not in (".html", ".htm"):
        raise ValueError(f"-o {path} is written as HTML: name it .html.")


def encode(rows, format_, names=None, *, n_digits=None):
    """Write rows as lines.

    Parameters
    ----------
    rows : list of dict
        All with the same keys.
    format_ : {"csv", "json"}
    names : sequence of str or None, default=None
        For CSV, write a first line with these.
    n_digits : int or None, default=None
        For CSV, significant digits of numbers; None writes all that they have.

    Returns
    -------
    content : bytes
    """
    if format_ == "json":
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    else:
        lines = [] if names is None else [_csv_line(names)]
        lines += [_csv_line(row.values(), n_digits) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")


def _csv_line(values, n_digits=None):
    text = io.StringIO()
    # Up to Python 3.12, line breaks are quoted only if the terminator has them.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_as_field(value, n_digits) for value in values)
    return text.getvalue().removesuffix("\r\n")


def _as_field(value, n_digits):
    """Return a value as CSV has it."""
    if isinstance(value, str):
        return _quote(value)
    if n_digits is None or not isinstance(value, float):
        return value
    return np.format_float_positional(value, n_digits, fractional=False, trim="-")


def _quote(text):
    """Put an apostrophe before a text that a spreadsheet would run as a formula.

    And before one that begins with an apostrophe, so that `unquote` takes back just
    those that were put there.
    """
    return f"{_QUOTE}{text}" if text.startswith((*_FORMULA, _QUOTE)) else text


def unquote(text):
    """Return the text that a CSV field of `encode` stands for."""
    return text.removeprefix(_QUOTE)


@contextlib.contextmanager
def open_output(path, format_):
    """Open what results are written to.

    Parameters
    ----------
    path : str or None
        A file, written completely or not at all: it gets its name when the context ends
        without an error. None for standard output.
    format_ : {"csv", "json", "parquet"}
        Parquet needs a file.

    Yields
    ------
    write : callable
        Takes a list of dicts as of `score_rows`.

    Raises
    ------
    ImportError
        If a package for the format is missing.
    OSError
        If the file cannot be written.
    """
    if path is None:
        with _open_lines(sys.stdout.buffer, format_) as write:
            yield write
        return
    open_format = _open_parquet if format_ == "parquet" else _open_lines
    with (
        replacing(path) as temporary,
        open(temporary, "wb") as file,
        open_format(file, format_) as write,
    ):
        yield write


def check_output(path, *, inputs=(), is_model=False):
    """Raise unless a file can be put at a path, and nothing is lost by it.

    Parameters
    ----------
    path : str
    inputs : iterable of str, default=()
        Files that the command reads.
    is_model : bool, default=False
        Whether a model file is written, which may replace one.

    Raises
    ------
    OSError
        If the folder does not exist, the path is not a file, or a file is there that is
        an input, an image or a model; or by `is_model`, anything but a model.
    """
    folder = os.path.dirname(path)
    if not os.path.isdir(folder or os.curdir):
        raise FileNotFoundError(
            f"There is no folder {folder!r} to write {path!r} to; create it or name "
            "another."
        )
    if not os.path.exists(path):
        return
    if not os.path.isfile(path):
        raise OSError(
            f"{path!r} is not a file, and would be replaced by one; name another."
        )
    extension = os.path.splitext(os.path.realpath(path))[1].lower()
    if extension in IMAGE_EXTENSIONS or (
        extension == _MODEL_EXTENSION and not is_model
    ):
        kind = "a model" if extension == _MODEL_EXTENSION else "an image"
        raise FileExistsError(
            f"{path!r} is there and would be replaced, and by its name it is {kind}; "
            "name another file to write to."
        )
    if is_model and os.path.getsize(path):
        from ..persistence import model_info

        try:
            model_info(path)
        except ModelFileError as error:
            raise FileExistsError(
                f"{path!r} is there and would be replaced, and it is no whole model "
                "file; name another file to write to."
            ) from error
    for source in inputs:
        check_spared(source, path)


def check_spared(path, output):
    """Raise if a file that is read is the one that would be replaced."""
    try:
        # The output first, which mostly does not exist.
        is_replaced = output is not None and os.path.samefile(output, path)
    except (OSError, ValueError):
        # One of them does not exist.
        return
    if is_replaced:
        raise FileExistsError(
            f"{output!r} would be replaced, and {path!r}, which is read, is the same "
            "file; name another file to write to."
        )


def check_different(output, other):
    """Raise if two outputs would have one path."""
    if output is not None and os.path.realpath(output) == os.path.realpath(other):
        raise FileExistsError(
            f"{output!r} would be written twice, as results and as maps or a report; "
            "name another."
        )


@contextlib.contextmanager
def _open_lines(stream, format_):
    names = COLUMNS

    def write(rows):
        nonlocal names
        if rows:
            # The names not before: an error may come first.
            stream.write(encode(rows, format_, names, n_digits=_N_DIGITS))
            stream.flush()
            names = None

    yield write
    stream.write(encode([], format_, names))


@contextlib.contextmanager
def _open_parquet(stream, _):
    check_packages("--parquet", "parquet", "pyarrow")
    import pyarrow
    from pyarrow import parquet

    schema = arrow_schema()
    waiting = []
    with parquet.ParquetWriter(stream, schema) as writer:

        def write_group():
            writer.write_table(pyarrow.Table.from_pylist(waiting, schema))
            waiting.clear()

        def write(rows):
            waiting.extend(rows)
            if len(waiting) >= _ROW_GROUP:
                write_group()

        yield write
        write_group()
