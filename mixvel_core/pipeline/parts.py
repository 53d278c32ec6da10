"""Sampling in parts by the workers of a launcher. In process is a launcher with one worker.

Sample i is a function of (seed, i), and parts are cut where a sampler cuts its batches, so the results have the same
bits for any number of workers on the same kind of device with the same number of threads. Workers read the models in
the run folder. The driver writes what they compute, part by part: a killed run goes on with the parts that are done.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import asdict, define, field, frozen

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.errors import RecipeError
from mixvel_core.pipeline.sample_files import read_samples, write_samples
from mixvel_core.plugin.definition import LauncherUse
from mixvel_core.protocols import Mapper, Progress, ProgressTask
from mixvel_core.recipe.build import build

if TYPE_CHECKING:
    import torch

    from mixvel_core.protocols import Condition
    from mixvel_core.sampling.sampler import Sampler
    from mixvel_core.sampling.samples import Samples

SpecT = TypeVar("SpecT")


@frozen(kw_only=True)
class ModelSource(Generic[SpecT]):
    """Where models are read from; picklable. ``folder``: all that is read is below. ``threads``: of torch, or None.

    ``open``: what a worker calls once, with its device; returns what makes the sampler that a spec describes, with its
    experts loaded, as many as there is room for.
    """

    folder: Path
    threads: int | None
    open: Callable[[torch.device], Callable[[SpecT], Sampler]]


@frozen(kw_only=True)
class SampleJob(Generic[SpecT]):
    """Samples 0 to ``count`` - 1 of the sampler that ``spec`` describes to the model source.

    ``condition``: of each, ``count`` rows, for models that read one; None: the null condition. ``label``: of its bar.
    ``artifact``: what they are stored as, beside which finished parts are kept; None keeps none.
    """

    label: str
    spec: SpecT
    count: int
    steps: int
    seed: int
    artifact: Artifact | None = None
    condition: Condition | None = None


@frozen(kw_only=True)
class SamplePart(Generic[SpecT]):
    """Samples ``first`` to ``last - 1`` of job number ``job``; ``condition``: of these."""

    job: int
    spec: SpecT
    seed: int
    first: int
    last: int
    condition: Condition | None = None


@frozen(kw_only=True)
class SamplingTime:
    """What sampling took, without loading. ``seconds``: in all. ``each``: seconds a sample, of several parts the
    median: the first one of a worker also allocates and chooses kernels. ``device``: which one, and on a CPU with how
    many threads.
    """

    seconds: float
    each: float
    device: str


def sampling_time(notes: Mapping[str, Any], count: int) -> SamplingTime:
    """The time as the notes of an artifact of ``count`` samples have it; earlier versions kept the seconds in all."""
    seconds = float(notes["seconds"])
    return SamplingTime(
        seconds=seconds, each=float(notes.get("each", seconds / count)), device=str(notes.get("device", ""))
    )


@frozen(kw_only=True)
class SampledPart:
    """Samples of a part or of a whole job, on the CPU, and the time that sampling took."""

    samples: Samples
    time: SamplingTime


@frozen(kw_only=True)
class _SampleTask(Generic[SpecT]):
    source: ModelSource[SpecT]
    folder: Path
    name: str = "sampling"

    def begin(self, device: torch.device) -> Callable[[SamplePart[SpecT], Callable[[int], None]], SampledPart]:
        import torch

        from mixvel_core.device import device_name

        sampler_of = self.source.open(device)
        if self.source.threads is not None:
            torch.set_num_threads(self.source.threads)

        def sample(part: SamplePart[SpecT], on_step: Callable[[int], None]) -> SampledPart:
            on_step(0)
            sampler = sampler_of(part.spec)
            started = perf_counter()
            # Models that read no conditions, as a monolith of another family, are sampled without.
            condition = part.condition if sampler.reads else None
            samples = sampler.part(part.first, part.last, condition=condition, seed=part.seed, on_step=on_step).cpu()
            seconds = perf_counter() - started
            each = seconds / (part.last - part.first)
            time = SamplingTime(seconds=seconds, each=each, device=device_name(device))
            return SampledPart(samples=samples, time=time)

        return sample


def mapper_of(launcher: LauncherUse | None) -> Mapper:
    """The launcher of work other than training; absent, this process. Raises RecipeError where it only trains."""
    built = build("launcher", "local") if launcher is None else launcher.build()
    if not isinstance(built, Mapper):
        name = "local" if launcher is None else launcher.name
        raise RecipeError(f"sample.launcher: {name} trains and does nothing else; use local or ray")
    return built


def sample_jobs(
    source: ModelSource[SpecT], jobs: Sequence[SampleJob[SpecT]], mapper: Mapper, batch: int, progress: Progress
) -> Iterator[tuple[int, SampledPart]]:
    """Samples all jobs; each worker does one part after another.

    Args:
        source: of the models.
        jobs: what to sample. Parts that were kept before are not sampled again.
        mapper: runs the parts.
        batch: samples in a part.
        progress: a bar for each job under way, in sample-steps.

    Yields:
        The index of each job and its samples, as jobs are done.
    """
    from mixvel_core.sampling.samples import cuts

    parts = [
        SamplePart(
            job=index,
            spec=job.spec,
            seed=job.seed,
            first=first,
            last=last,
            condition=None if job.condition is None else job.condition.rows(slice(first, last)),
        )
        for index, job in enumerate(jobs)
        for first, last in cuts(job.count, batch)
    ]
    with ExitStack() as bars:
        collected = [
            _Collected(
                job=job,
                parts={n: part for n, part in enumerate(parts) if part.job == index},
                progress=progress,
                bars=bars.enter_context(ExitStack()),
            )
            for index, job in enumerate(jobs)
        ]
        todo = []
        for n, part in enumerate(parts):
            kept = collected[part.job].kept(n)
            if kept is None:
                todo.append(n)
            elif (whole := collected[part.job].add(n, kept)) is not None:
                yield part.job, whole
        if not todo:
            return

        def on_step(index: int, done: int) -> None:
            collected[parts[todo[index]].job].show(todo[index], done)

        task = _SampleTask(source=source, folder=source.folder)
        with closing(mapper.map(task, [parts[n] for n in todo], on_step)) as results:
            for index, result in results:
                job = parts[todo[index]].job
                collected[job].keep(todo[index], result)
                if (whole := collected[job].add(todo[index], result)) is not None:
                    yield job, whole


def forget_parts(artifact: Artifact) -> None:
    """Removes the parts kept beside ``artifact``, once it is done."""
    shutil.rmtree(_parts_folder(artifact), ignore_errors=True)


def _parts_folder(artifact: Artifact) -> Path:
    return artifact.folder / f"{artifact.name}.parts"


@define(kw_only=True)
class _Collected:
    """The parts of one job that are done, by their numbers, and the job's bar from its first step to its end."""

    job: SampleJob[Any]
    parts: Mapping[int, SamplePart[Any]]
    progress: Progress
    bars: ExitStack
    _bar: ProgressTask | None = field(default=None, init=False)
    _done: dict[int, SampledPart] = field(factory=dict, init=False)
    _steps: dict[int, int] = field(factory=dict, init=False)

    def show(self, number: int, done: int, note: str = "") -> None:
        """Part ``number`` has done so many sample-steps."""
        if self._bar is None:
            total = self.job.count * self.job.steps
            self._bar = self.bars.enter_context(self.progress.task(self.job.label, total, "image steps"))
        self._steps[number] = done
        self._bar.update(sum(self._steps.values()), note)

    def kept(self, number: int) -> SampledPart | None:
        """The part as an earlier run kept it."""
        stored = self._stored(number)
        if stored is None or not stored.is_done():
            return None
        samples = read_samples(stored.folder / f"{stored.name}.npz")
        return SampledPart(samples=samples, time=sampling_time(stored.notes(), len(samples.x)))

    def keep(self, number: int, part: SampledPart) -> None:
        """Writes the part for a later run. The caller stores the last one with the others at once."""
        stored = self._stored(number)
        if stored is not None and len(self._done) + 1 < len(self.parts):
            path = stored.folder / f"{stored.name}.npz"
            write_samples(path, part.samples)
            stored.commit([path.name], **asdict(part.time))

    def add(self, number: int, part: SampledPart) -> SampledPart | None:
        """The part is done; returns all of the job if it was the last one."""
        from mixvel_core.sampling.samples import joined

        self._done[number] = part
        steps = (self.parts[number].last - self.parts[number].first) * self.job.steps
        if len(self._done) < len(self.parts):
            self.show(number, steps)
            return None
        parts = [self._done[n] for n in self.parts]
        samples = joined([part.samples for part in parts])
        self.show(number, steps, f"{float(samples.evaluations.float().mean()):.4g} evaluations a sample")
        self.bars.close()
        self._done.clear()
        times = [part.time for part in parts]
        time = SamplingTime(
            seconds=sum(one.seconds for one in times),
            each=median(one.each for one in times),
            device="; ".join(sorted({one.device for one in times})),
        )
        return SampledPart(samples=samples, time=time)

    def _stored(self, number: int) -> Artifact | None:
        """What the part is kept as until all are there."""
        if (whole := self.job.artifact) is None:
            return None
        name = f"{self.parts[number].first}-{self.parts[number].last}"
        return Artifact(folder=_parts_folder(whole), key=key_of(whole=whole.key, piece=name), name=name)
