from dataclasses import replace

import _calibration_folds as by_folds
import _calibration_lots as lots
import _calibration_protocol as protocol
import calibration
import numpy as np
import pytest
from _calibration_contamination import FITS, measure_contamination
from _calibration_protocol import CONFIDENCE, RULES, SETTINGS, TARGETS
from _calibration_verdicts import (
    Cell,
    check_average,
    check_bound,
    check_cost,
    check_folds,
    check_lots,
    check_tail,
)
from scipy.stats import beta, kurtosis
from sklearn.base import clone
from sklearn.covariance import LedoitWolf

from skgaussad import DeepFeatureTransformer, LevelEnsemble, MahalanobisDetector
from skgaussad.datasets import load_solar_cells

ENSEMBLE = LevelEnsemble(columns={"a": slice(0, 3), "b": slice(3, 8)})
# Threshold and confidence of the detectors that the benchmark does without fitting.
PARAMETERS = {
    "leave-one-out": {"threshold": "quantile"},
    "95 % confidence": {"threshold": "quantile", "confidence": CONFIDENCE},
    "tail": {"threshold": "tail"},
    "chi-square": {"threshold": "chi2"},
}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_t(5, (500, 8)) * np.arange(1, 9)


def of_rule(figures, rule):
    return figures[RULES.index(rule)]


@pytest.mark.parametrize("rule", PARAMETERS)
@pytest.mark.parametrize("detector", [MahalanobisDetector(), ENSEMBLE])
@pytest.mark.filterwarnings("ignore::skgaussad.exceptions.FalseAlarmRateWarning")
def test_rates_without_fitting_again_are_those_of_the_estimators(X, detector, rule):
    train, test = X[:120], X[120:]
    measured = of_rule(protocol.rates(clone(detector).fit(train), train, test), rule)
    if detector is ENSEMBLE and rule == "chi-square":
        assert np.isnan(measured).all()
        return
    for target, rate in zip(TARGETS, measured, strict=True):
        asked = clone(detector).set_params(fpr=target, **PARAMETERS[rule])
        assert rate == np.mean(asked.fit(train).predict(test) == -1)


def test_thresholds_of_training_scores_are_quantiles_of_plain_distances(X):
    train, test = X[:401], X[401:]
    measured = protocol.rates(MahalanobisDetector().fit(train), train, test)
    fitted = LedoitWolf().fit(train)
    distances = np.sort(fitted.mahalanobis(train))
    # With 401 distances the 90th percentile is the 361st.
    expected = np.mean(fitted.mahalanobis(test) > distances[360])
    assert of_rule(measured, "training scores")[TARGETS.index(0.1)] == expected


def test_settings_fit_the_columns_they_name():
    rng = np.random.default_rng(0)
    level, levels, grid, cells, cellwise = SETTINGS
    n_features = [sum(setting.widths) for setting in SETTINGS]
    assert n_features == [192, 2096, 3072, 3072, 5488]
    for setting, n_groups in ((levels, 9), (cells, 16)):
        rows = rng.standard_normal((20, sum(setting.widths)))
        ensemble = setting.make_detector().fit(rows)
        assert len(ensemble.estimators_) == n_groups
        columns = np.concatenate(list(ensemble.columns_.values()))
        np.testing.assert_array_equal(columns, np.arange(rows.shape[1]))
        for part, width in zip(ensemble.estimators_, setting.widths, strict=True):
            assert part.n_features_in_ == width
    for setting in (level, grid):
        assert isinstance(setting.make_detector(), MahalanobisDetector)
    fitted = cellwise.make_detector().fit(rng.standard_normal((20, 5488)))
    assert fitted.calibration_residuals_.shape == (20, 49)


def test_features_of_solar_cells_are_those_of_the_settings():
    features, labels, _ = protocol.extract_solar_cells(5, image_size=128, verbose=False)
    data = load_solar_cells("poly")
    paths = [*data.paths[data.labels == 1][:5], data.paths[data.labels == -1][0]]
    transformer = DeepFeatureTransformer(
        levels="all", image_size=128, interpolation="bilinear"
    )
    by_level = transformer.fit_transform(paths)
    widths = [part.stop - part.start for part in transformer.level_slices_.values()]
    assert tuple(widths) == protocol.LEVEL_WIDTHS
    level, levels, grid, cells, cellwise = (features["poly"][s.name] for s in SETTINGS)
    np.testing.assert_allclose(levels, by_level, atol=1e-5)
    np.testing.assert_array_equal(level, levels[:, transformer.level_slices_[7]])
    # The map of level 7 has 4 x 4 positions, a cell each; cells are outer to channels.
    by_cell = grid.reshape(6, 16, 192)
    np.testing.assert_allclose(by_cell.mean(axis=1), level, atol=1e-5)
    np.testing.assert_array_equal(cells, grid)
    expected = transformer.set_params(levels=6, pooling=7).fit_transform(paths)
    assert cellwise.shape == (6, 49 * 112)
    np.testing.assert_allclose(cellwise, expected, atol=1e-5)
    for kind in labels.values():
        np.testing.assert_array_equal(kind, [1, 1, 1, 1, 1, -1])
    assert features["mono"]["level 7"].shape == (6, 192)
    assert (features["mono"]["level 7"] != level).all()


def test_synthetic_samples_have_the_law_they_name():
    gaussian, heavy = protocol.make_synthetic(40_000)
    setting = protocol.Setting("two blocks", (3, 2), "sum", 1)
    variances = np.array([1, 1 / 2, 1 / 3, 1, 1 / 2])
    rng = np.random.default_rng(0)
    rows = gaussian.rows(setting, rng, 100)
    assert rows.shape == (40_100, 5)
    np.testing.assert_allclose(rows.var(axis=0), variances, rtol=0.05)
    np.testing.assert_allclose(kurtosis(rows), 0, atol=0.2)
    rows = heavy.rows(setting, rng, 100)
    # The t distribution has 5/3 of the variance of its Gaussian. All
    # columns share their radius, so their squares are correlated.
    np.testing.assert_allclose(rows.var(axis=0), 5 / 3 * variances, rtol=0.1)
    assert (kurtosis(rows) > 1.5).all()
    squares = np.corrcoef((rows**2).T)
    assert squares.min() > 0.05
    np.testing.assert_allclose(np.corrcoef(rows.T), np.eye(5), atol=0.05)


@pytest.fixture
def small_settings(monkeypatch):
    settings = (
        protocol.Setting("one", (4,), "joint", 300),
        protocol.Setting("sum", (4, 2), "sum", 300),
    )
    monkeypatch.setattr(protocol, "SETTINGS", settings)
    return settings


def test_splits_train_and_test_on_different_images(small_settings):
    X = np.arange(240.0).reshape(40, 6)
    images = protocol.NormalImages("images", {"one": X[:, :4], "sum": X})
    for setting in small_settings:
        rows = images.rows(setting, np.random.default_rng(0), 10)
        np.testing.assert_array_equal(np.sort(rows[:, 0]), X[:, 0])
        assert (rows[:, 0] != X[:, 0]).any()


def test_measures_where_a_fifth_of_the_images_is_left(small_settings):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 6))
    images = protocol.NormalImages("images", {"one": X[:, :4], "sum": X})
    sources = [images, *protocol.make_synthetic(50)]
    found = protocol.measure(sources, (30, 64, 65), 2, n_jobs=1, verbose=False)
    shapes = [(m.source, m.setting, m.n_train, m.n_test) for m in found]
    assert shapes == [
        *(("images", s, n, 80 - n) for s in ("one", "sum") for n in (30, 64)),
        *(
            (source, s, n, 65 + 50 - n)
            for source in ("Gaussian", "heavy-tailed")
            for s in ("one", "sum")
            for n in (30, 64, 65)
        ),
    ]
    for measurement in found:
        counts = measurement.of("leave-one-out", 0.1) * measurement.n_test
        np.testing.assert_allclose(counts, counts.round())


def test_seed_and_number_of_splits_alone_determine_the_rates(small_settings):
    source = protocol.SyntheticNormals("Gaussian", None, 200)

    def rates(seed, n_splits):
        sources = [source, source]
        found = protocol.measure(sources, (40,), n_splits, seed, 1, verbose=False)
        return np.array([m.of("leave-one-out", 0.1) for m in found])

    first = rates(0, 4)
    # Every source, setting and split has samples of its own.
    assert (first[:2] != first[2:]).any()
    assert (first[:, :1] != first[:, 1:]).any()
    np.testing.assert_array_equal(rates(0, 3), first[:, :3])
    assert (rates(1, 4) != first).any()


def cell(rate, *, target=0.1, error=0.001, n_train=99, n_splits=50, name="made up"):
    """Cell with a given mean and standard error."""
    scatter = np.resize([1.0, -1.0], n_splits)
    scatter *= error * np.sqrt(n_splits) / scatter.std(ddof=1)
    return Cell(name, target, n_train, 400, rate + scatter)


def test_cells_know_their_mean_and_standard_error():
    made = cell(0.08, error=0.002)
    assert made.rate == pytest.approx(0.08)
    assert made.error == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("rate", "within", "within_sum", "far_off"),
    [
        (0.1, True, True, False),
        # 1.96 standard errors of 0.001 above; a step of 0.01 below.
        (0.1019, True, True, False),
        (0.1021, False, False, False),
        (0.0901, True, True, False),
        (0.0899, False, True, False),
        (0.0881, False, True, False),
        (0.0879, False, False, False),
        # 3 standard errors and a step.
        (0.1129, False, False, False),
        (0.1131, False, False, True),
        (0.0871, False, False, False),
        (0.0869, False, False, True),
    ],
)
def test_cell_is_checked_by_interval_and_step(rate, within, within_sum, far_off):
    made = cell(rate)
    assert (made.is_within, made.is_within_sum) == (within, within_sum)
    assert made.is_far_off == far_off


def test_interval_serves_below_the_target_too():
    assert cell(0.08, error=0.011).is_within
    assert not cell(0.08, error=0.010).is_within


def test_average_holds_with_95_percent_of_the_cells_within():
    for n_outside, holds in ((1, True), (2, False)):
        cells = [cell(0.1)] * (20 - n_outside)
        cells += [cell(0.105, name="culprit")] * n_outside
        fraction, far_off = check_average(cells)
        assert fraction.holds == holds
        assert far_off.holds
        assert str(fraction).count("culprit at 10 %: 10.50 % +- 0.10") == n_outside
        assert ("[holds]" in str(fraction)) == holds
    fraction, far_off = check_average([cell(0.1)] * 20 + [cell(0.2, name="culprit")])
    assert fraction.holds
    assert not far_off.holds
    assert "culprit" in str(far_off)


def test_cells_with_too_few_samples_are_not_counted():
    few = cell(0.5, target=0.01, n_train=98, name="few")
    assert not few.is_supported
    enough = cell(0.01, target=0.01, n_train=99)
    verdicts = check_average([few, enough])
    assert all(verdict.holds for verdict in verdicts)
    assert "1 of 1 cells" in str(verdicts[0])
    assert "1 cells with too few" in str(verdicts[0])
    assert "few at" not in "".join(map(str, verdicts))


@pytest.mark.parametrize(
    ("rate", "holds"), [(0.051, True), (0.049, False), (0.199, True), (0.201, False)]
)
def test_tail_may_be_off_by_a_factor_of_two(rate, holds):
    (verdict,) = check_tail([cell(rate), cell(0.1)])
    assert verdict.holds == holds
    assert verdict.finding.startswith(f"{1 + holds} of 2 cells")


def bound(n_failures, n_splits=100, n_test=100_000, n_train=299, target=0.01):
    """Cell whose rate is above the target in some splits, and at it in the others."""
    rates = np.full(n_splits, target)
    rates[:n_failures] += 0.001
    return Cell("made up", target, n_train, n_test, rates, CONFIDENCE)


def test_bound_fails_where_the_interval_lies_above_5_percent():
    # Clopper and Pearson's lower end is 4.9 % for 10 of 100 and 5.6 % for 11.
    for n_failures, holds in ((0, True), (5, True), (10, True), (11, False)):
        (verdict,) = check_bound([bound(n_failures)])
        assert verdict.holds == holds
    made = bound(10)
    assert made.failure_fraction == 0.1
    low, high = made.failure_interval
    assert low == pytest.approx(beta.ppf(0.025, 10, 91))
    assert high == pytest.approx(beta.ppf(0.975, 11, 90))


def test_bound_may_seem_to_fail_with_few_test_samples():
    # Of 60 test samples none may lie beyond the largest of 299 distances.
    made = bound(20, n_test=60)
    assert made.expected_failure_fraction == pytest.approx(1 - 299 / 359)
    assert check_bound([made])[0].holds
    assert not check_bound([bound(20)])[0].holds
    assert not check_bound([bound(30, n_test=60)])[0].holds


def test_bound_counts_no_cells_with_too_few_samples():
    few = bound(100, n_train=298)
    (verdict,) = check_bound([few, bound(0)])
    assert verdict.holds
    assert "0 of 1 cells" in verdict.finding


@pytest.mark.parametrize("n_test", [60, 400])
def test_expected_failures_are_those_of_random_ranks(n_test):
    made = Cell("made up", 0.05, 100, n_test, np.zeros(2), CONFIDENCE)
    rng = np.random.default_rng(0)
    detector = MahalanobisDetector(fpr=0.05, confidence=CONFIDENCE)
    n_splits, failures = 20_000, 0
    # The rule's rank, by the distances of a detector.
    detector.fit(rng.normal(size=(100, 2)))
    n_above = np.count_nonzero(detector.calibration_distances_ > -detector.offset_)
    for _ in range(n_splits):
        ranks = rng.permutation(100 + n_test)
        threshold = np.sort(ranks[:100])[100 - n_above - 1]
        failures += np.mean(ranks[100:] > threshold) > 0.05
    assert made.expected_failure_fraction == pytest.approx(
        failures / n_splits, abs=0.007
    )


def test_expected_failures_with_many_test_samples_are_at_most_those_promised():
    fractions = [
        Cell("made up", target, n, 10**7, np.zeros(2), CONFIDENCE)
        for target in (0.1, 0.046, 0.01)
        for n in (300, 700)
    ]
    assert all(0.01 < made.expected_failure_fraction < 0.0501 for made in fractions)


def test_cost_holds_up_to_twice_the_fit():
    seconds = {"fit": 1.0, "leave-one-out": 0.99, "scikit-learn": 9.0}
    assert check_cost(seconds)[0].holds
    assert not check_cost(seconds | {"leave-one-out": 1.01})[0].holds


@pytest.mark.slow
def test_quick_run_prints_every_table(capsys):
    arguments = ["--quick", "--quiet", "--splits", "2", "--n-jobs", "1"]
    assert calibration.main(arguments) == 0
    printed = capsys.readouterr().out
    for source in ("mono", "poly", "Gaussian", "heavy-tailed"):
        for setting in SETTINGS:
            assert f"{source}, {setting.name}" in printed
    assert all(rule in printed for rule in RULES)
    assert printed.count("[holds]") + printed.count("[FAILS]") == 12


def test_contaminated_fits_are_those_of_the_estimators():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(140, 6))
    labels = np.repeat([1, -1], [100, 40])
    X[100:] += 4
    found = measure_contamination(X, labels, (0.0, 0.1), 3, seed=0)
    for name in ("clean", "all", "rechecked"):
        np.testing.assert_array_equal(found[0.0][name], found[0.0]["clean"])
    clean, mixed, rechecked = (
        found[0.1][name].mean(axis=0) for name in ("clean", "all", "rechecked")
    )
    assert mixed[1] < clean[1], "anomalies raise the threshold"
    np.testing.assert_allclose(rechecked, clean, atol=0.05)


@pytest.mark.parametrize(("loss", "verdict"), [(0.009, "holds"), (0.011, "FAILS")])
def test_contamination_holds_up_to_one_point(loss, verdict, capsys):
    fits = {name: np.array([[0.9, 0.05]]) for name in FITS}
    calibration.print_contamination(
        {"made": {0.1: fits | {"robust": np.array([[0.9 - loss, 0]])}}}
    )
    assert f"[{verdict}]" in capsys.readouterr().out


def test_cells_hold_the_rates_of_their_rule_and_target(small_settings):
    found = protocol.measure(
        protocol.make_synthetic(100), (40,), 2, n_jobs=1, verbose=False
    )
    cells = calibration.make_cells(found, "chi-square", (0.317, 0.01))
    assert [str(made) for made in cells[:2]] == [
        "Gaussian, one, n = 40 at 31.7 %",
        "Gaussian, one, n = 40 at 1 %",
    ]
    column = RULES.index("chi-square")
    for measurement, (often, seldom) in zip(
        found, zip(cells[::2], cells[1::2], strict=True), strict=True
    ):
        np.testing.assert_array_equal(often.rates, measurement.rates[:, column, 0])
        np.testing.assert_array_equal(seldom.rates, measurement.rates[:, column, 3])


@pytest.mark.parametrize(
    "tables",
    [
        ["rates"],
        ["bound"],
        ["lots"],
        ["folds"],
        ["cost"],
        ["contamination"],
        ["bound", "cost"],
    ],
)
def test_only_computes_and_prints_the_tables_asked_for(tables, monkeypatch):
    called = []
    for table, name in (
        ("rates", "rates"),
        ("bound", "bounds"),
        ("cost", "cost"),
        ("contamination", "contamination"),
        ("lots", "lots"),
        ("folds", "folds"),
    ):
        monkeypatch.setattr(
            calibration, f"print_{name}", lambda *_, table=table: called.append(table)
        )
    monkeypatch.setattr(
        calibration, "extract_solar_cells", lambda *_, **__: ({}, {}, {})
    )
    monkeypatch.setattr(calibration, "measure", lambda *_, **__: called.append("fits"))
    for name in ("measure_lots", "measure_folds"):
        monkeypatch.setattr(calibration, name, lambda *_, **__: None)
    calibration.main(["--quick", "--quiet", *tables])
    needs_fits = bool({"rates", "bound"} & set(tables))
    assert sorted(called) == sorted(tables + ["fits"] * needs_fits)


def test_measured_rates_follow_the_rule(small_settings):
    """Of a detector with the chi-square distribution of its features."""
    found = protocol.measure(
        protocol.make_synthetic(2_000)[:1], (2_000,), 4, n_jobs=1, verbose=False
    )
    single = found[0]
    assert single.setting == "one"
    for rule in ("leave-one-out", "chi-square", "training scores"):
        assert single.of(rule, 0.1).mean() == pytest.approx(0.1, abs=0.015)


def test_new_lots_are_measured_and_a_rate_too_high_fails(monkeypatch, capsys):
    monkeypatch.setattr(lots, "N_LOTS", (5,))
    monkeypatch.setattr(lots, "EFFECTS", (3.0,))
    rng = np.random.default_rng(0)
    modules = np.repeat(np.arange(8), 12)
    features = rng.normal(size=(96, 98)) + 2 * rng.normal(size=(8, 98))[modules]
    cells = {"mono": ({"level 7": features, "7 x 7 cellwise": features}, modules)}
    measurements = lots.measure_lots(cells, 4, n_jobs=1, verbose=False)
    assert [m.n_lots for m in measurements] == [5] * 4
    for m in measurements:
        by_lot, by_sample = m.rates.mean(axis=0)
        assert np.all(by_lot < by_sample - 0.2)
        assert m.is_promised.tolist() == [True, False, False, False]
        assert np.all(np.diff(m.rates[:, 0], axis=1) <= 0)
        assert m.n_rising == 0
    calibration.print_lots(measurements)
    assert "[holds] at most the target" in capsys.readouterr().out
    assert all(verdict.holds for verdict in check_lots(measurements))
    worse = replace(
        measurements[0],
        rates=measurements[0].rates + 0.5,
        bounds=0 * measurements[0].bounds,
        n_rising=1,
    )
    assert not any(verdict.holds for verdict in check_lots([worse]))


def test_cv_plus_keeps_rates_that_all_samples_miss(monkeypatch, capsys):
    inner = {"PCA(0.99)": by_folds.INNER["PCA(0.99)"]}
    monkeypatch.setattr(by_folds, "INNER", inner)
    (found,) = by_folds.measure_folds({}, (80,), 5, n_jobs=1, verbose=False)
    assert found.name == "Gaussian, n = 80, PCA(0.99)"
    plus, of_all = found.rates.mean(axis=0)
    assert np.all(of_all > 0.15 + plus)
    assert np.all((found.aurocs > 0.7) & (found.aurocs < 1))
    calibration.print_folds([found])
    assert "0 of 2 criteria failed" in capsys.readouterr().out
    turned = replace(found, rates=found.rates[:, ::-1], aurocs=found.aurocs - [0.1, 0])
    assert not any(verdict.holds for verdict in check_folds([turned]))
