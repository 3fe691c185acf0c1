"""Feature vectors in an SQLite file that many processes use at once."""

import contextlib
import hashlib
import sqlite3
import time
import warnings

import numpy as np
from filelock import FileLock

from .._utils.shared_lock import SharedLock
from ..exceptions import FeatureCacheWarning

# "skga" in ASCII; tells our files from those of other programs.
_APPLICATION_ID = 0x736B6761
# In one transaction, so that a killed process leaves no part of it.
_SCHEMA = f"""
    PRAGMA auto_vacuum = INCREMENTAL;
    BEGIN;
    PRAGMA application_id = {_APPLICATION_ID};
    CREATE TABLE recipe (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, description TEXT NOT NULL
    );
    CREATE TABLE feature (
        recipe INTEGER NOT NULL,
        image BLOB NOT NULL,
        vector BLOB NOT NULL,
        checksum BLOB NOT NULL,
        used INTEGER NOT NULL,
        PRIMARY KEY (recipe, image)
    );
    CREATE INDEX feature_used ON feature (used);
    COMMIT;
"""
# Seconds to wait while another process writes.
_TIMEOUT = 60
# The time of the last use is stored to the hour, so that reads seldom write.
_USE_RESOLUTION = 3600
# Variables in one statement, within the limit of old versions of SQLite.
_MAX_VARIABLES = 900
# In SQLite's messages of errors that are not due to damage of the file.
_OBSTACLES = ("locked", "full", "readonly", "unable to open", "I/O error")
# Fraction of the limit that remains when least recently used vectors are deleted.
_KEPT_FRACTION = 0.9


# While SQLite is in use, forks wait.
_in_use = SharedLock()


class FeatureStore:
    """An open file of feature vectors, by recipe and image.

    Problems are no errors, but `FeatureCacheWarning`: a damaged vector is not returned;
    a file that is damaged or of another program is renamed and replaced; and with a
    file that cannot be used, the store is empty and stores nothing.

    Parameters
    ----------
    path : pathlib.Path
        The file, created if it does not exist.
    max_bytes : int
        Size beyond which the least recently used vectors are deleted.
    """

    def __init__(self, path, max_bytes):
        self._path = path
        self._max_bytes = max_bytes
        self._connection = None
        self._open()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._close()

    def get(self, recipe, images):
        """Return the vectors that are in the store.

        Parameters
        ----------
        recipe : Recipe
            How the features were computed.
        images : iterable of bytes
            Digests of the images.

        Returns
        -------
        vectors : dict of {bytes: ndarray of shape (recipe.width,)}
            Float32, by digest; without those that are missing or damaged.
        """
        images = list(images)
        return self._attempt(lambda: self._get(recipe, images), {})

    def put(self, recipes, images, vectors):
        """Store vectors, all of them or none.

        Parameters
        ----------
        recipes : sequence of Recipe
        images : sequence of bytes
            Digests of the images.
        vectors : sequence of ndarray of shape (len(images), recipe.width)
            Float32, by recipe.
        """
        now = int(time.time())
        rows = []
        for recipe, of_recipe in zip(recipes, vectors, strict=True):
            for image, vector in zip(images, of_recipe, strict=True):
                content = vector.astype("<f4").tobytes()
                checksum = _checksum(recipe, image, content)
                rows.append((recipe.key, image, content, checksum, now))
        self._attempt(lambda: self._put(recipes, rows))

    def count(self):
        """Return the numbers of vectors and of images, and the size in bytes."""
        return self._attempt(self._count, (0, 0, 0))

    def clear(self):
        """Delete all vectors."""
        self._attempt(lambda: self._connection.executescript("DELETE FROM feature"))
        self._attempt(lambda: self._connection.executescript("VACUUM"))

    def _open(self):
        try:
            # One process at a time, since another may be creating the tables.
            with FileLock(self._path.with_suffix(".lock")):
                try:
                    self._connect()
                except _NotAStoreError as problem:
                    self._set_aside(problem)
                    self._connect()
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def _connect(self):
        with _in_use.held():
            self._connection = self._make_connection()
        self._recipe_ids = {}

    def _make_connection(self):
        connection = sqlite3.connect(self._path, timeout=_TIMEOUT, isolation_level=None)
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            try:
                application = _single(connection, "PRAGMA application_id")
                n_tables = _single(connection, "SELECT count(*) FROM sqlite_master")
                if application == 0 and n_tables == 0:
                    connection.executescript(_SCHEMA)
                elif application != _APPLICATION_ID:
                    raise _NotAStoreError("the database of another program")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
            except _ERRORS as error:
                if _is_obstacle(error):
                    raise
                raise _NotAStoreError(f"damaged ({error})") from error
            stack.pop_all()
        return connection

    def _close(self):
        if self._connection is not None:
            with _in_use.held():
                self._connection.close()
            self._connection = None

    def _attempt(self, operation, otherwise=None):
        """Run an operation; on errors of the file, warn and return `otherwise`."""
        if self._connection is None:
            return otherwise
        try:
            with _in_use.held():
                return operation()
        except _ERRORS as error:
            self._close()
            if _is_obstacle(error):
                self._give_up(error)
            else:
                with FileLock(self._path.with_suffix(".lock")):
                    self._set_aside(f"damaged ({error})")
                self._open()
        return otherwise

    def _give_up(self, error):
        _warn(
            f"The feature cache {self._path} cannot be used ({error}): features are "
            "computed and not stored. Check the permissions of the folder and the "
            "space on the disk, or set another cache."
        )

    def _set_aside(self, problem):
        """Rename the file and SQLite's files beside it."""
        name = f"{self._path.name}.damaged-{time.time_ns()}"
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).rename(
                    self._path.with_name(name + suffix)
                )
        _warn(
            f"The feature cache {self._path} is {problem}. The file was renamed to "
            f"{name!r}, and features are computed again."
        )

    def _recipe_id(self, recipe):
        """Return the number of a recipe in this file, or None."""
        if recipe.key not in self._recipe_ids:
            found = self._connection.execute(
                "SELECT id FROM recipe WHERE key = ?", (recipe.key,)
            ).fetchone()
            if found is None:
                return None
            self._recipe_ids[recipe.key] = found[0]
        return self._recipe_ids[recipe.key]

    def _get(self, recipe, images):
        recipe_id = self._recipe_id(recipe)
        vectors = {}
        for start in range(0, len(images), _MAX_VARIABLES):
            some = images[start : start + _MAX_VARIABLES]
            marks = ", ".join("?" * len(some))
            oldest = now = int(time.time())
            damaged = []
            for image, content, checksum, used in self._connection.execute(
                "SELECT image, vector, checksum, used FROM feature "
                f"WHERE recipe = ? AND image IN ({marks})",
                (recipe_id, *some),
            ):
                # In a damaged file, bytes may be read as text or numbers.
                is_intact = isinstance(content, bytes) and isinstance(image, bytes)
                if is_intact and checksum == _checksum(recipe, image, content):
                    vectors[image] = np.frombuffer(content, dtype="<f4")
                    oldest = min(oldest, used)
                else:
                    damaged.append((recipe_id, image))
            if damaged:
                self._connection.executemany(
                    "DELETE FROM feature WHERE recipe = ? AND image = ?", damaged
                )
                _warn(
                    f"{len(damaged)} vectors in the feature cache {self._path} are "
                    "damaged; they are computed again."
                )
            if oldest < now - _USE_RESOLUTION:
                self._connection.execute(
                    "UPDATE feature SET used = ? "
                    f"WHERE recipe = ? AND image IN ({marks})",
                    (now, recipe_id, *some),
                )
        return vectors

    def _put(self, recipes, rows):
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                "INSERT OR IGNORE INTO recipe (key, description) VALUES (?, ?)",
                [(recipe.key, recipe.description) for recipe in recipes],
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO feature (recipe, image, vector, checksum, used)"
                " VALUES ((SELECT id FROM recipe WHERE key = ?), ?, ?, ?, ?)",
                rows,
            )
            self._delete_oldest()
            self._connection.execute("COMMIT")
        except BaseException:
            # On a full disk SQLite has already rolled back.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _delete_oldest(self):
        """Delete the least recently used vectors if the file is too large."""
        excess = self._size() - self._max_bytes
        if excess <= 0:
            return
        n_vectors, n_bytes = self._connection.execute(
            "SELECT count(*), sum(length(vector)) FROM feature"
        ).fetchone()
        excess += (1 - _KEPT_FRACTION) * self._max_bytes
        fraction = min(1.0, excess / max(n_bytes, 1))
        self._connection.execute(
            "DELETE FROM feature WHERE rowid IN "
            "(SELECT rowid FROM feature ORDER BY used, rowid LIMIT ?)",
            (int(np.ceil(fraction * n_vectors)),),
        )
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()

    def _size(self):
        pages = _single(self._connection, "PRAGMA page_count")
        free = _single(self._connection, "PRAGMA freelist_count")
        return (pages - free) * _single(self._connection, "PRAGMA page_size")

    def _count(self):
        counts = self._connection.execute(
            "SELECT count(*), count(DISTINCT image) FROM feature"
        ).fetchone()
        return (*counts, self._size())


# Decoding errors come from damaged texts in the schema.
_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)


def _is_obstacle(error):
    return isinstance(error, sqlite3.OperationalError) and any(
        obstacle in str(error) for obstacle in _OBSTACLES
    )


class _NotAStoreError(Exception):
    """A file is of another program, or damaged."""


def _single(connection, statement):
    return connection.execute(statement).fetchone()[0]


def _checksum(recipe, image, content):
    """Return the checksum of a vector, with its recipe and image."""
    return hashlib.blake2b(recipe.key + image + content, digest_size=8).digest()


def _warn(message):
    warnings.warn(message, FeatureCacheWarning, stacklevel=2)
