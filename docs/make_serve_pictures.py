"""Make the pictures of the page in user_guide/serve.rst, which a browser takes.

    python docs/make_serve_pictures.py

It needs skgaussad[serve], playwright, Pillow and Chromium.
"""

import io
import shutil
import tempfile
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from skgaussad import make_detector, save
from skgaussad.datasets import load_solar_cells
from skgaussad.serve import make_app

FOLDER = Path(__file__).parent / "_static"
SIZES = {1400: 960, 390: 1330}
_SECONDS = 120_000


def main():
    """Serve a model of solar cells, and take the pictures."""
    cells = load_solar_cells("mono")
    good, bad = (cells.paths[cells.labels == label] for label in (1, -1))
    # Files in their order drift.
    good = np.random.default_rng(0).permutation(good).tolist()
    shown = [*good[120:128], *bad[:2].tolist()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "solar-cells.skgaussad"
        save(make_detector(fpr=0.05).fit(good[:100]), path)
        server = uvicorn.Server(uvicorn.Config(make_app(path), port=0))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.1)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            for width, height in SIZES.items():
                httpx2.post(f"http://127.0.0.1:{port}/monitor/reset")
                picture = take(f"http://127.0.0.1:{port}", shown, width, height)
                picture.save(FOLDER / f"serve_{width}.png", optimize=True)
        finally:
            server.should_exit = True
            thread.join()


def take(address, images, width, height):
    """Return a picture of the page after images were dropped, in few colours."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(_SECONDS)
        page.goto(address)
        page.get_by_label("Choose images").set_input_files(images)
        page.locator("#working").wait_for(state="hidden")
        page.locator("#cards img[src]").first.wait_for()
        page.wait_for_load_state("networkidle")
        page.evaluate("document.getElementById('status').remove()")
        content = page.screenshot()
        browser.close()
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    return picture.quantize(128, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
