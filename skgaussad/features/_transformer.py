"""Deep features of images, as a scikit-learn transformer."""

import contextlib
import os
import uuid
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._utils.atomic_write import replacing
from .._utils.progress import progress_bar
from .._utils.validation import check_choice
from ._cache import resolve_cache
from ._ignored import KeptArea, read_mask
from ._input import as_image_sequence, check_items
from ._parts import level_slices, list_parts, list_possible_parts
from ._pooling import resolve_pooling
from ._preprocessing import Preprocessing
from ._range import warn_of_dark_images
from ._tags import ImageInputMixin

# torch and timm are imported in the methods that need them: importing the package must
# stay quick, and detectors work without them.


class DeepFeatureTransformer(ImageInputMixin, TransformerMixin, BaseEstimator):
    """Turn images into pooled features of a pretrained network.

    Each image is resized whole to the network's input and passed through the network up
    to the deepest level asked for. The feature map of each level is pooled to a vector,
    and the vectors are concatenated to one row per image. Nothing is learned from the
    images: `fit` loads the network.

    Parameters
    ----------
    backbone : str, default="tf_efficientnet_lite0"
        Name of a timm model, with or without its weights' tag.

    levels : int, list of int, "all" or "auto", default="auto"
        Which levels to take, counted from 1 as in [1]_; negative numbers count from
        the deepest. EfficientNets (with timm's other networks of that class, such as
        MobileNetV2) have the stem, the stages and the head before its pooling: 1 to 9
        for EfficientNet-B0. ResNets have the stem after its max-pooling and four
        stages: 1 to 5. Other networks have the levels that timm lists as their
        features: one per stage for convolutional networks (some count the stem, too),
        one per block for vision transformers.

        ``"auto"`` takes what [1]_ found best: level 7 of EfficientNet's 9 (tables I
        and II), 4 of ResNet's 5 (table VII). For other networks, by analogy: the last
        level but one, or, with more than six levels, the one three quarters of the way
        up.

        Where `pooling` has grids only, ``"auto"`` takes the deepest level of stride 16,
        whose positions are 16 pixels of the input apart: level 6 of EfficientNet's 9,
        4 of ResNet's 5, the last but one of ConvNeXt, RegNet and MobileNetV3. Strides
        are rounded to powers of two; where none is 16, the nearest is taken, of two
        equally near the coarser. Where all levels have one stride, as in vision
        transformers, the level is the one without grids, which no measurement supports.

    pooling : {"average", "max", "std", "class_token"}, int or list of these, \
            default="average"
        How a feature map becomes a vector: the mean over its positions (as in [1]_),
        the maximum, the standard deviation, a transformer's class token, or for an
        integer g the means over each cell of a g x g grid. Where g does not divide the
        side of the map, neighbouring cells overlap by one position. Several are
        concatenated in the order given.

    weights : {"auto"}, path or None, default="auto"
        ``"auto"`` takes ImageNet weights: those of ``tf_efficientnet_lite0``, ``1`` and
        ``2`` from the installed weight packages, otherwise timm's, which it downloads
        on first use. A path to a ``.pth`` (read with ``weights_only=True``) or
        ``.safetensors`` file of the same timm model. None for random weights.

    image_size : int, tuple of (int, int) or None, default=None
        Side, or height and width, of the network's input in pixels. None takes the
        network's own.

    interpolation : {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"} \
            or None, default=None
        Filter for resizing. None takes the network's own.

    crop_pct : float or None, default=None
        None uses the whole image. A number in (0, 1] keeps the aspect ratio and takes a
        centre crop of that fraction of the shorter side, which loses the border.

    ignore : tuple of float, list of tuple, path, PIL image, ndarray or None, \
            default=None
        Regions to leave out, the same in all images, such as a fixture or a time stamp:
        a rectangle (top, left, bottom, right) with each value in [0, 1] as a fraction
        of the height or width of what the network sees (the whole image unless
        `crop_pct` is set), a list of rectangles, or a mask, which is nonzero in the
        regions: an image, or an array of shape (height, width). A mask is
        stretched to the images; with `crop_pct` it is cropped like an image of its
        size, and must have their aspect ratio. One that ignores nothing or everything
        is an error. A PIL image is pickled and saved as an array. See Notes.

    mean, std : float, tuple of (float, float, float) or None, default=None
        Normalization of the colour values in [0, 1]. None takes the network's own.

    standardize_intensity : bool, default=False
        Whether to give each image the same brightness and contrast before the
        normalization: the values of its pixels in the network's input, of all channels
        together, minus their mean, over their standard deviation, times 0.2, plus 0.5,
        cut to [0, 1]. For lighting or exposure that differs between normal images. A
        defect that is a change of the brightness or contrast of the whole image becomes
        invisible, and one that covers much of it changes the rest, too.
        :func:`~skgaussad.make_detector` sets it for its cells: their AUROC rose by 0.2
        to 1.8 points on solar cells and fell by 0.1 to 0.3 on cookies, and images
        darkened to 85 % or veiled by 15 % of grey as a whole passed for normal with and
        without it (``benchmarks/accuracy.py``).

        Pixels that `ignore` touches do not count in mean and deviation. The deviation
        is taken as at least one grey level of 8 bits, so that the noise of an almost
        flat image stays small. The tiles of :class:`~skgaussad.TiledDetector` take mean
        and deviation of their whole image, in its own size.

    max_value : int or None, default=None
        The value of white in images of 16-bit integers, from 1 to 65535, such as 1023
        for a camera of 10 bits and 4095 for one of 12 whose values are stored as they
        are; None is 65535. A larger value in an image is an error. Images of 8 bits and
        floats have their own range, and so do files that state one: PGM, JPEG 2000 and
        TIFF files of 12 bits. Files with colours of 16 bits, of which Pillow reads the
        upper 8, are an error with it: pass arrays.

    reduce_jpeg : bool, default=False
        Whether to decode JPEG files at a half, a quarter or an eighth of their size:
        the smallest of these at which no side is shorter than twice the longer side of
        the network's input. Files of 4,000 x 3,000 pixels are decoded and resized about
        four times as fast at an input of 224. The pixels differ a little from those of
        the whole file, so it is part of the fitted state, and the same image gets other
        features as an array or PIL image, which are never reduced.

    device : str or torch.device, default="auto"
        Where the network runs; ``"auto"`` takes CUDA if available, then MPS, then the
        CPU. Not part of the fitted state: a pipeline fitted on CUDA can score on the
        CPU.

    precision : {"float32", "bfloat16", "float16"}, default="float32"
        Number format of the network's computations; ``"float16"`` on CUDA only. Part of
        the fitted state, because features of different precisions differ.

    batch_size : int or "auto", default="auto"
        Images per pass. ``"auto"`` is 4 on the CPU, where the feature maps of larger
        batches exceed the processor's cache, and 64 on a GPU. A GPU that runs out of
        memory gets half as many, with a warning. On the CPU, as many batches run at
        once as torch has threads (``torch.set_num_threads``).

    num_workers : int or "auto", default="auto"
        Threads that decode and resize images ahead of the network; with 0, the threads
        of the network do it. ``"auto"`` is 0 on the CPU, and one for each core, but at
        most 8, for a GPU. More help if files are read slowly, as over a network.

    engine : {"auto", "torch", "openvino"}, default="auto"
        What computes the network. ``"auto"`` takes OpenVINO on the CPU if it is
        installed (``pip install "skgaussad[fast]"``), and torch otherwise and on GPUs.
        OpenVINO is about twice as fast, and its features are those of torch to 1e-5 in
        float32; in bfloat16 they differ by up to about 1 %, and features of a fit and
        of another engine are warned of. A network that it cannot run is run by torch,
        with a warning.

    torch_compile : bool, default=False
        Whether to compile the network with :func:`torch.compile`, which takes about a
        minute at the first call in each process and needs a C++ compiler. Worthwhile
        for many thousands of images on a GPU.

    cache : path, FeatureCache or None, default=None
        Folder in which to store the features of each image, so that it goes through the
        network once, whatever the folds, candidates of a search, runs and processes
        that need them: see :class:`~skgaussad.features.FeatureCache`. That pass stores
        the features of all levels if `cache` was set at `fit`, and of those in `levels`
        if it was set later.

    memmap_folder : path or None, default=None
        Folder for features that are too large for memory: each call of `transform`
        writes them to a new ``.npy`` file there and returns it as a
        :class:`numpy.memmap`, whose ``filename`` is its path. The files are not
        deleted automatically.

    random_state : int, RandomState instance or None, default=0
        Seed of the random weights of ``weights=None``. With other weights it has no
        effect, and a value other than 0 or None is an error.

    store_weights : bool, default=True
        Whether the weights are stored with the fitted transformer: in pickles, and so
        in joblib files and in what is sent to other processes, and in the model files
        of :func:`skgaussad.save`. If False these hold the SHA-256 of the weights only.
        Once loaded, the first `transform` then reads the weights again from where
        `backbone` and `weights` say (a path must still exist), and raises an error if
        their SHA-256 differs from that of the fit.

    verbose : bool or int, default=False
        Whether to show a progress bar on standard error.

    Attributes
    ----------
    levels_ : tuple of int
        The levels taken, in rising order.

    n_levels_ : int
        Number of levels of the whole network.

    level_slices_ : dict of {int: slice}
        The columns of each level in the output.

    preprocessing_ : Preprocessing
        Input size, interpolation, crop, normalization, whether intensities are
        standardized, and the value of white of images of uint16.

    precision_ : str
        Number format in use.

    engine_ : {"torch", "openvino"}
        What computed the network at `fit`. `transform` goes by `engine`.

    weights_source_ : str
        Where the weights were found.

    weights_sha256_ : str
        SHA-256 of the names, shapes and values of the weights of the whole network
        without its classifier.

    See Also
    --------
    skgaussad.MahalanobisDetector : Detects anomalies in the features.

    Notes
    -----
    Images are paths, PIL images, or arrays of shape (H, W), (H, W, 1), (H, W, 3) or
    (H, W, 4) and type uint8, uint16 or float in [0, 1], with colours in the order red,
    green, blue. A list may mix kinds and sizes;
    an array of shape (n, H, W) or (n, H, W, C) holds n of them. Grey is repeated
    to three channels, the alpha channel is dropped, and the EXIF orientation is
    honoured. An image that cannot be used raises
    :class:`~skgaussad.exceptions.InvalidImageError`, which names it.

    The output is float32 with one column per level, grid cell and channel, in that
    order; :meth:`get_feature_names_out` names them ``level7_0012`` for the average,
    ``level7_max_0012`` for other poolings, and ``level7_grid2_r0c1_0012`` for row 0,
    column 1 of a 2 x 2 grid. Images have no number of features, so there is no
    ``n_features_in_``.

    Regions in `ignore` have no influence on the features. Pixels of the network's input
    that they touch are set to the colour `mean`, so that no convolution or attention
    carries their content elsewhere; only the filter of the resizing carries it over the
    edge, by two pixels of the image or of the input, whichever are larger (three with
    ``"lanczos"``). In the pooling, each position of a feature map is weighted by the
    fraction of its area that is not ignored: in means (of the whole map or of a cell)
    and standard deviations; a maximum is taken over the positions of which at least
    half is left. The features of a cell that is ignored entirely are zero.

    The features of an image depend on the other images of its batch by rounding error
    only (about 1e-6 of a feature). The same images in the same batches give
    bit-identical features.

    References
    ----------
    .. [1] O. Rippel, P. Mertens and D. Merhof, "Modeling the Distribution of Normal
       Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skgaussad import DeepFeatureTransformer
    >>> X = np.random.default_rng(0).integers(0, 256, (4, 50, 60, 3), dtype=np.uint8)
    >>> transformer = DeepFeatureTransformer(levels=[6, 7]).fit(X)
    >>> transformer.transform(X).shape
    (4, 304)
    >>> transformer.level_slices_
    {6: slice(0, 112, None), 7: slice(112, 304, None)}
    >>> transformer.get_feature_names_out()[:2]
    array(['level6_0000', 'level6_0001'], dtype=object)
    """

    def __init__(
        self,
        backbone="tf_efficientnet_lite0",
        *,
        levels="auto",
        pooling="average",
        weights="auto",
        image_size=None,
        interpolation=None,
        crop_pct=None,
        ignore=None,
        mean=None,
        std=None,
        standardize_intensity=False,
        max_value=None,
        reduce_jpeg=False,
        device="auto",
        precision="float32",
        batch_size="auto",
        num_workers="auto",
        engine="auto",
        torch_compile=False,
        cache=None,
        memmap_folder=None,
        random_state=0,
        store_weights=True,
        verbose=False,
    ):
        self.backbone = backbone
        self.levels = levels
        self.pooling = pooling
        self.weights = weights
        self.image_size = image_size
        self.interpolation = interpolation
        self.crop_pct = crop_pct
        self.ignore = ignore
        self.mean = mean
        self.std = std
        self.standardize_intensity = standardize_intensity
        self.max_value = max_value
        self.reduce_jpeg = reduce_jpeg
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.engine = engine
        self.torch_compile = torch_compile
        self.cache = cache
        self.memmap_folder = memmap_folder
        self.random_state = random_state
        self.store_weights = store_weights
        self.verbose = verbose

    def fit(self, X, y=None):
        """Load the network, and check the images.

        Parameters
        ----------
        X : sequence of n_images images
            Paths, PIL images or arrays; see the notes above. They are decoded only
            until one is found that is not dark.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : DeepFeatureTransformer

        Raises
        ------
        ValueError
            If a parameter is out of its range or has no effect with the others, or an
            item of `X` is not an image or an image file that does not exist.
        OSError
            If the weights are not available.

        Warns
        -----
        DarkImagesWarning
            If no pixel, of 256 images at most, passes a sixteenth of white.
        UserWarning
            If a mask given as `ignore` leaves less than a third of the images, as if it
            were inverted, or has another aspect ratio than the first image and the
            network's input.
        """
        from ._backbone import Backbone
        from ._device import resolve_batch_size, resolve_device, resolve_num_workers
        from ._engine import resolve_engine
        from ._extraction import PRECISIONS

        check_choice("precision", self.precision, PRECISIONS)
        poolings = resolve_pooling(self.pooling)
        device = resolve_device(self.device, self.precision)
        resolve_batch_size(self.batch_size, device)
        resolve_num_workers(self.num_workers, device)
        resolve_engine(self.engine, device, self.torch_compile)
        self._check_call()
        seed = self._resolve_seed()
        images = as_image_sequence(X)
        check_items(images)

        backbone = Backbone(
            self.backbone,
            self.levels,
            self.weights,
            Preprocessing.resolve_size(self.image_size),
            seed,
            bool(self.store_weights),
            for_grids=all(pooling.kind == "grid" for pooling in poolings),
            whole=self.cache is not None,
        )
        preprocessing = Preprocessing.resolve(
            backbone.data_config,
            image_size=self.image_size,
            interpolation=self.interpolation,
            crop_pct=self.crop_pct,
            mean=self.mean,
            std=self.std,
            standardize_intensity=self.standardize_intensity,
            max_value=self.max_value,
            reduce_jpeg=self.reduce_jpeg,
        )
        kept_area = KeptArea.resolve(self.ignore, preprocessing, images)
        parts = list_parts(backbone.levels, poolings, backbone.shapes, kept_area)

        self._backbone = backbone
        self._poolings = poolings
        self._parts = parts
        self._kept_area = kept_area
        self.levels_ = backbone.levels
        self.n_levels_ = backbone.n_levels
        self.level_slices_ = level_slices(parts)
        self.preprocessing_ = preprocessing
        self.precision_ = self.precision
        self.weights_source_ = backbone.weights_source
        self.weights_sha256_ = backbone.weights_sha256
        self.engine_ = self._choose_engine(device)
        warn_of_dark_images(images, preprocessing.max_value)
        return self

    def _resolve_seed(self):
        """Return the seed of random weights, or raise if there are none to seed."""
        if self.weights is None:
            return check_random_state(self.random_state).randint(2**31)
        if self.random_state not in (0, None):
            raise ValueError(
                f"random_state={self.random_state!r} has no effect with weights="
                f"{self.weights!r}: it is the seed of random weights. Leave "
                "random_state out, or set weights=None."
            )
        return 0

    def _check_call(self):
        """Check the parameters that are read at each call; return the cache."""
        if self.memmap_folder is not None and not isinstance(
            self.memmap_folder, str | os.PathLike
        ):
            raise ValueError(
                "memmap_folder must be a path, or None to return features in memory; "
                f"got {self.memmap_folder!r}."
            )
        return resolve_cache(self.cache)

    def transform(self, X):
        """Compute the features of images.

        Parameters
        ----------
        X : sequence of n_images images
            Paths, PIL images or arrays; see the notes above.

        Returns
        -------
        features : ndarray of shape (n_images, n_features), or data frame
            Float32. A data frame where :meth:`set_output` asks for one.

        Raises
        ------
        InvalidImageError
            If an image cannot be used; names its position and path.
        ValueError
            If the weights were not stored and those found now are others.
        """
        check_is_fitted(self)
        images = as_image_sequence(X)
        shape = (len(images), sum(part.width for part in self._parts))
        if self.memmap_folder is None:
            features = np.empty(shape, dtype=np.float32)
            self._fill(features, images)
            return features
        path = Path(self.memmap_folder, f"features-{uuid.uuid4().hex}.npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            features = np.lib.format.open_memmap(
                temporary, mode="w+", dtype=np.float32, shape=shape
            )
            try:
                _reserve(temporary)
                self._fill(features, images)
                features.flush()
            finally:
                # Windows renames and deletes no file that is mapped.
                features = None
        return np.lib.format.open_memmap(path, mode="r+")

    def _fill(self, features, images):
        """Compute the features of images into a matrix."""
        stream = self._stream(images, self._check_call())
        with (
            progress_bar("features", self.verbose, total=len(images)) as bar,
            contextlib.closing(stream),
        ):
            for rows, some_features in stream:
                features[rows] = some_features
                bar.update(len(rows))

    def _stream_with_maps(self, images):
        """Yield what ``Extractor.stream(images, ..., with_maps=True)`` does."""
        self._check_call()
        return self._stream(images, None, with_maps=True)

    def _position_weights(self):
        """Fraction of each position that is not ignored, of the maps of all levels."""
        weights = {}
        for level in self.levels_:
            _, height, width, _ = self._backbone.shapes[level]
            weights[level] = (
                np.ones((height, width))
                if self._kept_area is None
                else self._kept_area.fractions(height, width)
            )
        return weights

    def _stream(self, images, cache, **options):
        """Stream features, and with ``with_maps=True`` feature maps, of images."""
        from ._device import resolve_batch_size, resolve_device, resolve_num_workers

        preprocessing = self.preprocessing_
        if getattr(images, "is_standardized", False):
            preprocessing = replace(preprocessing, standardize_intensity=False)
        device = resolve_device(self.device, self.precision_)
        return self._make_extraction(preprocessing, device, cache).stream(
            images,
            range(len(images)),
            batch_size=resolve_batch_size(self.batch_size, device),
            num_workers=resolve_num_workers(self.num_workers, device),
            **options,
        )

    def _computed_parts(self, cache):
        """Return the parts to compute: with a cache all that it can hold."""
        if cache is None:
            return self._parts
        return list_possible_parts(
            self._poolings, self._backbone.shapes, self._kept_area
        )

    def _choose_engine(self, device):
        """Return the engine that can run the network, with a warning if it changes."""
        parts = self._computed_parts(self.cache)
        network, problem = self._open_network(device, parts)
        if problem is not None:
            warnings.warn(
                f"OpenVINO cannot run {self.backbone!r} ({problem}), so torch does, "
                "more slowly. Set engine='torch' to silence this.",
                UserWarning,
                stacklevel=3,
            )
        return "torch" if network is None else "openvino"

    def _open_network(self, device, parts):
        """Return what runs the network in the place of torch, and why nothing can.

        Both are None where torch is to run it.
        """
        from ._engine import resolve_engine

        engine = resolve_engine(self.engine, device, self.torch_compile)
        if engine == "torch":
            return None, None
        from ._openvino import UnsupportedNetworkError, open_network

        levels = tuple(sorted({part.level for part in parts}))
        size = self.preprocessing_.image_size
        try:
            network = open_network(self._backbone, levels, size, self.precision_)
        except UnsupportedNetworkError as error:
            return None, error
        return network, None

    def _make_extraction(self, preprocessing, device, cache):
        """Make an `Extractor`, or a `CachedExtraction` if there is a cache."""
        from ._cached_extraction import CachedExtraction
        from ._extraction import Extractor
        from ._recipe import make_recipe

        parts = self._computed_parts(cache)
        # If there is a problem, `fit` has said so.
        network, _ = self._open_network(device, parts)
        self._check_engine("torch" if network is None else "openvino")

        def extractor():
            # Its constants take as long as the network for one image.
            return self._backbone.kept(
                Extractor,
                parts,
                preprocessing,
                device,
                self.precision_,
                self.torch_compile,
                self._kept_area,
                network,
            )

        if cache is None:
            return extractor()
        recipes = [
            make_recipe(
                part,
                self._backbone,
                preprocessing,
                device,
                self.precision_,
                self._kept_area,
                network,
            )
            for part in parts
        ]
        return CachedExtraction(
            cache, parts, recipes, self._parts, extractor, preprocessing
        )

    def _check_engine(self, engine):
        """Warn where features are rounded otherwise than those of the fit."""
        # Of earlier versions, which had torch only.
        fitted = getattr(self, "engine_", "torch")
        if self.precision_ == "float32" or engine == fitted:
            return
        warnings.warn(
            f"The network was run by {fitted} at the fit and is now by {engine}, which "
            f"round otherwise in {self.precision_}: features differ by up to 1 %, and "
            "distances with them. Use the same engine"
            + (
                ': pip install "skgaussad[fast]", or fit again.'
                if fitted == "openvino"
                else ", engine='torch', or fit again."
            ),
            UserWarning,
            stacklevel=2,
        )

    def get_feature_names_out(self, input_features=None):
        """Names of the output columns, such as ``level7_0012``.

        Parameters
        ----------
        input_features : Ignored
            Present for API consistency: images have no feature names.

        Returns
        -------
        names : ndarray of shape (n_features,), dtype object
        """
        check_is_fitted(self)
        names = [name for part in self._parts for name in part.names]
        return np.array(names, dtype=object)

    def __getstate__(self):
        state = dict(super().__getstate__())
        if isinstance(state["ignore"], Image.Image):
            # Model files hold arrays, and no objects of Pillow.
            state["ignore"] = read_mask(state["ignore"])
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _reserve(path):
    """Allocate the disk space of a sparse file, or raise OSError if the disk is full.

    Writing to a memory map of a sparse file on a full disk would kill the process.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
