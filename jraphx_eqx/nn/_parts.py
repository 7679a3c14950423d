"""The options that models take by name, as in PyG."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
from jax.typing import DTypeLike

from ._activation_layer import Activation
from ._picklable import picklable
from .norm import BatchNorm, GraphNorm, LayerNorm

_NORMS = {"batch": BatchNorm, "graph": GraphNorm, "layer": LayerNorm}


def make_activation(
    act: str | Callable | None, options: Mapping[str, Any] | None
) -> Callable | None:
    """An activation by name with its options, or a callable as it is."""
    if isinstance(act, str):
        return Activation(act, **(options or {}))
    if options:
        raise ValueError("act_kwargs are for an act that is a name")
    return None if act is None else picklable(act)


def make_norms(
    norm: str | None,
    options: Mapping[str, Any] | None,
    widths: list[int],
    dtype: DTypeLike | None,
) -> list[Callable]:
    """One norm for each of `widths`: of PyG's name, upper case, `_`, `-` and spaces apart."""
    if norm is None:
        return [eqx.nn.Identity() for _ in widths]
    plain = norm.lower().translate(str.maketrans("", "", "_- ")).removesuffix("norm")
    if plain not in _NORMS:
        raise ValueError(
            f"norm must be 'batch_norm', 'graph_norm', 'layer_norm' or None, got {norm!r}"
        )
    return [_NORMS[plain](width, dtype=dtype, **(options or {})) for width in widths]
