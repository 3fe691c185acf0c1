import monitor
import numpy as np


def test_quick_run_prints_every_table(capsys, monkeypatch):
    monkeypatch.setattr(monitor, "N_LOTS", (5, 10))
    monkeypatch.setattr(monitor, "EFFECTS", (0.0, 1.0, 3.0))
    assert monitor.main(["--quick", "--quiet"]) == 0
    out = capsys.readouterr().out
    for name in monitor.TABLES:
        assert f"\n{name}, 2 streams\n" in out
    assert "mono, 40 % defective" in out
    assert "criteria failed" in out


def test_lots_that_alarm_too_often_fail():
    rows = [("simulated", 5, 90.0, 3.0)]
    assert monitor.check_lots(rows, 100)[0].holds
    assert not monitor.check_lots([*rows, ("mono", 10, 90.0, 30.0)], 100)[0].holds


def test_lots_alarm_by_part_and_not_by_lot(monkeypatch):
    monkeypatch.setattr(monitor, "N_LOTS", (30,))
    monkeypatch.setattr(monitor, "EFFECTS", (3.0,))
    found = list(monitor.measure_lots({}, 10))
    assert np.all([by_part >= 90 for *_, by_part, _ in found])
    assert np.all([by_lot <= 20 for *_, by_lot in found])
