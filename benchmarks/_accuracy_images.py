"""The images of the study, and their feature maps, extracted once and kept on disk."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from skgaussad import DeepFeatureTransformer
from skgaussad.datasets import load_mvtec, load_solar_cells
from skgaussad.features import LazyImages, decode_image

N_FOLDS = 5
N_LEVELS = 9
FOLDS = {
    "random": KFold(N_FOLDS, shuffle=True, random_state=0),
    "file": KFold(N_FOLDS),
    # Of sets whose images are of known lots.
    "lots": GroupKFold(N_FOLDS),
}
GREY = 127.5


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Normal images, which folds divide, and anomalies, on which each fold is tested.

    Attributes
    ----------
    name : str
    normal, anomalous : ndarray of shape (n_images,), dtype str
        Paths, in the order of the data set.
    lots : ndarray of shape (n_normal,) or None
        Lot of each normal image, where that is known.
    """

    name: str
    normal: np.ndarray
    anomalous: np.ndarray
    lots: np.ndarray | None = None

    @property
    def orders(self):
        """The kinds of folds that the set has."""
        return [order for order in FOLDS if order != "lots" or self.lots is not None]

    @property
    def paths(self):
        """Paths of the normal images, then of the anomalies."""
        return np.concatenate([self.normal, self.anomalous])

    def only_normal(self):
        """Return the set without its anomalies."""
        return ImageSet(self.name, self.normal, self.anomalous[:0], self.lots)

    def split(self, order, number):
        """Return the positions of normal images to fit on, and of those held out."""
        folds = FOLDS[order].split(self.normal, groups=self.lots)
        return list(folds)[number]


def read_sets(folders):
    """Read the solar cells, and data sets in the layout of MVTec AD."""
    sets = []
    for cells in ("mono", "poly"):
        data = load_solar_cells(cells)
        normal, anomalous = (data.paths[data.labels == label] for label in (1, -1))
        modules = data.modules[data.labels == 1]
        sets.append(ImageSet(cells, normal, anomalous, modules))
    for folder in folders:
        train, test = (load_mvtec(folder, split=split) for split in ("train", "test"))
        normal = np.concatenate([test.paths[test.labels == 1], train.paths])
        name = Path(folder).resolve().name
        sets.append(ImageSet(name, normal, test.paths[test.labels == -1]))
    return sets


def darken(pixels, factor):
    """Multiply the values by a factor."""
    return pixels * factor


def veil(pixels, fraction):
    """Blend the image with grey."""
    return (1 - fraction) * pixels + fraction * GREY


def turn(pixels, number):
    """Rotate by quarter turns, mirrored from the fifth copy on."""
    return np.rot90(pixels[:, ::-1] if number >= 4 else pixels, number % 4)


class ChangedImages(LazyImages):
    """Images changed as a whole, in 8 bits, each time they are read."""

    def __init__(self, paths, change, *arguments):
        self._paths = paths
        self._change = change
        self._arguments = arguments

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        pixels = decode_image(self._paths, index).astype(float)
        changed = self._change(pixels, *self._arguments)
        return np.rint(np.clip(changed, 0, 255)).astype(np.uint8).squeeze()


# Options of the transformer.
NETWORKS = {
    "lite0": {},
    "standardized": {"standardize_intensity": True},
    "bfloat16": {"precision": "bfloat16"},
    "320 px": {"image_size": 320},
    "lite1": {"backbone": "tf_efficientnet_lite1"},
    "lite2": {"backbone": "tf_efficientnet_lite2"},
}
# Changes of the images, each with its arguments.
CHANGES = {
    "plain": None,
    "darkened to 85 %": (darken, 0.85),
    "darkened to 70 %": (darken, 0.7),
    "veiled by 15 %": (veil, 0.15),
    **{f"turn {number}": (turn, number) for number in range(1, 8)},
}


class FeatureMaps:
    """Feature maps of image sets, extracted at their first use and kept in files.

    Parameters
    ----------
    folder : path-like
    verbose : bool
    """

    def __init__(self, folder, verbose):
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._verbose = verbose

    def means(self, images, level):
        """Read the means of a level over positions, array of shape (n_images, c)."""
        return self._read(images, "lite0", "plain", f"mean{level}")

    def maps(self, images, level, network="lite0", change="plain"):
        """Read the maps of a level: float16, (n_images, height, width, c)."""
        return self._read(images, network, change, f"level{level}")

    def pixels(self, images):
        """Images as the network gets them: uint8, (n_images, height, width, 3)."""
        preprocessing = DeepFeatureTransformer().fit(images.paths[:1]).preprocessing_
        return np.array(
            [
                np.rint(255 * preprocessing.load(images.paths, index)).astype(np.uint8)
                for index in range(len(images.paths))
            ]
        )

    def _read(self, images, network, change, what):
        digest = hashlib.sha256("\n".join(images.paths).encode()).hexdigest()[:12]
        stem = f"{images.name}-{digest}-{network}-{change}-".replace(" ", "_")
        path = self._folder / f"{stem}{what}.npy"
        if not path.exists():
            self._extract(images.paths, network, change, self._folder / stem)
        return np.load(path, mmap_mode="r")

    def _extract(self, paths, network, change, stem):
        """Extract the levels of the study, and write them when they are complete."""
        is_main = network == "lite0" and change == "plain"
        transformer = DeepFeatureTransformer(
            levels="all" if is_main else [5, 6, 7],
            verbose=self._verbose,
            **NETWORKS[network],
        ).fit(paths[:1])
        images = paths
        if CHANGES[change]:
            images = ChangedImages(paths, *CHANGES[change])
        files = {}
        for rows, means, maps in transformer._stream_with_maps(images):
            arrays = {
                f"level{level}": found.permute(0, 2, 3, 1).half().numpy()
                for level, found in maps.items()
                if 5 <= level <= 8
            }
            if is_main:
                for level, columns in transformer.level_slices_.items():
                    arrays[f"mean{level}"] = means[:, columns]
            for name, array in arrays.items():
                if name not in files:
                    files[name] = np.lib.format.open_memmap(
                        f"{stem}{name}.part",
                        "w+",
                        array.dtype,
                        (len(images), *array.shape[1:]),
                    )
                files[name][rows] = array
        for name, file in files.items():
            file.flush()
            os.replace(f"{stem}{name}.part", f"{stem}{name}.npy")
