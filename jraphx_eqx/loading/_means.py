from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from ..data import Batch


def graph_mean(
    values: Float[Array, "graphs *rest"] | Bool[Array, "graphs *rest"], batch: Batch
) -> Float[Array, "*rest"]:
    """The mean over the real graphs of a batch, such as that of their losses.

    0 for a batch of padding only, which [`Loader`][jraphx_eqx.loading.Loader] makes with `stack`.

    **Raises:** `ValueError` if `values` has another number of rows than there are graphs.
    """
    _check_rows(values, batch)
    dtype = values.dtype if jnp.issubdtype(values.dtype, jnp.floating) else jnp.float32
    mask = jnp.expand_dims(batch.graph_mask, range(1, values.ndim))
    total = jnp.sum(values, axis=0, where=mask, dtype=dtype)
    return total / jnp.maximum(jnp.sum(batch.graph_mask), 1).astype(dtype)


def accuracy(logits: Float[Array, "graphs classes"], batch: Batch) -> Float[Array, ""]:
    """The share of the real graphs whose largest logit is that of their class, `batch.y`."""
    return graph_mean(jnp.argmax(logits, axis=-1) == batch.y, batch)


def mean_over(batches: Iterable[Batch], function: Callable[[Batch], Any]) -> Any:
    """The mean over all real graphs of batches, however many each of them holds.

    **Arguments:**

    - `batches`: a [`Loader`][jraphx_eqx.loading.Loader], of which this is an epoch, or a list.
    - `function`: gives an array with a row for each graph, or a tree of such arrays. Compile it:
        `eqx.filter_jit`.

    **Returns:** the same tree, of NumPy arrays of 64 bits.

    **Raises:** `ValueError` if there is no graph, or for an array of another number of rows.
    """
    total, count = None, 0
    for batch in batches:
        values = function(batch)
        mask = np.asarray(batch.graph_mask)
        jax.tree.map(lambda array, batch=batch: _check_rows(array, batch), values)
        sums = jax.tree.map(lambda array, m=mask: np.asarray(array)[m].sum(0, np.float64), values)
        total = sums if total is None else jax.tree.map(np.add, total, sums)
        count += int(mask.sum())
    if count == 0:
        raise ValueError("batches must hold at least one graph, got none")
    return jax.tree.map(lambda array: array / count, total)


def _check_rows(values: Shaped[Array, "..."], batch: Batch) -> None:
    shape = batch.graph_mask.shape
    if values.shape[: len(shape)] != shape:
        raise ValueError(
            f"there must be a value for each of the {shape[-1]} graphs, padding included, got "
            f"shape {values.shape}"
        )
