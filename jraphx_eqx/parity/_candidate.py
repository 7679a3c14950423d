import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._case import Case
from ._oracle import DTYPES
from ._spec import Config, Decision, Spec
from ._weights import leaf_name, load, match


def precision(lane: str) -> AbstractContextManager:
    """The lane's setting of JAX's 64-bit mode. Users run with it off."""
    return jax.enable_x64(lane == "f64")


class Candidate:
    """The Equinox side of one configuration and case, in one lane.

    **Arguments:**

    - `spec`, `config`, `case`: what is compared.
    - `module`: the Equinox module (or function).
    - `inputs`: the arguments before padding.
    - `weights`: the PyTorch weights by their PyTorch names.
    - `lane`: `"f64"` or `"f32"`.
    """

    def __init__(
        self,
        spec: Spec,
        config: Config,
        case: Case,
        module: Any,
        inputs: Mapping[str, Any],
        weights: Mapping[str, np.ndarray],
        lane: str,
    ):
        self.spec, self.lane = spec, lane
        self.plain = dict(inputs)
        self.padded = dict(spec.pad(inputs, case))
        self.decision: Decision | None = spec.decision(config)
        named = match(weights, module, spec.renames)
        self.names = {spec.renames.get(name, name): name for name in weights}
        with precision(lane):
            self.module = load(module, named, DTYPES[lane])
            self.arrays = {name: _array(value, lane) for name, value in self.padded.items()}

    def scores(self) -> np.ndarray:
        """The scores of the real rows."""
        assert self.decision is not None
        with precision(self.lane):
            scores = _jit(self.decision.score_eqx)(self.module, self.arrays)
        return np.asarray(scores)[: len(self.plain[self.decision.groups])]

    def select(self, scores: np.ndarray) -> np.ndarray:
        """The real rows chosen for the given scores of the real rows."""
        assert self.decision is not None
        padded = np.zeros(len(self.padded[self.decision.groups]), DTYPES[self.lane])
        padded[: len(scores)] = scores
        with precision(self.lane):
            chosen = _jit(self.decision.select_eqx)(self.module, jnp.asarray(padded), self.arrays)
        return self._real({self.decision.index: np.asarray(chosen)})[self.decision.index]

    def run(
        self, chosen: np.ndarray | None, cotangents: Mapping[str, Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray | None]:
        """Outputs and gradients of the real entries, named as those of the PyTorch side.

        **Arguments:**

        - `chosen`: the decision to be forced; `None` for the operator's own.
        - `cotangents`: as in `run_torch`.

        **Returns:** the arrays, and under `"leak.name"` the gradients of padding, which must be 0.
        """
        with precision(self.lane):
            forced = self._force(chosen)
            diff = {n: self.arrays[n] for n in self.spec.differentiate if _is_array(self.arrays[n])}
            other = {n: value for n, value in self.arrays.items() if n not in diff}
            params, static = eqx.partition(self.module, eqx.is_inexact_array)
            at = (params, static, diff, other, forced)
            program = _program(self.spec.call_eqx)
            like = _float_shapes(self.spec.call_eqx, at)
            zeros = {name: np.zeros(value.shape, value.dtype) for name, value in like.items()}
            outputs, _ = program(*at, zeros)
            outputs = {n: None if v is None else np.asarray(v) for n, v in outputs.items()}
            found = {f"out.{name}": value for name, value in self._real(outputs).items()}
            for direction, parts in cotangents.items():
                suffix = f"|{direction}" if direction else ""
                spread = self._spread(parts, outputs, zeros)
                if spread is None:
                    continue
                _, (d_params, d_inputs) = program(*at, spread)
                found.update(self._gradients(d_params, d_inputs, suffix))
        return found

    def padding_of(self, name: str, found: dict[str, np.ndarray | None]) -> np.ndarray:
        """Padded outputs are judged by `_real`; this is for the decision only."""
        raise NotImplementedError

    def _force(self, chosen: np.ndarray | None) -> jax.Array | None:
        if chosen is None:
            return None
        assert self.decision is not None
        like = {n: v for n, v in self._own_outputs().items() if n == self.decision.index}
        capacity = like[self.decision.index].shape[0]
        return jnp.asarray(self.decision.pad(chosen, self.padded, capacity))
