"""One entry of the catalogue, and how its faults are written."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from jraphx_eqx.parity import Divergence, Edit, Fault, Spec

# Written for what holds back gradients, in modules that do not import jax themselves.
DETACHED = "DETACHED", '__import__("jax").lax.stop_gradient'


@dataclass(frozen=True)
class Operator:
    """All that the project knows of an operator besides its code and its hand-worked tests.

    - `layer`: the public class or function, whose name is that of the operator.
    - `spec`: how it is compared with PyG's; `None` if PyG has none.
    - `faults`: mistakes that the comparison must notice. Several operators may name the same.
    - `equivalent`: by the name of a fault, why no comparison can notice it. That all results are
        bit-equal is measured.
    - `divergences`: the known differences from PyG. Several operators may name the same.
    - `live`: whether every run compares with PyG itself. Where PyG is slow, recorded references
        are enough, and a test of its own compares on small graphs.
    - `cost`: the seconds of `check`, on a busy machine: the slowest start first.
    """

    layer: Callable[..., Any]
    spec: Spec | None = None
    faults: tuple[Fault, ...] = ()
    equivalent: Mapping[str, str] = field(default_factory=dict)
    divergences: tuple[Divergence, ...] = ()
    live: bool = True
    cost: int = 0

    @property
    def name(self) -> str:
        return self.layer.__name__


def edits(place: str, *changes: tuple[str, ...]) -> tuple[Fault, ...]:
    """Faults that change one function of the package, `"module:function"`: for each its name, the
    text that is replaced, the new text, and, if it helps, `Fault.likely`."""
    return tuple(
        Fault(
            name, Edit(f"jraphx_eqx.{place}", old, new.replace(*DETACHED)), likely="".join(likely)
        )
        for name, old, new, *likely in changes
    )


def entry(name: str, table: str, key: str, other: str, likely: str = "") -> Fault:
    """A fault that puts another entry of a table of the package in the place of one."""

    def inject() -> AbstractContextManager:
        import pkgutil

        values = pkgutil.resolve_name(f"jraphx_eqx.{table}")
        return mock.patch.dict(values, {key: values[other]})

    return Fault(name, inject, f"{table}[{key!r}] is that of {other!r}", likely=likely)


def pick(faults: tuple[Fault, ...], *names: str) -> tuple[Fault, ...]:
    """Those of these names."""
    by_name = {fault.name: fault for fault in faults}
    return tuple(by_name[name] for name in names)
