"""Imports point downwards, as docs/architecture.md has it. They are read, not run, so those inside
of functions count as well."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "jraphx_eqx"
# What each package may import of the others. Modules such as `_decide` are below all.
BELOW = {
    "data": "",
    "ops": "data",
    "nn": "data ops",
    "interop": "data ops nn",
    "loading": "data nn",
    "viz": "data nn loading",
    "parity": "",
    "report": "parity",
    "fit": "data nn interop parity",
    "cli": "data nn interop loading viz parity report fit",
}
# These use private modules of each other, downwards. All others keep to public names.
INSIDE = {"data", "ops", "nn", "loading", "interop"}
# Imports that wait for a call, or are there for types alone, because they close a circle.
LATE = {
    ("data._data", "data._batch"),
    ("loading._pack", "loading._budget"),
    ("nn.aggr._resolver", "nn.aggr"),
    ("nn.conv._edge", "nn.pool"),
}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in ROOT.rglob("*.py")}


def imports(name, source, is_package):
    """The modules of the package that a module imports."""
    package = ["jraphx_eqx", *name.split(".")][: None if is_package else -1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            whole = ".".join([*base, *filter(None, [node.module])])
            found = [f"{whole}.{alias.name}" for alias in node.names]
        else:
            continue
        for path in found:
            path = path.removeprefix("jraphx_eqx.") if path.startswith("jraphx_eqx.") else None
            while path and path not in MODULES:
                path = path.rpartition(".")[0]
            if path and path != name:
                yield path


GRAPH = {
    name: set(imports(name, path.read_text(), path.name == "__init__.py"))
    for name, path in MODULES.items()
    if name
}


def problems(graph):
    """Imports that point upwards, or at something private of another package."""
    for name, found in sorted(graph.items()):
        package = name.partition(".")[0]
        for other in sorted(found):
            top, _, rest = other.partition(".")
            if top == package or top.startswith("_") or package.startswith("_"):
                continue
            if top not in BELOW[package].split():
                yield f"{name} imports {other}, which is not below"
            elif package not in INSIDE and "._" in f".{rest}":
                yield f"{name} imports {other}, which is private"


def test_imports_point_downwards_and_at_public_names():
    assert {name.partition(".")[0] for name in GRAPH} >= set(BELOW)
    assert list(problems(GRAPH)) == []


def test_no_module_imports_itself_by_way_of_others():
    assert all(other in GRAPH[name] for name, other in LATE)
    graph = {n: {other for other in found if (n, other) not in LATE} for n, found in GRAPH.items()}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("parity._run", "from ..nn.pool import TopKPooling", "parity._run imports nn.pool, which"),
        ("report._html", "def f():\n    from ..parity._record import Record", "is private"),
        ("nn.conv._gcn", "import jraphx_eqx.interop", "which is not below"),
    ],
)
def test_an_import_that_points_elsewhere_is_seen(name, line, said):
    [problem] = problems({name: set(imports(name, line, False))})
    assert said in problem
