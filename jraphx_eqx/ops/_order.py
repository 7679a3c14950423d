import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..data import BatchVector


def descending_order(score: Float[Array, " nodes"], batch: BatchVector) -> Int[Array, " nodes"]:
    """Nodes by graph, then by descending score, ties by lowest index; padding comes last.

    NaN ranks first, whatever its sign bit, and -0.0 equals 0.0, as in a stable `torch.sort`.

    XLA sorts a single integer operand several times faster than anything else on a CPU, so graph,
    score and position are packed into 64 bits. Where they do not fit, digits of the key are sorted
    from the least significant to the most significant.
    """
    position_bits = max(score.shape[0] - 1, 0).bit_length()
    with jax.enable_x64(True):
        least, *others = _digits(score, batch, 64 - position_bits)
        order = _stable_argsort(least, position_bits)
        for digit in others:
            order = order[_stable_argsort(digit[order], position_bits)]
        return order.astype(jnp.int32)


def _stable_argsort(digit, position_bits):
    position = jnp.arange(digit.shape[0], dtype=jnp.uint64)
    packed = jnp.sort((digit << jnp.uint64(position_bits)) | position)
    return packed & jnp.uint64((1 << position_bits) - 1)


def _digits(score, batch, room):
    """The sort key as integers of at most `room` bits, least significant first."""
    bits = 8 * score.dtype.itemsize
    key = _descending_bits(score).astype(jnp.uint64)
    graph = jnp.minimum(batch.index, batch.num_graphs).astype(jnp.uint64)
    if bits <= 32:
        fields = [(key, bits)]
    else:
        fields = [(key & jnp.uint64(2**32 - 1), 32), (key >> jnp.uint64(32), 32)]
    digit, width = fields[0]
    for field, bits in (*fields[1:], (graph, batch.num_graphs.bit_length())):
        if width + bits > room:
            yield digit
            digit, width = field, bits
        else:
            digit, width = digit | (field << jnp.uint64(width)), width + bits
    yield digit


def _descending_bits(score):
    """Unsigned integers whose ascending order is the descending order of `score`.

    Read as an unsigned integer, a positive float grows with its value and a negative one shrinks.
    Flipping all bits of the positive ones but the sign turns both round and puts the positive
    ones first. NaN with a clear sign bit is above infinity, hence first of all.
    """
    # `score + 0.0` would be simpler, but XLA removes it, and -0.0 stays.
    score = jnp.where(score == 0, jnp.zeros_like(score), score)
    score = jnp.where(jnp.isnan(score), jnp.full_like(score, jnp.nan), score)
    bits = 8 * score.dtype.itemsize
    unsigned = jnp.dtype(f"uint{bits}")
    raw = jax.lax.bitcast_convert_type(score, unsigned)
    sign = jnp.asarray(1 << (bits - 1), unsigned)
    return jnp.where(raw >= sign, raw, ~raw & ~sign)
