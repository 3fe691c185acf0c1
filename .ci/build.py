"""Build the source archive and the wheel of the last commit, twice, and compare them.

    python .ci/build.py dist

Needs the package ``build``. The files are the same, to the byte, wherever and whenever
they are built from a commit: times in them are the commit's.
"""

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_WHEEL_BYTES = 1_000_000
NEEDED = {
    f"skgaussad/reporting/{name}.html"
    for name in ("cards", "page", "report", "review", "style")
}


def git(*arguments):
    """Run git, and return what it prints."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def set_times(path, seconds):
    """Give all that is in a source archive one time: setuptools takes the clock's."""
    with tarfile.open(path) as archive:
        members = [(m, archive.extractfile(m)) for m in archive.getmembers()]
        contents = [(m, file and file.read()) for m, file in members]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in sorted(contents, key=lambda item: item[0].name):
            member.mtime, member.pax_headers = seconds, {}
            member.mode = 0o755 if member.isdir() else 0o644
            archive.addfile(member, content and io.BytesIO(content))
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=seconds))


def build(target, seconds):
    """Build from a copy of the commit; return the contents of the files by name."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD"))) as archive:
            archive.extractall(folder, filter="data")
        made = subprocess.run(
            [sys.executable, "-m", "build", "--outdir", str(target), folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(seconds)},
        )
    if made.returncode:
        sys.exit(made.stdout)
    (source,) = target.glob("*.tar.gz")
    set_times(source, seconds)
    return {path.name: path.read_bytes() for path in target.iterdir()}


def main(target):
    """Build into a folder, which must be new or empty."""
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        sys.exit(f"{target} is not empty. Remove what is in it, or name another.")
    seconds = int(git("log", "-1", "--format=%ct"))
    built = build(target, seconds)
    with tempfile.TemporaryDirectory() as folder:
        again = build(Path(folder), seconds)
    if built != again:
        differing = [name for name in built if built[name] != again.get(name)]
        sys.exit(f"Built twice, these differ: {', '.join(differing)}")
    (wheel,) = (name for name in built if name.endswith(".whl"))
    if len(built[wheel]) > MAX_WHEEL_BYTES:
        sys.exit(f"{wheel} has {len(built[wheel]):,d} bytes, over {MAX_WHEEL_BYTES:,d}")
    with zipfile.ZipFile(target / wheel) as archive:
        missing = NEEDED - set(archive.namelist())
    if missing:
        sys.exit(f"{wheel} lacks {', '.join(sorted(missing))}")
    for name, content in sorted(built.items()):
        print(f"{name}: {len(content):,d} bytes, the same twice")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
