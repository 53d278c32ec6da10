"""Trained classifiers on disk: each is trained once for its data and training, and read ever after.

A file holds the weights as safetensors, with the labels, the accuracy and what it was trained on beside them. Its name
is a digest of data and training. ``digest`` is of the weights: it stands in the name of every score.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from attrs import asdict, evolve, frozen

from mixvel_core.artifacts.files import replacing
from mixvel_core.errors import DataError
from mixvel_core.protocols import Data, Items, Progress
from mixvel_metrics.classifier_network import GreyClassifier, Training, predicted, train

FORMAT = 1
"""Counts up when the network or its training changes, so that older files are trained anew."""
_ROWS = 4096


@frozen(kw_only=True, eq=False)
class Trained:
    """A trained network. ``labels``: what its classes stand for, rising. ``digest``: of the weights, 16 digits.

    ``accuracy``: on the test data, None without any. ``seconds``: that training took.
    """

    network: GreyClassifier
    labels: tuple[int, ...]
    digest: str
    accuracy: float | None
    seconds: float


def stored(
    name: str,
    data: Data,
    test: Data | None,
    training: Training,
    home: Path,
    device: torch.device,
    progress: Progress,
) -> Trained:
    """The classifier of these data, read where it was trained before, else trained and kept.

    Args:
        name: of the data, for the file and for messages.
        data: the labelled images it is trained on.
        test: labelled images that its accuracy is measured on, or None.
        training: how.
        home: the folder of files.
        device: where it is trained and used.
        progress: a bar of images.

    Raises:
        DataError: items without labels or that are no images, test data that do not go with them, a damaged file, or
            no room for one.
    """
    labels = labels_of(data, name)
    if test is not None:
        check_test(data, test, name)
    key = _digest_of(data, test, training)
    path = home / f"classifier-{name}-{key}.safetensors"
    if not path.exists():
        try:
            with _locked(path, progress):
                # Another process may have trained it while this one waited.
                if not path.exists():
                    _write(path, _trained(name, data, test, labels, training, device, progress))
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}); set MIXVEL_DATA or `store`") from None
    return _read(path, int(data.items.shape[1]), device)


def labels_of(data: Data, name: str) -> tuple[int, ...]:
    """The labels that occur, rising. Raises DataError where there are none, or only one."""
    if data.labels is None:
        raise DataError(f"metric classifier: the data of {name} have no labels; take a source that has them")
    found = tuple(int(label) for label in np.unique(data.labels))
    if len(found) < 2:
        raise DataError(f"metric classifier: all items of {name} have label {found[0]}; two classes are the least")
    return found


def check_test(data: Data, test: Data, name: str) -> None:
    """Raises DataError where ``test`` has images of another shape than ``data``, or labels of its own."""
    shape, other = (tuple(int(n) for n in one.items.shape[1:]) for one in (data, test))
    if other != shape:
        raise DataError(
            f"metric classifier: items of {name} have shape {shape}, those of the test data {other}; give `test` the "
            "size of `data`"
        )
    unknown = sorted({*labels_of(test, name)} - {*labels_of(data, name)})
    if unknown:
        raise DataError(f"metric classifier: the test data have label {unknown[0]}, which no image of {name} has")


def classes_of(trained: Trained, items: Items, device: torch.device) -> np.ndarray:
    """The likeliest label of each image (n, C, H, W), (n,) int64."""
    found: np.ndarray = np.array(trained.labels, dtype=np.int64)[predicted(trained.network, items, device)]
    return found


def _trained(
    name: str,
    data: Data,
    test: Data | None,
    labels: tuple[int, ...],
    training: Training,
    device: torch.device,
    progress: Progress,
) -> Trained:
    classes = np.searchsorted(np.array(labels), np.asarray(data.labels))
    started = perf_counter()
    with progress.task(f"train classifier of {name}", training.epochs * len(data.items), "images") as bar:
        network = train(data.items, classes, len(labels), training, device, bar.update)
    seconds = perf_counter() - started
    made = Trained(network=network, labels=labels, digest=_digest(network), accuracy=None, seconds=seconds)
    if test is not None:
        accuracy = float((classes_of(made, test.items, device) == test.labels).mean())
        made = evolve(made, accuracy=accuracy)
        progress.line(f"classifier of {name}: {accuracy:.2%} of {len(test.items)} test images, {seconds:.0f} s")
    return made


def _write(path: Path, made: Trained) -> None:
    from safetensors.torch import save

    about = {"labels": made.labels, "digest": made.digest, "accuracy": made.accuracy, "seconds": made.seconds}
    tensors = {key: value.detach().cpu().contiguous() for key, value in made.network.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"mixvel": json.dumps(about)}))


def _read(path: Path, channels: int, device: torch.device) -> Trained:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["mixvel"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no mapping
        network = GreyClassifier(channels, len(about["labels"]))
        network.load_state_dict(tensors)
        if _digest(network) != about["digest"]:
            raise ValueError("its weights are not those that were written")
        found = Trained(
            network=network.to(device).eval(),
            labels=tuple(int(label) for label in about["labels"]),
            digest=str(about["digest"]),
            accuracy=about["accuracy"],
            seconds=float(about["seconds"]),
        )
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: damaged ({reason}); remove it, and it is trained again") from None
    return found


def _digest(network: GreyClassifier) -> str:
    """BLAKE2b of all weights and running means, in the order of their names; 16 digits."""
    found = hashlib.blake2b(digest_size=8)
    for key, value in sorted(network.state_dict().items()):
        if value.is_floating_point():
            found.update(key.encode() + value.detach().cpu().numpy().astype("<f4").tobytes())
    return found.hexdigest()


def _digest_of(data: Data, test: Data | None, training: Training) -> str:
    """BLAKE2b of everything a trained classifier depends on but the machine; 16 digits."""
    found = hashlib.blake2b(json.dumps({"format": FORMAT, **asdict(training)}).encode(), digest_size=8)
    for one in (data, test):
        found.update(b"none" if one is None else f"{one.items.dtype} {tuple(one.items.shape)}".encode())
        if one is not None:
            found.update(np.ascontiguousarray(one.labels).tobytes())
            for start in range(0, len(one.items), _ROWS):
                found.update(np.ascontiguousarray(one.items[start : start + _ROWS]).tobytes())
    return found.hexdigest()


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """One process at a time trains the classifier at ``path``; the kernel lets go of it however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.line(f"{path}: another process trains it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
        lock.unlink(missing_ok=True)
