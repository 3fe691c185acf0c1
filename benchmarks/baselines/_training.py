"""Training a network on images, and running it: what the baselines share."""

import contextlib
import copy
import math

import numpy as np
import torch

from skgaussad._utils.progress import progress_bar
from skgaussad._utils.validation import check_integer, check_real
from skgaussad.features import as_image_sequence, check_items


def check_training(n_epochs, batch_size, learning_rate):
    """Raise unless the parameters of the training are in their ranges.

    Parameters
    ----------
    n_epochs, batch_size : int
    learning_rate : float

    Raises
    ------
    ValueError
        Names the parameter.
    """
    check_integer("n_epochs", n_epochs, 1)
    # Batch normalization needs two images to have a variance.
    check_integer("batch_size", batch_size, 2)
    check_real("learning_rate", learning_rate, 0, float("inf"))


def check_images(X):
    """Return `X` as a sequence of images that may be there.

    Parameters
    ----------
    X : sequence of n_images images
        As :class:`~skgaussad.DeepFeatureTransformer` takes them.

    Returns
    -------
    images : sequence
    """
    images = as_image_sequence(X)
    check_items(images)
    return images


@contextlib.contextmanager
def seeded(seed, device):
    """Seed torch's global generators, and restore them afterwards.

    Parameters
    ----------
    seed : int
    device : torch.device
        Its generator is taken care of as well as the CPU's.
    """
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        # torch.manual_seed would seed the generators of all GPUs, too.
        torch.default_generator.manual_seed(seed)
        for used in cuda:
            with torch.cuda.device(used):
                torch.cuda.manual_seed(seed)
        yield


class TrainingImages:
    """Images decoded once and held in memory, which become batches of a network.

    Parameters
    ----------
    images : sequence of n_images images
    preprocessing : Preprocessing
    augmentation : object or None
        Its ``apply(image, rng)`` returns a changed image.
    seed : int
        The change of an image depends on the seed, the epoch and its row only.
    device : torch.device
    verbose : bool or int
        Whether to show a progress bar on standard error.

    Raises
    ------
    InvalidImageError
        If an image cannot be decoded.
    """

    def __init__(self, images, preprocessing, augmentation, seed, device, verbose):
        self._preprocessing = preprocessing
        self._augmentation = augmentation
        self._seed = seed
        self._device = device
        self._pixels = np.empty(
            (len(images), *preprocessing.image_size, 3), dtype=np.float32
        )
        for row in progress_bar("decoding", verbose, iterable=range(len(images))):
            self._pixels[row] = preprocessing.load(images, row)

    def plain(self, rows):
        """Return a batch of images as they are.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        batch : torch.Tensor of shape (n, 3, height, width)
            Normalized.
        """
        return to_tensor(self._pixels[rows], self._preprocessing, self._device)

    def augmented(self, rows, epoch):
        """Return a batch of images as they are seen in one epoch.

        Parameters
        ----------
        rows : ndarray of int
        epoch : int

        Returns
        -------
        batch : torch.Tensor of shape (n, 3, height, width)
            Normalized.
        """
        if self._augmentation is None:
            return self.plain(rows)
        changed = [
            self._augmentation.apply(
                self._pixels[row], np.random.default_rng([self._seed, epoch, row])
            )
            for row in rows
        ]
        # Loaded like any image, since an augmentation may change type and size.
        pixels = [self._preprocessing.load(changed, i) for i in range(len(changed))]
        return to_tensor(np.stack(pixels), self._preprocessing, self._device)


def to_tensor(pixels, preprocessing, device):
    """Turn pixels into what a network takes.

    Parameters
    ----------
    pixels : ndarray of shape (n, height, width, 3)
        In [0, 1].
    preprocessing : Preprocessing
        Gives mean and standard deviation to normalize with.
    device : torch.device

    Returns
    -------
    batch : torch.Tensor of shape (n, 3, height, width)
        In the memory layout that torch calls channels_last.
    """
    batch = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2)
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (batch - mean) / std


def split_batches(rows, batch_size):
    """Cut rows into batches, none of which holds a single row.

    Parameters
    ----------
    rows : ndarray of shape (n,)
        n is at least 2.
    batch_size : int
        At least 2.

    Returns
    -------
    batches : list of ndarray
        Of `batch_size` rows, the last one of fewer; or of one more, where a single row
        would be left.
    """
    stops = list(range(batch_size, len(rows), batch_size))
    if stops and stops[-1] == len(rows) - 1:
        stops.pop()
    return np.split(rows, stops)


def train(
    network, data, rows, loss, *, n_epochs, batch_size, learning_rate, seed, verbose
):
    """Train a network with Adam, one epoch at a time.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    data : TrainingImages
    rows : ndarray of int
        The images to train on, two or more.
    loss : callable
        Maps a batch (a tensor) and the rows in it to the mean loss of the batch.
    n_epochs, batch_size : int
    learning_rate : float
    seed : int
        Seed of the order of the images.
    verbose : bool or int
        Whether to show a progress bar on standard error.

    Yields
    ------
    mean_loss : float
        Mean over the images of the epoch that has just ended.

    Raises
    ------
    FloatingPointError
        If the loss is not finite.
    """
    # Fused, since on the CPU the step of many weights on few images takes long.
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    rng = np.random.default_rng(seed)
    bar = progress_bar("training", verbose, total=n_epochs * len(rows))
    with bar:
        for epoch in range(n_epochs):
            network.train()
            total = 0.0
            for batch in split_batches(rng.permutation(rows), batch_size):
                value = loss(data.augmented(batch, epoch), batch)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                total += value.item() * len(batch)
                bar.update(len(batch))
            mean_loss = total / len(rows)
            if not math.isfinite(mean_loss):
                raise FloatingPointError(
                    f"The loss of epoch {epoch + 1} is {mean_loss}. Choose a smaller "
                    f"learning_rate than {learning_rate}."
                )
            bar.set_postfix(epoch=epoch + 1, loss=mean_loss)
            yield mean_loss


def run(network, images, preprocessing, *, batch_size, device, verbose):
    """Send images through a trained network.

    Parameters
    ----------
    network : torch.nn.Module
        On the CPU, where it stays: a copy of it runs on the device.
    images : sequence of n_images images
    preprocessing : Preprocessing
    batch_size : int
    device : torch.device
    verbose : bool or int
        Whether to show a progress bar on standard error.

    Yields
    ------
    batch : torch.Tensor of shape (n, 3, height, width)
        What went into the network.
    output : torch.Tensor
        What came out.

    Raises
    ------
    InvalidImageError
        If an image cannot be used.
    """
    network = copy.deepcopy(network).to(device).eval()
    with progress_bar("scoring", verbose, total=len(images)) as bar:
        for start in range(0, len(images), batch_size):
            rows = range(start, min(start + batch_size, len(images)))
            pixels = np.stack([preprocessing.load(images, row) for row in rows])
            batch = to_tensor(pixels, preprocessing, device)
            with torch.inference_mode():
                output = network(batch)
            yield batch, output
            bar.update(len(rows))
