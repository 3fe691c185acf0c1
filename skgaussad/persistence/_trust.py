"""The types that a model file may contain.

Skops accepts a trusted type in every kind of node, and calls it in some of them with
arguments from the file. Here each kind of node has its own list, so that a type that is
safe to restore is never called.
"""

import io
import json
import math
import zipfile

import numpy as np

from ._container import find_unstored

_SKGAUSSAD = frozenset(
    f"skgaussad.{name}"
    for name in (
        "detectors._augmented.AugmentedDetector",
        "_make_detector.DetectorPipeline",
        "augmentation._image_augmentation.ImageAugmentation",
        "detectors._cellwise.CellwiseMahalanobisDetector",
        "detectors._conformal.ConformalDetector",
        "calibration._held_out.HeldOutDistances",
        "calibration._monitor.ConformalMonitor",
        "calibration._tail.GeneralizedParetoTail",
        "detectors._mahalanobis.MahalanobisDetector",
        "covariance._gaussian.Gaussian",
        "covariance._moments.Moments",
        "covariance._spectrum.Spectrum",
        "detectors._variant_mahalanobis.VariantMahalanobisDetector",
        "decomposition._negated_pca.NegatedPCA",
        "detectors._level_ensemble.LevelEnsemble",
        "features._backbone.Backbone",
        "features._cache.FeatureCache",
        "features._ignored.KeptArea",
        "features._parts.Part",
        "features._pooling.Pooling",
        "features._preprocessing.Preprocessing",
        "features._transformer.DeepFeatureTransformer",
        "detectors._position.PositionDetector",
        "model_selection._split.GroupNormalKFold",
        "model_selection._split.NormalKFold",
        "model_selection._split.StratifiedNormalKFold",
        "detectors._robust.RobustDetector",
        "detectors._tiled.TiledDetector",
    )
)
# Skops trusts scikit-learn's estimators itself. These are found in their parameters.
_SKLEARN = frozenset(
    f"sklearn.{name}"
    for name in (
        "model_selection._split.GroupKFold",
        "model_selection._split.GroupShuffleSplit",
        "model_selection._split.KFold",
        "model_selection._split.LeaveOneGroupOut",
        "model_selection._split.LeaveOneOut",
        "model_selection._split.RepeatedKFold",
        "model_selection._split.ShuffleSplit",
        "utils._metadata_requests.MetadataRequest",
        "utils._metadata_requests.MethodMetadataRequest",
    )
)
# Called with strings from the file, which is harmless for these.
_CALLED = frozenset(
    [
        "torch.device",
        *(
            f"{module}.{name}"
            # The module in Python 3.13.
            for module in ("pathlib", "pathlib._local")
            for name in ("PosixPath", "WindowsPath")
        ),
    ]
)
_TYPES = frozenset(f"builtins.{name}" for name in ("bool", "float", "int", "str"))
_KEYS = frozenset(["builtins.int", "builtins.str"])

# For skops, which adds its own list of types of scikit-learn and NumPy.
TRUSTED = sorted(_SKGAUSSAD | _SKLEARN | _CALLED | {"numpy.dtype"})

# For each kind of node, the types and the prefixes of types that it may have.
_NODES = {
    "ConstructorFromReduceNode": (_CALLED, ()),
    "DTypeNode": ({"numpy.dtype"}, ()),
    "DictNode": ({"builtins.dict", "collections.OrderedDict"}, ()),
    "FunctionNode": ((), ("numpy.", "scipy.special.")),
    "JsonNode": ({"builtins.str"}, ()),
    "ListNode": ({"builtins.list"}, ()),
    "NdArrayNode": ((), ("numpy.",)),
    "ObjectNode": (_SKGAUSSAD | _SKLEARN, ("sklearn.",)),
    "RandomGeneratorNode": ((), ("numpy.random.",)),
    "RandomStateNode": ((), ("numpy.random.",)),
    "SetNode": ({"builtins.set"}, ()),
    "SliceNode": ({"builtins.slice"}, ()),
    "TupleNode": ({"builtins.tuple"}, ()),
    "TypeNode": (_TYPES, ("numpy.",)),
}
# Earlier protocols of skops have weaker checks, and no model file uses them.
_LEAST_PROTOCOL = 2


class UntrustedError(Exception):
    """An archive of skops contains something that is not trusted.

    Attributes
    ----------
    names : list of str
        Of types and functions; empty if the archive itself is the problem.
    """

    def __init__(self, message, names=()):
        super().__init__(message)
        self.names = sorted(names)


def check_trust(content):
    """Raise `UntrustedError` unless everything in an archive of skops is trusted.

    Objects must be of trusted types, and arrays no larger than their members. Nothing
    is created or imported for this check.
    """
    import skops.io

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        problem = find_unstored(archive, len(content))
        if problem is not None:
            raise UntrustedError(problem)
        for name in archive.namelist():
            if name.endswith(".npy"):
                _check_array(name, archive.read(name))
            elif name != "schema.json":
                raise UntrustedError(f"it has a member {name!r}, which is not an array")
        schema = json.loads(archive.read("schema.json"))
    protocol = schema["protocol"]
    if type(protocol) is not int or protocol < _LEAST_PROTOCOL:
        raise UntrustedError(f"it has the protocol {protocol!r} of skops")
    names = _untrusted_nodes(schema)
    names.update(skops.io.get_untrusted_types(data=content))
    names.difference_update(TRUSTED)
    if names:
        raise UntrustedError("it contains types that are not trusted", names)


def _check_array(name, content):
    """Raise unless a .npy file has as many numbers as its header declares."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise UntrustedError(f"array {name!r} has the version {version}")
    shape, _, dtype = readers[version](stream)
    declared = math.prod(shape) * dtype.itemsize
    found = len(content) - stream.tell()
    if dtype.hasobject or declared != found or min(shape, default=0) < 0:
        raise UntrustedError(
            f"array {name!r} declares the shape {shape} and type {dtype}, which does "
            f"not match its {found} bytes of numbers"
        )


def _untrusted_nodes(schema):
    """Return the names that are not allowed in their nodes."""
    untrusted = set()
    pending = [schema]
    while pending:
        item = pending.pop()
        pending.extend(
            child
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        )
        # Skops recognizes a node by this entry, the name of its kind.
        if isinstance(item, dict) and isinstance(item.get("__loader__"), str):
            untrusted.update(_untrusted_in(item))
    return untrusted


def _untrusted_in(node):
    """Return the names that are not trusted in a node, without nested nodes."""
    kind = node["__loader__"]
    name = f"{node['__module__']}.{node['__class__']}"
    names, beginnings = _NODES.get(kind, ((), ()))
    if name not in names and not name.startswith(tuple(beginnings)):
        return {f"{name} (as {kind})"}
    if kind == "DictNode":
        keys = node["key_types"]["content"]
        types = {f"{key['__module__']}.{key['__class__']}" for key in keys}
        # Keys are strings in JSON, where 1 and "1" have become one.
        if not types <= _KEYS or len(keys) != len(node["content"]):
            return {"builtins.dict with keys other than str or int"}
    return set()
