"""Fuzz model files: no file may crash, hang, or take memory out of proportion.

Each case is a model file of the corpus with changes: to its bytes, or, with a manifest
that fits, to the nodes of its schema, its arrays or its weights. It is loaded and
described, and used to score if it loads. A case fails if it

- raises something other than ModelFileError from ``load`` or ``model_info``,
- takes longer than 10 seconds,
- takes memory beyond 50 times its size and 256 MB, or
- ends the process.

Run it as ``python benchmarks/fuzz_model_files.py FOLDER -max_total_time=600``, with
atheris installed. The folder gets the corpus, and ``crash-*`` files for what fails;
``python benchmarks/fuzz_model_files.py FILE`` runs one of these alone.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import atheris
import numpy as np
import timm
import torch
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

with atheris.instrument_imports(include=["skgaussad.persistence"]):
    from skgaussad.persistence import load, model_info, save
from skgaussad import (
    CellwiseMahalanobisDetector,
    ConformalDetector,
    DeepFeatureTransformer,
    LevelEnsemble,
    MahalanobisDetector,
    NegatedPCA,
    PositionDetector,
    RobustDetector,
    TiledDetector,
    VariantMahalanobisDetector,
)
from skgaussad.calibration import ConformalMonitor
from skgaussad.exceptions import ModelFileError

SECONDS = 10
FACTOR, CONSTANT = 50, 2**28
# Longer files take longer, and find no more.
MAX_BYTES = 500_000
NETWORK = {"backbone": "test_resnet", "weights": None, "image_size": 64}
NUMBERS = [0, 1, -1, 2, 7, 255, 2**31, 2**63, 10**9, 1e-300, 0.5, 1e300, float("inf")]
WORDS = ["", "auto", "numpy", "builtins.str", "resnet50", "vit_giant_patch14_dinov2"]

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 6))
IMAGES = rng.integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)


def write_corpus(folder):
    """Save a model of each kind."""
    tiny = DeepFeatureTransformer(**NETWORK, levels=[2], device="cpu")
    bare = DeepFeatureTransformer(**NETWORK, levels=[2], store_weights=False)
    estimators = [
        MahalanobisDetector(fpr=0.2).fit(X),
        MahalanobisDetector("diagonal", threshold="tail", fpr=0.2).fit(X),
        MahalanobisDetector(fpr=0.2).fit(X, groups=np.arange(40) % 8),
        make_pipeline(
            StandardScaler(),
            FunctionTransformer(np.tanh),
            NegatedPCA(2),
            MahalanobisDetector(fpr=0.2),
        ).fit(X),
        CellwiseMahalanobisDetector(cells=3, fpr=0.2).fit(X),
        ConformalDetector(MahalanobisDetector(), fpr=0.2).fit(X),
        LevelEnsemble(columns={"a": slice(0, 2), "b": [2, 3]}, fpr=0.2).fit(X),
        RobustDetector(fpr=0.2).fit(X),
        VariantMahalanobisDetector(fpr=0.2).fit(X, variants=np.arange(40) % 2),
        ConformalMonitor(random_state=np.random.RandomState(0)).fit(np.abs(X[:, 0])),
        bare.fit(IMAGES),
        FeatureUnion([("a", bare), ("b", bare)]).fit(IMAGES),
        make_pipeline(bare, MahalanobisDetector(fpr=0.3)).fit(IMAGES),
        PositionDetector(bare, fpr=0.3).fit(IMAGES),
        TiledDetector(
            make_pipeline(tiny, MahalanobisDetector()), tile_size=20, fpr=0.3
        ).fit(IMAGES),
    ]
    for number, estimator in enumerate(estimators):
        save(estimator, folder / f"model-{number}")


# -- Changes -------------------------------------------------------------------------


def unpack(content):
    """Return the members of an archive by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(members):
    """Return an archive of members, as model files and skops have it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def pack_model(members):
    """Return a model file with a manifest that fits."""
    manifest = json.loads(members["model.json"])
    if isinstance(manifest, dict):
        manifest["files"] = {
            name: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()}
            for name, c in members.items()
            if name != "model.json"
        }
    return pack({**members, "model.json": json.dumps(manifest).encode()})


def change_json(chance, root):
    """Change one or several items of a tree of JSON."""
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        places = []
        pending = [root]
        while pending:
            item = pending.pop()
            keys = item if isinstance(item, dict) else range(len(item))
            for key in keys:
                places.append((item, key))
                if isinstance(item[key], dict | list):
                    pending.append(item[key])
        if not places:
            return
        parent, key = chance.choice(places)
        other, its = chance.choice(places)
        value = parent[key]
        act = chance.randrange(8)
        if act == 0:
            parent[key] = chance.choice(NUMBERS)
        elif act == 1:
            parent[key] = json.dumps(chance.choice([*NUMBERS, None, True, *WORDS]))
        elif act == 2:
            parent[key] = chance.choice(WORDS)
        elif act == 3:
            # A copy: what is in itself is no JSON.
            parent[key] = json.loads(json.dumps(other[its]))
        elif act == 4 and isinstance(parent, dict):
            del parent[key]
        elif act == 5 and isinstance(value, list):
            value.extend(json.loads(json.dumps(value)) * chance.choice([1, 1, 3]))
        elif act == 6 and isinstance(value, dict):
            parent[key] = {**value, "__id__": chance.choice([1, 2, 3])}
        elif isinstance(parent, dict) and isinstance(other, dict):
            parent[its] = json.loads(json.dumps(other[its]))


def change_array(chance, content):
    """Change numbers, shape or type of a .npy file."""
    try:
        array = np.load(io.BytesIO(content))
    except (ValueError, MemoryError):
        return content
    # Writing empty arrays with a long side, or strings of no length, takes for ever.
    if not 0 < array.size <= array.nbytes <= len(content):
        return content
    act = chance.randrange(5)
    if act == 0:
        flat = array.reshape(-1).copy()
        if flat.size and flat.dtype.kind in "iufb":
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                number = np.array(chance.choice(NUMBERS)).astype(flat.dtype)
            flat[chance.randrange(flat.size)] = number
        array = flat.reshape(array.shape)
    elif act == 1:
        array = array.reshape(-1)[: chance.choice([0, 1, 2, array.size])]
    elif act == 2:
        array = np.broadcast_to(array, (chance.choice([1, 3]), *array.shape))
    elif act == 3:
        kind = chance.choice(["f4", "i8", "u1", "?", "U3", "f8", "c16", ">f8"])
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = array.astype(kind)
    stream = io.BytesIO()
    if act < 4:
        np.save(stream, array)
        return stream.getvalue()
    shape = chance.choice([(2**40,), (0, 2**40), (-1,), (), array.shape[::-1]])
    descr = chance.choice(["<f8", "|S0", "<U0", "|O", array.dtype.str])
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": chance.random() < 0.5, "shape": shape}
    )
    stream.write(array.tobytes())
    return stream.getvalue()


def change(data, max_size, seed):
    """Change a file in one of its parts; bytes where it is none any more."""
    chance = random.Random(seed)
    try:
        changed = change_parts(chance, data)
    except (ValueError, LookupError, TypeError, zipfile.BadZipFile, OSError):
        changed = None
    except (RecursionError, NotImplementedError, EOFError, MemoryError):
        changed = None
    if changed is None or len(changed) > max_size:
        return atheris.Mutate(data, max_size)
    return changed


def change_parts(chance, data):
    """Change one part of a file, or return None for its bytes."""
    act = chance.randrange(10)
    if act == 0:
        return None
    members = unpack(data)
    if act == 1:
        facts = json.loads(members["model.json"])
        change_json(chance, facts)
        return pack({**members, "model.json": json.dumps(facts).encode()})
    weights = [name for name in members if name.startswith("weights/")]
    if act == 2 and weights:
        name = chance.choice(weights)
        members[name] = atheris.Mutate(members[name], len(members[name]) + 64)
        return pack_model(members)
    inner = unpack(members["estimator.skops"])
    arrays = [name for name in inner if name.endswith(".npy")]
    if act < 5 and arrays:
        name = chance.choice(arrays)
        inner[name] = change_array(chance, inner[name])
    elif act == 5 and arrays:
        inner[chance.choice(arrays)] = inner[chance.choice(arrays)]
    else:
        schema = json.loads(inner["schema.json"])
        change_json(chance, schema)
        inner["schema.json"] = json.dumps(schema).encode()
    members["estimator.skops"] = pack(inner)
    return pack_model(members)


# -- Cases ---------------------------------------------------------------------------


class TooSlowError(BaseException):
    """A case has run for too long."""


def end_case(signum, frame):
    """Raise where a case has run for too long."""
    raise TooSlowError


@contextlib.contextmanager
def limits(n_bytes):
    """Limit time and memory."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0])
    in_use *= resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = in_use + FACTOR * n_bytes + CONSTANT
    resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run(data):
    """Run a case."""
    path = os.path.join(FOLDER.name, "model")
    with open(path, "wb") as file:
        file.write(data)
    with limits(len(data)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ModelFileError):
            json.dumps(model_info(path), indent=2)
        try:
            estimator = load(path)
        except ModelFileError:
            return
        use(estimator)


def use(estimator):
    """Score with a loaded estimator. Any error will do, but for one of memory."""
    counts["loaded"] += 1
    if counts["loaded"] % 1000 == 0:
        print(f"cases that loaded, and calls of them: {counts}", flush=True)
    for data in (X[:5], IMAGES[:2], np.abs(X[:5, 0])):
        for name in ("score_samples", "predict", "p_values", "transform"):
            try:
                getattr(estimator, name)(data)
                counts["scored"] += 1
            except MemoryError:
                raise
            except Exception as error:
                if "can't allocate memory" in str(error):
                    raise
    for act in (
        lambda: repr(estimator),
        lambda: estimator.get_feature_names_out(),
        lambda: estimator.fpr_bound(),
        lambda: estimator.update_distances(np.abs(X[:5, 0])),
        lambda: estimator.cell_positions(),
    ):
        try:
            act()
        except MemoryError:
            raise
        except Exception as error:
            counts[type(error).__name__] = counts.get(type(error).__name__, 0) + 1


FOLDER = tempfile.TemporaryDirectory()
counts = {"loaded": 0, "scored": 0}


def main():
    """Write the corpus, and run cases."""
    torch.set_num_threads(1)
    timm.create_model("test_resnet")
    signal.signal(signal.SIGALRM, end_case)
    corpus = Path(sys.argv[1])
    if corpus.is_file():
        run(corpus.read_bytes())
        return
    corpus.mkdir(exist_ok=True, parents=True)
    write_corpus(corpus)
    for path in corpus.glob("model-*"):
        run(path.read_bytes())
    print(f"corpus: {counts}")
    options = [f"-artifact_prefix={corpus.parent}/", f"-max_len={MAX_BYTES}"]
    options += ["-rss_limit_mb=0", "-timeout=60", "-len_control=0"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], run, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
