"""Faults in the augmentation of Graph U-Nets and in what makes equal edges one."""

from ._fault import AUGMENT, DETACHED, edit

SQUARE, COALESCE = "ops._square:", "ops._coalesce:coalesce"

FAULTS = (
    edit(
        "loops are steps",
        f"{SQUARE}_simple",
        "edge_index, weight = remove_self_loops(edge_index, edge_weight, num_nodes)",
        "weight = edge_weight",
        AUGMENT,
    ),
    edit(
        "one step counts once",
        f"{SQUARE}augment_edges",
        "2 * direct_weight",
        "direct_weight",
        AUGMENT,
    ),
    edit(
        "no single steps",
        f"{SQUARE}augment_edges",
        "2 * direct_weight",
        "0 * direct_weight",
        AUGMENT,
    ),
    edit(
        "weight of the first step only",
        f"{SQUARE}_paths",
        "gather(edge_weight, edge) * gather(end_weight, step)",
        "gather(edge_weight, edge)",
        AUGMENT,
    ),
    edit(
        "second step is detached",
        f"{SQUARE}_paths",
        "gather(end_weight, step), total",
        f"{DETACHED}(gather(end_weight, step)), total",
        AUGMENT,
    ),
    edit("paths backwards", f"{SQUARE}_paths", "[begin, end]", "[end, begin]", AUGMENT),
    edit(
        "branches of the source",
        f"{SQUARE}_paths",
        "gather(leaving, target)",
        "gather(leaving, source)",
        AUGMENT,
    ),
    edit(
        "last path is lost",
        f"{SQUARE}_paths",
        "step = jnp.where(slot < total, step, num_edges)",
        "step = jnp.where(slot < total - 1, step, num_edges)",
        AUGMENT,
    ),
    edit(
        "paths between nodes that are not kept",
        f"{SQUARE}_paths",
        "begin < num_labels",
        "begin >= num_labels",
        AUGMENT,
    ),
    edit(
        "second steps to nodes that are not kept",
        f"{SQUARE}_paths",
        "first_true(end < num_labels",
        "first_true(end >= num_labels",
        AUGMENT,
    ),
    edit(
        "nodes keep their numbers",
        f"{SQUARE}augment_edges",
        "labels = positions(node_index, num_nodes, jnp.int32)",
        "labels = jnp.arange(num_nodes, dtype=jnp.int32)",
        AUGMENT,
    ),
    edit(
        "the first node is no end by default",
        f"{SQUARE}augment_edges",
        "jnp.arange(num_nodes, dtype=jnp.int32)",
        "jnp.arange(1, num_nodes + 1, dtype=jnp.int32)",
        AUGMENT,
    ),
    edit("room for a path of each edge", f"{SQUARE}path_capacity", "num_nodes - 1", "1", AUGMENT),
    edit(
        "room for loops",
        f"{SQUARE}augment_edges",
        "num_kept * (num_kept - 1)",
        "num_kept * num_kept",
        AUGMENT,
    ),
    edit("equal edges stay", COALESCE, "first = real & jnp.any", "first = real | jnp.any", AUGMENT),
    edit("mean of equal edges", COALESCE, "aggregation(aggr)", 'aggregation("mean")', AUGMENT),
    edit("largest of equal edges", COALESCE, "aggregation(aggr)", 'aggregation("max")', AUGMENT),
    edit(
        "attributes keep their order",
        COALESCE,
        "gather(edge_attr, order)",
        "edge_attr",
        AUGMENT,
    ),
    edit(
        "edges by target",
        "ops._order:edge_order",
        "[(target, bits), (source, bits)]",
        "[(source, bits), (target, bits)]",
        AUGMENT,
    ),
)
