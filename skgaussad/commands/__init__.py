"""The commands of ``skgaussad``, a file each.

These files import nothing but argparse at their beginning, and what does the work when
a command runs, so that ``skgaussad --help`` is there at once.
"""

__all__ = []
