import serve


def test_a_quick_run_prints_both_comparisons(capsys):
    status = serve.main(["--quick", "--clients=2"])
    out = capsys.readouterr().out
    for text in (
        "images/s in process, all at once",
        "images/s in process, 2 at once",
        "images/s in process, one by one",
        "images/s served",
        "[holds] no wrong answer",
        "[holds] kill -9 loses no accepted feedback",
        "more images than in process, one by one",
        "at least 0.5 times those in process, all at once",
    ):
        assert text in out
    # Speed and memory of a few seconds say nothing.
    assert status in (0, 1)


def test_wrong_answers_are_counted():
    class Answer:
        def raise_for_status(self):
            return self

        def json(self):
            return {"results": [{"id": "a", "name": "0.png", "distance": 1.001}]}

    class Client:
        def post(self, path, **options):
            return Answer()

    clients = serve.Clients("", [], [], 0)
    clients._contents, clients._distances = [b""], [1.0]
    clients._ask(Client(), 0)
    clients._distances = [1.001]
    clients._ask(Client(), 0)
    assert clients.wrong == 1
