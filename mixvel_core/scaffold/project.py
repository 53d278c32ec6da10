"""A new plugin project, written from the templates of its kind."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from attrs import frozen
from jinja2 import Environment, PackageLoader, StrictUndefined

from mixvel_core.artifacts.files import write_text
from mixvel_core.errors import UsageError
from mixvel_core.plugin.definition import CONTRACT, is_name
from mixvel_core.plugin.kinds import PluginKind


@frozen(kw_only=True)
class Project:
    """A plugin called ``name`` in recipes, of distribution ``mixvel-NAME`` and package ``mixvel_NAME``."""

    kind: PluginKind
    name: str
    folder: Path

    @property
    def package(self) -> str:
        """The name that Python imports, mixvel_NAME."""
        return f"mixvel_{self.name.replace('-', '_')}"

    @property
    def stem(self) -> str:
        """The name as the beginning of class names."""
        return "".join(part[0].upper() + part[1:] for part in self.name.split("-"))

    def write(self) -> list[Path]:
        """Writes the files. Raises UsageError where there is something already."""
        if self.folder.exists():
            raise UsageError(f"{self.folder}: is there already; choose another name or --out, or remove it")
        texts = self._texts()
        for place, text in texts.items():
            write_text(self.folder / place, text)
        write_text(self.folder / f"src/{self.package}/py.typed", "")
        return [self.folder / place for place in texts]

    def _texts(self) -> dict[str, str]:
        """The text of each file. The component's template also sets what the other templates print of it."""
        package, _, path = self.kind.template.partition(":")
        environment = Environment(
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            autoescape=False,  # Python and TOML, not HTML
        )
        given = {
            "kind": self.kind.name,
            "hook": self.kind.hook,
            "protocol": self.kind.protocol_name,
            "protocols": self.kind.protocol.partition(":")[0],
            "name": self.name,
            "package": self.package,
            "stem": self.stem,
            "contract": CONTRACT,
        }
        component = environment.from_string((files(package) / path).read_text("utf-8")).make_module(given)
        facts = {name: value for name, value in vars(component).items() if not name.startswith("_")}
        environment.loader = PackageLoader("mixvel_core.scaffold")

        def rendered(template: str) -> str:
            return environment.get_template(f"{template}.jinja").render(given | facts)

        return {
            "pyproject.toml": rendered("pyproject.toml"),
            "README.md": rendered("README.md"),
            f"src/{self.package}/__init__.py": rendered("init.py"),
            f"src/{self.package}/hooks.py": rendered("hooks.py"),
            f"src/{self.package}/{self.kind.name}.py": str(component),
            f"tests/test_{self.package}.py": rendered("test.py"),
        }


def new_project(kind: PluginKind, name: str, out: Path) -> Project:
    """The project ``out``/mixvel-NAME, not yet written. Raises UsageError for a name that cannot be one."""
    if not is_name(name) or not name[0].isalpha() or name != name.lower():
        raise UsageError(
            f"{name!r} is no name for a plugin; use lower-case letters, digits and hyphens, beginning with a letter"
        )
    project = Project(kind=kind, name=name, folder=out / f"mixvel-{name}")
    if find_spec(project.package) is not None:
        raise UsageError(f"a package {project.package} is installed already; choose another name than {name!r}")
    return project
