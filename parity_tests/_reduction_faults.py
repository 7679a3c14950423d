"""Faults in what reduces rows by graph or by node."""

from ._fault import (
    ADD,
    DETACHED,
    GAT,
    GCN,
    GIN,
    GRAPH,
    MAX,
    MEAN,
    MIN,
    SAG,
    SAGE,
    TOPK,
    edit,
    entry,
)

SEGMENT, GLOBAL, BATCH = "ops._segment:", "nn.pool._global:", "data._batch_vector:"
COUNT, TIES = "segment_count(index, num_segments)", "jnp.maximum(ties, 1).astype(total.dtype)"
MEANS, SUMS, SOFTMAX = (
    f"{SEGMENT}divide_by_count",
    f"{SEGMENT}segment_sum",
    f"{SEGMENT}segment_softmax",
)
EXTREMUM, GRADIENT = f"{SEGMENT}_filled_extremum", f"{SEGMENT}_extremum_jvp"
BY_BLOCK = "ops._by_block:segment_reduce_by_block"
REDUCE = "jnp.swapaxes(x, 0, axis)"

FAULTS = (
    edit(
        *("mean over all rows", MEANS, COUNT, f"jnp.full_like({COUNT}, index.shape[0])"),
        *(MEAN, SAGE, GRAPH),
        likely="aggr=mean",
    ),
    edit("mean of nothing is NaN", MEANS, f"jnp.maximum({COUNT}, 1)", COUNT, MEAN, SAGE),
    edit(
        *("eps in the count of a mean", MEANS, "_as_column(count, total.ndim)"),
        *("(_as_column(count, total.ndim) + 1e-12)", MEAN, SAGE),
    ),
    edit(
        "mean in float32",
        f"{SEGMENT}segment_mean",
        "_widened(data)",
        "data.astype(jnp.float32)",
        MEAN,
        SAGE,
    ),
    edit("sum in bfloat16", SUMS, "_widened(data)", "data.astype(jnp.bfloat16)", ADD, GCN, GRAPH),
    edit("sum in float16", SUMS, "_widened(data)", "data.astype(jnp.float16)", ADD, GAT),
    edit(
        "sum in float32", SUMS, "_widened(data)", "data.astype(jnp.float32)", ADD, GCN, GAT, GRAPH
    ),
    edit(
        *("padding counts to the last graph", f"{SEGMENT}_reduced"),
        "return reduction.by_index(data, index, num_segments)",
        "return reduction.by_index(data, jnp.minimum(index, num_segments - 1), num_segments)",
        *(ADD, MEAN, MAX, MIN, TOPK, GRAPH),
        likely="min_score",
    ),
    edit(
        *(
            "rows of 64 are scaled",
            "ops._vectors:in_vectors",
            "rows * real",
            "rows * 1.00001 * real",
        ),
        *(ADD, MEAN),
        likely="wide",
    ),
    edit(
        *("rows of 64 are masked where they are real", "ops._vectors:in_vectors"),
        *("real[:, None]", "(~real)[:, None]", ADD, MEAN),
        likely="wide",
    ),
    edit(
        *("a sum by block without its last rows", BY_BLOCK, "blocks.rest_of(index)"),
        *("jnp.full_like(blocks.rest_of(index), num_segments)", GCN, GAT, SAGE, GRAPH, SAG),
        likely="by_block",
    ),
    edit(
        *("every block is the first", "ops._blocks:Blocks.part", "number * self.size"),
        *("0 * number", GCN, GAT, SAGE, GRAPH, GIN, SAG, TOPK),
        likely="by_block",
    ),
    edit(
        *("a mean by block is a sum", BY_BLOCK, 'if aggr == "mean":', "if False:", GIN),
        likely="by_block",
    ),
    edit(
        *("maximum of nothing is infinite", EXTREMUM, "jnp.where(filled, out, 0)", "out"),
        *(MAX, MIN, SAGE, GRAPH),
        likely="aggr=m",
    ),
    edit(
        *("maximum of nothing is 1", EXTREMUM, "jnp.where(filled, out, 0)"),
        *("jnp.where(filled, out, 1)", MAX, MIN),
    ),
    edit(
        *("maximum starts from 0", EXTREMUM, "jnp.where(filled, out, 0)", "jnp.maximum(out, 0)"),
        *(MAX, SAGE, GRAPH),
        likely="aggr=max",
    ),
    edit(
        *("minimum starts from 0", EXTREMUM, "jnp.where(filled, out, 0)", "jnp.minimum(out, 0)"),
        *(MIN, SAGE, GRAPH),
        likely="aggr=min",
    ),
    edit(
        *("every tie gets all of the gradient", GRADIENT),
        *(f"total / {TIES}", "total"),
        *(MAX, MIN, SAGE, GRAPH),
        likely="aggr=max",
    ),
    edit(
        *("gradient to all rows", GRADIENT, "jnp.where(chosen, tangent, 0)", "tangent"),
        *(MAX, MIN, SAGE, GRAPH),
        likely="aggr=max",
    ),
    edit(
        *("share of ties in float16", GRADIENT, f"total / {TIES}"),
        f"(total / {TIES}).astype(jnp.float16).astype(tangent.dtype)",
        *(MAX, SAGE),
        likely="aggr=max",
    ),
    edit(
        *("maximum is a minimum", f"{SEGMENT}segment_max", "_MAX"),
        *("_MIN", MAX, SAGE, TOPK),
        likely="m",
    ),
    edit(
        *("minimum is a maximum", f"{SEGMENT}segment_min", "_MIN"),
        *("_MAX", MIN, GRAPH),
        likely="aggr=min",
    ),
    edit(
        *("maximum is detached", f"{SEGMENT}segment_max"),
        "_extremum(_MAX, data, index, num_segments)",
        "jax.lax.stop_gradient(_extremum(_MAX, data, index, num_segments))",
        *(MAX, GRAPH),
        likely="aggr=max",
    ),
    entry(
        "mean is a sum",
        "ops._segment._AGGREGATIONS",
        "mean",
        "add",
        SAGE,
        GRAPH,
        GAT,
        likely="mean",
    ),
    entry(
        "sum is a mean",
        "ops._segment._AGGREGATIONS",
        "sum",
        "mean",
        SAGE,
        GRAPH,
        GAT,
        likely="=sum",
    ),
    entry(
        "max is min", "ops._segment._AGGREGATIONS", "max", "min", SAGE, GRAPH, GAT, likely="=max"
    ),
    edit(
        *("softmax without the maximum", SOFTMAX, "jnp.exp(data - gather(largest, index))"),
        *("jnp.exp(data)", GAT, TOPK, SAG),
        likely="saturated",
    ),
    edit(
        "softmax sums to less than 1",
        SOFTMAX,
        "total = segment_sum(weight, index, num_segments)",
        "total = segment_sum(weight, index, num_segments) + 1e-12",
        GAT,
        TOPK,
        SAG,
        likely="min_score",
    ),
    edit(
        *("softmax over all graphs", SOFTMAX, "gather(total, index)"),
        *("jnp.broadcast_to(jnp.sum(total, axis=0), data.shape)", GAT, TOPK, SAG),
        likely="min_score",
    ),
    edit(
        *(
            "softmax is detached",
            SOFTMAX,
            "weight / jnp.where",
            "jax.lax.stop_gradient(weight) / jnp.where",
        ),
        *(GAT, TOPK, SAG),
        likely="min_score",
    ),
    edit(
        *("softmax in float32", SOFTMAX, "data = jnp.where(mask, data, 0)"),
        "data = jnp.where(mask, data, 0).astype(jnp.float32).astype(data.dtype)",
        *(GAT, TOPK, SAG),
        likely="min_score",
    ),
    edit(
        "sets stay first",
        f"{GLOBAL}_by_graph",
        "jnp.swapaxes(out, 0, axis)",
        "out",
        ADD,
        MAX,
        likely="rank=3",
    ),
    edit(
        "sets are nodes",
        f"{GLOBAL}_node_axis",
        "max(x.ndim - 2, 0)",
        "0",
        ADD,
        MEAN,
        MIN,
        likely="rank=3",
    ),
    edit(
        *("sets keep an axis of one graph", f"{GLOBAL}_whole"),
        *("jnp.squeeze(out, axis) if x.ndim == 3 else out", "out", ADD, MAX),
        likely="rank=3, batch=None",
    ),
    edit("sum is a mean", f"{GLOBAL}global_add_pool", "segment_sum", "segment_mean", ADD),
    edit(
        *("mean by one node more", f"{GLOBAL}_mean", "jnp.mean(x, axis, keepdims=True)"),
        *("jnp.sum(x, axis, keepdims=True) / (x.shape[axis] + 1)", MEAN),
        likely="batch=None",
    ),
    edit(
        *("last of several largest", f"{GLOBAL}_first", "search(x, axis, keepdims=True)"),
        *("x.shape[axis] - 1 - search(jnp.flip(x, axis), axis, keepdims=True)", MAX, MIN),
        likely="batch=None",
    ),
    edit(
        *("largest of one graph share the gradient", f"{GLOBAL}global_max_pool"),
        *("_first(x, jnp.argmax, axis)", "jnp.max(x, axis, keepdims=True)", MAX),
        likely="batch=None",
    ),
    edit(
        *("smallest of one graph share the gradient", f"{GLOBAL}global_min_pool"),
        *("_first(x, jnp.argmin, axis)", "jnp.min(x, axis, keepdims=True)", MIN),
        likely="batch=None",
    ),
    edit("features are detached", f"{GLOBAL}_by_graph", REDUCE, f"{DETACHED}({REDUCE})", ADD, MEAN),
    edit(
        *("one graph more than there are", f"{BATCH}resolve_batch"),
        *(
            "return BatchVector(index, size)\n    ids",
            "return BatchVector(index, size + 1)\n    ids",
        ),
        *(ADD, MEAN, MAX, MIN),
        likely="batch=array",
    ),
    edit(
        *("padding is a node", f"{BATCH}BatchVector.node_mask", "self.index < self.num_graphs"),
        *("self.index <= self.num_graphs", TOPK, SAG),
    ),
    edit(
        *("padding counts as nodes", f"{BATCH}BatchVector.counts"),
        *(
            "segment_sum(ones, self.index,",
            "segment_sum(ones, jnp.minimum(self.index, self.num_graphs - 1),",
        ),
        *(TOPK, SAG),
    ),
    edit("sum of half precision in float32", SUMS, "total.astype(data.dtype)", "total", ADD),
    edit(
        "mean of half precision in float32",
        f"{SEGMENT}segment_mean",
        "mean.astype(data.dtype) if inexact else mean",
        "mean",
        MEAN,
    ),
)
