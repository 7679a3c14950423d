"""What the specs of poolings by memberships share: PyG is given one dense graph at a time."""

import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.parity import Spec

from .._operator import Operator, edits
from .common import FEW_CLASSES, few_cases, keeps_dtypes, pad_with, row_groups

CLUSTERS = 3


def _inputs(case, *, weight=True):
    """Features within 1, so that no membership is 0: there PyG's gradients are NaN."""
    arrays = {name: case[name] for name in ("edge_index", "batch", "num_graphs")}
    x, edge_weight = case["x"], None
    if weight:
        edge_weight = case["edge_weight"] + np.float32(0.125)
    return {**arrays, "x": x / (1 + np.abs(x)), "edge_weight": edge_weight}


def _means(module, values, counts):
    return [value.mean() for value in values]


def _call_pyg(by_graph, pairs, losses, loops, total):
    def call(module, inputs):
        import torch

        x, batch, weight = inputs["x"], inputs["batch"], inputs["edge_weight"]
        weight = x.new_ones(inputs["edge_index"].shape[1]) if weight is None else weight
        whole = x.new_zeros(len(x), len(x))
        whole = whole.index_put(tuple(inputs["edge_index"]), weight, accumulate=True)
        found, places = [], batch.unique()
        for graph in places:
            adj = whole[batch == graph][:, batch == graph]
            out, pooled, *values = by_graph(module, x[batch == graph], adj)
            pooled = pooled[tuple(pairs)]
            if not adj.any() and not loops:  # PyG's is NaN, or has such a gradient.
                pooled, values[0] = torch.zeros_like(pooled), torch.zeros_like(values[0])
            found.append((out, pooled, *values))
        x, entries, *values = zip(*found, strict=True)
        counts = torch.bincount(batch)[places].to(whole.dtype)
        values = total(module, [torch.stack(one) for one in values], counts)
        ends = CLUSTERS * places[None, :, None] + torch.as_tensor(pairs)[:, None]
        return {
            "x": torch.cat(x),
            "edge_index": ends.reshape(2, -1),
            "edge_attr": torch.cat(entries),
            "batch": places.repeat_interleave(CLUSTERS),
            **dict(zip(losses, values, strict=True)),
        }

    return call


def _call(module, inputs):
    batch = BatchVector(inputs["batch"], inputs["num_graphs"])
    out = module(inputs["x"], inputs["edge_index"], inputs["edge_weight"], batch)
    edges = {"edge_index": out.edge_index, "edge_attr": out.edge_attr}
    return {"x": out.x, **edges, "batch": out.batch.index, **out.loss}


def _real(inputs, outputs):
    rows = outputs["batch"] < inputs["num_graphs"]
    edges = np.all(outputs["edge_index"] < len(rows), axis=0)
    return {"x": rows, "batch": rows, "edge_index": np.s_[:, edges], "edge_attr": edges}


def _blocks(inputs, outputs):
    edges = outputs["edge_index"][0] // CLUSTERS
    return {**row_groups(inputs), "out.x": outputs["batch"], "out.edge_attr": edges}


def memberships(layer, pyg, ours, by_graph, losses, grid, faults, cost, loops=False, total=_means):
    """The entry of a pooling by memberships.

    - `by_graph`: `by_graph(module, x, adj)` is what PyG makes of one graph: features and a matrix
        of the clusters, and the values of `losses`.
    - `loops`: whether clusters have edges to themselves.
    - `total`: `total(module, values, counts)` makes the losses of the batch from those of graphs.
    """
    pairs = np.nonzero(np.ones((CLUSTERS, CLUSTERS)) if loops else 1 - np.eye(CLUSTERS))
    spec = Spec(
        layer.__name__,
        pyg=pyg,
        eqx=ours,
        call_pyg=_call_pyg(by_graph, np.stack(pairs), losses, loops, total),
        call_eqx=_call,
        inputs=_inputs,
        grid=grid,
        pad=pad_with(np.nan),
        real=_real,
        blocks=_blocks,
        differentiate=("x", "edge_weight"),
        properties={"dtypes": keeps_dtypes(_call)},
        input_classes=FEW_CLASSES,
    )
    return Operator(layer, spec=spec, faults=faults, live=False, cases=few_cases, cost=cost)


FAULTS = (
    *edits(
        "nn.pool._dense:AbstractSoftmaxPool.memberships",
        ("no softmax", "jax.nn.softmax(mask_rows(logits, batch.node_mask), axis=-1)", "logits"),
    ),
    *edits(
        "nn.pool._dense:neighbours",
        (
            "edges between clusters are reversed",
            "source, target = edge_index",
            "target, source = edge_index",
        ),
    ),
    *edits(
        "nn.pool._dense:edge_weights",
        (
            "padding edges have weights",
            "jnp.where(edge_mask(edge_index, num_nodes), edge_attr.reshape(num_edges), 0)",
            "edge_attr.reshape(num_edges)",
            "f64",
        ),
    ),
)
CUTS = (
    *FAULTS,
    *edits(
        "nn.pool._dense_losses:normalized",
        ("sums of columns", "jnp.sum(adjacency, axis=2)", "jnp.sum(adjacency, axis=1)"),
        ("rows alone are divided", " * factor[:, None, :]", ""),
    ),
    *edits(
        "nn.pool._dense_losses:orthogonality",
        ("clusters of another size", "clusters**0.5", "clusters"),
    ),
    *edits(
        "nn.pool._dense_losses:mean_over",
        ("a sum of losses", "/ jnp.maximum(number, 1)", ""),
    ),
)
