import re

import limits


def test_a_quick_run_prints_every_table(capsys):
    assert limits.main(["--quick", "--quiet"]) == 0
    out = capsys.readouterr().out
    for name in limits.TABLES:
        assert f"\n{name}, 3 training sets\n" in out
    assert re.search(r"^ *100 +20 +\d+\.\d +100\.0 ", out, re.M), "clear anomalies"
    for source in ("mono", "poly", "Gaussian", "heavy-tailed"):
        assert len(re.findall(rf"^30 +{source} ", out, re.M)) == 2
