"""Tests of what counts as an image, of decoding, and of what a bad one gets."""

import builtins
import copy
import os
import pathlib
import pickle
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, features
from scipy import sparse

from skgaussad.exceptions import InvalidImageError
from skgaussad.features._decoding import decode_image, load_image
from skgaussad.features._input import LazyImages, as_image_sequence, check_items

BICUBIC = Image.Resampling.BICUBIC
ORIENTATION = 0x0112

rng = np.random.default_rng(0)
RGB = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
GREY = RGB[:, :, 0].copy()
# What JPEG keeps almost unchanged, and no two corners alike.
SMOOTH = (
    np.stack(np.broadcast_arrays(*np.ogrid[40:200:24j, 20:220:32j], 128), axis=-1)
    .round()
    .astype(np.uint8)
)


def load(item, size=None, resample=BICUBIC, crop_pct=None):
    """Load one item, by default in the size of RGB and GREY."""
    return load_image([item], 0, size or RGB.shape[:2], resample, crop_pct)


def as_floats(array):
    """Return what an 8-bit array without resizing has to become."""
    array = np.atleast_3d(array).astype(np.float32) / np.float32(255)
    return np.broadcast_to(array, (*array.shape[:2], 3))


def assert_message(message, words):
    """Check that the words occur in the message one after another."""
    position = 0
    for word in words:
        assert word in message[position:], f"{word!r} not in {message[position:]!r}"
        position = message.index(word, position) + len(word)
    assert message.endswith(".")


def assert_invalid(item, *words, call="load", described=None):
    """Check the error that an item gets as the second of three, and return it."""
    images = [GREY, item, GREY]
    with pytest.raises(InvalidImageError) as caught:
        if call == "load":
            load_image(images, 1, (4, 5), BICUBIC)
        else:
            check_items(images)
    error = caught.value
    assert error.index == 1
    if described is not None:
        assert error.item == described
    assert str(error) == f"X[1] ({error.item}): {error.problem}"
    assert_message(error.problem, words)
    return error


# The error


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_error_survives_pickling(protocol):
    """An error raised in a worker process arrives whole."""
    error = InvalidImageError(3, "'/a/b.png'", "the file does not exist.")
    message = "X[3] ('/a/b.png'): the file does not exist."
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(twin) is InvalidImageError
        assert (twin.index, twin.item) == (3, "'/a/b.png'")
        assert twin.problem == "the file does not exist."
        assert str(twin) == message
    assert isinstance(error, ValueError)


# as_image_sequence: what is accepted


@pytest.mark.parametrize("kind", [list, tuple])
def test_list_is_returned_as_it_is(kind):
    """Items of mixed kinds and sizes are not touched."""
    items = kind(
        [GREY, RGB[:3], "a.png", pathlib.Path("b.png"), Image.new("L", (2, 3))]
    )
    assert as_image_sequence(items) is items


@pytest.mark.parametrize(
    "shape", [(2, 5, 6), (1, 5, 2), (2, 5, 6, 1), (2, 5, 6, 3), (2, 5, 6, 4)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int64, bool])
def test_numeric_array_is_not_copied(shape, dtype):
    """An array of images is a sequence already, whatever its dtype."""
    X = np.zeros(shape, dtype)
    assert as_image_sequence(X) is X


def test_memmap_is_neither_copied_nor_loaded(tmp_path):
    """A memory map stays one, and so do its items."""
    X = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(3, *RGB.shape))
    X[1] = RGB
    images = as_image_sequence(X)
    assert images is X
    assert np.shares_memory(images[1], X)
    check_items(images)
    np.testing.assert_array_equal(
        load_image(images, 1, RGB.shape[:2], BICUBIC), as_floats(RGB)
    )


@pytest.mark.parametrize("dtype", [str, object])
@pytest.mark.parametrize("column", [False, True])
def test_array_of_paths(dtype, column):
    """Paths may come as a flat array, or as one column."""
    X = np.array(["a.png", "b.png", "c.png"], dtype=dtype)
    images = as_image_sequence(X[:, np.newaxis] if column else X)
    assert len(images) == 3
    assert [images[i] for i in range(3)] == ["a.png", "b.png", "c.png"]


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="needs NumPy 2")
def test_array_of_variable_strings():
    """Paths may also come in the string dtype of NumPy 2."""
    X = np.array(["a.png", "b.png"], dtype=np.dtypes.StringDType())
    assert list(as_image_sequence(X)) == ["a.png", "b.png"]


def test_object_array_of_images():
    """An object array may hold any items."""
    X = np.empty(2, dtype=object)
    X[:] = [GREY, Image.new("L", (2, 3))]
    images = as_image_sequence(X)
    assert images[0] is GREY
    assert images[1] is X[1]


class Counted(LazyImages):
    """Makes copies of GREY, and counts them."""

    def __init__(self, n_images):
        """Make none yet."""
        self.n_images = n_images
        self.n_made = 0

    def __len__(self):
        """Return how many there are to be made."""
        return self.n_images

    def __getitem__(self, index):
        """Make one."""
        self.n_made += 1
        return GREY.copy()


def test_lazy_images_are_made_when_loaded_and_not_before():
    """Neither accepting nor checking the sequence makes an image."""
    X = Counted(3)
    images = as_image_sequence(X)
    check_items(images)
    assert images is X
    assert X.n_made == 0
    np.testing.assert_array_equal(
        load_image(images, 1, GREY.shape, BICUBIC), as_floats(GREY)
    )
    assert X.n_made == 1
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\) \(Counted\)"):
        as_image_sequence(Counted(0))


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("frame", [False, True])
def test_column_of_paths(library, frame):
    """A Series, or a DataFrame of one column, gives its values by position."""
    module = pytest.importorskip(library)
    paths = ["a.png", "b.png", "c.png"]
    X = module.DataFrame({"path": paths}) if frame else module.Series(paths)
    images = as_image_sequence(X)
    assert len(images) == 3
    assert [images[i] for i in range(3)] == paths


@pytest.mark.parametrize("frame", [False, True])
def test_column_of_images_pandas(frame):
    """A pandas column may hold images, and its index labels do not matter."""
    pd = pytest.importorskip("pandas")
    items = [GREY, Image.new("L", (2, 3)), pathlib.Path("a.png")]
    X = pd.Series(items, index=[2, 0, 1])
    images = as_image_sequence(X.to_frame() if frame else X)
    assert [images[i] for i in range(3)] == items


@pytest.mark.parametrize("frame", [False, True])
def test_column_of_images_polars(frame):
    """A polars column of objects may hold images."""
    pl = pytest.importorskip("polars")
    items = [Image.new("L", (2, 3)), Image.new("RGB", (3, 2))]
    X = pl.Series("image", items, dtype=pl.Object)
    images = as_image_sequence(X.to_frame() if frame else X)
    assert images[0] is items[0]
    assert images[1] is items[1]


# as_image_sequence: what is refused


class FakeTensor:
    """Has of a torch tensor what tells it apart."""

    shape = (2, 3, 5, 6)

    def __iter__(self):
        """Iterate as a tensor does."""
        return iter([])

    def permute(self, *axes):
        """Do nothing."""


@pytest.mark.parametrize(
    "X, words",
    [
        ("a.png", ["'a.png'", "in a list, [X]"]),
        (np.str_("a.png"), [" 'a.png'", "in a list, [X]"]),
        (pathlib.Path("a.png"), ["'a.png'", "in a list, [X]"]),
        (
            Image.new("RGB", (3, 2)),
            ["PIL image of mode RGB, size 3 x 2", "in a list, [X]"],
        ),
        (b"a.png", ["bytes", "os.fsdecode"]),
        (None, ["NoneType", "pass a list"]),
        (3, ["int", "pass a list"]),
        ((i for i in range(3)), ["generator", "pass list(X)"]),
        (iter([GREY]), ["list_iterator", "pass list(X)"]),
        (range(3), ["range", "pass list(X)"]),
        ({"a.png"}, ["set", "no order", "sorted(X)"]),
        (frozenset(["a.png"]), ["frozenset", "no order", "sorted(X)"]),
        ({"a": GREY}, ["dict", "list(X.values())"]),
        (FakeTensor(), ["FakeTensor", "X.permute(0, 2, 3, 1).numpy()"]),
        (sparse.csr_matrix(np.eye(3)), ["csr_matrix", "sparse", "dense"]),
        (sparse.coo_array(np.eye(3)), ["coo_array", "sparse", "dense"]),
        (
            np.zeros((2, 3), "datetime64[s]"),
            ["dtype datetime64[s]", "numeric array", "paths as str"],
        ),
        (np.array([b"a.png"]), ["dtype |S5", "paths as str"]),
        (np.zeros(2, [("a", int)]), ["shape (2,)", "numeric array"]),
    ],
)
def test_sequence_of_wrong_kind(X, words):
    """What is not a sequence of images is named, with how to pass it."""
    with pytest.raises(TypeError) as caught:
        as_image_sequence(X)
    assert_message(
        str(caught.value), ["Expected a folder, a list of images", "got", *words]
    )


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((1, 5, 6)),
        np.zeros((2, 5, 6)),
        np.zeros((4, 5, 6)),
        np.zeros((3, 5, 6, 1)),
        list(np.zeros((3, 5, 6))),
        [np.zeros((6, 3))],
        list(np.zeros((5, 6, 3, 1))),
        [np.zeros((6, 3)), np.zeros((5, 6))],
    ],
    ids=lambda X: f"{type(X).__name__} {np.shape(X[0])} x {len(X)}",
)
def test_what_is_several_images_by_its_shape(X):
    images = as_image_sequence(X)
    check_items(images)
    assert len(images) == len(X)


SHAPES = "(n, H, W), (n, H, W, 1), (n, H, W, 3) or (n, H, W, 4)"


@pytest.mark.parametrize(
    "X, words",
    [
        (
            np.zeros((10, 5)),
            [SHAPES, "(10, 5)", "one grey image", "features", "X[np.newaxis]"],
        ),
        (np.zeros((10, 1)), [SHAPES, "(10, 1)", "features", "X[np.newaxis]"]),
        (np.zeros(7), [SHAPES, "(7,)", "reshape"]),
        (np.array(7), [SHAPES, "()", "reshape"]),
        (np.zeros((2, 2, 5, 6, 3)), [SHAPES, "(2, 2, 5, 6, 3)", "reshape"]),
        (
            np.zeros((2, 3, 5, 6)),
            [SHAPES, "(2, 3, 5, 6)", "channels first", "np.moveaxis(X, 1, -1)"],
        ),
        (
            np.zeros((2, 1, 5, 6)),
            [SHAPES, "(2, 1, 5, 6)", "channels first", "np.moveaxis(X, 1, -1)"],
        ),
        (np.zeros((2, 5, 6, 7)), [SHAPES, "(2, 5, 6, 7)", "7 channels", "3 (RGB)"]),
        (
            np.zeros((5, 6, 3)),
            [SHAPES, "(5, 6, 3)", "one image", "X[np.newaxis]", "X[..., np.newaxis]"],
        ),
        (np.zeros((5, 6, 1)), [SHAPES, "(5, 6, 1)", "one image", "X[np.newaxis]"]),
        (
            np.zeros((3, 5, 6)),
            [
                SHAPES,
                "(3, 5, 6)",
                "channels first",
                "np.moveaxis(X, 0, -1)[np.newaxis]",
            ],
        ),
        (np.zeros((1, 3, 5, 6)), [SHAPES, "(1, 3, 5, 6)", "channels first"]),
        (
            list(np.zeros((5, 6, 3))),
            [SHAPES, "5 arrays of shape (6, 3)", "rows of one image", "[image]"],
        ),
        (np.array("a.png"), ["(n,) or (n, 1)", "shape (), dtype <U5", "per row"]),
        (
            np.array([["a.png", "b.png"]]),
            ["(n,) or (n, 1)", "shape (1, 2), dtype <U5", "per row"],
        ),
        (
            np.zeros((2, 5, 6), object),
            ["(n,) or (n, 1)", "(2, 5, 6), dtype object", "list of images"],
        ),
    ],
)
def test_array_of_wrong_shape(X, words):
    """An array of another shape is named, with how to make it one of images."""
    with pytest.raises(ValueError) as caught:
        as_image_sequence(X)
    assert_message(str(caught.value), ["Expected", words[0], "got", *words[1:]])


@pytest.mark.parametrize(
    "X, described",
    [
        ([], "list"),
        ((), "tuple"),
        (np.zeros((0, 5, 6, 3)), "array of shape (0, 5, 6, 3)"),
        (np.zeros((0, 5, 6)), "array of shape (0, 5, 6)"),
        (np.array([], dtype=str), "array of shape (0,)"),
        (np.empty((0, 1), dtype=object), "array of shape (0, 1)"),
    ],
)
def test_no_images(X, described):
    """An empty input gets the message that scikit-learn users know."""
    with pytest.raises(ValueError) as caught:
        as_image_sequence(X)
    words = ["Found array with 0 sample(s)", described, "minimum of 1", "pass at least"]
    assert_message(str(caught.value), words)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_wrong_columns(library):
    """A table must have one column, and numbers in it are not images."""
    module = pytest.importorskip(library)
    frame = module.DataFrame({"path": ["a.png"], "label": [1]})
    with pytest.raises(ValueError) as caught:
        as_image_sequence(frame)
    words = ["Expected one column", "DataFrame with 2 columns", "X['path']"]
    assert_message(str(caught.value), words)
    with pytest.raises(ValueError, match="features are not images"):
        as_image_sequence(frame[["label"]])
    with pytest.raises(ValueError, match=r"got array of shape \(1,\), dtype int64"):
        as_image_sequence(frame["label"])
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        as_image_sequence(frame[["path"]][:0])


# check_items


def test_good_items_pass_without_being_decoded(tmp_path, monkeypatch):
    """A check opens no file, so it does not see that one is no image."""
    path = tmp_path / "a.png"
    path.write_bytes(b"not an image")
    images = [str(path), path, np.str_(path), Image.new("L", (2, 3)), GREY, RGB / 255]

    def refuse(*args, **kwargs):
        raise AssertionError("a file was opened")

    monkeypatch.setattr(builtins, "open", refuse)
    check_items(images)


def test_first_bad_item_is_reported():
    """The position is that of the first bad item."""
    with pytest.raises(InvalidImageError, match=r"^X\[1\] \(NoneType\)"):
        check_items([GREY, None, "missing.png"])


class BytesPath:
    """A path whose file system representation is bytes."""

    def __fspath__(self):
        """Return the path."""
        return b"a.png"


both = pytest.mark.parametrize("call", ["load", "check"])


@both
@pytest.mark.parametrize(
    "item, described, words",
    [
        (None, "NoneType", ["got NoneType", "convert it"]),
        (float("nan"), "float", ["got float", "convert it"]),
        ([[0, 1], [2, 3]], "list", ["got list", "convert it"]),
        (b"a.png", "bytes", ["got bytes", "os.fsdecode", "io.BytesIO"]),
        (FakeTensor(), "FakeTensor", ["got FakeTensor", "permute(1, 2, 0).numpy()"]),
    ],
)
def test_item_of_wrong_kind(item, described, words, call):
    """What is no path, PIL image or array is refused."""
    expected = "expected a path (str or os.PathLike), a PIL image or a NumPy array"
    assert_invalid(item, expected, *words, call=call, described=described)


@both
def test_path_of_bytes(call):
    """A path object must not stand for bytes."""
    assert_invalid(
        BytesPath(), "str", "got bytes", "os.fsdecode", call=call, described="b'a.png'"
    )


@both
@pytest.mark.parametrize(
    "dtype, words",
    [
        ("bool", ["got bool", ".astype(np.uint8) * 255"]),
        ("int64", ["got int64", "values 0..255", ".astype(np.uint8)"]),
        ("int16", ["got int16", "0..65535", ".astype(np.uint16)"]),
        ("uint32", ["got uint32", "values 0..255", ".astype(np.uint8)"]),
        ("complex64", ["got complex64", "np.abs(image)"]),
        ("object", ["got object", ".astype(np.float32)"]),
        ("longdouble", [f"got {np.dtype('longdouble')}", ".astype(np.float32)"]),
        ("U3", ["got <U3", ".astype(np.float32)"]),
    ],
)
def test_array_of_wrong_dtype(dtype, words, call):
    """A dtype whose scale is unknown is refused, with what to convert it to."""
    array = np.zeros((3, 4), dtype)
    expected = "expected dtype uint8, uint16, float16, float32 or float64"
    described = f"array of shape (3, 4), dtype {array.dtype}"
    assert_invalid(array, expected, *words, call=call, described=described)


@both
@pytest.mark.parametrize(
    "shape, remedy",
    [
        ((), "one image per item"),
        ((5,), "one image per item"),
        ((5, 6, 2), "one image per item"),
        ((2, 5, 6), "one image per item"),
        ((1, 5, 6, 3), "one image per item"),
        ((3, 5, 6), "np.moveaxis(image, 0, -1)"),
        ((1, 5, 6), "np.moveaxis(image, 0, -1)"),
        ((4, 5, 6), "np.moveaxis(image, 0, -1)"),
    ],
)
def test_item_array_of_wrong_shape(shape, remedy, call):
    """An array that is not one image is refused."""
    assert_invalid(
        np.zeros(shape, np.uint8),
        "expected shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)",
        f"got {shape}",
        remedy,
        call=call,
        described=f"array of shape {shape}, dtype uint8",
    )


@both
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 5, 3), (5, 0, 1)])
def test_empty_array(shape, call):
    """An image needs pixels."""
    assert_invalid(
        np.zeros(shape, np.uint8),
        "at least one pixel",
        f"height {shape[0]} and width {shape[1]}",
        "leave it out",
        call=call,
    )


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "F"])
def test_empty_pil_image(mode):
    """A PIL image needs pixels, too."""
    assert_invalid(
        Image.new(mode, (0, 5)),
        "at least one pixel",
        "height 5 and width 0",
        "leave it out",
        described=f"PIL image of mode {mode}, size 0 x 5",
    )


@both
@pytest.mark.parametrize("kind", [str, pathlib.Path, np.str_])
def test_missing_file(tmp_path, kind, call):
    """A path that leads nowhere is named."""
    path = str(tmp_path / "a.png")
    error = assert_invalid(
        kind(path), "does not exist", "check the path", call=call, described=repr(path)
    )
    assert str(error) == (f"X[1] ({path!r}): the file does not exist; check the path.")


@both
def test_file_below_a_file(tmp_path, call):
    """A path that goes through a file leads nowhere."""
    (tmp_path / "a").write_bytes(b"x")
    assert_invalid(tmp_path / "a" / "b.png", "does not exist", call=call)


@both
def test_dangling_link(tmp_path, call):
    """A link to nowhere leads nowhere."""
    try:
        (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    except OSError:
        pytest.skip("no symbolic links here")
    assert_invalid(tmp_path / "a.png", "does not exist", call=call)


@both
@pytest.mark.parametrize("path", ["a\0b.png", "x" * 5000 + ".png"])
def test_impossible_path(path, call):
    """The system's own reason is passed on."""
    with pytest.raises((OSError, ValueError)) as caught:
        os.stat(path)
    assert_invalid(path, "cannot be reached", str(caught.value), "check", call=call)


@both
def test_directory(tmp_path, call):
    """A directory is not an image."""
    words = ["expected a file", "got a directory", "pass the paths"]
    assert_invalid(tmp_path, *words, call=call, described=repr(str(tmp_path)))


@both
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_does_not_block(tmp_path, call):
    """A pipe is refused, and not waited for."""
    os.mkfifo(tmp_path / "a.png")
    words = ["expected a regular file", "got a pipe", "save it"]
    assert_invalid(tmp_path / "a.png", *words, call=call)


@both
def test_empty_file(tmp_path, call):
    """A file of 0 bytes is told apart from a damaged one."""
    (tmp_path / "a.png").touch()
    words = ["expected an image file", "got an empty file (0 bytes)", "replace it"]
    assert_invalid(tmp_path / "a.png", *words, call=call)


# load_image: arrays


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (6, 7, 3), (6, 7, 4)])
@pytest.mark.parametrize(
    "dtype, scale",
    [
        ("u1", 255),
        ("<u2", 65535),
        (">u2", 65535),
        ("<f2", 1),
        (">f2", 1),
        ("<f4", 1),
        (">f4", 1),
        ("<f8", 1),
        (">f8", 1),
    ],
)
def test_array_values(shape, dtype, scale):
    """Integers are divided by their greatest value, and floats are kept."""
    array = (rng.random(shape) * scale).astype(dtype)
    array.flat[:2] = 0, scale
    before = array.copy()
    array.flags.writeable = False
    pixels = load(array)
    expected = np.atleast_3d(array)[:, :, :3].astype(np.float64) / scale
    assert pixels.dtype == np.float32
    assert pixels.shape == (6, 7, 3)
    assert pixels.flags.c_contiguous
    np.testing.assert_allclose(
        pixels, np.broadcast_to(expected, pixels.shape), rtol=1e-6, atol=0
    )
    assert pixels.max() == 1
    assert pixels.min() == 0
    np.testing.assert_array_equal(array, before)


def test_array_with_any_strides():
    """Views are read as they are indexed."""
    views = [RGB[::-1, ::-2], RGB[:, :, ::-1], np.asfortranarray(RGB), RGB[1:4, 2:5]]
    for view in [*views, GREY.T, GREY[::2, ::-1]]:
        expected = as_floats(view.copy())
        np.testing.assert_array_equal(load(view, view.shape[:2]), expected)
        deep = view.astype(np.uint16).T.copy().T * np.uint16(257)
        np.testing.assert_array_equal(load(deep, view.shape[:2]), expected)


def test_float64_is_judged_as_float32():
    """An excess that float32 does not resolve is none."""
    assert load(np.full((2, 2), 1 + 1e-15), (2, 2)).max() == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "values, words",
    [
        ([0, 2.5], ["minimum 0.0 and maximum 2.5", "divide them by 255", "np.clip"]),
        ([0, 255], ["minimum 0.0 and maximum 255.0", "divide them by 255"]),
        ([0, 255.5], ["minimum 0.0 and maximum 255.5", "rescale them to [0, 1]"]),
        ([-0.25, 1], ["minimum -0.25 and maximum 1.0", "rescale them to [0, 1]"]),
        ([-2, 255], ["minimum -2.0 and maximum 255.0", "rescale them to [0, 1]"]),
    ],
)
def test_floats_out_of_range(dtype, values, words):
    """The range that came is reported."""
    array = np.full((3, 4), 0.5, dtype)
    array.flat[:2] = values
    error = assert_invalid(array, "expected floats in [0, 1]", "got", *words)
    assert error.item == f"array of shape (3, 4), dtype {np.dtype(dtype)}"
    assert ("divide" in error.problem) == ("divide them by 255" in words)


def test_slight_overshoot_is_visible():
    """The maximum is not rounded to the 1 that it exceeds."""
    array = np.array([[0, np.nextafter(np.float32(1), np.float32(2))]])
    assert_invalid(array, "maximum 1.0000001", "np.clip(image, 0, 1)")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 3)])
def test_floats_that_are_not_finite(dtype, shape):
    """NaN and infinite values are counted."""
    array = np.full(shape, 0.5, dtype)
    array.flat[[0, 3, 5]] = np.nan
    array.flat[[1, 2]] = np.inf, -np.inf
    words = ["finite floats", "3 NaN and 2 infinite", f"of {array.size} values"]
    assert_invalid(array, *words, "replace them")


@pytest.mark.filterwarnings("error")
def test_floats_beyond_float32():
    """A float64 that overflows is refused, without a warning."""
    assert_invalid(np.full((3, 4), 1e300), "finite", "0 NaN and 12 infinite")


def test_alpha_is_not_checked():
    """Dropped values do not matter."""
    array = np.full((3, 4, 4), 0.5)
    array[:, :, 3] = np.nan
    assert (load(array) == 0.5).all()


# load_image: modes


def pil_modes():
    """Return, for each mode, images of it and the RGB bytes that they stand for."""
    red, green, blue = RGB[:, :, 0], RGB[:, :, 1], RGB[:, :, 2]
    table = rng.integers(0, 256, (256, 3), dtype=np.uint8)

    def palette(mode="P"):
        image = Image.fromarray(GREY)
        image.putpalette(table.tobytes())
        if mode == "PA":
            image = Image.merge("PA", (image, Image.fromarray(green)))
            image.putpalette(table.tobytes())
        return image

    def transparent(value):
        image = palette()
        image.info["transparency"] = value
        return image

    bilevel = np.where(GREY > 127, 255, 0).astype(np.uint8)
    hue = np.zeros_like(RGB)
    hue[..., 0] = np.resize([0, 85, 170], GREY.shape)
    hue[..., 1:] = 255
    pure = np.zeros_like(RGB)
    np.put_along_axis(pure, hue[..., :1] // 85, 255, axis=2)
    grey = np.dstack([GREY, np.full_like(RGB[..., 1:], 128)])
    yield "1", Image.fromarray(bilevel).convert("1"), bilevel
    yield "L", Image.fromarray(GREY), GREY
    yield "LA", Image.fromarray(np.dstack([GREY, blue])), GREY
    yield "P", palette(), table[GREY]
    yield "P-index", transparent(int(GREY[0, 0])), table[GREY]
    yield "P-bytes", transparent(bytes(range(256))), table[GREY]
    yield "PA", palette("PA"), table[GREY]
    yield "RGB", Image.fromarray(RGB), RGB
    yield "RGBA", Image.fromarray(np.dstack([RGB, blue])), RGB
    key = Image.fromarray(RGB)
    key.info["transparency"] = tuple(int(value) for value in RGB[0, 0])
    yield "RGB-key", key, RGB
    cmyk = np.dstack([255 - red, 255 - green, 255 - blue, np.zeros_like(red)])
    yield "CMYK", Image.frombytes("CMYK", (7, 6), cmyk.tobytes()), RGB
    yield "YCbCr", Image.frombytes("YCbCr", (7, 6), grey.tobytes()), GREY
    yield "HSV", Image.frombytes("HSV", (7, 6), hue.tobytes()), pure


MODES = [pytest.param(image, rgb, id=name) for name, image, rgb in pil_modes()]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("image, rgb", MODES)
def test_pil_modes(image, rgb):
    """Every 8-bit mode becomes RGB, and the image stays as it is."""
    info, pixels, palette = dict(image.info), image.tobytes(), image.getpalette("RGBA")
    np.testing.assert_array_equal(load(image), as_floats(rgb))
    assert image.info == info
    assert image.tobytes() == pixels
    assert image.getpalette("RGBA") == palette


@pytest.mark.skipif(not features.check("littlecms2"), reason="needs LittleCMS")
@pytest.mark.parametrize(
    "lab, rgb",
    [
        ((0, 0, 0), (0, 0, 0)),
        ((100, 0, 0), (255, 255, 255)),
        ((53.4, 0, 0), (127, 127, 127)),
        ((54.3, 80.8, 69.9), (255, 0, 0)),
        ((87.8, -79.3, 81.0), (0, 255, 0)),
        ((29.6, 68.3, -112.0), (0, 0, 255)),
    ],
)
def test_lab(lab, rgb):
    """LAB (of illuminant D50) is converted to sRGB, up to rounding."""
    color = (round(lab[0] * 2.55), round(lab[1]) + 128, round(lab[2]) + 128)
    pixels = load(Image.new("LAB", (7, 6), color))
    expected = np.broadcast_to(np.float64(rgb) / 255, RGB.shape)
    # Rounding to 8 bits shows most in the dark channels of pure colours.
    np.testing.assert_allclose(pixels, expected, atol=0.1)


DEEP = rng.integers(0, 65536, (6, 7), dtype=np.uint16)
DEEP.flat[:2] = 0, 65535
DEEP_PIXELS = np.repeat(DEEP[..., np.newaxis] / 65535, 3, axis=-1)


def deep_image(mode):
    """Return DEEP as a PIL image of a mode of 16 bits or more."""
    if mode == "I":
        return Image.fromarray(DEEP.astype(np.int32))
    data = DEEP.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    return Image.frombytes(mode, (7, 6), data)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_pil_images_of_16_bits(mode):
    """Modes of 16 bits keep their depth."""
    image = deep_image(mode)
    assert image.mode == mode
    np.testing.assert_allclose(load(image), DEEP_PIXELS, rtol=1e-6)


@pytest.mark.parametrize("values", [(0, 255), (0, 65535), (0, 65536), (-1, 5)])
def test_mode_i_does_not_say_what_is_white(values):
    """It is refused like arrays of int32, which it holds."""
    image = Image.fromarray(np.array([values] * 3, dtype=np.int32))
    words = ["mode I", "0..255", "astype(np.uint8)", "0..65535", "astype(np.uint16)"]
    assert_invalid(image, *words, described="PIL image of mode I, size 2 x 3")


def test_mode_f():
    """Mode F follows the rule of float arrays."""
    floats = rng.random((6, 7), dtype=np.float32)
    pixels = load(Image.fromarray(floats))
    np.testing.assert_array_equal(pixels, np.dstack([floats] * 3))
    words = ["floats in [0, 1]", "minimum", "maximum", "divide them by 255"]
    assert_invalid(Image.fromarray(floats * 255), *words)
    floats[1, 2] = np.nan
    assert_invalid(Image.fromarray(floats), "1 NaN and 0 infinite of 42 values")


def test_mode_that_pillow_cannot_convert():
    """Pillow's own reason is passed on."""
    error = assert_invalid(Image.new("La", (3, 2)), "decoding failed", "ValueError")
    assert isinstance(error.__cause__, ValueError)


# load_image: files

FORMATS = [
    ("png", {}, "1 L LA P P-index P-bytes RGB RGBA RGB-key"),
    ("tif", {}, "1 L LA P PA RGB RGBA CMYK"),
    ("tif", {"compression": "tiff_lzw"}, "1 L LA P RGB RGBA CMYK"),
    ("bmp", {}, "1 L P RGB"),
    ("gif", {}, "L P P-index"),
    ("webp", {"lossless": True, "exact": True}, "L RGB RGBA"),
    ("ppm", {}, "1 L RGB"),
    ("jp2", {}, "L LA RGB RGBA"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [str, pathlib.Path, np.str_, Image.open])
@pytest.mark.parametrize(
    "extension, options, mode",
    [(ext, options, m) for ext, options, modes in FORMATS for m in modes.split()],
)
def test_lossless_files(tmp_path, extension, options, mode, kind):
    """What was written comes back, from a path as from an opened image."""
    if extension == "jp2" and not features.check("jpg_2000"):
        pytest.skip("needs OpenJPEG")
    image, rgb = next((i, rgb) for name, i, rgb in pil_modes() if name == mode)
    path = tmp_path / f"a.{extension}"
    image.save(path, **options)
    item = kind(path) if kind is Image.open else kind(str(path))
    np.testing.assert_array_equal(load(item), as_floats(rgb))
    if kind is Image.open:
        item.close()


@pytest.mark.parametrize(
    "mode, tolerance", [("RGB", 4), ("L", 2), ("CMYK", 4), ("progressive", 4)]
)
def test_jpeg(tmp_path, mode, tolerance):
    """A JPEG file comes back up to its losses, also with inks for colours."""
    image, expected = Image.fromarray(SMOOTH), SMOOTH
    if mode == "L":
        image = Image.fromarray(SMOOTH[:, :, 1])
        expected = SMOOTH[:, :, 1]
    elif mode == "CMYK":
        image = image.convert("CMYK")
    image.save(
        tmp_path / "a.jpg", quality=98, subsampling=0, progressive=mode == "progressive"
    )
    pixels = load(tmp_path / "a.jpg", SMOOTH.shape[:2])
    np.testing.assert_allclose(pixels, as_floats(expected), atol=tolerance / 255)


@pytest.mark.parametrize(
    "extension, mode",
    [
        ("png", "I;16"),
        ("pgm", "I"),
        ("jp2", "I;16"),
        ("tif", "I;16"),
        ("tif", "I;16B"),
    ],
)
def test_files_of_16_bits(tmp_path, extension, mode):
    """A grey file of 16 bits keeps its depth, in every byte order."""
    if extension == "jp2" and not features.check("jpg_2000"):
        pytest.skip("needs OpenJPEG")
    path = tmp_path / f"a.{extension}"
    deep_image(mode).save(path)
    np.testing.assert_allclose(load(path), DEEP_PIXELS, rtol=1e-6)


def test_float_file(tmp_path):
    """A TIFF file of floats keeps them, or is refused like a float array."""
    floats = rng.random((6, 7), dtype=np.float32)
    Image.fromarray(floats).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(load(tmp_path / "a.tif"), np.dstack([floats] * 3))
    Image.fromarray(floats * 1000).save(tmp_path / "b.tif")
    words = ["floats in [0, 1]", "maximum", "rescale"]
    path = str(tmp_path / "b.tif")
    assert_invalid(path, *words, described=repr(path))


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    "array, extension, options",
    [
        pytest.param(RGB, "png", {}, id="png"),
        pytest.param(GREY, "png", {}, id="png-grey"),
        pytest.param(DEEP, "png", {}, id="png-16"),
        pytest.param(RGB, "tif", {}, id="tif"),
        pytest.param(GREY, "tif", {}, id="tif-grey"),
        pytest.param(DEEP, "tif", {}, id="tif-16"),
        pytest.param(RGB, "tif", {"compression": "tiff_lzw"}, id="tif-lzw"),
        pytest.param(DEEP, "tif", {"compression": "tiff_lzw"}, id="tif-lzw-16"),
        pytest.param(RGB, "webp", {"lossless": True}, id="webp"),
    ],
)
def test_orientation_of_files(tmp_path, array, extension, options, orientation):
    """The pixels are turned the way that EXIF data asks for, and once."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"a.{extension}"
    Image.fromarray(array).save(path, exif=exif, **options)
    expected = TURNS[orientation](load(array))
    np.testing.assert_array_equal(load(path, expected.shape[:2]), expected)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("extension", ["png", "tif", "jpg"])
def test_orientation_of_pil_images(tmp_path, extension, orientation):
    """An opened image is turned as its file is, and stays as it was."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"a.{extension}"
    options = {"quality": 98, "subsampling": 0} if extension == "jpg" else {}
    Image.fromarray(SMOOTH).save(path, exif=exif, **options)
    expected = TURNS[orientation](as_floats(SMOOTH))
    with Image.open(path) as image:
        image.load()
        before = image.tobytes()
        for _ in range(2):
            pixels = load(image, expected.shape[:2])
            np.testing.assert_allclose(pixels, expected, atol=4 / 255)
        assert image.tobytes() == before
    np.testing.assert_array_equal(pixels, load(path, expected.shape[:2]))


def test_orientation_set_in_memory():
    """An orientation that the user set counts, too."""
    image = Image.fromarray(RGB)
    image.getexif()[ORIENTATION] = 6
    np.testing.assert_array_equal(load(image, (7, 6)), TURNS[6](as_floats(RGB)))


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    "extension, name",
    [("gif", "GIF"), ("png", "PNG"), ("tif", "TIFF"), ("webp", "WEBP")],
)
def test_several_frames(tmp_path, extension, name, opened):
    """Which frame is meant cannot be told, also where one has been selected."""
    path = tmp_path / f"a.{extension}"
    frames = [Image.new("RGB", (9, 8), (60 * i, 0, 0)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    words = ["expected one image", f"got several ({name})", "split them"]
    assert_invalid(path, *words)
    with Image.open(path) as image:
        image.seek(1)
        assert_invalid(image, *words)
        # A copy of one frame is an image of its own.
        pixels = load(image.copy())
    np.testing.assert_allclose(pixels[..., 0], 60 / 255, atol=4 / 255)


def test_photo_of_mpo(tmp_path):
    """Of an MPO file the first frame is the photo."""
    photo, preview = Image.fromarray(SMOOTH), Image.new("RGB", (8, 8))
    path = tmp_path / "a.jpg"
    photo.save(path, format="MPO", save_all=True, append_images=[preview], quality=98)
    size = SMOOTH.shape[:2]
    np.testing.assert_allclose(load(path, size), as_floats(SMOOTH), atol=0.1)
    with Image.open(path) as image:
        assert image.format == "MPO"
        assert image.n_frames == 2
        image.seek(1)
        np.testing.assert_array_equal(load(image, size), load(path, size))


def test_file_that_is_no_image(tmp_path):
    """A file in no format of Pillow is told apart from a damaged one."""
    path = tmp_path / "a.png"
    path.write_text("<html>404</html>")
    words = ["an image in a format", "PNG, JPEG", "as none of these", "leave it out"]
    error = assert_invalid(path, *words, described=repr(str(path)))
    assert isinstance(error.__cause__, Image.UnidentifiedImageError)


def encoded(extension, **options):
    """Return the bytes of a file with SMOOTH in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"a.{extension}")
        Image.fromarray(SMOOTH).save(path, **options)
        return path.read_bytes()


@pytest.mark.parametrize(
    "extension, options",
    [
        ("png", {}),
        ("jpg", {"quality": 30}),
        ("jpg", {"quality": 30, "progressive": True}),
        ("webp", {}),
        ("tif", {"compression": "tiff_lzw"}),
        ("gif", {}),
        ("bmp", {}),
    ],
)
def test_truncated_file(tmp_path, extension, options):
    """No prefix of a file passes for the image, unless it holds all pixels."""
    data = encoded(extension, **options)
    path = tmp_path / f"a.{extension}"
    path.write_bytes(data)
    whole = load(path, SMOOTH.shape[:2])
    # At each of the first bytes, where the headers are, and then at every few.
    lengths = {*range(1, 60), *range(60, len(data), max(1, len(data) // 150))}
    lengths |= {*range(len(data) - 30, len(data))}
    n_refused = 0
    for length in lengths:
        path.write_bytes(data[:length])
        try:
            pixels = load(path, SMOOTH.shape[:2])
        except InvalidImageError as error:
            n_refused += 1
            assert error.item == repr(str(path))
            # Of TIFF files the directory is judged before Pillow reads it.
            assert error.__cause__ is not None or extension == "tif"
        else:
            np.testing.assert_array_equal(pixels, whole, err_msg=f"{length} bytes")
    assert n_refused > len(lengths) / 2


def test_truncation_is_named(tmp_path):
    """The message of Pillow is passed on, with what to do."""
    path = tmp_path / "a.jpg"
    data = encoded("jpg")
    path.write_bytes(data[:-20])
    words = [
        "intact image",
        "decoding failed",
        "OSError('image file is truncated",
        "replace it",
    ]
    error = assert_invalid(path, *words, described=repr(str(path)))
    assert isinstance(error.__cause__, OSError)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1))
def test_damaged_file(changes):
    """Whatever Pillow makes of damaged bytes, it is pixels or the one error."""
    data = bytearray(encoded("png"))
    for position, value in changes:
        data[position % len(data)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.png")
        path.write_bytes(data)
        try:
            pixels = load(path)
        except InvalidImageError as error:
            assert error.item == repr(str(path))
        else:
            assert pixels.shape == RGB.shape


@pytest.mark.parametrize(
    "cause",
    [OSError, SyntaxError, ValueError, EOFError, IndexError, MemoryError, TypeError],
)
def test_any_error_in_decoding(tmp_path, monkeypatch, cause):
    """Each error that Pillow may raise is passed on in ours."""
    Image.fromarray(RGB).save(tmp_path / "a.png")

    def fail(*_, **__):
        raise cause("of bad luck")

    monkeypatch.setattr(Image, "open", fail)
    words = ["decoding failed", f"{cause.__name__}('of bad luck')", "replace it"]
    assert type(assert_invalid(tmp_path / "a.png", *words).__cause__) is cause


def test_interruption_is_passed_on(tmp_path, monkeypatch):
    """Who presses Ctrl-C does not want to hear of an image."""
    Image.fromarray(RGB).save(tmp_path / "a.png")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image, "open", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path / "a.png")


def test_unreadable_file(tmp_path, monkeypatch):
    """A file without the right to read it is named as such."""
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", refuse)
    assert_invalid(path, "may not be read (permission denied)", "check its rights")


def test_closed_image(tmp_path):
    """An image that was closed before it was loaded is lost."""
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        pass
    assert_invalid(image, "decoding failed", "closed", "replace it")


def test_decompression_bomb(tmp_path, monkeypatch):
    """Pillow's limit is kept: a warning beyond it, an error beyond its double."""
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    words = ["at most twice PIL.Image.MAX_IMAGE_PIXELS = 20", "42 pixels", "shrink"]
    error = assert_invalid(path, *words, described=repr(str(path)))
    assert isinstance(error.__cause__, Image.DecompressionBombError)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    with pytest.warns(Image.DecompressionBombWarning):
        pixels = load(path)
    np.testing.assert_array_equal(pixels, as_floats(RGB))


def test_files_are_closed(tmp_path, monkeypatch):
    """No file stays open, whether it can be decoded or not."""
    Image.fromarray(RGB).save(tmp_path / "good.png")
    Image.fromarray(GREY).save(tmp_path / "good.tif")
    data = (tmp_path / "good.png").read_bytes()
    (tmp_path / "short.png").write_bytes(data[:-40])
    (tmp_path / "text.png").write_text("text")
    frames = [Image.new("L", (4, 4), 99 * i) for i in range(2)]
    frames[0].save(tmp_path / "frames.gif", save_all=True, append_images=frames[1:])
    opened, real_open = [], open

    def spy(*args, **kwargs):
        opened.append(real_open(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(builtins, "open", spy)
    load(tmp_path / "good.png")
    load(tmp_path / "good.tif")
    for name in ("short.png", "text.png", "frames.gif"):
        with pytest.raises(InvalidImageError):
            load(tmp_path / name)
    assert len(opened) >= 5
    assert all(file.closed for file in opened)


# load_image: sizes


def test_colours_keep_their_place():
    """Red is first, and rows come before columns."""
    array = np.zeros((2, 4, 3), np.uint8)
    array[0, :, 0] = 255
    array[1, :2, 1] = 255
    array[1, 2:, 2] = 255
    pixels = load(array, (4, 8), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(
        pixels, as_floats(array).repeat(2, axis=0).repeat(2, axis=1)
    )


@pytest.mark.parametrize("resample", list(Image.Resampling))
@pytest.mark.parametrize("size", [(4, 5), (12, 3), (3, 20), (13, 14)])
def test_bytes_are_resized_in_bytes(size, resample):
    """An 8-bit image is resized by Pillow as it is."""
    image = Image.fromarray(RGB).resize(size[::-1], resample)
    pixels = load(RGB, size, resample)
    np.testing.assert_array_equal(pixels, as_floats(np.asarray(image)))


@pytest.mark.parametrize("dtype, scale", [(np.uint16, 65535), (np.float64, 1)])
def test_deep_images_are_resized_as_floats(dtype, scale):
    """Means of blocks keep more than 8 bits."""
    array = (rng.random((8, 12, 3)) * scale).astype(dtype)
    pixels = load(array, (4, 4), Image.Resampling.BOX)
    means = array.reshape(4, 2, 4, 3, 3).mean(axis=(1, 3)) / scale
    np.testing.assert_allclose(pixels, means, rtol=1e-5)


@pytest.mark.parametrize("resample", [BICUBIC, Image.Resampling.LANCZOS])
@pytest.mark.parametrize("array", [DEEP, DEEP / 65535, GREY], ids=["u2", "f8", "u1"])
def test_overshoot_is_clipped(array, resample):
    """Filters with negative lobes leave [0, 1] at an edge, the result does not."""
    edge = np.where(np.arange(9) < 4, 0, array.max()).astype(array.dtype)
    pixels = load(np.tile(edge, (9, 1)), (9, 40), resample)
    assert pixels.min() == 0
    assert pixels.max() == 1


def timm_evaluation(array, size, crop_pct, resample):
    """Resize the shorter side and crop the centre, for a square size."""
    height, width = array.shape[:2]
    short = int(size / crop_pct)
    if height <= width:
        new_height, new_width = short, int(short * width / height)
    else:
        new_height, new_width = int(short * height / width), short
    resized = np.asarray(
        Image.fromarray(array).resize((new_width, new_height), resample)
    )
    top = round((new_height - size) / 2.0)
    left = round((new_width - size) / 2.0)
    return resized[top : top + size, left : left + size]


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(1, 40),
    st.sampled_from([0.5, 0.7, 0.875, 0.9, 0.95, 1.0]),
)
def test_centre_crop(shape, size, crop_pct):
    """A square crop is the one that networks of timm were evaluated with."""
    array = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = timm_evaluation(array, size, crop_pct, BICUBIC)
    assert expected.shape == (size, size, 3)
    pixels = load(array, (size, size), crop_pct=crop_pct)
    np.testing.assert_array_equal(pixels, as_floats(expected))


@pytest.mark.parametrize(
    "shape, size, crop_pct, scaled, corner",
    [
        ((40, 60), (16, 16), 0.5, (32, 48), (8, 16)),
        ((60, 40), (16, 16), 0.5, (48, 32), (16, 8)),
        ((50, 50), (14, 14), 0.875, (16, 16), (1, 1)),
        # Width decides: scaled to a height of 10, the image is but 15 wide.
        ((40, 60), (10, 30), 1, (20, 30), (5, 0)),
        # Height decides: scaled to a width of 10, the image is but 15 high.
        ((60, 40), (30, 10), 1, (30, 20), (0, 5)),
        # 40 / 60 * 25 is 16.67, rounded down. The corner is at 2.5, rounded to even.
        ((60, 40), (25, 11), 1, (25, 16), (0, 2)),
        # Enlarged, since 12 / 0.8 is 15.
        ((5, 10), (12, 12), 0.8, (15, 30), (2, 9)),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_centre_crop_by_hand(shape, size, crop_pct, scaled, corner, dtype):
    """The scaled size and the corner of the crop, worked out by hand."""
    array = rng.integers(0, 256, shape, dtype=np.uint8)
    if dtype == np.float32:
        array = (array / 255).astype(np.float32)
    whole = load(array, scaled)
    expected = whole[corner[0] :, corner[1] :][: size[0], : size[1]]
    assert expected.shape == (*size, 3)
    np.testing.assert_array_equal(load(array, size, crop_pct=crop_pct), expected)


def test_crop_without_resizing_keeps_pixels():
    """An image whose shorter side fits is not resized."""
    np.testing.assert_array_equal(load(RGB, crop_pct=1), as_floats(RGB))
    square = load(RGB, (6, 6), crop_pct=1)
    np.testing.assert_array_equal(square, as_floats(RGB[:, :6]))


# load_image: properties

FILTERS = st.sampled_from(list(Image.Resampling))
SIZES = st.tuples(st.integers(1, 16), st.integers(1, 16))
CROPS = st.sampled_from([None, 0.6, 0.875, 1.0])


def arrays(dtype=np.uint8, channels=(None, 1, 3, 4), **options):
    """Return a strategy for images as arrays."""
    shapes = st.tuples(
        st.integers(1, 12), st.integers(1, 12), st.sampled_from(channels)
    ).map(lambda shape: shape if shape[2] else shape[:2])
    return hnp.arrays(dtype, shapes, **options)


UNIT_FLOATS = {"elements": {"min_value": 0, "max_value": 1}}
ANY_ARRAY = st.one_of(
    arrays(np.uint8),
    arrays(np.uint16),
    arrays(">u2"),
    arrays(np.float16, **UNIT_FLOATS),
    arrays(np.float32, **UNIT_FLOATS),
    arrays(">f8", **UNIT_FLOATS),
)
quick = settings(max_examples=60, deadline=None)


@settings(max_examples=150, deadline=None)
@given(ANY_ARRAY, SIZES, FILTERS, CROPS)
def test_result_has_one_form(array, size, resample, crop_pct):
    """Whatever came in, float32 RGB in [0, 1] of the size asked for goes out."""
    check_items([array])
    pixels = load(array, size, resample, crop_pct)
    assert type(pixels) is np.ndarray
    assert pixels.dtype == np.float32
    assert pixels.shape == (*size, 3)
    assert pixels.flags.c_contiguous
    assert pixels.min() >= 0
    assert pixels.max() <= 1


@quick
@given(ANY_ARRAY, SIZES, FILTERS, CROPS)
def test_grey_is_three_equal_channels(array, size, resample, crop_pct):
    """A grey image is one whose three channels agree."""
    grey = np.atleast_3d(array)[:, :, 0]
    expected = load(np.dstack([grey] * 3), size, resample, crop_pct)
    for form in (grey, grey[..., np.newaxis]):
        np.testing.assert_array_equal(load(form, size, resample, crop_pct), expected)


@quick
@given(arrays(channels=[4]), SIZES, FILTERS, CROPS)
def test_alpha_is_dropped(array, size, resample, crop_pct):
    """Alpha neither blends nor weights anything."""
    expected = load(array[:, :, :3], size, resample, crop_pct)
    for image in (array, Image.fromarray(array)):
        np.testing.assert_array_equal(load(image, size, resample, crop_pct), expected)


@quick
@given(arrays(channels=[3]), SIZES, FILTERS, st.booleans(), st.permutations(range(3)))
def test_channels_are_treated_alike(array, size, resample, deep, order):
    """Channels do not mix."""
    if deep:
        array = array.astype(np.uint16) * np.uint16(257)
    swapped = load(array[:, :, order], size, resample)
    np.testing.assert_array_equal(swapped, load(array, size, resample)[:, :, order])


@quick
@given(arrays())
def test_depths_agree(array):
    """Without resizing, the same values in any dtype give the same pixels."""
    size = array.shape[:2]
    expected = load(array, size)
    deep = array.astype(np.uint16) * np.uint16(257)
    np.testing.assert_array_equal(load(deep, size), expected)
    np.testing.assert_allclose(load(array / 255, size), expected, rtol=1e-6)


@quick
@given(arrays(elements={"min_value": 64, "max_value": 191}), SIZES, FILTERS, CROPS)
def test_depths_agree_when_resized(array, size, resample, crop_pct):
    """Resizing in 8 bits rounds twice, and otherwise agrees with floats.

    Values keep clear of 0 and 255, where 8 bits would clip in between as well.
    """
    coarse = load(array, size, resample, crop_pct)
    for fine in (array.astype(np.uint16) * np.uint16(257), array / 255):
        pixels = load(fine, size, resample, crop_pct)
        np.testing.assert_allclose(pixels, coarse, atol=1.5 / 255, rtol=0)


@quick
@given(st.integers(0, 255), SIZES, SIZES, FILTERS, CROPS)
def test_constant_image_stays_constant(value, shape, size, resample, crop_pct):
    """No border is darkened or padded."""
    array = np.full(shape, value, np.uint8)
    assert (load(array, size, resample, crop_pct) == np.float32(value) / 255).all()
    pixels = load(array / 255, size, resample, crop_pct)
    np.testing.assert_allclose(pixels, value / 255, atol=1e-6)


@quick
@given(arrays(channels=[None, 3, 4]), SIZES, FILTERS, CROPS)
def test_file_equals_array(array, size, resample, crop_pct):
    """A PNG file and an open image give what the array in them gives."""
    expected = load(array, size, resample, crop_pct)
    image = Image.fromarray(array)
    np.testing.assert_array_equal(load(image, size, resample, crop_pct), expected)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.png")
        image.save(path)
        pixels = load(path, size, resample, crop_pct)
    np.testing.assert_array_equal(pixels, expected)


def test_mixed_items(tmp_path):
    """Images of several kinds and sizes are loaded by position."""
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    X = [GREY, str(path), path, Image.fromarray(DEEP), SMOOTH / 255]
    images = as_image_sequence(X)
    check_items(images)
    for index, item in enumerate(X):
        np.testing.assert_array_equal(
            load_image(images, index, (5, 4), BICUBIC), load(item, (5, 4))
        )


@pytest.mark.parametrize("crop_pct", [None, 0.8])
@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3)], ids=["grey", "rgb"])
@pytest.mark.parametrize(
    "store",
    [
        lambda pixels: pixels / 255,
        lambda pixels: (pixels / 255).astype(np.float32),
        lambda pixels: (pixels / 255).astype(np.float16),
        lambda pixels: pixels.astype(np.uint16) * 257,
    ],
    ids=["float64", "float32", "float16", "uint16"],
)
def test_eight_bits_give_the_same_pixels_however_stored(store, shape, crop_pct):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pixels.flat[:256] = np.arange(256)
    images = [pixels, store(pixels)]
    loaded = [
        load_image(images, index, (16, 20), Image.Resampling.BICUBIC, crop_pct)
        for index in range(2)
    ]
    np.testing.assert_array_equal(loaded[0], loaded[1])


def test_more_than_eight_bits_are_kept():
    ramp = np.linspace(0.2, 0.2 + 3 / 255, 64, dtype=np.float32).reshape(8, 8)
    loaded = load_image([ramp], 0, (8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(loaded[:, :, 0], ramp, atol=1e-6)


# decode_image


DEEP_RGB = rng.integers(0, 65536, (6, 7, 3), dtype=np.uint16)


@pytest.mark.parametrize(
    "item, expected",
    [
        (GREY, GREY[..., np.newaxis]),
        (RGB, RGB),
        (np.dstack([RGB, GREY]), RGB),
        (Image.fromarray(RGB), RGB),
        (RGB / 255, RGB),
        (DEEP_RGB, (DEEP_RGB / 65535).astype(np.float32)),
        (DEEP_RGB[:, :, :1] / 65535, (DEEP_RGB[:, :, :1] / 65535).astype(np.float32)),
        (
            Image.fromarray(DEEP_RGB[:, :, 0]),
            (DEEP_RGB[:, :, :1] / 65535).astype(np.float32),
        ),
    ],
)
def test_decoded_image_keeps_its_depth_and_gives_the_same_pixels(item, expected):
    """What is decoded is an item again, and as good as the first."""
    pixels = decode_image([GREY, item], 1)
    assert pixels.dtype == expected.dtype
    np.testing.assert_allclose(pixels, expected, rtol=1e-6)
    for size in (pixels.shape[:2], (3, 5)):
        np.testing.assert_array_equal(load(pixels, size), load(item, size))
    pixels[...] = 0
    assert load(item, RGB.shape[:2]).any(), "the item shares no memory"


def test_an_error_in_decoding_names_the_item():
    """As in `load_image`."""
    with pytest.raises(InvalidImageError, match=r"^X\[1\] \('missing.png'\)"):
        decode_image([GREY, "missing.png"], 1)
