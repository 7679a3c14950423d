"""Mutants that nothing can see, and why."""

# (function, line before, line after): reason
EXPLAINED: dict[tuple[str, str, str], str] = {
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
        "nn.conv._gcn._divided_by_root",
        "root = jnp.sqrt(jnp.where(degrees == 0, 1, degrees))",
        "root = jnp.sqrt(jnp.where(degrees == 0, 2, degrees))",
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
        "nn.conv._gcn.GCNConv._with_degrees",
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
        "ops._square._paths",
        "begin, end = (gather(labels, node, fill_value=num_labels) for node in edge_index)",
        "begin, end = (gather(labels, node, ) for node in edge_index)",
    ): "no edge leaves the end of a padding edge, and none is counted that begins past the end",
    (
        "ops._square._paths",
        "total = jnp.minimum(jnp.sum(branches, dtype=jnp.int64), jnp.iinfo(jnp.int32).max)",
        "total = jnp.minimum(jnp.sum(branches, ), jnp.iinfo(jnp.int32).max)",
    ): "with 64 bits on, integers are added up in int64",
    (
        "ops._square._paths",
        "edge = jnp.arange(num_edges, dtype=jnp.int32)",
        "edge = jnp.arange(num_edges, )",
    ): "with 64 bits on a wider index, of the same values",
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
    (
        "ops._segment.segment_softmax",
        "data = jnp.where(mask, data, 0)",
        "data = jnp.where(mask, data, 1)",
    ): "the weight of padding is masked afterwards",
    (
        "ops._by_block._vectorised",
        "return in_vectors(make_rows(operands), index < num_segments)",
        "return in_vectors(make_rows(operands), index <= num_segments)",
    ): "rows of padding may become anything",
    (
        "ops._by_block._added",
        'return total.at[index].add(rows.astype(total.dtype), mode="drop")',
        "return total.at[index].add(rows.astype(total.dtype), )",
    ): "updates past the end are dropped in any case",
    (
        "nn.pool._global._mean",
        "return jnp.sum(x, axis, keepdims=True, dtype=jnp.mean(x[:0]).dtype)",
        "return jnp.sum(x, axis, keepdims=True, dtype=jnp.mean(x[:1]).dtype)",
    ): "only its dtype is used",
    (
        "nn.pool._global._node_axis",
        "return max(x.ndim - 2, 0)",
        "return (x.ndim - 2)",
    ): "the last axis of a vector is its first",
    (
        "nn.pool._select_topk.SelectTopK.__init__",
        "dtype = jnp.result_type(float) if dtype is None else dtype",
        "dtype = jnp.result_type(float) if (dtype is None) and False else dtype",
    ): "`None` stands for the default float dtype",
    (
        "nn.pool._select_topk.SelectTopK.__init__",
        "dtype = jnp.result_type(float) if dtype is None else dtype",
        "dtype = (float) if dtype is None else dtype",
    ): "`float` stands for the default float dtype",
    (
        "nn.pool._select_topk.SelectTopK.score",
        "projection = self.weight[0]",
        "projection = self.weight[1]",
    ): "an index past the end is that of the last row",
    (
        "nn.pool._select_topk.SelectTopK.score",
        "return self.nonlinearity(jnp.where(batch.node_mask, score, 0))",
        "return self.nonlinearity(jnp.where(batch.node_mask, score, 1))",
    ): "the score of padding means nothing",
    (
        "nn.pool._select_topk._check_ratio",
        "if ratio > 1 and (math.isinf(ratio) or ratio != int(ratio)):",
        "if ratio >= 1 and (math.isinf(ratio) or ratio != int(ratio)):",
    ): "1 is whole",
    (
        "ops._order.descending_order",
        "if bits <= 32:",
        "if bits <= 33:",
    ): "no dtype has 33 bits",
    (
        "ops._order.descending_order",
        "fields = [(key & jnp.uint64(2**32 - 1), 32), (key >> jnp.uint64(32), 32)]",
        "fields = [(key & jnp.uint64(2**33 - 1), 32), (key >> jnp.uint64(32), 32)]",
    ): "a bit that is in both parts, in its place: the same order, at most by more sorts",
    (
        "ops._order.descending_order",
        "fields = [(key & jnp.uint64(2**32 - 1), 32), (key >> jnp.uint64(32), 32)]",
        "fields = [(key & jnp.uint64(2**32 - 1), 33), (key >> jnp.uint64(32), 32)]",
    ): "room for one bit more than there is: the same order, at most by more sorts",
    (
        "ops._order.descending_order",
        "fields = [(key & jnp.uint64(2**32 - 1), 32), (key >> jnp.uint64(32), 32)]",
        "fields = [(key & jnp.uint64(2**32 - 1), 32), (key >> (32), 32)]",
    ): "the same program: a Python number takes the dtype of the array",
    (
        "ops._order.descending_order",
        "fields = [(key & jnp.uint64(2**32 - 1), 32), (key >> jnp.uint64(32), 32)]",
        "fields = [(key & jnp.uint64(2**32 - 1), 32), (key >> jnp.uint64(32), 33)]",
    ): "room for one bit more than there is: the same order, at most by more sorts",
    (
        "ops._order._order",
        "num_rows = fields[0][0].shape[0]",
        "num_rows = fields[1][0].shape[0]",
    ): "all fields have as many rows",
    (
        "ops._order._order",
        "position_bits = (num_rows - 1).bit_length()",
        "position_bits = (num_rows + 1).bit_length()",
    ): "room for more rows than there are: the same order, at most by more sorts",
    (
        "ops._order._order",
        "position_bits = (num_rows - 1).bit_length()",
        "position_bits = (num_rows).bit_length()",
    ): "room for more rows than there are: the same order, at most by more sorts",
    (
        "ops._order._stable_argsort",
        "return packed & jnp.uint64((1 << position_bits) - 1)",
        "return packed & ((1 << position_bits) - 1)",
    ): "the same program: a Python number takes the dtype of the array",
    (
        "ops._order._digits",
        "digit, width = digit | (field << jnp.uint64(width)), width + bits",
        "digit, width = digit | (field << (width)), width + bits",
    ): "the same program: a Python number takes the dtype of the array",
    (
        "ops._order._descending_bits",
        "return jnp.where(is_nan, 0, jnp.where(negative, raw, ~raw & ~sign))",
        "return jnp.where(is_nan, 1, jnp.where(negative, raw, ~raw & ~sign))",
    ): "still before the infinite ones",
    (
        "ops._topk.top_k_capacity",
        "return min(num_nodes, int(np.ceil(rounded * exact.type(num_nodes))))",
        "return min(num_nodes, int(np.ceil(rounded * (num_nodes))))",
    ): "NumPy takes a Python number into the dtype of the other",
    (
        "ops._order._highest",
        "kept.append((field >> jnp.uint64(lost), bits - lost))",
        "kept.append((field >> (lost), bits - lost))",
    ): "the same program: a Python number takes the dtype of the array",
    (
        "nn.pool._global._by_graph",
        "out = reduction(jnp.swapaxes(x, 0, axis), batch.index, batch.num_graphs)",
        "out = reduction(jnp.swapaxes(x, axis, 0), batch.index, batch.num_graphs)",
    ): "two axes are swapped either way",
    (
        "nn.pool._global._by_graph",
        "return jnp.swapaxes(out, 0, axis)",
        "return jnp.swapaxes(out, axis, 0)",
    ): "two axes are swapped either way",
    (
        "ops._segment._reduced",
        "if copies == 1:",
        "if (copies == 1) and False:",
    ): "the sum of one copy is that copy",
    (
        "ops._segment._reduced",
        "copy = jnp.arange(data.shape[0], dtype=jnp.int32) % copies",
        "copy = jnp.arange(data.shape[0], ) % copies",
    ): "with 64 bits on a wider index, of the same values",
}
