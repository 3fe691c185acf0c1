import io
import itertools
import pickle

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from skgaussad import MahalanobisDetector, load, save
from skgaussad.calibration import _betting
from skgaussad.calibration._monitor import ConformalMonitor
from skgaussad.exceptions import FalseAlarmRateWarning

# Where some bet jumps or bends.
BREAKS = sorted({*_betting.LEVELS, _betting.SHIFT_CLIP, 1 - _betting.SHIFT_CLIP})


def integral(function):
    """Integral over [0, 1] of a function that is smooth between the breaks."""
    edges = [0.0, *BREAKS, 1.0]
    return sum(
        integrate.quad(function, low, high, epsabs=1e-11)[0]
        for low, high in itertools.pairwise(edges)
    )


def capitals_after(p_values):
    capitals = np.full(_betting.N_BETS, -np.inf)
    for n, p_value in enumerate(p_values, start=1):
        capitals = _betting.advance(capitals, p_value, n)
    return capitals


def alarm_times(p_values, alpha):
    """Index of the first alarm in every row of `p_values`, -1 where there is none."""
    capitals = np.full((len(p_values), _betting.N_BETS), -np.inf)
    first = np.full(len(p_values), -1)
    for n, column in enumerate(p_values.T, start=1):
        capitals = _betting.advance(capitals, column, n)
        total = _betting.log_mean(*_betting.log_martingales(capitals, n))
        first[(first < 0) & (total >= -np.log(alpha))] = n - 1
    return first


def distances_with(change, size, rng, **kind):
    """Standard normal distances; after `change`, all shifted, or some defects."""
    distances = rng.normal(size=change + size)
    if "shift" in kind:
        distances[change:] += kind["shift"]
    else:
        defective = rng.random(size) < kind["fraction"]
        distances[change:][defective] = rng.uniform(4, 8, size=defective.sum())
    return distances


def state(monitor):
    attributes = {
        name: vars(monitor)[name] for name in vars(monitor) if name[-1] == "_"
    }
    return attributes | {"capitals": monitor._log_capitals.tolist()}


def test_bets_are_densities():
    for k in range(_betting.N_BETS):
        total = integral(lambda p, k=k: np.exp(_betting.log_bets(p)[k]))
        assert total == pytest.approx(1, abs=1e-9)


def test_bets_are_those_described():
    p = np.array([0.0, 0.004, 0.015, 0.03, 0.2, 0.5, 0.9, 0.995, 1.0])
    z = stats.norm.isf(p.clip(0.01, 0.99))
    bets = np.exp(_betting.log_bets(p))
    assert bets.shape == (9, _betting.N_BETS)
    for k, shift in enumerate(_betting.SHIFTS):
        # Up to the constant, which makes it integrate to one, a ratio of densities.
        expected = stats.norm.pdf(z, loc=shift) / stats.norm.pdf(z)
        np.testing.assert_allclose(bets[:, k] / bets[5, k], expected / expected[5])
    pairs = zip(_betting.LEVELS, _betting.FRACTIONS, strict=True)
    for k, (level, fraction) in enumerate(pairs, start=len(_betting.SHIFTS)):
        expected = (1 - fraction) + fraction * stats.uniform.pdf(p, scale=level)
        np.testing.assert_allclose(bets[:, k], expected)
        # More than half of the p-values small is a drift, less is a burst.
        assert (fraction > 0.5) == (k < _betting.N_DRIFT)


def test_reserve_and_stakes_make_up_the_capital():
    stakes = np.exp([_betting.log_stake(n) for n in range(1, 2001)])
    reserves = np.exp([_betting.log_reserve(n) for n in range(2001)])
    assert reserves[0] == 1
    np.testing.assert_allclose(1 - np.cumsum(stakes), reserves[1:], rtol=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=30))
def test_the_next_uniform_p_value_leaves_the_expected_capital_as_it_is(p_values):
    n = len(p_values)
    capitals = capitals_after(p_values)

    def both(log_capitals, n):
        return np.exp(_betting.log_martingales(log_capitals, n))

    for component, now in enumerate(both(capitals, n)):
        expected = integral(
            lambda p, k=component: both(_betting.advance(capitals, p, n + 1), n + 1)[k]
        )
        assert expected == pytest.approx(now, rel=1e-8)


def test_capital_is_a_mixture_over_bets_and_starting_times():
    p_values = np.random.default_rng(0).random(25) ** 2
    monitor = ConformalMonitor()
    monitor.update(p_values)

    bets = np.exp(_betting.log_bets(p_values))
    reserve = 1 / (1 + np.log(1 + np.arange(26)))
    started = sum(
        (reserve[s] - reserve[s + 1]) * bets[s:].prod(axis=0) for s in range(25)
    )
    drift = started[: _betting.N_DRIFT].mean() + reserve[-1]
    burst = started[_betting.N_DRIFT :].mean() + reserve[-1]
    components = monitor.log_components_
    assert components["drift"] == pytest.approx(np.log(drift), abs=1e-10)
    assert components["burst"] == pytest.approx(np.log(burst), abs=1e-10)
    expected = np.log((drift + burst) / 2)
    assert monitor.log_martingale_ == pytest.approx(expected, abs=1e-10)


def test_false_alarms_in_all_of_a_run_are_at_most_alpha():
    p_values = np.random.default_rng(3).random((2000, 1000))
    rate = np.mean(alarm_times(p_values, 0.05) >= 0)
    # Not so cautious either that the bound is empty.
    assert 0.01 <= rate <= 0.05


def test_online_p_values_give_no_more_false_alarms_where_a_fixed_set_does():
    rng = np.random.default_rng(4)
    fixed, online = 0, 0
    for _ in range(30):
        reference, distances = rng.normal(size=50), rng.normal(size=1500)
        larger = (reference >= distances[:, np.newaxis]).sum(axis=1)
        fixed += ConformalMonitor(0.05).update((1 + larger) / 51)
        monitor = ConformalMonitor(0.05, random_state=0).fit(reference)
        online += monitor.update_distances(distances)
    assert fixed >= 8
    assert online <= 3


def test_online_p_values_are_uniform_and_independent_despite_ties():
    rng = np.random.default_rng(5)
    monitor = ConformalMonitor(random_state=1).fit(rng.integers(0, 4, size=50))
    p_values = np.array([monitor._rank(d) for d in rng.integers(0, 4, size=4000)])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert abs(stats.spearmanr(p_values[1:], p_values[:-1]).statistic) < 0.04


def test_distances_are_ranked_among_the_reference_and_all_before_them():
    rng = np.random.default_rng(6)
    reference = rng.integers(0, 9, size=20) / 2
    distances = rng.integers(0, 12, size=60) / 2
    by_distance = ConformalMonitor(random_state=7).fit(reference)
    by_distance.update_distances(distances)

    seen, p_values = list(reference), []
    for distance, uniform in zip(
        distances, np.random.RandomState(7).uniform(size=60), strict=True
    ):
        larger = sum(other > distance for other in seen)
        equal = 1 + sum(other == distance for other in seen)
        p_values.append((larger + uniform * equal) / (1 + len(seen)))
        seen.append(distance)
    by_p_value = ConformalMonitor()
    by_p_value.update(p_values)
    assert state(by_distance) == state(by_p_value)


@pytest.mark.parametrize(
    "kind, diagnosis, within",
    [
        ({"shift": 1.0}, "drift", 100),
        ({"shift": -1.0}, "drift", 100),
        ({"shift": 4.0}, "drift", 10),
        ({"fraction": 0.2}, "burst", 100),
        ({"fraction": 0.4}, "burst", 50),
    ],
    ids=str,
)
def test_detects_and_names_a_change(kind, diagnosis, within):
    rng = np.random.default_rng(8)
    in_time, right = [], []
    for seed in range(40):
        monitor = ConformalMonitor(random_state=seed).fit(rng.normal(size=300))
        distances = distances_with(300, within, rng, **kind)
        early = monitor.update_distances(distances[:300])
        in_time.append(monitor.update_distances(distances[300:]) and not early)
        monitor.update_distances(distances_with(0, 50, rng, **kind))
        right.append(monitor.diagnosis_ == diagnosis)
    assert np.mean(in_time) >= 0.95
    assert np.mean(right) >= 0.9


def test_a_long_quiet_time_costs_little():
    rng = np.random.default_rng(9)
    p_values = rng.random((40, 6000))
    p_values[:, 5900:] = stats.norm.sf(rng.normal(1, size=(40, 100)))
    times = alarm_times(p_values, 0.01)
    assert np.mean(times >= 5900) >= 0.95


def test_alarm_is_raised_where_the_capital_first_reaches_the_threshold():
    p_values = np.random.default_rng(10).random(200) ** 1.5
    monitor = ConformalMonitor(alpha=0.02)
    capital = []
    for p_value in p_values:
        monitor.update(p_value)
        capital.append(monitor.log_martingale_)
    assert monitor.alarm_
    assert monitor.alarm_index_ == np.argmax(np.array(capital) >= np.log(50)) > 0
    assert monitor.alarm_index_ == alarm_times(p_values[np.newaxis], 0.02)[0]


def test_one_by_one_equals_a_batch():
    rng = np.random.default_rng(11)
    distances = distances_with(100, 50, rng, shift=1.0)
    reference = rng.normal(size=80)
    batch = ConformalMonitor(random_state=0).fit(reference)
    single = clone(batch).fit(reference)
    alarm = batch.update_distances(distances)
    alarms = [single.update_distances(distance) for distance in distances]
    assert alarm is alarms[-1] is True
    # The alarm stays once it is raised.
    assert np.flatnonzero(alarms).tolist() == list(range(single.alarm_index_, 150))
    assert state(single) == state(batch)


@pytest.mark.parametrize(
    "library", [pickle, joblib], ids=lambda module: module.__name__
)
@pytest.mark.parametrize("random_state", [0, None, np.random.RandomState(3)], ids=str)
def test_a_stored_monitor_goes_on_as_the_original(library, random_state):
    rng = np.random.default_rng(12)
    # Ties, so that the random numbers matter.
    distances = rng.normal(size=300).round(1)
    monitor = ConformalMonitor(random_state=random_state).fit(distances[:100])
    monitor.update_distances(distances[100:200])
    file = io.BytesIO()
    library.dump(monitor, file)
    file.seek(0)
    stored = library.load(file)
    monitor.update_distances(distances[200:])
    stored.update_distances(distances[200:])
    assert state(stored) == state(monitor)
    assert monitor.n_seen_ == 200


def test_the_kind_of_change_is_revised_while_the_evidence_grows():
    # Nothing but anomalous parts is a drift, until normal ones come in between.
    monitor = ConformalMonitor()
    while not monitor.update(0.003):
        assert monitor.diagnosis_ is None
    assert monitor.diagnosis_ == "drift"
    index = monitor.alarm_index_
    monitor.update([0.7, 0.3, 0.003, 0.9, 0.5, 0.2, 0.003, 0.003] * 4)
    assert monitor.diagnosis_ == "burst"

    # When it is over, the evidence fades and the finding stays.
    monitor.update(np.random.default_rng(13).random(1500))
    assert monitor.log_martingale_ < 3
    monitor.update(np.full(10, 0.99))
    components = monitor.log_components_
    assert components["drift"] > components["burst"]
    assert (monitor.diagnosis_, monitor.alarm_index_) == ("burst", index)


def test_reset_starts_a_new_run_and_keeps_the_distances_seen():
    rng = np.random.default_rng(14)
    reference, more, next_run = rng.normal(size=(3, 100)).round(1)
    monitor = ConformalMonitor(random_state=0).fit(reference)
    monitor.update_distances(np.r_[more, np.full(20, 9.0)])
    assert monitor.alarm_
    assert monitor.reset() is monitor
    assert not monitor.alarm_
    assert monitor.n_seen_ == monitor.log_martingale_ == 0
    assert monitor.alarm_index_ is monitor.diagnosis_ is None
    assert monitor.log_components_ == {"drift": 0, "burst": 0}
    monitor.update_distances(next_run)

    seen = np.r_[reference, more, np.full(20, 9.0)]
    random = np.random.RandomState(0)
    random.random_sample(120)
    expected = ConformalMonitor(random_state=random).fit(seen)
    expected.update_distances(next_run)
    assert state(monitor) == state(expected)

    monitor.fit(reference).update_distances(next_run)
    fresh = clone(monitor).fit(reference)
    fresh.update_distances(next_run)
    assert state(monitor) == state(fresh)


def test_alpha_is_read_at_the_start_of_a_run():
    monitor = ConformalMonitor(alpha=0.001)
    monitor.update([0.001, 0.001])
    monitor.set_params(alpha=0.9)
    assert not monitor.update(0.5)
    monitor.reset()
    assert monitor.update(0.001)


def test_p_values_of_exactly_zero_and_one_are_taken():
    monitor = ConformalMonitor()
    assert not monitor.update([0, 1])
    assert np.isfinite(monitor.log_martingale_)
    assert monitor.update([0.0] * 30)
    monitor.reset()
    assert monitor.update([1.0] * 30)
    assert monitor.diagnosis_ == "drift"


def test_an_empty_batch_changes_nothing():
    monitor = ConformalMonitor()
    assert monitor.update([]) is False
    assert monitor.n_seen_ == 0


@pytest.mark.parametrize("alpha", [0, 1, -0.1, "0.01", None, np.nan])
def test_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match="alpha must be a number in"):
        ConformalMonitor(alpha).update(0.5)
    with pytest.raises(ValueError, match="alpha must be a number in"):
        ConformalMonitor(alpha).fit([1.0, 2.0])


@pytest.mark.parametrize(
    "values, message",
    [
        ([0.5, np.nan], "finite; item 1 is nan"),
        ([0.5, 0.5, np.inf], "finite; item 2 is inf"),
        ([[0.5, 0.5]], r"shape \(n_parts,\); got shape \(1, 2\)"),
        (["a"], "must be numbers"),
        (None, "finite; item 0 is nan"),
    ],
    ids=str,
)
def test_what_is_no_number_is_refused_and_nothing_is_taken(values, message):
    monitor = ConformalMonitor()
    monitor.update([0.1, 0.2])
    before = state(monitor)
    with pytest.raises(ValueError, match=f"p_values must be .*{message}|{message}"):
        monitor.update(values)
    assert state(monitor) == before

    monitor.fit([1.0, 2.0, 3.0])
    monitor.update_distances([1.0, 2.0])
    before = state(monitor), list(monitor._distances)
    with pytest.raises(ValueError, match=message):
        monitor.update_distances(values)
    assert (state(monitor), list(monitor._distances)) == before
    with pytest.raises(ValueError, match=message):
        monitor.fit(values)
    assert (state(monitor), list(monitor._distances)) == before


@pytest.mark.parametrize("values", [[0.5, 1.2], [0.5, -1e-9]], ids=str)
def test_p_values_out_of_range(values):
    with pytest.raises(ValueError, match=r"p_values must be in \[0, 1\]; item 1 is"):
        ConformalMonitor().update(values)


def test_the_two_ways_in_do_not_mix():
    with pytest.raises(NotFittedError, match="needs reference distances. Call fit"):
        ConformalMonitor().update_distances(3.0)
    with pytest.raises(ValueError, match="fitted on reference distances"):
        ConformalMonitor().fit([1.0]).update(0.5)
    with pytest.raises(ValueError, match="distances is empty"):
        ConformalMonitor().fit([])


def test_a_seed_has_no_effect_on_p_values():
    with pytest.raises(ValueError, match="random_state=0 has no effect on p-values"):
        ConformalMonitor(random_state=0).update([0.5])


# -- By lot, and from a detector -------------------------------------------------------


def lots_of(rng, n_lots, n_parts=20, effect=1.0):
    lots = np.repeat(np.arange(n_lots), n_parts)
    means = effect * rng.normal(size=(n_lots, 5))
    order = rng.permutation(len(lots))
    return (rng.normal(size=(len(lots), 5)) + means[lots])[order], lots[order]


@pytest.mark.filterwarnings("ignore:Most features have the same")
def test_a_detector_gives_its_held_out_distances():
    X = np.random.default_rng(0).normal(size=(100, 5))
    detector = MahalanobisDetector().fit(X)
    pipe = make_pipeline(StandardScaler(), MahalanobisDetector()).fit(X)
    new = np.random.default_rng(1).normal(size=(50, 5))
    for fitted in (detector, pipe):
        by_hand = ConformalMonitor(random_state=0)
        by_hand.fit(
            fitted.calibration_distances_
            if fitted is detector
            else fitted[-1].calibration_distances_
        )
        monitor = ConformalMonitor(random_state=0).fit(fitted)
        distances = -fitted.score_samples(new)
        by_hand.update_distances(distances)
        monitor.update_distances(distances)
        assert monitor.log_martingale_ == by_hand.log_martingale_
        assert not monitor.alarm_
    # What training distances do.
    wrong = ConformalMonitor(random_state=0).fit(-detector.score_samples(X) / 1.5)
    assert wrong.update_distances(-detector.score_samples(new))


def test_copies_count_once():
    X = np.random.default_rng(0).normal(size=(60, 5))
    with pytest.warns(FalseAlarmRateWarning, match="copies of others"):
        detector = MahalanobisDetector().fit(np.vstack([X, X[:30]]))
    monitor = ConformalMonitor(random_state=0).fit(detector)
    assert len(monitor._distances) == 60


@pytest.mark.filterwarnings("ignore:The lot has")
def test_lots_are_ranked_by_their_mean_distance():
    rng = np.random.default_rng(0)
    X, lots = lots_of(rng, 20)
    detector = MahalanobisDetector(fpr=0.2).fit(X, groups=lots)
    means = [detector.calibration_distances_[lots == lot].mean() for lot in range(20)]
    p_values = []
    monitor = ConformalMonitor(random_state=0).fit(detector)
    bets = ConformalMonitor()
    for _ in range(15):
        new, _ = lots_of(rng, 1, rng.integers(1, 40))
        distances = -detector.score_samples(new)
        before = len(means)
        monitor.update_lot(distances)
        at_least = sum(mean >= distances.mean() for mean in means)
        means.append(distances.mean())
        p_values.append((at_least / (before + 1), (at_least + 1) / (before + 1)))
        low, high = p_values[-1]
        # Ties with itself are broken at random.
        assert monitor.n_seen_ == len(p_values)
        bets.update((low + high) / 2)
    assert monitor.log_martingale_ == pytest.approx(bets.log_martingale_, abs=1.0)
    assert not monitor.alarm_
    for _ in range(25):
        monitor.update_lot(2 - 2 * detector.score_samples(lots_of(rng, 1)[0]))
    assert monitor.alarm_
    assert monitor.diagnosis_ == "drift"


def test_lots_that_differ_alarm_by_part_only():
    n_by_part = n_by_lot = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, lots = lots_of(rng, 60)
        old = lots < 30
        by_lot = MahalanobisDetector(fpr=0.1).fit(X[old], groups=lots[old])
        by_part = MahalanobisDetector(fpr=0.1).fit(X[old])
        in_lots = ConformalMonitor(0.05, random_state=seed).fit(by_lot)
        in_parts = ConformalMonitor(0.05, random_state=seed).fit(by_part)
        for lot in range(30, 60):
            in_lots.update_lot(-by_lot.score_samples(X[lots == lot]))
            in_parts.update_distances(-by_part.score_samples(X[lots == lot]))
        n_by_lot += in_lots.alarm_
        n_by_part += in_parts.alarm_
    assert n_by_part >= 15
    assert n_by_lot <= 4


def test_parts_and_lots_are_not_mixed_up():
    distances, lots = np.arange(1.0, 41), np.repeat(np.arange(8), 5)
    by_lot = ConformalMonitor(random_state=0).fit(distances, groups=lots)
    by_part = ConformalMonitor(random_state=0).fit(distances)
    assert sorted(by_lot._distances) == [3.0 + 5 * lot for lot in range(8)]
    with pytest.raises(ValueError, match="fitted on lots: call update_lot"):
        by_lot.update_distances([1.0])
    with pytest.raises(ValueError, match="fitted on parts: call update_distances"):
        by_part.update_lot([1.0])
    with pytest.raises(NotFittedError, match="update_lot needs reference"):
        ConformalMonitor().update_lot([1.0])
    with pytest.raises(ValueError, match="distances of a lot are empty"):
        by_lot.update_lot([])
    with pytest.raises(ValueError, match="of one lot"):
        ConformalMonitor().fit(distances, groups=np.zeros(40))
    detector = MahalanobisDetector().fit(np.random.default_rng(0).normal(size=(60, 3)))
    with pytest.raises(ValueError, match="groups have no effect beside a detector"):
        ConformalMonitor().fit(detector, groups=np.zeros(60))
    with pytest.raises(ValueError, match="OneClassSVM has no held-out distances"):
        ConformalMonitor().fit(OneClassSVM().fit(np.eye(5)))


def test_a_monitor_by_lot_is_saved(tmp_path):
    distances, lots = np.arange(1.0, 41), np.repeat(np.arange(8), 5)
    monitor = ConformalMonitor(random_state=0).fit(distances, groups=lots)
    monitor.update_lot([3.0, 5.0, 7.0])
    save(monitor, tmp_path / "monitor.skgaussad")
    again = load(tmp_path / "monitor.skgaussad")
    for each in (again, monitor):
        with pytest.warns(FalseAlarmRateWarning, match="has 2 parts, and those of the"):
            each.update_lot([9.0, 9.0])
    assert again.log_martingale_ == monitor.log_martingale_
