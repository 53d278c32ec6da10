"""A new plugin project, written from the templates of its kind."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from attrs import asdict, frozen
from jinja2 import Environment, PackageLoader, StrictUndefined

from mixvel_core.artifacts.files import write_text
from mixvel_core.errors import UsageError
from mixvel_core.plugin.definition import CONTRACT, Kind


@frozen(kw_only=True)
class Facts:
    """``hook``: the hook function. ``protocol``: what the component is. ``suite``: of the conformance kit.

    ``component``: the last word of its class. ``section``: how a recipe names it. The rest is the one option of the
    template: ``option``, ``type``, ``default``, ``check`` (of ``mixvel_core.plugin.options``) and ``doc``.
    """

    hook: str
    protocol: str
    suite: str
    component: str
    section: str
    option: str
    type: str
    default: str
    check: str
    bounds: str
    doc: str
    summary: str


FACTS: dict[Kind, Facts] = {
    "schedule": Facts(
        hook="mixvel_schedules",
        protocol="NoiseSchedule",
        suite="ScheduleSuite",
        component="Schedule",
        section="schedule: {use: NAME}",
        option="scale",
        type="float",
        default="1.0",
        check="above",
        bounds="0",
        doc="sigma at t = 1",
        summary="straight lines from data to noise of a chosen size",
    ),
    "expert": Facts(
        hook="mixvel_experts",
        protocol="ExpertFamily",
        suite="ExpertSuite",
        component="Family",
        section="expert: {use: NAME}",
        option="spread",
        type="float",
        default="1.0",
        check="above",
        bounds="0",
        doc="factor of the shard's standard deviations",
        summary="the denoiser of a Gaussian with the shard's mean and variances",
    ),
    "router": Facts(
        hook="mixvel_routers",
        protocol="RouterFamily",
        suite="RouterSuite",
        component="Family",
        section="routers: {mine: {use: NAME}}",
        option="width",
        type="float",
        default="0.5",
        check="above",
        bounds="0",
        doc="standard deviation of a shard's items around their mean",
        summary="the posterior of round Gaussians around the shards' means",
    ),
    "selector": Facts(
        hook="mixvel_selectors",
        protocol="Selector",
        suite="SelectorSuite",
        component="Selector",
        section="sample: {selector: {use: NAME}}",
        option="least",
        type="float",
        default="0.1",
        check="above_up_to",
        bounds="0, 1",
        doc="experts are asked whose weight is at least this part of the largest",
        summary="the experts whose weight is near the largest",
    ),
    "integrator": Facts(
        hook="mixvel_integrators",
        protocol="Integrator",
        suite="IntegratorSuite",
        component="Integrator",
        section="sample: {integrator: {use: NAME}}",
        option="stage",
        type="float",
        default="0.5",
        check="inside",
        bounds="0, 1",
        doc="where in the step the second evaluation is made",
        summary="two stages, second order; the second stage inside the step",
    ),
    "data": Facts(
        hook="mixvel_data",
        protocol="DataSource",
        suite="DataSourceSuite",
        component="Source",
        section="data: {use: NAME}",
        option="count",
        type="int",
        default="300",
        check="at_least",
        bounds="3",
        doc="items drawn",
        summary="points on three circles, labelled by circle",
    ),
    "partitioner": Facts(
        hook="mixvel_partitioners",
        protocol="Partitioner",
        suite="PartitionerSuite",
        component="Partitioner",
        section="partition: {use: NAME}",
        option="shards",
        type="int",
        default="2",
        check="at_least",
        bounds="1",
        doc="number K of shards",
        summary="shards of equal size, drawn at random",
    ),
    "metric": Facts(
        hook="mixvel_metrics",
        protocol="Metric",
        suite="MetricSuite",
        component="Metric",
        section="evaluate: {metrics: [{use: NAME}]}",
        option="width",
        type="float",
        default="1.0",
        check="above",
        bounds="0",
        doc="width of the kernel",
        summary="maximum mean discrepancy with a Gaussian kernel",
    ),
    "launcher": Facts(
        hook="mixvel_launchers",
        protocol="Launcher",
        suite="LauncherSuite",
        component="Launcher",
        section="launcher: {use: NAME}",
        option="threads",
        type="int",
        default="1",
        check="at_least",
        bounds="1",
        doc="threads of torch for each job",
        summary="trains in this process on the CPU, one job after another",
    ),
}


@frozen(kw_only=True)
class Project:
    """A plugin called ``name`` in recipes, of distribution ``mixvel-NAME`` and package ``mixvel_NAME``."""

    kind: Kind
    name: str
    folder: Path

    @property
    def package(self) -> str:
        """The package that is imported."""
        return f"mixvel_{self.name.replace('-', '_')}"

    @property
    def stem(self) -> str:
        """The name as the beginning of class names."""
        return "".join(part[0].upper() + part[1:] for part in self.name.split("-"))

    def write(self) -> list[Path]:
        """Writes the files. Raises UsageError where there is something already."""
        if self.folder.exists():
            raise UsageError(f"{self.folder}: is there already; choose another name or --out, or remove it")
        files = {
            "pyproject.toml": "pyproject.toml",
            "README.md": "README.md",
            f"src/{self.package}/__init__.py": "init.py",
            f"src/{self.package}/hooks.py": "hooks.py",
            f"src/{self.package}/{self.kind}.py": f"{self.kind}.py",
            f"tests/test_{self.package}.py": "test.py",
        }
        for place, template in files.items():
            write_text(self.folder / place, self._render(template))
        write_text(self.folder / f"src/{self.package}/py.typed", "")
        return [self.folder / place for place in files]

    def _render(self, template: str) -> str:
        environment = Environment(
            loader=PackageLoader("mixvel_core.scaffold"),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            autoescape=False,  # Python and TOML, not HTML
        )
        facts = FACTS[self.kind]
        return environment.get_template(f"{template}.jinja").render(
            **asdict(facts),
            kind=self.kind,
            name=self.name,
            package=self.package,
            stem=self.stem,
            cls=f"{self.stem}{facts.component}",
            contract=CONTRACT,
            recipe=facts.section.replace("NAME", self.name),
        )


def new_project(kind: Kind, name: str, out: Path) -> Project:
    """The project ``out``/mixvel-NAME, not yet written. Raises UsageError for a name that cannot be one."""
    parts = name.split("-")
    if not all(part.isascii() and part.isalnum() for part in parts) or not name[:1].isalpha() or name != name.lower():
        raise UsageError(
            f"{name!r} is no name for a plugin; use lower-case letters, digits and hyphens, beginning with a letter"
        )
    project = Project(kind=kind, name=name, folder=out / f"mixvel-{name}")
    if find_spec(project.package) is not None:
        raise UsageError(f"a package {project.package} is installed already; choose another name than {name!r}")
    return project
