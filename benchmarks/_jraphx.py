import functools
import importlib.metadata

import jax
import jax.numpy as jnp
from flax import nnx
from jraphx.nn import pool as jraphx

from . import _workloads
from ._inputs import Inputs
from ._jraphx_classifier import training_step
from ._operations import Operations
from ._ours import device_memory as device_memory
from ._ours import set_device as set_device
from ._ours import set_threads as set_threads
from ._workloads import BOTH, FORWARD, GLOBAL_POOLS, STEP, class_and_scorer

version = {name: importlib.metadata.version(name) for name in ("jraphx", "flax", "optax")}
# It has no GraphConv.
POOLS = tuple(name for name in _workloads.POOLS if name != _workloads.SAG["graph"])


def operations(inputs: Inputs) -> Operations:
    """As in `_ours`. The global pools are jitted; the poolings cannot be."""
    jax.config.update("jax_enable_x64", inputs.dtype == "float64")
    x, edge_index = jnp.asarray(inputs.x), jnp.asarray(inputs.edge_index)
    index = jnp.asarray(inputs.batch)
    # Without a batch vector, which one graph does not need, it is faster.
    batch = index if inputs.num_graphs > 1 else None
    out: Operations = {}
    for name in GLOBAL_POOLS:
        out[name, FORWARD] = functools.partial(_global_forward, name, x, index, inputs)
        out[name, BOTH] = functools.partial(_global_both, name, x, index, inputs)
    for name in POOLS:
        arguments = (name, x, edge_index, batch)
        out[name, FORWARD] = functools.partial(_layer_forward, *arguments)
        out[name, BOTH] = functools.partial(_layer_both, *arguments, inputs)
    step = functools.partial(training_step, inputs, x, edge_index, batch)
    out["classifier (gcn)", STEP] = step
    return out


def _global_forward(name, x, index, inputs):
    function = getattr(jraphx, name)
    return _call(jax.jit(lambda x, index: function(x, index, inputs.num_graphs)), x, index)


def _global_both(name, x, index, inputs):
    function = getattr(jraphx, name)

    @jax.jit
    def both(x, index, cotangent):
        out, vjp = jax.vjp(lambda x: function(x, index, inputs.num_graphs), x)
        return out, vjp(cotangent)

    cotangent = inputs.cotangent((inputs.num_graphs, x.shape[1]))
    return _call(both, x, index, jnp.asarray(cotangent))


def _layer_forward(name, x, edge_index, batch):
    pool = _layer(name, x)
    return _call(lambda: pool(x, edge_index, batch=batch))


def _layer_both(name, x, edge_index, batch, inputs):
    graph, parameters, rest = nnx.split(_layer(name, x), nnx.Param, ...)
    cotangent = jnp.asarray(inputs.cotangent((inputs.kept, x.shape[1])))

    def function(parameters, x):
        out = nnx.merge(graph, parameters, rest)(x, edge_index, batch=batch)
        return out[0], out

    def both():
        _, vjp, out = jax.vjp(function, parameters, x, has_aux=True)
        return out, vjp(cotangent)

    return _call(both)


def _layer(name, x):
    rngs = nnx.Rngs(0)
    kind, scorer = class_and_scorer(name)
    options = {"gnn": scorer} if scorer else {}
    pool = getattr(jraphx, kind)(x.shape[1], **options, rngs=rngs)
    graph, parameters, rest = nnx.split(pool, nnx.Param, ...)
    return nnx.merge(graph, jax.tree.map(lambda leaf: leaf.astype(x.dtype), parameters), rest)


def _call(function, *args):
    return lambda: jax.block_until_ready(function(*args))
