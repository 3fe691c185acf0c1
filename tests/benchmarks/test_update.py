import update


def test_a_quick_run_finds_the_update_equal(capsys):
    assert update.main(["--quick"]) == 0
    out = capsys.readouterr().out
    assert "5 images on 40, 5488 features" in out
    assert "[holds] equal to a new fit to 1e-9" in out
    sizes = out.split("model file: ")[1].split(" MB")
    assert float(sizes[0]) > float(sizes[1].strip(", "))
