"""Gradients through a pooling: what learns, and where padding and dropped nodes stand."""

import equinox as eqx
import jax
import jax.numpy as jnp

from jraphx_eqx.data import Data
from jraphx_eqx.nn.pool import TopKPooling, global_mean_pool


def loss(arrays, edge_index, batch, target):
    pool, classifier, x = arrays
    out = pool(x, edge_index, batch=batch)
    prediction = jax.vmap(classifier)(global_mean_pool(out.x, out.batch))
    return jnp.mean((prediction - target) ** 2)


def main():
    pool_key, classifier_key, x_key = jax.random.split(jax.random.key(0), 3)
    pool = TopKPooling(8, ratio=0.5, key=pool_key)
    classifier = eqx.nn.Linear(8, 1, key=classifier_key)
    node = jnp.arange(6)
    graph = Data(x=jax.random.normal(x_key, (6, 8)), edge_index=jnp.stack([node, (node + 1) % 6]))
    padded = graph.pad(num_nodes=8)

    gradients = eqx.filter_jit(eqx.filter_grad(loss))(
        (pool, classifier, padded.x), padded.edge_index, padded.batch, jnp.ones((1, 1))
    )
    pool_gradient, classifier_gradient, x_gradient = gradients
    print("weight of the pooling:", bool(jnp.any(pool_gradient.select.weight != 0)))
    print("weight of the classifier:", bool(jnp.any(classifier_gradient.weight != 0)))

    kept = pool(padded.x, padded.edge_index, batch=padded.batch).trim().perm
    reached = jnp.flatnonzero(jnp.any(x_gradient != 0, axis=1))
    print("only kept nodes are reached:", sorted(reached.tolist()) == sorted(kept.tolist()))

    # Whatever stands in padding rows, NaN included, it changes no gradient.
    poisoned = padded.x.at[6:].set(jnp.nan)
    again = eqx.filter_jit(eqx.filter_grad(loss))(
        (pool, classifier, poisoned), padded.edge_index, padded.batch, jnp.ones((1, 1))
    )
    print("NaN in padding changes nothing:", bool(eqx.tree_equal(gradients, again)))


if __name__ == "__main__":
    main()
