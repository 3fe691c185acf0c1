"""What the peers do, in their own interpreter: anomalib's extractor, PyOD's detectors.

Started by `_speed_processes.Process`; imports nothing of skgaussad.
"""

import time
from functools import cache
from importlib.metadata import version

import numpy as np
import torch
from _speed_child import serve

BACKBONE = "tf_efficientnet_lite0"
IMAGE_SIZE = 224


@cache
def make_extractor(layers, weights):
    """Make anomalib's extractor of a tuple of layers with the weights of a file."""
    from anomalib.models.components.feature_extractors import TimmFeatureExtractor

    extractor = TimmFeatureExtractor(BACKBONE, list(layers), pre_trained=False)
    state = torch.load(weights, weights_only=True)
    # What the file has more is the head, which the extractor leaves out.
    missing, _ = extractor.feature_extractor.load_state_dict(state, strict=False)
    if missing:
        raise ValueError(f"weights: {weights} lacks {', '.join(missing)}.")
    return extractor


def extract(folder, layer, weights, batch_size, num_workers, limit=None):
    """Extract features as anomalib does, with its data set and extractor."""
    from anomalib.data import PredictDataset
    from torch.utils.data import DataLoader, Subset
    from torchvision.transforms import v2

    extractor = make_extractor((layer,), weights)
    transform = v2.Compose(
        [v2.Resize((IMAGE_SIZE, IMAGE_SIZE)), v2.Normalize([0.5] * 3, [0.5] * 3)]
    )
    started = time.perf_counter()
    images = PredictDataset(folder, transform=transform)
    n_images = min(len(images), limit or len(images))
    loader = DataLoader(
        Subset(images, range(n_images)),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=images.collate_fn,
    )
    rows = [extractor(batch.image)[layer].mean(dim=(2, 3)) for batch in loader]
    features = torch.cat(rows).numpy()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "n_images": n_images, "n_columns": features.shape[1]}


def detect(name, train, test, scores):
    """Fit a detector of PyOD, and score.

    Parameters
    ----------
    name : {"MCD", "GMM", "PCA"}
    train, test, scores : str
        Paths of ``.npy`` files; the last one is written. Higher is more normal.
    """
    from pyod.models.gmm import GMM
    from pyod.models.mcd import MCD
    from pyod.models.pca import PCA

    make = {"MCD": lambda: MCD(random_state=0), "GMM": GMM, "PCA": PCA}[name]
    X, X_test = np.load(train), np.load(test)
    started = time.perf_counter()
    detector = make().fit(X)
    fitted = time.perf_counter()
    found = -detector.decision_function(X_test)
    scored = time.perf_counter()
    np.save(scores, found)
    return {"fit": fitted - started, "score": scored - fitted}


def describe():
    """Return versions and the number of threads."""
    names = ("anomalib", "pyod", "torch", "timm", "numpy", "scikit-learn")
    return {
        "versions": {name: version(name) for name in names},
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    serve({"extract": extract, "detect": detect, "describe": describe})
