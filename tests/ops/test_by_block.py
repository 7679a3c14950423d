import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.ops import _by_block, aggregation, gather, segment_reduce_by_block

pytestmark = pytest.mark.usefixtures("quick_compile")
ROWS, SEGMENTS, FEATURES = 23, 5, 3

on_a_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="blocks are for a CPU")


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of four rows: five of them, and a rest of three rows."""
    monkeypatch.setattr(_by_block, "_BLOCK_BYTES", 4 * FEATURES * 4)
    jax.clear_caches()


def example():
    """Whole numbers, so that sums are exact. Some rows are padding."""
    rng = np.random.default_rng(0)
    x = rng.integers(-8, 8, (7, FEATURES)).astype(np.float32)
    source = rng.integers(0, 8, ROWS).astype(np.int32)
    weight = rng.integers(-8, 8, ROWS).astype(np.float32)
    index = rng.integers(0, SEGMENTS + 2, ROWS).astype(np.int32)
    return jnp.asarray(x), jnp.asarray(weight), jnp.asarray(source), jnp.asarray(index)


def messages(x):
    return lambda edges: edges[1][:, None] * gather(x, edges[0])


def by_block(aggr):
    def function(x, weight, source, index):
        return segment_reduce_by_block(messages(x), (source, weight), index, SEGMENTS, aggr)

    return function


def at_once(aggr):
    def function(x, weight, source, index):
        return aggregation(aggr)(messages(x)((source, weight)), index, SEGMENTS)

    return function


def gradients(function):
    def loss(x, weight, source, index):
        return jnp.sum(function(x, weight, source, index) * jnp.arange(1.0, FEATURES + 1)[None])

    return jax.jit(jax.grad(loss, argnums=(0, 1)))


@pytest.mark.parametrize("aggr", ["add", "sum", "mean", "max", "min"])
def test_blocks_change_neither_values_nor_gradients(aggr, small_blocks):
    arguments = example()
    found = jax.jit(by_block(aggr))(*arguments)
    np.testing.assert_array_equal(found, at_once(aggr)(*arguments))
    found, expected = (gradients(way(aggr))(*arguments) for way in (by_block, at_once))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def blocks(function, *arguments):
    """The number of blocks in a program, and 0 where all rows are made at once."""
    equations = jax.make_jaxpr(function)(*arguments).eqns
    lengths = [eqn.params["length"] for eqn in equations if eqn.primitive.name == "scan"]
    return sum(lengths)


@on_a_cpu
def test_only_sums_and_means_of_many_rows_are_made_in_blocks(small_blocks):
    x, *rows = example()
    assert blocks(by_block("add"), x, *rows) == blocks(by_block("mean"), x, *rows) == 5
    assert blocks(by_block("max"), x, *rows) == blocks(by_block("min"), x, *rows) == 0
    for number, expected in [(8, 2), (7, 0)]:
        assert blocks(by_block("add"), x, *(array[:number] for array in rows)) == expected


def test_other_backends_than_a_cpu_make_all_rows_at_once(small_blocks, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert blocks(by_block("add"), *example()) == 0


@on_a_cpu
@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((ROWS, 3), np.float32, 23),
        ((ROWS, 1), np.float32, 7),
        ((ROWS,), np.float16, 3),
        ((ROWS, 2, 1), np.float16, 7),
        ((ROWS, 7), np.float32, 23),  # wider than a block
        ((ROWS, 0), np.float32, 0),
    ],
)
def test_a_block_has_as_many_rows_as_there_is_room_for(shape, dtype, expected, monkeypatch):
    monkeypatch.setattr(_by_block, "_BLOCK_BYTES", 12)
    rows, index = jnp.ones(shape, dtype), jnp.zeros(ROWS, jnp.int32)

    def total(rows):
        return segment_reduce_by_block(lambda rows: rows, rows, index, 2)

    assert blocks(total, rows) == expected
    np.testing.assert_array_equal(total(rows), [np.full(shape[1:], ROWS), np.zeros(shape[1:])])


def test_forward_mode_and_vmap(small_blocks):
    x, weight, source, index = example()
    step = jnp.ones_like(x)
    for way in (by_block, at_once):
        function = way("add")
        tangent = jax.jvp(lambda x, f=function: f(x, weight, source, index), (x,), (step,))[1]
        both = jax.vmap(function, (0, None, None, 0))(
            jnp.stack([x, 2 * x]), weight, source, jnp.stack([index, index[::-1]])
        )
        if way is by_block:
            found = tangent, both
    np.testing.assert_array_equal(found[0], tangent)
    np.testing.assert_array_equal(found[1], both)


@pytest.mark.parametrize("aggr", ["add", "mean"])
def test_integers_are_as_at_once(aggr, monkeypatch):
    monkeypatch.setattr(_by_block, "_BLOCK_BYTES", 8)
    rows, index = jnp.arange(ROWS), jnp.zeros(ROWS, jnp.int32)
    found = segment_reduce_by_block(lambda rows: rows, rows, index, 1, aggr)
    expected = aggregation(aggr)(rows, index, 1)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_half_precision_is_added_in_float32(monkeypatch):
    monkeypatch.setattr(_by_block, "_BLOCK_BYTES", 8)
    # In float16 1 would be lost beside 2048.
    rows = jnp.asarray([2048.0] + [1.0] * 22, jnp.float16)
    index = jnp.zeros(ROWS, jnp.int32)
    with jax.numpy_dtype_promotion("strict"):
        out = segment_reduce_by_block(lambda rows: rows, rows, index, 1)
    assert out.dtype == jnp.float16 and float(out[0]) == float(jnp.float16(2070))


def test_64_bit_mode_does_not_widen_float32(x64, adds_in_order, monkeypatch):
    monkeypatch.setattr(_by_block, "_BLOCK_BYTES", 8)
    # Beside 1, 2^-25 is lost in float32; 22 of them are not in float64.
    rows = jnp.asarray([1.0] + [2.0**-25] * 22, jnp.float32)
    out = segment_reduce_by_block(lambda rows: rows, rows, jnp.zeros(ROWS, jnp.int32), 1)
    assert out.dtype == jnp.float32 and float(out[0]) == 1


def test_messages_of_a_large_graph_are_never_all_there():
    edges, features = 32_768, 64
    x, weight = jnp.ones((128, features)), jnp.ones(edges)
    source = index = jnp.zeros(edges, jnp.int32)

    def loss(x, weight):
        rows = messages(x)
        return jnp.sum(jnp.sin(segment_reduce_by_block(rows, (source, weight), index, 128)))

    memory = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(x, weight).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < edges * features * 4 / 2


@on_a_cpu
def test_rows_of_64_are_made_in_vectors():
    def products_of_rows(width):
        rows, index = jnp.ones((16_384, width)), jnp.zeros(16_384, jnp.int32)
        program = jax.make_jaxpr(
            lambda rows: segment_reduce_by_block(lambda rows: rows, rows, index, 2)
        )(rows)
        return re.findall(rf"f32\[\d+,{width}\] = mul ", str(program))

    assert products_of_rows(64) and not products_of_rows(63)
