"""anomalib's methods on images and folds of the study, in their own interpreter.

Started by `_speed_processes.Process`; imports nothing of skgaussad.
"""

import io
import time
from pathlib import Path

import numpy as np
import torch
from _speed_child import serve
from _speed_peers import BACKBONE, IMAGE_SIZE, make_extractor

LAYERS = ("blocks.1", "blocks.2", "blocks.4")
BATCH_SIZE = 32
# Share of the patches that PatchCore keeps.
CORESETS = {"PatchCore 1 %": 0.01, "PatchCore 10 %": 0.1}


class StoredMaps(torch.nn.Module):
    """Stands in for the extractor: looks up the maps of images by their number.

    Parameters
    ----------
    maps : dict of {str: ndarray of shape (n_images, channels, height, width)}
    """

    def __init__(self, maps):
        super().__init__()
        self._maps = maps

    def forward(self, images):
        """Return the maps of images that `numbered` made."""
        numbers = images[:, 0, 0, 0].long().numpy()
        return {name: torch.tensor(maps[numbers]) for name, maps in self._maps.items()}


def numbered(numbers):
    """Yield batches of images of the network's size that hold a number only."""
    for start in range(0, len(numbers), BATCH_SIZE):
        some = torch.tensor(numbers[start : start + BATCH_SIZE])
        images = torch.zeros(len(some), 3, IMAGE_SIZE, IMAGE_SIZE)
        images[:, 0, 0, 0] = some
        yield images


def extract(pixels, weights, folder):
    """Write the maps of all layers of resized images, an ``.npy`` file each.

    Parameters
    ----------
    pixels : str
        Path of an array of shape (n_images, 224, 224, 3), uint8.
    weights, folder : str
    """
    images = np.load(pixels, mmap_mode="r")
    extractor = make_extractor(LAYERS, weights)
    files = {}
    for start in range(0, len(images), BATCH_SIZE):
        batch = torch.tensor(images[start : start + BATCH_SIZE]).permute(0, 3, 1, 2)
        for layer, maps in extractor((batch / 255 - 0.5) / 0.5).items():
            path = Path(folder, f"{layer}.npy")
            if layer not in files:
                shape = (len(images), *maps.shape[1:])
                files[layer] = np.lib.format.open_memmap(path, "w+", "f4", shape)
            files[layer][start : start + len(maps)] = maps.numpy()
    return {}


def make_model(method):
    """Make a model of anomalib, and the function that fits it to what it has seen."""
    from anomalib.models.image.dfm.torch_model import DFMModel
    from anomalib.models.image.padim.torch_model import PadimModel
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    options = {"backbone": BACKBONE, "pre_trained": False}
    if method == "PaDiM":
        model = PadimModel(layers=list(LAYERS), n_features=100, **options)
        return model, model.fit
    if method == "DFM":
        model = DFMModel(layer=LAYERS[-1], **options)
        return model, model.fit
    model = PatchcoreModel(layers=list(LAYERS[1:]), **options)
    return model, lambda: model.subsample_embedding(CORESETS[method])


def fit(method, folder, train, test, scores):
    """Fit a method to a fold, and score.

    Parameters
    ----------
    method : {"PaDiM", "DFM", "PatchCore 1 %", "PatchCore 10 %"}
    folder : str
        Where `extract` wrote the maps.
    train, test : list of int
    scores : str
        Path of the ``.npy`` file to write. Higher is more anomalous.
    """
    torch.manual_seed(0)
    model, finish = make_model(method)
    maps = {
        layer: np.load(Path(folder, f"{layer}.npy"), mmap_mode="r")
        for layer in model.feature_extractor.layers
    }
    model.feature_extractor = StoredMaps(maps)
    started = time.process_time()
    model.train()
    for images in numbered(train):
        model(images)
    finish()
    fitted = time.process_time()
    model.eval()
    with torch.inference_mode():
        found = [model(images).pred_score.flatten() for images in numbered(test)]
    scored = time.process_time()
    np.save(scores, torch.cat(found).numpy())
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return {
        "fit": fitted - started,
        "score": scored - fitted,
        "size": buffer.tell() / 1e6,
    }


if __name__ == "__main__":
    serve({"extract": extract, "fit": fit})
