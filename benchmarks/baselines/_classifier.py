"""The fully supervised classifier that the paper compares with."""

import copy

import numpy as np
import timm
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch.nn import functional

from skgaussad._utils.labels import check_labels
from skgaussad._utils.validation import check_integer, check_real
from skgaussad.features._backbone import explain_image_size
from skgaussad.features._device import resolve_device
from skgaussad.features._preprocessing import Preprocessing
from skgaussad.features._tags import ImageInputMixin
from skgaussad.features._weights import read_network

from ._training import (
    TrainingImages,
    check_images,
    check_training,
    run,
    seeded,
    split_batches,
    to_tensor,
    train,
)


class FineTunedClassifier(ImageInputMixin, ClassifierMixin, BaseEstimator):
    """Fine-tune a pretrained network to tell normal images from anomalies.

    It is shown anomalies, which the other methods are not: an upper bound on what they
    can reach (section IV-C and table V of [1]_). All weights are trained with Adam on
    the binary cross-entropy, and those of the epoch with the highest AUROC on held-out
    training images are kept.

    Parameters
    ----------
    backbone : str, default="tf_efficientnet_lite0"
        Name of a timm model, with or without its weights' tag. [1]_ has ResNet-18,
        ResNet-34 and EfficientNets.

    weights : {"auto"}, path or None, default="auto"
        Where training starts; as for
        :class:`~skgaussad.DeepFeatureTransformer`.

    image_size : int, tuple of (int, int) or None, default=None
        Side, or height and width, to which images are resized, in pixels. None takes
        the network's own.

    n_epochs : int, default=50
        Number of times that each image is seen. [1]_ does not tell its own.

    batch_size : int, default=16
        Images a step of the training, at least 2. [1]_ has 16 for EfficientNets and 64
        for ResNets.

    learning_rate : float, default=1e-4
        Of Adam, positive; as in [1]_.

    validation_fraction : float, default=0.2
        Share of the images of each class that are held out to choose the epoch, in
        (0, 1): at least one image of each class is held out, and one is trained on.

    augmentation : object or None, default=None
        Changes the training images anew in each epoch, not those held out: its
        ``apply(image, rng)`` gets an array of shape (height, width, 3), float32 in
        [0, 1], already resized, and a :class:`numpy.random.Generator`, and returns an
        image, as :class:`~skgaussad.augmentation.ImageAugmentation` does.

    random_state : int, RandomState instance or None, default=0
        Seed of the new layer, the held-out images, the order of the others and their
        augmentation. On the CPU, the same seed gives the same network; on a GPU, nearly
        the same.

    device : str or torch.device, default="auto"
        Where the network runs; ``"auto"`` takes CUDA where present, then MPS, then the
        CPU.

    verbose : bool or int, default=False
        Whether to show progress bars on standard error.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        -1 (anomalous) and +1 (normal).

    network_ : torch.nn.Module
        The network of the best epoch, on the CPU.

    validation_indices_ : ndarray of int
        Rows of the training data that were held out, in rising order.

    history_ : dict of {str: ndarray of shape (n_epochs,)}
        By epoch: ``"loss"`` on the training images, while the network changes, and at
        the end of the epoch ``"validation_loss"`` and ``"validation_auroc"`` (in
        [0, 1]) on those held out.

    best_epoch_ : int
        The epoch kept, counted from 0: that of the highest AUROC, and of the lowest
        loss among equals.

    Notes
    -----
    The resized training images are held in memory, 12 bytes a pixel.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> from baselines import FineTunedClassifier
    >>> from skgaussad.datasets import make_textures
    >>> data = make_textures(16, 16, size=64, random_state=0)
    >>> classifier = FineTunedClassifier(
    ...     image_size=64, n_epochs=6, batch_size=4, learning_rate=1e-3
    ... )
    >>> classifier.fit(data.images, data.labels).predict(data.images[[0, 16]])
    array([ 1, -1])
    """

    def __init__(
        self,
        backbone="tf_efficientnet_lite0",
        *,
        weights="auto",
        image_size=None,
        n_epochs=50,
        batch_size=16,
        learning_rate=1e-4,
        validation_fraction=0.2,
        augmentation=None,
        random_state=0,
        device="auto",
        verbose=False,
    ):
        self.backbone = backbone
        self.weights = weights
        self.image_size = image_size
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.augmentation = augmentation
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X, y):
        """Fine-tune the network.

        Parameters
        ----------
        X : sequence of n_images images
            As :class:`~skgaussad.DeepFeatureTransformer` takes them.
        y : array-like of shape (n_images,)
            +1 for normal and -1 for anomalous images, two or more of each.

        Returns
        -------
        self : FineTunedClassifier

        Raises
        ------
        ValueError
            If a parameter is out of its range, or the labels are not those above.
        InvalidImageError
            If an image cannot be used; names its position in `X`.
        OSError
            If the weights cannot be had.
        FloatingPointError
            If the training diverges.
        """
        check_training(self.n_epochs, self.batch_size, self.learning_rate)
        check_real("validation_fraction", self.validation_fraction, 0, 1)
        device = resolve_device(self.device, "float32")
        images = check_images(X)
        y = check_labels("y", y)
        check_consistent_length(images, y)
        seed = check_random_state(self.random_state).randint(2**31)
        training, validation = _hold_out(y, self.validation_fraction, seed)
        with seeded(seed, device):
            network, preprocessing = self._prepare(seed, device)
            data = TrainingImages(
                images, preprocessing, self.augmentation, seed, device, self.verbose
            )
            self._train(network, data, y, training, validation, seed, device)
        self.network_ = network.cpu().eval()
        self.validation_indices_ = validation
        self.classes_ = np.array([-1, 1])
        self._preprocessing = preprocessing
        return self

    def _prepare(self, seed, device):
        """Return the network with a new output, and how its input is made."""
        network, _ = read_network(self.backbone, self.weights, seed)
        preprocessing = Preprocessing.resolve(
            timm.data.resolve_model_data_config(network),
            image_size=self.image_size,
            interpolation=None,
            crop_pct=None,
            mean=None,
            std=None,
        )
        network.reset_classifier(1)
        network = network.to(device, memory_format=torch.channels_last)
        black = np.zeros((1, *preprocessing.image_size, 3), dtype=np.float32)
        with explain_image_size(preprocessing.image_size), torch.inference_mode():
            network.eval()(to_tensor(black, preprocessing, device))
        return network, preprocessing

    def _train(self, network, data, y, training, validation, seed, device):
        """Train the network, and leave it in the state of its best epoch."""
        targets = torch.tensor((y == 1).astype(np.float32), device=device)

        def loss(batch, rows):
            logits = network(batch)[:, 0]
            return functional.binary_cross_entropy_with_logits(logits, targets[rows])

        losses = train(
            network,
            data,
            training,
            loss,
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=seed,
            verbose=self.verbose,
        )
        epochs = []
        best = (-np.inf, -np.inf)
        for epoch, training_loss in enumerate(losses):
            validation_loss, auroc = self._validate(network, data, y, validation)
            epochs.append((training_loss, validation_loss, auroc))
            if (auroc, -validation_loss) > best:
                best = (auroc, -validation_loss)
                self.best_epoch_ = epoch
                state = copy.deepcopy(network.state_dict())
        network.load_state_dict(state)
        names = ("loss", "validation_loss", "validation_auroc")
        self.history_ = dict(zip(names, np.transpose(epochs), strict=True))

    def _validate(self, network, data, y, validation):
        """Return the loss and the AUROC on the images held out."""
        network.eval()
        with torch.inference_mode():
            logits = torch.cat(
                [
                    network(data.plain(rows))[:, 0]
                    for rows in split_batches(validation, self.batch_size)
                ]
            )
        logits = logits.double().cpu()
        normal = y[validation] == 1
        loss = functional.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(normal).double()
        )
        return loss.item(), roc_auc_score(normal, logits.numpy())

    def decision_function(self, X):
        """Log-odds that an image is normal.

        Parameters
        ----------
        X : sequence of n_images images
            As :class:`~skgaussad.DeepFeatureTransformer` takes them.

        Returns
        -------
        decision : ndarray of shape (n_images,)
            Float64: higher is more normal, negative for anomalies.

        Raises
        ------
        InvalidImageError
            If an image cannot be used; names its position in `X`.
        """
        check_is_fitted(self)
        check_integer("batch_size", self.batch_size, 1)
        batches = run(
            self.network_,
            check_images(X),
            self._preprocessing,
            batch_size=self.batch_size,
            device=resolve_device(self.device, "float32"),
            verbose=self.verbose,
        )
        logits = [output[:, 0].cpu().numpy() for _, output in batches]
        return np.concatenate(logits).astype(np.float64)

    def score_samples(self, X):
        """Give what `decision_function` gives, by the name that detectors have for it.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        scores : ndarray of shape (n_images,)
            Higher is more normal.
        """
        return self.decision_function(X)

    def predict(self, X):
        """Tell normal images from anomalies.

        Parameters
        ----------
        X : sequence of n_images images

        Returns
        -------
        labels : ndarray of shape (n_images,)
            +1 for normal, -1 for anomalous.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _hold_out(y, fraction, seed):
    """Split rows so that each class has the same share, and a row, on either side.

    Parameters
    ----------
    y : ndarray of shape (n_images,)
        Labels +1 and -1.
    fraction : float
        Share of each class that is held out, in (0, 1).
    seed : int

    Returns
    -------
    training, validation : ndarray of int
        Rows, in rising order.

    Raises
    ------
    ValueError
        If there are fewer than two rows of a class.
    """
    rng = np.random.default_rng(seed)
    validation = []
    for label, name in ((1, "normal"), (-1, "anomalous")):
        rows = np.flatnonzero(y == label)
        if len(rows) < 2:
            raise ValueError(
                f"y must hold at least 2 {name} images ({label:+d}), one to train on "
                f"and one to choose the epoch by; got {len(rows)}."
            )
        n_held_out = np.clip(round(fraction * len(rows)), 1, len(rows) - 1)
        validation.append(rng.permutation(rows)[:n_held_out])
    validation = np.sort(np.concatenate(validation))
    return np.setdiff1d(np.arange(len(y)), validation), validation
