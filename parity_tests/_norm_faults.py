"""Faults in the norms, and in the convolution that is made of a network."""

from ._fault import BATCH_NORM, DETACHED, GIN, GRAPH_NORM, LAYER_NORM, edit

BATCH, GRAPH, LAYER = (f"nn.norm.{name}:" for name in ("_batch_norm", "_graph_norm", "_layer_norm"))
CALL, STATISTICS = f"{BATCH}BatchNorm1d.normalise", f"{BATCH}_statistics"
BY_GRAPH, ROWS = f"{GRAPH}GraphNorm.__call__", "nn._layer_norm:normalised_rows"
CONV = "nn.conv._gin:GINConv.__call__"
EPS = "self.eps if self.train_eps else jax.lax.stop_gradient(self.eps)"
ALL = (BATCH_NORM, GRAPH_NORM, LAYER_NORM)

FAULTS = (
    edit(
        "padding counts in statistics",
        "nn.norm._norm:entering",
        "mask_rows(wide, mask)",
        "wide",
        *ALL,
    ),
    edit(
        "scale is left out",
        "nn._layer_norm:scale_shift",
        "x = x * weight.reshape",
        "x = x + 0 * weight.reshape",
        *ALL,
    ),
    edit("shift is left out", "nn._layer_norm:scale_shift", "add_bias(x, bias)", "x", *ALL),
    edit(
        "variance over n - 1",
        STATISTICS,
        "jnp.sum(centred**2, axis=0) / number",
        "jnp.sum(centred**2, axis=0) / jnp.maximum(number - 1, 1)",
        BATCH_NORM,
    ),
    edit("mean over padding too", STATISTICS, "axis=0) / number\n", "axis=0) / rows\n", BATCH_NORM),
    edit("mean is detached", CALL, "(wide - mean[", f"(wide - {DETACHED}(mean)[", BATCH_NORM),
    edit(
        "variance is detached",
        CALL,
        "jnp.sqrt(variance + self.eps)",
        f"jnp.sqrt({DETACHED}(variance) + self.eps)",
        BATCH_NORM,
    ),
    edit(
        "eps outside the root",
        CALL,
        "jnp.sqrt(variance + self.eps)",
        "(jnp.sqrt(variance) + self.eps)",
        BATCH_NORM,
    ),
    edit(
        "running statistics in training",
        CALL,
        "self.running_mean is None or not self.inference",
        "self.running_mean is None",
        BATCH_NORM,
    ),
    edit(
        "statistics of the nodes in inference",
        CALL,
        "self.running_mean is None or not self.inference",
        "True",
        BATCH_NORM,
        likely="training=False",
    ),
    edit(
        "running statistics swapped",
        f"{BATCH}_running",
        "(norm.running_mean, norm.running_var)",
        "(norm.running_var, norm.running_mean)",
        BATCH_NORM,
        likely="training=False",
    ),
    edit(
        "gradients reach running statistics",
        f"{BATCH}_running",
        "jax.lax.stop_gradient(value)",
        "value",
        BATCH_NORM,
        likely="training=False",
    ),
    edit(
        "scale of the mean is left out",
        BY_GRAPH,
        " * self.mean_scale.astype(wide.dtype)[None]",
        "",
        GRAPH_NORM,
    ),
    edit("eps squared", BY_GRAPH, "variance + self.eps", "variance + self.eps**2", GRAPH_NORM),
    edit("no root", BY_GRAPH, "jnp.sqrt(variance)", "variance", GRAPH_NORM),
    edit("square of what is not centred", BY_GRAPH, "centred**2", "wide**2", GRAPH_NORM),
    edit(
        "mean of a graph is detached",
        BY_GRAPH,
        "gather(segment_mean(wide,",
        f"gather(segment_mean({DETACHED}(wide),",
        GRAPH_NORM,
    ),
    edit(
        "mean of each node for that of each graph",
        f"{LAYER}LayerNorm.__call__",
        'self.mode == "node"',
        'self.mode == "graph"',
        LAYER_NORM,
    ),
    edit(
        "number of nodes for that of numbers",
        f"{LAYER}_by_graph",
        "batch.num_graphs), 1) * x.shape[1]",
        "batch.num_graphs), 1)",
        LAYER_NORM,
    ),
    edit(
        "mean of all features is detached",
        f"{LAYER}_by_graph",
        "gather(mean(x),",
        f"gather(mean({DETACHED}(x)),",
        LAYER_NORM,
    ),
    edit("no eps", f"{LAYER}_by_graph", "mean(centred**2) + eps", "mean(centred**2)", LAYER_NORM),
    edit(
        "eps inside the root",
        f"{LAYER}_whole",
        "(deviation + eps)",
        "jnp.sqrt(deviation**2 + eps)",
        LAYER_NORM,
        likely="batched=False",
    ),
    edit(
        "variance of a row over n - 1",
        ROWS,
        "jnp.mean(centred**2, axis=-1, keepdims=True)",
        "jnp.var(wide, axis=-1, keepdims=True, ddof=1)",
        LAYER_NORM,
        likely="mode=node",
    ),
    edit("root of a row", ROWS, "rsqrt(variance", "rsqrt(2 * variance", LAYER_NORM),
    edit("eps in place of 1 + eps", CONV, "(1 + eps)[None]", "eps[None]", GIN),
    edit("eps is subtracted", CONV, "(1 + eps)", "(1 - eps)", GIN),
    edit("node itself is left out", CONV, " + (1 + eps)[None] * x", "", GIN),
    edit("eps is never learnt", CONV, EPS, "jax.lax.stop_gradient(self.eps)", GIN),
    edit("eps is always learnt", CONV, EPS, "self.eps", GIN, likely="aggr=mean"),
    edit("always the sum", CONV, "aggr=self.aggr", 'aggr="add"', GIN, likely="aggr=mean"),
    edit(
        "neighbours are detached",
        CONV,
        "self.propagate(x,",
        "self.propagate(jax.lax.stop_gradient(x),",
        GIN,
    ),
    edit(
        "normalised rows of half precision in float32",
        "nn.norm._norm:leaving",
        "normalised.astype(x.dtype)",
        "normalised",
        *ALL,
    ),
)
