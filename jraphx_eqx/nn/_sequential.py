from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..data import BatchVector
from ..ops import mask_rows
from ._entry import one_program
from ._layer import AbstractBatchLayer, apply_layer, resolve_rows, split_key
from ._picklable import picklable


class Sequential(AbstractBatchLayer):
    """Layers one after the other, on the rows of an array.

    The twin of `torch.nn.Sequential`, whose names it shares in state dicts: `"0.weight"`. Unlike
    `equinox.nn.Sequential` it takes all rows at once, and passes `batch` to the layers that
    accept it, so that norms leave padding out. Those of PyG then take each graph alone; in PyTorch
    their container gives them no `batch`, and they take all nodes for one graph, as they do here
    with `node_mask`.
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
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Array:
        """**Arguments:**

        - `x`: what the first layer takes.
        - `batch`: the graph of each row, used only by norms and for padding.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `node_mask`: instead of `batch`, which rows of `x` are nodes; all are of one graph then.
        - `key`: for dropout.

        **Returns:** what the last layer returns, with zeros in rows of padding.
        """
        batch, mask = resolve_rows(batch, x.shape[0], size, node_mask)
        if x.ndim == 2:
            x = mask_rows(x, mask)
        for layer, one in zip(self.layers, split_key(key, len(self.layers)), strict=True):
            x = apply_layer(layer, x, batch, node_mask=node_mask, key=one)
        return mask_rows(x, mask)

    def __getitem__(self, index: int) -> Callable[..., Any]:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)
