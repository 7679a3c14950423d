from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..data import BatchVector, resolve_batch
from ._entry import one_program
from ._layer import AbstractBatchLayer, apply_layer, mask_padding, split_key
from ._picklable import picklable


class Sequential(AbstractBatchLayer):
    """Layers one after the other, on the rows of an array.

    The twin of `torch.nn.Sequential`, whose names it shares in state dicts: `"0.weight"`. Unlike
    `equinox.nn.Sequential` it takes all rows at once, and hands `batch` to the layers that have a
    use for it, so that norms leave padding out.
    """

    layers: tuple[Callable[..., Any], ...]

    def __init__(self, layers: Sequence[Callable[..., Any]]):
        """**Arguments:**

        - `layers`: modules and functions of one array.
        """
        self.layers = tuple(picklable(layer) for layer in layers)

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes *features"] | Int[Array, "nodes *features"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Array:
        """**Arguments:**

        - `x`: what the first layer takes.
        - `batch`: the graph of each row, of which only norms and padding have a use.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `key`: for dropout.

        **Returns:** what the last layer returns, with zeros in rows of padding.
        """
        if batch is not None:
            batch = resolve_batch(batch, x.shape[0], size)
            if x.ndim == 2:
                x = mask_padding(x, batch)
        for layer, one in zip(self.layers, split_key(key, len(self.layers)), strict=True):
            x = apply_layer(layer, x, batch, key=one)
        return mask_padding(x, batch)

    def __getitem__(self, index: int) -> Callable[..., Any]:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)
