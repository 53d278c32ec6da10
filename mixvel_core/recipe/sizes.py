"""Sizes: one recipe for several machines, by what its section `sizes` sets for each.

    sizes:
      two-cores:
        expert.channels: [16, 32, 32]
        sample.count: 1000

Keys are paths, as on the command line; each value replaces what stands there. `--size two-cores` sets them and calls
the run NAME-two-cores. Elsewhere the section has no effect.
"""

from __future__ import annotations

from mixvel_core.errors import did_you_mean
from mixvel_core.recipe.overrides import with_problem, with_values, without
from mixvel_core.recipe.problems import RecipeProblem, Tree, shortened

SECTION = "sizes"


def at_size(tree: Tree, size: str | None) -> Tree:
    """The tree with what its section `sizes` sets for ``size``, and without that section; None sets nothing.

    What is wrong with the section, or a size that it has not, is kept as a problem.
    """
    sizes = tree.value.get(SECTION) if isinstance(tree.value, dict) else None
    if sizes is None and size is None:
        return tree
    if not isinstance(sizes, dict) or not all(isinstance(one, dict) and one for one in sizes.values()):
        message = "must hold sizes by name, each with key.path: value lines"
        if sizes is None:
            message = (
                f"is missing, so there is no size {shortened(str(size))!r}; it holds key.path: value lines by name"
            )
        return with_problem(
            without(tree, SECTION), RecipeProblem(path=(SECTION,), message=message, place=tree.place((SECTION,)))
        )
    if size is None:
        return without(tree, SECTION)
    if size not in sizes:
        names = [str(name) for name in sizes]
        message = f"has no {shortened(size)!r}{did_you_mean(size, names)}  (sizes: {', '.join(names)})"
        return with_problem(
            without(tree, SECTION), RecipeProblem(path=(SECTION,), message=message, place=tree.place((SECTION,)))
        )
    made = with_values(without(tree, SECTION), tree, SECTION, size)
    name = made.value.get("name")
    if isinstance(name, str) and not name.endswith(f"-{size}"):
        made = Tree(value={**made.value, "name": f"{name}-{size}"}, places=made.places, problems=made.problems)
    return made
