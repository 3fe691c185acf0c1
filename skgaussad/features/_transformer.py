"""Deep features of images, as a scikit-learn transformer."""

import contextlib
import os
import uuid
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._utils.progress import progress_bar
from .._utils.validation import check_choice
from ._cache import resolve_cache
from ._ignored import KeptArea
from ._input import as_image_sequence, check_items
from ._parts import level_slices, list_parts, list_possible_parts
from ._pooling import resolve_pooling
from ._preprocessing import Preprocessing
from ._tags import ImageInputMixin

# torch and timm are imported in the methods that need them: importing the package must
# stay quick, and detectors work without them.


class DeepFeatureTransformer(ImageInputMixin, TransformerMixin, BaseEstimator):
    """Turn images into pooled features of a pretrained network.

    Each image is resized whole to the network's input and sent through the network up
    to the deepest level asked for. The feature map of each level is pooled to a vector,
    and the vectors are joined to one row an image. Nothing is learned from the images:
    `fit` loads the network.

    Parameters
    ----------
    backbone : str, default="tf_efficientnet_lite0"
        Name of a timm model, with or without its weights' tag.

    levels : int, list of int, "all" or "auto", default="auto"
        Which levels to take, counted from 1 as in [1]_; negative numbers count from
        the deepest. EfficientNets (with timm's other networks of that class, such as
        MobileNetV2) have the stem, the stages and the head before its pooling: 1 to 9
        for EfficientNet-B0. ResNets have the stem after its max-pooling and four
        stages: 1 to 5. Other networks have what timm lists as their features: a level
        a stage for convolutional networks (some count the stem too), a level a block
        for vision transformers.

        ``"auto"`` takes what [1]_ found best: level 7 of EfficientNet's 9 (tables I
        and II), 4 of ResNet's 5 (table VII). For other networks it carries the rule
        over: the last level but one, or the block three quarters of the way up.

    pooling : {"average", "max", "std", "class_token"}, int or list of these, \
            default="average"
        How a feature map becomes a vector: the mean over its positions (as in [1]_),
        the maximum, the standard deviation, a transformer's class token, or for an
        integer g the means over each cell of a g x g grid. Cells of a map that g does
        not divide overlap by a position. Several are joined in the order given.

    weights : {"auto"}, path or None, default="auto"
        ``"auto"`` takes ImageNet weights: for ``tf_efficientnet_lite0``, ``1`` and
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
        centre crop of that share of the shorter side, which loses the border.

    ignore : tuple of float, list of tuple, path, PIL image, ndarray or None, \
            default=None
        Parts of the images that are not looked at, the same in all images, such as a
        fixture or a time stamp: a rectangle (top, left, bottom, right), each in [0, 1]
        as a share of the height or width of what the network sees (the whole image
        unless `crop_pct` is set), a list of rectangles, or a mask that is not zero
        there: a picture, or an array of shape (height, width). A mask is
        stretched to the images; with `crop_pct` it is cropped as an image of its size,
        so its sides must have the ratio of theirs. See Notes.

    mean, std : float, tuple of (float, float, float) or None, default=None
        Normalization of the colour values in [0, 1]. None takes the network's own.

    device : str or torch.device, default="auto"
        Where the network runs; ``"auto"`` takes CUDA where present, then MPS, then the
        CPU. Read at each call, so a pipeline fitted on CUDA scores on the CPU.

    precision : {"float32", "bfloat16", "float16"}, default="float32"
        Number format of the network's computations; ``"float16"`` on CUDA only. Part of
        the fitted state, as features of different precisions differ.

    batch_size : int or "auto", default="auto"
        Images a pass. ``"auto"`` is 4 on the CPU, where larger batches are slower
        because their feature maps leave the cache, and 64 on a GPU. A GPU that runs
        out of memory gets half as many, with a warning. On the CPU, as many batches
        are on their way at once as torch has threads (``torch.set_num_threads``).

    num_workers : int or "auto", default="auto"
        Threads that decode and resize images ahead of the network; with 0, the threads
        of the network do it. ``"auto"`` is 0 on the CPU, and one for each core, but at
        most 8, for a GPU. More help where files come slowly, as over a network.

    torch_compile : bool, default=False
        Whether to have ``torch.compile`` generate code for the network, which takes
        a minute or so at the first call in each process and needs a C++ compiler. Pays
        for many thousands of images on a GPU.

    cache : path, FeatureCache or None, default=None
        Folder in which to keep the features of each image, so that it goes through the
        network once, whatever the folds, candidates of a search, runs and processes
        that need them: see :class:`FeatureCache`. That one pass is through the whole
        network, and serves all of its levels. Read at each call, and to be given at
        `fit` to keep other levels than those asked for.

    memmap_folder : path or None, default=None
        Folder for features that are too large for memory: each call of `transform`
        writes them to a new ``.npy`` file there, and returns that as a
        :class:`numpy.memmap`, whose ``filename`` tells where it is. The files are
        yours to delete.

    random_state : int, RandomState instance or None, default=0
        Seed of the random weights where ``weights=None``.

    store_weights : bool, default=True
        Whether pickles (joblib files, processes) carry the weights. If False the
        weights are read again where the pickle is loaded, and must have the same
        SHA-256.

    verbose : bool or int, default=False
        Whether to show a progress bar on standard error.

    Attributes
    ----------
    levels_ : tuple of int
        The levels taken, in rising order.

    n_levels_ : int
        Number of levels of the whole network.

    level_slices_ : dict of {int: slice}
        The columns of the output that belong to each level.

    preprocessing_ : Preprocessing
        Input size, interpolation, crop and normalization in use.

    precision_ : str
        Number format in use.

    weights_source_ : str
        Where the weights came from.

    weights_sha256_ : str
        SHA-256 over the names, shapes and values of the weights of the network, its
        classifier left out.

    See Also
    --------
    skgaussad.MahalanobisDetector : Detects anomalies in the features.

    Notes
    -----
    Images are paths, PIL images, or arrays of shape (H, W), (H, W, 1), (H, W, 3) or
    (H, W, 4) and type uint8, uint16 or float in [0, 1]. A list may mix kinds and sizes;
    an array of shape (n, H, W) or (n, H, W, C) holds n of them. Grey is repeated
    to three channels, the alpha channel is dropped, and the EXIF orientation is
    honoured. An image that cannot be used raises
    :class:`~skgaussad.exceptions.InvalidImageError`, which names it.

    The output has the type float32 and a column a level, grid cell and channel, in
    that order; :meth:`get_feature_names_out` names them ``level7_0012`` for the
    average, ``level7_max_0012`` for other poolings, and ``level7_grid2_r0c1_0012`` for
    row 0, column 1 of a 2 x 2 grid. The number of features of an image is not defined,
    so there is no ``n_features_in_``.

    What `ignore` covers is not seen and has no weight. Pixels of the network's input
    that it touches get the colour `mean`, so that what it covers reaches neither the
    positions beside it nor a class token; only the filter of the resizing carries it
    over the edge, by two pixels of the image or of the input, whichever are larger
    (three with ``"lanczos"``). In the pooling, a position of a feature map has the
    share of its area that is not covered as its weight in means (of the whole map or of
    a cell) and standard deviations, and a maximum is taken over the positions of which
    at least half is left. A cell with nothing left is an error.

    The rows of a batch depend on its other images by rounding error only (about 1e-6 of
    a feature). The same images in the same batches give the same bits.

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
        device="auto",
        precision="float32",
        batch_size="auto",
        num_workers="auto",
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
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.torch_compile = torch_compile
        self.cache = cache
        self.memmap_folder = memmap_folder
        self.random_state = random_state
        self.store_weights = store_weights
        self.verbose = verbose

    def fit(self, X, y=None):
        """Load the network and check that the images are there.

        Parameters
        ----------
        X : sequence of n_images images
            Paths, PIL images or arrays; see the notes above. They are not decoded.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : DeepFeatureTransformer

        Raises
        ------
        ValueError
            If a parameter is out of its range, or an item of `X` is no image or an
            image file that is not there.
        OSError
            If the weights cannot be had.
        """
        from ._backbone import Backbone
        from ._device import resolve_batch_size, resolve_device, resolve_num_workers
        from ._extraction import PRECISIONS

        check_choice("precision", self.precision, PRECISIONS)
        poolings = resolve_pooling(self.pooling)
        device = resolve_device(self.device, self.precision)
        resolve_batch_size(self.batch_size, device)
        resolve_num_workers(self.num_workers, device)
        self._check_call()
        check_items(as_image_sequence(X))

        backbone = Backbone(
            self.backbone,
            self.levels,
            self.weights,
            Preprocessing.resolve_size(self.image_size),
            check_random_state(self.random_state).randint(2**31),
            bool(self.store_weights),
            whole=self.cache is not None,
        )
        preprocessing = Preprocessing.resolve(
            backbone.data_config,
            image_size=self.image_size,
            interpolation=self.interpolation,
            crop_pct=self.crop_pct,
            mean=self.mean,
            std=self.std,
        )
        kept_area = KeptArea.resolve(self.ignore, preprocessing)
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
        return self

    def _check_call(self):
        """Judge the parameters that are read at each call; return the cache."""
        if self.memmap_folder is not None and not isinstance(
            self.memmap_folder, str | os.PathLike
        ):
            raise ValueError(
                "memmap_folder must be a path, or None to keep features in memory; "
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
        """
        check_is_fitted(self)
        cache = self._check_call()
        images = as_image_sequence(X)
        stream = self._stream(images, cache)
        with (
            self._make_matrix(len(images)) as features,
            progress_bar("features", self.verbose, total=len(images)) as bar,
            contextlib.closing(stream),
        ):
            for rows, some_features in stream:
                features[rows] = some_features
                bar.update(len(rows))
        return features

    def _stream_with_maps(self, images):
        """Yield the rows, features and feature maps of images, a batch at a time.

        Parameters
        ----------
        images : sequence of images

        Returns
        -------
        stream : iterator
            As of ``Extractor.stream(..., with_maps=True)``.
        """
        self._check_call()
        return self._stream(images, None, with_maps=True)

    def _position_weights(self):
        """Share of each position of the feature maps that is not ignored, by level.

        Returns
        -------
        weights : dict of {int: ndarray of shape (height, width)}
        """
        weights = {}
        for level in self.levels_:
            _, height, width, _ = self._backbone.shapes[level]
            weights[level] = (
                np.ones((height, width))
                if self._kept_area is None
                else self._kept_area.shares(height, width)
            )
        return weights

    def _stream(self, images, cache, **options):
        """Start to compute what `transform` and `_stream_with_maps` yield or gather."""
        from ._device import resolve_batch_size, resolve_device, resolve_num_workers

        device = resolve_device(self.device, self.precision_)
        return self._make_extraction(device, cache).stream(
            images,
            range(len(images)),
            batch_size=resolve_batch_size(self.batch_size, device),
            num_workers=resolve_num_workers(self.num_workers, device),
            **options,
        )

    def _make_extraction(self, device, cache):
        """Make what turns images into features, by way of the cache where there is one.

        Parameters
        ----------
        device : torch.device
        cache : FeatureCache or None

        Returns
        -------
        extraction : Extractor or CachedExtraction
        """
        from ._cached_extraction import CachedExtraction
        from ._extraction import Extractor
        from ._recipe import Recipe

        def extractor(parts):
            return Extractor(
                self._backbone,
                parts,
                self.preprocessing_,
                device,
                self.precision_,
                self.torch_compile,
                self._kept_area,
            )

        if cache is None:
            return extractor(self._parts)
        parts = list_possible_parts(
            self._poolings, self._backbone.shapes, self._kept_area
        )
        recipes = [
            Recipe.of(
                part,
                self._backbone,
                self.preprocessing_,
                device,
                self.precision_,
                self._kept_area,
            )
            for part in parts
        ]
        return CachedExtraction(
            cache,
            parts,
            recipes,
            self._parts,
            lambda: extractor(parts),
            self.preprocessing_,
        )

    @contextlib.contextmanager
    def _make_matrix(self, n_images):
        """Make the matrix of features, and leave no file if filling it fails."""
        shape = (n_images, sum(part.width for part in self._parts))
        if self.memmap_folder is None:
            yield np.empty(shape, dtype=np.float32)
            return
        path = Path(self.memmap_folder, f"features-{uuid.uuid4().hex}.npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            features = np.lib.format.open_memmap(
                path, mode="w+", dtype=np.float32, shape=shape
            )
            _reserve(path)
            yield features
            features.flush()
        except BaseException:
            # Windows deletes no file that is mapped.
            features = None
            path.unlink(missing_ok=True)
            raise

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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _reserve(path):
    """Have the disk set aside what a file takes, or raise OSError if it is full.

    The file is sparse until then, and writing to a memory map of it on a full disk ends
    the process.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
