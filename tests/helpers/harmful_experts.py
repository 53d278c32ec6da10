"""Expert folders that an attacker may send, each harmful in one way."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from silos import forge

from mixvel_core.artifacts.files import read_json, write_json

TERABYTES = 4 << 40
Harm = Callable[[Path], object]
"""Does something to the folder of an expert."""


def safetensors(header: Mapping[str, Any], length: int | None = None, data: bytes = b"") -> Harm:
    """Writes a file with such a header, and ``data`` or holes of ``length`` behind it."""

    def write(path: Path) -> None:
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + data)
            if length is not None:
                file.truncate(8 + len(text) + length)

    return write


def _claim(shape: list[int], end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


def _model(write: Harm, *, listed: bool = True) -> Harm:
    """Another model, which the list of files knows, checksum and all, where that can be had."""

    def harm(folder: Path) -> None:
        write(folder / "model.safetensors")
        if listed:
            forge(folder)

    return harm


def _said(**changes: object) -> Harm:
    """The folder says something else of its expert, and its list agrees."""
    return lambda folder: forge(folder, **changes)


def _sealed(**changes: object) -> Harm:
    """It says so under the model's seal too."""
    return lambda folder: resealed(folder, {**read_json(folder / "config.json"), **changes})


def _option(name: str, value: object) -> Harm:
    """The folder says something else of its expert's options, and so does what is under the model's seal."""

    def harm(folder: Path) -> None:
        about = read_json(folder / "config.json")
        resealed(folder, {**about, "expert": {**about["expert"], name: value}})

    return harm


def resealed(folder: Path, about: dict[str, Any]) -> None:
    """The folder says ``about`` of its expert, the model agrees, and so does the list."""
    from mixvel_core.artifacts.tensors import read_checksummed, write_checksummed

    tensors, metadata = read_checksummed(folder / "model.safetensors")
    write_checksummed(folder / "model.safetensors", tensors, {**metadata, "about": about})
    forge(folder, **about)


def _another(expert: dict[str, Any]) -> Harm:
    """An expert of another family altogether."""

    def harm(folder: Path) -> None:
        resealed(folder, {**read_json(folder / "config.json"), "expert": expert})

    return harm


def _text(name: str, text: str | bytes) -> Harm:
    return lambda folder: (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)


def _listed(name: str) -> Harm:
    """A list of files that names one elsewhere, as it really is."""

    def harm(folder: Path) -> None:
        victim = folder.parent / "victim"
        victim.write_text("mine")
        record = read_json(folder / "done.json")
        from mixvel_core.artifacts.files import checksum

        facts = {"size": victim.stat().st_size, "checksum": checksum(victim)}
        files = {**record["files"], name.format(victim=victim): facts}
        write_json(folder / "done.json", {**record, "files": files})

    return harm


def _linked(name: str) -> Harm:
    def harm(folder: Path) -> None:
        elsewhere = folder.parent / f"elsewhere-{name}"
        (folder / name).rename(elsewhere)
        (folder / name).symlink_to(elsewhere)

    return harm


def _fifo(name: str) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return harm


_CALL = {"module": "os:system", "arguments": {"command": "touch owned"}, "weights": None, "clip": False}
_TIME = {"schedule": None, "time": "unit", "length": 1000, "timesteps": "continuous", "prediction": "x0"}
_CODE = {"use": "torch-module", **_CALL, **_TIME}
_DEEP = "[" * 200_000 + "]" * 200_000

HARMS: dict[str, Harm] = {
    "a header that claims terabytes": _model(safetensors(_claim([TERABYTES // 4], TERABYTES), data=b"1234")),
    "terabytes of holes": _model(safetensors(_claim([TERABYTES // 4], TERABYTES), TERABYTES), listed=False),
    "a shape beyond its bytes": _model(safetensors(_claim([10**6, 10**6], 4), data=b"1234")),
    "a header of exabytes": _model(lambda path: path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")),
    "a header of brackets": _model(lambda path: path.write_bytes(struct.pack("<Q", 90_000) + b"[" * 90_000)),
    "a pickle": _model(lambda path: path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.")),
    "a zip file of torch's": _model(lambda path: path.write_bytes(b"PK\x03\x04" + bytes(300))),
    "items of a trillion values": _said(shape=[10**6, 10**6, 10**6]),
    "items of terabytes": _sealed(shape=[1, 10**5, 10**5]),
    "items of no shape": _said(shape=[0, 8, 8]),
    "a shape of text": _said(shape=["1", "8", "8"]),
    "ten thousand dimensions": _sealed(shape=[1] * 10_000),
    "no items": _said(count=0),
    "a count of a thousand digits": _said(count=10**999),
    "a count of text": _said(count="12"),
    "an index far out": _said(index=10**30),
    "values of another kind": _said(values="0..255"),
    "Gaussians that are not there": _sealed(share="rank=4"),
    "more principal components than items": _sealed(share="rank=999"),
    "a share of a long number": _said(share="components=" + "9" * 9999),
    "a share of no words": _said(share=[]),
    "options that are no mapping": _said(expert=[1, 2]),
    "options of no plugin": _said(expert={"use": "zzz"}),
    "a schedule of a number": _said(schedule={"use": 7}),
    "channels without end": _option("channels", [10**9, 10**9]),
    "channels far too wide": _option("channels", [60_000, 60_000]),
    "a billion layers": _option("layers_per_block", 10**9),
    "more layers than its weights": _option("layers_per_block", 64),
    "code to run": _another(_CODE),
    "code to run, one for each shard": _another({"use": "per-shard", "experts": [_CODE, _CODE, _CODE]}),
    "code of azula": _another({"use": "azula", **_CALL}),
    "a list that leads out": _listed("../victim"),
    "a list that leads to the root": _listed("{victim}"),
    "a model by a link": _linked("model.safetensors"),
    "a list by a link": _linked("done.json"),
    "a config by a link": _linked("config.json"),
    "a pipe that never ends": _fifo("done.json"),
    "a config of a pipe": _fifo("config.json"),
    "a config of brackets": _text("config.json", _DEEP),
    "a config of a long number": _text("config.json", "9" * 10_000),
    "a config of a hundred megabytes": _text("config.json", b'{"a": "' + b"x" * (100 << 20) + b'"}'),
    "a config of nothing": _text("config.json", ""),
    "a config of another kind": _text("config.json", "[]"),
    "a list of another kind": _text("done.json", '{"key": [], "files": 3}'),
    "a list without checksums": _text("done.json", '{"key": "", "files": {"model.safetensors": {}}}'),
}
"""What is done to an expert's folder, in words."""
