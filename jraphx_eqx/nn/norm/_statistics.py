"""Running statistics of a whole model.

A layer's call returns features only, so what it has seen is remembered in a context that
`call_and_update` opens around the call of the model. Layers are known by their place in the model.
"""

import contextvars
from collections.abc import Callable
from typing import Any

import jax

from .._entry import op_by_op

_remembered: contextvars.ContextVar[dict[int, Any] | None] = contextvars.ContextVar(
    "remembered", default=None
)


def call_and_update(model: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Calls a model, and updates the running statistics of all its batch norms.

    ```
    def loss(model, batch):
        logits, model = call_and_update(model, batch.x, batch.edge_index, batch.batch)
        return cross_entropy(logits, batch.y), model

    (value, model), grads = eqx.filter_value_and_grad(loss, has_aux=True)(model, batch)
    ```

    A layer called several times is updated each time. The calls must be of the same JAX
    trace as this one: a norm inside `jax.lax.scan`, `jax.vmap` or `jax.checkpoint` of the model
    itself makes JAX raise an error about a leaked tracer. Put such a transformation around this
    call.

    **Arguments:**

    - `model`: a module.
    - `args`, `kwargs`: what it is called with.

    **Returns:** what the model returns, and the model with other running statistics. A norm that
    is in inference mode keeps its own.
    """
    norms = _norms(model)
    if not norms:
        return model(*args, **kwargs), model
    marked = _replace(model, [_with_slot(norm, slot) for slot, norm in enumerate(norms)])
    token = _remembered.set({})
    try:
        # What is noted inside of a program of its own would be a tracer outside.
        with op_by_op():
            out = marked(*args, **kwargs)
        seen = _remembered.get() or {}
    finally:
        _remembered.reset(token)
    after = [_with_slot(seen.get(slot, norm), None) for slot, norm in enumerate(norms)]
    return out, _replace(model, after)


def latest(norm: Any) -> Any:
    """`norm` with the statistics that it has by now in the call of the model."""
    seen = _remembered.get()
    return norm if seen is None else seen.get(norm.slot, norm)


def remember(norm: Any, after: Any) -> None:
    """Notes the statistics of `norm`, if somebody is interested."""
    seen = _remembered.get()
    if seen is not None and norm.slot is not None:
        seen[norm.slot] = after


def _is_norm(node):
    return hasattr(node, "num_batches_tracked")


def _norms(model):
    leaves = jax.tree.leaves(model, is_leaf=_is_norm)
    return [leaf for leaf in leaves if _is_norm(leaf)]


def _replace(model, norms):
    new = iter(norms)

    def one(leaf):
        return next(new) if _is_norm(leaf) else leaf

    return jax.tree.map(one, model, is_leaf=_is_norm)


def _with_slot(norm, slot):
    # `slot` is static, so it is in the structure and not among the leaves.
    leaves, structure = jax.tree.flatten(norm)
    made = jax.tree.unflatten(structure, leaves)
    object.__setattr__(made, "slot", slot)
    return made
