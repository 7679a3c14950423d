import jax
import jax.numpy as jnp
from flax import nnx
from jraphx.nn import pool as jraphx

from ._inputs import Inputs, Operations


def operations(inputs: Inputs) -> Operations:
    """As in `_ours`. The global pools are jitted; TopKPooling and SAGPooling cannot be."""
    x, edge_index = jnp.asarray(inputs.x), jnp.asarray(inputs.edge_index)
    batch, size, features = jnp.asarray(inputs.batch), inputs.num_graphs, inputs.x.shape[1]
    pools = {
        "TopKPooling": jraphx.TopKPooling(features, rngs=nnx.Rngs(0)),
        "SAGPooling (gcn)": jraphx.SAGPooling(features, gnn="gcn", rngs=nnx.Rngs(0)),
    }
    out = {}
    for name in ("global_add_pool", "global_mean_pool", "global_max_pool", "global_min_pool"):
        function = getattr(jraphx, name)
        forward = jax.jit(lambda x, batch, function=function: function(x, batch, size))
        backward = jax.jit(jax.grad(lambda x, batch, forward=forward: forward(x, batch).sum()))
        out[name, "forward"] = _call(forward, x, batch)
        out[name, "forward + backward"] = _call(backward, x, batch)
    for name, pool in pools.items():
        graph, parameters, rest = nnx.split(pool, nnx.Param, ...)

        def loss(parameters, x, graph=graph, rest=rest):
            return nnx.merge(graph, parameters, rest)(x, edge_index, batch=batch)[0].sum()

        out[name, "forward"] = _call(lambda pool=pool: pool(x, edge_index, batch=batch)[0])
        out[name, "forward + backward"] = _call(jax.grad(loss, argnums=(0, 1)), parameters, x)
    return out


def _call(function, *args):
    return lambda: jax.block_until_ready(function(*args))
