"""The options of a twin, read from either side."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .._twin import NoTwin, Option, Paths
from ._nonlinearity import nonlinearity_from_pyg, nonlinearity_to_pyg
from ._twins import part_from_pyg, qualified_name, resolve, to_pyg

_AGGREGATIONS = {
    "SumAggregation": "add",
    "MeanAggregation": "mean",
    "MaxAggregation": "max",
    "MinAggregation": "min",
}


def read(option: Option, module: Any) -> Any:
    """Our argument, from a layer of PyG."""
    paths = option.theirs_at
    if paths is None:
        paths = option.ours if option.theirs is None else option.theirs
    path, value = first(module, paths)
    if option.names is not None:
        return _by_name(option, module, value)
    try:
        return option.read(_KINDS[option.kind].read(module, path, value))
    except NoTwin as error:
        raise refusal(module, f"{path.rpartition('.')[2]}{error.value}", error.reason) from error


def write(option: Option, layer: Any) -> Any:
    """PyG's argument, from a layer of ours."""
    _, value = first(layer, option.ours if option.at is None else option.at)
    if option.names is None:
        return _KINDS[option.kind].write(option.write(value))
    if value not in option.names:
        raise refusal(layer, f"{option.ours}={value!r}", _one_of(option))
    return resolve(option.names[value])


def first(layer: Any, paths: Paths) -> tuple[str, Any]:
    """The first path at which there is something, and that; the last path if there is none."""
    paths = (paths,) if isinstance(paths, str) else paths
    for path in paths:
        value = _at(layer, path)
        if value is not None:
            return path, value
    return paths[-1], None


def refusal(owner: Any, option: str, reason: str = "") -> ValueError:
    """The error for an option that only one side has."""
    because = f": {reason}" if reason else ""
    return ValueError(f"{qualified_name(owner)} with {option} has no twin{because}")


def _at(value, path):
    for name in path.split(".") if path else ():
        if name.lstrip("-").isdigit():
            index = int(name)
            value = value[index] if index < len(value) else None
        else:
            value = getattr(value, name, None)
        if value is None:
            return None
    return value


def _by_name(option, module, value):
    for ours, name in option.names.items():
        if value is resolve(name):
            return ours
    raise refusal(module, f"{option.theirs or option.ours}={value!r}", _one_of(option))


def _one_of(option):
    return f"it must be one of {', '.join(option.names.values())}"


class _Kind(NamedTuple):
    read: Callable[[Any, str, Any], Any]
    write: Callable[[Any], Any]


def _parts(module, path, value):
    if value is None:
        return None
    if isinstance(value, list | resolve("torch.nn.ModuleList")):
        return [part_from_pyg(f"{path}.{i}", one) for i, one in enumerate(value)]
    return part_from_pyg(path, value)


def parts_to_pyg(value: Any) -> Any:
    """A layer of PyG, a list of them, or `None`."""
    if isinstance(value, list):
        return [to_pyg(one) for one in value]
    return None if value is None else to_pyg(value)


def _maker(value):
    module = parts_to_pyg(value)
    # PyG makes it itself, from its class.
    return None if module is None else lambda *_: module


def _aggr(module, path, value):
    for class_name, name in _AGGREGATIONS.items():
        if type(value) is resolve(f"torch_geometric.nn.aggr.{class_name}"):
            return name
    return part_from_pyg(path, value)


def _aggr_to_pyg(value):
    return value if isinstance(value, str) else to_pyg(value)


def _width(module, path, value):
    given = module.in_channels
    if not isinstance(given, int):
        reason = "it is for bipartite graphs; in_channels must be one number"
        raise refusal(module, f"in_channels={given}", reason)
    # A layer that was made with in_channels=-1 keeps that number.
    return value if given < 0 and value else given


def _end(which, end):
    def width(module, path, network):
        linear = (resolve("torch.nn.Linear"), resolve("torch_geometric.nn.Linear"))
        maps = [child for child in network.modules() if isinstance(child, linear)]
        if not maps:
            name = type(module).__name__
            raise ValueError(
                f"{qualified_name(network)} in {name} must have a linear map, which says how many "
                f"features there are; make our {name} yourself, and load the state dict"
            )
        one = maps[which]
        return getattr(one, f"{end}_features", None) or getattr(one, f"{end}_channels")

    return width


def _is_parameter(module, path, value):
    return isinstance(value, resolve("torch.nn.Parameter"))


def _same(value):
    return value


_KINDS = {
    "value": _Kind(lambda module, path, value: value, _same),
    "part": _Kind(_parts, parts_to_pyg),
    "made": _Kind(_parts, _maker),
    "activation": _Kind(lambda module, path, act: nonlinearity_from_pyg(act), nonlinearity_to_pyg),
    "aggr": _Kind(_aggr, _aggr_to_pyg),
    "width": _Kind(_width, _same),
    "first": _Kind(_end(0, "in"), _same),
    "last": _Kind(_end(-1, "out"), _same),
    "trained": _Kind(_is_parameter, _same),
}
