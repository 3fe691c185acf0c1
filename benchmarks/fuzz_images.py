"""Fuzzing of image reading: no crash, no hang, no other error, no flood of memory.

    python benchmarks/fuzz_images.py --seconds 600

Needs atheris. It starts from the files of ``tests/features/test_differential.py``,
changes them, and keeps in ``--corpus`` what reaches new code of Pillow or of this
package. Each input is read as a file. It has to be decoded or refused by
`InvalidImageError` within 10 s, and less than 1 GB of memory in all, where images have
at most two million pixels; the size that is read without decoding has to be that of the
pixels, these have to be in range, and results must not depend on
``ImageFile.LOAD_TRUNCATED_IMAGES``. An input that breaks this is written to the working
directory, and the exit status is not 0.
"""

import argparse
import hashlib
import importlib.util
import os
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["PIL", "skgaussad.features"]):
    import numpy as np
    from PIL import Image, ImageFile

    from skgaussad.exceptions import InvalidImageError
    from skgaussad.features._decoding import decode_image, read_image_size

SEEDS = Path(__file__).parents[1] / "tests" / "features" / "test_differential.py"


def read(path):
    """Return the pixels, or None if they are refused."""
    try:
        return decode_image([path], 0)
    except InvalidImageError:
        return None


def check(path, content):
    """Read a file in all ways, and compare them."""
    Path(path).write_bytes(content)
    pixels = read(path)
    if pixels is not None:
        assert read_image_size([path], 0) == pixels.shape[:2]
        assert pixels.dtype in (np.uint8, np.float32)
        assert pixels.min() >= 0
        assert pixels.max() <= (255 if pixels.dtype == np.uint8 else 1)
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        again = read(path)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    assert (pixels is None) == (again is None), "depends on LOAD_TRUNCATED_IMAGES"
    assert pixels is None or np.array_equal(pixels, again)


def check_and_keep(path, content):
    """Check a file, and write it to the working directory if it breaks a rule."""
    try:
        check(path, content)
    except BaseException:
        Path(f"broken-{hashlib.sha1(content).hexdigest()[:12]}").write_bytes(content)
        raise


def write_seeds(folder):
    """Write the files to start from."""
    spec = importlib.util.spec_from_file_location("test_differential", SEEDS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for index, case in enumerate(module.corpus()):
        (folder / f"seed-{index:04d}").write_bytes(case.content)


def main():
    """Fuzz for some seconds, or until something is found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, help="default: a temporary folder")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = 2**20
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        corpus = arguments.corpus or Path(scratch, "corpus")
        if not corpus.exists():
            corpus.mkdir(parents=True)
            write_seeds(corpus)
        path = os.path.join(scratch, "image")
        options = {
            "max_total_time": arguments.seconds,
            "timeout": 10,
            "rss_limit_mb": 1024,
            "max_len": 65536,
            "print_final_stats": 1,
        }
        flags = [f"-{name}={value}" for name, value in options.items()]
        atheris.Setup([sys.argv[0], str(corpus), *flags], partial(check_and_keep, path))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
