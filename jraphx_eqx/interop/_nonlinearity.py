from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ..nn._activation import activation
from ..nn._picklable import OfJax, picklable
from ._twins import qualified_name

# The names of torch.nn's classes, and of the functions beside them. The lower case of a class is
# the name that our layers know it by.
TORCH_FUNCTIONS = {
    "CELU": "celu",
    "ELU": "elu",
    "GELU": "gelu",
    "Hardshrink": "hardshrink",
    "Hardsigmoid": "hardsigmoid",
    "Hardswish": "hardswish",
    "Hardtanh": "hardtanh",
    "Identity": None,
    "LeakyReLU": "leaky_relu",
    "LogSigmoid": "logsigmoid",
    "Mish": "mish",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "SELU": "selu",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Softplus": "softplus",
    "Softshrink": "softshrink",
    "Softsign": "softsign",
    "Tanh": "tanh",
    "Tanhshrink": "tanhshrink",
}


def nonlinearity_from_pyg(act: Any) -> str:
    """Our name for an activation: a module of torch.nn with its default options, or a function.

    **Raises:** `ValueError` for any other.
    """
    import torch
    from torch_geometric.nn.resolver import swish

    if act is swish:
        return "silu"
    for class_name, function_name in TORCH_FUNCTIONS.items():
        kind = getattr(torch.nn, class_name)
        if type(act) is kind:
            return _checked_options(act, kind(), class_name)
        if function_name is None:
            continue
        owners = (torch, torch.nn.functional, torch.Tensor)
        names = in_place_too(function_name)
        functions = [getattr(owner, name, kind) for owner in owners for name in names]
        if any(act is function for function in functions):
            return class_name.lower()
    raise ValueError(_refusal(qualified_name(act), "has no known twin"))


def in_place_too(function_name: str) -> tuple[str, str]:
    """The names of a function of torch, and of the one that overwrites its argument, where there is
    one. Nobody sees that."""
    return function_name, f"{function_name}_"


def nonlinearity_to_pyg(nonlinearity: Callable) -> Any:
    """The module of torch.nn for one of our activations.

    **Raises:** `ValueError` for a callable of the user's own.
    """
    import torch

    if _is(nonlinearity, jnp.tanh):  # Not what the name stands for, but the same function.
        return torch.nn.Tanh()
    for class_name in TORCH_FUNCTIONS:
        if _is(nonlinearity, activation(class_name)):
            return getattr(torch.nn, class_name)()
    held = picklable(nonlinearity)
    name = f"{held.module}.{held.name}" if isinstance(held, OfJax) else qualified_name(held)
    raise ValueError(
        f"nonlinearity {name} has no known twin in PyTorch; make PyG's "
        "layer with one of your own, and load into it to_pyg(state_dict(layer))"
    )


def _is(nonlinearity, known):
    """Whether it is this function. One that is held by its name is another object in each copy of
    a layer."""
    held, known = picklable(nonlinearity), picklable(known)
    return held is known or (isinstance(held, OfJax) and held == known)


def _checked_options(act, default, class_name):
    # `inplace` changes no value.
    options = [name for name in getattr(act, "__constants__", ()) if name != "inplace"]
    for name in options:
        value = getattr(act, name)
        if value != getattr(default, name):
            raise ValueError(_refusal(qualified_name(act), f"has {name}={value}"))
    return class_name.lower()


def _refusal(name, reason):
    return (
        f"nonlinearity {name} {reason}; make our layer with nonlinearity= a function of JAX that "
        "computes the same, and load its weights: load_state_dict(layer, module.state_dict())"
    )
