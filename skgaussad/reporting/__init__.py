"""One page about a fitted detector, to look at and to hand on.

It takes the extra ``skgaussad[plot]``.
"""

from ._report import write_report

__all__ = ["write_report"]
