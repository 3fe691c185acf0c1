import pickle

import numpy as np
import pytest
import torch
from baselines import FineTunedClassifier
from baselines._classifier import _hold_out
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import cross_val_score

from skgaussad.augmentation import ImageAugmentation
from skgaussad.datasets import make_textures
from skgaussad.exceptions import InvalidImageError
from skgaussad.model_selection import auroc_scorer

pytestmark = pytest.mark.slow

TINY = {
    "backbone": "test_resnet",
    "weights": None,
    "image_size": 32,
    "n_epochs": 2,
    "batch_size": 8,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def textures():
    return make_textures(60, 60, size=64, random_state=0)


@pytest.fixture(scope="module")
def half():
    """Rows to train on: half of each class."""
    return np.r_[0:30, 60:90]


@pytest.fixture(scope="module")
def trained(textures, half):
    """A fine-tuned EfficientNet-Lite0; not to be changed by tests."""
    classifier = FineTunedClassifier(
        image_size=64, n_epochs=8, batch_size=8, learning_rate=1e-3, device="cpu"
    )
    return classifier.fit(textures.images[half], textures.labels[half])


def test_defects_are_found_after_a_short_training(trained, textures, half):
    others = np.setdiff1d(np.arange(120), half)
    images, labels = textures.images[others], textures.labels[others]
    scores = trained.score_samples(images)
    assert scores.dtype == np.float64
    assert roc_auc_score(labels, scores) > 0.9
    assert trained.score(images, labels) > 0.8
    np.testing.assert_array_equal(trained.decision_function(images), scores)
    np.testing.assert_array_equal(trained.predict(images), np.where(scores >= 0, 1, -1))
    np.testing.assert_array_equal(trained.classes_, [-1, 1])
    assert auroc_scorer(trained, images, labels) == roc_auc_score(labels, scores)


def test_the_best_epoch_is_kept(trained, textures, half):
    aurocs = trained.history_["validation_auroc"]
    losses = trained.history_["validation_loss"]
    assert {len(values) for values in trained.history_.values()} == {8}
    ranking = np.lexsort((losses, -aurocs))
    assert trained.best_epoch_ == ranking[0]
    # The network is the one of that epoch.
    rows = half[trained.validation_indices_]
    normal = textures.labels[rows] == 1
    logits = trained.decision_function(textures.images[rows])
    assert roc_auc_score(normal, logits) == aurocs[trained.best_epoch_]
    loss = log_loss(normal, 1 / (1 + np.exp(-logits)))
    assert loss == pytest.approx(losses[trained.best_epoch_], rel=1e-4)


def test_training_stops_mattering_after_the_best_epoch(textures):
    """Scripted validations, of which one in the middle is the best."""
    epochs = [(0.6, 0.8), (0.5, 0.9), (0.3, 0.9), (0.3, 0.9), (0.1, 0.7)]
    states = []

    class Scripted(FineTunedClassifier):
        def _validate(self, network, data, y, validation):
            states.append(network.fc.weight.detach().clone())
            return epochs[len(states) - 1]

    classifier = Scripted(**{**TINY, "n_epochs": 5})
    classifier.fit(textures.images[::6], textures.labels[::6])
    assert classifier.best_epoch_ == 2
    assert torch.equal(classifier.network_.fc.weight, states[2])
    assert not torch.equal(states[2], states[3])
    np.testing.assert_array_equal(
        classifier.history_["validation_auroc"], [auroc for _, auroc in epochs]
    )


class Recorder:
    """An augmentation that remembers what it saw."""

    def __init__(self):
        self.seen = []

    def apply(self, image, rng):
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.float32
        self.seen.append((round(image.mean() * 1e6), rng.random()))
        return image


def test_held_out_images_are_neither_trained_on_nor_augmented(textures):
    recorder = Recorder()
    images, labels = textures.images[::6], textures.labels[::6]
    parameters = {**TINY, "image_size": 64, "validation_fraction": 0.3}
    classifier = FineTunedClassifier(**parameters, augmentation=recorder)
    classifier.fit(images, labels)
    keys = [round((image / np.float32(255)).mean() * 1e6) for image in images]
    held_out = [keys[row] for row in classifier.validation_indices_]
    assert len(held_out) == 6
    seen, draws = zip(*recorder.seen, strict=True)
    assert sorted(seen) == sorted(2 * list(set(keys) - set(held_out)))
    assert len(set(draws)) == len(draws), "another change in each epoch"


def test_held_out_images_do_not_move_the_weights(textures):
    """Other labels and pixels there, the same weights after the same epoch."""
    images, labels = textures.images[::6].copy(), textures.labels[::6]
    classifier = FineTunedClassifier(**{**TINY, "n_epochs": 1}).fit(images, labels)
    images[classifier.validation_indices_] = 0
    again = clone(classifier).fit(images, labels)
    for ours, theirs in zip(
        again.network_.parameters(), classifier.network_.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)
    assert again.history_["validation_loss"] != classifier.history_["validation_loss"]


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("n_anomalous", [2, 3, 40])
def test_each_class_is_on_either_side(fraction, n_anomalous):
    y = np.repeat([1, -1], [50, n_anomalous])
    training, validation = _hold_out(y, fraction, seed=0)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([training, validation])), np.arange(len(y))
    )
    for label, n_rows in ((1, 50), (-1, n_anomalous)):
        n_held_out = (y[validation] == label).sum()
        assert 1 <= n_held_out <= n_rows - 1
        assert abs(n_held_out - fraction * n_rows) <= 1


def test_same_seed_same_network(textures):
    images, labels = textures.images[::6], textures.labels[::6]
    state = torch.get_rng_state()
    augmentation = ImageAugmentation(rotation=180)
    classifier = FineTunedClassifier(**TINY, augmentation=augmentation, random_state=3)
    classifier.fit(images, labels)
    assert torch.equal(torch.get_rng_state(), state), "the global generator moved"
    torch.rand(5)
    scores = classifier.score_samples(images)
    again = clone(classifier).fit(images, labels)
    np.testing.assert_array_equal(again.score_samples(images), scores)
    other = clone(classifier).set_params(random_state=4).fit(images, labels)
    assert not np.array_equal(other.validation_indices_, again.validation_indices_)
    assert not np.allclose(other.score_samples(images), scores)
    plain = clone(classifier).set_params(augmentation=None).fit(images, labels)
    assert not np.allclose(plain.score_samples(images), scores)


def test_pickle_keeps_the_scores(trained, textures):
    copy = pickle.loads(pickle.dumps(trained))
    np.testing.assert_array_equal(
        copy.score_samples(textures.images[:9]),
        trained.score_samples(textures.images[:9]),
    )


def test_training_starts_from_the_weights_and_preprocessing_of_the_network(textures):
    """With steps too small to move them, the weights are those of the package."""
    from skgaussad.features._weights import read_network

    network, _ = read_network("tf_efficientnet_lite0", "auto", 0)
    classifier = FineTunedClassifier(
        **{**TINY, "backbone": "tf_efficientnet_lite0", "n_epochs": 1},
        learning_rate=1e-12,
    ).set_params(weights="auto")
    classifier.fit(textures.images[::10], textures.labels[::10])
    expected = dict(network.named_parameters())
    for name, weight in classifier.network_.named_parameters():
        if not name.startswith("classifier"):
            torch.testing.assert_close(weight, expected[name], atol=1e-9, rtol=1e-6)
    # Black is -1 for this network.
    seen = []
    classifier.network_.conv_stem.register_forward_hook(
        lambda module, args, output: seen.append(args[0])
    )
    classifier.network_(seen_by(classifier, np.zeros((1, 50, 40), dtype=np.uint8)))
    assert seen[0].shape == (1, 3, 32, 32)
    assert (seen[0] == -1).all()


def seen_by(classifier, images):
    """The batch that a classifier makes of images."""
    from baselines._training import run

    class Identity(torch.nn.Module):
        def forward(self, x):
            return x

    settings = {"batch_size": 4, "device": torch.device("cpu"), "verbose": False}
    [(batch, _)] = run(Identity(), images, classifier._preprocessing, **settings)
    return batch


def test_cross_validation_by_auroc(textures):
    aurocs = cross_val_score(
        FineTunedClassifier(**TINY),
        textures.images[::3],
        textures.labels[::3],
        cv=2,
        scoring=auroc_scorer,
        error_score="raise",
    )
    assert aurocs.shape == (2,)
    assert ((aurocs >= 0) & (aurocs <= 1)).all()


def test_progress_bars_on_standard_error(textures, capsys):
    images, labels = textures.images[::6], textures.labels[::6]
    classifier = FineTunedClassifier(**TINY).fit(images, labels)
    assert capsys.readouterr() == ("", "")
    classifier.set_params(verbose=True).fit(images, labels).predict(images)
    out, err = capsys.readouterr()
    assert out == ""
    for bar in ("decoding: 100%", "training: 100%", "loss=", "scoring: 100%"):
        assert bar in err


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backbone": "resnet-18"}, "backbone must be the name of a timm model"),
        ({"weights": 3}, "weights must be 'auto', the path of.*got 3"),
        ({"image_size": 0}, "image_size must be a positive integer.*got 0"),
        (
            {"backbone": "test_vit", "image_size": 100},
            "image_size: the backbone cannot take an input of 100 x 100",
        ),
        ({"n_epochs": 0}, "n_epochs must be at least 1; got 0"),
        ({"batch_size": 1}, "batch_size must be at least 2; got 1"),
        ({"learning_rate": -1}, r"learning_rate must be a number in \(0, inf\)"),
        (
            {"validation_fraction": 1},
            r"validation_fraction must be a number in \(0, 1\); got 1",
        ),
        ({"device": "gpu"}, "device must be 'auto' or the name of a torch device"),
    ],
    ids=str,
)
def test_bad_parameters_are_named_in_fit(parameters, message):
    classifier = FineTunedClassifier(**{**TINY, **parameters})
    with pytest.raises(ValueError, match=message):
        classifier.fit(np.zeros((4, 32, 32)), [1, 1, -1, -1])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 0, 1, 1], r"y must hold \+1 for normal and -1 for anomalous"),
        ([1, 1, 1, -1], r"at least 2 anomalous images \(-1\).*got 1"),
        ([-1, -1, -1, -1], r"at least 2 normal images \(\+1\).*got 0"),
        ([1, 1, -1], "inconsistent numbers of samples"),
    ],
    ids=str,
)
def test_labels_that_cannot_be_used(y, message):
    with pytest.raises(ValueError, match=message):
        FineTunedClassifier(**TINY).fit(np.zeros((4, 32, 32)), y)


def test_images_that_cannot_be_used():
    classifier = FineTunedClassifier(**TINY)
    images = [np.zeros((32, 32))] * 3
    with pytest.raises(InvalidImageError, match=r"X\[3\].*does not exist"):
        classifier.fit([*images, "missing.png"], [1, 1, -1, -1])
    with pytest.raises(NotFittedError):
        classifier.predict(images)
