import importlib
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

_PLACES = ("jax.nn", "jax.numpy", "jax.lax")


class OfJax(eqx.Module):
    """A function of JAX, held by its name."""

    module: str = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __call__(self, *args: Any, key: PRNGKeyArray | None = None) -> Any:
        """`key` is ignored; all layers take one."""
        return getattr(importlib.import_module(self.module), self.name)(*args)


def picklable(layer: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `jax.nn`, `jax.numpy` or `jax.lax` by its name, and others as they are.

    A layer is pickled and copied with the functions that it holds. Many of JAX's are objects of its
    transformations, which cannot be pickled (jax-ml/jax#39470), and whose copies are not equal to
    them.
    """
    name = str(getattr(layer, "__name__", ""))
    for place in _PLACES if name else ():
        if getattr(importlib.import_module(place), name, None) is layer:
            return OfJax(place, name)
    return layer
