from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._arrays import as_tensor
from ._state_dict import load_state_dict, state_dict
from ._twins import Twin, qualified_name, register, resolve


def register_layer(
    theirs: str, ours: type, make_ours: Callable[..., Any], make_theirs: Callable[..., Any]
) -> None:
    """Registers a layer by how to make either side from the hyperparameters of the other.

    The weights are copied by name.

    **Arguments:**

    - `theirs`: the public name of PyG's class.
    - `ours`: our class.
    - `make_ours`: called with PyG's module, `dtype=` and `key=`.
    - `make_theirs`: called with PyG's class and our layer.
    """

    def layer_from_pyg(module):
        dtype = dtype_of(module)
        check_hooks(module)
        layer = make_ours(module, dtype=dtype, key=jax.random.key(0))
        return load_state_dict(layer, module.state_dict())

    def layer_to_pyg(layer):
        import torch

        weights = {name: as_tensor(array) for name, array in state_dict(layer).items()}
        dtype = _only(_floats(weights), layer)
        # The initial values, soon overwritten, must not disturb the caller's random numbers.
        with torch.random.fork_rng(devices=[]):
            module = make_theirs(resolve(theirs), layer)
        if dtype is not None:
            module = module.to(dtype)
        module.load_state_dict(weights)
        return module

    register(Twin(theirs, ours, layer_from_pyg, layer_to_pyg))


def dtype_of(module: Any) -> np.dtype | None:
    """The dtype of all floats of a module of PyTorch; `None` if it has none."""
    import torch

    for name, parameter in module.named_parameters():
        if torch.nn.parameter.is_lazy(parameter):
            raise ValueError(
                f"{qualified_name(module)} has no {name} yet, because it was made with "
                "in_channels=-1; call it once before the conversion"
            )
    theirs = _only(_floats(module.state_dict()), module)
    if theirs is None:
        return None
    dtype = jnp.dtype(str(theirs).removeprefix("torch."))
    if dtype == np.float64 and jnp.result_type(float) != np.float64:
        raise ValueError(
            f"{qualified_name(module)} has float64 parameters, which JAX has only with "
            "jax_enable_x64; switch it on, or convert module.float()"
        )
    return dtype


def _only(dtypes, layer):
    if len(set(dtypes)) > 1:
        names = ", ".join(sorted({str(dtype) for dtype in dtypes}))
        raise ValueError(f"{qualified_name(layer)} must have parameters of one dtype, got {names}")
    return dtypes[0] if dtypes else None


def _floats(weights):
    return [tensor.dtype for tensor in weights.values() if tensor.is_floating_point()]


def check_hooks(module: Any) -> None:
    """Raises if a module of PyTorch, or a part of it, has hooks."""
    # Those of backward passes and of state dicts do not change what is computed.
    for path, child in module.named_modules():
        hooks = [name for name, value in vars(child).items() if name.endswith("hooks") and value]
        hooks = [name for name in hooks if "forward" in name]
        if hooks:
            where = f" at {path!r}" if path else ""
            raise ValueError(
                f"{qualified_name(module)} has hooks{where} ({', '.join(hooks)}), which may change "
                "what it computes; remove them before the conversion"
            )
