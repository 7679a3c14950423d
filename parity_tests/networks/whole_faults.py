"""Faults of ported networks, each planted into some of the networks that it concerns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import global_add_pool, global_max_pool, global_mean_pool, select_nodes

from .whole import PAIRS
from .whole_ours import pooled

ALL = tuple(PAIRS)
HALF, OTHERS = ("pools", "unet", "residuals"), ("isomorphism", "attention", "jumps")
FLAT = ("pools", "residuals")
POOLED = ("pools", "jumps", "residuals")


@dataclass(frozen=True)
class Planted:
    """What a fault replaces in the networks of these names. On the features in `nothing` it changes
    nothing."""

    networks: tuple[str, ...]
    steps: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    nothing: tuple[str, ...] = ()


def step(networks: tuple[str, ...], **steps: Any) -> Planted:
    return Planted(networks, steps)


def other_readout(right, x, batch):
    wrong = {global_max_pool: global_mean_pool, global_mean_pool: global_add_pool}
    return wrong.get(right, global_mean_pool)(x, batch)


def all_one_graph(right, x, batch):
    index = jnp.where(batch.node_mask, 0, batch.num_graphs).astype(batch.index.dtype)
    return right(x, BatchVector(index, batch.num_graphs))


def rounded_to(dtype) -> Callable:
    return lambda x: x.astype(dtype).astype(x.dtype)


def dropped(x):
    keep = jax.random.bernoulli(jax.random.key(0), 0.5, x.shape)
    return jnp.where(keep, x / 0.5, 0)


def with_loops(edge_index):
    loops = jnp.arange(4, dtype=edge_index.dtype)
    return jnp.concatenate([edge_index, jnp.stack([loops, loops])], axis=1)


def without_eps(conv, x, edge_index):
    return eqx.tree_at(lambda conv: conv.eps, conv, jnp.zeros_like(conv.eps))(x, edge_index)


def norm_of(norm, x, mean, variance):
    layer = getattr(norm, "module", norm)
    return (x - mean) / jnp.sqrt(variance + layer.eps) * layer.weight + layer.bias


def selected_by(sign, gate) -> Callable:
    """A pooling that ranks by the scores times a sign, and gates by a function of the scores."""

    def pool(pool, x, edge_index, batch):
        score = pool.score(x, edge_index, batch)
        perm = pool.select(sign * score, batch).node_index
        select = select_nodes(perm, gate(score))
        edges, _, kept = pool.connect(select, edge_index, None, batch)
        return pool.reduce(x, select), edges, kept

    return pool


def padding_as_nodes(pool, x, edge_index, batch):
    x, edge_index, batch = pooled(pool, x, edge_index, batch)
    last = jnp.minimum(batch.index, batch.num_graphs - 1)
    return x, edge_index, BatchVector(last, batch.num_graphs)


def all_edges(pool, x, edge_index, batch):
    """Edges keep the numbers of the nodes before the pooling."""
    x, _, batch = pooled(pool, x, edge_index, batch)
    return x, edge_index, batch


FAULTS: dict[str, Planted] = {
    "another readout": step(ALL, readout=other_readout),
    "the batch vector ignored": step(HALF, readout=all_one_graph),
    "leaky_relu for relu": step(OTHERS, act=jax.nn.leaky_relu),
    "no activation": step(FLAT, act=lambda x: x),
    "features a millionth larger": step(OTHERS, hidden=lambda x: x * (1 + 1e-6)),
    "float32 in the middle": step(HALF, hidden=rounded_to(jnp.float32)),
    "bfloat16 in the middle": step(OTHERS, hidden=rounded_to(jnp.bfloat16)),
    "a detached gradient": step(HALF, hidden=jax.lax.stop_gradient),
    "a doubled gradient": step(OTHERS, hidden=lambda x: 2 * x - jax.lax.stop_gradient(x)),
    "an edge dropped": step(HALF, edges=lambda edge_index: edge_index[:, 1:]),
    "edges reversed": step(OTHERS, edges=lambda edge_index: edge_index[::-1]),
    "loops added": step(("isomorphism", "residuals"), edges=with_loops),
    "layers swapped": step(("pools", "jumps"), layers=lambda layers: layers[::-1]),
    "a layer skipped": step(("attention", "residuals"), layers=lambda layers: layers[:-1]),
    "the bias left out": step(FLAT, linear=lambda linear, x: linear(x) - linear.bias),
    "softmax over the graphs": step(OTHERS, head=lambda x: jax.nn.log_softmax(x, axis=0)),
    "no logarithm": step(FLAT, head=lambda x: jax.nn.softmax(x, axis=-1)),
    "dropout left on": step(("isomorphism", "attention"), dropout=dropped),
    "no residual": step(("attention", "residuals"), residual=lambda x, before: x),
    "the residual twice": step(("attention", "residuals"), residual=lambda x, y: x + 2 * y),
    "eps ignored": step(("isomorphism",), conv=without_eps),
    "running statistics ignored": step(
        ("isomorphism", "residuals"), norm=lambda norm, x: norm_of(norm, x, 0.0, 1.0)
    ),
    "statistics of the batch": step(
        ("isomorphism", "residuals"),
        norm=lambda norm, x: norm_of(norm, x, jnp.mean(x, axis=0), jnp.var(x, axis=0)),
    ),
    "no norm": step(("isomorphism", "residuals"), norm=lambda norm, x: x),
    "the wrong ratio": Planted(("pools", "unet", "jumps"), options={"ratio": 0.3}),
    "the wrong min_score": Planted(("pools", "residuals"), options={"min_score": 0.14}),
    "the wrong aggregation": Planted(("pools",), options={"aggr": "max"}),
    # The mean and the maximum of equal numbers are the same, their gradients too.
    "max for mean": Planted(("residuals",), options={"aggr": "max"}, nothing=("constant",)),
    "another slope": Planted(("attention",), options={"slope": 0.1}, nothing=("constant",)),
    "another activation inside": Planted(("unet",), options={"act": "elu"}),
    "the lowest scores": step(POOLED, pool=selected_by(-1, lambda score: score)),
    "the gate left out": step(("jumps", "residuals"), pool=selected_by(1, jnp.ones_like)),
    "the gate twice": step(("pools", "jumps"), pool=selected_by(1, jnp.square)),
    "the gate detached": step(POOLED, pool=selected_by(1, jax.lax.stop_gradient)),
    "padding as nodes": step(("pools", "residuals"), pool=padding_as_nodes),
    "edges of before": step(("pools",), pool=all_edges),
    "a pooling before the layer": step(("pools",), pool_first=True),
    "jumps in another order": step(("jumps",), jump=lambda jump, xs: jump(xs[::-1])),
    "the first layer for all": step(("jumps",), jump=lambda jump, xs: jump([xs[0]] * len(xs))),
}
