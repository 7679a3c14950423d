import importlib
import inspect
import os
import sys
from typing import Any

import equinox as eqx
import jax

from ._problem import Problem


def make(reference: str) -> Any:
    """The network that `package.module:name` makes: a function, or a class, without arguments, or
    with a `key` only.

    Modules are also looked for in the current folder.
    """
    factory = find(reference)
    if not callable(factory):
        raise Problem(f"{reference} must be a function or a class that makes a network")
    try:
        return factory(**_key(factory))
    except Exception as error:  # the user's own code, which may raise anything
        reason = f"{type(error).__name__}: {_first_line(error)}"
        raise Problem(
            f"{reference} could not be called ({reason}); it must need no argument, or only key"
        ) from error


def find(reference: str) -> Any:
    """The object at `package.module:name`."""
    module_name, colon, path = reference.partition(":")
    if not (module_name and colon and path):
        raise Problem(f"{reference!r} must be written as package.module:name")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {_first_line(error)}"
        raise Problem(f"{module_name} could not be imported ({reason})") from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise Problem(f"{reference}: there is no {name!r} in {module_name}")
        found = getattr(found, name)
    return found


def make_equinox(reference: str) -> Any:
    """The Equinox network, in inference mode."""
    network = make(reference)
    if not isinstance(network, eqx.Module):
        raise Problem(f"{reference} must make an equinox.Module, got {type(network).__name__}")
    return eqx.nn.inference_mode(network)


def make_torch(reference: str, seed: int) -> Any:
    """The PyTorch network, in evaluation mode, with the initial weights of that seed."""
    try:
        import torch
    except ImportError:
        raise Problem("this needs PyTorch: pip install torch torch_geometric") from None
    torch.manual_seed(seed)
    network = make(reference)
    if not isinstance(network, torch.nn.Module):
        raise Problem(f"{reference} must make a torch.nn.Module, got {type(network).__name__}")
    return network.eval()


def _key(factory: Any) -> dict[str, Any]:
    parameters = inspect.signature(factory).parameters
    wanted = "key" in parameters and parameters["key"].default is inspect.Parameter.empty
    return {"key": jax.random.key(0)} if wanted else {}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
