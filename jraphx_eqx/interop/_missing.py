"""Layers of PyG and PyTorch that have no twin here, by the names of their weights."""

from collections.abc import Iterable

# What a checkpoint has of each, below the name of the layer. A name that ends in a dot stands for
# all that begin so.
_LAYERS: dict[str, tuple[str, ...]] = {
    "torch_geometric.nn.TransformerConv": ("lin_key.weight", "lin_query.weight"),
}


def missing_twins(unexpected: Iterable[str]) -> dict[str, str]:
    """The layers without a twin by their path, among weights that a network does not have."""
    names = set(unexpected)
    out: dict[str, str] = {}
    for layer, weights in _LAYERS.items():
        for path in _paths(names, weights[0]):
            inside = any(f"{path}.".startswith(f"{outer}.") for outer in out if outer)
            if not inside and all(_has(names, path, weight) for weight in weights):
                out[path] = layer
    return out


def _paths(names, weight):
    """The paths of what may be a layer with such a weight."""
    for name in sorted(names):
        parts = f".{name}".split(f".{weight}")
        if len(parts) > 1 and (weight.endswith(".") or parts[-1] == ""):
            yield parts[0].removeprefix(".")


def _has(names, path, weight):
    name = f"{path}.{weight}" if path else weight
    return any(n.startswith(name) for n in names) if weight.endswith(".") else name in names
