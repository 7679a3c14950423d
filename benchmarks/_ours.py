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

from ._inputs import Inputs

_GLOBAL = {
    "global_add_pool": global_add_pool,
    "global_mean_pool": global_mean_pool,
    "global_max_pool": global_max_pool,
    "global_min_pool": global_min_pool,
}


def operations(inputs: Inputs) -> dict[tuple[str, str], object]:
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
        forward = jax.jit(lambda x, function=function: function(x, batch))
        backward = jax.jit(jax.grad(lambda x, forward=forward: forward(x).sum()))
        out[name, "forward"] = lambda forward=forward: forward(x).block_until_ready()
        out[name, "forward + backward"] = lambda backward=backward: backward(x).block_until_ready()
    for name, pool in pools.items():
        forward = eqx.filter_jit(lambda pool, x: pool(x, edge_index, batch=batch))
        backward = eqx.filter_jit(
            eqx.filter_grad(lambda args, forward=forward: forward(*args).x.sum())
        )
        out[name, "forward"] = _call(forward, pool, x)
        out[name, "forward + backward"] = _call(backward, (pool, x))
    return out


def _call(function, *args):
    return lambda: jax.block_until_ready(function(*args))
