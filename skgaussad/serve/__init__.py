"""A model file as a service: a JSON API and a page in the browser.

It needs the extra ``skgaussad[serve]``. ``skgaussad serve MODEL`` starts it.
"""

from ._make_app import app_from_environment, check_serve, make_app
from ._settings import LOOPBACK, TOKEN_VARIABLE, ServeSettings

__all__ = ["make_app"]
