"""The page in a browser: with the mouse, with the keyboard alone, and with a token."""

import shutil
from urllib.parse import urljoin

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from skgaussad import load, save

from .conftest import fit, running

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "microsoft-edge")
browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(
    browser_path is None, reason=f"needs a browser: {', '.join(BROWSERS)}"
)
# Seconds; the machine of a test may be busy.
PATIENCE = 20_000
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox"]
        )
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Return a function that opens the page, and fails where something is wrong."""
    problems, contexts = [], []

    def open_page(address, width=1400, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()

        def see(request):
            own = urljoin(address, "/")
            if not request.url.startswith((own, f"blob:{own}", "data:")):
                problems.append(f"foreign request: {request.url}")

        page.on("request", see)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: (
                problems.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def address(model_file):
    with running(model_file) as address:
        yield address


@pytest.fixture
def mixed(images):
    return [*sorted(images.glob("new/*.png"))[:4], *sorted(images.glob("cut/*.png"))]


def check_accessible(page):
    """Check contrast, labels and all axe-core knows, and that nothing sticks out."""
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]


@pytest.mark.parametrize("width", [390, 1400])
def test_from_images_to_an_update(visit, address, mixed, model_file, width):
    pipe = load(model_file)
    n_flagged = int((pipe.predict(mixed) == -1).sum())
    page = visit(address, width)
    expect(page.get_by_role("heading", level=1)).to_have_text("model.skgaussad")
    expect(page.locator("#model-line")).to_contain_text("40 normal images learned")
    page.get_by_label("Choose images").set_input_files(mixed)
    expect(page.get_by_role("status")).to_have_text("8 images checked.")
    summary = page.locator("#summary")
    expect(summary).to_have_text(f"{n_flagged} of 8 images flagged")
    cards = page.locator("#cards .card")
    expect(cards).to_have_count(8)
    expect(page.locator("#cards .card.flagged")).to_have_count(n_flagged)
    # Most unusual first, with its map, and without.
    first = cards.first
    expect(first).to_contain_text("Anomalous")
    expect(first).to_contain_text("p-value 0.0244")
    picture = first.get_by_role("button", name="Map over")
    expect(picture).to_have_attribute("aria-pressed", "true")
    expect(picture.locator("img")).to_have_js_property("naturalWidth", 64)
    picture.click()
    expect(picture).to_have_attribute("aria-pressed", "false")
    check_accessible(page)

    # The slider shows at once what another rate would do.
    slider = page.get_by_label("False-alarm rate")
    expect(slider).to_have_attribute("aria-valuetext", "5\u00a0%")
    slider.focus()
    page.keyboard.press("End")
    threshold = pipe[-1]._held_out.threshold(0.3)
    flagged = -pipe.score_samples(mixed) > threshold
    expect(summary).to_have_text(f"{flagged.sum()} of 8 images flagged at 30\u00a0%")
    n_changed = int(flagged.sum()) - n_flagged
    expect(page.locator(".changes")).to_have_count(n_changed)
    expect(page.locator("#rate-changes")).to_contain_text(f"{n_changed} image")
    expect(page.locator("#rate-text")).to_contain_text("confidence at most 4")
    page.get_by_role("button", name="Decide by this rate").click()
    expect(page.locator("#model-line")).to_contain_text("30\u00a0% false alarms")
    expect(page.locator(".changes")).to_have_count(0)
    expect(summary).to_have_text(f"{flagged.sum()} of 8 images flagged")

    # What inspection finds, and the update.
    for name in (mixed[0].name, mixed[1].name):
        card = cards.filter(has_text=name)
        card.get_by_role("button", name="This was good").click()
        good = card.get_by_role("button", name="This was good")
        expect(good).to_have_attribute("aria-pressed", "true")
    card = cards.filter(has_text=mixed[-1].name)
    card.get_by_role("button", name="This is a defect").click()
    update = page.get_by_role("button", name="Add them to the model")
    expect(page.locator("#waiting")).to_contain_text("2 images were confirmed good")
    update.click()
    expect(page.get_by_role("status")).to_contain_text("42 images now, 40 before")
    expect(page.locator("#model-line")).to_contain_text("42 normal images learned")
    assert len(load(model_file).training_samples_["name"]) == 42
    page.get_by_role("button", name="Undo the last update").click()
    expect(page.get_by_role("status")).to_contain_text("40 images now, 42 before")

    # Training images, history and files.
    training = page.locator("#training-cards .card")
    expect(training).to_have_count(12)
    training.first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Leave the selected ones out").click()
    expect(page.get_by_role("status")).to_contain_text("39 images now, 40 before")
    page.get_by_text("The last decisions", exact=True).click()
    expect(page.locator("#decisions tr")).to_have_count(8)
    expect(page.locator("#counts")).to_contain_text("Images decided8")
    with page.expect_download() as download:
        page.get_by_role("button", name="Report on the last images").click()
    assert download.value.suggested_filename == "report.html"
    check_accessible(page)


def test_dark_and_with_an_image_that_cannot_be_used(visit, service, mixed, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    page = visit(service, 390, "dark")
    page.get_by_label("Choose images").set_input_files([*mixed, bad])
    expect(page.locator("#summary")).to_contain_text("1 cannot be used")
    card = page.locator("#cards .card").filter(has_text="bad.png")
    expect(card).to_contain_text("expected an image")
    check_accessible(page)


def test_by_the_keyboard_alone(visit, address, mixed):
    page = visit(address)
    expect(page.locator("#training-cards .card")).to_have_count(12)
    focused = page.locator(":focus")

    def tab_to(name):
        for _ in range(60):
            page.keyboard.press("Tab")
            label = focused.evaluate(
                "e => e.getAttribute('aria-label') || e.labels?.[0]?.textContent "
                "|| e.textContent"
            )
            if name in label:
                return
        raise AssertionError(f"no way to {name}")

    page.keyboard.press("Tab")
    expect(focused).to_have_text("Skip to the images")
    with page.expect_file_chooser() as chooser:
        tab_to("Choose images")
        page.keyboard.press("Enter")
    chooser.value.set_files(mixed)
    expect(page.locator("#cards .card")).to_have_count(8)
    tab_to("False-alarm rate")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#summary")).to_contain_text("at 6")
    tab_to("Back to the rate in use")
    page.keyboard.press("Enter")
    expect(page.locator("#rate-changes")).to_have_text("This is the rate in use.")
    tab_to("This was good")
    page.keyboard.press("Enter")
    # The card was drawn again, and the focus stays.
    expect(focused).to_have_attribute("aria-pressed", "true")
    expect(focused).to_have_text("This was good")
    expect(page.locator("#waiting")).to_contain_text("1 image was confirmed good")
    tab_to("Add them to the model")
    page.keyboard.press("Space")
    expect(page.locator("#model-line")).to_contain_text("41 normal images learned")


def test_lots_are_named_where_the_model_has_them(visit, images, mixed, tmp_path):
    path = tmp_path / "lots.skgaussad"
    save(fit(images / "good", detector__groups=np.arange(40)), path)
    with running(path) as address:
        page = visit(address)
        expect(page.locator("#drift")).to_contain_text("after 0 lots")
        page.get_by_label("Lot of these images").fill("41")
        page.get_by_label("Choose images").set_input_files(mixed)
        good = page.locator("#cards").get_by_role("button", name="This was good")
        good.first.click()
        page.get_by_label("Lot of these images").fill("42")
        page.get_by_role("button", name="Add them to the model").click()
        expect(page.locator("#model-line")).to_contain_text("41 normal images learned")
        check_accessible(page)
    assert load(path).training_samples_["group"][-1] == 41


def test_a_page_of_another_origin_cannot_give_feedback(visit, browser, address, mixed):
    page = visit(address)
    page.get_by_label("Choose images").set_input_files(mixed[:1])
    expect(page.locator("#cards .card")).to_have_count(1)
    name = mixed[0].name
    foreign = browser.new_page()
    # The name of another machine, as a rebound DNS entry, and another port.
    foreign.route("http://evil.example/**", lambda route: route.fulfill(body="<p>"))
    foreign.goto("http://evil.example/")
    script = """async ([address, name]) => {
        const body = JSON.stringify({ name, verdict: "defect" });
        const found = [];
        for (const options of [
            { mode: "no-cors" },
            { mode: "cors", headers: { "Content-Type": "application/json" } },
        ]) {
            try {
                const answer = await fetch(`${address}/feedback`,
                    { method: "POST", body, ...options });
                found.push(answer.type);
            } catch { found.push("refused"); }
        }
        return found;
    }"""
    found = foreign.evaluate(script, [address, name])
    assert "cors" not in found
    # A form needs no leave of the service, and an undo no body.
    form = f"<form action='{address}/undo' method=post><button>Win</button></form>"
    foreign.evaluate("html => { document.body.innerHTML = html; }", form)
    with foreign.expect_navigation() as navigation:
        foreign.get_by_role("button").click()
    assert navigation.value.status == 403
    foreign.close()
    page.reload()
    page.get_by_text("The last decisions", exact=True).click()
    pressed = page.locator("#decisions button[aria-pressed=true]")
    expect(page.locator("#decisions tr")).to_have_count(1)
    expect(pressed).to_have_count(0)
    # The page itself can.
    page.locator("#decisions").get_by_role("button", name="This is a defect").click()
    expect(pressed).to_have_count(1)


def test_the_token_is_asked_for(model_file, browser, mixed):
    with running(model_file, token="secret") as address:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        use_token(page, mixed)
        page.close()


def use_token(page, mixed):
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("#token-wrong")).to_be_hidden()
    page.get_by_role("textbox", name="Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token-wrong")).to_be_visible()
    expect(page.get_by_role("textbox", name="Token")).to_have_value("")
    page.get_by_role("textbox", name="Token").fill("secret")
    page.keyboard.press("Enter")
    expect(page.locator("#model-line")).to_contain_text("40 normal images learned")
    page.get_by_label("Choose images").set_input_files(mixed)
    expect(page.locator("#cards img").first).to_have_js_property("naturalWidth", 64)


def test_the_api_is_described_without_another_host(visit, service):
    page = visit(f"{service}/docs")
    expect(page.locator(".opblock")).to_have_count(20)


def test_what_others_change_shows_with_the_next_image(visit, address, mixed):
    page = visit(address)
    files = page.get_by_label("Choose images")
    files.set_input_files(mixed[:1])
    expect(page.locator("#cards .card")).to_have_count(1)
    expect(page.locator("#model-line")).to_contain_text("5\u00a0% false alarms")
    page.request.post(f"{address}/rate", data={"fpr": 0.3})
    files.set_input_files(mixed[1:2])
    expect(page.locator("#model-line")).to_contain_text("30\u00a0% false alarms")
    slider = page.get_by_label("False-alarm rate")
    expect(slider).to_have_attribute("aria-valuetext", "30\u00a0%")
    history = page.request.get(f"{address}/history").json()
    identity = history["decisions"][0]["id"]
    page.request.post(f"{address}/feedback", data={"id": identity, "verdict": "good"})
    page.request.post(f"{address}/update", data={"ids": [identity]})
    files.set_input_files(mixed[2:3])
    expect(page.locator("#model-line")).to_contain_text("41 normal images learned")
