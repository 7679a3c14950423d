import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from ..nn._entry import op_by_op
from ._case import Case
from ._spec import Config, Decision, Spec
from ._tolerance import DTYPES
from ._torch import is_float
from ._weights import leaf_name, load, match


@contextmanager
def precision(lane: str) -> Iterator[None]:
    """The lane's setting of JAX's 64-bit mode, which users run without, and full products.

    Eager calls run their operations one by one: as one program they would be what they are compared
    with.
    """
    wide = DTYPES[lane] is np.float64
    with jax.enable_x64(wide), jax.default_matmul_precision("highest"), op_by_op():
        yield


class Choice(eqx.Module):
    """What an operator has to choose: what it would, or something else in its place.

    Which of the two is data, so that both are one compiled program.
    """

    forced: Int[Array, " rows"]
    use: Bool[Array, ""]

    def __call__(self, own: Int[Array, " rows"]) -> Int[Array, " rows"]:
        forced = self.forced.astype(own.dtype)
        # What does not fit is longer than what the operator has room for.
        return forced if forced.shape != own.shape else jnp.where(self.use, forced, own)


class Candidate:
    """The Equinox side of one configuration and case, in one lane.

    **Arguments:**

    - `spec`, `config`, `case`: what is compared.
    - `module`: the Equinox module (or function).
    - `inputs`: the arguments before padding.
    - `weights`: the PyTorch weights by their PyTorch names.
    - `lane`: one of `LANES`.
    - `watch`: receives all that the module gives, by name.
    - `quick`: compile without optimizations, and by XLA's older emitters. In float64 always: it is
        there to show wrong numbers, whatever compiles them.
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
        watch: Callable[[Mapping[str, np.ndarray | None]], None] = lambda found: None,
        quick: bool = False,
    ):
        self.spec, self.lane, self.compiled, self.watch = spec, lane, True, watch
        self.quick = quick or DTYPES[lane] is np.float64
        self.plain = dict(inputs)
        self.padded = dict(spec.pad(inputs, case))
        self.decision: Decision | None = spec.decision(config)
        named = match(weights, module, spec.renames)
        self.names = {spec.renames.get(name, name): name for name in weights}
        with precision(lane):
            self.module = load(module, named, DTYPES[lane])
            self.arrays = {name: _array(value, lane) for name, value in self.padded.items()}
        self._scores: Any = None
        self._outputs: Mapping[str, Any] = {}

    def problems(self) -> dict[str, str | None]:
        """What is wrong with the outputs of the last `run`, for each property of the spec."""
        at = self.module, self.padded, self._outputs
        with precision(self.lane):
            return {name: problem(*at) for name, problem in self.spec.properties.items()}

    def scores(self) -> np.ndarray:
        """The scores of the real rows in the last `run`."""
        assert self.decision is not None and self._scores is not None
        real = np.asarray(self._scores)[: len(self.plain[self.decision.groups])]
        self.watch({"scores": real})
        return real

    def select(self, scores: np.ndarray) -> np.ndarray:
        """The rows chosen for the given scores of the real rows. Padded rows get those that are
        chosen first: NaN, or infinity where a threshold counts."""
        assert self.decision is not None
        best = np.nan if self.decision.kind == "topk" else np.inf
        padded = np.full(len(self.padded[self.decision.groups]), best, DTYPES[self.lane])
        padded[: len(scores)] = scores
        with precision(self.lane):
            select = self.decision.select_eqx
            select = _jit(select, self.quick) if self.compiled else select
            chosen = select(self.module, jax.device_put(padded), self.arrays)
        index = np.asarray(chosen)
        index = index[index < len(padded)]
        self.watch({"selected": index})
        return index

    def run(
        self, chosen: np.ndarray | None, cotangents: Mapping[str, Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray | None]:
        """Outputs and gradients of the real entries, named as those of the PyTorch side.

        **Arguments:**

        - `chosen`: the decision to be forced; `None` for the operator's own.
        - `cotangents`: as in `run_torch`. Not used where the outputs do not have these shapes.

        **Returns:** the arrays, and under `"leak.name"` the gradients of padded rows.
        """
        with precision(self.lane):
            program, zeros = self._program(chosen)
            outputs, _, self._scores = program(zeros)
            self._outputs = outputs = _numpy(outputs)
            real = self.spec.real(self.padded, outputs)
            found = self._real(outputs)
            for direction, parts in cotangents.items():
                if any(_shape(found.get(f"out.{n}")) != p.shape for n, p in parts.items()):
                    continue
                spread = {n: _spread(zero, real.get(n), parts.get(n)) for n, zero in zeros.items()}
                found.update(self._gradients(program(spread)[1], direction))
        self.watch(found)
        return found

    def values(self, chosen: np.ndarray | None) -> dict[str, np.ndarray | None]:
        """Outputs of the real entries by a program that computes no gradients, as for inference.
        It is compiled otherwise."""
        with precision(self.lane):
            choice = None if self.decision is None else self.choice(chosen)
            at = self.module, self.arrays, choice
            call = _built(self._call, *at) if self.compiled and self.quick else self._call
            found = self._real(_numpy(call(*at)))
        self.watch(found)
        return found

    def _real(self, outputs: Mapping[str, Any]) -> dict[str, np.ndarray | None]:
        real = self.spec.real(self.padded, outputs)
        return {f"out.{name}": _take(value, real.get(name)) for name, value in outputs.items()}

    def choice(self, chosen: np.ndarray | None) -> Choice:
        """What `Spec.call_eqx` is told to choose; `None` for the operator's own choice."""
        assert self.decision is not None
        capacity = self._shapes()[self.decision.index].shape[0]
        forced = np.zeros(0, np.int32) if chosen is None else chosen
        padded = self.decision.pad(forced, self.padded, capacity)
        return Choice(jax.device_put(padded), jax.device_put(np.array(chosen is not None)))

    def _shapes(self) -> dict[str, Any]:
        """The shapes and dtypes of the outputs."""
        return _output_shapes(self._call, *self._parts(), _own if self.decision else None)

    @property
    def _call(self) -> Callable[..., Any]:
        """The operator without gradients."""
        return _jit(self.spec.call_eqx) if self.compiled else self.spec.call_eqx

    def _parts(self) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
        diff = {n: self.arrays[n] for n in self.spec.differentiate if is_float(self.plain[n])}
        other = {n: value for n, value in self.arrays.items() if n not in diff}
        return *eqx.partition(self.module, eqx.is_inexact_array), diff, other

    def _program(self, chosen: np.ndarray | None) -> tuple[Callable[..., Any], dict[str, Any]]:
        call = self.spec.call_eqx
        decision, shapes = self.decision, self._shapes()
        score = None if decision is None else decision.score_eqx
        choice = None if decision is None else self.choice(chosen)
        at = *self._parts(), choice
        if decision and choice and choice.forced.shape != shapes[decision.index].shape:
            shapes = _output_shapes(call, *at)
        floats = {n: value for n, value in shapes.items() if _is_inexact(value)}
        zeros = {n: np.zeros(value.shape, value.dtype) for n, value in floats.items()}
        program = _gradient_program(call, score)
        program = _jit(program, self.quick) if self.compiled else program
        return functools.partial(program, *at), zeros

    def _gradients(self, grads: tuple[Any, Any], direction: str) -> dict[str, np.ndarray | None]:
        suffix = f"|{direction}" if direction else ""
        params, inputs = grads
        found: dict[str, np.ndarray | None] = {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            found[f"d.{self.names[leaf_name(path)]}{suffix}"] = np.asarray(leaf)
        for name, value in _numpy(inputs).items():
            rows = tuple(slice(size) for size in np.shape(self.plain[name]))
            padding = value.copy()
            padding[rows] = 0
            found[f"d.{name}{suffix}"] = value[rows]
            found[f"leak.{name}{suffix}"] = padding
        return found


# The newer emitters take longer, and without optimizations their float32 `tanh` does not reach 1
# where it saturates.
_QUICKLY = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


@functools.cache
def _options() -> dict[str, Any] | None:
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
    options = _options() if quick else None
    return eqx.filter_jit(function, compiler_options=options)  # pyright: ignore[reportCallIssue]


@functools.cache
def _gradient_program(call: Callable[..., Any], score: Callable[..., Any] | None):
    """One program for scores, values and gradients, so that each configuration is compiled once."""

    def program(params, static, diff, other, choice, cotangents):
        def floats_and_all(params, diff):
            outputs = dict(call(eqx.combine(params, static), {**other, **diff}, choice))
            return {n: value for n, value in outputs.items() if _is_inexact(value)}, outputs

        _, vjp, outputs = jax.vjp(floats_and_all, params, diff, has_aux=True)
        scores = None if score is None else score(eqx.combine(params, static), {**other, **diff})
        return outputs, vjp(cotangents), scores

    return program


def _own(choice: Any) -> Any:
    return choice


def _built(call: Any, *at: Any) -> Callable[..., Any]:
    """The program of a jitted function, compiled quickly. What was traced for shapes is used again,
    which JAX allows of no function with options of its own."""
    key = _key(call, at)
    if key not in _BUILT:
        _BUILT[key] = call.lower(*at).compile(_options())
    return _BUILT[key]


_BUILT: dict[Any, Callable[..., Any]] = {}
_SHAPES: dict[Any, dict[str, Any]] = {}


def forget() -> None:
    """Forgets all that was traced or compiled, so that changed code is traced again."""
    _jit.cache_clear()
    _gradient_program.cache_clear()
    _BUILT.clear()
    _SHAPES.clear()
    jax.clear_caches()


def _key(call: Callable[..., Any], at: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a traced program depends on."""
    leaves, structure = jax.tree_util.tree_flatten(at)
    parts = tuple((v.shape, str(v.dtype)) if eqx.is_array(v) else v for v in leaves)
    return call, structure, parts


def _output_shapes(call: Callable[..., Any], *at: Any) -> dict[str, Any]:
    key = _key(call, at)
    if key not in _SHAPES:
        params, static, diff, other, choice = at
        module_and_inputs = eqx.combine(params, static), {**other, **diff}, choice
        _SHAPES[key] = dict(eqx.filter_eval_shape(call, *module_and_inputs))
    return _SHAPES[key]


def _is_inexact(value: Any) -> bool:
    return value is not None and jnp.issubdtype(value.dtype, jnp.inexact)


def _array(value: Any, lane: str) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    # `jnp.asarray` would compile a program for each shape.
    return jax.device_put(value.astype(DTYPES[lane]) if is_float(value) else value)


def _numpy(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if v is None else np.array(v) for name, v in arrays.items()}


def _shape(value: np.ndarray | None) -> tuple[int, ...] | None:
    return None if value is None else value.shape


def _take(value: np.ndarray | None, index: Any) -> np.ndarray | None:
    return value if value is None or index is None else value[index]


def _spread(zero: np.ndarray, index: Any, part: np.ndarray | None) -> np.ndarray:
    """A cotangent of real entries in the shape of the padded output."""
    if part is None:
        return zero
    full = zero.copy()
    full[... if index is None else index] = part
    return full
