"""The convolutional autoencoder that the paper compares with."""

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch.nn import functional

from skgaussad._utils.validation import check_choice, check_integer, check_real
from skgaussad.features._device import resolve_device
from skgaussad.features._preprocessing import Preprocessing
from skgaussad.features._tags import ImageInputMixin

from ._residuals import AGGREGATIONS, aggregate_residuals
from ._resnet_autoencoder import STRIDE, ResNetAutoencoder
from ._threshold import ThresholdMixin
from ._training import TrainingImages, check_images, check_training, run, seeded, train


class ConvolutionalAutoencoder(ImageInputMixin, ThresholdMixin, BaseEstimator):
    """Detect anomalies by how badly an autoencoder reconstructs an image.

    A ResNet-18 compresses normal images to a vector, and an inverse of it, which
    enlarges by pixel shuffle, reconstructs them (section IV-C and table V of [1]_). It
    is trained from random weights with Adam on the mean squared error.

    Parameters
    ----------
    image_size : int or tuple of (int, int), default=224
        Side, or height and width, to which images are resized, in pixels: multiples of
        32.

    n_epochs : int, default=100
        Number of times that each image is seen. [1]_ does not tell its own.

    batch_size : int, default=64
        Images a step of the training, at least 2; as in [1]_.

    learning_rate : float, default=1e-4
        Of Adam, positive; as in [1]_.

    latent_dim : int, default=32
        Length of the vector between encoder and decoder; as in [1]_.

    aggregation : {"mean", "components"}, default="mean"
        How the residuals of an image become its score: their mean (map-mean in table
        V), or the highest threshold on the residuals that leaves a connected component
        of `min_area` pixels (CCA in table V); see `component_score`.

    min_area : int, default=1
        Least size of a defect in pixels of the resized image, used by
        ``aggregation="components"`` only. [1]_ takes the size of the smallest anomaly
        among the test images. That is knowledge of the process, which a detector
        trained on normal images does not have otherwise.

    augmentation : object or None, default=None
        Changes the training images anew in each epoch: its ``apply(image, rng)`` gets
        an array of shape (height, width, 3), float32 in [0, 1], already resized, and a
        :class:`numpy.random.Generator`, and returns an image, as
        :class:`~skgaussad.augmentation.ImageAugmentation` does. [1]_ leaves out noise
        here: ``ImageAugmentation(exclude="noise")``.

    fpr : float, default=0.05
        Acceptable false-positive rate, in (0, 1).

    random_state : int, RandomState instance or None, default=0
        Seed of the weights, the order of the images and their augmentation. On the CPU,
        the same seed gives the same network; on a GPU, nearly the same.

    device : str or torch.device, default="auto"
        Where the network runs; ``"auto"`` takes CUDA where present, then MPS, then the
        CPU.

    verbose : bool or int, default=False
        Whether to show progress bars on standard error.

    Attributes
    ----------
    network_ : torch.nn.Module
        The trained network, on the CPU, with the parts ``encoder`` and ``decoder``.

    history_ : dict of {str: ndarray of shape (n_epochs,)}
        ``"loss"``: mean squared error of each epoch, while the network changes.

    offset_ : float
        Threshold on the scores, the `fpr`-quantile of those of the training images:
        ``decision_function(X) = score_samples(X) - offset_``.

    Notes
    -----
    The threshold is passed by a fraction `fpr` of the training images, which the
    network was trained to reconstruct. New images are reconstructed worse, so more
    false alarms than asked for are to be expected. [1]_ sets no threshold, and compares
    by AUROC.

    The resized training images are held in memory, 12 bytes a pixel.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> from baselines import ConvolutionalAutoencoder
    >>> from skgaussad.datasets import make_textures
    >>> data = make_textures(8, 2, size=32, random_state=0)
    >>> autoencoder = ConvolutionalAutoencoder(image_size=32, n_epochs=2)
    >>> autoencoder.fit(data.images[data.labels == 1]).residual_maps(data.images).shape
    (10, 32, 32)
    """

    def __init__(
        self,
        image_size=224,
        *,
        n_epochs=100,
        batch_size=64,
        learning_rate=1e-4,
        latent_dim=32,
        aggregation="mean",
        min_area=1,
        augmentation=None,
        fpr=0.05,
        random_state=0,
        device="auto",
        verbose=False,
    ):
        self.image_size = image_size
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.latent_dim = latent_dim
        self.aggregation = aggregation
        self.min_area = min_area
        self.augmentation = augmentation
        self.fpr = fpr
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X, y=None):
        """Train the network on normal images, and set the threshold.

        Parameters
        ----------
        X : sequence of n_images images
            Two or more, as :class:`~skgaussad.DeepFeatureTransformer` takes
            them.
        y : Ignored
            Present for API consistency: all images are taken to be normal.

        Returns
        -------
        self : ConvolutionalAutoencoder

        Raises
        ------
        ValueError
            If a parameter is out of its range, or there is one image only.
        InvalidImageError
            If an image cannot be used; names its position in `X`.
        FloatingPointError
            If the training diverges.
        """
        image_size = self._check_parameters()
        device = resolve_device(self.device, "float32")
        images = check_images(X)
        if len(images) < 2:
            raise ValueError("X must hold at least 2 images to train on; got 1.")
        preprocessing = Preprocessing(
            image_size, "bilinear", crop_pct=None, mean=(0.0,) * 3, std=(1.0,) * 3
        )
        seed = check_random_state(self.random_state).randint(2**31)
        with seeded(seed, device):
            network = ResNetAutoencoder(image_size, self.latent_dim, seed)
            network = network.to(device, memory_format=torch.channels_last)
            data = TrainingImages(
                images, preprocessing, self.augmentation, seed, device, self.verbose
            )
            losses = train(
                network,
                data,
                np.arange(len(images)),
                lambda batch, rows: functional.mse_loss(network(batch), batch),
                n_epochs=self.n_epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                seed=seed,
                verbose=self.verbose,
            )
            self.history_ = {"loss": np.fromiter(losses, float)}
        self.network_ = network.cpu().eval()
        self._preprocessing = preprocessing
        self._aggregation = (self.aggregation, self.min_area)
        self.offset_ = float(np.quantile(self.score_samples(images), self.fpr))
        return self

    def _check_parameters(self):
        """Validate all parameters; return the image size as a pair."""
        check_training(self.n_epochs, self.batch_size, self.learning_rate)
        check_integer("latent_dim", self.latent_dim, 1)
        check_choice("aggregation", self.aggregation, AGGREGATIONS)
        check_real("fpr", self.fpr, 0, 1)
        image_size = Preprocessing.resolve_size(self.image_size)
        if image_size is None or any(side % STRIDE for side in image_size):
            raise ValueError(
                f"image_size must be a multiple of {STRIDE}, or a pair (height, width) "
                f"of them, by which the encoder can be inverted; got "
                f"{self.image_size!r}."
            )
        if self.aggregation == "components":
            check_integer("min_area", self.min_area, 1)
            height, width = image_size
            if self.min_area > height * width:
                raise ValueError(
                    f"min_area must be at most the {height * width} pixels of the "
                    f"resized image; got {self.min_area!r}."
                )
        return image_size

    def _iterate_maps(self, X):
        """Yield the residual map of each image."""
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
        for batch, reconstruction in batches:
            yield from (reconstruction - batch).square().mean(dim=1).cpu().numpy()

    def residual_maps(self, X):
        """Squared difference of each pixel to its reconstruction.

        Parameters
        ----------
        X : sequence of n_images images
            As :class:`~skgaussad.DeepFeatureTransformer` takes them.

        Returns
        -------
        maps : ndarray of shape (n_images, height, width)
            Float32, >= 0, of the size to which images are resized: the mean over red,
            green and blue, whose values are in [0, 1].

        Raises
        ------
        InvalidImageError
            If an image cannot be used; names its position in `X`.
        """
        return np.stack(list(self._iterate_maps(X)))

    def score_samples(self, X):
        """Minus the aggregated residuals: higher is more normal.

        Parameters
        ----------
        X : sequence of n_images images
            As :class:`~skgaussad.DeepFeatureTransformer` takes them.

        Returns
        -------
        scores : ndarray of shape (n_images,)
            Float64, <= 0.

        Raises
        ------
        InvalidImageError
            If an image cannot be used; names its position in `X`.
        """
        maps = self._iterate_maps(X)
        return np.array([-aggregate_residuals(m, *self._aggregation) for m in maps])
