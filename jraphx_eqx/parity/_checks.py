"""The tests of a suite and their names, which are known before anything runs."""

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ._candidate import as_array, is_inexact, output_shapes, precision
from ._case import Case
from ._lanes import LANES
from ._record import Record
from ._run import lanes_of, pairs
from ._spec import Config, Spec
from ._suite import Suite
from ._tensor import Tensor
from ._torch import is_float
from ._weights import leaf_name

# The test of a comparison that is about no tensor: that it ran, and that weights match.
REST = "run"
LONGEST = 60


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """One configuration, case and lane, and the tensors that will be compared there."""

    config: Config
    case: Case
    lane: str
    index: str | None
    tensors: tuple[str, ...]

    def tensor(self, record: Record) -> str:
        """The test that a record of this comparison belongs to: gradients for single outputs and
        of padding to that of the gradient, all about a decision to that of the decision."""
        tensor = Tensor.parse(record.tensor)
        name = str(Tensor("d" if tensor.kind == "leak" else tensor.kind, tensor.name))
        if record.kind == "decision" and self.index is not None:
            name = self.index
        return name if name in self.tensors else REST


@dataclasses.dataclass(frozen=True, eq=False)
class Check:
    """One test: a tensor of a comparison, or, without a comparison, all together. Tests of one
    `group` share a run of PyTorch."""

    name: str
    group: str = ""
    comparison: Comparison | None = None
    tensor: str = ""


def checks_of(suite: Suite, lanes: Sequence[str] | None = None) -> list[Check]:
    """The tests of a suite; `lanes` restricts it to some."""
    mine = lanes_of(suite.spec) if suite.lanes is None else suite.lanes
    mine = [lane for lane in mine if lanes is None or lane in lanes]
    if not mine:
        return []
    checks, seen = [], Counter[str]()
    for comparison in _comparisons(suite, mine):
        group = _name(comparison.case.name, comparison.config.name)
        for tensor in (*comparison.tensors, REST):
            name = _name(comparison.case.name, comparison.config.name, comparison.lane, tensor)
            seen[name] += 1
            name += f"+{seen[name]}" if seen[name] > 1 else ""
            checks.append(Check(name, group, comparison, tensor))
    return [*checks, Check("all", "all")]


def _name(*parts: str) -> str:
    return "-".join(filter(None, map(_label, parts)))


def _label(text: str) -> str:
    """A name of characters that are safe in a test id and in pytest's option `-k`."""
    text = re.sub(r"<(?:function |class ')?([^<>]*?)'?(?: at 0x[0-9a-fA-F]+)?>", r"\1", text)
    text = text.replace(", ", "+").replace("=", ":")
    text = re.sub(r"[^\w.:+-]+", "_", text, flags=re.ASCII).strip("_")
    text = re.sub(":{2,}", ":", text)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 9]}+{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return text


def _comparisons(suite: Suite, lanes: Sequence[str]) -> Iterator[Comparison]:
    """The lanes of a configuration and case follow each other."""
    spec, known = suite.spec, {}
    for config, case in pairs(spec, suite.cases, suite.pairing):
        exact = tuple(spec.exact(config))
        decision = spec.decision(config)
        index = None if decision is None else decision.index
        for lane in lanes:
            if LANES[lane].by != "bits":
                tensors = _tensors(spec, config, case, known)
                decided = () if index is None else (index,)
                yield Comparison(config, case, lane, index, (*decided, *tensors))
            elif exact:
                yield Comparison(config, case, lane, index, exact)


def _tensors(spec: Spec, config: Config, case: Case, known: dict) -> tuple[str, ...]:
    try:
        inputs = dict(spec.inputs(case, **config.inputs))
        kinds = tuple((name, _kind(value)) for name, value in sorted(inputs.items()))
        if (id(config), kinds) not in known:
            known[id(config), kinds] = _evaluate(spec, config, case, inputs)
    except Exception:  # The comparison raises it too, and its test `REST` says so.
        return ()
    return known[id(config), kinds]


def _kind(value: Any) -> Any:
    """What the names of outputs may depend on."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind, value.ndim
    return int if type(value) is int else repr(value)


def _evaluate(spec: Spec, config: Config, case: Case, inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of outputs and gradients, by an abstract evaluation of the Equinox side."""
    params, static = eqx.partition(spec.eqx(**config.options), eqx.is_inexact_array)
    differentiate = [name for name in spec.differentiate if is_float(inputs[name])]
    with precision("f32"):
        arrays = {name: as_array(value, "f32") for name, value in spec.pad(inputs, case).items()}
        diff = {name: arrays.pop(name) for name in differentiate}
        shapes = output_shapes(spec.call_eqx, params, static, diff, arrays)
    theirs = {leaf: name for name, leaf in spec.renames.items()}
    leaves = [leaf_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    sources = [*differentiate, *(theirs.get(leaf, leaf) for leaf in leaves)]
    differs = any(map(is_inexact, shapes.values()))
    gradients = [Tensor("d", name) for name in sources] if differs else []
    return tuple(map(str, (*(Tensor("out", name) for name in shapes), *sorted(gradients))))
