"""How a call of a layer begins, for whoever calls it.

These decorators come before the checks of types, so that NumPy arrays are JAX arrays by then, and
sizes are Python numbers.
"""

import contextlib
import contextvars
import functools
import inspect
from collections.abc import Callable, Hashable, Iterator
from typing import Any, ParamSpec, TypeVar, get_args

import equinox as eqx
import jax
import numpy as np

from .._decide import is_deciding
from .._number import python_sizes
from ..data import EdgeIndex, as_array, is_traced, resolve_batch
from ..data._transfer import on_device

_P = ParamSpec("_P")
_T = TypeVar("_T")

_CONSTANT = np.zeros(())
_op_by_op: contextvars.ContextVar[bool] = contextvars.ContextVar("op_by_op", default=False)


def takes_numpy(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """`function`, whose arguments may be NumPy arrays, which become JAX arrays."""
    prepare = _preparation(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = prepare(args), {k: prepare(v) for k, v in kwargs.items()}
        return function(*args, **kwargs)

    return python_sizes(call)  # pyright: ignore[reportReturnType]


def one_program(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """`function`, which takes NumPy arrays, and whose eager calls are one compiled program.

    JAX runs a program for each operation of an eager call, and compiles them all for each new
    shape. The function itself is called where a program is being traced, inside of `op_by_op`,
    `deciding` and `jax.disable_jit()`, and where an argument holds a function or a layer that is
    not ours or JAX's, which may print, or read what has changed since.
    """

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with op_by_op():  # The layers inside are a part of the program.
            return function(*args, **kwargs)

    compiled = eqx.filter_jit(traced)
    signature, prepare = inspect.signature(function), _preparation(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = prepare(args), {k: prepare(v) for k, v in kwargs.items()}
        if not _may_compile((args, kwargs)):
            return function(*args, **kwargs)
        given = signature.bind(*args, **kwargs)
        _look_at_batch(given.arguments)
        return compiled(*given.args, **given.kwargs)

    return python_sizes(call)  # pyright: ignore[reportReturnType]


@contextlib.contextmanager
def op_by_op() -> Iterator[None]:
    """Eager calls run their operations one by one, as without `one_program`."""
    token = _op_by_op.set(True)
    try:
        yield
    finally:
        _op_by_op.reset(token)


def _preparation(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """What is done to each argument. An `EdgeIndex` becomes its list of edges where the function
    does not know what else to do with it."""
    parameters = inspect.signature(function).parameters.values()
    if any(EdgeIndex in get_args(parameter.annotation) for parameter in parameters):
        return _from_numpy

    def prepare(argument):
        if type(argument) is tuple:
            return tuple(map(prepare, argument))
        return _from_numpy(as_array(argument))

    return prepare


def _from_numpy(argument: Any) -> Any:
    if isinstance(argument, np.ndarray | np.generic):
        return on_device(argument)
    if isinstance(argument, EdgeIndex):
        return jax.tree.map(_from_numpy, argument)
    if type(argument) in (list, tuple):
        return type(argument)(_from_numpy(part) for part in argument)
    if is_traced(argument) and not all(isinstance(size, int) for size in argument.shape):
        raise ValueError(
            f"shapes must be numbers, because those of the results follow from them, got the "
            f"symbolic shape {argument.shape}; export one program for each padded size"
        )
    return argument


def _may_compile(arguments: Any) -> bool:
    if _op_by_op.get() or is_deciding() or jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
        return False
    # A constant is traced in programs only, and not under grad or vmap alone.
    if is_traced(jax.device_put(_CONSTANT)):
        return False
    return not any(map(_is_foreign, jax.tree.leaves(arguments, is_leaf=_is_foreign)))


def _is_foreign(node: Any) -> bool:
    """Whether it is a function or layer, or anything else, of whose insides we cannot be sure."""
    if isinstance(node, jax.Array):
        return False
    if isinstance(node, functools.partial):
        return True
    made = node if callable(node) and not isinstance(node, eqx.Module) else type(node)
    package = str(getattr(made, "__module__", None)).partition(".")[0]
    if package not in ("builtins", "numpy", "jax", "jaxlib", "equinox", "jraphx_eqx"):
        return True
    return not isinstance(node, Hashable | dict | list | eqx.Module)


def _look_at_batch(arguments: dict[str, Any]) -> None:
    """Counts the graphs of a bare batch vector, and checks its ids, while it has values."""
    batch = arguments.get("batch")
    if isinstance(batch, jax.Array) and batch.ndim == 1 and not is_traced(batch):
        arguments["batch"] = resolve_batch(batch, batch.shape[0], arguments.get("size"))
