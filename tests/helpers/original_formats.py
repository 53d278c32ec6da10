"""Small files in the formats that CIFAR-10 and CelebA are published in, byte for byte of the same kind."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# The pickler written in Python can be taught; typeshed knows little of it.
_Pickler: Any = pickle._Pickler  # type: ignore[attr-defined, unused-ignore]  # private, but it is this or opcodes by hand


class _Python2Pickler(_Pickler):  # type: ignore[misc]  # of type Any
    """Writes bytes and text as the strings of Python 2, as the published batches have them."""

    dispatch = _Pickler.dispatch.copy()

    def _save_string(self, value: bytes) -> None:
        small = len(value) < 256
        head = b"U" + bytes([len(value)]) if small else b"T" + len(value).to_bytes(4, "little")
        self.write(head + value)
        self.memoize(value)

    def _save_text(self, value: str) -> None:
        self._save_string(value.encode("latin-1"))

    dispatch[bytes] = _save_string
    dispatch[str] = _save_text


def python2_pickle(value: object) -> bytes:
    """``value`` as Python 2 with the NumPy of its time pickled it, protocol 2."""
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def cifar_arrays(count: int = 4, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pixels (count, 3072) and labels of each batch, by its name."""
    random = np.random.default_rng(seed)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    return {
        name: (random.integers(0, 256, (count, 3072), dtype=np.uint8), random.integers(0, 10, count)) for name in names
    }


def pickled_batch(name: str, pixels: np.ndarray, labels: np.ndarray) -> bytes:
    batch = {
        b"batch_label": name.replace("_", " ").encode(),
        b"labels": [int(label) for label in labels],
        b"data": pixels,
        b"filenames": [b"picture_s_%06d.png" % i for i in range(len(labels))],
    }
    return python2_pickle(batch)


def write_cifar_python(folder: Path, batches: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Path:
    place = folder / "cifar-10-batches-py"
    place.mkdir(parents=True)
    for name, (pixels, labels) in batches.items():
        (place / name).write_bytes(pickled_batch(name, pixels, labels))
    (place / "batches.meta").write_bytes(python2_pickle({b"num_cases_per_batch": len(labels), b"num_vis": 3072}))
    (place / "readme.html").write_text("<meta>")
    return place


def write_cifar_binary(folder: Path, batches: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Path:
    place = folder / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    for name, (pixels, labels) in batches.items():
        records = np.concatenate([labels.astype(np.uint8)[:, None], pixels], axis=1)
        (place / f"{name}.bin").write_bytes(records.tobytes())
    (place / "batches.meta.txt").write_text("airplane\nautomobile\n")
    return place


def packed(folder: Path, path: Path) -> Path:
    """A folder as a .tar.gz file."""
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, folder.name)
    return path


def attribute_text(names: Sequence[str], rows: Mapping[str, Sequence[bool]]) -> str:
    """list_attr_celeba.txt, or CelebAMask-HQ's, which is laid out alike."""
    lines = [str(len(rows)), " ".join(names) + " "]
    lines += [f"{image}  " + " ".join("1" if v else "-1" for v in values) for image, values in rows.items()]
    return "\n".join(lines) + "\n"


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth RGB image, other for another seed."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(
    image: Image.Image, kind: str = "PNG", exif: Image.Exif | None = None, more: Sequence[Image.Image] = ()
) -> bytes:
    """The bytes of an image file, with the frames ``more`` behind the first one."""
    buffer = io.BytesIO()
    tag = {} if exif is None else {"exif": exif}
    frames = {"save_all": True, "append_images": list(more)} if more else {}
    image.save(buffer, format=kind, **tag, **frames)
    return buffer.getvalue()


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def celebamask_files(count: int = 12, side: int = 24) -> dict[str, bytes]:
    """CelebAMask-HQ.zip: photographs, masks that are images too, and the attributes."""
    root = "CelebAMask-HQ"
    rows = {f"{i}.jpg": [i % 2 == 0, i % 3 == 0, i % 4 < 2] for i in range(count)}
    files = {f"{root}/CelebA-HQ-img/{i}.jpg": encoded(photograph(side, side, i), "JPEG") for i in range(count)}
    masks = {
        f"{root}/CelebAMask-HQ-mask-anno/0/{i:05}_hair.png": encoded(photograph(8, 8).convert("L")) for i in range(2)
    }
    table = attribute_text(["Male", "Smiling", "Young"], rows).encode()
    return {**files, **masks, f"{root}/CelebAMask-HQ-attribute-anno.txt": table, f"{root}/README.txt": b"read"}
