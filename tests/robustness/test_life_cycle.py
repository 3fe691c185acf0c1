"""Any sequence of calls leaves an estimator as the data it holds say."""

import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skgaussad import DeepFeatureTransformer, MahalanobisDetector
from skgaussad.exceptions import InvalidImageError
from skgaussad.features import FeatureCache

# Whether there are enough samples for the rate is for others to test.
pytestmark = pytest.mark.filterwarnings(
    "ignore::skgaussad.exceptions.FalseAlarmRateWarning"
)

POOL = np.random.default_rng(0).normal(size=(40, 5)) * [1, 2, 3, 0.5, 1] + 7
X_TEST = np.random.default_rng(1).normal(size=(10, 5)) * 3 + 7
N_FEATURES = POOL.shape[1]
# From this many samples on every covariance and every threshold can be had.
ENOUGH = 4
CALLS = ["fit", "partial_fit", "remove_samples", "calibrate", "score_samples"]


class DetectorLifeCycle(RuleBasedStateMachine):
    """A detector, and the positions in POOL of the samples that it was trained on."""

    @initialize(
        covariance=st.sampled_from(["ledoit_wolf", "oas", "shrunk", "diagonal"]),
        threshold=st.sampled_from(["quantile", "chi2"]),
    )
    def begin(self, covariance, threshold):
        self.detector = MahalanobisDetector(covariance, threshold=threshold, fpr=0.3)
        self.rows = []
        self.has_distances = False
        # That of the last call that sets a threshold.
        self.fpr_in_use = None

    def draw_others(self, data, most):
        others = sorted(set(range(len(POOL))) - set(self.rows))
        return data.draw(
            st.lists(st.sampled_from(others), unique=True, min_size=1, max_size=most)
        )

    def trained(self, rows, has_distances):
        self.rows = rows
        self.has_distances = has_distances
        self.fpr_in_use = self.detector.fpr

    @rule(data=st.data(), n=st.integers(ENOUGH, 15))
    def fit(self, data, n):
        rows = data.draw(st.permutations(range(len(POOL))))[:n]
        assert self.detector.fit(POOL[rows]) is self.detector
        self.trained(rows, True)

    @precondition(lambda self: len(self.rows) < len(POOL) - 6)
    @rule(data=st.data())
    def partial_fit(self, data):
        new = self.draw_others(data, 6)
        assert self.detector.partial_fit(POOL[new]) is self.detector
        self.trained(self.rows + new, False)

    @precondition(lambda self: 0 < len(self.rows) < len(POOL) - 6)
    @rule(data=st.data())
    def merge(self, data):
        new = self.draw_others(data, 6)
        other = clone(self.detector).partial_fit(POOL[new])
        before = pickle.dumps(other)
        assert self.detector.merge(other) is self.detector
        assert pickle.dumps(other) == before
        self.trained(self.rows + new, False)

    @precondition(lambda self: len(self.rows) > ENOUGH)
    @rule(data=st.data())
    def remove_samples(self, data):
        gone = data.draw(
            st.lists(
                st.sampled_from(self.rows),
                unique=True,
                min_size=1,
                max_size=len(self.rows) // 2,
            )
        )
        assert self.detector.remove_samples(POOL[gone]) is self.detector
        self.trained([row for row in self.rows if row not in gone], False)

    @precondition(lambda self: len(self.rows) >= ENOUGH)
    @rule(data=st.data())
    def calibrate(self, data):
        rows = data.draw(st.permutations(self.rows))
        assert self.detector.calibrate(POOL[rows]) is self.detector
        self.trained(rows, True)

    @rule()
    def forget_too_many(self):
        """What is refused changes nothing, as the invariants then tell."""
        if self.rows:
            with pytest.raises(ValueError, match="sample"):
                self.detector.remove_samples(POOL[self.rows])
        else:
            with pytest.raises(NotFittedError):
                self.detector.remove_samples(POOL[:1])

    @precondition(lambda self: len(self.rows) >= ENOUGH)
    @rule(value=st.sampled_from([np.nan, np.inf]), call=st.sampled_from(CALLS))
    def refuse(self, value, call):
        with pytest.raises(ValueError, match="NaN|infinity"):
            getattr(self.detector, call)(np.full((2, N_FEATURES), value))
        if call != "fit":
            with pytest.raises(ValueError, match="features"):
                getattr(self.detector, call)(POOL[:2, :-1])

    @rule(fpr=st.sampled_from([0.1, 0.3, 0.5]))
    def set_params(self, fpr):
        """Waits for the next call that sets a threshold, and until then is refused."""
        self.detector.set_params(fpr=fpr)

    @rule()
    def pickle(self):
        self.detector = pickle.loads(pickle.dumps(self.detector))

    @rule()
    def clone(self):
        self.detector = clone(self.detector)
        self.rows, self.has_distances, self.fpr_in_use = [], False, None

    @invariant()
    def is_that_of_its_samples(self):
        detector = self.detector
        if len(self.rows) < 2:
            for use in (detector.score_samples, detector.predict, detector.p_values):
                with pytest.raises(NotFittedError):
                    use(X_TEST)
        if len(self.rows) < ENOUGH:
            assert getattr(detector, "n_samples_seen_", 0) == len(self.rows)
            return
        fresh = clone(detector).set_params(fpr=self.fpr_in_use).fit(POOL[self.rows])
        assert detector.n_samples_seen_ == len(self.rows)
        assert detector.n_features_in_ == N_FEATURES
        np.testing.assert_allclose(detector.location_, fresh.location_, rtol=1e-10)
        assert detector.shrinkage_ == pytest.approx(fresh.shrinkage_, rel=1e-7)
        np.testing.assert_allclose(
            detector.score_samples(X_TEST), fresh.score_samples(X_TEST), rtol=1e-7
        )
        if self.has_distances:
            np.testing.assert_allclose(
                detector.calibration_distances_,
                fresh.calibration_distances_,
                rtol=1e-6,
            )
            np.testing.assert_allclose(
                detector.p_values(X_TEST), fresh.p_values(X_TEST), rtol=1e-5
            )
        else:
            with pytest.raises(NotFittedError, match=r"Call calibrate\(X\)"):
                detector.p_values(X_TEST)
            assert not hasattr(detector, "calibration_distances_")
        if self.has_distances or detector.threshold == "chi2":
            if detector.fpr != self.fpr_in_use:
                with pytest.raises(ValueError, match="fpr was set to"):
                    detector.predict(X_TEST)
                return
            assert detector.offset_ == pytest.approx(fresh.offset_, rel=1e-5)
            np.testing.assert_array_equal(
                detector.predict(X_TEST), fresh.predict(X_TEST)
            )
        else:
            with pytest.raises(NotFittedError, match=r"Call calibrate\(X\)"):
                detector.predict(X_TEST)


PICTURES = np.random.default_rng(0).integers(0, 256, (6, 12, 12), dtype=np.uint8)
N_FILES = 4


def make_transformer(levels, cache=None):
    return DeepFeatureTransformer(
        "test_resnet",
        levels=levels,
        weights=None,
        image_size=32,
        device="cpu",
        cache=cache,
    )


class CacheLifeCycle(RuleBasedStateMachine):
    """A cache, and files of which each holds one of a few pictures, or none."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.cache = FeatureCache(self.folder / "cache")
        self.transformers = {
            level: make_transformer([level], self.cache).fit(PICTURES)
            for level in (2, 4)
        }
        self.expected = {
            level: make_transformer([level]).fit_transform(PICTURES) for level in (2, 4)
        }
        self.pictures = [None] * N_FILES
        self.kept = set()

    def path(self, i):
        return self.folder / f"{i}.bmp"

    @rule(i=st.integers(0, N_FILES - 1), picture=st.integers(0, len(PICTURES) - 1))
    def write(self, i, picture):
        """Files of one size, written within the resolution of time stamps."""
        Image.fromarray(PICTURES[picture]).save(self.path(i))
        self.pictures[i] = picture

    @rule(i=st.integers(0, N_FILES - 1))
    def remove(self, i):
        self.path(i).unlink(missing_ok=True)
        self.pictures[i] = None

    @rule(
        level=st.sampled_from([2, 4]),
        files=st.lists(st.integers(0, N_FILES - 1), min_size=1, max_size=6),
    )
    def transform(self, level, files):
        paths = [self.path(i) for i in files]
        missing = [i for i, file in enumerate(files) if self.pictures[file] is None]
        if missing:
            with pytest.raises(InvalidImageError) as caught:
                self.transformers[level].transform(paths)
            assert caught.value.index == missing[0]
            return
        pictures = [self.pictures[file] for file in files]
        expected = self.expected[level]
        np.testing.assert_allclose(
            self.transformers[level].transform(paths),
            expected[pictures],
            rtol=0,
            atol=1e-5 * np.abs(expected).max(),
        )
        self.kept.update(pictures)

    @rule()
    def clear(self):
        self.cache.clear()
        self.kept.clear()

    @rule(level=st.sampled_from([2, 4]))
    def pickle(self, level):
        twin = pickle.loads(pickle.dumps(self.transformers[level]))
        self.transformers[level] = twin

    @invariant()
    def each_picture_is_kept_once(self):
        assert self.cache.info()["n_images"] == len(self.kept)

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


TestDetectorLifeCycle = DetectorLifeCycle.TestCase
TestDetectorLifeCycle.settings = settings(
    max_examples=60, stateful_step_count=20, deadline=None
)
TestCacheLifeCycle = CacheLifeCycle.TestCase
TestCacheLifeCycle.settings = settings(
    max_examples=10, stateful_step_count=20, deadline=None
)
