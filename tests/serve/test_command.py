"""The service as a process: stopped, killed and with several workers."""

import signal
import threading
import time

import httpx2
import pytest

from skgaussad.commands._main import main

TOKEN = "a-secret-of-some-length"


def upload(path):
    return [("files", (path.name, path.read_bytes()))]


def wait_for(address):
    """Wait for the first worker."""
    for _ in range(300):
        try:
            return httpx2.get(f"{address}/health").raise_for_status()
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError("no worker answers")


def test_no_accepted_feedback_is_lost_by_a_kill(start, model_file, images):
    process, address = start(str(model_file))
    paths = sorted(images.glob("new/*.png"))
    accepted, decided = {}, set()

    def work(path):
        with httpx2.Client(base_url=address) as client:
            while True:
                try:
                    answer = client.post("/score", files=upload(path)).json()
                    (row,) = answer["results"]
                    decided.add(row["id"])
                    verdict = {"id": row["id"], "verdict": "good"}
                    client.post("/feedback", json=verdict).raise_for_status()
                    accepted[row["id"]] = "good"
                except httpx2.TransportError:
                    return

    threads = [threading.Thread(target=work, args=[path]) for path in paths[:4]]
    for thread in threads:
        thread.start()
    time.sleep(2)
    process.kill()
    for thread in threads:
        thread.join()
    assert len(accepted) > 10

    _, address = start(str(model_file))
    history = httpx2.get(f"{address}/history?limit=10000").json()
    verdicts = {d["id"]: d["verdict"] for d in history["decisions"]}
    assert decided <= set(verdicts)
    assert accepted.items() <= verdicts.items()


def test_what_was_begun_is_answered_before_the_end(start, model_file, images):
    process, address = start(str(model_file))
    paths = sorted(images.glob("*/*.png"))
    answers = []

    def ask():
        files = [file for path in paths for file in upload(path)]
        url = f"{address}/score?maps=true"
        answers.append(httpx2.post(url, files=files, timeout=60))

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    thread.join()
    assert answers[0].status_code == 200
    assert len(answers[0].json()["results"]) == len(paths)
    assert process.wait(30) in (0, -signal.SIGTERM)


def test_several_workers_are_one_service(start, model_file, images):
    _, address = start(
        str(model_file), "--workers=2", "--host=0.0.0.0", SKGAUSSAD_TOKEN=TOKEN
    )
    address = address.replace("0.0.0.0", "127.0.0.1")
    wait_for(address)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    paths = sorted(images.glob("new/*.png"))

    def ask(method, url, **options):
        # A connection each, so that both workers get some.
        answer = httpx2.request(
            method, f"{address}{url}", headers=headers, timeout=60, **options
        )
        answer.raise_for_status()
        return answer

    assert httpx2.get(f"{address}/model").status_code == 401
    for n, path in enumerate(paths * 3, 1):
        (row,) = ask("POST", "/score", files=upload(path)).json()["results"]
        ask("POST", "/feedback", json={"id": row["id"], "verdict": "good"})
        history = ask("GET", "/history").json()
        assert history["n_decided"] == n
        assert history["decisions"][0]["verdict"] == "good"
    seen = [ask("GET", "/history").json() for _ in range(10)]
    assert all(history == seen[0] for history in seen)
    updated = ask("POST", "/update", json={"ids": [row["id"]]}).json()
    deadline = time.monotonic() + 20
    versions = set()
    while versions != {updated["model"]} and time.monotonic() < deadline:
        versions = {ask("GET", "/model").json()["version"] for _ in range(10)}
    assert versions == {updated["model"]}
    lines = ask("GET", "/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("skgaussad_images_total")]
    assert sum(float(line.rpartition(" ")[2]) for line in counts) == len(paths) * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "takes a token"),
        (["--host", "0.0.0.0", "--token", "15-characters.."], "at least 16 characters"),
        (["--port", "99999"], "from 0 to 65535"),
        (["--max-images", "0"], "from 1 to 1000"),
        (["--max-size", "much"], "megabytes above 0"),
        (["--workers", "2"], "no such file"),
        ([], "no such file"),
    ],
    ids=str,
)
def test_wrong_command_lines_say_so(arguments, message, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("SKGAUSSAD_TOKEN", raising=False)
    arguments = ["serve", str(tmp_path / "no.skgaussad"), *arguments]
    try:
        assert main(arguments) == 1
    except SystemExit as end:
        assert end.code == 2
    assert message in capsys.readouterr().err
