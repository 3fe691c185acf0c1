"""Tests of devices, batches, decoding ahead, lack of memory and non-finite features."""

import re
import threading
import time

import numpy as np
import pytest
import torch

from skgaussad.exceptions import InvalidImageError
from skgaussad.features._backbone import Backbone
from skgaussad.features._device import (
    resolve_batch_size,
    resolve_device,
    resolve_num_workers,
)
from skgaussad.features._extraction import PRECISIONS, Extractor
from skgaussad.features._parts import list_parts
from skgaussad.features._pooling import resolve_pooling
from skgaussad.features._preprocessing import Preprocessing

CPU = torch.device("cpu")
PREPROCESSING = Preprocessing(
    (64, 96), "bicubic", None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
)
needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device"
)


def make_extractor(
    name="test_resnet",
    levels=(2, 4),
    pooling="average",
    preprocessing=PREPROCESSING,
    precision="float32",
    device=CPU,
    compiled=False,
):
    backbone = Backbone(name, levels, None, preprocessing.image_size, 0, True)
    parts = list_parts(backbone.levels, resolve_pooling(pooling), backbone.shapes)
    return Extractor(backbone, parts, preprocessing, device, precision, compiled)


@pytest.fixture(scope="module")
def extractor():
    """Not to be changed by tests."""
    return make_extractor()


@pytest.fixture(scope="module")
def features(extractor, images):
    """The features of `images`, one image a batch."""
    return extract(extractor, images, batch_size=1)


def extract(extractor, images, batch_size=3, num_workers=0):
    rows, features = [], []
    for some_rows, some_features in extractor.stream(
        images, range(len(images)), batch_size=batch_size, num_workers=num_workers
    ):
        rows.extend(some_rows)
        features.append(some_features)
    assert rows == list(range(len(images)))
    return np.concatenate(features)


def load_batch(images, n_images=2):
    return torch.from_numpy(
        np.stack([PREPROCESSING.load(images, i) for i in range(n_images)])
    )


def assert_close(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=tolerance * np.abs(expected).max()
    )


def running_threads():
    """The decoding threads that are there; those of the network last."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("skgaussad-decode")
    ]


@pytest.fixture
def set_threads():
    """Sets how many threads torch has, until the test is over."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# Devices


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [
        (False, False, "cpu"),
        (False, True, "mps"),
        (True, False, "cuda"),
        (True, True, "cuda"),
    ],
)
def test_auto_takes_the_best_device(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto", "float32") == torch.device(expected)


@pytest.mark.parametrize("device", ["cpu", "cpu:0", CPU], ids=repr)
def test_device_is_taken_as_given(device):
    assert resolve_device(device, "bfloat16") == torch.device(device)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_gpu_by_its_number(two_gpus, device):
    assert resolve_device(device, "float16") == torch.device(device)


def test_gpu_that_is_one_too_many(two_gpus):
    message = (
        r"device='cuda:2' is not available; torch .* finds 1 cpu, 2 cuda\. Use device="
    )
    with pytest.raises(ValueError, match=message):
        resolve_device("cuda:2", "float32")


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps", "meta", "cpu:1"])
def test_device_that_is_not_available(no_gpu, device):
    message = (
        f"device='{device}' is not available; torch {torch.__version__} finds 1 cpu. "
        "Use device='auto' to take the best one available."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resolve_device(device, "float32")


@pytest.mark.parametrize("device", ["nonsense", "", None, 1.5, ["cpu"]], ids=repr)
def test_what_is_no_device(device):
    message = (
        "device must be 'auto' or the name of a torch device such as 'cpu', 'cuda', "
        f"'cuda:1' or 'mps'; got {device!r}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resolve_device(device, "float32")


def test_half_precision_is_for_cuda():
    message = (
        r"precision='float16' needs a CUDA device, and the device is 'cpu'\. "
        r"Use 'float32' or 'bfloat16'\."
    )
    with pytest.raises(ValueError, match=message):
        resolve_device("cpu", "float16")


@pytest.mark.parametrize(
    ("batch_size", "device", "expected"),
    [
        ("auto", "cpu", 4),
        ("auto", "cuda:1", 64),
        ("auto", "mps", 64),
        (5, "cpu", 5),
        (np.int64(5), "cuda", 5),
    ],
    ids=repr,
)
def test_batch_size(batch_size, device, expected):
    assert resolve_batch_size(batch_size, torch.device(device)) == expected


@pytest.mark.parametrize(
    ("batch_size", "message"),
    [
        ("large", "batch_size must be an integer of at least 1 or 'auto'; got 'large'"),
        (0, "batch_size must be at least 1; got 0"),
        (2.0, "batch_size must be an integer of at least 1; got 2.0"),
        (None, "batch_size must be an integer of at least 1; got None"),
    ],
    ids=repr,
)
def test_batch_size_that_is_refused(batch_size, message):
    with pytest.raises(ValueError, match=message):
        resolve_batch_size(batch_size, CPU)


@pytest.mark.parametrize(
    ("num_workers", "device", "n_cores", "expected"),
    [
        ("auto", "cpu", 4, 0),
        ("auto", "cuda:1", 4, 4),
        ("auto", "cuda", 64, 8),
        ("auto", "mps", None, 1),
        (0, "cuda", 4, 0),
        (3, "cpu", 4, 3),
    ],
    ids=repr,
)
def test_num_workers(monkeypatch, num_workers, device, n_cores, expected):
    monkeypatch.setattr("os.cpu_count", lambda: n_cores)
    assert resolve_num_workers(num_workers, torch.device(device)) == expected


@pytest.mark.parametrize(
    ("num_workers", "message"),
    [
        ("all", "num_workers must be an integer of at least 0 or 'auto'; got 'all'"),
        (-1, "num_workers must be at least 0; got -1"),
        (1.5, "num_workers must be an integer of at least 0; got 1.5"),
    ],
    ids=repr,
)
def test_num_workers_that_is_refused(num_workers, message):
    with pytest.raises(ValueError, match=message):
        resolve_num_workers(num_workers, CPU)


# What is computed


def test_input_of_the_network_is_the_normalized_image(extractor, images):
    received = []
    hook = extractor._module.register_forward_pre_hook(
        lambda _module, args: received.append(args[0].clone())
    )
    pixels = load_batch(images)
    extractor._maps(pixels)
    hook.remove()
    expected = (pixels.numpy() - PREPROCESSING.mean) / PREPROCESSING.std
    np.testing.assert_allclose(
        received[0], np.moveaxis(expected, -1, 1), rtol=1e-5, atol=1e-6
    )


def quadrants(feature_map):
    """Means over the cells of a 2 x 2 grid, for a map of even sides."""
    upper, lower = feature_map.chunk(2, dim=2)
    return [
        quadrant.mean(dim=(2, 3))
        for half in (upper, lower)
        for quadrant in half.chunk(2, dim=3)
    ]


def test_columns_go_by_level_then_by_pooling(images):
    extractor = make_extractor(levels=[1, 3], pooling=["std", 2, "average"])
    batch = load_batch(images)
    expected = [
        vector
        for feature_map, _ in extractor._maps(batch).values()
        for vector in (
            feature_map.std(dim=(2, 3), correction=0),
            *quadrants(feature_map),
            feature_map.mean(dim=(2, 3)),
        )
    ]
    found = extractor._features(batch).numpy()
    assert_close(found, torch.cat(expected, dim=1).numpy())


def test_class_token_is_the_token_of_the_network(images):
    extractor = make_extractor("test_vit", [2, 6], "class_token")
    batch = load_batch(images)
    outputs = []
    blocks = extractor._module.network.blocks
    for block in (blocks[1], blocks[5]):
        block.register_forward_hook(lambda _module, _args, out: outputs.append(out))
    found = extractor._features(batch)
    expected = torch.cat([tokens[:, 0] for tokens in outputs], dim=1)
    np.testing.assert_array_equal(found, expected)


def test_bfloat16_is_close_to_float32(images, features):
    """Its significand of 8 bits rounds each value by up to 2**-8, layer after layer."""
    extractor = make_extractor(precision="bfloat16")
    found = extract(extractor, images)
    assert found.dtype == np.float32
    error = np.linalg.norm(found - features) / np.linalg.norm(features)
    assert 1e-5 < error < 4 * 2**-8


# Batches


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_features_do_not_depend_on_batches_and_workers(
    extractor, images, features, batch_size, num_workers
):
    found = extract(extractor, images, batch_size, num_workers)
    assert_close(found, features)
    assert running_threads() == []


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_a_single_image(extractor, images, features, num_workers):
    found = extract(extractor, images[2:3], 4, num_workers)
    np.testing.assert_array_equal(found, features[2:3])


class CountingImages:
    """A sequence of images that knows which were asked for, by which threads."""

    def __init__(self, image, n_images):
        self.image = image
        self.n_images = n_images
        self.asked = []
        self.threads = set()

    def __len__(self):
        return self.n_images

    def __getitem__(self, index):
        self.asked.append(index)
        self.threads.add(threading.current_thread().name)
        return self.image


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_decoding_is_at_most_two_batches_ahead(
    monkeypatch, set_threads, extractor, images, num_workers
):
    """Else the images of a large data set would pile up in memory."""
    set_threads(1)
    batch_size, n_images = 2, 11
    counting = CountingImages(images[0], n_images)
    ahead, computed = [], 0

    def slow_features(batch):
        nonlocal computed
        if num_workers:
            # Time for the workers to run as far ahead as they are let.
            time.sleep(0.05)
        ahead.append(len(counting.asked) - computed)
        computed += len(batch)
        return torch.zeros(len(batch), 3)

    monkeypatch.setattr(extractor, "_features", slow_features)
    extract(extractor, counting, batch_size, num_workers)
    assert max(ahead) <= 2 * batch_size
    assert (max(ahead) > batch_size) == (num_workers > 0)
    assert sorted(counting.asked) == list(range(n_images))


@pytest.mark.parametrize("with_maps", [False, True])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_lanes_change_nothing(set_threads, extractor, images, num_workers, with_maps):
    """Not a bit: a batch is computed by one thread in either case."""

    def stream(n_threads):
        set_threads(n_threads)
        found = list(
            extractor.stream(
                images,
                range(len(images)),
                batch_size=2,
                num_workers=num_workers,
                with_maps=with_maps,
            )
        )
        assert running_threads() == []
        assert torch.get_num_threads() == n_threads
        return found

    for alone, beside in zip(stream(1), stream(3), strict=True):
        assert alone[0] == beside[0]
        np.testing.assert_array_equal(alone[1], beside[1])
        for maps, same_maps in zip(alone[2:], beside[2:], strict=True):
            for level in maps:
                assert torch.equal(maps[level], same_maps[level])


@pytest.mark.parametrize(
    ("n_threads", "n_images", "n_lanes", "n_threads_of_a_lane"),
    [(4, 20, 4, 1), (4, 4, 2, 2), (5, 6, 3, 1), (2, 20, 2, 1), (4, 2, 1, 4)],
)
def test_lanes_share_the_threads(
    monkeypatch,
    set_threads,
    extractor,
    images,
    n_threads,
    n_images,
    n_lanes,
    n_threads_of_a_lane,
):
    set_threads(n_threads)
    start = threading.Barrier(n_lanes)
    seen = {}

    def watched_features(batch):
        # All lanes have to be there at once.
        if threading.current_thread().name not in seen:
            start.wait(timeout=20)
        seen[threading.current_thread().name] = torch.get_num_threads()
        return torch.zeros(len(batch), 3)

    monkeypatch.setattr(extractor, "_features", watched_features)
    extract(extractor, CountingImages(images[0], n_images), batch_size=2)
    assert list(seen.values()) == [n_threads_of_a_lane] * n_lanes


def test_batches_come_in_order_whichever_is_ready_first(
    monkeypatch, set_threads, extractor, images
):
    set_threads(3)
    second_is_done = threading.Event()

    def load(_images, row):
        if row == 0:
            assert second_is_done.wait(timeout=20)
        if row == 2:
            second_is_done.set()
        return np.full((64, 96, 3), row, dtype=np.float32)

    monkeypatch.setattr(extractor, "_features", lambda batch: batch[:, 0, 0])
    stream = extractor.stream(images, range(6), batch_size=1, num_workers=0, load=load)
    found = [(list(rows), features[0, 0]) for rows, features in stream]
    assert found == [([row], row) for row in range(6)]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_lanes_are_a_few_batches_ahead_and_end_with_the_stream(
    monkeypatch, set_threads, extractor, images, num_workers
):
    set_threads(2)
    counting = CountingImages(images[0], 100)
    monkeypatch.setattr(
        extractor, "_features", lambda batch: torch.zeros(len(batch), 3)
    )
    stream = extractor.stream(
        counting, range(100), batch_size=1, num_workers=num_workers
    )
    for _ in range(3):
        next(stream)
    # Time for them to run as far ahead as they are let.
    time.sleep(0.1)
    # Two batches a lane beside those yielded, and one for the decoding thread.
    assert 3 < len(counting.asked) <= 3 + 4 + num_workers
    stream.close()
    assert running_threads() == []
    assert len(counting.asked) <= 3 + 4 + num_workers


def test_lanes_last(set_threads, extractor, images):
    """Threads that end would hold locks that a forked process waits for."""
    set_threads(2)
    found = []
    for _ in range(2):
        extract(extractor, images, batch_size=1)
        threads = [t for t in threading.enumerate() if "skgaussad-lane" in t.name]
        found.append({thread.ident for thread in threads})
    assert found[0] == found[1] != set()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_bad_image_in_a_lane(set_threads, extractor, images, num_workers):
    set_threads(2)
    bad = [*images[:5], "no-such-file.png", *images]
    with pytest.raises(InvalidImageError, match=r"X\[5\] \('no-such-file.png'\)"):
        extract(extractor, bad, batch_size=1, num_workers=num_workers)
    assert running_threads() == []


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_decode(extractor, images, num_workers):
    counting = CountingImages(images[0], 12)
    extract(extractor, counting, 4, num_workers)
    assert 1 <= len(counting.threads) <= num_workers
    assert all(name.startswith("skgaussad-decode") for name in counting.threads)


def test_without_workers_the_calling_thread_decodes(extractor, images):
    counting = CountingImages(images[0], 3)
    extract(extractor, counting, 2, num_workers=0)
    assert counting.threads == {threading.current_thread().name}


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize("position", [0, 2, 3, 6])
def test_bad_image_is_named_and_stops_the_workers(
    extractor, images, position, num_workers
):
    images = list(images)
    images[position] = np.full((8, 8), np.nan, dtype=np.float32)
    with pytest.raises(InvalidImageError, match=rf"X\[{position}\] .*NaN") as caught:
        extract(extractor, images, 3, num_workers)
    assert caught.value.index == position
    assert running_threads() == []


def test_error_of_the_network_stops_the_workers(
    monkeypatch,
    extractor,
    images,
):
    def fail(batch):
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(extractor, "_features", fail)
    with pytest.raises(RuntimeError, match="the device is gone"):
        extract(extractor, images, 2, num_workers=3)
    assert running_threads() == []


# Lack of memory


def limit_memory(monkeypatch, extractor, n_fitting):
    """Let passes of more than so many images run out of memory; return their sizes."""
    features = extractor._features
    sizes = []

    def limited(batch):
        sizes.append(len(batch))
        if len(batch) > n_fitting:
            raise torch.OutOfMemoryError("out of memory")
        return features(batch)

    monkeypatch.setattr(extractor, "_features", limited)
    return sizes


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    ("batch_size", "n_fitting", "expected"),
    [
        # 5 images fail, then 2, 2, 1; the last two fit at once.
        (5, 3, [5, 2, 2, 1, 2]),
        (5, 1, [5, 2, 1, 1, 1, 1, 1, 1, 1]),
        (4, 2, [4, 2, 2, 2, 1]),
        (100, 3, [7, 3, 3, 1]),
    ],
)
def test_lack_of_memory_halves_the_batches_for_good(
    monkeypatch,
    extractor,
    images,
    features,
    batch_size,
    n_fitting,
    expected,
    num_workers,
):
    sizes = limit_memory(monkeypatch, extractor, n_fitting)
    with pytest.warns(RuntimeWarning, match="Out of memory on cpu") as caught:
        found = extract(extractor, images, batch_size, num_workers)
    assert_close(found, features)
    assert sizes == expected
    halved = [size // 2 for size in sizes if size > n_fitting]
    messages = [
        f"Out of memory on cpu: continuing with batch_size={size}. Set batch_size to "
        "that to avoid the failed attempts."
        for size in halved
    ]
    assert [str(warning.message) for warning in caught] == messages


def test_lack_of_memory_for_a_single_image(monkeypatch, extractor, images):
    sizes = limit_memory(monkeypatch, extractor, 0)
    with (
        pytest.warns(RuntimeWarning, match="batch_size=1"),
        pytest.raises(torch.OutOfMemoryError, match="out of memory"),
    ):
        extract(extractor, images, 2, num_workers=1)
    assert sizes == [2, 1]
    assert running_threads() == []


# Non-finite features


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite(monkeypatch, extractor, images, value):
    """The fifth image is the second of its batch."""
    features = extractor._features
    n_done = 0

    def spoiled(batch):
        nonlocal n_done
        rows = features(batch)
        if n_done <= 4 < n_done + len(batch):
            rows[4 - n_done, -1] = value
        n_done += len(batch)
        return rows

    monkeypatch.setattr(extractor, "_features", spoiled)
    message = (
        r"X\[4\]: the network's features hold NaN or infinity with "
        r"precision='float32'\. Use precision='float32' or 'bfloat16', .* and check "
        r"the weights\."
    )
    with pytest.raises(FloatingPointError, match=message):
        extract(extractor, images, 3)


# CUDA


@needs_cuda
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_cuda_is_close_to_the_cpu(name, precision, images):
    """TF32, which cuDNN may use for float32, rounds as float16 does, by 2**-11."""
    batch = load_batch(images, len(images))
    expected = make_extractor(name)._features(batch).numpy()
    cuda = torch.device("cuda")
    extractor = make_extractor(name, precision=precision, device=cuda)
    found = extractor._features(batch.to(cuda)).cpu().numpy()
    streamed = extract(extractor, images, batch_size=2, num_workers=1)
    assert_close(streamed, found)
    rounding = 2**-8 if precision == "bfloat16" else 2**-11
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < 4 * rounding
