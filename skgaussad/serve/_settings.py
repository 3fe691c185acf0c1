"""What a service is told when it starts, handed on to its workers."""

import dataclasses
import json
import os
import re

_VARIABLE = "SKGAUSSAD_SERVE"
TOKEN_VARIABLE = "SKGAUSSAD_TOKEN"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclasses.dataclass(frozen=True)
class ServeSettings:
    """Settings of a service; see `make_app`."""

    model: str
    state: str
    token: str | None = None
    max_size: float = 20.0
    max_images: int = 100
    keep: int = 1000
    adapt: bool = False

    @property
    def max_bytes(self):
        """The most bytes of an uploaded image."""
        return int(self.max_size * 1e6)

    @classmethod
    def make(cls, model, state, **options):
        """Return settings with absolute paths, and a folder beside the model."""
        token = options.get("token")
        # As headers have it, and never empty by mistake.
        if token is not None and re.fullmatch(r"[!-~]+", token) is None:
            raise ValueError(
                "The token must be letters, digits and signs of ASCII, without spaces."
            )
        model = os.path.abspath(model)
        state = f"{model}.state" if state is None else os.path.abspath(state)
        return cls(model, state, **options)

    def to_environment(self):
        """Leave the settings where the workers of this process find them."""
        values = dataclasses.asdict(self)
        token = values.pop("token")
        os.environ[_VARIABLE] = json.dumps(values)
        if token is not None:
            os.environ[TOKEN_VARIABLE] = token

    @classmethod
    def from_environment(cls):
        """Return what `to_environment` left."""
        values = json.loads(os.environ[_VARIABLE])
        return cls(**values, token=os.environ.get(TOKEN_VARIABLE))
