"""Experts of an exported folder, as they are stored there: networks of diffusers in its own layout, others in ours.

In diffusers' layout a folder has ``config.json`` and ``diffusion_pytorch_model.safetensors``, which
``UNet2DModel.from_pretrained`` reads, and beside them what mixvel needs besides: ``expert.json``, what is known of the
shard, and ``expert.safetensors``, all tensors that are no weights. In ours it is a copy of the run's own folder.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import frozen

from mixvel_core.artifacts.files import read_json, replacing, write_json
from mixvel_core.errors import ArtifactError, UsageError
from mixvel_core.federated.bundle import refuse_items
from mixvel_core.pipeline.experts import StoredBase, StoredExpert, config_of
from mixvel_core.pipeline.jobs import MODEL, MOMENTS
from mixvel_core.pipeline.routers import StoredRouter
from mixvel_core.pipeline.shards import Shards
from mixvel_core.pipeline.shared_experts import StoredMember
from mixvel_core.protocols import WeightedExpert

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from mixvel_core.protocols import Expert, ExpertGroup

FACTS, REST, CONFIG = "expert.json", "expert.safetensors", "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"

_PREFIX = "prefix"
"""What the weights' names have before them in the family's own file."""


@frozen(kw_only=True)
class DiffusersExpert(StoredExpert):
    """An expert whose network lies in diffusers' layout."""

    @property
    def facts_file(self) -> Path:
        """``config.json`` is diffusers' own."""
        return self.folder / FACTS

    def tensors(self, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """What its family loads it from, on ``device``. Raises ArtifactError where a file is missing or damaged."""
        return _tensors_in(self.folder, device)

    def as_base(self) -> StoredBase:
        """The same as what adapters change."""
        made = super().as_base()
        return DiffusersBase(key=made.key, folder=made.folder, family=made.family, schedule=made.schedule)


@frozen(kw_only=True)
class DiffusersBase(StoredBase):
    """What adapters change, in diffusers' layout."""

    def load(self, device: torch.device | str = "cpu") -> Expert:
        """The expert, on ``device``."""
        facts = self.folder / FACTS
        return self.family.load(config_of(read_json(facts), facts), _tensors_in(self.folder, device), self.schedule)


@frozen(kw_only=True)
class DiffusersMember(DiffusersExpert, StoredMember):
    """Expert ``index`` of a network of all experts that lies in diffusers' layout."""


def exported_expert(stored: StoredExpert) -> StoredExpert:
    """The same expert, read in the layout that its folder has."""
    if not (stored.folder / FACTS).exists():
        return stored
    if isinstance(stored, StoredMember):
        return DiffusersMember(
            key=stored.key, folder=stored.folder, family=stored.family, schedule=stored.schedule, index=stored.index
        )
    return DiffusersExpert(key=stored.key, folder=stored.folder, family=stored.family, schedule=stored.schedule)


def _tensors_in(folder: Path, device: torch.device | str) -> dict[str, Tensor]:
    """What the family of the expert in ``folder`` loads it from."""
    from mixvel_core.artifacts.tensors import read_tensors

    try:
        prefix = str(read_json(folder / FACTS)[_PREFIX])
    except (KeyError, TypeError):
        raise ArtifactError(f"{folder / FACTS}: not of an exported expert; export it again") from None
    weights = _read_weights(folder / WEIGHTS)
    named = {prefix + name: value.to(device) for name, value in weights.items()}
    return named | read_tensors(folder / REST, device)


def write_expert(stored: StoredExpert, folder: Path) -> str | None:
    """Writes an expert of a run, or the network of all of them, into ``folder``.

    Returns:
        The class of diffusers that reads it, None where it lies in our own layout.

    Raises:
        DataError: the expert is made of the items themselves.
        ArtifactError: the run's file is damaged, or there is no room.
    """
    from mixvel_core.artifacts.tensors import write_checksummed

    tensors, config = stored.tensors(), stored.config
    refuse_items(tensors, config.count, config.shape, f"experts {stored.family.name}")
    # Adapters are no networks by themselves.
    found = None if stored.base is not None else _diffusers_network(_loaded(stored), tensors)
    moments = stored.folder / MOMENTS
    folder.mkdir(parents=True)
    if moments.exists():
        shutil.copyfile(moments, folder / MOMENTS)
    if found is None:
        for path in (stored.facts_file, stored.folder / MODEL):
            shutil.copyfile(path, folder / path.name)
        return None
    name, about, prefix = found
    weights = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    rest = {key: value for key, value in tensors.items() if not key.startswith(prefix)}
    _write_weights(folder / WEIGHTS, weights)
    write_json(folder / CONFIG, about)
    write_checksummed(folder / REST, rest, {"expert": stored.family.name})
    write_json(folder / FACTS, {**read_json(stored.facts_file), _PREFIX: prefix})
    return name


def _loaded(stored: StoredExpert) -> Expert | ExpertGroup:
    return stored.load_group() if isinstance(stored, StoredMember) else stored.load()


def write_router(stored: StoredRouter, counts: Sequence[int], folder: Path) -> None:
    """Copies the tensors of a run's router into ``folder``. ``counts``: items of each shard.

    Raises DataError where it is made of the items themselves, ArtifactError where it is damaged.
    """
    from mixvel_core.artifacts.tensors import read_tensors

    tensors, config = read_tensors(stored.folder / MODEL), stored.config
    for count in {*counts, sum(counts)}:
        refuse_items(tensors, count, config.shape, f"routers {stored.family.name}")
    folder.mkdir(parents=True)
    shutil.copyfile(stored.folder / MODEL, folder / MODEL)


def write_codec(shards: Shards, folder: Path) -> dict[str, Any]:
    """Copies the tensors of a run's codec into ``folder``; what is known of it. Raises ArtifactError where they are
    damaged."""
    if shards.codec is None:
        raise UsageError("the run has no codec")
    shards.codec.load("cpu")
    folder.mkdir(parents=True)
    shutil.copyfile(shards.codec.path, folder / MODEL)
    return dict(shards.about["codec"])


_Found: TypeAlias = tuple[str, dict[str, Any], str]


def _diffusers_network(expert: Expert | ExpertGroup, tensors: Mapping[str, Tensor]) -> _Found | None:
    """Class, configuration, and the prefix of its weights in ``tensors``, of the expert's network of diffusers; None
    where it has none whose weights are all there by their own names."""
    if "diffusers" not in sys.modules or not isinstance(expert, WeightedExpert) or expert.module is None:
        return None
    # Late, and only where an expert has loaded it already: it takes seconds.
    from diffusers.models.modeling_utils import ModelMixin

    for module in expert.module.modules():
        if isinstance(module, ModelMixin):
            prefix = _prefix_of(module, tensors)
            config = dict(module.config)
            made = {"_class_name": type(module).__name__, "_diffusers_version": sys.modules["diffusers"].__version__}
            hidden = {name for name in config if name.startswith("_")}
            plain = {name: value for name, value in config.items() if name not in hidden}
            return None if prefix is None else (type(module).__name__, {**plain, **made}, prefix)
    return None


def _prefix_of(network: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """What stands before the names of the network's weights in ``tensors``; None where not all are there, or more."""
    names = set(network.state_dict())
    first = next(iter(sorted(names)))
    for candidate in (key.removesuffix(first) for key in tensors if key.endswith(first)):
        if {key.removeprefix(candidate) for key in tensors if candidate and key.startswith(candidate)} == names:
            return candidate
    return None


def _write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """As diffusers writes and reads them."""
    from safetensors.torch import save_file

    own = {name: value.detach().cpu().clone().contiguous() for name, value in sorted(weights.items())}
    with replacing(path) as temporary:
        save_file(own, str(temporary), metadata={"format": "pt"})


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of diffusers. Raises ArtifactError where it is missing, cut short or too long."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from mixvel_core.artifacts.files import check_fits_memory

    if not path.is_file():
        raise ArtifactError(f"{path}: missing; download the whole folder, or export it again")
    check_fits_memory(path)
    try:
        found: dict[str, Tensor] = load_file(str(path))
    except (OSError, SafetensorError, ValueError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); download it, or export it, again") from None
    return found
