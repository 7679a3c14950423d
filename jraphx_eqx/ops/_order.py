import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..data import BatchVector
from ._gather import gather


def descending_order(score: Float[Array, " nodes"], batch: BatchVector) -> Int[Array, " nodes"]:
    """Nodes by graph, then by descending score, ties by lowest index; padding comes last.

    NaN ranks first, whatever its sign bit, and -0.0 equals 0.0, as in a stable `torch.sort`.

    XLA sorts a single integer operand several times faster than anything else on a CPU, so graph,
    score and position are packed into 64 bits. Where they do not fit, the highest bits are sorted;
    and where that is not yet the order, all digits, from the least to the most significant.
    """
    with jax.enable_x64(True):
        return _order_by_graph(_descending_bits(score), batch)


def ascending_order(score: Float[Array, " nodes"], batch: BatchVector) -> Int[Array, " nodes"]:
    """Nodes by graph, then by ascending score, ties by lowest index; padding comes last.

    NaN ranks last, as in a stable `torch.sort`.
    """
    with jax.enable_x64(True):
        return _order_by_graph(~_descending_bits(score), batch)


def places_in_graph(batch: BatchVector) -> Int[Array, " nodes"]:
    """The place of each node among the nodes of its graph, in their order."""
    num_nodes = batch.index.shape[0]
    with jax.enable_x64(True):
        graph = jnp.minimum(batch.index, batch.num_graphs).astype(jnp.uint64)
        order = _order([(graph, batch.num_graphs.bit_length())])
    counts = batch.counts
    graph = gather(batch.index, order)
    first = gather(jnp.cumsum(counts) - counts, graph)
    place = jnp.arange(num_nodes, dtype=jnp.int32) - first
    return jnp.zeros(num_nodes, jnp.int32).at[order].set(place, unique_indices=True)


def edge_order(edge_index: Int[Array, "2 edges"], num_nodes: int) -> Int[Array, " edges"]:
    """Edges by source, then by target, equal ones in their given order; padding last."""
    bits = num_nodes.bit_length()
    padding = jnp.any(edge_index >= num_nodes, axis=0)
    with jax.enable_x64(True):
        source, target = jnp.where(padding, num_nodes, edge_index).astype(jnp.uint64)
        return _order([(target, bits), (source, bits)])


def integer_order(value: Int[Array, " rows"], mask: Bool[Array, " rows"]) -> Int[Array, " rows"]:
    """Rows by their value, equal ones in the order in which they are; those outside `mask` last."""
    bits = 8 * value.dtype.itemsize
    unsigned = jnp.dtype(f"uint{bits}")
    # Negative numbers have the sign bit, and come first.
    raw = jax.lax.bitcast_convert_type(value, unsigned) ^ unsigned.type(1 << (bits - 1))
    with jax.enable_x64(True):
        fields = [
            ((raw >> unsigned.type(k)).astype(jnp.uint32).astype(jnp.uint64), 32)
            for k in range(0, bits, 32)
        ]
        return _order([*fields, ((~mask).astype(jnp.uint64), 1)])


def _order_by_graph(bits, batch):
    """Nodes by graph and, in each, by unsigned integers; to be called like `_order`."""
    width, key = 8 * bits.dtype.itemsize, bits.astype(jnp.uint64)
    graph = jnp.minimum(batch.index, batch.num_graphs).astype(jnp.uint64)
    fields = [(key, width)]
    if width > 32:
        fields = [(key & jnp.uint64(2**32 - 1), 32), (key >> jnp.uint64(32), 32)]
    return _order([*fields, (graph, batch.num_graphs.bit_length())])


def _order(fields):
    """A stable order by unsigned integers, each with its number of bits, least significant first.

    To be called with 64-bit types switched on.
    """
    num_rows = fields[0][0].shape[0]
    position_bits = (num_rows - 1).bit_length()
    room = 64 - position_bits
    digits = list(_digits(fields, room))
    order = _stable_argsort(_highest(fields, room), position_bits)
    if len(digits) > 1:
        is_right = _ascends([digit[order] for digit in digits])
        order = jax.lax.cond(
            is_right, lambda: order, lambda: _order_by_digits(digits, position_bits)
        )
    return order.astype(jnp.int32)


def _order_by_digits(digits, position_bits):
    least, *others = digits
    order = _stable_argsort(least, position_bits)
    for digit in others:
        order = order[_stable_argsort(digit[order], position_bits)]
    return order


def _stable_argsort(digit, position_bits):
    position = jnp.arange(digit.shape[0], dtype=jnp.uint64)
    packed = jnp.sort((digit << jnp.uint64(position_bits)) | position)
    return packed & jnp.uint64((1 << position_bits) - 1)


def _digits(fields, room):
    """The fields, joined where they fit into `room` bits."""
    digit, width = fields[0]
    for field, bits in fields[1:]:
        if width + bits > room:
            yield digit
            digit, width = field, bits
        else:
            digit, width = digit | (field << jnp.uint64(width)), width + bits
    yield digit


def _highest(fields, room):
    """The highest `room` bits of all the fields."""
    excess = sum(bits for _, bits in fields) - room
    kept = []
    for field, bits in fields:
        lost = min(max(excess, 0), bits)
        excess -= lost
        kept.append((field >> jnp.uint64(lost), bits - lost))
    (digit,) = _digits(kept, room)
    return digit


def _ascends(digits):
    """Whether no row is above the next, by its digits, least significant first."""
    ascends = True
    for digit in digits:
        before, after = digit[:-1], digit[1:]
        ascends = (before < after) | ((before == after) & ascends)
    return jnp.all(ascends)


def _descending_bits(score):
    """Unsigned integers whose ascending order is the descending order of `score`.

    Read as an unsigned integer, a positive float grows with its value and a negative one shrinks.
    Flipping all bits of the positive ones but the sign turns both round and puts the positive
    ones first.
    """
    # All by integers: XLA takes numbers that are nearly 0, subnormal ones, for 0 on a CPU.
    unsigned = jnp.dtype(f"uint{8 * score.dtype.itemsize}")
    sign = unsigned.type(1 << (8 * unsigned.itemsize - 1))
    infinity = np.asarray(jnp.inf, score.dtype).view(unsigned)
    raw = jax.lax.bitcast_convert_type(score, unsigned)
    negative = raw > sign  # Not -0.0, which is the same as 0.0.
    is_nan = (raw & ~sign) > infinity
    return jnp.where(is_nan, 0, jnp.where(negative, raw, ~raw & ~sign))
