"""Tests of the SQLite file in which features are kept."""

import re
import sqlite3
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skgaussad.exceptions import FeatureCacheWarning
from skgaussad.features import _feature_store as module
from skgaussad.features._feature_store import FeatureStore
from skgaussad.features._recipe import Recipe

NARROW = Recipe(3, "narrow")
WIDE = Recipe(40, "wide")
LARGE = 2**40


def digest(number):
    return number.to_bytes(32, "big")


def make_vectors(n_images, recipe=NARROW, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_images, recipe.width)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "features.sqlite"


def fill(path, n_images=5, recipe=NARROW):
    vectors = make_vectors(n_images, recipe)
    with FeatureStore(path, LARGE) as store:
        store.put([recipe], [digest(i) for i in range(n_images)], [vectors])
    return vectors


def read(path, n_images=5, recipe=NARROW):
    with FeatureStore(path, LARGE) as store:
        return store.get(recipe, [digest(i) for i in range(n_images)])


def assert_holds(path, vectors, recipe=NARROW):
    found = read(path, len(vectors), recipe)
    assert len(found) == len(vectors)
    for i, vector in enumerate(vectors):
        np.testing.assert_array_equal(found[digest(i)], vector)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([NARROW, WIDE]),
            st.dictionaries(st.integers(0, 9), st.integers(0, 2**32 - 1), min_size=1),
        ),
        max_size=6,
    )
)
@settings(max_examples=25, deadline=None)
def test_gives_back_what_was_put_last(tmp_path_factory, puts):
    path = tmp_path_factory.mktemp("store") / "features.sqlite"
    expected = {}
    for recipe, seeds in puts:
        vectors = [make_vectors(1, recipe, seed)[0] for seed in seeds.values()]
        with FeatureStore(path, LARGE) as store:
            store.put([recipe], [digest(i) for i in seeds], [vectors])
        for i, vector in zip(seeds, vectors, strict=True):
            expected[recipe.key, digest(i)] = vector
    with FeatureStore(path, LARGE) as store:
        found = {
            (recipe.key, image): vector
            for recipe in (NARROW, WIDE)
            for image, vector in store.get(recipe, map(digest, range(10))).items()
        }
        n_vectors, n_images, n_bytes = store.count()
    assert found.keys() == expected.keys()
    for key, vector in expected.items():
        np.testing.assert_array_equal(found[key], vector)
        assert found[key].dtype == np.float32
    assert n_vectors == len(expected)
    assert n_images == len({image for _, image in expected})
    assert n_bytes > sum(vector.nbytes for vector in expected.values())


def test_several_recipes_at_once(path):
    narrow, wide = make_vectors(4), make_vectors(4, WIDE)
    images = [digest(i) for i in range(4)]
    with FeatureStore(path, LARGE) as store:
        store.put([NARROW, WIDE], images, [narrow, wide])
    assert_holds(path, narrow)
    assert_holds(path, wide, WIDE)


def test_more_images_than_a_statement_takes(path, monkeypatch):
    monkeypatch.setattr(module, "_MAX_VARIABLES", 7)
    assert_holds(path, fill(path, 50))


def test_what_is_not_there(path):
    fill(path)
    with FeatureStore(path, LARGE) as store:
        assert store.get(NARROW, [digest(99)]) == {}
        assert store.get(WIDE, [digest(0)]) == {}
        assert store.get(NARROW, []) == {}


def test_clear(path):
    fill(path, 500, WIDE)
    size = path.stat().st_size
    with FeatureStore(path, LARGE) as store:
        store.clear()
        assert store.count()[:2] == (0, 0)
    assert path.stat().st_size < size / 4
    assert read(path) == {}


# Size


def test_vectors_used_longest_ago_are_thrown_out(path, monkeypatch):
    now = 1_000_000
    monkeypatch.setattr(module.time, "time", lambda: now)
    limit = 200_000
    vectors = make_vectors(1, WIDE)
    with FeatureStore(path, limit) as store:
        for i in range(2000):
            now += 10_000
            store.put([WIDE], [digest(i)], [vectors])
            # Used all the time, though it was put in first.
            assert digest(0) in store.get(WIDE, [digest(0)])
            assert store.count()[2] <= limit
        kept = store.get(WIDE, map(digest, range(2000)))
    numbers = sorted(int.from_bytes(image, "big") for image in kept)
    assert 100 < len(numbers) < 1000
    assert numbers == [0, *range(2000 - len(numbers) + 1, 2000)]
    # The space is given back to the disk.
    assert path.stat().st_size < 1.2 * limit


def test_reading_writes_at_most_once_an_hour(path, monkeypatch):
    now = 1_000_000
    monkeypatch.setattr(module.time, "time", lambda: now)
    fill(path)

    def used():
        with sqlite3.connect(path) as connection:
            return connection.execute("SELECT DISTINCT used FROM feature").fetchall()

    now += 3000
    read(path)
    assert used() == [(1_000_000,)]
    now += 1000
    read(path)
    assert used() == [(1_004_000,)]


def test_batch_larger_than_the_limit(path):
    with FeatureStore(path, 10_000) as store:
        store.put([WIDE], map(digest, range(500)), [make_vectors(500, WIDE)])
        assert store.count()[0] == 0


# Damage


def alter(path, statement, *values):
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("vector", b"\0" * 12),
        ("vector", b"\0" * 8),
        ("vector", b""),
        ("checksum", b"\0" * 8),
        ("image", digest(77)),
    ],
)
def test_damaged_vector_is_reported_and_forgotten(path, column, value):
    vectors = fill(path)
    alter(path, f"UPDATE feature SET {column} = ? WHERE image = ?", value, digest(2))
    wanted = [digest(i) for i in (*range(5), 77)]
    with FeatureStore(path, LARGE) as store:
        message = f"1 vectors in the feature cache {re.escape(str(path))} are damaged"
        with pytest.warns(FeatureCacheWarning, match=message):
            found = store.get(NARROW, wanted)
        assert found.keys() == {digest(i) for i in (0, 1, 3, 4)}
        # It is gone, so that it is reported once.
        assert store.get(NARROW, wanted).keys() == found.keys()
        store.put([NARROW], [digest(2)], [vectors[2:3]])
    assert_holds(path, vectors)


def test_vectors_of_two_recipes_that_were_exchanged(path):
    other = Recipe(3, "other")
    images = [digest(0)]
    with FeatureStore(path, LARGE) as store:
        store.put([NARROW, other], images, [make_vectors(1), make_vectors(1, seed=1)])
    alter(path, "UPDATE feature SET recipe = -recipe")
    alter(path, "UPDATE feature SET recipe = recipe + 3")
    for recipe in (NARROW, other):
        with pytest.warns(FeatureCacheWarning, match="damaged"):
            assert read(path, 1, recipe) == {}


def overwrite(path, start, content):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def set_aside(path):
    return [p for p in path.parent.glob("*.damaged-*") if p.suffix != ".lock"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"not a database, but long enough for one" * 99),
        lambda path: path.write_bytes(path.read_bytes()[:-5000]),
        lambda path: overwrite(path, 0, b"\xff" * 100),
        lambda path: overwrite(path, 4096, b"\xff" * 40_000),
    ],
    ids=["text", "cut off", "header", "pages"],
)
def test_damaged_file_is_set_aside_and_begun_anew(path, damage):
    fill(path, 300, WIDE)
    damage(path)
    content = path.read_bytes()
    with pytest.warns(FeatureCacheWarning, match=r"is damaged \(.*renamed to 'feat"):
        found = read(path, 300, WIDE)
    # What can still be read is what was put.
    vectors = make_vectors(300, WIDE)
    for image, vector in found.items():
        np.testing.assert_array_equal(vector, vectors[int.from_bytes(image, "big")])
    (aside,) = set_aside(path)
    assert aside.read_bytes() == content
    assert_holds(path, fill(path, 300, WIDE), WIDE)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60_000), st.binary(min_size=1, max_size=64))
@pytest.mark.slow
def test_no_damage_gives_a_wrong_vector(tmp_path_factory, start, content):
    path = tmp_path_factory.mktemp("store") / "features.sqlite"
    vectors = fill(path, 200, WIDE)
    overwrite(path, start % path.stat().st_size, content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FeatureCacheWarning)
        for _ in range(3):
            # Some may be missing, where the index is damaged.
            for image, vector in read(path, 200, WIDE).items():
                expected = vectors[int.from_bytes(image, "big")]
                np.testing.assert_array_equal(vector, expected)
            # And it goes on.
            fill(path, 200, WIDE)


def test_database_of_another_program_is_not_written_to(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (name TEXT)")
    connection.commit()
    connection.close()
    content = path.read_bytes()
    with pytest.warns(FeatureCacheWarning, match="the database of another program"):
        fill(path)
    (aside,) = set_aside(path)
    assert aside.read_bytes() == content
    assert len(read(path)) == 5


def test_empty_file_is_taken(path):
    path.touch()
    assert_holds(path, fill(path))


# What cannot be used


def test_full_disk_is_reported_once_and_loses_nothing(path):
    vectors = fill(path)
    more = make_vectors(2000, WIDE)
    with FeatureStore(path, LARGE) as store:
        store._connection.execute("PRAGMA max_page_count = 12")
        with pytest.warns(FeatureCacheWarning, match=r"cannot be used \(.*full\)") as w:
            store.put([WIDE], map(digest, range(2000)), [more])
        assert len(w) == 1
        # From here on it keeps nothing, and says no more.
        store.put([NARROW], [digest(9)], [make_vectors(1)])
        assert store.get(NARROW, [digest(0)]) == {}
        assert store.count() == (0, 0, 0)
        store.clear()
    assert_holds(path, vectors)
    assert read(path, 2000, WIDE) == {}


def test_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(FeatureCacheWarning, match="cannot be used") as caught:
        fill(tmp_path / "file" / "features.sqlite")
    assert len(caught) == 1


def test_file_that_another_process_keeps_locked(path, monkeypatch):
    vectors = fill(path)
    monkeypatch.setattr(module, "_TIMEOUT", 0.05)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with FeatureStore(path, LARGE) as store:
        # Reading does not wait for a writer.
        assert len(store.get(NARROW, map(digest, range(5)))) == 5
        with pytest.warns(FeatureCacheWarning, match="locked"):
            store.put([NARROW], [digest(9)], [make_vectors(1)])
    connection.execute("ROLLBACK")
    connection.close()
    assert_holds(path, vectors)


def test_threads_write_at_once(path):
    vectors = make_vectors(400)

    def work(start):
        with FeatureStore(path, LARGE) as store:
            for i in range(start, 400, 4):
                store.put([NARROW], [digest(i)], [vectors[i : i + 1]])

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_holds(path, vectors)
