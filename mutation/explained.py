"""Mutants that nothing can see, and why."""

# (function, line before, line after): reason
EXPLAINED: dict[tuple[str, str, str], str] = {
    (
        "ops._order._digits",
        "if bits <= 32:",
        "if bits < 32:",
    ): "float32 in two digits of 32 bits is the same order by one more sort",
    (
        "ops._order._digits",
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
        "nn.pool._global._by_graph",
        "return jnp.moveaxis(out, 0, axis)",
        "return jnp.moveaxis(out, axis, 0)",
    ): "moving an axis by one place or its neighbour back is the same",
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
}
