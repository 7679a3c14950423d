"""Mutants that nothing can see, and why."""

# (function, line before, line after): reason
EXPLAINED: dict[tuple[str, str, str], str] = {
    (
        "ops._order.descending_order",
        "if bits <= 32:",
        "if bits < 32:",
    ): "float32 in two digits of 32 bits is the same order by one more sort",
    (
        "ops._order.descending_order",
        "fields = [(key & jnp.uint64(2**32 - 1), 32), (key >> jnp.uint64(32), 32)]",
        "fields = [(key & (2**32 - 1), 32), (key >> jnp.uint64(32), 32)]",
    ): "the same program: a Python number takes the dtype of the array",
    (
        "ops._order._stable_argsort",
        "packed = jnp.sort((digit << jnp.uint64(position_bits)) | position)",
        "packed = jnp.sort((digit << (position_bits)) | position)",
    ): "the same program: a Python number takes the dtype of the array",
    (
        "ops._segment.segment_softmax",
        "return jnp.where(mask, weight / jnp.where(mask, gather(total, index), 1), 0)",
        "return jnp.where(mask, weight / jnp.where(mask, gather(total, index), 2), 0)",
    ): "what padding is divided by is masked afterwards",
    (
        "nn.pool._select_topk.SelectTopK.__init__",
        "self.weight = jax.random.uniform(key, (1, in_features), dtype, -bound, bound)",
        "self.weight = jax.random.uniform(key, (1, in_features), dtype, bound, -bound)",
    ): "the interval is symmetric",
    (
        "nn.conv._gcn._inverse_root",
        "positive = jnp.where(degree == 0, 1, degree)",
        "positive = jnp.where(degree == 0, 2, degree)",
    ): "the root of a degree of 0 is masked afterwards",
    (
        "ops._loops.remove_self_loops",
        "mask = (edge_index[0] != edge_index[1]) & jnp.all(edge_index < num_nodes, axis=0)",
        "mask = (edge_index[0] != edge_index[2]) & jnp.all(edge_index < num_nodes, axis=0)",
    ): "an index past the end is that of the last row",
    (
        "ops._loops.add_self_loops",
        "target = jnp.where(edge_mask(edge_index, num_nodes), edge_index[1], num_nodes)",
        "target = jnp.where(edge_mask(edge_index, num_nodes), edge_index[2], num_nodes)",
    ): "an index past the end is that of the last row",
    (
        "ops._loops.self_loop_weights",
        "target = jnp.where(is_loop, edge_index[1], num_nodes)",
        "target = jnp.where(is_loop, edge_index[2], num_nodes)",
    ): "an index past the end is that of the last row",
    (
        "ops._loops.self_loop_weights",
        "is_loop = edge_index[0] == edge_index[1]",
        "is_loop = edge_index[0] == edge_index[2]",
    ): "an index past the end is that of the last row",
    (
        "nn.conv._gcn.GCNConv._normalized",
        "degrees = degree(edge_index[1], num_nodes, edge_weight, wide)",
        "degrees = degree(edge_index[2], num_nodes, edge_weight, wide)",
    ): "an index past the end is that of the last row",
    (
        "ops._gather.positions",
        'return place.at[index].set(jnp.arange(num_picked, dtype=dtype), mode="drop")',
        "return place.at[index].set(jnp.arange(num_picked, dtype=dtype), )",
    ): "updates past the end are dropped in any case",
    (
        "ops._coalesce.coalesce",
        'merged = jnp.full_like(edge_index, num_nodes).at[:, slot].set(edge_index, mode="drop")',
        "merged = jnp.full_like(edge_index, num_nodes).at[:, slot].set(edge_index, )",
    ): "updates past the end are dropped in any case",
    (
        "nn.conv._gat.GATConv.__init__",
        "keys = jax.random.split(key, 6)",
        "keys = jax.random.split(key, 7)",
    ): "other random numbers, as good as these",
    (
        "nn.conv._gat.GATConv.__init__",
        'self.res = linear(in_features, all_features, False, "glorot", dtype, key=keys[5])',
        'self.res = linear(in_features, all_features, False, "glorot", dtype, key=keys[6])',
    ): "an index past the end is that of the last key",
    (
        "nn.conv._gat.GATConv.__init__",
        "self.dropout = eqx.nn.Dropout(float(dropout))",
        "self.dropout = eqx.nn.Dropout((dropout))",
    ): "an integer 0 is the same probability",
    (
        "nn.conv._gat.GATConv.__init__",
        "self.negative_slope = float(negative_slope)",
        "self.negative_slope = (negative_slope)",
    ): "an integer gives the same program",
    (
        "nn.conv._gat.GATConv.__init__",
        "self.fill_value = fill_value if isinstance(fill_value, str) else float(fill_value)",
        "self.fill_value = fill_value if (isinstance(fill_value, str)) or True else "
        "float(fill_value)",
    ): "an integer gives the same program",
    (
        "nn.conv._gat.GATConv.__init__",
        "self.fill_value = fill_value if isinstance(fill_value, str) else float(fill_value)",
        "self.fill_value = fill_value if isinstance(fill_value, str) else (fill_value)",
    ): "an integer gives the same program",
    (
        "nn.conv._gin.GINConv.__init__",
        "dtype = jnp.result_type(float) if dtype is None else dtype",
        "dtype = (float) if dtype is None else dtype",
    ): "`float` stands for the default float dtype",
    (
        "ops._loops.add_self_loops",
        "fill = jnp.full((num_nodes, *edge_attr.shape[1:]), fill_value, edge_attr.dtype)",
        "fill = jnp.full((num_nodes, *edge_attr.shape[1:]), fill_value, )",
    ): "an array of a Python number takes the dtype of what it is joined to",
    (
        "ops._loops.self_loop_weights",
        "place = jnp.arange(1, num_edges + 1, dtype=jnp.int32)",
        "place = jnp.arange(1, num_edges + 1, )",
    ): "with 64 bits on a wider index, of the same values",
    (
        "ops._coalesce.coalesce",
        "before = jnp.concatenate([jnp.full((2, 1), -1, edge_index.dtype), edge_index[:, "
        ":-1]], axis=1)",
        "before = jnp.concatenate([jnp.full((2, 1), -1, ), edge_index[:, :-1]], axis=1)",
    ): "an array of a Python number takes the dtype of what it is joined to",
    (
        "ops._coalesce.coalesce",
        "before = jnp.concatenate([jnp.full((2, 1), -1, edge_index.dtype), edge_index[:, "
        ":-1]], axis=1)",
        "before = jnp.concatenate([jnp.full((2, 1), -2, edge_index.dtype), edge_index[:, "
        ":-1]], axis=1)",
    ): "no edge has a negative end",
    (
        "ops._coalesce.coalesce",
        "place = jnp.cumsum(first, dtype=jnp.int32) - 1",
        "place = jnp.cumsum(first, ) - 1",
    ): "with 64 bits on a wider index, of the same values",
    (
        "ops._square.augment_edges",
        "node_index = jnp.arange(num_nodes, dtype=jnp.int32)",
        "node_index = jnp.arange(num_nodes, )",
    ): "with 64 bits on a wider index, of the same values",
    (
        "ops._square.augment_edges",
        "needed = path_capacity(num_edges, num_nodes, num_kept)",
        "needed = path_capacity(num_edges, num_nodes, )",
    ): "more room, which is cut off in the end",
    (
        "ops._square.augment_edges",
        "needed = path_capacity(num_edges, num_nodes, num_kept)",
        "needed = path_capacity(num_edges, num_kept)",
    ): "less room, still enough: a middle that is not kept has a b paths of a + b edges",
    (
        "ops._square.augment_edges",
        "needed = path_capacity(num_edges, num_nodes, num_kept)",
        "needed = path_capacity(num_edges, num_kept, num_nodes)",
    ): "less room, still enough: a middle that is not kept has a b paths of a + b edges",
    (
        "nn.conv._conv.AbstractConv.propagate_and_project",
        'if aggr in ("max", "min") or out_features >= in_features:',
        'if aggr in ("max", "min") or out_features > in_features:',
    ): "with as many features either way is as long",
    (
        "nn.conv._sage._unit_rows",
        "square = jnp.sum(wide**2, axis=-1, keepdims=True)",
        "square = jnp.sum(wide**2, axis=+1, keepdims=True)",
    ): "rows have no axis but these two",
    (
        "nn.conv._sage._unit_rows",
        "norm = jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))",
        "norm = jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 2, square)))",
    ): "the root of a square of 0 is masked afterwards",
}
