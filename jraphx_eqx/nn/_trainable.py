from typing import Any

import equinox as eqx
import jax


def trainable(model: Any) -> Any:
    """Which leaves of a model an optimiser may change: the float arrays that are learnt.

    No gradient reaches the others, but weight decay would change them: running statistics, the
    `eps` of a [`GINConv`][jraphx_eqx.nn.conv.GINConv] without `train_eps`, and the weight of shape
    (1, 1) of a [`SAGPooling`][jraphx_eqx.nn.pool.SAGPooling], of which only the sign counts. So
    give optimisers `parameters` of

    ```
    parameters, rest = eqx.partition(model, trainable(model))
    ```

    A layer of your own can name arrays of this kind in an attribute `untrained`, a tuple of names.

    **Arguments:**

    - `model`: a module, or any other tree.

    **Returns:** a tree like `model` of booleans.
    """
    return _without_untrained(jax.tree.map(eqx.is_inexact_array, model))


def _without_untrained(node):
    if jax.tree_util.all_leaves([node]):
        return node
    # Level by level, because a layer that names some may hold others that do.
    node = jax.tree.map(_without_untrained, node, is_leaf=lambda part: part is not node)
    names = getattr(node, "untrained", ())
    if not names:
        return node
    return eqx.tree_at(
        lambda layer: [getattr(layer, name) for name in names], node, [False] * len(names)
    )
