"""What the specs of poolings share that keep some nodes."""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import PoolOutput, SelectOutput, SelectTopK, select_nodes
from jraphx_eqx.parity import Decision, Divergence, Rows, Spec, Stage

from .._operator import Variant, edits
from .common import (
    EDGE_CLASSES,
    ROWS,
    WIDTH,
    edge_groups,
    keeps_dtypes,
    one_graph,
    pad_with,
    row_groups,
    small_blocks,
)

POOL_ROWS = {
    **ROWS,
    "out.x": Rows("kept"),
    "out.score": Rows("kept"),
    "out.perm": Rows("kept", holds="node"),
    "out.lifted": Rows("node"),
    "out.batch": Rows("kept", holds="graph"),
    "out.edge_index": Rows("kept_edge", axis=1, holds="kept"),
    "out.edge_attr": Rows("kept_edge"),
}

OUTPUTS = ("x", "edge_index", "edge_attr", "batch", "perm", "score")


def with_function(options, functions):
    """The options, with a function in the place of the name of a nonlinearity."""
    name = options.get("nonlinearity")
    return {**options, "nonlinearity": functions[name]} if name in functions else options


def pyg_options(options):
    import torch

    return with_function(options, {"sin": torch.sin, "identity": torch.nn.Identity()})


def our_options(options):
    return with_function(options, {"sin": jnp.sin})


def _inputs(case, *, edges=2, attn=False, batched=True, room=False, **flags):
    arrays = {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}
    if edges == 1:
        arrays["edge_attr"] = case["edge_weight"]
    elif edges is not None:
        attr = case["edge_attr"]
        arrays["edge_attr"] = attr if edges == 2 else np.repeat(attr[..., None], 2, axis=2)
    if attn:
        arrays["attn"] = case["attn"]
    # Absent inputs are None on both sides, and are not differentiated.
    arrays = {"edge_attr": None, "attn": None, **arrays, "batched": batched, **flags}
    if room:  # for all that is real, which is less than there could be
        arrays["max_nodes"] = len(case["x"])
        arrays["max_edges"] = case["edge_index"].shape[1]
    return arrays if batched else one_graph(arrays)


def _pad(inputs, case):
    # A bare batch vector holds no padding.
    return inputs if inputs.get("bare") else pad_with(np.nan)(inputs, case)


def _call_pyg(module, inputs):
    batch = inputs["batch"] if inputs["batched"] else None
    at = (inputs["x"], inputs["edge_index"], inputs["edge_attr"], batch, inputs["attn"])
    outputs = dict(zip(OUTPUTS, module(*at), strict=True))
    if inputs.get("lift"):  # as in PyG's GraphUNet
        lifted = inputs["x"].new_zeros(inputs["x"].shape)
        outputs["lifted"] = lifted.index_put((outputs["perm"],), outputs["x"])
    return outputs


def _batch(inputs):
    return BatchVector(inputs["batch"], inputs["num_graphs"])


def _score(module, inputs):
    features = inputs["x"] if inputs["attn"] is None else inputs["attn"]
    with small_blocks(inputs):
        return module.score(features, inputs["edge_index"], _batch(inputs))


def _select(module, scores, inputs):
    return module.select(scores, _batch(inputs)).node_index


def _call(module, inputs):
    x, edge_index, edge_attr = inputs["x"], inputs["edge_index"], inputs["edge_attr"]
    batch = _batch(inputs) if inputs["batched"] else None
    more = {name: inputs.get(name) for name in ("max_nodes", "max_edges")}
    if inputs.get("bare"):
        batch, more["size"] = inputs["batch"], inputs["num_graphs"]
    with small_blocks(inputs):
        out = module(x, edge_index, edge_attr, batch, inputs["attn"], **more)
    found = _outputs(out.x, out.edge_index, out.edge_attr, out.batch, out.perm, out.score)
    return {**found, "lifted": out.lift(out.x)} if inputs.get("lift") else found


def _outputs(x, edge_index, edge_attr, batch, perm, score):
    return dict(zip(OUTPUTS, (x, edge_index, edge_attr, batch.index, perm, score), strict=True))


def _real(inputs, outputs):
    """What is not padding, by the convention: no index past the end."""
    kept = outputs["perm"] < len(inputs["x"])
    edges = np.all(outputs["edge_index"] < len(outputs["x"]), axis=0)
    in_graph = outputs["batch"] < inputs["num_graphs"]
    return {
        "x": kept,
        "score": kept,
        "perm": kept,
        "batch": in_graph,
        "edge_index": np.s_[:, edges],
        "edge_attr": edges,
        "lifted": inputs["batch"] < inputs["num_graphs"],
    }


def _blocks(inputs, outputs):
    edges = edge_groups(outputs["edge_index"], outputs["batch"])
    kept = {"out.x": outputs["batch"], "out.score": outputs["batch"], "out.edge_attr": edges}
    kept["out.lifted"] = inputs["batch"]
    return {**row_groups(inputs), **kept}


def harder_scores(choice):
    """Most scores replaced: by zeros, NaNs and infinities of both signs, and numbers that differ in
    the last bit; or by the threshold."""
    scores = choice.scores
    if choice.kind == "threshold":
        return np.where(np.arange(len(scores)) % 2, choice.thresholds(scores), scores)
    next_, third = 1 + np.finfo(scores.dtype).eps * np.arange(1, 3)
    special = [np.nan, 0.0, -0.0, 1.0, next_, third, 0.0, -np.nan, np.inf, -0.0, -np.inf]
    return np.resize(np.array(special, scores.dtype), scores.shape)


def _has_ties(options):
    """Of ReLU's zeros and softshrink's, which have both signs; and GCN gives equal scores to nodes
    with the same neighbourhood."""
    return options.get("nonlinearity") in ("relu", "softshrink") or options.get("gnn") == "gcn"


def _decision(config):
    return Decision(
        select_eqx=_select,
        harder=harder_scores,
        ties=_has_ties(config.options),
        # Only GCN, in PyG, gives both nodes of a linked pair the same score to the last bit.
        symmetric=config.options.get("gnn") == "gcn",
    )


def _run_score(module, inputs, known):
    return {"scores": _score(module, inputs)}


def _run_select(module, inputs, known):
    return {"perm": _select(module, known["scores"], inputs)}


def _run_reduce(module, inputs, known):
    select = select_nodes(known["perm"], known["scores"])
    return {"x": module.reduce(inputs["x"], select), "score": select.weight}


def _run_connect(module, inputs, known):
    select = select_nodes(known["perm"], known["scores"])
    at = (inputs["edge_index"], inputs["edge_attr"], _batch(inputs))
    edge_index, edge_attr, batch = module.connect(select, *at)
    return {"edge_index": edge_index, "edge_attr": edge_attr, "batch": batch.index}


STAGES = (
    Stage("score", _run_score, ("scores",)),
    Stage("select", _run_select, ("perm",)),
    Stage("reduce", _run_reduce, ("x", "score")),
    Stage("connect", _run_connect, ("edge_index", "edge_attr", "batch")),
)


def _exact(config):
    """Copies always; the rest also where the scores are sums of products."""
    copies = () if config.inputs.get("edges", 2) is None else ("out.edge_attr", "d.edge_attr")
    linear = config.options.get("nonlinearity") == "identity"
    return ("out.x", "out.score", *copies) if linear else copies


def room(module: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str | None:
    """As many rows as the docs say, and as many edges as there were, or as were asked for, which is
    one at least where there could be one."""
    rows, edges = len(outputs["x"]), outputs["edge_index"].shape[1]
    max_nodes, max_edges = inputs.get("max_nodes"), inputs.get("max_edges")
    enough = _capacity(module.select, inputs, outputs["score"].dtype)
    all_edges = inputs["edge_index"].shape[1]
    expected = (
        enough if max_nodes is None else min(enough, max(max_nodes, 1)),
        all_edges if max_edges is None else min(all_edges, max(max_edges, 1)),
    )
    if (rows, edges) != expected:
        return f"room for {rows} nodes and {edges} edges, expected {expected}"
    return None


def _capacity(select, inputs, dtype) -> int:
    num_nodes, num_graphs = len(inputs["x"]), inputs["num_graphs"]
    if select.min_score is not None:
        return num_nodes
    if select.ratio >= 1:
        return min(num_nodes, int(select.ratio) * num_graphs)
    if num_graphs == 1:
        return math.ceil(dtype.type(select.ratio) * dtype.type(num_nodes))
    most = Fraction(float(dtype.type(select.ratio))) * num_nodes
    return min(num_nodes, math.floor(most) + num_graphs)


def padding(module: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str | None:
    """Real nodes come first. All after them is past the end and has the score 0; so are both ends
    of edges that are gone, and their attributes 0."""
    num_nodes, rows = len(inputs["x"]), len(outputs["x"])
    real = outputs["perm"] < num_nodes
    lost = np.any(outputs["edge_index"] >= rows, axis=0)
    after = np.arange(rows) >= np.sum(real)
    marks = {
        "perm": (outputs["perm"][after], num_nodes),
        "batch": (outputs["batch"][after], inputs["num_graphs"]),
        "score": (outputs["score"][after], 0),
        "edge_index": (outputs["edge_index"][:, lost], rows),
    }
    if outputs["edge_attr"] is not None:
        marks["edge_attr"] = outputs["edge_attr"][lost], 0
    wrong = [name for name, (marked, mark) in marks.items() if np.any(marked != mark)]
    return f"padding is not marked as such in {', '.join(wrong)}" if wrong else None


def trim(module: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str | None:
    """`PoolOutput.trim` leaves what is real, in the shapes that PyG has."""
    rows, graphs = len(outputs["x"]), inputs["num_graphs"]
    real = outputs["perm"] < len(inputs["x"])
    edges = np.all(outputs["edge_index"] < rows, axis=0)
    perm, cluster, score, x, index, edge_index, attr, false = jax.device_put(
        (
            *(outputs["perm"], np.arange(rows, dtype=np.int32), outputs["score"]),
            *(outputs["x"], outputs["batch"], outputs["edge_index"], outputs["edge_attr"]),
            np.zeros((), bool),
        )
    )
    sizes = {"num_nodes": len(inputs["x"]), "num_clusters": rows}
    select = SelectOutput(perm, cluster, score, **sizes, overflow=false, keeps_nodes=True)
    vector = BatchVector(index, graphs)
    trimmed = PoolOutput(x, edge_index, attr, vector, select, edge_overflow=false).trim()
    x, edge_index, attr, batch, perm = trimmed
    found = {
        "x": (x, outputs["x"][real]),
        "edge_index": (edge_index, outputs["edge_index"][:, edges]),
        "batch": (batch.index, outputs["batch"][real]),
        "perm": (perm, outputs["perm"][real]),
        "score": (trimmed.score, outputs["score"][real]),
        "clusters": (trimmed.select.cluster_index, np.arange(np.sum(real))),
    }
    if attr is not None:
        found["edge_attr"] = attr, outputs["edge_attr"][edges]
    wrong = [name for name, arrays in found.items() if not np.array_equal(*arrays, equal_nan=True)]
    sizes = (trimmed.select.num_nodes, trimmed.select.num_clusters, batch.num_graphs)
    wrong += ["sizes"] if sizes != (len(inputs["x"]), np.sum(real), graphs) else []
    # `trimmed.overflow` would compile a program.
    wrong += ["overflow"] if trimmed.select.overflow or trimmed.edge_overflow else []
    return f"trim() does not leave what is real of {', '.join(wrong)}" if wrong else None


PROPERTIES = {"room": room, "padding": padding, "trim": trim}


def keep_spec(layer, pyg, ours, grid, classes=EDGE_CLASSES):
    return Spec(
        layer.__name__,
        pyg=pyg,
        eqx=ours,
        call_pyg=_call_pyg,
        call_eqx=_call,
        inputs=_inputs,
        grid=grid,
        pad=_pad,
        real=_real,
        blocks=_blocks,
        differentiate=("x", "edge_attr", "attn"),
        decision=_decision,
        exact=_exact,
        rows=lambda inputs: POOL_ROWS,
        stages=STAGES,
        properties={**PROPERTIES, "dtypes": keeps_dtypes(_call)},
        input_classes=classes,
    )


def keep_variant(name, layer, minor=False, call=lambda pool, inputs: pool(*inputs), **options):
    def build(dtype, key):
        return layer(WIDTH, dtype=dtype, key=key, **options)

    return Variant(name, build, call, "keep", minor)


FAULTS = (
    *edits(
        "ops._topk:top_k_counts",
        ("k rounded down", "jnp.ceil(", "jnp.floor("),
        ("k rounded to the nearest", "jnp.ceil(", "jnp.round("),
        (
            "k plus one",
            "jnp.minimum(counts, fraction.astype(counts.dtype))",
            "jnp.minimum(counts, fraction.astype(counts.dtype) + 1)",
        ),
        (
            "a number of nodes that a graph does not have",
            "jnp.minimum(counts, min(int(ratio), jnp.iinfo(counts.dtype).max))",
            "jnp.full_like(counts, int(ratio))",
            "ratio=",
        ),
        ("count plus one", "min(int(ratio), ", "min(int(ratio) + 1, ", "edges=None"),
    ),
    *edits(
        "ops._topk:top_k_capacity",
        (
            "room for a node more",
            "math.floor(bound) + num_graphs",
            "math.floor(bound) + num_graphs + 1",
        ),
        ("room for every node", "min(num_nodes, int(ratio) * num_graphs)", "num_nodes", "ratio="),
    ),
    *edits(
        "nn.pool._output:PoolOutput.trim",
        (
            "a row of padding after trim()",
            "index < self.batch.num_graphs",
            "index <= self.batch.num_graphs",
        ),
        ("edges of padding after trim()", "< out.x.shape[0]", "<= out.x.shape[0]"),
    ),
    *edits(
        "ops._edges:masked_edges",
        (
            "edges that are gone keep their attributes",
            "edge_attr = jnp.where(rows, edge_attr, jnp.zeros_like(edge_attr))",
            "pass",
        ),
        (
            "edge attributes are detached",
            "jnp.where(rows, edge_attr,",
            "jnp.where(rows, DETACHED(edge_attr),",
        ),
        (
            "edge attributes moved by one",
            "jnp.where(rows, edge_attr,",
            "jnp.where(rows, jnp.roll(edge_attr, 1, axis=0),",
        ),
    ),
    *edits(
        "ops._order:_descending_bits",
        (
            "lowest scores",
            "jnp.where(negative, raw, ~raw & ~sign)",
            "~jnp.where(negative, raw, ~raw & ~sign)",
        ),
        (
            "negative scores in the wrong order",
            "jnp.where(negative, raw, ~raw & ~sign)",
            "~raw & ~sign",
        ),
        (
            "scores by their size",
            "raw = jax.lax.bitcast_convert_type(score, unsigned)",
            "raw = jax.lax.bitcast_convert_type(jnp.abs(score), unsigned)",
        ),
        ("NaN ranks last", "jnp.where(is_nan, 0,", "jnp.where(is_nan, ~unsigned.type(0),"),
    ),
    *edits(
        "ops._order:_stable_argsort",
        (
            "ties to the highest index",
            "    packed = jnp.sort((digit << jnp.uint64(position_bits)) | position)\n    "
            "return packed & jnp.uint64((1 << position_bits) - 1)",
            "    packed = jnp.sort((digit << jnp.uint64(position_bits)) | position[::-1])\n    "
            "place = packed & jnp.uint64((1 << position_bits) - 1)\n    return "
            "jnp.uint64(max(digit.shape[0] - 1, 0)) - place",
            "ties",
        ),
    ),
    *edits(
        "ops._order:_order_by_graph",
        (
            "graphs are not kept apart",
            "[*fields, (graph, batch.num_graphs.bit_length())]",
            "fields",
        ),
    ),
    *edits(
        "ops._order:_order",
        (
            "the last bits of a float64 are not sorted",
            "is_right, lambda",
            "is_right | True, lambda",
        ),
        ("a float64 is ordered by its highest bits", "if len(digits) > 1:", "if not digits:"),
    ),
    *edits(
        "ops._order:_order_by_digits",
        ("half of a float64 is sorted", "for digit in others:", "for digit in others[1:]:"),
    ),
    *edits(
        "ops._topk:top_k",
        ("nodes of the graphs before are not skipped", " - (ends - kept)", " - kept + kept"),
    ),
    *edits(
        "ops._search:count_at_most",
        (
            "slots at the border go to the graph before",
            "value < ascending[middle]",
            "value <= ascending[middle]",
        ),
    ),
    *edits(
        "ops._topk:above_min_score",
        (
            "the maximum itself is not kept",
            "segment_max(score, batch.index, batch.num_graphs) - tol",
            "segment_max(score, batch.index, batch.num_graphs)",
            "min_score",
        ),
        (
            "larger of the two thresholds",
            "jnp.minimum(largest, min_score)",
            "jnp.maximum(largest, min_score)",
            "min_score",
        ),
        (
            "min_score alone",
            "gather(jnp.minimum(largest, min_score), batch.index)",
            "gather(jnp.full_like(largest, min_score), batch.index)",
            "min_score",
        ),
    ),
    *edits(
        "nn.pool._select_topk:SelectTopK.score",
        ("no norm of the projection", "score / length(projection)", "score * 1"),
        (
            "no nonlinearity",
            "self.nonlinearity(jnp.where(batch.node_mask, score, 0))",
            "jnp.where(batch.node_mask, score, 0)",
        ),
        (
            "nonlinearity in float32",
            "self.nonlinearity(jnp.where(batch.node_mask, score, 0))",
            "(self.nonlinearity(jnp.where(batch.node_mask, score, "
            "0).astype(jnp.float32))).astype(score.dtype)",
        ),
        ("sign of the projection lost", "self.weight[0]", "jnp.abs(self.weight[0])"),
        ("projection is detached", "self.weight[0]", "jax.lax.stop_gradient(self.weight[0])"),
        (
            "score in bfloat16",
            "masked_matmul(x, projection, batch.node_mask)",
            "masked_matmul(x.astype(jnp.bfloat16), projection.astype(jnp.bfloat16), "
            "batch.node_mask).astype(x.dtype)",
        ),
        (
            "score in float32",
            "masked_matmul(x, projection, batch.node_mask)",
            "masked_matmul(x.astype(jnp.float32), projection.astype(jnp.float32), "
            "batch.node_mask).astype(x.dtype)",
        ),
        (
            "softmax over the batch",
            "segment_softmax(score, batch.index, batch.num_graphs)",
            "jax.nn.softmax(jnp.where(batch.node_mask, score, -jnp.inf))",
            "min_score",
        ),
        (
            "norm before the softmax",
            "segment_softmax(score, batch.index, batch.num_graphs)",
            "segment_softmax(score / length(projection), batch.index, batch.num_graphs)",
            "min_score",
        ),
        (
            "nonlinearity before the softmax",
            "segment_softmax(score, batch.index, batch.num_graphs)",
            "segment_softmax(self.nonlinearity(score), batch.index, batch.num_graphs)",
            "min_score",
        ),
    ),
    *edits(
        "ops._masked_matmul:mask_rows",
        ("padding is scored", "jnp.where(mask[:, None], x, 0)", "x + 0"),
    ),
    *edits(
        "ops._masked_matmul:_masked_matmul_jvp",
        (
            "no gradient of the projection",
            "_by_block(x, weight_tangent, mask)",
            "0 * _by_block(x, weight_tangent, mask)",
        ),
        ("no gradient of what is projected", "mask_rows(x_tangent, mask) @ weight + ", ""),
    ),
    *edits(
        "ops._masked_matmul:_by_block",
        (
            "the last rows do not count in the gradient of a scorer",
            "blocks.rest()",
            "0 * blocks.rest()",
            "by_block",
        ),
    ),
    *edits(
        "nn.pool._keep:AbstractKeepPool.reduce",
        (
            "no gate",
            "scale_rows(gather_once(x, select.perm), select.score)",
            "gather_once(x, select.perm)",
        ),
        ("gate is detached", "select.score", "DETACHED(select.score)"),
        (
            "features are detached",
            "gather_once(x, select.perm)",
            "DETACHED(gather_once(x, select.perm))",
        ),
        ("gate twice", "select.score", "select.score ** 2"),
        (
            "features of the first nodes",
            "gather_once(x, select.perm)",
            "gather_once(x, select.cluster_index)",
        ),
        ("no multiplier", "self.multiplier * ", "", "multiplier"),
    ),
    *edits(
        "ops._scale_rows:_scale_rows_jvp",
        (
            "gradient of the gate is a mean",
            "jnp.ones((1, x.shape[1]), x.dtype)",
            "jnp.full((1, x.shape[1]), 1 / x.shape[1])",
        ),
        ("gate of its own gradient", "scale_rows(x_tangent, weight)", "x_tangent"),
    ),
    *edits(
        "ops._gather:_gather_once_jvp",
        ("gradients of the kept go to others", "at[place]", "at[jnp.roll(place, 1)]"),
    ),
    *edits(
        "nn.pool._selection:SelectOutput.graphs",
        ("padding in graph 0", "fill_value=batch.num_graphs", "fill_value=0"),
        ("graphs of the first nodes", "last = self.node_index\n", "last = self.cluster_index\n"),
    ),
    *edits(
        "nn.pool._pool:AbstractPool.__call__",
        ("attn is ignored", "self.assign(seen, edges", "self.assign(x, edges", "attn"),
    ),
    *edits(
        "ops._edges:filter_edges",
        (
            "source and target swapped",
            "gather(new_label, edge_index,",
            "gather(new_label, edge_index[::-1],",
        ),
    ),
    *edits(
        "ops._edges:edge_mask",
        ("edges with one kept end", "jnp.all(", "jnp.any("),
    ),
    *edits(
        "ops._gather:positions",
        (
            "labels backwards",
            "jnp.arange(num_picked, dtype=dtype)",
            "jnp.arange(num_picked, dtype=dtype)[::-1]",
        ),
        ("labels of the old graph", "jnp.arange(num_picked, dtype=dtype)", "index"),
    ),
    *edits(
        "ops._gather:gather",
        (
            "past the end is the last row",
            'x.at[index].get(mode="fill", fill_value=fill_value)',
            "x[jnp.minimum(index, x.shape[0] - 1)]",
        ),
    ),
    *edits(
        "nn.pool._selection:select_nodes",
        ("scores backwards", "gather_once(score, perm)", "gather_once(score, perm[::-1])"),
        (
            "score is detached",
            "gather_once(score, perm)",
            "DETACHED(gather_once(score, perm))",
        ),
    ),
    *edits(
        "ops._topk:first_true",
        ("indices of 64 bits above a threshold", "index.astype(jnp.int32)", "index", "min_score"),
    ),
    *edits(
        "data._batch_vector:BatchVector.node_mask",
        ("padding is a node", "self.index < self.num_graphs", "self.index <= self.num_graphs"),
    ),
    *edits(
        "data._batch_vector:BatchVector.counts",
        (
            "padding counts as nodes",
            "segment_sum(ones, self.index,",
            "segment_sum(ones, jnp.minimum(self.index, self.num_graphs - 1),",
        ),
    ),
)


def _unstable_ties():
    import torch
    from torch_geometric.nn.pool.select.topk import topk

    # Equal scores in their own order would give 0, 1, 2.
    theirs = topk(torch.ones(40), 3, torch.zeros(40, dtype=torch.long)).tolist()
    select = SelectTopK(1, ratio=3, key=jax.random.key(0))
    return theirs == [0, 1, 2], select(jnp.ones(40)).node_index.tolist() == [0, 1, 2]


def _half_precision_count():
    import torch
    from torch_geometric.nn.pool.select.topk import topk

    theirs = topk(torch.arange(50).half(), 0.3, torch.zeros(50, dtype=torch.long))
    select = SelectTopK(1, ratio=0.3, key=jax.random.key(0))
    return len(theirs), int((select(jnp.arange(50.0, dtype=jnp.float16)).node_index < 50).sum())


DIVERGENCES = (
    Divergence(
        "unstable-ties",
        condition="17 or more equal scores",
        pyg=False,
        ours=True,
        reason="PyG sorts without `stable=True`, so its choice among equal scores depends on the "
        "rest of the batch. Here ties go to the lowest index, always; the comparison makes "
        "PyTorch's sort stable.",
        link="https://pytorch.org/docs/stable/generated/torch.sort.html",
        probe=_unstable_ties,
    ),
    Divergence(
        "half-precision-count",
        condition="scores in float16 or bfloat16",
        pyg=15,
        ours=16,
        reason="PyG computes the number of nodes to keep in the dtype of the scores. Here that is "
        "done in float32 at least.",
        link="https://pytorch-geometric.readthedocs.io/en/latest/modules/nn.html#pooling-layers",
        probe=_half_precision_count,
    ),
)
