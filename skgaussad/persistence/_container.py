"""The format of model files: a zip archive of uncompressed members and a manifest."""

import contextlib
import errno
import hashlib
import json
import os
import re
import struct
import zipfile

from .._utils.atomic_write import replacing
from .._utils.printable import printable
from ..exceptions import ModelFileError

FORMAT = "skgaussad model"
FORMAT_VERSION = 1
MANIFEST = "model.json"
ESTIMATOR = "estimator.skops"
_MEMBER = re.compile(r"estimator\.skops|weights/[0-9a-f]{64}\.safetensors")
# Far larger than any manifest, and small enough to read from untrusted files.
_MAX_MANIFEST_BYTES = 2**22
_MAX_DEPTH = 20
# Of what a file says of itself, in messages.
_MAX_CHARACTERS = 1000
# What zipfile raises for damaged archives; OSError for negative positions.
_DAMAGE = (
    *(zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OSError),
    *(struct.error, OverflowError),
)
_SAVE_AGAIN = "Get the file again from where it was saved, or save the model again."


def write_container(path, facts, members):
    """Write a model file, which replaces `path` once it is complete on the disk.

    Parameters
    ----------
    path : path
    facts : dict
        For the manifest.
    members : dict of {str: bytes}
        Content by name.
    """
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **facts,
        "files": {
            name: {"bytes": len(content), "sha256": _sha256(content)}
            for name, content in members.items()
        },
    }
    text = json.dumps(manifest, indent=2, allow_nan=False).encode()
    with (
        replacing(path, durable=True) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for member, content in {MANIFEST: text, **members}.items():
            # With a fixed date, so that equal models give equal files.
            archive.writestr(zipfile.ZipInfo(member), content)


class Container:
    """A model file that is open for reading.

    Parameters
    ----------
    path : str
        For messages.
    file : binary file
        Open for reading, seekable.

    Attributes
    ----------
    facts : dict
        The manifest.

    Raises
    ------
    ModelFileError
        If it is damaged, not a model file, or of a newer format.
    """

    def __init__(self, path, file):
        self.path = path
        self._archive = self._open(file)
        self.facts = self._read_manifest()
        self._check_files()

    def refuse(self, reason, advice=_SAVE_AGAIN):
        """Return the error to raise for this file."""
        text = f"{self.path!r} cannot be loaded: {shorten(reason)}. {shorten(advice)}"
        return ModelFileError(printable(text))

    def read(self, name):
        """Return the content of a member, checked against its SHA-256.

        Parameters
        ----------
        name : str

        Returns
        -------
        content : bytes

        Raises
        ------
        ModelFileError
            If there is no such member, or it has changed since it was written.
        """
        expected = self.facts["files"].get(name)
        if expected is None:
            raise self.refuse(f"it has no member {name!r}, which its estimator needs")
        content = self._read(name)
        found = _sha256(content)
        if found != expected["sha256"]:
            raise self.refuse(
                f"its member {name!r} has changed since it was saved: SHA-256 {found}, "
                f"and {MANIFEST} says {expected['sha256']}"
            )
        return content

    def _open(self, file):
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = file.read(4)
        try:
            archive = zipfile.ZipFile(file)
        except _DAMAGE as error:
            _raise_if_of_the_disk(error)
            if start == b"PK\x03\x04":
                raise self.refuse(
                    "it is truncated or damaged: the table of contents at its end "
                    f"cannot be read ({error})"
                ) from error
            raise self.refuse(
                "it is not a zip archive, as model files are",
                "Give a file written by skgaussad.save. Files of joblib and pickle are "
                "for joblib.load and pickle.load, which run the code in them: use "
                "these for your own files only.",
            ) from error
        problem = find_unstored(archive, size)
        # The end of a file that was cut may be that of an archive in it.
        if min((info.header_offset for info in archive.infolist()), default=0) > 0:
            problem = "it is truncated or damaged: it does not begin with a member"
        if problem is not None:
            raise self.refuse(problem)
        return archive

    def _read_manifest(self):
        names = self._archive.namelist()
        if MANIFEST not in names:
            raise self.refuse(
                f"it is a zip archive without {MANIFEST}, so not a model file",
                "Give a file written by skgaussad.save"
                + (
                    "; a file of skops is for skops.io.load."
                    if "schema.json" in names
                    else "."
                ),
            )
        size = self._archive.getinfo(MANIFEST).file_size
        if size > _MAX_MANIFEST_BYTES:
            raise self.refuse(
                f"its {MANIFEST} has {size} bytes, more than {_MAX_MANIFEST_BYTES}"
            )
        try:
            facts = json.loads(self._read(MANIFEST))
        except (ValueError, RecursionError) as error:
            if isinstance(error, ModelFileError):
                raise
            raise self.refuse(f"its {MANIFEST} is not JSON ({error})") from error
        if _is_deep(facts, _MAX_DEPTH):
            raise self.refuse(f"its {MANIFEST} has more than {_MAX_DEPTH} levels")
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise self.refuse(
                f"its {MANIFEST} does not say {{'format': {FORMAT!r}}}, so it is not a "
                "model file",
                "Give a file written by skgaussad.save.",
            )
        version = facts.get("format_version")
        if type(version) is not int or version < 1:
            raise self.refuse(
                f"its format_version must be an integer of at least 1, and is "
                f"{version!r}"
            )
        if version > FORMAT_VERSION:
            packages = facts.get("packages")
            known = isinstance(packages, dict) and packages.get("skgaussad")
            raise self.refuse(
                f"it has the format version {version}, and this skgaussad reads "
                f"versions up to {FORMAT_VERSION}",
                f"Install skgaussad {known or 'of a newer version'}"
                f"{' or newer' if known else ''}, or save the model with this one.",
            )
        return facts

    def _check_files(self):
        """Raise unless the members are those that the manifest lists."""
        files = self.facts.get("files")
        if not isinstance(files, dict) or not all(
            isinstance(entry, dict)
            and isinstance(entry.get("sha256"), str)
            and type(entry.get("bytes")) is int
            for entry in files.values()
        ):
            raise self.refuse(
                f"its {MANIFEST} does not list each member with its bytes and sha256"
            )
        unknown = [name for name in files if not _MEMBER.fullmatch(name)]
        if unknown or ESTIMATOR not in files:
            raise self.refuse(
                f"its members must be {ESTIMATOR!r} and weights, and are {list(files)}"
            )
        sizes = {name: entry["bytes"] for name, entry in files.items()}
        found = {info.filename: info.file_size for info in self._archive.infolist()}
        del found[MANIFEST]
        if sizes != found:
            raise self.refuse(
                f"its {MANIFEST} lists members and sizes {sizes}, and there are {found}"
            )

    def _read(self, name):
        try:
            return self._archive.read(name)
        except _DAMAGE as error:
            _raise_if_of_the_disk(error)
            raise self.refuse(f"its member {name!r} is damaged ({error})") from error


@contextlib.contextmanager
def open_container(path):
    """Open a model file for reading.

    Parameters
    ----------
    path : path

    Yields
    ------
    container : Container

    Raises
    ------
    OSError
        If the file cannot be opened.
    ModelFileError
        As of `Container`.
    """
    with open(path, "rb") as file:
        yield Container(os.fspath(path), file)


def find_unstored(archive, size):
    """Say why an archive may need more memory than its own size, or return None.

    Uncompressed members need as many bytes in memory as in the file, unless they
    overlap.
    """
    seen = set()
    for info in archive.infolist():
        name = info.filename
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            return (
                f"its member {name!r} is compressed or encrypted, and members of a "
                "model file must be neither"
            )
        if name in seen:
            return f"it has two members of the name {name!r}"
        seen.add(name)
    total = sum(info.file_size for info in archive.infolist())
    if total > size:
        return f"its members have {total} bytes together, and the file only {size}"
    return None


def shorten(text):
    """Cut a text that comes from a file, for a message."""
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."


def _is_deep(item, levels):
    """Tell whether lists and dicts are in each other for more than some levels."""
    if not isinstance(item, dict | list):
        return False
    children = item.values() if isinstance(item, dict) else item
    return levels == 0 or any(_is_deep(child, levels - 1) for child in children)


def _raise_if_of_the_disk(error):
    """Raise an error that comes from the disk, not from damage of the archive."""
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
        raise error


def weights_name(key):
    """Return the name of the member for the weights with this SHA-256."""
    return f"weights/{key}.safetensors"


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
