"""All operators, as `operators/` holds them: one file, one entry. Nothing is listed twice."""

import dataclasses
import importlib
import pkgutil
from typing import TypeVar

from jraphx_eqx.parity import Divergence, Fault

from . import operators
from ._operator import Operator
from .families.common import WIDTH

FEATURES = WIDTH


def _operators() -> dict[str, Operator]:
    modules = (module.name for module in pkgutil.iter_modules(operators.__path__))
    entries = (importlib.import_module(f"{operators.__name__}.{name}") for name in modules)
    return {entry.OPERATOR.name: entry.OPERATOR for entry in entries}


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
