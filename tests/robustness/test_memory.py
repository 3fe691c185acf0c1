"""Memory does not grow with the number of images scored."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skgaussad.exceptions import InvalidImageError

STATUS = Path("/proc/self/statm")
# What allocators keep for themselves.
MAX_GROWTH = 8 * 2**20


def resident_bytes():
    return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not STATUS.exists(), reason="needs the figures of Linux")
@pytest.mark.slow
def test_ten_thousand_images(fitted, tmp_path, tell):
    """From files and memory; every tenth call meets an image that is refused.

    An image of 64 x 64 pixels takes 48 KiB as the network sees it, so one that was kept
    a call would be 5 MiB, and all of them 480 MiB.
    """
    rng = np.random.default_rng(0)
    arrays = list(rng.integers(0, 256, (100, 64, 64), dtype=np.uint8))
    paths = []
    for i, array in enumerate(arrays):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(array).save(paths[-1])
    bad = tmp_path / "bad.png"
    bad.write_bytes(paths[0].read_bytes()[:-100])

    def score(n_calls):
        for call in range(n_calls):
            X = arrays if call % 2 else paths
            if call % 10 == 0:
                with pytest.raises(InvalidImageError):
                    fitted.score_samples([*X, bad])
            fitted.predict(X)

    score(20)
    before = resident_bytes()
    figures = []
    for _ in range(5):
        score(20)
        figures.append((resident_bytes() - before) / 2**20)
    tell(
        f"memory: {before / 2**20:.0f} MiB after 2,000 images scored, and after each "
        f"2,000 more {', '.join(f'{figure:+.1f}' for figure in figures)}"
    )
    assert figures[-1] * 2**20 < MAX_GROWTH
