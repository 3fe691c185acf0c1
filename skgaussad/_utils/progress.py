"""The progress bar of everything that goes through many images."""

import sys


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
    # Imported late: importing the package must stay quick.
    from tqdm import tqdm

    return tqdm(
        desc=description,
        unit="image",
        file=sys.stderr,
        disable=not verbose,
        **options,
    )
