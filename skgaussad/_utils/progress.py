"""The progress bar of everything that goes through many images."""

import functools
import os
import sys
import threading


def progress_bar(description, verbose, **options):
    """Return a progress bar over images, on standard error.

    Parameters
    ----------
    description : str
        What is being done.
    verbose : bool or int
        Whether to show it.
    **options
        For tqdm, such as ``total`` or ``iterable``.

    Returns
    -------
    bar : tqdm.tqdm
    """
    return _bar_class()(
        desc=description,
        unit="image",
        file=sys.stderr,
        disable=not verbose,
        **options,
    )


@functools.cache
def _bar_class():
    """Return tqdm with a lock of this process.

    The default one is shared with forked processes: where one of them is killed while
    it holds the lock, or was forked while a thread held it, the others hang.
    """
    # Imported late: importing the package must stay quick.
    from tqdm import tqdm

    class Bar(tqdm):
        pass

    def renew_lock():
        Bar.set_lock(threading.RLock())

    renew_lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew_lock)
    return Bar
