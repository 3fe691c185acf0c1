"""What inspection finds of images that were scored, read as it comes."""

import csv

import numpy as np

from ..calibration import AdaptiveThreshold
from ..detectors import find_decider, find_held_out
from ._outputs import unquote
from ._streams import print_message
from ._watch import whole_records

_HEADER = ["path", "verdict"]
_LABELS = {"good": 1, "defect": -1}
# Good parts from one report of the rate to the next.
_N_BETWEEN = 100
# Lines of a name with line breaks.
_MOST_LINES = 4


class Adapter:
    """Decides images by a threshold that follows a file of verdicts.

    Parameters
    ----------
    model : estimator
        With held-out distances and a threshold.
    path : str
        CSV with the columns path and verdict, good or defect. It may be begun later.
    rows : iterable of dict
        The results so far, in their order. The threshold depends on these and the
        verdicts alone, so that it is the same after a restart.

    Raises
    ------
    ValueError
        If the model has no held-out distances.
    """

    def __init__(self, model, path, rows):
        try:
            self._adaptive = AdaptiveThreshold(find_decider(model))
        except TypeError as error:
            raise ValueError(f"--feedback cannot be used: {error}") from error
        self._model, self._path = model, path
        self._decided = set()
        # Records of the file that have been used, and that were named as of no use.
        self._used, self._named = set(), set()
        rows = list(rows)
        n_older = _count_older(model, rows)
        for index, row in enumerate(rows):
            if 0 < index == n_older:
                self._replace(model)
            self._count(row)
        if 0 < n_older == len(rows):
            self._replace(model)
        self._n_reported = 0
        self.read()

    def renew(self, model):
        """Go over to the model of the scorer, if it is another."""
        if model is not self._model:
            self._replace(model)

    def _replace(self, model):
        """Go over to a model whose distances are others."""
        self._adaptive.replace_detector(find_decider(model))
        self._model = model

    def decide(self, row):
        """Set label and ratio of a result by the threshold as it is now."""
        if row["error"] is None:
            threshold = self._adaptive.threshold_
            row["label"] = 1 if row["distance"] <= threshold else -1
            row["threshold_ratio"] = (
                row["distance"] / threshold if threshold > 0 else None
            )
            self._count(row)

    def _count(self, row):
        """Take a result into account, if it is the first of its name.

        Verdicts name images, and could be on any of those written under one name.
        """
        if row["label"] is not None and row["path"] not in self._decided:
            self._decided.add(row["path"])
            self._adaptive.restore([row["distance"]], [row["label"]], [row["path"]])

    def read(self):
        """Take the verdicts that have been added, and report the rate now and then."""
        try:
            with open(self._path, "rb") as file:
                records = list(self._divide(list(whole_records(file, is_csv=False))))
        except FileNotFoundError:
            records = []
        for record in records:
            if record not in self._used:
                self._take(record)
        if self._adaptive.n_good_ >= self._n_reported + _N_BETWEEN:
            self.report()

    def _divide(self, lines):
        """Yield the records that lines make up.

        A name may have line breaks in quotes. A quote that was not closed must not take
        in what follows it, so such a name is one of those in the results.
        """
        start = 0
        while start < len(lines):
            for n_lines in range(1, _MOST_LINES + 1):
                record = b"".join(lines[start : start + n_lines])
                if record.count(b'"') % 2 == 0:
                    break
            if n_lines > 1:
                _, path, verdict = self._parse(record)
                if path not in self._decided or verdict not in _LABELS:
                    n_lines, record = 1, lines[start]
            yield record
            start += n_lines

    def _parse(self, record):
        """Return the fields of a record, and the path and verdict in it, or None."""
        text = _decode(record)
        try:
            (fields,) = csv.reader([text])
        except csv.Error:
            # A line break outside of quotes.
            fields = [text]
        if len(fields) != len(_HEADER):
            return fields, None, None
        path, verdict = fields[0], fields[1].strip().lower()
        if unquote(path) in self._decided:
            # As in the file of results.
            path = unquote(path)
        return fields, path, verdict

    def _take(self, record):
        """Take one verdict, or name it once where it is of no use yet."""
        fields, path, verdict = self._parse(record)
        if not "".join(fields).strip() or fields == _HEADER:
            problem = None
        elif verdict not in _LABELS:
            problem = "a line is a path, a comma, and good or defect"
        elif path not in self._decided:
            problem = "no such path in the results so far; the line waits for it"
        else:
            problem = None
            try:
                self._adaptive.feedback([path], [_LABELS[verdict]])
            except ValueError as error:
                problem = error
        if problem is None:
            self._used.add(record)
        elif record not in self._named:
            self._named.add(record)
            print_message(f"{self._path}: {_decode(record).strip()!r}: {problem}")

    def report(self):
        """Print the rate so far."""
        self._n_reported = self._adaptive.n_good_
        summary = self._adaptive.summary()
        if not summary["n_good"]:
            return
        defects = ""
        if summary["n_defects"]:
            defects = (
                f"; {100 * summary['detection']:.0f} % of {summary['n_defects']} known "
                "defects were found"
            )
        print_message(
            f"{100 * summary['rate']:.1f} % false alarms among {summary['n_good']} "
            f"good parts so far, {summary['n_pending']} alarms not inspected; "
            f"threshold moved by {summary['shift']:+.2f} interquartile ranges{defects}"
        )


def _decode(record):
    """Return a record as text, whatever it holds."""
    return record.decode("utf-8-sig", "backslashreplace")


def _count_older(model, rows):
    """Count the results up to the last that another model gave, by its p-value."""
    held_out = find_held_out(model)
    if held_out is None or not rows:
        return 0
    expected = held_out.p_values(np.array([row["distance"] for row in rows]))
    found = np.array([row["p_value"] for row in rows], dtype=np.float64)
    is_other = ~np.isclose(found, expected, rtol=1e-9, atol=0)
    return int(np.flatnonzero(is_other)[-1]) + 1 if is_other.any() else 0
