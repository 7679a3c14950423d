"""Names that parameters had in older releases of PyG, by layer.

A `GCNConv` before 1.6 took the degrees of the sources of edges, which on directed graphs is not
what it computes today; its parameters do not show the difference.

Read from the sources of PyG 1.4.3, 1.5.0, 1.6.3, 1.7.2, 2.0.4, 2.3.1, 2.4.0 and 2.5.3.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from ..data import is_traced
from ..nn.conv import GATConv, GCNConv, GraphConv
from ..nn.norm import BatchNorm
from ..nn.pool import SAGPooling, SelectTopK, TopKPooling


class Rename(NamedTuple):
    """How the parameters of a layer were called.

    **Arguments:**

    - `before`: the release that changed the names.
    - `old`: the old names, all of which must be there; `optional` ones may be.
    - `new`: `new(old)`, the arrays by their names now, or `None` if the old ones say something
        that the layer cannot.
    - `allowed`: whether the layer computes the same as it did, with its options.
    """

    before: str
    old: tuple[str, ...]
    new: Callable[[Mapping[str, Any]], dict[str, Any] | None]
    optional: tuple[str, ...] = ()
    allowed: Callable[[Any], bool] = lambda layer: True


def _moved(**names: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda old: {_dotted(new): old[_dotted(name)] for name, new in names.items()}


def _dotted(name):
    return name.replace("__", ".")


def _one_linear(first, second, *attention):
    # One layer under two names, unless it was made for bipartite graphs.
    def new(old):
        if second in old and not same(old[first], old[second]):
            return None
        out = {"lin.weight": old[first]}
        names = ("att_src", "att_dst")
        return {**out, **{now: old[then] for now, then in zip(names, attention, strict=True)}}

    return new


def _split_attention(old):
    # The first half was for the target of an edge.
    att = old["att"]
    half = att.shape[-1] // 2
    return {
        "lin.weight": old["weight"].T,
        "att_src": att[..., half:],
        "att_dst": att[..., :half],
    }


def _graph_conv_1_4(old):
    new = {"lin_rel.weight": old["weight"].T, "lin_root.weight": old["lin.weight"]}
    return {**new, "lin_rel.bias": old["lin.bias"]} if "lin.bias" in old else new


def _graph_conv_1_7(old):
    new = {"lin_rel.weight": old["lin_l.weight"], "lin_root.weight": old["lin_r.weight"]}
    return {**new, "lin_rel.bias": old["lin_l.bias"]} if "lin_l.bias" in old else new


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_AFFINE = ("weight", "bias")


def _into_module(old):
    return {f"module.{name}": value for name, value in old.items()}


_RENAMES: dict[type, tuple[Rename, ...]] = {
    GCNConv: (Rename("2.0", ("weight",), lambda old: {"lin.weight": old["weight"].T}),),
    GATConv: (
        Rename("1.5", ("weight", "att"), _split_attention),
        Rename("1.6", ("att_i", "att_j"), _moved(att_i="att_dst", att_j="att_src")),
        Rename(
            "2.0",
            ("lin_l.weight", "att_l", "att_r"),
            _one_linear("lin_l.weight", "lin_r.weight", "att_l", "att_r"),
            ("lin_r.weight",),
        ),
        Rename(
            "2.5",
            ("lin_src.weight", "att_src", "att_dst"),
            _one_linear("lin_src.weight", "lin_dst.weight", "att_src", "att_dst"),
            ("lin_dst.weight",),
        ),
    ),
    GraphConv: (
        Rename(
            "1.6",
            ("weight", "lin.weight"),
            _graph_conv_1_4,
            ("lin.bias",),
            # It aggregated what the weight had been applied to.
            lambda layer: layer.aggr in ("add", "sum", "mean"),
        ),
        Rename("2.0", ("lin_l.weight", "lin_r.weight"), _graph_conv_1_7, ("lin_l.bias",)),
    ),
    TopKPooling: (Rename("2.4", ("weight",), _moved(weight="select__weight")),),
    BatchNorm: (
        Rename("1.6", (*_AFFINE, *_STATISTICS), _into_module),
        Rename("1.6", _AFFINE, _into_module),
        Rename("1.6", _STATISTICS, _into_module),
    ),
}


def with_new_names(
    found: Mapping[str, Any], expected: Mapping[str, Any], modules: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, list[str]], list[str]]:
    """A state dict under the names of today, where these came from, and what was done, in words.

    **Arguments:**

    - `found`: the state dict: arrays, or anything else that is left as it is.
    - `expected`: what the module has, by name.
    - `modules`: the parts of the module, by the path that their names begin with.
    """
    out = _Renamed(dict(found), {}, [])
    for path, layer in modules.items():
        prefix = f"{path}." if path else ""
        for rename in _RENAMES.get(type(layer), ()):
            _apply(rename, layer, prefix, out, expected)
        if type(layer) is SAGPooling:
            _add_sign(layer, prefix, out, expected)
    return out


class _Renamed(NamedTuple):
    found: dict[str, Any]
    origins: dict[str, list[str]]
    notes: list[str]


def _apply(rename, layer, prefix, out, expected):
    found = out.found
    names = [name for name in (*rename.old, *rename.optional) if prefix + name in found]
    # A name of today is not an old one.
    outdated = [name for name in names if prefix + name not in expected]
    if not outdated or not set(rename.old) <= set(names) or not rename.allowed(layer):
        return
    old = {name: found[prefix + name] for name in names}
    if not all(map(eqx.is_array, old.values())):
        return
    new = rename.new(old)
    if new is None or any(prefix + name in found for name in new if name not in names):
        return
    if any(prefix + name not in expected for name in new):
        return
    for name in names:
        del found[prefix + name]
    found.update({prefix + name: value for name, value in new.items()})
    for name, value in new.items():
        sources = [then for then in names if _same_memory(value, old[then])] or outdated
        out.origins[prefix + name] = [prefix + then for then in sources]
    changed = ", ".join(f"{prefix}{name}" for name in outdated)
    now = ", ".join(f"{prefix}{name}" for name in new if name not in names)
    out.notes.append(f"{changed} (before PyG {rename.before}) as {now}")


def _add_sign(layer, prefix, out, expected):
    # PyG 2.4 gave the pooling a number whose sign multiplies the scores. It had been 1.
    name = f"{prefix}select.weight"
    scorer = any(other.startswith(f"{prefix}gnn.") for other in out.found)
    if name in out.found or name not in expected or not scorer:
        return
    if not isinstance(layer.select, SelectTopK):
        return
    out.found[name] = np.ones((1, 1), np.dtype(expected[name].dtype))
    out.origins[name] = []
    out.notes.append(f"{name}, which PyG before 2.4 did not have, as 1")


def _same_memory(left, right):
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return np.may_share_memory(left, right)
    return left is right


def same(left: Any, right: Any) -> bool:
    """Whether two arrays have one shape and the same bits."""
    if is_traced(left, right):
        return left is right
    left, right = np.asarray(left), np.asarray(right)
    return left.shape == right.shape and left.tobytes() == right.tobytes()
