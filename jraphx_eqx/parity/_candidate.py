import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._decide import deciding
from ._case import Case
from ._decisions import AbstractChoice
from ._lanes import LANES
from ._oracle import Chosen, scores_of
from ._spec import Decision
from ._tensor import Tensor
from ._torch import is_float
from ._trial import Trial
from ._weights import leaf_name, load, match


@contextmanager
def precision(lane: str) -> Iterator[None]:
    """The lane's setting of JAX's 64-bit mode, which users run without, and full products."""
    with jax.enable_x64(LANES[lane].wide), jax.default_matmul_precision("highest"):
        yield


# What marks padding among forced rows, whose number is not known before the call.
NO_ROW = -1


class Watched(NamedTuple):
    """What a call gives: its outputs, and for each choice on the way the rows that it would have
    chosen by itself, and the scores that it ranked."""

    outputs: dict[str, Any]
    own: list[Any]
    scores: list[Any]


@functools.cache
def _watched(call: Callable[..., Any]) -> Callable[..., Watched]:
    """A call whose choices are watched, and replaced as far as there are `forced` ones."""

    def watched(module: Any, inputs: Any, forced: tuple[Array, ...]) -> Watched:
        own, seen = [], []

        def decider(rows, scores):
            place = len(own)
            own.append(rows)
            seen.append(scores)
            if place >= len(forced):
                return rows
            there = forced[place]
            return jnp.where(there == NO_ROW, scores.shape[0], there).astype(rows.dtype)

        with deciding(decider):
            outputs = {name: _output(v) for name, v in call(module, inputs).items()}
        return Watched(outputs, own, seen)

    return watched


class Candidate:
    """The Equinox side of one configuration and case, in one lane.

    **Arguments:**

    - `trial`: what is compared.
    - `module`: the Equinox module (or function).
    - `inputs`: the arguments before padding.
    - `weights`: the PyTorch weights by their PyTorch names.
    - `case`: the case with another capacity.
    """

    def __init__(
        self,
        trial: Trial,
        module: Any,
        inputs: Mapping[str, Any],
        weights: Mapping[str, np.ndarray],
        case: Case | None = None,
    ):
        spec, lane = trial.spec, trial.lane
        self.spec, self.lane, self.compiled, self.watch = spec, lane, True, trial.watch
        # Float64 is there to expose wrong formulas, not compiler effects.
        self.quick = trial.quick or LANES[lane].wide
        self.plain = dict(inputs)
        self.padded = dict(spec.pad(inputs, case or trial.case))
        self.decision: Decision | None = spec.decision(trial.config)
        named = match(weights, module, spec.renames)
        self.names = {spec.renames.get(name, name): name for name in weights}
        with precision(lane):
            self.module = load(module, named, LANES[lane].dtype)
            self.arrays = {name: as_array(value, lane) for name, value in self.padded.items()}
        self._watched: Watched | None = None

    @property
    def watched(self) -> Watched:
        """All that the last `run` or `values` gave, with padding."""
        assert self._watched is not None
        return self._watched

    def problems(self) -> dict[str, str | None]:
        """What is wrong with the outputs of the last `run`, for each property of the spec."""
        outputs = self.watched.outputs
        with precision(self.lane):
            return {
                name: problem(self.module, self.padded, outputs)
                for name, problem in self.spec.properties.items()
            }

    @property
    def own(self) -> list[np.ndarray]:
        """The rows that the last `run` or `values` would have chosen by itself, at each call."""
        found = zip(self.watched.own, self.watched.scores, strict=True)
        return [rows[rows < len(scores)] for rows, scores in found]

    def scores(self, choice: AbstractChoice) -> np.ndarray:
        """The scores of the real rows at the first call in the last `run`."""
        real = self.watched.scores[0][: len(choice.groups)]
        self.watch({scores_of(0): real})
        return real

    def select(self, choice: AbstractChoice, scores: np.ndarray) -> np.ndarray:
        """The rows chosen for the given scores of the real rows. Padded rows get scores that are
        chosen first."""
        assert self.decision is not None
        rows = len(self.watched.scores[0])
        padded = np.full(rows, choice.padding_score, LANES[self.lane].dtype)
        padded[: len(scores)] = scores
        with precision(self.lane):
            select = self.decision.select_eqx
            assert select is not None
            select = _jit(select, self.quick) if self.compiled else select
            chosen = select(self.module, jax.device_put(padded), self.arrays)
        index = np.asarray(chosen)
        index = index[index < rows]
        self.watch({Tensor("", "selected"): index})
        return index

    def run(
        self, chosen: Chosen, cotangents: Mapping[str, Mapping[str, np.ndarray]]
    ) -> dict[Tensor, np.ndarray | None]:
        """Outputs and gradients of the real entries, named as those of the PyTorch side.

        **Arguments:**

        - `chosen`: the rows to be forced at each call; at calls after those the operator's own.
        - `cotangents`: as in `run_torch`. Not used where the outputs do not have these shapes.

        **Returns:** the arrays, and of kind `"leak"` the gradients of padded rows.
        """
        with precision(self.lane):
            program, zeros = self._program(chosen)
            watched, _ = program(zeros)
            outputs = self._keep(watched)
            real = self.spec.real(self.padded, outputs)
            found = self._real(outputs)
            for direction, parts in cotangents.items():
                ours = {n: found.get(Tensor("out", n)) for n in parts}
                if any(v is None or v.shape != parts[n].shape for n, v in ours.items()):
                    continue
                spread = {n: _spread(zero, real.get(n), parts.get(n)) for n, zero in zeros.items()}
                found.update(self._gradients(program(spread)[1], direction))
        self.watch(found)
        return found

    def values(self, chosen: Chosen) -> dict[Tensor, np.ndarray | None]:
        """Outputs of the real entries by a program that computes no gradients, as for inference.
        It is compiled otherwise."""
        with precision(self.lane):
            forced = self.forced(chosen)
            if self.compiled and self.quick:
                watched = _built(self._call, self.module, self.arrays, forced)
            else:
                watched = self._call(self.module, self.arrays, forced)
            found = self._real(self._keep(watched))
        self.watch(found)
        return found

    def _keep(self, watched: Watched) -> dict[str, Any]:
        """The outputs as arrays of NumPy, and what was watched for later questions."""
        own, scores = ([np.asarray(v) for v in part] for part in watched[1:])
        self._watched = Watched(_numpy(watched.outputs), own, scores)
        return self._watched.outputs

    def _real(self, outputs: Mapping[str, Any]) -> dict[Tensor, np.ndarray | None]:
        real = self.spec.real(self.padded, outputs)
        return {Tensor("out", n): _take(value, real.get(n)) for n, value in outputs.items()}

    def forced(self, chosen: Chosen) -> tuple[Array, ...]:
        """The rows to be forced, padded to what the operator has room for, so that other cases need
        no other program. What does not fit is longer."""
        rooms = [rows.shape[0] for rows in self._shapes(()).own] if chosen else []
        rooms += [0] * (len(chosen) - len(rooms))
        padded = []
        for rows, room in zip(chosen, rooms, strict=False):
            more = np.full(max(room - len(rows), 0), NO_ROW, np.int32)
            padded.append(jax.device_put(np.concatenate([rows.astype(np.int32), more])))
        return tuple(padded)

    def _shapes(self, forced: tuple[Array, ...]) -> Watched:
        """The shapes and dtypes of what a call gives."""
        return output_shapes(self._call, *self._parts(), forced)

    @property
    def _call(self) -> Callable[..., Watched]:
        """The operator without gradients."""
        call = _watched(self.spec.call_eqx)
        return _jit(call) if self.compiled else call

    def _parts(self) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
        diff = {n: self.arrays[n] for n in self.spec.differentiate if is_float(self.plain[n])}
        other = {n: value for n, value in self.arrays.items() if n not in diff}
        return *eqx.partition(self.module, eqx.is_inexact_array), diff, other

    def _program(self, chosen: Chosen) -> tuple[Callable[..., Any], dict[str, Any]]:
        forced = self.forced(chosen)
        shapes = self._shapes(forced).outputs
        floats = {n: value for n, value in shapes.items() if is_inexact(value)}
        zeros = {n: np.zeros(value.shape, value.dtype) for n, value in floats.items()}
        program = _gradient_program(_watched(self.spec.call_eqx))
        program = _jit(program, self.quick) if self.compiled else program
        return functools.partial(program, *self._parts(), forced), zeros

    def _gradients(self, grads: tuple[Any, Any], direction: str) -> dict[Tensor, np.ndarray | None]:
        params, inputs = grads
        found: dict[Tensor, np.ndarray | None] = {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            found[Tensor("d", self.names[leaf_name(path)], direction)] = np.asarray(leaf)
        for name, value in _numpy(inputs).items():
            rows = tuple(slice(size) for size in np.shape(self.plain[name]))
            padding = value.copy()
            padding[rows] = 0
            found[Tensor("d", name, direction)] = value[rows]
            found[Tensor("leak", name, direction)] = padding
        return found


# The newer emitters take longer, and without optimizations their float32 `tanh` does not reach 1
# where it saturates.
_QUICKLY = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


@functools.cache
def quick_options() -> dict[str, Any] | None:
    """Those of XLA to compile quickly and not for speed, if it knows them."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: 0, compiler_options=_QUICKLY).lower().compile()
    except jax.errors.JaxRuntimeError:
        return None
    return _QUICKLY


@functools.cache
def _jit(function: Callable[..., Any], quick: bool = False) -> Callable[..., Any]:
    options = quick_options() if quick else None
    return eqx.filter_jit(function, compiler_options=options)  # pyright: ignore[reportCallIssue]


@functools.cache
def _gradient_program(call: Callable[..., Watched]):
    """Values, choices and gradients in one program, so that a configuration is compiled once."""

    def program(params, static, diff, other, forced, cotangents):
        def floats_and_all(params, diff):
            watched = call(eqx.combine(params, static), {**other, **diff}, forced)
            return {n: v for n, v in watched.outputs.items() if is_inexact(v)}, watched

        _, vjp, watched = jax.vjp(floats_and_all, params, diff, has_aux=True)
        return watched, vjp(cotangents)

    return program


def _built(call: Any, module: Any, inputs: Any, forced: Any) -> Watched:
    """What a jitted function gives, compiled quickly. What was traced for shapes is used again,
    which JAX allows of no function with options of its own."""
    key = _key(call, (module, inputs, forced))
    if key not in _BUILT:
        _BUILT[key] = call.lower(module, inputs, forced).compile(quick_options())
    return _BUILT[key](module, inputs, forced)


_BUILT: dict[Any, Callable[..., Any]] = {}
_SHAPES: dict[Any, Any] = {}


def clear_caches() -> None:
    """Forgets all that was traced or compiled, so that changed code is traced again."""
    _jit.cache_clear()
    _watched.cache_clear()
    _gradient_program.cache_clear()
    _BUILT.clear()
    _SHAPES.clear()
    jax.clear_caches()


def _key(call: Callable[..., Any], at: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a traced program depends on."""
    leaves, structure = jax.tree_util.tree_flatten(at)
    parts = tuple((v.shape, str(v.dtype)) if eqx.is_array(v) else v for v in leaves)
    return call, structure, parts


def output_shapes(call: Callable[..., Any], params, static, diff, other, *forced: Any) -> Any:
    """The shapes and dtypes of what `call(module, inputs, *forced)` returns."""
    key = _key(call, (params, static, diff, other, forced))
    if key not in _SHAPES:
        module, inputs = eqx.combine(params, static), {**other, **diff}
        _SHAPES[key] = eqx.filter_eval_shape(call, module, inputs, *forced)
    return _SHAPES[key]


def is_inexact(value: Any) -> bool:
    """Whether `value` has a float dtype."""
    return value is not None and jnp.issubdtype(value.dtype, jnp.inexact)


def as_array(value: Any, lane: str) -> Any:
    """An argument as an array of JAX, floats in the dtype of a lane."""
    if not isinstance(value, np.ndarray):
        return value
    # `jnp.asarray` would compile a program for each shape.
    return jax.device_put(value.astype(LANES[lane].dtype) if is_float(value) else value)


def _output(value: Any) -> Any:
    """An output as an array, if it is a number."""
    return jnp.asarray(value) if isinstance(value, bool | int | float) else value


def _numpy(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if v is None else np.array(v) for name, v in arrays.items()}


def _take(value: np.ndarray | None, index: Any) -> np.ndarray | None:
    return value if value is None or index is None else value[index]


def _spread(zero: np.ndarray, index: Any, part: np.ndarray | None) -> np.ndarray:
    """A cotangent of real entries in the shape of the padded output."""
    if part is None:
        return zero
    full = zero.copy()
    full[... if index is None else index] = part
    return full
