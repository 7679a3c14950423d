import equinox as eqx
import jax
import jax.numpy as jnp

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import (
    SAGPooling,
    TopKPooling,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
    global_min_pool,
)

from ._inputs import Inputs, Operations

_GLOBAL = {
    "global_add_pool": global_add_pool,
    "global_mean_pool": global_mean_pool,
    "global_max_pool": global_max_pool,
    "global_min_pool": global_min_pool,
}


def operations(inputs: Inputs) -> Operations:
    """For each operator, functions without arguments that run it forward, and there and back."""
    x, edge_index = jnp.asarray(inputs.x), jnp.asarray(inputs.edge_index)
    batch = BatchVector(jnp.asarray(inputs.batch), inputs.num_graphs)
    features, key = x.shape[1], jax.random.key(0)
    pools = {
        "TopKPooling": TopKPooling(features, key=key),
        "SAGPooling (graph)": SAGPooling(features, gnn="graph", key=key),
        "SAGPooling (gcn)": SAGPooling(features, gnn="gcn", key=key),
    }
    out = {}
    for name, function in _GLOBAL.items():
        # The same kind of `jit` as for JraphX: Equinox's costs some microseconds more a call.
        forward = jax.jit(lambda x, batch, function=function: function(x, batch))
        backward = jax.jit(jax.grad(lambda x, batch, forward=forward: forward(x, batch).sum()))
        out[name, "forward"] = _call(forward, x, batch)
        out[name, "forward + backward"] = _call(backward, x, batch)
    backward = eqx.filter_jit(eqx.filter_grad(_loss))
    for name, pool in pools.items():
        out[name, "forward"] = _call(_pool, pool, x, edge_index, batch)
        out[name, "forward + backward"] = _call(backward, (pool, x), edge_index, batch)
    return out


@eqx.filter_jit
def _pool(pool, x, edge_index, batch):
    return pool(x, edge_index, batch=batch)


def _loss(pool_and_x, edge_index, batch):
    return _pool(*pool_and_x, edge_index, batch).x.sum()


def _call(function, *args):
    return lambda: jax.block_until_ready(function(*args))
