from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ._case import Case
from ._decisions import AbstractChoice
from ._lanes import LANES
from ._spec import Config, Decision, Spec
from ._tensor import Tensor
from ._tolerance import FAR, JITTERED_RUNS, NEAR, Blocks, Noise, jitter
from ._torch import (
    buffer_names,
    is_float,
    random_rounding,
    run_torch,
    state_shapes,
    tied_names,
)
from ._weights import draw

# The rows that are forced, call by call.
Chosen = tuple[np.ndarray, ...]
Arrays = Mapping[Tensor, np.ndarray | None]
SCORES = "scores"
STEP, LARGEST = 1 / 8, 2.0


@dataclass
class Reference:
    """What PyG computes in float64 for forced choices, and its float32 noise there.

    `low` is its result in float32. On dyadic inputs that is the reference wherever it equals the
    float64 result; otherwise it is only shown beside ours. `tied` are further names of weights that
    have several, each with the first; `buffers` are the weights that PyTorch never differentiates.
    """

    choices: tuple[AbstractChoice, ...]
    arrays: dict[Tensor, np.ndarray | None]
    noise: Noise
    ids: dict[Tensor, np.ndarray]
    cotangents: dict[str, dict[str, np.ndarray]]
    unused: set[Tensor]
    low: dict[Tensor, np.ndarray | None] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    buffers: set[str] = field(default_factory=set)

    @property
    def chosen(self) -> Chosen:
        """The rows that are forced, call by call."""
        return rows_of(self.choices)


def rows_of(choices: Sequence[AbstractChoice]) -> Chosen:
    """The chosen rows, call by call."""
    return tuple(choice.rows for choice in choices)


def scores_of(place: int) -> Tensor:
    """The scores of a call among the arrays of a reference."""
    return Tensor("", SCORES if place == 0 else f"{SCORES} {place + 1}")


class AbstractOracle(Protocol):
    """What `run` asks of the PyTorch side, be it live or recorded."""

    inputs: dict[str, Any]
    weights: dict[str, np.ndarray]
    decision: Decision | None
    tied: dict[str, str]
    buffers: set[str]

    def decide(self, lane: str) -> Sequence[AbstractChoice]: ...
    def reference(self, chosen: Chosen) -> Reference: ...
    def measure_noise(self, reference: Reference, runs: int) -> None: ...
    def dyadic(self) -> "AbstractOracle": ...
    def moved(self, weights: Mapping[str, np.ndarray]) -> "AbstractOracle": ...


def decided(oracle: AbstractOracle, lane: str) -> Reference:
    """The float64 result for PyG's own choices in a lane."""
    return oracle.reference(rows_of(oracle.decide(lane)))


class Oracle:
    """The PyTorch side of one configuration and case.

    **Arguments:**

    - `spec`, `config`, `case`: what is compared.
    - `seed`: of weights, cotangents and jitter.
    - `module`: the PyTorch module (or function).
    - `weights`: its weights as float32 arrays; drawn if not given.
    - `exact`: round inputs, weights and cotangents to eighths of at most 2. Sums of products of a
        few of them are exact in float32, in whatever order they are added.
    """

    def __init__(
        self,
        spec: Spec,
        config: Config,
        case: Case,
        seed: int,
        module: Any,
        weights: Mapping[str, np.ndarray] | None = None,
        exact: bool = False,
    ):
        self.spec, self.config, self.case, self.seed = spec, config, case, seed
        self.module, self.exact = module, exact
        self.inputs = dict(spec.inputs(case, **config.inputs))
        self.decision: Decision | None = spec.decision(config)
        if weights is None:
            drawn = draw(np.random.default_rng([seed, 1]), state_shapes(module))
            weights = {name: spec.weights(name, weight) for name, weight in drawn.items()}
        self.weights = dict(weights)
        if exact:
            self.inputs, self.weights = _dyadic(self.inputs), _dyadic(self.weights)
        self.tied = tied_names(module)
        self.buffers = buffer_names(module)
        self._references: dict[tuple[bytes, ...], Reference] = {}

    def dyadic(self) -> "Oracle":
        """The same for the exact lane."""
        return self.moved(self.weights, exact=True)

    def moved(self, weights: Mapping[str, np.ndarray], exact: bool = False) -> "Oracle":
        """The same with other weights."""
        return Oracle(self.spec, self.config, self.case, self.seed, self.module, weights, exact)

    def decide(self, lane: str) -> Sequence[AbstractChoice]:
        """PyG's own choices in the dtype of a lane, by a stable sort; none without a decision."""
        return self._run(lane, None)[1] if self.decision else ()

    def reference(self, chosen: Chosen) -> Reference:
        """The float64 result for these choices."""
        key = tuple(rows.tobytes() for rows in chosen)
        if key not in self._references:
            self._references[key] = self._measure(chosen)
        return self._references[key]

    def _measure(self, chosen: Chosen) -> Reference:
        plain, _ = self._run("f64", chosen)
        cotangents = self._cotangents(plain)
        arrays, choices = self._run("f64", chosen, cotangents)
        unused = {t for t, value in arrays.items() if value is None and t.kind == "d"}
        arrays.update({tensor: np.zeros(self._shape(tensor.name)) for tensor in unused})
        low, _ = self._run("f32", chosen, cotangents)
        ids = self._ids(arrays, choices)
        reference = Reference(
            tuple(choices),
            arrays,
            Noise(),
            ids,
            cotangents,
            unused,
            low,
            self.tied,
            self.buffers,
        )
        if not self.exact:
            self.measure_noise(reference, JITTERED_RUNS)
        return reference

    def measure_noise(self, reference: Reference, runs: int) -> None:
        """Measures the noise of a reference until it rests on this many jittered runs."""
        noise = reference.noise
        while noise.runs < runs:
            rng = np.random.default_rng([self.seed, 2, noise.runs])
            reach = NEAR if noise.runs < JITTERED_RUNS else FAR
            moved = _jitter(rng, self.inputs, reach), _jitter(rng, self.weights, reach)
            chosen, cotangents = reference.chosen, reference.cotangents
            more = noise.runs >= JITTERED_RUNS
            with random_rounding(noise.runs) if more else nullcontext():
                low, _ = self._run("f32", chosen, cotangents, *moved)
                other = self._run("f64", chosen, cotangents)[0] if more else None
            high, _ = self._run("f64", chosen, cotangents, *moved)
            noise.add(_errors(low, high, reference.ids))
            if other is not None:
                noise.add_wide(_errors(other, reference.arrays, reference.ids))

    def _run(self, lane, chosen, cotangents=None, inputs=None, weights=None):
        """Outputs and gradients, and what was chosen; `chosen` is forced, `None` forces nothing."""
        watch = self.decision.watch_pyg(chosen) if self.decision else nullcontext([])
        with watch as choices:
            arrays = run_torch(
                self.module,
                self.spec.call_pyg,
                self.inputs if inputs is None else inputs,
                self.weights if weights is None else weights,
                tuple(self.spec.differentiate),
                LANES[lane].dtype,
                cotangents or {},
            )
        arrays.update({scores_of(i): choice.scores for i, choice in enumerate(choices)})
        return arrays, choices

    def _cotangents(self, arrays) -> dict[str, dict[str, np.ndarray]]:
        """All float outputs together, then one at a time: errors of two may cancel."""
        rng = np.random.default_rng([self.seed, 3])
        together = {}
        for tensor in sorted(arrays):
            value = arrays[tensor]
            if tensor.kind == "out" and value is not None and value.dtype.kind == "f":
                together[tensor.name] = rng.normal(size=value.shape).astype(np.float32)
        if not together:
            return {}
        together = _dyadic(together) if self.exact else together
        alone = {name: {name: value} for name, value in together.items()}
        return {"": together, **(alone if len(alone) > 1 else {})}

    def _shape(self, name: str) -> tuple[int, ...]:
        return np.shape(self.inputs[name] if name in self.inputs else self.weights[name])

    def _ids(self, arrays: Arrays, choices) -> dict[Tensor, np.ndarray]:
        outputs = {tensor.name: v for tensor, v in arrays.items() if tensor.kind == "out"}
        blocks = self.spec.blocks(self.inputs, outputs)
        ids = {Tensor.parse(name): rows for name, rows in blocks.items()}
        together = {tensor: Tensor(tensor.kind, tensor.name) for tensor in arrays}
        ids.update({tensor: ids[whole] for tensor, whole in together.items() if whole in ids})
        ids.update({scores_of(i): choice.groups for i, choice in enumerate(choices)})
        return ids


def _errors(low: Arrays, high: Arrays, ids) -> dict[Tensor, tuple[np.ndarray, Blocks]]:
    errors = {}
    for tensor, value in high.items():
        if value is not None and value.dtype.kind == "f":
            near = low[tensor]
            near = np.zeros_like(value) if near is None else near  # no gradient
            with np.errstate(invalid="ignore"):
                error = np.nan_to_num(np.abs(near - value), posinf=0.0)
            errors[tensor] = error, Blocks(value.shape, ids.get(tensor))
    return errors


def _dyadic(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Rounded to multiples of `STEP`; what is not zero stays so."""

    def rounded(value):
        steps = np.maximum(np.round(np.abs(value) / STEP), value != 0)
        return (np.sign(value) * np.minimum(steps * STEP, LARGEST)).astype(value.dtype)

    return {name: rounded(v) if is_float(v) else v for name, v in arrays.items()}


def _jitter(rng: np.random.Generator, arrays: Mapping[str, Any], reach: int) -> dict[str, Any]:
    return {name: jitter(rng, v, reach) if is_float(v) else v for name, v in arrays.items()}
