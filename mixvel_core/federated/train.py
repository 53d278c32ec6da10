"""One owner trains one expert on all of its own data, and shares the expert alone, as a bundle.

Other owners, their data, their fractions and their number play no part. The weights are those that the same shard would
give in a run of all shards with the same seed.
"""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from mixvel_core.artifacts.artifact import FORMAT, Artifact, key_of
from mixvel_core.artifacts.files import read_json, remove_unfinished, write_json
from mixvel_core.artifacts.lock import locked
from mixvel_core.errors import DataError, UsageError
from mixvel_core.federated.bundle import FILES, check_share, is_bundle, write_bundle
from mixvel_core.federated.share import Share, check_shared_fit
from mixvel_core.pipeline.codecs import refuse_codec
from mixvel_core.pipeline.experts import ExpertStage
from mixvel_core.pipeline.jobs import make
from mixvel_core.pipeline.partition import partition, stored_shards
from mixvel_core.pipeline.preflight import try_expert
from mixvel_core.pipeline.shards import StoredShard
from mixvel_core.pipeline.shared_experts import check_apart
from mixvel_core.pipeline.splits import split
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import diff, keyed, plain
from mixvel_core.recipe.model import Recipe

_ABOUT = "expert.json"
_USUAL = Share()


def training_folder(out: Path) -> Path:
    """Where the data, the checkpoints and the losses of an expert are kept: beside the bundle, not in it."""
    return out.with_name(f"{out.name}.training")


def train_expert(
    recipe: Recipe, index: int, out: Path, *, share: Share = _USUAL, fresh: bool = False, progress: Progress
) -> None:
    """Trains expert ``index`` on all items of the recipe's data; goes on where it stopped, or does nothing.

    Args:
        recipe: its data are one owner's own. The partition is not made, and routers and sampling do not matter.
        index: k in 0..K-1, which names the job and so decides its random numbers.
        out: the folder of the bundle; beside it ``OUT.training`` stays with the owner.
        share: what is shared of the data beside the count of items; by default their mean and variance.
        fresh: throw away what is there.
        progress: shows where it is.

    Raises:
        UsageError: the folders belong to something else; nothing is changed.
        RecipeError, DataError: data are missing, or the expert cannot be trained on them, or shared.
        MixvelError: another process is at work there.
    """
    refuse_codec(recipe, "owners would fit codecs of their own, and experts of other latents cannot be mixed")
    check_apart(recipe.expert, "one network for all shards needs all data in one place, and an owner has its own alone")
    work = training_folder(out)
    with locked(work):
        _check_folders(recipe, index, out, work, fresh)
        check_share(share, recipe.expert.build(), recipe.expert.name)
        key = key_of(data=keyed(recipe.data), partition=None, seed=recipe.seed, **_condition(recipe))
        shards = Artifact(folder=work / "shards", key=key)
        stage = ExpertStage(
            shard=_own_shard(recipe, index, share, shards, work, fresh, progress),
            shards_key=shards.digest(),
            family=recipe.expert,
            schedule=recipe.schedule,
            seed=recipe.seed,
            # Absolute: a launcher's workers may run in another folder.
            folder=(work / "expert").absolute(),
            tensorboard=(work / "tensorboard").absolute(),
        )
        make(stage.training_jobs(), recipe.launcher, progress)
        stored = stage.result
        if is_bundle(out, index, share, stored):
            progress.line(f"{stage.name}: already bundled")
            return
        write_bundle(stored, stage.shard, share, out)
        progress.line(f"{stage.name}: trained on {stage.shard.count} items; shares weights and {share.in_words}")


def _own_shard(
    recipe: Recipe, index: int, share: Share, artifact: Artifact, work: Path, fresh: bool, progress: Progress
) -> StoredShard:
    """All items of the data as shard ``index``. Nothing is written where the expert cannot be trained on them, or they
    are too few for what is to be shared."""
    stored = None if fresh else stored_shards(artifact)
    if stored is None:
        if recipe.data is None:
            raise DataError("`data` is null: an expert is trained on data; name them, for example data=digits")
        made = split(recipe.data, None, recipe.seed, progress, recipe.condition)
        [part] = made.parts
        check_shared_fit(share, evolve(part, index=index))
        streamed = made.data.streaming is not None
        try_expert(f"expert-{index}", recipe.expert.build(), part, recipe.schedule.build(), streamed)
        remove_unfinished(work)
        if fresh:
            for name in ("expert", "shards", "tensorboard"):
                Artifact(folder=work / name, key="").clear()
        write_json(work / _ABOUT, _about(recipe, index))
        stored = partition(made, artifact, progress)
    [only] = stored.parts
    shard = evolve(only, index=index)
    check_shared_fit(share, shard)
    return shard


def _about(recipe: Recipe, index: int) -> dict[str, object]:
    """Everything that the weights depend on."""
    return {
        "format": FORMAT,
        "expert": plain(recipe.expert),
        "data": plain(recipe.data),
        "schedule": plain(recipe.schedule),
        "seed": recipe.seed,
        "index": index,
        **_condition(recipe),
    }


def _condition(recipe: Recipe) -> dict[str, object]:
    return {} if recipe.condition is None else {"condition": dict(recipe.condition)}


def _check_folders(recipe: Recipe, index: int, out: Path, work: Path, fresh: bool) -> None:
    others = sorted(p.name for p in out.iterdir() if p.name not in FILES) if out.is_dir() else []
    if others or (out.exists() and not (work / _ABOUT).exists()):
        what = f"holds {others[0]}" if others else f"was not made here ({work} is missing)"
        raise UsageError(f"{out}: {what}; choose another --out")
    if not (work / _ABOUT).exists():
        found = sorted(p.name for p in work.iterdir() if p.name != ".lock")
        if found:
            raise UsageError(f"{work}: holds files of something else ({found[0]}, ...); choose another --out")
    elif not fresh and (changed := diff(read_json(work / _ABOUT), _about(recipe, index))):
        lines = "; ".join(changed[:8])
        raise UsageError(f"{out}: made in another way ({lines}); --fresh starts over, another --out keeps both")
