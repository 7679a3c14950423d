"""One entry of the catalogue, and how its faults are written."""

import functools
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal
from unittest import mock

import jax
import numpy as np

from jraphx_eqx.parity import Case, Divergence, Edit, Fault, Spec

# Written for what holds back gradients, in modules that do not import jax themselves.
DETACHED = "DETACHED", '__import__("jax").lax.stop_gradient'


@dataclass(frozen=True)
class Variant:
    """One way to make and call an operator, for `tests/transformations`.

    - `name`: of the test.
    - `build`: `build(dtype, key)` makes the module.
    - `call`: `call(module, inputs)` applies it to what it takes of `inputs.x`, `.edge_index`,
        `.edge_attr` and `.batch`.
    - `kind`: what comes out: a row for each `"node"` or `"graph"`; a row for each node of a
        `"conv"`, which is given no batch; a `PoolOutput` of which each cluster is a node that is
        kept, `"keep"`, or any other, `"pool"`.
    - `minor`: whether it differs from another in options only. Then the tests that compile a
        program of their own leave it out.
    - `mixes`: whether it has statistics of the whole batch, so that one graph changes another.
    """

    name: str
    build: Callable[..., Any]
    call: Callable[..., Any]
    kind: Literal["node", "graph", "conv", "keep", "pool"]
    minor: bool = False
    mixes: bool = False

    def __str__(self) -> str:
        return self.name

    def module(self, dtype: Any = np.float32) -> Any:
        """Always the same one."""
        return _module(self, np.dtype(dtype))

    def __call__(self, module: Any, inputs: Any) -> Any:
        return self.call(module, inputs)


@functools.cache
def _module(variant, dtype):
    with jax.ensure_compile_time_eval():
        return variant.build(dtype=dtype, key=jax.random.key(zlib.crc32(variant.name.encode())))


@dataclass(frozen=True)
class Made:
    """An operator of any width on both sides, for what new parameters are drawn from, and what the
    program is made of.

    - `name`: the operator's, or the operator's and an option.
    - `ours`: `ours(width, key=, dtype=)`.
    - `pyg`: `pyg(width)`; `None` if PyG has none.
    - `most`: how many sorts, scatters and gathers its program may have. Adding to one of these
        numbers makes the layer slower for everybody: think twice.
    - `traffic`: the bytes that the compiled program may read and write, forward and forward +
        backward, as multiples of those of `x`, by XLA's analysis for a CPU.
    """

    name: str
    ours: Callable[..., Any]
    pyg: Callable[[int], Any] | None = None
    most: Mapping[str, int] = field(default_factory=dict)
    traffic: tuple[float, float] | None = None


@dataclass(frozen=True)
class Operator:
    """All that the project knows of an operator besides its code and its hand-worked tests.

    - `layer`: the public class or function, whose name is that of the operator.
    - `spec`: how it is compared with PyG's; `None` if PyG has none.
    - `faults`: mistakes that the comparison must notice. Several operators may name the same.
    - `equivalent`: by the name of a fault, why no comparison can notice it. That all results are
        bit-equal is measured.
    - `divergences`: the known differences from PyG. Several operators may name the same.
    - `variants`: what `tests/transformations` try: jit, gradients, padding, permutations.
    - `made`: of any width, on both sides. The first one's parameters are compared with PyG's.
    - `live`: whether every run compares with PyG itself. Where PyG is slow, recorded references
        are enough, and a test of its own compares on small graphs.
    - `cases`: `cases(seed)`, the batches that it is compared on; `None` for the random and corner
        graphs that nearly all are.
    - `cost`: the seconds of `check`, on a busy machine: the slowest start first.
    """

    layer: Callable[..., Any]
    spec: Spec | None = None
    faults: tuple[Fault, ...] = ()
    equivalent: Mapping[str, str] = field(default_factory=dict)
    divergences: tuple[Divergence, ...] = ()
    variants: tuple[Variant, ...] = ()
    made: tuple[Made, ...] = ()
    live: bool = True
    cases: Callable[[int], list[Case]] | None = None
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
