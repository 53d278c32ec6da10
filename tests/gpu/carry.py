"""Fills a folder with all that `tests/gpu/device.sh` needs on a GPU machine without a network.

python tests/gpu/carry.py FOLDER [--python 3.12] [--idx FOLDER] [--classifier FOLDER]

FOLDER/tree: the files of the last commit. FOLDER/wheels: packages that an image with PyTorch is likely to lack.
FOLDER/fashion-mnist: the data set's four files. FOLDER/classifier: trained classifiers of the scores, where there are
some. What is there already is kept, but for the tree. ray and POT are left out: nothing of `nox -s gpu` imports them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("diffusers", "cattrs", "importlib_metadata", "zipp", "hatchling", "trove-classifiers", "pathspec")
"""Pure Python all of them, at the versions installed here, which are those of constraints.txt."""
PACKAGE_OF_DATA = "dataset-fashion-mnist"
LARGEST = 60 << 20
"""Bytes in all, so that the folder and a checkout fit in 64 MiB."""


def main() -> None:
    """Makes the folder and prints what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to; made if absent, outside of version control")
    parser.add_argument("--python", default="3.12", help="the other machine's Python")
    parser.add_argument("--idx", type=Path, help="a folder with the data set's files; absent: the Debian package's")
    parser.add_argument("--classifier", type=Path, help="trained classifiers; absent: trained there")
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    carry_tree(folder / "tree")
    carry_wheels(folder / "wheels", options.python)
    carry_data(folder / "fashion-mnist", options.idx)
    if options.classifier is not None:
        shutil.copytree(options.classifier, folder / "classifier", dirs_exist_ok=True)
    sizes = {part.name: _bytes(part) for part in sorted(folder.iterdir())}
    for name, size in sizes.items():
        print(f"{size / 2**20:7.2f} MiB  {name}")
    if sum(sizes.values()) > LARGEST:
        raise SystemExit(f"{folder}: {sum(sizes.values()) / 2**20:.1f} MiB, more than {LARGEST >> 20}; leave data out")


def carry_tree(folder: Path) -> None:
    """The files of the last commit, as a checkout has them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with tempfile.TemporaryFile() as packed:
        subprocess.run(["git", "archive", "--format=tar", "HEAD"], cwd=ROOT, stdout=packed, check=True)
        packed.seek(0)
        subprocess.run(["tar", "-x", "-C", str(folder)], stdin=packed, check=True)


def carry_wheels(folder: Path, python: str) -> None:
    """Wheels for another Python, one of each package and none of what they need in turn."""
    if folder.exists() and len(list(folder.glob("*.whl"))) == len(PACKAGES):
        return
    shutil.rmtree(folder, ignore_errors=True)
    wanted = [f"{name}=={version(name)}" for name in PACKAGES]
    only = ("--no-deps", "--only-binary=:all:", "--python-version", python)
    download = ("-m", "pip", "download", "--quiet", *only, "--dest", str(folder), *wanted)
    subprocess.run([sys.executable, *download], check=True)


def carry_data(folder: Path, source: Path | None) -> None:
    """The four gzipped files of Fashion-MNIST, from ``source`` or out of the Debian package."""
    if folder.exists() and len(list(folder.glob("*.gz"))) == 4:
        return
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        if source is None:
            subprocess.run(["apt-get", "download", "-qq", PACKAGE_OF_DATA], cwd=scratch, check=True)
            [package] = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg", "-x", str(package), scratch], check=True)
            source = Path(scratch)
        for file in sorted(source.rglob("*-ubyte.gz")):
            shutil.copyfile(file, folder / file.name)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
