from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ._case import Case
from ._spec import Config, Decision, Spec
from ._tolerance import DTYPES, FAR, JITTERED_RUNS, NEAR, Blocks, Noise, jitter
from ._torch import is_float, random_rounding, run_torch, state_shapes
from ._weights import draw

SCORES = "scores"
STEP, LARGEST = 1 / 8, 2.0


@dataclass
class Reference:
    """What PyG computes in float64 for one forced decision, and its float32 noise there.

    `low` is its result in float32. On dyadic inputs that is the reference wherever it equals the
    float64 result; otherwise it is only shown beside ours.
    """

    chosen: np.ndarray | None
    arrays: dict[str, np.ndarray | None]
    noise: Noise
    ids: dict[str, np.ndarray]
    cotangents: dict[str, dict[str, np.ndarray]]
    unused: set[str]
    low: dict[str, np.ndarray | None] = field(default_factory=dict)


class AbstractOracle(Protocol):
    """What `run` asks of the PyTorch side, be it live or recorded."""

    inputs: dict[str, Any]
    weights: dict[str, np.ndarray]
    decision: Decision | None

    def decide(self, lane: str) -> np.ndarray | None: ...
    def scores(self, lane: str) -> np.ndarray: ...
    def reference(self, chosen: np.ndarray | None) -> Reference: ...
    def listen(self, reference: Reference, runs: int) -> None: ...
    def dyadic(self) -> "AbstractOracle": ...


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
            weights = draw(np.random.default_rng([seed, 1]), state_shapes(module))
        self.weights = dict(weights)
        if exact:
            self.inputs, self.weights = _dyadic(self.inputs), _dyadic(self.weights)
        self._references: dict[bytes, Reference] = {}

    def dyadic(self) -> "Oracle":
        """The same for the exact lane."""
        at = (self.spec, self.config, self.case, self.seed, self.module, self.weights)
        return Oracle(*at, exact=True)

    def decide(self, lane: str) -> np.ndarray | None:
        """PyG's own decision in the dtype of a lane, by a stable sort."""
        if self.decision is None:
            return None
        return self._run(lane, None)[f"out.{self.decision.index}"]

    def scores(self, lane: str) -> np.ndarray:
        """The scores that PyG ranks in the dtype of a lane."""
        scores = self._run(lane, None)[SCORES]
        assert scores is not None
        return scores

    def reference(self, chosen: np.ndarray | None) -> Reference:
        """The float64 result for a decision (`None` where there is nothing to decide)."""
        key = b"" if chosen is None else chosen.tobytes()
        if key not in self._references:
            self._references[key] = self._measure(chosen)
        return self._references[key]

    def _measure(self, chosen: np.ndarray | None) -> Reference:
        plain = self._run("f64", chosen)
        cotangents = self._cotangents(plain)
        arrays = self._run("f64", chosen, cotangents)
        unused = {name for name, value in arrays.items() if value is None and name[:2] == "d."}
        arrays.update({name: np.zeros(self._shape(name)) for name in unused})
        low = self._run("f32", chosen, cotangents)
        reference = Reference(chosen, arrays, Noise(), self._ids(arrays), cotangents, unused, low)
        if not self.exact:
            self.listen(reference, JITTERED_RUNS)
        return reference

    def listen(self, reference: Reference, runs: int) -> None:
        """Measures the noise of a reference until it rests on this many jittered runs."""
        noise = reference.noise
        while noise.runs < runs:
            rng = np.random.default_rng([self.seed, 2, noise.runs])
            reach = NEAR if noise.runs < JITTERED_RUNS else FAR
            moved = _jitter(rng, self.inputs, reach), _jitter(rng, self.weights, reach)
            at = reference.chosen, reference.cotangents
            more = noise.runs >= JITTERED_RUNS
            with random_rounding(noise.runs) if more else nullcontext():
                low = self._run("f32", *at, *moved)
                other = self._run("f64", *at) if more else None
            noise.add(_errors(low, self._run("f64", *at, *moved), reference.ids))
            if other is not None:
                noise.add_wide(_errors(other, reference.arrays, reference.ids))

    def _run(self, lane, chosen, cotangents=None, inputs=None, weights=None):
        watch = self.decision.watch_pyg(chosen) if self.decision else nullcontext([])
        with watch as scores:
            arrays = run_torch(
                self.module,
                self.spec.call_pyg,
                self.inputs if inputs is None else inputs,
                self.weights if weights is None else weights,
                tuple(self.spec.differentiate),
                DTYPES[lane],
                cotangents or {},
            )
        if scores:
            arrays[SCORES] = scores[-1]
        return arrays

    def _cotangents(self, arrays) -> dict[str, dict[str, np.ndarray]]:
        """All float outputs together, then one at a time: errors of two may cancel."""
        rng = np.random.default_rng([self.seed, 3])
        together = {}
        for name in sorted(arrays):
            value = arrays[name]
            if name[:4] == "out." and value is not None and value.dtype.kind == "f":
                together[name[4:]] = rng.normal(size=value.shape).astype(np.float32)
        if not together:
            return {}
        together = _dyadic(together) if self.exact else together
        alone = {name: {name: value} for name, value in together.items()}
        return {"": together, **(alone if len(alone) > 1 else {})}

    def _shape(self, tensor: str) -> tuple[int, ...]:
        name = tensor[2:].split("|")[0]
        return np.shape(self.inputs[name] if name in self.inputs else self.weights[name])

    def _ids(self, arrays) -> dict[str, np.ndarray]:
        outputs = {name[4:]: value for name, value in arrays.items() if name[:4] == "out."}
        ids = dict(self.spec.blocks(self.inputs, outputs))
        directions = [name for name in arrays if "|" in name]
        ids.update(
            {name: ids[name.split("|")[0]] for name in directions if name.split("|")[0] in ids}
        )
        if self.decision is not None:
            ids[SCORES] = np.asarray(self.inputs[self.decision.groups])
        return ids


def _errors(low, high, ids) -> dict[str, tuple[np.ndarray, Blocks]]:
    errors = {}
    for name, value in high.items():
        if value is not None and value.dtype.kind == "f":
            near = low[name]
            near = np.zeros_like(value) if near is None else near  # no gradient
            with np.errstate(invalid="ignore"):
                error = np.nan_to_num(np.abs(near - value), posinf=0.0)
            errors[name] = error, Blocks(value.shape, ids.get(name))
    return errors


def _dyadic(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Rounded to multiples of `STEP`; what is not zero stays so."""

    def rounded(value):
        steps = np.maximum(np.round(np.abs(value) / STEP), value != 0)
        return (np.sign(value) * np.minimum(steps * STEP, LARGEST)).astype(value.dtype)

    return {name: rounded(v) if is_float(v) else v for name, v in arrays.items()}


def _jitter(rng: np.random.Generator, arrays: Mapping[str, Any], reach: int) -> dict[str, Any]:
    return {name: jitter(rng, v, reach) if is_float(v) else v for name, v in arrays.items()}
