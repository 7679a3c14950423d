"""Mistakes in EdgePooling, and in the matching that it makes."""

from ._fault import DETACHED, EDGE, edit

MATCH, POOL = "ops._matching:", "nn.pool._edge:EdgePooling."
MERGE = "nn.pool._edge:merge_edges"

FAULTS = (
    edit("the lowest scores merge", f"{MATCH}greedy_matching", "(score)", "(-score)", EDGE),
    edit(
        "padding edges merge",
        f"{MATCH}greedy_matching",
        "real = edge_mask(edge_index, num_nodes)",
        "real = edge_mask(edge_index, num_nodes + 1)",
        EDGE,
    ),
    edit("an end may be taken twice", f"{MATCH}_round", "left & jnp.all(", "left & jnp.any(", EDGE),
    edit(
        "taken edges stay",
        f"{MATCH}_round",
        "left & ~jnp.any(gather(nodes, ends), axis=0)",
        "left & ~new",
        EDGE,
    ),
    edit(
        "the halves of the map change places",
        f"{POOL}score",
        "source, target = edge_index",
        "target, source = edge_index",
        EDGE,
    ),
    edit("no bias", f"{POOL}score", "raw = raw + self.lin.bias", "raw = raw", EDGE),
    edit(
        "nothing is added to scores",
        f"{POOL}score",
        "score + self.add_to_edge_score",
        "score",
        EDGE,
    ),
    edit(
        "lift multiplies",
        f"{POOL}lift",
        "gather(x, select.cluster_index) / ",
        "gather(x, select.cluster_index) * ",
        EDGE,
    ),
    edit(
        "weights are detached",
        MERGE,
        "gather_once(score, merged)",
        f"{DETACHED}(gather_once(score, merged))",
        EDGE,
    ),
    edit(
        "nodes left over are dropped",
        MERGE,
        "cluster = jnp.where(left, total - 1, cluster)",
        "cluster = cluster",
        EDGE,
    ),
    edit("nodes left over weigh nothing", MERGE, "jnp.ones_like(own)", "jnp.zeros_like(own)", EDGE),
)
