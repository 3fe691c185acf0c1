"""Reading the archives of skops: checked as a whole, then made, in proportion to them.

Skops writes them. To read them it would take some kilobytes for each node of tens of
bytes, read an array as often as it is named, follow shared nodes on every way to them,
and import what the file names. Here each kind of node has its own list of what it may
name, and nothing is imported by a name that is not on a list.
"""

import importlib
import io
import json
import math
import pathlib
import zipfile
from collections import OrderedDict

import numpy as np

from ._classes import CLASSES, FUNCTIONS, import_class
from ._container import find_unstored

_SCHEMA = "schema.json"
# Others may have other nodes of the same names.
_PROTOCOL = 2
# Levels of nodes in each other; a tiled detector of pipelines has about 30.
_MAX_DEPTH = 100
# Sides of arrays that are empty.
_MAX_EMPTY = 2**20
_KINDS = "biufcUS"
_KEYS = {"builtins.int": int, "builtins.str": str}
_DICTS = {"builtins.dict": dict, "collections.OrderedDict": OrderedDict}
_RANDOM_STATE = "numpy.random.mtrand.RandomState"
_PATHS = {
    f"{module}.{name}": name
    # The module in Python 3.13.
    for module in ("pathlib", "pathlib._local")
    for name in ("PosixPath", "WindowsPath")
}


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


class Schema:
    """An archive of skops, whose nodes and arrays are all of listed kinds.

    Parameters
    ----------
    content : bytes

    Raises
    ------
    UntrustedError
        If a node names what is not on a list for it, an array has not the size that it
        declares, or objects in each other are too deep or not written out. Nothing is
        made or imported for this check.
    """

    def __init__(self, content):
        self._archive = zipfile.ZipFile(io.BytesIO(content))
        problem = find_unstored(self._archive, len(content))
        if problem is not None:
            raise UntrustedError(problem)
        for name in self._archive.namelist():
            if not name.endswith(".npy") and name != _SCHEMA:
                raise UntrustedError(f"it has a member {name!r}, which is not an array")
        self._root = json.loads(self._archive.read(_SCHEMA))
        protocol = self._root["protocol"]
        if type(protocol) is not int or protocol != _PROTOCOL:
            raise UntrustedError(
                f"it has the protocol {protocol!r} of skops, and not {_PROTOCOL}"
            )
        self._untrusted = set()
        self._described = {}
        self._headers = {}
        self._check(self._root, _MAX_DEPTH)
        if self._untrusted:
            raise UntrustedError(
                "it contains types that are not trusted", self._untrusted
            )

    # -- Check -------------------------------------------------------------------------

    def _check(self, node, depth):
        """Check a node and those in it, and return how many they are."""
        if depth == 0:
            raise UntrustedError(f"it has more than {_MAX_DEPTH} nodes in each other")
        kind, name = node["__loader__"], _name_of(node)
        children = self._children_of(node, kind, name)
        if children is None:
            self._untrusted.add(f"{name} (as {kind})")
            return 1
        n_nodes = 1 + sum(self._check(child, depth - 1) for child in children)
        # An object that is in several places is written out at each of them, so that
        # what is made of it is no larger, nor any walk longer, than the file.
        key, found = node.get("__id__"), (kind, name, n_nodes)
        if key is not None:
            _expect(type(key) is int and 0 <= key < 2**64, node)
            if self._described.setdefault(key, found) != found:
                raise UntrustedError(f"its object {key} is not the same in all places")
        return n_nodes

    def _children_of(self, node, kind, name):
        """Return the nodes in a node, or None if it names what it may not."""
        content = node.get("content")
        if kind == "JsonNode" and name == "builtins.str":
            value = json.loads(content)
            _expect(value is None or isinstance(value, bool | int | float | str), node)
            return ()
        if f"{kind} {name}" in (
            "ListNode builtins.list",
            "TupleNode builtins.tuple",
        ):
            _expect(isinstance(content, list), node)
            return content
        if kind == "DictNode" and name in _DICTS:
            keys = node["key_types"]["content"]
            # Keys are strings in JSON, where 1 and "1" have become one.
            if len(keys) != len(content) or not {_name_of(key) for key in keys} <= set(
                _KEYS
            ):
                self._untrusted.add(f"{name} with keys other than str or int")
            return content.values()
        if f"{kind} {name}" == "SliceNode builtins.slice":
            ends = [content[end] for end in ("start", "stop", "step")]
            _expect(all(end is None or type(end) is int for end in ends), node)
            return ()
        if kind == "NdArrayNode":
            return self._items_of_array(node, name)
        if kind == "ObjectNode" and name in CLASSES:
            if content is None:
                return ()
            _expect(content["__loader__"] in ("DictNode", "JsonNode"), node)
            return (content,)
        if kind == "FunctionNode":
            is_known = node["__class__"] in FUNCTIONS
            is_numpy = node["__module__"].split(".")[0] == "numpy"
            return () if is_known and is_numpy else None
        if f"{kind} {name}" == f"RandomStateNode {_RANDOM_STATE}":
            return (content,)
        if kind == "ConstructorFromReduceNode" and (
            name in _PATHS or name == "torch.device"
        ):
            _expect(content["__loader__"] == "TupleNode", node)
            _expect(
                all(part["__loader__"] == "JsonNode" for part in content["content"]),
                node,
            )
            return (content,)
        return None

    def _items_of_array(self, node, name):
        if node["type"] == "json" and name == "numpy.ndarray":
            shape = [json.loads(side["content"]) for side in node["shape"]["content"]]
            _expect(shape == [len(node["content"])], node)
            return node["content"]
        _expect(node["type"] == "numpy", node)
        file = node["file"]
        if file not in self._headers:
            self._headers[file] = _check_array(file, self._archive.read(file))
        shape, dtype = self._headers[file]
        # NumPy 2 has names without the underscore of NumPy 1.
        scalar = f"numpy.{dtype.type.__name__}".rstrip("_")
        is_scalar = shape == () and name.rstrip("_") == scalar
        return () if name == "numpy.ndarray" or is_scalar else None

    # -- Make --------------------------------------------------------------------------

    def make(self):
        """Return the object that the archive holds."""
        self._made = {}
        self._arrays = {}
        return self._make(self._root)

    def _make(self, node):
        key = node.get("__id__")
        if key is None:
            return self._make_new(node)
        if key not in self._made:
            self._made[key] = self._make_new(node)
        return self._made[key]

    def _make_new(self, node):
        kind, name, content = node["__loader__"], _name_of(node), node.get("content")
        if kind == "JsonNode":
            return json.loads(content)
        if kind == "ListNode":
            return [self._make(item) for item in content]
        if kind == "TupleNode":
            return tuple(self._make(item) for item in content)
        if kind == "DictNode":
            types = [_KEYS[_name_of(key)] for key in node["key_types"]["content"]]
            items = zip(types, content.items(), strict=True)
            return _DICTS[name](
                (type_(key), self._make(v)) for type_, (key, v) in items
            )
        if kind == "SliceNode":
            return slice(content["start"], content["stop"], content["step"])
        if kind == "NdArrayNode":
            return self._make_array(node, name)
        if kind == "FunctionNode":
            return FUNCTIONS[node["__class__"]]
        if kind == "RandomStateNode":
            return _make_random_state(self._make(content))
        if kind == "ConstructorFromReduceNode":
            return _construct(name, self._make(content))
        made = import_class(name).__new__(import_class(name))
        state = None if content is None else self._make(content)
        # Scikit-learn warns with it.
        if not str((state or {}).get("_sklearn_version", "")).isprintable():
            raise ValueError("its version of scikit-learn is none")
        if hasattr(made, "__setstate__"):
            made.__setstate__({} if state is None else state)
        else:
            vars(made).update(state or {})
        return made

    def _make_array(self, node, name):
        if node["type"] == "json":
            made = np.empty(len(node["content"]), dtype=object)
            for index, item in enumerate(node["content"]):
                made[index] = self._make(item)
            return made
        file = node["file"]
        if file not in self._arrays:
            stream = io.BytesIO(self._archive.read(file))
            self._arrays[file] = np.load(stream, allow_pickle=False)
        made = self._arrays[file]
        return made if name == "numpy.ndarray" else made[()]


def _name_of(node):
    return f"{node['__module__']}.{node['__class__']}"


def _expect(holds, node):
    if not holds:
        raise UntrustedError(
            f"a node of the kind {node['__loader__']} is not as skops writes it"
        )


def _check_array(name, content):
    """Return shape and type of a .npy file; raise unless it has all of its numbers."""
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
    if dtype.kind not in _KINDS or dtype.itemsize == 0 or dtype.subdtype is not None:
        raise UntrustedError(f"array {name!r} has the type {dtype}")
    if (
        declared != found
        or min(shape, default=0) < 0
        or (declared == 0 and math.prod(filter(None, shape)) > _MAX_EMPTY)
    ):
        raise UntrustedError(
            f"array {name!r} declares the shape {shape} and type {dtype}, which does "
            f"not match its {found} bytes of numbers"
        )
    # NumPy counts such bytes, and writes as many positions as they add up to.
    if dtype.kind == "b" and max(memoryview(content)[stream.tell() :], default=0) > 1:
        raise UntrustedError(f"array {name!r} has values that are not booleans")
    return shape, dtype


def _make_random_state(state):
    """Make a random state; NumPy does not check the position in it."""
    key, position = state["state"]["key"], state["state"]["pos"]
    if (
        state["bit_generator"] != "MT19937"
        or key.shape != (624,)
        or type(position) is not int
        or not 0 <= position <= len(key)
    ):
        raise ValueError("it has a random state that is not one of MT19937")
    made = np.random.RandomState(0)
    made.set_state(state)
    return made


def _construct(name, arguments):
    if name == "torch.device":
        return importlib.import_module("torch").device(*arguments)
    return getattr(pathlib, _PATHS[name])(*arguments)
