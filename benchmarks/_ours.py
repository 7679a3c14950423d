import functools

import equinox as eqx
import jax
import jax.numpy as jnp

from jraphx_eqx.data import Batch, BatchVector
from jraphx_eqx.nn import pool as nn

from ._inputs import Inputs
from ._operations import Operations
from ._ours_classifier import training_step
from ._workloads import BOTH, CLASSIFIERS, FORWARD, GLOBAL_POOLS, POOLS, STEP, class_and_scorer

version = {"jax": jax.__version__, "equinox": eqx.__version__}


def set_threads(number: int) -> None:
    """XLA makes a thread for each core that the process may use; there is no setting."""


def set_device(device: str) -> str:
    """Returns its name. The environment has told JAX which to use."""
    if jax.default_backend() != device:
        raise RuntimeError(f"JAX finds no {device}; its default backend is {jax.default_backend()}")
    # As torch does; JAX's default on a GPU is TF32, with 10 bits after the binary point.
    jax.config.update("jax_default_matmul_precision", "highest")
    return jax.devices()[0].device_kind


def device_memory() -> tuple[int, int]:
    """Bytes of a GPU that are in use, and the most that ever were."""
    found = jax.devices()[0].memory_stats()
    return found["bytes_in_use"], found["peak_bytes_in_use"]


def operations(inputs: Inputs) -> Operations:
    """The operators, jitted. Backward means the gradients of inputs and parameters.

    Batches of a data set are padded to the size that fits them all, as in training.
    """
    jax.config.update("jax_enable_x64", inputs.dtype == "float64")
    data = Batch(
        x=jnp.asarray(inputs.x),
        edge_index=jnp.asarray(inputs.edge_index),
        batch=BatchVector(jnp.asarray(inputs.batch), inputs.num_graphs),
    )
    if inputs.capacity:
        data = data.pad(*inputs.capacity)
    arrays = jax.block_until_ready((data.x, data.edge_index, data.batch))
    out: Operations = {}
    for name in GLOBAL_POOLS:
        out[name, FORWARD] = functools.partial(_global_forward, name, arrays)
        out[name, BOTH] = functools.partial(_global_both, name, arrays, inputs)
    for name in POOLS:
        out[name, FORWARD] = functools.partial(_layer_forward, name, arrays)
        out[name, BOTH] = functools.partial(_layer_both, name, arrays, inputs)
    for name in CLASSIFIERS:
        out[name, STEP] = functools.partial(training_step, name, inputs, *arrays)
    return out


def _global_forward(name, arrays):
    # The same kind of `jit` as for JraphX: Equinox's costs some microseconds more a call.
    return _call(jax.jit(getattr(nn, name)), arrays[0], arrays[2])


def _global_both(name, arrays, inputs):
    x, _, batch = arrays

    @jax.jit
    def both(x, batch, cotangent):
        out, vjp = jax.vjp(lambda x: getattr(nn, name)(x, batch), x)
        return out, vjp(cotangent)

    cotangent = inputs.cotangent((inputs.num_graphs, x.shape[1]))
    return _call(both, x, batch, jnp.asarray(cotangent))


def _layer_forward(name, arrays):
    x, edge_index, batch = arrays
    return _call(_forward, _layer(name, x), x, edge_index, batch)


def _layer_both(name, arrays, inputs):
    x, edge_index, batch = arrays
    pool = _layer(name, x)

    @eqx.filter_jit
    def both(pool_and_x, edge_index, batch, cotangent):
        def function(pool_and_x):
            out = _forward(*pool_and_x, edge_index, batch)
            return out.x, out

        _, vjp, out = eqx.filter_vjp(function, pool_and_x, has_aux=True)
        return out, vjp(cotangent)

    shape = eqx.filter_eval_shape(_forward, pool, *arrays).x.shape
    return _call(both, (pool, x), edge_index, batch, jnp.asarray(inputs.cotangent(shape)))


@eqx.filter_jit
def _forward(pool, x, edge_index, batch):
    return pool(x, edge_index, batch=batch)


def _layer(name, x):
    options = {"dtype": x.dtype, "key": jax.random.key(0)}
    kind, scorer = class_and_scorer(name)
    if scorer:
        options["gnn"] = scorer
    return getattr(nn, kind)(x.shape[1], **options)


def _call(function, *args):
    return lambda: jax.block_until_ready(function(*args))
