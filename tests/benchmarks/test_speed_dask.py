from _speed_dask import DaskMeasurement, format_dask, judge_dask


def test_two_workers_are_judged_against_one():
    good = DaskMeasurement(n_images=400, one=9.0, two=6.0, difference=2e-14)
    bad = DaskMeasurement(n_images=400, one=9.0, two=6.1, difference=2e-14)
    assert [judge_dask(m)[0].holds for m in (good, bad)] == [True, False]
    assert "1.48 times" in judge_dask(bad)[0].finding


def test_measurement_is_shown_with_its_rates():
    shown = format_dask(DaskMeasurement(400, one=8.0, two=5.0, difference=2e-14))
    assert "8.00 s     50.0 images per second" in shown
    assert "5.00 s     80.0 images per second" in shown
    assert "within 2e-14" in shown
