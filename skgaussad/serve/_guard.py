"""What stands before the service: who may ask, how much, and how long it takes."""

import hmac
import time
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ._settings import LOOPBACK

# What a browser needs to show the page, which then asks for the token.
_OPEN = ("/", "/docs", "/openapi.json", "/health", "/ready")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "style-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
# Bytes of a request at most, besides its images.
_MAX_REST = 10_000_000
_METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")


def problem_response(status, message, headers=None):
    """Return an error in the one form that all errors have."""
    text = str(message).encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"status": status, "error": text}, status, headers)


class RequestGuard:
    """Refuses requests without the token, from other pages, or that are too large.

    Parameters
    ----------
    app : ASGI application
    settings : ServeSettings
    metrics : ServiceMetrics
    """

    def __init__(self, app, settings, metrics):
        self._app = app
        self._token = settings.token
        self._settings = settings
        self._n_images = {"/score": settings.max_images, "/maps": 1}
        self._metrics = metrics

    async def __call__(self, scope, receive, send):
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        n_bytes, most = 0, self._most_bytes(scope)

        async def send_with_headers(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                names = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in _HEADERS.items()
                        if name.lower().encode() not in names
                    ),
                ]
            await send(message)

        async def receive_limited():
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > most:
                raise HTTPException(413, self._too_large())
            return message

        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refuse(scope, headers)
        try:
            app = self._app if refused is None else refused
            await app(scope, receive_limited, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            # Others may be of any name, and each name would take memory.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.seconds.labels(method, route, status).observe(
                time.perf_counter() - started
            )

    def _refuse(self, scope, headers):
        """Return the answer to a request that goes no further, or None."""
        if self._token is None:
            # Any page that a browser shows can send requests to this machine.
            host = headers.get(b"host", "")
            origin = headers.get(b"origin", f"http://{host}")
            if _name_of(host) not in LOOPBACK or origin != f"http://{host}":
                return problem_response(
                    403,
                    "Without a token only requests to localhost are answered, and "
                    "none from the pages of other hosts.",
                )
        elif scope["path"] not in _OPEN and not scope["path"].startswith("/static/"):
            given = headers.get(b"authorization", "")
            expected = f"Bearer {self._token}"
            if not hmac.compare_digest(given.encode(), expected.encode()):
                return problem_response(
                    401,
                    "Send the token of this service: Authorization: Bearer TOKEN.",
                    {"WWW-Authenticate": "Bearer"},
                )
        length = headers.get(b"content-length", "0")
        if length.isdecimal() and int(length) > self._most_bytes(scope):
            return problem_response(413, self._too_large())
        return None

    def _most_bytes(self, scope):
        """Return the most bytes that a request may have."""
        n_images = self._n_images.get(scope["path"], 0)
        return n_images * self._settings.max_bytes + _MAX_REST

    def _too_large(self):
        return (
            f"The request is too large: at most {self._settings.max_images} images of "
            f"{self._settings.max_size:g} MB each are taken at once."
        )


def _name_of(host):
    """Return the name in a header Host, without its port, or None."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
