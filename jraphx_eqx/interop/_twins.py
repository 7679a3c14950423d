import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx

from ._arrays import as_tensor


class Conversion(NamedTuple):
    """A class or function of PyG, ours, and how to go from an object of the one to the other.

    **Arguments:**

    - `theirs`: the public name, which is not imported before it is needed.
    - `ours`: the class or function; `None` if there is only one direction.
    - `from_pyg`, `to_pyg`: from an object of either to one of the other.
    - `subclasses`: whether objects may be of a subclass, which may compute anything.
    - `listed`: whether error messages name it.
    """

    theirs: str
    ours: Any
    from_pyg: Callable[[Any], Any]
    to_pyg: Callable[[Any], Any]
    subclasses: bool = False
    listed: bool = True


_CONVERSIONS: list[Conversion] = []
_REFUSED: dict[str, str] = {}


def register(conversion: Conversion) -> None:
    """Makes `from_pyg` and `to_pyg` know a conversion."""
    _CONVERSIONS.append(conversion)


def register_refusal(theirs: str, reason: str) -> None:
    """Gives `from_pyg` a reason for refusing objects of the class of that public name."""
    _REFUSED[theirs] = reason


def from_pyg(obj: Any) -> Any:
    """Converts a module, a graph, a batch or a pooling function of PyTorch Geometric into ours.

    A layer becomes one with the same hyperparameters, and the same weights bit by bit, in the same
    dtype. A layer in evaluation mode becomes one in inference mode. Only PyG's `cached`
    and the `inplace` of an activation are dropped; they do not change the result.

    A `Data` or `Batch` keeps the order of its nodes and edges. Attributes beyond `x`,
    `edge_index`, `edge_attr`, `y` and `pos` go to `extras`, with the level that PyG's
    `is_node_attr` and `is_edge_attr` give them, in a batch from a list by what they are in all of
    its graphs. What belongs to the graph loses the leading axis of length 1 that PyG needs for
    batching, as batching here stacks. A `y` with one row per node becomes `extras["node"]["y"]`,
    unless the graph has one node.

    **Arguments:**

    - `obj`: a layer, model or function of PyG or PyTorch that has a twin here; a `Sequential`,
        `ModuleList` or `ModuleDict` of these, or PyG's `Sequential`; an activation; a `Data`, a
        `Batch`, or a data set such as `TUDataset`, with its `transform`. The page *Coming from PyG*
        lists them, and so does the error for anything else.

    **Returns:** our twin of it; of a `ModuleList` a list, of a `ModuleDict` a dictionary, and of a
    data set a list of `Data`. Transformations of JAX sort the keys of dictionaries, so look up
    their entries by name.

    **Raises:** `TypeError` for anything else, including subclasses of these layers. `ValueError`
    for an option that has no twin, and for a parameter or buffer that is in several places, like
    the slope in `GIN(..., act="prelu")`: here it would be several arrays. Errors say where in a
    module it is, and nothing is left out in silence. Port a whole network of your own with
    [`load_state_dict`][jraphx_eqx.interop.load_state_dict].
    """
    for one in _CONVERSIONS:
        if _is_imported(one.theirs) and _is_one(obj, resolve(one.theirs), one.subclasses):
            _check_shared(obj)
            return one.from_pyg(obj)
    known = ", ".join(one.theirs for one in _CONVERSIONS if one.listed)
    raise TypeError(
        f"from_pyg cannot convert {qualified_name(obj)}{_reason(obj)}; it converts {known}, and "
        "the activations of torch.nn. For a network of your own, write it in Equinox with the same "
        "attribute names, and use load_state_dict(network, pyg_network.state_dict())"
    )


def to_pyg(obj: Any) -> Any:
    """Converts one of our layers, graphs, batches or pooling functions into PyTorch Geometric's.

    The inverse of [`from_pyg`][jraphx_eqx.interop.from_pyg]. A batch loses its padding, which PyG
    does not have.

    **Arguments:**

    - `obj`: what `from_pyg` can return; or a [`state_dict`][jraphx_eqx.interop.state_dict], whose
        arrays become tensors.

    **Returns:** PyG's twin of it, with memory of its own.

    **Raises:** `TypeError` for what has no twin; `ValueError` for an option that PyG does not have;
    `ImportError` if PyTorch Geometric is not installed.
    """
    _require_pyg()
    if isinstance(obj, Mapping) and all(eqx.is_array(value) for value in obj.values()):
        return {name: as_tensor(array) for name, array in obj.items()}
    for one in _CONVERSIONS:
        if _is_one(obj, one.ours, one.subclasses):
            return one.to_pyg(obj)
    known = ", ".join(dict.fromkeys(one.ours.__name__ for one in _CONVERSIONS if one.ours))
    raise TypeError(
        f"to_pyg cannot convert {qualified_name(obj)}; it converts {known}, and state dicts"
    )


def resolve(public_name: str) -> Any:
    """What has that name in PyTorch Geometric, or `None` if the installed release lacks it."""
    owner, name = public_name.rsplit(".", 1)
    is_class = owner.rpartition(".")[2][0].isupper()
    return getattr(resolve(owner) if is_class else importlib.import_module(owner), name, None)


def part_from_pyg(name: str, part: Any) -> Any:
    """`from_pyg` for a part of something; errors say where it is."""
    try:
        return from_pyg(part)
    except (TypeError, ValueError) as error:
        raise type(error)(f"at {name!r}: {error}") from error


def qualified_name(obj: Any) -> str:
    """The name of a class or function, or of the class of an object, with its module."""
    named = obj if isinstance(obj, type) or hasattr(obj, "__qualname__") else type(obj)
    module = getattr(named, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else named.__qualname__


def _check_shared(obj):
    """Raises if a tensor of a module of PyTorch is in several places of it."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(obj, torch.nn.Module):
        return
    tensors = [
        *obj.named_parameters(remove_duplicate=False),
        *obj.named_buffers(remove_duplicate=False),
    ]
    first: dict[int, str] = {}
    for name, tensor in tensors:
        other = first.setdefault(id(tensor), name)
        if other != name:
            raise ValueError(
                f"{qualified_name(obj)} has one tensor at {other!r} and {name!r}; here they would "
                "be two arrays, which training takes apart. Give each place a tensor of its own "
                "before the conversion, or write the network in Equinox, with equinox.nn.Shared"
            )


def _is_one(obj, known, subclasses):
    if known is None:
        return False
    return obj is known or type(obj) is known or (subclasses and isinstance(obj, known))


def _is_imported(public_name):
    # What is not imported cannot have made an object.
    return public_name.split(".")[0] in sys.modules


def _reason(obj):
    for name, reason in _REFUSED.items():
        if _is_imported(name) and isinstance(obj, resolve(name)):
            return f" ({reason})"
    for one in _CONVERSIONS:
        if not _is_imported(one.theirs):
            continue
        cls = resolve(one.theirs)
        if isinstance(cls, type) and isinstance(obj, cls):
            return f" (a subclass of {one.theirs}, which may compute something else)"
    return ""


def _require_pyg():
    try:
        import torch_geometric  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "to_pyg needs PyTorch and PyTorch Geometric: pip install torch torch_geometric"
        ) from error
