import _harness as harness
import pytest
from _harness import Verdict


def test_sides_take_turns():
    calls = []
    sides = {
        name: lambda name=name: calls.append(name) or len(calls) for name in ("a", "b")
    }
    assert harness.take_turns(sides, 3) == {"a": [1, 3, 5], "b": [2, 4, 6]}
    assert calls == ["a", "b"] * 3


def test_time_is_that_of_the_call(monkeypatch):
    clock = iter([2.0, 5.0])
    monkeypatch.setattr(harness.time, "perf_counter", lambda: next(clock))
    called = []
    assert harness.time_call(called.append, 1) == 3
    assert called == [1]


def test_table_has_a_line_for_each_row():
    columns = {"name": "", "ms": ".1f"}
    lines = harness.format_table(columns, [("a b", 1234.56), ("c", None)]).splitlines()
    assert [line.split() for line in lines] == [
        ["name", "ms"],
        ["a", "b", "1234.6"],
        ["c", "-"],
    ]


def test_a_failed_criterion_sets_the_exit_status(capsys):
    kept, failed = Verdict("swift", True, "1 s"), Verdict("small", False, "9 MB")
    assert harness.print_verdicts("Targets", [kept]) == 0
    assert "0 of 1 criteria failed" in capsys.readouterr().out
    assert harness.print_verdicts("Targets", [kept, failed]) == 1
    printed = capsys.readouterr().out
    assert "[holds] swift" in printed
    assert "[FAILS] small" in printed
    assert "9 MB" in printed


def test_sections_are_chosen_by_name(capsys):
    parser = harness.make_parser("", sections=("one", "two", "long"), slow=("long",))
    assert parser.parse_args([]).sections == ["one", "two"]
    assert parser.parse_args(["long", "one"]).sections == ["long", "one"]
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["three"])
    assert "no section 'three'; there are one, two, long" in capsys.readouterr().err
