import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._number import python_numbers
from .._twin import Option, twin
from ..ops import gather
from ._check import check_positive
from ._entry import one_program


class Embedding(eqx.Module):
    """A table with a row of features for each index.

    Equal to `torch.nn.Embedding`, of which it has the parameter `weight`, of shape
    `(num_embeddings, features)`, and with `padding_idx` the gradient, which is 0 for that row.
    Where PyTorch raises an error, an index past the end gives zeros: it is padding.
    """

    weight: Float[Array, "num_embeddings features"]
    num_embeddings: int = eqx.field(static=True)
    features: int = eqx.field(static=True)
    padding_idx: int | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        num_embeddings: int,
        features: int,
        padding_idx: int | None = None,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `num_embeddings`: the number of rows.
        - `features`: the length of a row.
        - `padding_idx`: a row that starts at 0 and gets no gradient. Not to be confused with an
            index past the end.
        - `dtype`: of the table. Default: JAX's default float dtype.
        - `key`: for the initialisation, from a standard normal distribution.
        """
        check_positive(num_embeddings=num_embeddings, features=features)
        if padding_idx is not None and not 0 <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx must be in [0, {num_embeddings}), got {padding_idx}")
        dtype = jnp.result_type(float) if dtype is None else dtype
        self.weight = jax.random.normal(key, (num_embeddings, features), dtype)
        if padding_idx is not None:
            self.weight = self.weight.at[padding_idx].set(0)
        self.num_embeddings = num_embeddings
        self.features = features
        self.padding_idx = padding_idx

    @one_program
    def __call__(
        self, x: Int[Array, "*batch"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch features"]:
        """**Arguments:**

        - `x`: indices, of any shape.
        - `key`: ignored.

        **Returns:** shape `(*x.shape, features)`.
        """
        rows = gather(self.weight, x)
        if self.padding_idx is None:
            return rows
        fixed = (x == self.padding_idx)[..., None]
        return jnp.where(fixed, jax.lax.stop_gradient(rows), rows)


twin(
    Embedding,
    "torch.nn.Embedding",
    "num_embeddings",
    Option("features", "embedding_dim"),
    "padding_idx",
    only={"max_norm": (None,), "scale_grad_by_freq": (False,)},
)
