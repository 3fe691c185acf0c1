"""Rows as CSV, JSON Lines or Parquet, written as they come."""

import contextlib
import csv
import io
import json
import os
import sys

from .._utils.atomic_write import replacing
from .._utils.optional import check_packages
from .._utils.score_table import COLUMNS, arrow_schema

# Rows of a Parquet file that are compressed together, a few megabytes.
_ROW_GROUP = 20_000
_EXTENSIONS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}


def format_of(path):
    """Tell the format of a file by its name, CSV where it does not say.

    Parameters
    ----------
    path : str or None

    Returns
    -------
    format : {"csv", "json", "parquet"}
    """
    extension = os.path.splitext(path or "")[1].lower()
    return _EXTENSIONS.get(extension, "csv")


def encode(rows, format_, names=None):
    """Write rows as lines.

    Parameters
    ----------
    rows : list of dict
        All with the same keys.
    format_ : {"csv", "json"}
    names : sequence of str or None, default=None
        For CSV, write a first line with these.

    Returns
    -------
    content : bytes
    """
    if format_ == "json":
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    else:
        lines = [] if names is None else [_csv_line(names)]
        lines += [_csv_line(row.values()) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def _csv_line(values):
    text = io.StringIO()
    # Up to Python 3.12, line breaks are quoted only if the terminator has them.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n")


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
    check_output(path)
    open_format = _open_parquet if format_ == "parquet" else _open_lines
    with (
        replacing(path) as temporary,
        open(temporary, "wb") as file,
        open_format(file, format_) as write,
    ):
        yield write


def check_output(path):
    """Raise unless a file can be put at a path.

    Parameters
    ----------
    path : str

    Raises
    ------
    OSError
        If the folder does not exist, or the path is not a file.
    """
    folder = os.path.dirname(path)
    if not os.path.isdir(folder or os.curdir):
        raise FileNotFoundError(
            f"There is no folder {folder!r} to write {path!r} to; create it or name "
            "another."
        )
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(
            f"{path!r} is not a file, and would be replaced by one; name another."
        )


@contextlib.contextmanager
def _open_lines(stream, format_):
    stream.write(encode([], format_, COLUMNS))

    def write(rows):
        stream.write(encode(rows, format_))
        stream.flush()

    yield write


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
