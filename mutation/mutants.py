"""The mutants: made by mutmut, one switch for all of them, in a folder of their own."""

import ast
import compileall
import contextlib
import difflib
import functools
import io
import json
import os
import re
import shutil
import sys
import tokenize
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "mutants"
PACKAGES = ("jraphx_eqx.ops", "jraphx_eqx.nn.pool", "jraphx_eqx.nn.conv")
SWITCH = "MUTANT_UNDER_TEST"
COPIED = ("parity_tests", "tests")


def generate() -> None:
    """Writes `mutants/`: the package with every mutant of every function in it."""
    from mutmut.__main__ import copy_src_dir, create_mutants
    from mutmut.mutation.mutators import mutation_operators

    from .operators import OPERATORS

    mutation_operators.extend(op for op in OPERATORS if op not in mutation_operators)
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.chdir(ROOT)
    FOLDER.mkdir()
    copy_src_dir()
    with contextlib.redirect_stdout(io.StringIO()):
        create_mutants(1)
    ignored = shutil.ignore_patterns("__pycache__", "conftest.py")
    for name in COPIED:
        shutil.copytree(ROOT / name, FOLDER / name, ignore=ignored if name != "tests" else None)
    shutil.copy(ROOT / "pyproject.toml", FOLDER)
    with warnings.catch_warnings():  # of mutants that call a number
        warnings.simplefilter("ignore")
        compileall.compile_dir(FOLDER / "jraphx_eqx", quiet=2)


def activate() -> None:
    """Makes this process import the mutated package, with no mutant switched on."""
    # The checks of types would recompile every mutant, and kill those that no result shows.
    os.environ.update({SWITCH: "", "JAXTYPING_DISABLE": "1"})
    os.chdir(FOLDER)
    sys.path.insert(0, str(FOLDER))


def names() -> list[str]:
    """All mutants, by module and name."""
    found = []
    for path in sorted(FOLDER.glob("jraphx_eqx/**/*.py.spans")):
        module = ".".join(path.relative_to(FOLDER).with_suffix("").with_suffix("").parts)
        spans = json.loads(path.read_text())["spans"]
        found += [f"{module}.{name}" for name in spans if re.search(r"__mutmut_\d+$", name)]
    return sorted(found, key=lambda mutant: PACKAGES.index(package(mutant)))


def module(mutant: str) -> str:
    """The module that a mutant is of."""
    return mutant.rpartition(".")[0]


def package(mutant: str) -> str:
    """The package that a mutant is of."""
    return next(name for name in PACKAGES if mutant.startswith(name + "."))


def change(mutant: str) -> tuple[str, str, str]:
    """The function (`ops._edges.edge_mask`) and the changed lines before and after."""
    changed = [line for line in _diff(mutant) if line[0] in "-+"]
    before, after = (
        " ".join(line[2:].strip() for line in changed if line[0] == sign) for sign in "-+"
    )
    plain = _function(mutant).removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    return f"{module(mutant).removeprefix('jraphx_eqx.')}.{plain}", before, after


def lines(mutant: str) -> set[tuple[str, int]]:
    """The file and the lines of the changed statements, as they are without the mutant."""
    path = FOLDER / (module(mutant).replace(".", "/") + ".py")
    number = _source(module(mutant))[0][f"{_function(mutant)}__mutmut_orig"][0] - 1
    found = set()
    for line in _diff(mutant):
        if line[0] in " -":
            number += 1
        if line[0] == "-":
            found.update((str(path), other) for other in _statement(path, number))
    return found


def _function(mutant: str) -> str:
    return mutant.rpartition(".")[2].partition("__mutmut_")[0]


def _diff(mutant: str) -> list[str]:
    """The function before and after, by `difflib.ndiff`. The names are made the same."""
    spans, lines = _source(module(mutant))

    def body(name: str) -> list[str]:
        start, end = spans[name]
        return [line.replace(name, "", 1) for line in lines[start - 1 : end]]

    before = f"{_function(mutant)}__mutmut_orig"
    return list(difflib.ndiff(body(before), body(mutant.rpartition(".")[2])))


def _statement(path: Path, number: int) -> range:
    """The lines of the smallest statement that a line is part of; of one with a body, its head."""
    found = range(number, number + 1)
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.stmt) and node.lineno <= number <= (node.end_lineno or 0):
            body = getattr(node, "body", None)
            end = body[0].lineno if body else (node.end_lineno or 0) + 1
            if number < end:
                found = range(node.lineno, end)
    return found


def is_petty(mutant: str) -> bool:
    """Whether it only puts `None` in the place of an expression, or changes a text."""
    before, after = map(_tokens, change(mutant)[1:])
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    new = [after[start:end] for kind, _, _, start, end in steps if kind != "equal"]
    return all(new) and all(t == "None" or t[-1] in "'\"" for part in new for t in part)


@functools.cache
def _source(name: str) -> tuple[dict[str, list[int]], list[str]]:
    path = FOLDER / (name.replace(".", "/") + ".py")
    spans = json.loads(path.with_suffix(".py.spans").read_text())["spans"]
    return spans, path.read_text().splitlines()


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _tokens(line: str) -> list[str]:
    found = []
    with contextlib.suppress(tokenize.TokenError):  # a line of several
        for token in tokenize.generate_tokens(io.StringIO(line).readline):
            found.append(token.string)
    return [token for token in found if token.strip()]
