"""The paper's protocol: categories, five folds, features and figures kept on disk."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from baselines import (
    ConvolutionalAutoencoder,
    FineTunedClassifier,
    one_class_svm,
)
from baselines._residuals import AGGREGATIONS, aggregate_residuals
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline

from skgaussad import DeepFeatureTransformer, MahalanobisDetector, NegatedPCA
from skgaussad.augmentation import ImageAugmentation, mvtec_exclusions
from skgaussad.augmentation._augmented_images import AugmentedImages
from skgaussad.calibration._parametric_thresholds import chi2_threshold
from skgaussad.datasets import load_mvtec
from skgaussad.datasets._mvtec import list_categories
from skgaussad.metrics import achieved_fpr

# Detectors fitted to the features of a level.
DETECTORS = {
    "l2": lambda: MahalanobisDetector("isotropic"),
    "sed": lambda: MahalanobisDetector("diagonal"),
    "mahalanobis": MahalanobisDetector,
    "pca_99": lambda: make_pipeline(PCA(0.99), MahalanobisDetector()),
    "pca_95": lambda: make_pipeline(PCA(0.95), MahalanobisDetector()),
    "npca_1": lambda: make_pipeline(NegatedPCA(0.01), MahalanobisDetector()),
    "npca_0.1": lambda: make_pipeline(NegatedPCA(0.001), MahalanobisDetector()),
    "npca_0.01": lambda: make_pipeline(NegatedPCA(0.0001), MahalanobisDetector()),
    "oc_svm": one_class_svm,
}
TRAINED = ("autoencoder_mean", "autoencoder_components", "classifier")
SIGMAS = (1, 2, 3, 4, 5)
N_FOLDS = 5


@dataclass(frozen=True)
class Category:
    """Images of one category: normal ones to train on, and a test set.

    Attributes
    ----------
    name : str
    train : ndarray of shape (n_train,), dtype str
        Paths of normal images.
    test : ndarray of shape (n_test,), dtype str
    labels : ndarray of shape (n_test,)
        +1 for normal test images, -1 for anomalous.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray

    def folds(self):
        """Rows to fit on, rows to test on and their labels, for each of five folds.

        Rows count the training images, then the test images. As in the paper the
        training images are divided and the test set is always the same. Where it has no
        normal images, those of the training images that were held out stand in.

        Returns
        -------
        folds : list of (ndarray, ndarray, ndarray)
        """
        test = len(self.train) + np.arange(len(self.test))
        folds = []
        splitter = KFold(N_FOLDS, shuffle=True, random_state=0)
        for train, held_out in splitter.split(self.train):
            if (self.labels == 1).any():
                held_out = held_out[:0]
            rows = np.concatenate([held_out, test])
            labels = np.concatenate([np.ones(len(held_out), dtype=int), self.labels])
            folds.append((train, rows, labels))
        return folds


def _exclusions(name):
    """Operations not to augment a category by; none where MVTec AD has no such one."""
    try:
        return mvtec_exclusions(name)
    except ValueError:
        return ()


def read_categories(root):
    """Read all categories of a data set in the layout of MVTec AD.

    Parameters
    ----------
    root : str
        Folder of the data set, or of its only category.

    Returns
    -------
    categories : list of Category
    """
    found = list_categories(Path(root))
    categories = []
    for name in found or [None]:
        train, test = (
            load_mvtec(root, name, split=split) for split in ("train", "test")
        )
        categories.append(
            Category(
                name or Path(root).resolve().name, train.paths, test.paths, test.labels
            )
        )
    return categories


def level_aurocs(detectors, blocks, labels):
    """AUROC in percent of each level, and of the sum of the levels' scores.

    Parameters
    ----------
    detectors : list
        Fitted, one a level.
    blocks : list of ndarray
        Features of the test images, one a level.
    labels : ndarray of shape (n_images,)
        +1 for normal images, -1 for anomalies.

    Returns
    -------
    aurocs : list of float
        One a level, then that of the sum.
    """
    scores = [
        detector.score_samples(block)
        for detector, block in zip(detectors, blocks, strict=True)
    ]
    scores.append(np.sum(scores, axis=0))
    return [100 * roc_auc_score(labels == 1, score) for score in scores]


class Store:
    """Features and figures in a folder, so that an interrupted run can be resumed.

    Parameters
    ----------
    folder : str
        Made where it is missing.
    """

    def __init__(self, folder):
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = self._folder / "figures.jsonl"
        self._figures = {}
        if self._log.exists():
            for line in self._log.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    continue  # the line that was being written at the interruption
                self._figures[tuple(entry["key"])] = entry["figures"]

    def figures(self, key, compute):
        """Figures under a key of strings and numbers, computed at their first use."""
        if key not in self._figures:
            self._figures[key] = compute()
            with self._log.open("a") as log:
                log.write(
                    "\n" + json.dumps({"key": key, "figures": self._figures[key]})
                )
        return self._figures[key]

    def features(self, key, compute):
        """Return arrays under a key, computed at their first use and saved whole."""
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
        path = self._folder / f"{digest}.npz"
        if not path.exists():
            partial = path.with_suffix(".part.npz")
            np.savez(partial, **compute())
            os.replace(partial, path)
        with np.load(path) as arrays:
            return dict(arrays)


@dataclass(frozen=True)
class Protocol:
    """Computes figures of methods on categories.

    Attributes
    ----------
    store : Store
    options : argparse.Namespace
        ``interpolation``, ``augmented_epochs``, ``training_epochs``, ``image_size``,
        ``min_area`` and ``quiet`` of the command line.
    """

    store: Store
    options: object

    def _key(self, category, *parts):
        paths = json.dumps([*category.train, *category.test]).encode()
        options = self.options
        return (
            category.name,
            hashlib.sha256(paths).hexdigest()[:12],
            options.interpolation or "native",
            *parts,
        )

    def level_features(self, category, backbone, n_epochs=1):
        """Features of all images of a category, at all levels.

        Parameters
        ----------
        category : Category
        backbone : str
        n_epochs : int, default=1
            Epochs of augmented copies of the training images, the first one plain.

        Returns
        -------
        arrays : dict of {str: ndarray}
            ``"features"`` of the training images epoch by epoch, then of the test
            images, and ``"stops"``, the last column of each level plus 1.
        """

        def compute():
            transformer = DeepFeatureTransformer(
                backbone,
                levels="all",
                interpolation=self.options.interpolation,
                verbose=not self.options.quiet,
            )
            augmentation = ImageAugmentation(exclude=_exclusions(category.name))
            train = AugmentedImages(category.train, augmentation, n_epochs, seed=0)
            transformer.fit(category.train)
            features = [transformer.transform(x) for x in (train, category.test)]
            stops = [part.stop for part in transformer.level_slices_.values()]
            return {"features": np.vstack(features), "stops": np.array(stops)}

        key = self._key(category, "features", backbone, n_epochs)
        return self.store.features(key, compute)

    def fit_fold(self, category, backbone, method, fold, n_epochs=1, only=None):
        """Fit a method to levels on one fold.

        Parameters
        ----------
        category : Category
        backbone : str
        method : str
            One of `DETECTORS`.
        fold : int
        n_epochs : int, default=1
        only : int or None, default=None
            The level to take, from 1; None takes all.

        Returns
        -------
        detectors : list
            Fitted, one a level.
        test : list of ndarray
            Features of the test images, one a level.
        labels : ndarray
        """
        arrays = self.level_features(category, backbone, n_epochs)
        train, test, labels = category.folds()[fold]
        n_train = len(category.train)
        copies = np.concatenate([train + n_train * epoch for epoch in range(n_epochs)])
        test = np.where(test < n_train, test, test + n_train * (n_epochs - 1))
        blocks = np.split(arrays["features"], arrays["stops"][:-1], axis=1)
        blocks = blocks if only is None else blocks[only - 1 : only]
        detectors = [DETECTORS[method]().fit(block[copies]) for block in blocks]
        return detectors, [block[test] for block in blocks], labels

    def _by_fold(self, compute, category, *parts):
        """Figures that `compute` gives for each fold, kept under a key of the parts."""
        return [
            self.store.figures(
                self._key(category, *parts, fold), lambda fold=fold: compute(fold)
            )
            for fold in range(N_FOLDS)
        ]

    def aurocs(self, category, backbone, method):
        """AUROC in percent of each level and of the sum, a list for each fold."""

        def compute(fold):
            return level_aurocs(*self.fit_fold(category, backbone, method, fold))

        return self._by_fold(compute, category, "auroc", backbone, method)

    def working_points(self, category, backbone, method, level):
        """FPR and TPR in percent at n sigma, then the AUROC, a list for each fold.

        The thresholds are those of equation 8 for the rates of 1 to 5 sigma.
        """
        n_epochs = self.options.augmented_epochs

        def compute(fold):
            (detector,), (block,), labels = self.fit_fold(
                category, backbone, method, fold, n_epochs, only=level
            )
            figures = []
            scores = detector.score_samples(block)
            last = detector if hasattr(detector, "n_dof_") else detector[-1]
            for sigma in SIGMAS:
                predicted = np.where(
                    scores >= -chi2_threshold(2 * norm.sf(sigma), last.n_dof_), 1, -1
                )
                found = np.mean(predicted[labels == -1] == -1)
                figures += [100 * achieved_fpr(labels, predicted), 100 * found]
            return [*figures, 100 * roc_auc_score(labels == 1, scores)]

        return self._by_fold(
            compute, category, "rates", backbone, method, level, n_epochs
        )

    def trained_aurocs(self, category, backbone, method):
        """AUROC in percent of a method that trains a network, one for each fold."""
        options = self.options
        settings = (options.training_epochs, options.image_size)
        if method == "classifier":
            figures = self._by_fold(
                lambda fold: self._train_classifier(category, backbone, fold),
                *(category, "classifier", backbone, *settings),
            )
            return [[auroc] for (auroc,) in figures]
        # One training serves both ways of aggregating its residuals.
        figures = self._by_fold(
            lambda fold: self._train_autoencoder(category, fold),
            *(category, "autoencoder", *settings, options.min_area),
        )
        column = AGGREGATIONS.index(method.removeprefix("autoencoder_"))
        return [[aurocs[column]] for aurocs in figures]

    def _training(self, category, *also_excluded):
        exclude = (*_exclusions(category.name), *also_excluded)
        return {
            "n_epochs": self.options.training_epochs,
            "image_size": self.options.image_size,
            "augmentation": ImageAugmentation(exclude=exclude),
            "verbose": not self.options.quiet,
        }

    def _train_classifier(self, category, backbone, fold):
        # Supervised, so training and test set are pooled (section IV-C).
        paths = np.concatenate([category.train, category.test])
        y = np.concatenate([np.ones(len(category.train), int), category.labels])
        splitter = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
        train, test = list(splitter.split(paths, y))[fold]
        model = FineTunedClassifier(backbone, **self._training(category))
        model.fit(paths[train], y[train])
        return [100 * roc_auc_score(y[test], model.score_samples(paths[test]))]

    def _train_autoencoder(self, category, fold):
        paths = np.concatenate([category.train, category.test])
        train, test, labels = category.folds()[fold]
        # No noise for the autoencoder (section IV-C).
        model = ConvolutionalAutoencoder(**self._training(category, "noise"))
        model.fit(paths[train])
        maps = model.residual_maps(paths[test])
        scores = [
            [-aggregate_residuals(m, how, self.options.min_area) for m in maps]
            for how in AGGREGATIONS
        ]
        return [100 * roc_auc_score(labels, score) for score in scores]
