"""Networks whose poolings keep the nodes that PyG's keep.

Trained scores are often equal: a tanh that returns exactly 1, in float32 from 9.01 on. Then which
nodes stay is PyG's choice, whose own float32 and float64 results differ there, and nothing after it
can be compared unless both sides keep the same ones.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jraphx_eqx.ops import top_k_capacity
from jraphx_eqx.parity import deciding


def forced(module: Any, kept: list[Array]) -> Callable[..., Any]:
    """A call of the network whose poolings keep these nodes, and score and gate them as ever. A
    network whose choices are not forced, as `kept` is empty, is called as it is."""

    def call(*given, **named):
        left = iter(kept)
        with deciding(lambda own, score: next(left, own)):
            return module(*given, **named)

    call.__signature__ = inspect.signature(module)  # which says which argument is `batch`
    return call


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
