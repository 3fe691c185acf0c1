"""The application: a model file behind a JSON API and a page."""

from .._utils.optional import check_packages
from ._settings import ServeSettings


def make_app(
    model,
    *,
    state=None,
    token=None,
    max_size=20.0,
    max_images=100,
    keep=1000,
    adapt=False,
):
    """Make the web application that ``skgaussad serve`` runs, for servers of your own.

    Parameters
    ----------
    model : str or path
        A file written by :func:`skgaussad.save`. When it is replaced, the new model is
        used from then on.
    state : str, path or None, default=None
        The folder of the journal, and of the images that were decided; made if
        missing. None is the path of the model with ``.state`` after it. Several
        processes may share it.
    token : str or None, default=None
        What requests must send as ``Authorization: Bearer TOKEN``. None answers only
        requests to localhost.
    max_size : float, default=20.0
        Megabytes of an image at most.
    max_images : int, default=100
        Images of a request at most, up to 1000.
    keep : int, default=1000
        Number of images to keep for pictures and updates, and of those found good
        besides.
    adapt : bool, default=False
        Whether decisions are by an
        :class:`~skgaussad.calibration.AdaptiveThreshold`, which follows the feedback.

    Returns
    -------
    app : fastapi.FastAPI
        An ASGI application. Its lifespan, which servers run, starts and ends what
        works in the background.

    Raises
    ------
    ImportError
        If the packages of ``skgaussad[serve]`` are missing.
    OSError
        If the model cannot be read, or the folder cannot be written.
    ValueError
        If the file holds no model that scores images, `adapt` cannot be used, or the
        token is empty or not of printable ASCII.
    """
    check_serve("serve")
    from ._routes import build_app

    return build_app(
        ServeSettings.make(
            model,
            state,
            token=token,
            max_size=max_size,
            max_images=max_images,
            keep=keep,
            adapt=adapt,
        )
    )


def check_serve(user):
    """Raise unless the packages of the extra are there."""
    check_packages(
        user,
        "serve",
        "fastapi",
        "fastapi_offline",
        "jinja2",
        "matplotlib",
        "python_multipart",
        "prometheus_client",
        "uvicorn",
    )


def app_from_environment():
    """Make the application of a worker, by the settings of its parent."""
    from ._routes import build_app

    return build_app(ServeSettings.from_environment())
