import pickle

import numpy as np
import pytest
import torch
from baselines import ConvolutionalAutoencoder, component_score
from baselines._residuals import aggregate_residuals
from baselines._resnet_autoencoder import _InvertedBlock
from baselines._training import split_batches
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from skgaussad.augmentation import ImageAugmentation
from skgaussad.datasets import load_solar_cells, make_textures
from skgaussad.exceptions import InvalidImageError
from skgaussad.model_selection import NormalKFold, auroc_scorer

pytestmark = pytest.mark.slow

SMALL = {"image_size": 32, "n_epochs": 1, "batch_size": 8, "fpr": 0.2, "device": "cpu"}


@pytest.fixture(scope="module")
def cells():
    """Normal solar cells of 32 pixels, as an array."""
    data = load_solar_cells("mono")
    paths = data.paths[data.labels == 1][:24]
    return np.stack([np.asarray(Image.open(path).resize((32, 32))) for path in paths])


@pytest.fixture(scope="module")
def trained(cells):
    """An autoencoder of solar cells; not to be changed by tests."""
    autoencoder = ConvolutionalAutoencoder(
        32, n_epochs=16, batch_size=8, learning_rate=5e-4, device="cpu"
    )
    return autoencoder.fit(cells)


def naive_component_score(residual_map, min_area):
    """Highest threshold of all at which a component is large enough."""
    for threshold in np.unique(residual_map)[::-1]:
        labels, n_components = ndimage.label(residual_map >= threshold)
        areas = [(labels == i).sum() for i in range(1, n_components + 1)]
        if max(areas) >= min_area:
            return threshold


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(1, 1), (1, 9), (6, 8), (12, 12)]),
    n_values=st.sampled_from([1, 3, 1000]),
    fraction=st.floats(0, 1),
)
def test_component_score_is_that_of_a_loop_over_all_thresholds(
    seed, shape, n_values, fraction
):
    residual_map = np.random.default_rng(seed).integers(0, n_values, shape) / 7
    min_area = max(1, round(fraction * residual_map.size))
    found = component_score(residual_map, min_area)
    assert found == naive_component_score(residual_map, min_area)


def test_extreme_areas_and_diagonal_neighbours():
    residual_map = np.array([[5.0, 1.0], [2.0, 4.0]])
    assert component_score(residual_map, 1) == 5
    # 5 and 4 touch at a corner only.
    assert component_score(residual_map, 2) == 2
    assert component_score(residual_map, 4) == 1


def test_decoder_mirrors_the_encoder():
    autoencoder = ConvolutionalAutoencoder(**{**SMALL, "image_size": (64, 96)})
    autoencoder = autoencoder.fit(make_textures(4, 0, size=64, random_state=0).images)
    network = autoencoder.network_
    inputs, outputs = {}, {}

    def record(name):
        def hook(module, args, output):
            inputs[name], outputs[name] = args[0].shape[1:], output.shape[1:]

        return hook

    names = ["conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    for name in names:
        encoder_part = getattr(network.encoder.network, name)
        encoder_part.register_forward_hook(record(f"encoder {name}"))
    for name, stage in network.decoder.stages.items():
        stage.register_forward_hook(record(f"decoder {name}"))
    latent = network.encoder(torch.zeros(2, 3, 64, 96))
    assert latent.shape == (2, 32)
    assert network.decoder(latent).shape == (2, 3, 64, 96)
    assert list(network.decoder.stages) == ["bottleneck", *reversed(names)]
    assert outputs["encoder layer4"] == (512, 2, 3)
    for name in names:
        assert inputs[f"decoder {name}"] == outputs[f"encoder {name}"], name
        assert outputs[f"decoder {name}"] == inputs[f"encoder {name}"], name


def test_decoder_has_as_many_convolutions_as_the_encoder_and_shuffles_pixels():
    network = ConvolutionalAutoencoder(**SMALL).fit(np.zeros((2, 32, 32))).network_

    def count(module, kind):
        return sum(isinstance(part, kind) for part in module.modules())

    # One more: the inverse of the max-pooling has a convolution.
    n_convolutions = count(network.encoder, torch.nn.Conv2d)
    assert count(network.decoder, torch.nn.Conv2d) == n_convolutions + 1
    # Three layers with a shortcut each, the max-pooling and the stem.
    assert count(network.decoder, torch.nn.PixelShuffle) == 3 * 2 + 2


@pytest.mark.parametrize("factor", [1, 2])
def test_blocks_of_the_decoder_are_residual(factor):
    block = _InvertedBlock(6, 6, factor).eval()
    x = torch.linspace(-1, 1, 240).reshape(2, 6, 4, 5)
    with torch.no_grad():
        block.residual[-1].weight.zero_()
        output = block(x)
        assert torch.equal(output, block.shortcut(x).relu())
    assert output.shape == (2, 6, 4 * factor, 5 * factor)
    assert output.any()


def test_training_lowers_the_loss_on_real_images(trained, cells):
    losses = trained.history_["loss"]
    assert losses.shape == (16,)
    assert losses[-1] < losses[0] / 5
    # The same mean image for all would leave the variance of the pixels.
    variance = (cells / 255).var(axis=0).mean()
    assert trained.residual_maps(cells).mean() < variance


def test_residual_is_largest_in_a_pasted_square(trained, cells):
    spoiled = cells.copy()
    spoiled[:, 20:26, 6:12] = 255
    maps = trained.residual_maps(spoiled)
    smooth = ndimage.uniform_filter(maps, (0, 3, 3))
    peaks = smooth.reshape(len(maps), -1).argmax(axis=1)
    rows, columns = np.unravel_index(peaks, (32, 32))
    inside = (rows >= 20) & (rows < 26) & (columns >= 6) & (columns < 12)
    assert inside.mean() > 0.8
    assert (trained.score_samples(spoiled) < trained.score_samples(cells)).all()


def test_residual_maps_are_squared_differences_to_the_reconstruction(trained, cells):
    pixels = torch.from_numpy(cells[:4] / np.float32(255))
    pixels = pixels[:, None].expand(-1, 3, -1, -1)
    with torch.inference_mode():
        difference = trained.network_(pixels) - pixels
    maps = trained.residual_maps(cells[:4])
    assert maps.dtype == np.float32
    expected = (difference**2).sum(dim=1) / 3
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("parameters", "reduce"),
    [
        ({"aggregation": "mean"}, np.mean),
        (
            {"aggregation": "components", "min_area": 20},
            lambda residuals: naive_component_score(residuals, 20),
        ),
    ],
    ids=["mean", "components"],
)
def test_scores_aggregate_the_maps(parameters, reduce):
    images = make_textures(10, 4, size=32, random_state=0).images
    autoencoder = ConvolutionalAutoencoder(**SMALL, **parameters).fit(images[:10])
    scores = autoencoder.score_samples(images)
    assert scores.dtype == np.float64
    expected = [-reduce(residuals) for residuals in autoencoder.residual_maps(images)]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    # A fifth of the 10 training images is below the threshold.
    assert (scores[:10] < autoencoder.offset_).sum() == 2
    decision = autoencoder.decision_function(images)
    np.testing.assert_array_equal(decision, scores - autoencoder.offset_)
    np.testing.assert_array_equal(
        autoencoder.predict(images), np.where(decision >= 0, 1, -1)
    )
    # One map for several scores, without training again.
    np.testing.assert_array_equal(
        scores[:1],
        -aggregate_residuals(
            autoencoder.residual_maps(images[:8])[0],
            autoencoder.aggregation,
            autoencoder.min_area,
        ),
    )


def test_pickle_keeps_the_scores_and_changed_parameters_wait_for_the_next_fit():
    images = make_textures(8, 0, size=32, random_state=0).images
    autoencoder = ConvolutionalAutoencoder(**SMALL).fit(images)
    copy = pickle.loads(pickle.dumps(autoencoder))
    scores = autoencoder.score_samples(images)
    np.testing.assert_array_equal(copy.score_samples(images), scores)
    assert copy.offset_ == autoencoder.offset_
    copy.set_params(aggregation="components", min_area=5)
    np.testing.assert_array_equal(copy.score_samples(images), scores)


def test_same_seed_same_network():
    images = make_textures(9, 0, size=32, random_state=0).images
    state = torch.get_rng_state()
    autoencoder = ConvolutionalAutoencoder(**{**SMALL, "batch_size": 4}, random_state=3)
    autoencoder.fit(images)
    assert torch.equal(torch.get_rng_state(), state), "the global generator moved"
    torch.rand(5)
    again = clone(autoencoder).fit(images)
    np.testing.assert_array_equal(
        again.score_samples(images), autoencoder.score_samples(images)
    )
    np.testing.assert_array_equal(again.history_["loss"], autoencoder.history_["loss"])
    other = clone(autoencoder).set_params(random_state=4).fit(images)
    assert not np.allclose(other.score_samples(images), again.score_samples(images))


class Recorder:
    """An augmentation that darkens the image and remembers what it saw."""

    def __init__(self):
        self.seen = []

    def apply(self, image, rng):
        self.seen.append((image.mean(), rng.random()))
        return np.zeros((5, 7), dtype=np.uint8)


def test_augmentation_makes_what_is_trained_on_but_not_what_is_scored():
    images = make_textures(8, 0, size=64, random_state=0).images
    recorder = Recorder()
    autoencoder = ConvolutionalAutoencoder(
        **{**SMALL, "n_epochs": 10, "learning_rate": 1e-3}, augmentation=recorder
    ).fit(images)
    assert len(recorder.seen) == 10 * 8
    means, draws = zip(*recorder.seen, strict=True)
    assert len(set(means)) == 8, "augmented from the plain image each time"
    assert len(set(draws)) == 10 * 8, "another change in each epoch"
    # Trained on black, it reconstructs black.
    black = np.zeros((1, 32, 32), dtype=np.uint8)
    on_black = autoencoder.score_samples(black)[0]
    assert (autoencoder.score_samples(images) < 5 * on_black).all()
    assert len(recorder.seen) == 10 * 8


def test_the_augmentation_of_the_package_fits():
    images = make_textures(8, 0, size=64, random_state=0).images
    plain, augmented = (
        ConvolutionalAutoencoder(**SMALL, augmentation=augmentation).fit(images)
        for augmentation in (None, ImageAugmentation(exclude="noise"))
    )
    losses = augmented.history_["loss"]
    assert np.isfinite(losses).all()
    assert not np.array_equal(losses, plain.history_["loss"])


def test_cross_validation_by_auroc():
    data = make_textures(12, 4, size=32, random_state=0)
    autoencoder = ConvolutionalAutoencoder(**SMALL)
    aurocs = cross_val_score(
        autoencoder, data.images, data.labels, cv=NormalKFold(2), scoring=auroc_scorer
    )
    assert aurocs.shape == (2,)
    assert np.isfinite(aurocs).all()


def test_progress_bars_on_standard_error(capsys):
    images = make_textures(8, 0, size=32, random_state=0).images
    autoencoder = ConvolutionalAutoencoder(**SMALL).fit(images)
    assert capsys.readouterr() == ("", "")
    autoencoder.set_params(verbose=True).fit(images)
    out, err = capsys.readouterr()
    assert out == ""
    for bar in ("decoding: 100%", "training: 100%", "loss=", "scoring: 100%"):
        assert bar in err


@pytest.mark.parametrize("n_rows", range(2, 20))
@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_batches_hold_each_row_once_and_never_one_row(n_rows, batch_size):
    batches = split_batches(np.arange(n_rows), batch_size)
    np.testing.assert_array_equal(np.concatenate(batches), np.arange(n_rows))
    sizes = [len(batch) for batch in batches]
    assert min(sizes) >= 2
    assert max(sizes) <= batch_size + 1
    assert all(size == batch_size for size in sizes[:-1])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"image_size": 100}, "image_size must be a multiple of 32.*got 100"),
        ({"image_size": (64, 65)}, r"image_size must be a multiple.*got \(64, 65\)"),
        ({"image_size": None}, "image_size must be a multiple of 32.*got None"),
        ({"n_epochs": 0}, "n_epochs must be at least 1; got 0"),
        ({"batch_size": 1}, "batch_size must be at least 2; got 1"),
        ({"learning_rate": 0}, r"learning_rate must be a number in \(0, inf\); got 0"),
        ({"latent_dim": 0}, "latent_dim must be at least 1; got 0"),
        ({"aggregation": "max"}, "aggregation must be one of 'mean', 'components'"),
        ({"fpr": 0}, r"fpr must be a number in \(0, 1\); got 0"),
        ({"device": "gpu"}, "device must be 'auto' or the name of a torch device"),
        (
            {"aggregation": "components", "min_area": 0},
            "min_area must be at least 1; got 0",
        ),
        (
            {"aggregation": "components", "min_area": 1025},
            "min_area must be at most the 1024 pixels.*got 1025",
        ),
    ],
    ids=str,
)
def test_bad_parameters_are_named_in_fit(parameters, message):
    autoencoder = ConvolutionalAutoencoder(**{**SMALL, **parameters})
    with pytest.raises(ValueError, match=message):
        autoencoder.fit(np.zeros((2, 32, 32)))


def test_images_that_cannot_be_used():
    autoencoder = ConvolutionalAutoencoder(**SMALL)
    with pytest.raises(ValueError, match="at least 2 images.*got 1"):
        autoencoder.fit(np.zeros((1, 32, 32)))
    with pytest.raises(InvalidImageError, match=r"X\[1\].*does not exist"):
        autoencoder.fit([np.zeros((32, 32)), "missing.png"])
    with pytest.raises(NotFittedError):
        autoencoder.residual_maps(np.zeros((2, 32, 32)))


def test_training_that_diverges_says_so():
    images = make_textures(8, 0, size=32, random_state=0).images
    autoencoder = ConvolutionalAutoencoder(
        **{**SMALL, "learning_rate": 1e30, "n_epochs": 2}
    )
    with pytest.raises(FloatingPointError, match="smaller learning_rate than 1e"):
        autoencoder.fit(images)
