"""Networks whose poolings keep the nodes that PyG's keep.

Trained scores are often equal: a tanh that returns exactly 1, in float32 from 9.01 on. Then which
nodes stay is PyG's choice, whose own float32 and float64 results differ there, and nothing after it
can be compared unless both sides keep the same ones.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array, Int

from jraphx_eqx.data import resolve_batch
from jraphx_eqx.nn.pool import AbstractScorePool, PoolOutput, select_nodes
from jraphx_eqx.ops import top_k_capacity


class Forced(eqx.Module):
    """A pooling that keeps the nodes in `perm`, and scores and gates them as ever."""

    pool: AbstractScorePool
    perm: Int[Array, " pooled_nodes"]

    def __call__(self, x, edge_index, edge_attr=None, batch=None):
        batch = resolve_batch(batch, x.shape[0])
        select = select_nodes(self.perm, self.pool.score(x, edge_index, batch))
        pooled = self.pool.connect(select, edge_index, edge_attr, batch)
        return PoolOutput(self.pool.reduce(x, select), *pooled, select)


def forced(module: Any, kept: list[Array]) -> Any:
    """The network with poolings that keep these nodes; a network without poolings as it is."""
    if not kept:
        return module
    pools = [Forced(pool, perm) for pool, perm in zip(module.pools, kept, strict=True)]
    return eqx.tree_at(lambda tree: tree.pools, module, pools)


@contextmanager
def watched(module: Any) -> Iterator[list[np.ndarray]]:
    """A context that yields a list, which gets what each pooling of a PyG network keeps."""
    kept: list[np.ndarray] = []
    hooks = [
        pool.register_forward_hook(lambda pool, given, output: kept.append(output[4].numpy()))
        for pool in getattr(module, "pools", ())
    ]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def replayed(kept: list[np.ndarray]) -> Iterator[None]:
    """A context in which PyG's poolings keep these nodes, one after the other."""
    module: Any = importlib.import_module("torch_geometric.nn.pool.select.topk")
    original, left = module.topk, iter(kept)
    if kept:
        module.topk = lambda *args, **kwargs: torch.tensor(next(left))
    try:
        yield
    finally:
        module.topk = original


def padded(kept: list[np.ndarray], module: Any, num_nodes: int, num_graphs: int) -> list[Array]:
    """What is kept, padded to what the poolings of the Equinox network have room for."""
    found = []
    for perm, pool in zip(kept, getattr(module, "pools", ()), strict=True):
        capacity = top_k_capacity(num_nodes, num_graphs, pool.select.ratio, np.float32)
        whole = np.full(capacity, num_nodes, np.int32)
        whole[: len(perm)] = perm
        found.append(jnp.asarray(whole))
        num_nodes = capacity
    return found
