from collections.abc import Sequence
from typing import Any

from ._aggregation import AbstractAggregation


def aggregation_resolver(
    query: AbstractAggregation | str | Sequence[AbstractAggregation | str],
    *args: Any,
    **kwargs: Any,
) -> AbstractAggregation:
    """The aggregation of PyG's name: `"sum"` or `"add"`, `"SumAggregation"`, `"set2set"`, ...

    Upper case, `_`, `-` and spaces make no difference. The same as
    `torch_geometric.nn.resolver.aggregation_resolver`.

    **Arguments:**

    - `query`: a name; an aggregation, which is returned; or a list of either, of which it makes a
        [`MultiAggregation`][jraphx_eqx.nn.aggr.MultiAggregation].
    - `args`, `kwargs`: of the constructor.

    **Raises:** `ValueError` for an unknown name.
    """
    from .. import aggr

    if isinstance(query, AbstractAggregation):
        return query
    if not isinstance(query, str):
        return aggr.MultiAggregation(query, *args, **kwargs)
    known = {
        _plain(name): kind
        for name, kind in vars(aggr).items()
        if isinstance(kind, type) and issubclass(kind, AbstractAggregation)
    }
    del known["abstract"]
    kind = {**known, "add": known["sum"]}.get(_plain(query))
    if kind is None:
        expected = ", ".join(map(repr, ["add", *known]))
        raise ValueError(f"aggr must be one of {expected}, got {query!r}")
    return kind(*args, **kwargs)


def _plain(name):
    plain = name.lower().translate(str.maketrans("", "", "_- "))
    return plain.removesuffix("aggregation")
