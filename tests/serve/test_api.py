"""The JSON API: what it answers, and what stays."""

import base64
import builtins
import hashlib
import io
import json
import os
import re
import shutil
import socket
import struct
import threading
import time
import zlib
from contextlib import ExitStack

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from skgaussad import load, save
from skgaussad.calibration import AdaptiveThreshold, ConformalMonitor
from skgaussad.exceptions import FalseAlarmRateWarning
from skgaussad.serve import make_app

from .conftest import fit

HOST = "http://127.0.0.1"


@pytest.fixture
def serve(model_file):
    """Return a function that makes a client of a service."""
    with ExitStack() as stack:

        def open_client(path=model_file, **options):
            app = make_app(path, **options)
            client = TestClient(app, base_url=HOST, raise_server_exceptions=False)
            return stack.enter_context(client)

        yield open_client


@pytest.fixture
def client(serve):
    return serve()


def upload(paths, field="files"):
    return [(field, (path.name, path.read_bytes())) for path in paths]


def score(client, paths, **options):
    response = client.post("/score", files=upload(paths), **options)
    assert response.status_code == 200, response.text
    return response.json()["results"]


def refusal(response, status):
    """Return the words of a refusal, which has the one form."""
    assert response.status_code == status, response.text
    problem = response.json()
    assert set(problem) == {"status", "error"}
    assert problem["status"] == status
    return problem["error"]


@pytest.fixture
def new(images):
    return sorted(images.glob("new/*.png"))


@pytest.fixture
def mixed(images, new):
    return [*new, *sorted(images.glob("cut/*.png"))]


# -- Scores ----------------------------------------------------------------------------


def test_scores_are_those_of_the_model(client, pipe, mixed):
    results = score(client, mixed)
    distances = -pipe.score_samples(mixed)
    assert [row["name"] for row in results] == [path.name for path in mixed]
    np.testing.assert_allclose([r["distance"] for r in results], distances, rtol=1e-6)
    np.testing.assert_allclose([r["p_value"] for r in results], pipe.p_values(mixed))
    assert [row["label"] for row in results] == pipe.predict(mixed).tolist()
    assert {row["label"] for row in results} == {1, -1}
    for row in results:
        assert row["decision"] == ("normal" if row["label"] == 1 else "anomalous")
        assert row["threshold"] == -pipe.offset_
        assert row["threshold_ratio"] == row["distance"] / row["threshold"]
        assert row["map"] is row["error"] is None


def test_requests_at_once_get_their_own_images(client, pipe, mixed):
    expected = dict(zip(mixed, -pipe.score_samples(mixed), strict=True))
    found = {}

    def ask(path):
        (found[path],) = score(client, [path])

    threads = [threading.Thread(target=ask, args=[path]) for path in mixed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for path in mixed:
        assert found[path]["name"] == path.name
        assert found[path]["distance"] == pytest.approx(expected[path], rel=1e-6)


def test_an_image_that_cannot_be_used_has_an_error_of_its_own(client, new, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    good, other, nothing = score(client, [new[0], bad, empty])
    assert good["error"] is None
    assert "expected an image" in other["error"]
    assert nothing["error"]
    assert other["distance"] is other["id"] is other["decision"] is None
    history = client.get("/history").json()
    assert [decision["name"] for decision in history["decisions"]] == [new[0].name]


def test_maps_are_pictures_over_the_image(client, mixed):
    (row,) = score(client, mixed[-1:], params={"maps": True})
    again = client.get(f"/images/{row['id']}/map").content
    fresh = client.post("/maps", files=upload(mixed[-1:], "file")).content
    assert base64.b64decode(row["map"]) == again == fresh
    assert Image.open(io.BytesIO(again)).size == (64, 64)
    shown = Image.open(io.BytesIO(client.get(f"/images/{row['id']}").content))
    expected = Image.open(mixed[-1])
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(expected))
    # Drawing alone decides nothing.
    assert client.get("/history").json()["n_decided"] == 1


def test_what_is_no_image_has_no_map(client):
    error = refusal(client.post("/maps", files={"file": ("a.png", b"nothing")}), 422)
    assert "expected an image" in error
    refusal(client.get("/images/0123456789abcdef.png"), 404)
    refusal(client.get("/images/..%2fjournal"), 404)
    refusal(client.get("/images/journal.jsonl"), 422)


def test_limits_name_what_is_too_large(serve, new):
    client = serve(max_size=0.1, max_images=2)
    large = {"files": ("large.png", b"0" * 150_000)}
    assert "large.png has 0.1 MB" in refusal(client.post("/score", files=large), 413)
    error = refusal(client.post("/score", files=upload(new[:3])), 422)
    assert "3 images were sent" in error
    many = {"files": ("large.png", b"0" * 10_200_000)}
    assert "at most 2 images" in refusal(client.post("/score", files=many), 413)

    def stream():
        for _ in range(21):
            yield b"0" * 500_000

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    response = client.post("/score", content=stream(), headers=kind)
    refusal(response, 413)
    many = [("files", ("a.png", b""))] * 500
    assert "500 images were sent" in refusal(client.post("/score", files=many), 422)
    # Where no images belong there is no room for them.
    refusal(client.post("/feedback", content=b" " * 10_000_001), 413)


def png_of_zeros(width, height):
    """Return a PNG of few bytes and many pixels."""

    def chunk(kind, content):
        checked = kind + content
        size, check = len(content), zlib.crc32(checked)
        return struct.pack(">I", size) + checked + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(width + 1) * 10, 9)
    parts = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_strange_images_have_errors_or_scores(client, model_file, new):
    image = Image.open(new[0])
    animated, deep = io.BytesIO(), io.BytesIO()
    image.save(animated, "GIF", save_all=True, append_images=[image.rotate(90)])
    pixels = np.asarray(image.convert("L")).astype(np.uint16) * 257
    Image.fromarray(pixels).save(deep, "PNG")
    content = new[0].read_bytes()
    files = [
        ("bomb.png", png_of_zeros(40_000, 40_000)),
        ("cut.png", content[: len(content) // 2]),
        ("zero.png", b""),
        ("animated.gif", animated.getvalue()),
        ("deep.png", deep.getvalue()),
        ("../../../../escape.png", content),
        ("same.png", content),
        ("same.png", content),
        ("noise.exe", content),
        ("n" * 3000 + ".png", content),
    ]
    answer = client.post("/score", files=[("files", file) for file in files])
    rows = answer.json()["results"]
    problems = [row["error"] for row in rows]
    words = ("pixels", "", "empty", "several")
    assert all(
        word in problem for word, problem in zip(words, problems[:4], strict=True)
    )
    assert problems[4:] == [None] * 6
    assert len({row["id"] for row in rows[4:]}) == 6
    folder = model_file.parent / "model.skgaussad.state" / "images"
    assert {path.name for path in folder.iterdir()} == {row["id"] for row in rows[4:]}
    assert not list(model_file.parent.parent.rglob("escape.png"))


def test_files_of_the_service_are_not_to_be_had(client):
    for path in (
        "/static/../_routes.py",
        "/static/%2e%2e/_routes.py",
        "/static//etc/passwd",
        "/static/swagger/%2e%2e/%2e%2e/__init__.py",
        "/images/..%2f..%2fmodel.skgaussad",
    ):
        refusal(client.get(path), 404)


@pytest.mark.parametrize("length", [10, 500, -5])
def test_a_wrong_content_length_changes_nothing(service, new, length):
    with httpx2.Client(base_url=service, timeout=60) as client:
        (row,) = score(client, new[:1])
        body = json.dumps({"id": row["id"], "verdict": "good"})
        host = service.removeprefix("http://")
        request = (
            f"POST /feedback HTTP/1.1\r\nHost: {host}\r\nContent-Type: "
            f"application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        with socket.create_connection(host.split(":"), timeout=20) as connection:
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(1000)
        assert answer[:10] in (b"", b"HTTP/1.1 4")
        decisions = client.get("/history").json()["decisions"]
        assert [d["verdict"] for d in decisions if d["id"] == row["id"]] == [None]


def test_all_errors_have_one_form(client):
    assert "files" in refusal(client.post("/score"), 422)
    refusal(client.get("/nothing"), 404)
    refusal(client.get("/score"), 405)
    refusal(client.post("/score", content=b"x", headers={"Content-Type": "a/b"}), 422)
    refusal(client.get("/training", params={"limit": -1}), 422)
    refusal(client.post("/feedback", content=b'{"id": "\\ud800"}'), 422)
    surrogate = b'{"name": "\\ud800", "verdict": "good"}'
    json_ = {"Content-Type": "application/json"}
    response = client.post("/feedback", content=surrogate, headers=json_)
    refusal(response, response.status_code)
    assert response.status_code in (404, 422)


# -- Who may ask -----------------------------------------------------------------------


def test_a_token_is_asked_for_where_there_is_one(serve):
    client = serve(token="secret")
    for path in ("/model", "/metrics", "/history", "/images/0123456789abcdef"):
        refusal(client.get(path), 401)
        wrong = {"Authorization": "Bearer secret2"}
        refusal(client.get(path, headers=wrong), 401)
    refusal(client.post("/undo"), 401)
    right = {"Authorization": "Bearer secret", "Host": "line-4.example.com"}
    assert client.get("/model", headers=right).status_code == 200
    for path in ("/", "/health", "/ready", "/docs", "/openapi.json", "/static/page.js"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("token", ["", " ", "a b", "\u00e9"])
def test_a_token_that_no_header_can_have_is_refused(model_file, token):
    with pytest.raises(ValueError, match="without spaces"):
        make_app(model_file, token=token)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example.com"},
        {"Host": "["},
        {"Host": ""},
        {"Origin": "http://evil.example.com"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_other_pages_of_the_browser_are_refused_without_a_token(client, headers):
    refusal(client.post("/undo", headers=headers), 403)


def test_pages_of_the_service_are_not_refused(client):
    for host in ("localhost:8000", "127.0.0.1:1", "[::1]:8000"):
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert client.get("/model", headers=headers).status_code == 200


def test_the_page_may_load_nothing_from_elsewhere(client):
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    for path in ("/", "/docs"):
        assert "//" not in client.get(path).text.replace("<!DOCTYPE", "")


# -- Feedback --------------------------------------------------------------------------


def verdicts(client):
    decisions = client.get("/history").json()["decisions"]
    return {d["name"]: d["verdict"] for d in reversed(decisions)}


def test_feedback_stays_after_a_restart(serve, new):
    client = serve()
    first, second, third = score(client, new[:3])
    client.post("/feedback", json={"id": first["id"], "verdict": "good"})
    named = client.post("/feedback", json={"name": second["name"], "verdict": "defect"})
    assert named.json() == {k: second[k] for k in ("id", "name")} | {
        "verdict": "defect"
    }
    # Put right, and taken back.
    client.post("/feedback", json={"id": first["id"], "verdict": "defect"})
    client.post("/feedback", json={"id": third["id"], "verdict": "good"})
    client.post("/feedback", json={"id": third["id"], "verdict": None})
    expected = {new[0].name: "defect", new[1].name: "defect", new[2].name: None}
    assert verdicts(client) == verdicts(serve()) == expected
    history = client.get("/history").json()
    assert history == serve().get("/history").json()
    assert history["n_missed"] + history["n_flagged"] >= 2


def test_feedback_on_what_was_not_decided_is_refused(client):
    refusal(client.post("/feedback", json={"id": "a", "verdict": "good"}), 404)
    refusal(client.post("/feedback", json={"name": "a", "verdict": "good"}), 404)
    refusal(client.post("/feedback", json={"verdict": "good"}), 422)
    both = {"id": "a", "name": "a", "verdict": "good"}
    refusal(client.post("/feedback", json=both), 422)
    refusal(client.post("/feedback", json={"id": "a", "verdict": "fine"}), 422)


def test_a_line_that_is_not_whole_is_dropped(serve, model_file, new):
    score(serve(), new[:1])
    journal = model_file.parent / "model.skgaussad.state" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"kind": "feedb')
    client = serve()
    assert client.get("/history").json()["n_decided"] == 1
    assert journal.read_bytes() == whole
    score(client, new[:1])
    # The snapshot that it begins with, and two decisions.
    assert len(journal.read_bytes().splitlines()) == 3


def test_feedback_again_writes_nothing(client, model_file, new):
    (row,) = score(client, new[:1])
    journal = model_file.parent / "model.skgaussad.state" / "journal.jsonl"
    said = {"id": row["id"], "verdict": "good"}
    answers = [client.post("/feedback", json=said)]
    content = journal.read_bytes()
    answers.append(client.post("/feedback", json=said))
    assert answers[0].json() == answers[1].json()
    assert journal.read_bytes() == content


def test_feedback_at_once_on_one_image_leaves_one_verdict(serve, new):
    clients = [serve(adapt=True), serve(adapt=True)]
    (row,) = score(clients[0], new[:1])

    def say(client, verdict):
        for each in (verdict, None, verdict):
            said = {"id": row["id"], "verdict": each}
            assert client.post("/feedback", json=said).status_code == 200

    threads = [
        threading.Thread(target=say, args=[client, verdict])
        for client in clients
        for verdict in ("good", "defect")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [client.get("/history").json() for client in (*clients, serve(adapt=True))]
    assert found[0] == found[1] == found[2]
    assert found[0]["decisions"][0]["verdict"] in ("good", "defect")


def test_another_file_is_no_journal(model_file, tmp_path):
    (tmp_path / "journal.jsonl").write_text("path,verdict\n")
    with pytest.raises(ValueError, match="something other than decisions"):
        make_app(model_file, state=tmp_path)


def test_services_that_share_a_folder_agree(serve, mixed):
    one, other = serve(), serve()
    for path in mixed:
        score(one, [path])
        (row,) = score(other, [path])
        client = one if row["label"] == 1 else other
        client.post("/feedback", json={"id": row["id"], "verdict": "good"})
    assert one.get("/history").json() == other.get("/history").json()
    assert one.get("/history").json()["n_decided"] == 2 * len(mixed)


def test_the_threshold_follows_the_feedback_if_asked(serve, pipe, mixed):
    client, expected = serve(adapt=True), AdaptiveThreshold(pipe[-1])
    for path in mixed * 2:
        (row,) = score(client, [path])
        (label,) = expected.decide([row["distance"]], [row["id"]])
        assert row["label"] == label
        if label == -1:
            client.post("/feedback", json={"id": row["id"], "verdict": "good"})
            expected.feedback([row["id"]], [1])
    assert expected.threshold_ != -pipe.offset_
    assert client.get("/model").json()["threshold"] == expected.threshold_
    again = serve(adapt=True)
    assert again.get("/model").json()["threshold"] == expected.threshold_
    adaptive = client.get("/history").json()["adaptive"]
    assert adaptive["rate"] == expected.rate_
    # From a new rate on, decisions of before do not count.
    client.post("/rate", json={"fpr": 0.2})
    client.post("/feedback", json={"id": row["id"], "verdict": "good"})
    threshold = client.get("/model").json()["threshold"]
    assert threshold == pipe[-1]._held_out.threshold(0.2)


def test_the_monitor_sees_what_was_decided(client, pipe, images):
    expected = ConformalMonitor(random_state=0).fit(pipe[-1])
    bad = sorted(images.glob("cut/*.png"))
    for _ in range(10):
        rows = score(client, bad)
        expected.update_distances([row["distance"] for row in rows])
    monitor = client.get("/history").json()["monitor"]
    assert expected.alarm_
    assert monitor == {
        "alarm": True,
        "diagnosis": expected.diagnosis_,
        "by": "image",
        "n_seen": 40,
        "log_martingale": pytest.approx(expected.log_martingale_),
    }
    assert client.post("/monitor/reset").status_code == 204
    assert client.get("/history").json()["monitor"]["alarm"] is False


def test_images_that_a_kill_left_are_removed(serve, model_file, new):
    (row,) = score(serve(), new[:1])
    folder = model_file.parent / "model.skgaussad.state" / "images"
    for name, age in (("old.png", 7200), ("young.png", 0), (row["id"], 7200)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age,) * 2)
    serve()
    assert {path.name for path in folder.iterdir()} == {"young.png", row["id"]}


def test_old_images_are_not_kept(serve, model_file, new):
    client = serve(keep=2)
    rows = score(client, new[:5])
    folder = model_file.parent / "model.skgaussad.state" / "images"
    assert {p.name for p in folder.iterdir()} == {row["id"] for row in rows[-2:]}
    client.post("/feedback", json={"id": rows[0]["id"], "verdict": "good"})
    refusal(client.post("/update", json={}), 409)
    # What was found good stays for the next update.
    good, defect = rows[3]["id"], rows[4]["id"]
    client.post("/feedback", json={"id": good, "verdict": "good"})
    client.post("/feedback", json={"id": defect, "verdict": "defect"})
    last = score(client, new[5:7])
    left = {good, *(row["id"] for row in last)}
    assert {path.name for path in folder.iterdir()} == left
    client.post("/feedback", json={"id": good, "verdict": None})
    assert good not in {path.name for path in folder.iterdir()}


def test_maps_are_drawn_of_images_that_are_not_kept(serve, model_file, new):
    rows = score(serve(keep=0), new[:2], params={"maps": True})
    assert all(row["map"] for row in rows)
    folder = model_file.parent / "model.skgaussad.state" / "images"
    assert list(folder.iterdir()) == []


# -- Updates ---------------------------------------------------------------------------


def confirm(client, paths):
    rows = score(client, paths)
    for row in rows:
        client.post("/feedback", json={"id": row["id"], "verdict": "good"})
    return rows


def test_an_update_is_that_of_the_model(client, pipe, model_file, new):
    before = -pipe.offset_
    confirm(client, new[:4])
    assert client.get("/history").json()["n_waiting"] == 4
    answer = client.post("/update", json={})
    assert answer.status_code == 200, answer.text
    expected = -pipe.update(new[:4]).offset_
    changed = answer.json()
    assert (changed["n_before"], changed["n_after"]) == (40, 44)
    assert changed["threshold_before"] == before
    assert changed["threshold_after"] == pytest.approx(expected, rel=1e-6)
    facts = client.get("/model").json()
    assert facts["version"] == changed["model"]
    assert facts["n_training_images"] == 44
    assert -load(model_file).offset_ == changed["threshold_after"]
    (row,) = score(client, new[:1])
    assert row["threshold"] == changed["threshold_after"]
    history = client.get("/history").json()
    assert [d["in_model"] for d in history["decisions"]] == [False, *[True] * 4]
    assert history["n_waiting"] == 0
    refusal(client.post("/update", json={}), 409)
    undone = client.post("/undo").json()
    assert (undone["n_after"], undone["threshold_after"]) == (40, before)
    assert client.get("/history").json()["n_waiting"] == 4
    assert "no update to undo" in refusal(client.post("/undo"), 409)


def test_only_what_was_found_good_is_added(client, new):
    good, other = score(client, new[:2])
    client.post("/feedback", json={"id": good["id"], "verdict": "good"})
    refusal(client.post("/update", json={"ids": [other["id"]]}), 409)
    refusal(client.post("/update", json={"ids": []}), 409)
    answer = client.post("/update", json={"ids": [good["id"]]}).json()
    assert answer["n_after"] == 41
    shown = client.get("/training", params={"limit": 100}).json()["images"]
    assert new[0].name in [image["shown"] for image in shown]


def test_training_images_can_be_left_out(client, pipe):
    training = client.get("/training", params={"limit": 3}).json()
    distances = np.sort(pipe.calibration_distances_)[::-1]
    found = [image["distance"] for image in training["images"]]
    assert found == distances[:3].tolist()
    assert training["n_images"] == 40
    assert training["n_above"] == np.sum(distances > -pipe.offset_)
    first = training["images"][0]
    picture = client.get(f"/training/{first['row']}/image")
    assert Image.open(io.BytesIO(picture.content)).size == (64, 64)
    answer = client.post("/update", json={"ids": [], "forget": [first["name"]]}).json()
    assert answer["n_after"] == 39
    left = client.get("/training", params={"limit": 100}).json()["images"]
    assert first["name"] not in [image["name"] for image in left]
    refusal(client.post("/update", json={"forget": [first["name"]]}), 404)
    refusal(client.post("/update", json={"forget": [""]}), 404)
    refusal(client.get("/training/39/image"), 404)


def test_lots_are_asked_for_where_the_model_has_them(serve, images, tmp_path, new):
    path = tmp_path / "lots.skgaussad"
    save(fit(images / "good", detector__groups=np.arange(40).astype(str)), path)
    client = serve(path)
    assert client.get("/model").json()["lots"] is True
    confirm(client, new[:2])
    assert "name that of the new" in refusal(client.post("/update", json={}), 409)
    assert client.post("/update", json={"lot": "a"}).json()["n_after"] == 42
    # The lot that was given with the images is theirs.
    (row,) = score(client, new[2:3], params={"lot": "b"})
    client.post("/feedback", json={"id": row["id"], "verdict": "good"})
    assert client.post("/update", json={}).json()["n_after"] == 43
    images = client.get("/training", params={"limit": 43}).json()["images"]
    assert sorted(image["lot"] for image in images)[-3:] == ["a", "a", "b"]


def test_lots_are_numbers_where_those_of_the_fit_are(serve, images, tmp_path, new):
    path = tmp_path / "lots.skgaussad"
    save(fit(images / "good", detector__groups=np.arange(40)), path)
    client = serve(path)
    confirm(client, new[:2])
    error = refusal(client.post("/update", json={"lot": "monday"}), 409)
    assert "must be a number" in error
    assert client.post("/update", json={"lot": "40"}).json()["n_after"] == 42
    assert load(path).training_samples_["group"].tolist()[-2:] == [40, 40]


def test_lots_are_watched_as_the_monitor_watches_them(serve, images, tmp_path):
    path = tmp_path / "lots.skgaussad"
    with pytest.warns(FalseAlarmRateWarning, match="39 groups"):
        pipe = fit(images / "good", detector__groups=np.arange(40) // 4)
    save(pipe, path)
    expected = ConformalMonitor(random_state=0).fit(pipe[-1])
    bad = sorted(images.glob("cut/*.png"))
    client = serve(path)
    for lot in map(str, range(12)):
        rows = [score(client, [path], params={"lot": lot})[0] for path in bad]
        # One that is alone says nothing, and one without a lot is of none.
        score(client, bad[:1], params={"lot": f"{lot} alone"})
        score(client, bad[:1])
        expected.update_lot([row["distance"] for row in rows])
    monitor = client.get("/history").json()["monitor"]
    # The last lot goes on until another begins.
    assert (monitor["by"], monitor["n_seen"]) == ("lot", 12)
    assert monitor["log_martingale"] == pytest.approx(expected.log_martingale_)
    assert serve(path).get("/history").json()["monitor"] == monitor


def test_a_lot_is_refused_where_the_model_has_none(client, new):
    answer = client.post("/score", files=upload(new[:1]), params={"lot": "a"})
    assert "without lots" in refusal(answer, 409)
    answer = client.post("/score", files=upload(new[:1]), params={"lot": " "})
    refusal(answer, 422)


def test_a_replaced_file_is_used_without_a_dropped_request(
    serve, model_file, images, new, tmp_path
):
    client = serve()
    old = client.get("/model").json()["version"]
    other = tmp_path / "other.skgaussad"
    save(fit(images / "good").update(new), other)
    versions = [old]
    shutil.copy(other, tmp_path / "copy")
    (tmp_path / "copy").replace(model_file)
    deadline = time.monotonic() + 20
    while versions[-1] == old and time.monotonic() < deadline:
        response = client.post("/score", files=upload(new[:1]))
        assert response.status_code == 200
        versions.append(response.json()["model"])
    assert versions[-1] != old
    facts = client.get("/model").json()
    assert facts["version"] == versions[-1]
    assert facts["n_training_images"] == 48
    # A file that is no model changes nothing.
    model_file.write_bytes(b"nothing")
    time.sleep(1.5)
    assert score(client, new[:1])[0]["error"] is None
    assert client.get("/model").json()["version"] == versions[-1]
    refusal(client.post("/undo"), 409)


def test_a_rate_can_be_chosen(serve, pipe, mixed):
    client = serve()
    rates = client.get("/rates", params={"fpr": 0.33}).json()
    held_out = pipe[-1]._held_out
    assert 0.33 in [point["fpr"] for point in rates["rates"]]
    for point in rates["rates"]:
        assert point["threshold"] == held_out.threshold(point["fpr"])
        assert point["supported"] == held_out.supports(point["fpr"])
    assert rates["current"] == rates["own"]
    assert rates["own"]["bound"] == pytest.approx(pipe.fpr_bound())
    chosen = client.post("/rate", json={"fpr": 0.3}).json()
    for one in (client, serve()):
        facts = one.get("/model").json()
        assert (facts["fpr"], facts["threshold"]) == (0.3, chosen["threshold"])
        for row in score(one, mixed):
            flagged = row["distance"] > held_out.threshold(0.3)
            assert row["label"] == (-1 if flagged else 1)
    client.post("/rate", json={"fpr": None})
    assert client.get("/model").json()["threshold"] == -pipe.offset_
    refusal(client.post("/rate", json={"fpr": 1.5}), 422)


def test_all_goes_by_the_rate_that_was_chosen(client, pipe, mixed, tmp_path):
    """Maps, downloads and the report, too: else they contradict the decisions."""
    decisions = score(client, mixed)
    identity = decisions[0]["id"]
    map_before = client.get(f"/images/{identity}/map").content
    chosen = client.post("/rate", json={"fpr": 0.3}).json()
    assert chosen["threshold"] < -pipe.offset_
    assert client.get(f"/images/{identity}/map").content != map_before
    path = tmp_path / "m.skgaussad"
    path.write_bytes(client.get("/model/file").content)
    downloaded = load(path)
    assert -downloaded.offset_ == pytest.approx(chosen["threshold"])
    assert downloaded[-1].fpr == 0.3
    assert f"{chosen['threshold']:.4g}" in client.get("/report").text
    summary = " ".join(client.get("/model").json()["summary"])
    assert "30" in summary
    client.post("/rate", json={"fpr": None})
    assert client.get(f"/images/{identity}/map").content == map_before


def test_a_detector_without_held_out_distances_serves(serve, pipe, images, tmp_path):
    good = sorted(map(str, images.glob("good/*.png")))
    steps = [("pca", PCA(3)), ("detector", EllipticEnvelope(support_fraction=1))]
    other = Pipeline([pipe.steps[0], *steps]).fit(good)
    path = tmp_path / "other.skgaussad"
    save(other, path)
    client = serve(path)
    paths = sorted(images.glob("new/*.png"))
    rows = score(client, paths)
    assert [row["label"] for row in rows] == other.predict(
        list(map(str, paths))
    ).tolist()
    assert {row["p_value"] for row in rows} == {None}
    assert client.get("/rates").json()["rates"] == []
    refusal(client.post("/rate", json={"fpr": 0.1}), 409)
    refusal(client.get("/training"), 409)
    client.post("/feedback", json={"id": rows[0]["id"], "verdict": "good"})
    refusal(client.post("/update", json={}), 409)
    assert client.get("/history").json()["monitor"] is None
    assert client.get("/metrics").status_code == 200
    maps = client.post("/score", params={"maps": True}, files=upload(paths[:1]))
    refusal(maps, 409)
    with pytest.raises(ValueError, match="--adapt cannot be used"):
        make_app(path, adapt=True)


# -- Facts and files -------------------------------------------------------------------


def test_metrics_count_images_and_verdicts(client, mixed, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    rows = score(client, [*mixed, bad])
    client.post("/feedback", json={"id": rows[0]["id"], "verdict": "good"})
    text = client.get("/metrics").text
    n_bad = sum(row["label"] == -1 for row in rows)
    request = 'method="POST",route="/score",status="200"'
    for line in (
        f'skgaussad_images_total{{decision="anomalous"}} {n_bad}.0',
        f'skgaussad_images_total{{decision="normal"}} {len(mixed) - n_bad}.0',
        'skgaussad_images_total{decision="error"} 1.0',
        f"skgaussad_request_seconds_count{{{request}}} 1.0",
        f"skgaussad_threshold_ratio_count {len(mixed)}.0",
        "skgaussad_monitor_alarm 0.0",
        "skgaussad_training_images 40.0",
    ):
        assert line in text.splitlines()
    assert 'verdict="good"' in text


def test_files_can_be_downloaded(client, model_file, mixed):
    refusal(client.get("/report"), 409)
    assert client.get("/model/file").content == model_file.read_bytes()
    score(client, mixed)
    report = client.get("/report")
    assert report.headers["content-disposition"].endswith('"report.html"')
    assert all(path.name in report.text for path in mixed[-2:])
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(onnx.load_from_string(client.get("/model/onnx").content))


def test_text_in_the_place_of_a_file_is_told(client):
    response = client.post("/score", files=[("files", (None, "hello"))])
    assert "files=@a.png; got text" in refusal(response, 422)


def test_a_report_is_on_images_that_are_not_in_the_model(client, mixed):
    first, *others = score(client, mixed)
    for row in (first, *others):
        is_good = row["label"] == 1 or row is first
        verdict = {"id": row["id"], "verdict": "good" if is_good else "defect"}
        client.post("/feedback", json=verdict)
    report = client.get("/report").text
    assert f"of\n{len(mixed)} images are flagged" in report
    assert "Missed defects: 0" in report, "verdicts are labels"
    client.post("/update", json={"ids": [first["id"]]})
    report = client.get("/report").text
    assert f"of\n{len(mixed) - 1} images are flagged" in report
    one_more = score(client, mixed[:1])
    report = client.get("/report").text
    assert "Missed defects" not in report, "one has no verdict"
    client.post("/feedback", json={"id": one_more[0]["id"], "verdict": "good"})
    ids = [row["id"] for row in others if row["label"] == 1] + [one_more[0]["id"]]
    client.post("/update", json={"ids": ids})
    for row in others:
        if row["label"] == -1:
            client.post("/feedback", json={"id": row["id"], "verdict": "good"})
    ids = [row["id"] for row in others if row["label"] == -1]
    client.post("/update", json={"ids": ids})
    assert "No new images" in refusal(client.get("/report"), 409)


def test_added_images_keep_their_names(client, model_file, new):
    (row,) = score(client, [new[0]])
    assert re.fullmatch(rf"{new[0].stem}-[0-9a-f]{{16}}\.png", row["id"])
    files = [("files", ("Teil 7/\u00fc \u00e4.PNG", new[0].read_bytes()))]
    (other,) = client.post("/score", files=files).json()["results"]
    assert re.fullmatch(r"[0-9a-f]{16}\.png", other["id"])
    assert client.get(f"/images/{other['id']}").status_code == 200
    client.post("/feedback", json={"id": row["id"], "verdict": "good"})
    client.post("/update", json={"ids": [row["id"]]})
    name = load(model_file).training_samples_["name"][-1]
    assert os.path.basename(name) == row["id"]
    training = client.get("/training", params={"limit": 100}).json()["images"]
    assert new[0].name in [image["shown"] for image in training]
    assert "/" not in " ".join(client.get("/model").json()["summary"])


def test_the_model_file_is_read_once(model_file, monkeypatch):
    opened = []
    original = builtins.open

    def count(path, *arguments, **options):
        opened.append(os.fspath(path) if isinstance(path, os.PathLike) else path)
        return original(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", count)
    app = make_app(model_file)
    monkeypatch.undo()
    assert opened.count(str(model_file)) == 1
    version = TestClient(app, base_url=HOST).get("/model").json()["version"]
    assert hashlib.sha256(model_file.read_bytes()).hexdigest().startswith(version)


def test_methods_of_any_name_are_counted_as_one(client):
    for name in ("FOO", "BAR"):
        refusal(client.request(name, "/history"), 405)
    text = client.get("/metrics").text
    assert 'method="other"' in text
    assert "FOO" not in text


def test_health_and_readiness(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ok"}


def test_a_full_disk_is_told_and_counts_for_nothing(
    client, model_file, new, monkeypatch
):
    rows = score(client, new[:1])
    with monkeypatch.context() as patch:

        def fail(descriptor):
            raise OSError(28, "No space left on device")

        patch.setattr("skgaussad.serve._decision_journal.os.fsync", fail)
        feedback = {"id": rows[0]["id"], "verdict": "good"}
        refusal(client.post("/feedback", json=feedback), 507)
        refusal(client.post("/score", files=upload(new[:1])), 507)
    history = client.get("/history").json()
    assert (history["n_decided"], history["decisions"][0]["verdict"]) == (1, None)
    # An image without a decision would fill the disk further.
    folder = model_file.parent / "model.skgaussad.state" / "images"
    assert [path.name for path in folder.iterdir()] == [rows[0]["id"]]
    assert json.loads(client.post("/feedback", json=feedback).content)["id"]


def test_the_app_needs_its_packages(monkeypatch, model_file):
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"skgaussad\[serve\]"):
        make_app(model_file)
