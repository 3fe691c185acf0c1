"""Tests of files that are damaged, of another kind, or made to do harm."""

import errno
import functools
import hashlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io

from skgaussad import MahalanobisDetector, load, save
from skgaussad.exceptions import ModelFileError
from skgaussad.persistence import model_info
from skgaussad.persistence._container import FORMAT_VERSION

FIXTURE = Path(__file__).parent / "data" / "incremental-1.skgaussad"


def read_members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path, members, compression=zipfile.ZIP_STORED, **facts):
    """Write a model file with a manifest that fits, as a careful forger would."""
    manifest = json.loads(members.pop("model.json"))
    manifest["files"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in members.items()
    }
    manifest.update(facts)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model.json", json.dumps(manifest))
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def pack(schema, arrays=(), compression=zipfile.ZIP_STORED):
    """Make an archive as skops does."""
    if isinstance(schema, dict):
        schema = json.dumps({"protocol": 2, **schema})
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in dict(arrays).items():
            archive.writestr(name, content)
        archive.writestr("schema.json", schema)
    return stream.getvalue()


def node(loader, name, **content):
    module, _, cls = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": cls, **content}


def pair(*items):
    return node("TupleNode", "builtins.tuple", content=list(items))


def literal(value):
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def in_detector(child):
    """Put a node where a detector has its rate."""
    key = node("TypeNode", "builtins.str")
    attributes = node(
        "DictNode",
        "builtins.dict",
        content={"fpr": child},
        key_types=node("ListNode", "builtins.list", content=[key]),
    )
    detector = "skgaussad.detectors._mahalanobis.MahalanobisDetector"
    return node("ObjectNode", detector, content=attributes)


@pytest.fixture
def forge(tmp_path):
    """Write a file whose estimator is what a forger wants it to be."""

    def forge(content, **facts):
        members = read_members(FIXTURE)
        members["estimator.skops"] = content
        return write_members(tmp_path / "forged.skgaussad", members, **facts)

    return forge


@pytest.fixture
def harmed(tmp_path, monkeypatch):
    """A file that commands and modules of the attacks would make."""
    path = tmp_path / "harmed"
    (tmp_path / "evil.py").write_text(
        f"from pathlib import Path\nPath({str(path)!r}).touch()\nclass Evil: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return path


class Harmful:
    """An object whose pickle runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def attacks(path):
    command, code = ["touch", str(path)], f"open({str(path)!r}, 'w')"
    system = "posix.system" if os.name == "posix" else "nt.system"
    call = {
        "args": pair(literal(code)),
        "kwds": literal({}),
        "namespace": literal(None),
    }
    backbone = "skgaussad.features._backbone.Backbone"
    generator = node(
        "RandomGeneratorNode",
        "numpy.random._generator.Generator",
        content={
            "bit_generator": node(
                "DictNode",
                "builtins.dict",
                content={"bit_generator": literal("seed")},
                key_types=node(
                    "ListNode",
                    "builtins.list",
                    content=[node("TypeNode", "builtins.str")],
                ),
            ),
            "seed_seq": literal({}),
        },
    )
    evil_array = io.BytesIO()
    content = pickle.dumps(np.array([Harmful(path)]))
    content += b"." * (-len(content) % 8)
    np.lib.format.write_array_header_1_0(
        evil_array,
        {"descr": "|O", "fortran_order": False, "shape": (len(content) // 8,)},
    )
    evil_array.write(content)
    return {
        "function": (node("FunctionNode", system), system),
        "eval": (node("FunctionNode", "builtins.eval"), "builtins.eval"),
        "type": (node("TypeNode", system), system),
        "partial": (
            node(
                "PartialNode",
                "functools.partial",
                content={"func": node("FunctionNode", "builtins.eval"), **call},
            ),
            "functools.partial",
        ),
        "constructor": (
            node(
                "ConstructorFromReduceNode",
                "subprocess.Popen",
                content=pair(literal(command)),
            ),
            "subprocess.Popen",
        ),
        "method": (
            node(
                "MethodNode",
                "builtins.str",
                content={"func": "format", "obj": literal("")},
            ),
            "builtins.str (as MethodNode)",
        ),
        "operator": (
            node(
                "OperatorFuncNode", "operator.methodcaller", attrs=pair(literal("fit"))
            ),
            "operator.methodcaller",
        ),
        "reduce": (
            node(
                "LossNode",
                system,
                __reduce__={"args": pair(literal(command))},
                content=literal({}),
            ),
            system,
        ),
        "module": (node("ObjectNode", "evil.Evil"), "evil.Evil"),
        # Types that are trusted, but not to be called with what the file says.
        "trusted constructor": (
            node(
                "ConstructorFromReduceNode",
                backbone,
                content=pair(literal("resnet50"), literal("all"), literal("auto")),
            ),
            backbone,
        ),
        "trusted list": (node("ListNode", backbone, content=[]), backbone),
        "trusted dict": (
            node(
                "DictNode",
                backbone,
                content={},
                key_types=node("ListNode", "builtins.list", content=[]),
            ),
            backbone,
        ),
        "trusted array": (
            node("NdArrayNode", backbone, type="numpy", file="1.npy"),
            backbone,
        ),
        "bit generator": (generator, "RandomGeneratorNode"),
        "array of objects": (
            node("NdArrayNode", "numpy.ndarray", type="numpy", file="evil.npy"),
            "'evil.npy' has the type object",
            {"evil.npy": evil_array.getvalue()},
        ),
        "array of another name": (
            node("NdArrayNode", "numpy.ndarray", type="numpy", file="evil.bin"),
            "'evil.bin', which is not an array",
            {"evil.bin": evil_array.getvalue()},
        ),
        "bytes": (node("BytesNode", "builtins.bytes", file="1.npy"), "BytesNode"),
    }


@pytest.mark.parametrize("place", ["root", "inside"])
@pytest.mark.parametrize("name", attacks("unused"))
def test_attack_runs_nothing(name, place, forge, harmed):
    schema, named, *arrays = attacks(harmed)[name]
    member = io.BytesIO()
    np.save(member, np.zeros(2))
    arrays = {"1.npy": member.getvalue(), **(arrays[0] if arrays else {})}
    path = forge(pack(schema if place == "root" else in_detector(schema), arrays))
    with pytest.raises(
        ModelFileError, match="No object was created and no code was run"
    ) as caught:
        load(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)
    assert not harmed.exists()


def test_attacks_would_do_harm(harmed):
    """The guards are what keeps them from it, not mistakes in the attacks."""
    pickle.loads(pickle.dumps(Harmful(harmed)))
    assert harmed.exists()
    harmed.unlink()
    content = pack(attacks(harmed)["constructor"][0])
    skops.io.loads(content, trusted=["subprocess.Popen"]).wait()
    assert harmed.exists()
    harmed.unlink()
    content = pack(attacks(harmed)["module"][0])
    skops.io.loads(content, trusted=["evil.Evil"])
    assert harmed.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2.0, True, None, "2", 10**6])
def test_other_protocols_are_refused(protocol, forge):
    schema = {**in_detector(literal(0.1)), "protocol": protocol}
    with pytest.raises(ModelFileError, match="protocol"):
        load(forge(pack(schema)))


def test_forged_files_are_otherwise_right(forge):
    """They fail for what is forged in them, and for nothing else."""
    assert load(forge(pack(in_detector(literal(0.125))))).fpr == 0.125


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"protocol": 2}',
        '{"protocol": 2, "__loader__": "ObjectNode"}',
        "[" * 100_000,
        '{"protocol": 2, "a": ' + "[" * 900 + "]" * 900 + "}",
        pytest.param(
            functools.reduce(
                lambda inner, _: node("ListNode", "builtins.list", content=[inner]),
                range(300),
                literal(0),
            ),
            id="deep",
        ),
        pytest.param(
            node("NdArrayNode", "numpy.ndarray", type="numpy", file="missing.npy"),
            id="missing array",
        ),
        pytest.param(node("DictNode", "builtins.dict", content=3), id="no dict"),
        pytest.param(literal(0.5), id="number"),
    ],
)
def test_what_is_no_estimator_is_refused(schema, forge):
    with pytest.raises(ModelFileError, match="cannot be loaded"):
        load(forge(pack(schema)))


def test_dictionary_in_itself_is_refused(forge):
    keys = node("ListNode", "builtins.list", content=[node("TypeNode", "builtins.str")])
    parts = {"key_types": keys, "__id__": 7}
    again = node("DictNode", "builtins.dict", content={"a": literal(0)}, **parts)
    circle = node("DictNode", "builtins.dict", content={"a": again}, **parts)
    with pytest.raises(ModelFileError, match="not the same in all places"):
        load(forge(pack(in_detector(circle))))


@pytest.mark.parametrize("write", [pickle.dump, joblib.dump])
def test_renamed_pickle_is_not_read(write, tmp_path, harmed):
    path = tmp_path / "model.skgaussad"
    with open(path, "wb") as file:
        write(Harmful(harmed), file)
    for read in (load, model_info):
        with pytest.raises(ModelFileError, match="not a zip archive.*joblib"):
            read(path)
    assert not harmed.exists()


def test_pickle_in_place_of_the_estimator_is_not_read(forge, harmed):
    with pytest.raises(ModelFileError, match="not an archive of skops"):
        load(forge(pickle.dumps(Harmful(harmed))))
    assert not harmed.exists()


def test_other_archives_are_refused(tmp_path):
    path = tmp_path / "model.skgaussad"
    skops.io.dump(MahalanobisDetector(), path)
    with pytest.raises(ModelFileError, match="without model.json.*skops.io.load"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", json.dumps({"format": "another"}))
    with pytest.raises(ModelFileError, match="does not say .*'skgaussad model'"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.skgaussad")


def test_newer_format_says_what_to_install(tmp_path):
    path = tmp_path / "model.skgaussad"
    write_members(
        path,
        read_members(FIXTURE),
        format_version=FORMAT_VERSION + 1,
        packages={"skgaussad": "7.1"},
    )
    for read in (load, model_info):
        with pytest.raises(
            ModelFileError, match="reads versions up to 1. Install skgaussad 7.1 or new"
        ):
            read(path)


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True, None])
def test_format_version_is_an_integer(version, tmp_path):
    path = tmp_path / "model.skgaussad"
    write_members(path, read_members(FIXTURE), format_version=version)
    with pytest.raises(ModelFileError, match="format_version must be an integer"):
        load(path)


@pytest.mark.parametrize("files", [None, [], {"estimator.skops": 3}, {"a": {}}])
def test_manifest_lists_the_members(files, tmp_path):
    path = tmp_path / "model.skgaussad"
    write_members(path, read_members(FIXTURE), files=files)
    with pytest.raises(ModelFileError, match="does not list each member"):
        load(path)


def test_cut_off_file_is_refused(tmp_path):
    content = FIXTURE.read_bytes()
    path = tmp_path / "model.skgaussad"
    for length in (0, 3, *range(4, len(content), len(content) // 30)):
        path.write_bytes(content[:length])
        for read in (load, model_info):
            with pytest.raises(ModelFileError) as caught:
                read(path)
        assert str(path) in str(caught.value)
        expected = "truncated or damaged" if length > 3 else "not a zip archive"
        assert expected in str(caught.value)


def test_changed_byte_is_found_or_without_effect(tmp_path, tell):
    content = FIXTURE.read_bytes()
    path = tmp_path / "model.skgaussad"
    X = np.linspace(-1, 1, 12).reshape(3, 4)
    scores = load(FIXTURE).score_samples(X)
    rng = np.random.default_rng(0)
    refused, n_changed = 0, 150
    for position in rng.integers(len(content), size=n_changed):
        changed = bytearray(content)
        changed[position] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            loaded = load(path)
        except ModelFileError:
            refused += 1
        else:
            # Dates and the like in the headers of the archive.
            assert np.array_equal(loaded.score_samples(X), scores)
    tell(
        f"model file: {n_changed} changed bits, {refused} files refused, "
        f"{n_changed - refused} with the same scores"
    )
    assert refused > 140


def test_member_before_the_beginning_is_damage(tmp_path):
    content = bytearray(FIXTURE.read_bytes())
    # The end says that the table of contents begins farther back than it does.
    start = int.from_bytes(content[-6:-2], "little")
    content[-6:-2] = (start + 10).to_bytes(4, "little")
    path = tmp_path / "model.skgaussad"
    path.write_bytes(content)
    for read in (load, model_info):
        with pytest.raises(ModelFileError, match="damaged"):
            read(path)


def test_error_of_the_disk_is_not_taken_for_damage(monkeypatch):
    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(zipfile.ZipFile, "read", fail)
    with pytest.raises(OSError, match="Input/output error"):
        model_info(FIXTURE)


def test_changed_member_is_named(tmp_path):
    members = read_members(FIXTURE)
    path = tmp_path / "model.skgaussad"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", members["model.json"])
        changed = members["estimator.skops"].replace(b"fpr", b"fqr")
        archive.writestr("estimator.skops", changed)
    with pytest.raises(
        ModelFileError, match="'estimator.skops' has changed since it was saved: SHA"
    ):
        load(path)


def test_members_are_not_compressed(tmp_path, forge):
    members = read_members(FIXTURE)
    path = tmp_path / "model.skgaussad"
    # A thousand times smaller than what it unfolds to.
    bomb = pack(in_detector(literal("0" * 10**7)), compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20_000
    with pytest.raises(ModelFileError, match="'schema.json' is compressed"):
        load(forge(bomb))
    write_members(path, members, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFileError, match="'model.json' is compressed"):
        model_info(path)


@pytest.mark.parametrize(
    "shape", [(2**40,), (2**62, 2**62), (-1, -3), (2,), (4,)], ids=str
)
def test_array_has_the_size_it_declares(shape, forge):
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    member.write(np.zeros(3).tobytes())
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="1.npy")
    path = forge(pack(in_detector(array), {"1.npy": member.getvalue()}))
    with pytest.raises(ModelFileError, match="declares"):
        load(path)


def test_overlapping_and_repeated_members_are_refused(tmp_path):
    path = tmp_path / "model.skgaussad"
    members = read_members(FIXTURE)
    write_members(path, dict(members))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Dupl"):
        archive.writestr("estimator.skops", b"another")
    with pytest.raises(ModelFileError, match="two members of the name"):
        load(path)
    # Two entries of the table of contents for the same bytes.
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", members["model.json"])
        archive.writestr("estimator.skops", b"0" * 100_000)
        twin = zipfile.ZipInfo("twin")
        for name in ("header_offset", "CRC", "compress_size", "file_size"):
            setattr(twin, name, getattr(archive.getinfo("estimator.skops"), name))
        archive.filelist.append(twin)
        archive._didModify = True
    with pytest.raises(ModelFileError, match="the file only"):
        load(path)


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "weights/../x"])
def test_members_of_other_names_are_refused(name, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    members = {**read_members(FIXTURE), name: b"evil"}
    write_members("model.skgaussad", members)
    with pytest.raises(ModelFileError, match="members must be"):
        load("model.skgaussad")
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(folder) == ["model.skgaussad"]


def test_missing_and_changed_weights_are_refused(tiny, images, tmp_path):
    path = tmp_path / "model.skgaussad"
    save(tiny, path)
    members = read_members(path)
    (weights,) = [name for name in members if name.startswith("weights/")]
    write_members(path, {k: v for k, v in members.items() if k != weights})
    with pytest.raises(ModelFileError, match=f"no member '{weights}'"):
        load(path)
    changed = bytearray(members[weights])
    changed[-1] ^= 1
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, weights: bytes(changed)}.items():
            archive.writestr(name, content)
    with pytest.raises(ModelFileError, match=f"'{weights}' has changed since"):
        load(path)
    write_members(path, {**members, weights: b"no safetensors"})
    with pytest.raises(ModelFileError, match="SafetensorError"):
        load(path)


def test_network_is_not_asked_for(tiny, images, tmp_path):
    """Timm takes some names of networks for addresses."""
    path = tmp_path / "model.skgaussad"
    save(tiny, path)
    members = read_members(path)
    content = members["estimator.skops"]
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            if name == "schema.json":
                schema = archive.read(name).decode()
            else:
                arrays[name] = archive.read(name)
    schema = schema.replace('\\"test_resnet\\"', '\\"hf-hub:evil/network\\"')
    assert "hf-hub" in schema
    members["estimator.skops"] = pack(schema, arrays)
    write_members(path, members)
    with pytest.raises(ValueError, match="backbone must be the name of a timm model"):
        load(path).transform(images)
