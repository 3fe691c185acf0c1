from _speed_dask import DaskMeasurement, check_dask


def test_two_workers_are_checked_against_one():
    good = DaskMeasurement(n_images=400, one=9.0, two=6.0, difference=2e-14)
    bad = DaskMeasurement(n_images=400, one=9.0, two=6.1, difference=2e-14)
    assert [check_dask(m)[0].holds for m in (good, bad)] == [True, False]
    assert "1.48 times" in check_dask(bad)[0].finding
