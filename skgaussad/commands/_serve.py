"""``skgaussad serve``: a JSON API and a page for a model."""

from ._arguments import above_zero, add_command, add_model, whole_number

_EXAMPLES = """
  skgaussad serve model.skgaussad
  # for other machines, which send the token in SKGAUSSAD_TOKEN with each request
  skgaussad serve model.skgaussad --host 0.0.0.0
  # let the threshold follow what inspection finds
  skgaussad serve model.skgaussad --adapt
"""
_MAX_IMAGES = 1000
_SECONDS_TO_STOP = 30
# Characters of a token.
_LEAST_TOKEN = 16


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "serve",
        run,
        summary="serve a model to programs and to people",
        description="Serve a model: a page in the browser to drop images on, and a "
        "JSON API, which /docs describes, until SIGINT or SIGTERM. Decisions and "
        "feedback are on the disk before an answer is sent, and a model file that is "
        "replaced is used without a restart.",
        examples=_EXAMPLES,
    )
    add_model(parser)
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="the address to listen on; any other than this machine's own needs a "
        "token (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=8000,
        help="the port; 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--token",
        help="what requests must send as 'Authorization: Bearer TOKEN'; better given "
        "as the environment variable SKGAUSSAD_TOKEN, which other users cannot see",
    )
    parser.add_argument(
        "--state",
        metavar="FOLDER",
        help="where decisions, feedback and the last images are kept (default: MODEL "
        "with .state after it)",
    )
    parser.add_argument(
        "--keep",
        metavar="N",
        type=whole_number(0),
        default=1000,
        help="number of images to keep for pictures and updates, and of those found "
        "good besides (default: %(default)s)",
    )
    parser.add_argument(
        "--max-size",
        metavar="MB",
        type=above_zero("megabytes"),
        default=20.0,
        help="largest image to take, in megabytes (default: 20)",
    )
    parser.add_argument(
        "--max-images",
        metavar="N",
        type=whole_number(1, _MAX_IMAGES),
        default=100,
        help="most images of one request (default: %(default)s)",
    )
    parser.add_argument(
        "--adapt",
        action="store_true",
        help="let the threshold follow the feedback, so that the rate of false alarms "
        "stays under drift",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=whole_number(1),
        default=1,
        help="number of processes, each with the model in memory; one uses all cores "
        "already (default: %(default)s)",
    )


def run(arguments):
    """Run the command."""
    from ..serve import check_serve

    check_serve("skgaussad serve")
    import os
    import tempfile

    import uvicorn

    from ..persistence import model_info
    from ..serve import LOOPBACK, TOKEN_VARIABLE, ServeSettings, make_app

    _check_port(arguments.host, arguments.port)
    token = arguments.token or os.environ.get(TOKEN_VARIABLE) or None
    if arguments.host not in LOOPBACK and len(token or "") < _LEAST_TOKEN:
        raise ValueError(
            f"--host {arguments.host} can be reached from other machines, and takes a "
            f"token: set the environment variable {TOKEN_VARIABLE} to a secret of at "
            f"least {_LEAST_TOKEN} characters."
        )
    options = {
        name: getattr(arguments, name)
        for name in ("max_size", "max_images", "keep", "adapt")
    }
    server = {
        "host": arguments.host,
        "port": arguments.port,
        "access_log": False,
        "timeout_graceful_shutdown": _SECONDS_TO_STOP,
    }
    if arguments.workers == 1:
        app = make_app(arguments.model, state=arguments.state, token=token, **options)
        uvicorn.run(app, **server)
        return
    # Workers that cannot read it would be started again and again.
    model_info(arguments.model)
    settings = ServeSettings.make(
        arguments.model, arguments.state, token=token, **options
    )
    settings.to_environment()
    with tempfile.TemporaryDirectory() as folder:
        # Where the metrics of all of them are added up.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        uvicorn.run(
            "skgaussad.serve:app_from_environment",
            factory=True,
            workers=arguments.workers,
            **server,
        )


def _check_port(host, port):
    """Raise ValueError where another process listens already."""
    import errno
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise ValueError(
                f"port {port} of {host} is in use; give another one with --port."
            ) from None
