"""Networks run by OpenVINO, which uses more of a processor than torch does.

A network is converted in memory, in a second or less, and kept as one of the last few
of the process: no file is written, and none but the network's weights is read.
"""

import ctypes
import importlib
import os
import sys
import threading
import warnings
import weakref
from collections import OrderedDict

import torch

from .._utils.torch_guard import torch_run

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
# By which outputs may differ from those of torch in float32, in units of the largest.
# Noise, as of the image that is tried, is rounded more than photographs are.
_TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1}
# Networks that are kept: candidates of a search may differ in a few.
_MOST_KEPT = 4
_MISSING = object()


class UnsupportedNetworkError(Exception):
    """OpenVINO cannot run a network, or not as torch does."""


class OpenVinoNetwork:
    """A network cut into levels, run on the processor.

    Parameters
    ----------
    backbone : Backbone
    levels : tuple of int
        Those to compute, in rising order.
    image_size : tuple of (int, int)
        Height and width of the input.
    precision : {"float32", "bfloat16"}

    Raises
    ------
    UnsupportedNetworkError
        If OpenVINO cannot convert or run the network, or gives something else than
        torch.
    """

    def __init__(self, backbone, levels, image_size, precision):
        self._precision = precision
        self._has_tokens = [backbone.shapes[level][3] for level in levels]
        _alive.add(self)
        self._compiled, self._compiling = {}, threading.Lock()
        self._requests = threading.local()
        module = backbone.flat_module(levels)
        generator = torch.Generator("cpu").manual_seed(0)
        size = (2, 3, *image_size)
        x = torch.randn(size, generator=generator, dtype=torch.float32, device="cpu")
        try:
            with torch_run(alone=True):
                expected = module(x)
                self._model = _convert(module, x)
            self._check(x, expected)
        except (ImportError, RuntimeError, TypeError, ValueError) as error:
            raise UnsupportedNetworkError(_first_line(error)) from error

    def _check(self, x, expected):
        """Compare with torch, by a batch of another size than that converted with."""
        openvino = _import_openvino()
        capable = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if self._precision == "bfloat16" and "BF16" not in capable:
            raise UnsupportedNetworkError("this processor has no bfloat16")
        found = self._infer(x[:1], 1, torch.get_num_threads())
        for part, all_of_it in zip(found, expected, strict=True):
            difference = (part - all_of_it[:1]).abs().max()
            limit = _TOLERANCES[self._precision] * all_of_it.abs().max()
            if part.shape[1:] != all_of_it.shape[1:] or not difference <= limit:
                raise UnsupportedNetworkError(
                    f"its outputs differ from those of torch by {difference:.2g}"
                )

    def __call__(self, x, n_lanes, n_threads):
        """Run a batch.

        Parameters
        ----------
        x : tensor of shape (n, 3, height, width)
            Normalized images; in memory with channels last.
        n_lanes : int
            Number of threads that call at the same time.
        n_threads : int
            To be divided among these.

        Returns
        -------
        outputs : list of (tensor of shape (n, channels, h, w), tensor or None)
            Feature map and prefix tokens of each level, float32.
        """
        parts = iter(self._infer(x, n_lanes, n_threads))
        return [(next(parts), next(parts) if has else None) for has in self._has_tokens]

    def _infer(self, x, *key):
        """Return the outputs of a batch, one after the other."""
        requests = self._requests.__dict__
        if key not in requests:
            requests[key] = self._compile(*key).create_infer_request()
        found = requests[key].infer([x.permute(0, 2, 3, 1).contiguous().numpy()])
        return [torch.from_numpy(found[i]) for i in range(len(found))]

    def _compile(self, n_lanes, n_threads):
        """Compile the network for a number of threads that call it at once."""
        openvino = _import_openvino()
        with self._compiling:
            if (n_lanes, n_threads) not in self._compiled:
                options = {
                    "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
                    "INFERENCE_NUM_THREADS": n_threads,
                    "NUM_STREAMS": min(n_lanes, n_threads),
                    # Other processes may want the same cores.
                    "ENABLE_CPU_PINNING": False,
                }
                self._compiled[n_lanes, n_threads] = openvino.Core().compile_model(
                    self._model, "CPU", options
                )
            return self._compiled[n_lanes, n_threads]


def _import_openvino():
    """Import OpenVINO without what reports each import of it over the network."""
    if "openvino" not in sys.modules:
        reporter = sys.modules.get("openvino_telemetry", _MISSING)
        # As though it were not installed.
        sys.modules["openvino_telemetry"] = None
        try:
            importlib.import_module("openvino")
        finally:
            del sys.modules["openvino_telemetry"]
            if reporter is not _MISSING:
                sys.modules["openvino_telemetry"] = reporter
    return sys.modules["openvino"]


def _convert(module, x):
    """Convert a network to one of OpenVINO, for images in memory as Pillow's are."""
    _import_openvino()
    from openvino import Layout, PartialShape
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    from openvino.preprocess import PrePostProcessor

    with warnings.catch_warnings():
        # Deprecated for torch.export, which takes 1 to 13 s for the same.
        warnings.simplefilter("ignore")
        # Kept until the end, for the front end does not.
        decoder = TorchScriptPythonDecoder(
            module, example_input=(x,), trace_kwargs={"check_trace": False}
        )
    front_end = FrontEndManager().load_by_framework("pytorch")
    model = front_end.convert(front_end.load(decoder))
    model.reshape(PartialShape([-1, *x.shape[1:]]))
    process = PrePostProcessor(model)
    process.input().tensor().set_layout(Layout("NHWC"))
    process.input().model().set_layout(Layout("NCHW"))
    return process.build()


def _first_line(error):
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


_lock = threading.Lock()
_networks = OrderedDict()
# Transformers may have some that are no longer kept here.
_alive = weakref.WeakSet()


def _forget_parent():
    """In a child, which cannot use what was compiled before the fork, nor give it back.

    Not even at its end, when Python gives back all that is left.
    """
    global _lock, _networks
    for network in _alive:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(network))
    _lock, _networks = threading.Lock(), OrderedDict()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


def open_network(backbone, levels, image_size, precision):
    """Return the `OpenVinoNetwork` of these arguments, which this process may have.

    Raises
    ------
    UnsupportedNetworkError
        Each time, if it did at first.
    """
    key = (
        backbone.name,
        backbone.weights_sha256,
        tuple(backbone.shapes),
        levels,
        image_size,
        precision,
    )
    with _lock:
        if key not in _networks:
            try:
                network = OpenVinoNetwork(backbone, levels, image_size, precision)
            except UnsupportedNetworkError as error:
                network = str(error)
            _networks[key] = network
            while len(_networks) > _MOST_KEPT:
                _networks.popitem(last=False)
        _networks.move_to_end(key)
        network = _networks[key]
    if isinstance(network, str):
        raise UnsupportedNetworkError(network)
    return network
