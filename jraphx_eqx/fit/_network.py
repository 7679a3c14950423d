"""How networks and layers are called on both sides: batches, `Data`, padding, single rows."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..data import Batch, BatchVector, bounded_batch
from ..interop import leaf_renames
from ..nn.pool import PoolOutput
from ..parity import Case, Spec, Tensor, call_layer, pair

_FIELDS = {"x", "edge_index", "edge_attr", "y", "pos", "batch"}
_POOLED = ("x", "edge_index", "edge_attr", "batch", "perm", "score")


@dataclass(frozen=True)
class Network:
    """The arguments of a network, by the names that both sides may ask for them.

    **Arguments:**

    - `given`: the positional arguments of the PyTorch network.
    - `names`: their names. With `as_data`, the names of what the graph has.
    - `num_graphs`: how many graphs the argument `batch` has.
    - `as_data`: whether the PyTorch network takes one `Data` with these arrays instead.
    - `expect_zero`: patterns of parameters whose gradient may vanish.
    """

    given: Sequence[Any]
    names: Sequence[str]
    num_graphs: int = 1
    as_data: bool = False
    expect_zero: Sequence[str] = ()

    def call_torch(self, module: Any, given: Sequence[Any]) -> Any:
        """Calls the PyTorch network with tensors."""
        if not self.as_data:
            return module(*given)
        from torch_geometric.data import Batch, Data

        fields = dict(zip(self.names, given, strict=True))
        if "batch" not in fields:
            return module(Data(**fields))
        sizes = np.bincount(fields["batch"].numpy(), minlength=self.num_graphs)
        ptr = fields["batch"].new_tensor(np.concatenate([[0], np.cumsum(sizes)]))
        return module(Batch(**fields, ptr=ptr))

    def call_eqx(self, module: Any, given: Sequence[Any]) -> Any:
        """Calls the Equinox network, by names if the PyTorch network took a `Data`."""
        if not self.as_data:
            return _call(module, given, self.given, self.num_graphs)
        fields = dict(zip(self.names, given, strict=True))
        if "batch" in fields:
            largest = _largest(self.given[list(self.names).index("batch")])
            fields["batch"] = bounded_batch(fields["batch"], self.num_graphs, largest)
        parameters = inspect.signature(module).parameters
        taken = {name: fields[name] for name in parameters if name in fields}
        # It may call a batch of graphs by any name.
        return module(**taken) if taken else module(_as_batch(fields))

    def pair(self, name: str, ours: Any, theirs: Any) -> tuple[Spec, Case]:
        """The spec and the only case of the whole network."""
        return self._pair(name, ours, theirs, self.given, self.call_eqx, self.call_torch)

    def pair_layer(
        self, name: str, ours: Any, theirs: Any, given: Sequence[Any]
    ) -> tuple[Spec, Case]:
        """The spec and the only case of a layer on the arguments that it was given."""

        def call(layer: Any, arguments: Sequence[Any]) -> Any:
            return _call(layer, arguments, given, self.num_graphs)

        return self._pair(name, ours, theirs, given, call, lambda layer, given: layer(*given))

    def _pair(self, name, ours, theirs, given, call_eqx: Callable, call_torch: Callable):
        return pair(
            name,
            ours,
            theirs,
            given,
            renames=leaf_renames(ours),
            call_eqx=call_eqx,
            call_torch=call_torch,
            named=_named,
            real=_real,
            expect_zero=self._may_vanish,
        )

    def _may_vanish(self, tensor: str) -> str | None:
        name = Tensor.parse(tensor).name
        expected = any(re.fullmatch(pattern, name) for pattern in self.expect_zero)
        return "expected to be zero" if expected else None


def _as_batch(fields: Mapping[str, Any]) -> Batch:
    """The arrays as a batch, of one graph if they name none. Those that it has no field for are
    extras of its nodes, edges or graphs, by their number."""
    fields = dict(fields)
    x, edge_index = fields.get("x"), fields.get("edge_index")
    if "batch" not in fields:
        nodes = fields["pos"].shape[0] if x is None else x.shape[0]
        fields["batch"] = BatchVector(jnp.zeros(nodes, jnp.int32), 1)
    if edge_index is None:
        fields["edge_index"] = edge_index = jnp.zeros((2, 0), jnp.int32)
    batch = fields["batch"]
    rows = {"node": batch.index.shape[0], "edge": edge_index.shape[1], "graph": batch.num_graphs}
    extras: dict[str, dict[str, Any]] = {level: {} for level in rows}
    for name in set(fields) - _FIELDS:
        value = fields.pop(name)
        level = next((level for level in rows if np.shape(value)[:1] == (rows[level],)), None)
        if level is None:
            raise ValueError(
                f"{name!r} has shape {np.shape(value)}; it must have a row for each of the "
                f"{rows['node']} nodes, {rows['edge']} edges or {rows['graph']} graphs"
            )
        extras[level][name] = value
    return Batch(**fields, extras=extras)


def _call(module: Any, given: Sequence[Any], values: Sequence[Any], num_graphs: int) -> Any:
    """Calls a network or layer; an argument that it calls `batch` becomes a `BatchVector`. `values`
    are the arguments as they were before tracing."""
    if type(module).__module__.startswith("equinox.nn"):
        return call_layer(module, given)
    given = list(given)
    for place, name in enumerate(list(inspect.signature(module).parameters)[: len(given)]):
        array = given[place]
        if name == "batch" and eqx.is_array(array) and array.ndim == 1:
            given[place] = bounded_batch(array, num_graphs, _largest(values[place]))
    return module(*given)


def _largest(batch: Any) -> int:
    """The nodes of the largest graph."""
    return int(np.bincount(np.asarray(batch)).max(initial=0))


def _named(outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, PoolOutput):
        x, edge_index, edge_attr, batch, perm = outputs
        values = (x, edge_index, edge_attr, batch.index, perm, outputs.score)
        return dict(zip(_POOLED, values, strict=True))
    if isinstance(outputs, tuple | list):
        names = _POOLED if len(outputs) == len(_POOLED) else map(str, range(len(outputs)))
        return dict(zip(names, outputs, strict=True))
    return {"0": outputs}


def _real(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What is not padding in the outputs of a pooling; all of the others."""
    if set(outputs) != set(_POOLED):
        return {}
    num_nodes = len(inputs["arg0"])
    kept = outputs["perm"] < num_nodes
    edges = np.all(outputs["edge_index"] < len(outputs["x"]), axis=0)
    rows = {name: kept for name in ("x", "batch", "perm", "score")}
    return {**rows, "edge_index": np.s_[:, edges], "edge_attr": edges}
