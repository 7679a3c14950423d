"""Layers go by the data beside them: see `jraphx_eqx._twin`."""

import functools
import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._twin import TWINS, Option, Twin
from ._arrays import as_tensor
from ._options import first, parts_to_pyg, read, refusal, write
from ._state_dict import load_state_dict, state_dict
from ._twins import Conversion, qualified_name, register, resolve


def layer_from_pyg(twin: Twin, module: Any) -> Any:
    """Our layer with the options and weights of one of PyG."""
    dtype = dtype_of(module)
    check_hooks(module)
    _check_options(twin, module)
    _check_parts(twin, module)
    arguments = {one.ours: read(one, module) for one in twin.options if one.ours}
    arguments.update(twin.fixed)
    arguments.update({name: value for name, (value, _) in twin.only_ours.items()})
    accepted = inspect.signature(twin.ours.__init__).parameters
    more = {"dtype": dtype, "key": jax.random.key(0)}
    layer = twin.ours(**arguments, **{name: more[name] for name in more if name in accepted})
    if twin.inference is not None:
        training = first(module, twin.training)[1].training
        layer = eqx.nn.inference_mode(layer, value=not training)
    if twin.parts:
        parts = [read(Option(name, kind="part"), module) for name in twin.parts]
        layer = eqx.tree_at(
            lambda layer: [getattr(layer, name) for name in twin.parts],
            layer,
            parts,
            is_leaf=lambda leaf: leaf is None,
        )
    return load_state_dict(layer, module.state_dict())


def layer_to_pyg(twin: Twin, layer: Any) -> Any:
    """PyG's layer with the options and weights of one of ours."""
    import torch

    weights = {name: as_tensor(array) for name, array in state_dict(layer).items()}
    dtype = _only(_floats(weights), layer)
    for name, (value, reason) in twin.only_ours.items():
        if getattr(layer, name) != value:
            raise refusal(layer, f"{name}={getattr(layer, name)}", reason)
    arguments = {
        option.ours if option.theirs is None else option.theirs: write(option, layer)
        for option in twin.options
        if option.theirs != ""
    }
    for name, value in twin.fixed.items():
        arguments[name] = as_tensor(value) if isinstance(value, np.ndarray) else value
    # The initial values, soon overwritten, must not disturb the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        module = resolve(twin.theirs[0])(**arguments)
    inference = None if twin.inference is None else first(layer, twin.inference)[1]
    if inference is not None:
        module.train(not _all(inference))
    for name in twin.parts:
        part = parts_to_pyg(getattr(layer, name))
        if part is not None or hasattr(module, name):
            setattr(module, name, torch.nn.ModuleList(part) if isinstance(part, list) else part)
    if twin.finish is not None:
        twin.finish(module)
    if dtype is not None:
        module = module.to(dtype)
    module.load_state_dict(weights)
    return module


def _all(inference):
    if isinstance(inference, bool):
        return inference
    return all(dropout.inference for dropout in inference)


def _check_options(twin, module):
    for path, allowed in twin.only.items():
        value = first(module, path)[1]
        if value not in allowed:
            option = f"{path.rpartition('.')[2]}={value!r}"
            raise refusal(module, option, f"it must be {allowed[0]!r}")


def _check_parts(twin, module):
    if not twin.holds:
        return
    options = {option.theirs_at or option.theirs for option in twin.options}
    for name, child in module.named_children():
        theirs = twin.holds.get(name)
        if theirs is None and name not in options:
            theirs = twin.holds.get("*")
        if theirs is None:
            continue
        for one in child if isinstance(child, resolve("torch.nn.ModuleList")) else [child]:
            if type(one) is not resolve(theirs):
                raise refusal(module, f"{name}={qualified_name(one)}", f"it must be a {theirs}")


def _conversion(twin, theirs):
    if not isinstance(twin.ours, type):  # a function of the same arguments
        return Conversion(theirs, twin.ours, lambda _: twin.ours, lambda _: resolve(theirs))
    from_pyg = functools.partial(layer_from_pyg, twin)
    return Conversion(theirs, twin.ours, from_pyg, functools.partial(layer_to_pyg, twin))


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


for _twin in TWINS.values():
    for _theirs in _twin.theirs:
        register(_conversion(_twin, _theirs))
