"""Networks run and built alike whatever the process and its other threads have set.

Torch keeps much of its state in the process or in its threads: precisions, an autocast
around the call, default types and devices, and the modules that its compilers replace
while they trace. All code of the package that computes with torch does so within
`torch_run` or `torch_build`.
"""

import contextlib
import os
import threading
from functools import partial

# Whole, and before torchvision, of which it imports a part: of modules that import each
# other, threads that begin with different ones find some half done.
import timm  # noqa: F401
import torch

from .shared_lock import SharedLock


@contextlib.contextmanager
def torch_run(device_type="cpu", alone=False):
    """Compute with torch by its own defaults, without gradients.

    Not to be nested, nor held while a generator waits for its caller.

    Parameters
    ----------
    device_type : str, default="cpu"
        Where the computation runs.
    alone : bool, default=False
        Whether all other threads wait meanwhile: for compiling and exporting, which
        replace what `torch.nn.Module` does in the whole process.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_running.held(alone))
        if _fork.is_recent:
            # A pool of threads that the parent has started would be waited for.
            torch.set_num_threads(1)
            _fork.is_recent = False
        for kind in {"cpu", device_type}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        # Entered only where needed, since it slows each call of a function of torch.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextlib.contextmanager
def torch_build():
    """Build or read a network: one thread at a time, by the default type of torch.

    Not to be nested, nor in `torch_run`. Random generators, and the types that files of
    weights may hold, are states of the process, too.
    """
    with _building, torch_run():
        dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


def _settings():
    """List the settings of the process that change results: get, set, value."""
    backends = torch.backends
    values = [
        (backends.cudnn, "benchmark", False),
        (backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", True),
        (backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", True),
        (backends.cudnn, "allow_tf32", True),
    ]
    if hasattr(backends, "fp32_precision"):
        # Since torch 2.9; the older names set these, too, and hence come first.
        values += [
            (backends, "fp32_precision", "none"),
            (backends.cudnn.conv, "fp32_precision", "tf32"),
            (backends.cuda.matmul, "fp32_precision", "ieee"),
            (backends.mkldnn.conv, "fp32_precision", "ieee"),
            (backends.mkldnn.matmul, "fp32_precision", "ieee"),
        ]
    return [
        (
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
            "highest",
        ),
        *(
            (partial(getattr, owner, name), partial(setattr, owner, name), value)
            for owner, name, value in values
        ),
    ]


def _apply_settings():
    """Set what changes results; return a stack that takes it back, in this order."""
    settings = _settings()
    undo = contextlib.ExitStack()
    for get, set_, _ in reversed(settings):
        # Torch refuses to say what older names stand for where newer ones differ.
        with contextlib.suppress(RuntimeError):
            undo.callback(set_, get())
    for _, set_, value in settings:
        set_(value)
    return undo


class _Fork:
    """Whether this process was forked, and has not computed since."""

    is_recent = False


_fork = _Fork()
_running = SharedLock(_apply_settings)
_building = threading.Lock()


def _note_fork():
    """In the child, which does not have the threads of the parent."""
    global _building
    _building = threading.Lock()
    _fork.is_recent = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
