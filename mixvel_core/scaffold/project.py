"""A new plugin project, written from the templates."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from attrs import asdict, frozen
from jinja2 import Environment, PackageLoader, StrictUndefined

from mixvel_core.errors import UsageError
from mixvel_core.files import write_text
from mixvel_core.plugin.definition import CONTRACT, Kind
from mixvel_core.scaffold.kinds import FACTS


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
