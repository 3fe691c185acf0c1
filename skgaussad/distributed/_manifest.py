"""A file that identifies the call that a folder of scores belongs to."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from .._utils.atomic_write import replacing
from ._fingerprint import hash_model, hash_paths

# Readers of Parquet folders skip names that begin with an underscore or a dot.
_NAME = "_manifest.json"
# Far larger than any of them.
_MAX_BYTES = 2**16
_MEANINGS = {
    "version": "layout",
    "model": "fitted pipeline",
    "images": "list of images",
    "n_images": "number of images",
    "partition_size": "partition_size",
    "on_error": "on_error",
}


@dataclass(frozen=True)
class Manifest:
    """Identifies the call that a folder of scores belongs to.

    Attributes
    ----------
    model, images : str
        Hashes of the fitted pipeline and of the paths.
    n_images, partition_size : int
    on_error : {"raise", "record"}
    version : int
        Of the layout.
    """

    model: str
    images: str
    n_images: int
    partition_size: int
    on_error: str
    version: int = 2

    @classmethod
    def from_call(cls, pipeline, paths, partition_size, on_error):
        """Make the manifest of a call of `score_to_parquet`."""
        return cls(
            hash_model(pipeline),
            hash_paths(paths),
            len(paths),
            partition_size,
            on_error,
        )

    def claim(self, folder):
        """Make the folder with this manifest, or check that it has it.

        Parameters
        ----------
        folder : Path

        Raises
        ------
        ValueError
            If the folder belongs to another call; names the differences.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _NAME
        if not os.path.lexists(path):
            stray = next(folder.glob("*.parquet"), None)
            if stray is not None:
                raise ValueError(
                    f"folder {str(folder)!r} holds {stray.name}, but no {_NAME}. "
                    "Take another folder."
                )
            with replacing(path, durable=True) as temporary:
                Path(temporary).write_text(json.dumps(asdict(self), indent=1))
            return
        try:
            found = json.loads(_read_start(path))
            differing = [
                meaning
                for name, meaning in _MEANINGS.items()
                if found[name] != getattr(self, name)
            ]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError(
                f"{str(path)!r} is not a manifest of scores. Take another folder."
            ) from None
        if differing:
            raise ValueError(
                f"folder {str(folder)!r} holds scores of another call: it differs in "
                f"{' and '.join(differing)}. Take another folder, or repeat that call "
                "to go on with it."
            )


def _read_start(path):
    """Read a file that may be of others; raise ValueError if it is no manifest."""
    # Not of a pipe, which may never end, nor of a link, which may lead to anything.
    if path.is_symlink() or not path.is_file():
        raise ValueError("not a file")
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError("too long")
    return content
