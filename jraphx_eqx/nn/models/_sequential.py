from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

from ...data import BatchVector
from .._entry import takes_numpy
from .._layer import AbstractBatchLayer, apply_dropout, key_argument, split_key
from .._picklable import picklable
from ..conv import AbstractConv
from ..pool import PoolOutput


class GraphSequential(eqx.Module):
    """Layers one after the other, each with the names of what it takes and returns.

    The twin of `torch_geometric.nn.Sequential`, of which it has the constructor and the names:
    `module_0.weight`, or those of a dictionary. Poolings that keep nodes return six things here, as
    in PyG: `x`, `edge_index`, `edge_attr`, `batch`, `perm` and `score`; others five, with their
    selection as the fifth. Norms, MLPs and convolutions are also told by the last `batch` which
    rows are nodes, so that padding does not count in their statistics. A norm takes each graph
    alone only if its signature has the `batch`.
    """

    modules: dict[str, Callable[..., Any]]
    # JAX sorts dictionaries, so the order is kept here.
    order: tuple[str, ...] = eqx.field(static=True)
    arguments: tuple[str, ...] = eqx.field(static=True)
    signatures: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = eqx.field(static=True)

    def __init__(
        self,
        input_args: str,
        modules: Mapping[str, Any] | Sequence[Any],
    ):
        """**Arguments:**

        - `input_args`: the names of the arguments, `"x, edge_index, batch"`.
        - `modules`: layers and functions, each alone or with its signature, as in
            `(conv, "x, edge_index -> x")`. One that is alone takes and returns what the one before
            returns. In a dictionary they have names.

        **Raises:** `ValueError` for a signature that cannot be read, and if the first is missing.
        """
        if not isinstance(modules, Mapping):
            modules = {f"module_{i}": module for i, module in enumerate(modules)}
        if not modules:
            raise ValueError("modules must not be empty")
        layers, signatures = {}, []
        for name, module in modules.items():
            module, text = module if isinstance(module, tuple | list) else (module, None)
            if not callable(module):
                raise ValueError(f"{name} must be a module or a function, got {module!r}")
            if text is None and not signatures:
                raise ValueError(f"{name}, the first, must have a signature: (layer, 'x -> x')")
            returned = signatures[-1][1] if text is None else ()
            signatures.append((returned, returned) if text is None else _signature(name, text))
            layers[name] = picklable(module)
        self.modules = layers
        self.order = tuple(layers)
        self.arguments = _names(input_args)
        self.signatures = tuple(signatures)

    @takes_numpy
    def __call__(self, *args: Any, key: PRNGKeyArray | None = None, **kwargs: Any) -> Any:
        """**Arguments:**

        - `args`, `kwargs`: what `input_args` names.
        - `key`: for dropout.

        **Returns:** what the last layer returns.
        """
        values = dict(zip(self.arguments, args, strict=False))
        twice = values.keys() & kwargs.keys()
        if len(args) > len(self.arguments) or twice:
            raise ValueError(f"the arguments must be {', '.join(self.arguments)}, each once")
        values.update(kwargs)
        keys = split_key(key, len(self.modules))
        out = None
        for name, (taken, returned), one in zip(self.order, self.signatures, keys, strict=True):
            layer = self.modules[name]
            missing = [argument for argument in taken if argument not in values]
            if missing:
                raise ValueError(f"{name} takes {missing[0]!r}, which has no value yet")
            out = _call(layer, [values[argument] for argument in taken], values, one)
            if isinstance(out, PoolOutput):
                out = (*out, out.score) if out.select.keeps_nodes else tuple(out)
            if len(returned) == 1:
                values[returned[0]] = out
            else:
                values.update(zip(returned, out, strict=False))
        return out


def _call(layer, args, values, key):
    if isinstance(layer, eqx.nn.Dropout):
        return apply_dropout(layer, args[0], key)
    alone = isinstance(layer, AbstractBatchLayer) and len(args) == 1
    if alone or isinstance(layer, AbstractConv):
        batch = values.get("batch")
        rows = getattr(args[0], "shape", (None,))[0]
        fits = isinstance(batch, BatchVector) and batch.index.shape == (rows,)
        return layer(*args, node_mask=batch.node_mask if fits else None, key=key)
    return layer(*args, **key_argument(layer, key))


def _signature(name, text):
    if text.count("->") != 1:
        raise ValueError(f"the signature of {name} must be like 'x, edge_index -> x', got {text!r}")
    taken, returned = text.split("->")
    return _names(taken), _names(returned)


def _names(text):
    # PyG also takes types: "x: Tensor, edge_index: Tensor".
    return tuple(part.split(":")[0].strip() for part in text.split("->")[0].split(","))
