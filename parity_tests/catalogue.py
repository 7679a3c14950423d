"""All operators, as `operators/` holds them: one file, one entry, or some that are alike. Nothing
is listed twice."""

import dataclasses
import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

from jraphx_eqx.parity import Divergence, Fault

from . import operators
from ._operator import Operator
from .families.common import WIDTH

FEATURES = WIDTH


def _operators() -> dict[str, Operator]:
    names = (module.name for module in pkgutil.iter_modules(operators.__path__))
    modules = (importlib.import_module(f"{operators.__name__}.{name}") for name in names)
    entries = (entry for module in modules for entry in _entries(module))
    return {entry.name: entry for entry in entries}


def _entries(module: ModuleType) -> tuple[Operator, ...]:
    one = getattr(module, "OPERATOR", None)
    return module.OPERATORS if one is None else (one,)


Shared = TypeVar("Shared", Divergence, Fault)


def _with_operators(kind: str) -> tuple[Shared, ...]:
    """What the entries hold, each once, with the operators that it concerns."""
    found: dict[int, tuple[Shared, list[str]]] = {}
    for name, operator in OPERATORS.items():
        for value in getattr(operator, kind):
            found.setdefault(id(value), (value, []))[1].append(name)
    return tuple(dataclasses.replace(value, operators=tuple(of)) for value, of in found.values())


OPERATORS = _operators()
SPECS = {name: entry.spec for name, entry in OPERATORS.items() if entry.spec is not None}
LIVE = tuple(name for name in SPECS if OPERATORS[name].live)
FAULTS: tuple[Fault, ...] = _with_operators("faults")
DIVERGENCES: tuple[Divergence, ...] = _with_operators("divergences")
EQUIVALENT = {
    (fault, name): reason
    for name, entry in OPERATORS.items()
    for fault, reason in entry.equivalent.items()
}
