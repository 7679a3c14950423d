from typing import Any

import jax.numpy as jnp
import numpy as np

from ..data import Batch, BatchVector, Data
from ._arrays import as_tensor, from_tensor, is_tensor
from ._twins import Conversion, from_pyg, qualified_name, register, register_refusal, resolve

_FIELDS = ("x", "edge_index", "edge_attr", "pos")
_LEVELS = ("node", "edge", "graph")
# What PyG keeps beside the attributes of a graph, and ours knows otherwise.
_BOOKKEEPING = ("num_nodes", "batch", "ptr")


def _data_from_pyg(data):
    if "batch" in data:
        raise ValueError(
            f"{qualified_name(data)} with a batch vector holds several graphs; make it a "
            "torch_geometric.data.Batch, for instance with Batch.from_data_list"
        )
    fields, extras = {}, {level: {} for level in _LEVELS}
    for name, value in _attributes(data):
        array = _array(name, value)
        if name in _FIELDS:
            fields[name] = array
            continue
        level = _level(data, name, array)
        # PyG joins what belongs to the graph along its first axis, unless it says None for it.
        if level == "graph" and array.shape[:1] == (1,) and data.__cat_dim__(name, value) == 0:
            array = array[0, ...]
        _put(fields, extras, name, level, array)
    return Data(**fields, num_nodes=data.num_nodes, extras=extras)


def _batch_from_pyg(batch):
    if isinstance(batch, resolve("torch_geometric.data.HeteroData")):
        raise TypeError(f"from_pyg cannot convert {qualified_name(batch)} ({_HETERO})")
    if "batch" not in batch:
        raise ValueError(
            "a torch_geometric.data.Batch must have a batch vector; PyG makes none for graphs "
            "whose number of nodes it does not know, so give them num_nodes"
        )
    index = from_tensor(batch.batch)
    fields, extras = {}, {level: {} for level in _LEVELS}
    for name, value in _attributes(batch):
        array = _array(name, value)
        if name in _FIELDS:
            fields[name] = array
            continue
        level, rows = _level_in_batch(batch, name, array, index)
        if level == "graph" and rows != 1:
            array = array.reshape(batch.num_graphs, rows, *array.shape[1:])
        _put(fields, extras, name, level, array)
    largest = int(np.bincount(index).max(initial=0))
    vector = BatchVector(jnp.asarray(index), batch.num_graphs, largest)
    return Batch(**fields, batch=vector, extras=extras)


def _dataset_from_pyg(dataset):
    kind = resolve("torch_geometric.data.Data")
    # By `from_pyg` only for its error, because it looks through all twins.
    return [_data_from_pyg(one) if isinstance(one, kind) else from_pyg(one) for one in dataset]


def _no_dataset(_):
    raise TypeError("PyG's data sets are not made from graphs; convert a list of Data")


def _data_to_pyg(data):
    found = {name: getattr(data, name) for name in _FIELDS if getattr(data, name) is not None}
    if data.y is not None:
        found["y"] = data.y[None]
    for level in _LEVELS:
        for name, array in data.extras[level].items():
            if name in found or name in _FIELDS or name in _BOOKKEEPING:
                raise ValueError(
                    f"extras[{level!r}][{name!r}] must have another name: a Data of PyG keeps "
                    f"all attributes side by side, and has another {name!r}"
                )
            found[name] = array[None] if level == "graph" else array
    tensors = {name: as_tensor(array) for name, array in found.items()}
    tensors["edge_index"] = tensors["edge_index"].long()
    if data.x is None and data.pos is None:
        tensors["num_nodes"] = data.num_nodes
    out = resolve("torch_geometric.data.Data")(**tensors)
    for name in data.extras["node"] | data.extras["edge"] | data.extras["graph"]:
        _check_batching(out, name, tensors[name])
    return out


def _batch_to_pyg(batch):
    batch = batch.trim()
    if batch.num_graphs == 0:
        raise ValueError("a Batch of no graphs has no twin: PyG cannot make one")
    index, sources = np.asarray(batch.batch.index), np.asarray(batch.edge_index[0])
    for level, graphs in {"nodes": index, "edges": index[sources]}.items():
        if np.any(graphs[1:] < graphs[:-1]):
            raise ValueError(
                f"the {level} of the Batch must be ordered by graph, as in PyG; "
                "Batch.from_data_list(batch.to_data_list()) orders them"
            )
    graphs = [_data_to_pyg(graph) for graph in batch.to_data_list()]
    return resolve("torch_geometric.data.Batch").from_data_list(graphs)


def _attributes(data):
    if "edge_index" not in data:
        raise ValueError(
            f"{qualified_name(data)} must have an edge_index; for graphs without edges set it to "
            "torch.empty(2, 0, dtype=torch.long), and an adj_t is converted by "
            "torch_geometric.utils.to_edge_index"
        )
    return [(name, value) for name, value in data if name not in _BOOKKEEPING and value is not None]


def _array(name: str, value: Any) -> np.ndarray:
    import torch

    if isinstance(value, bool | int | float):
        value = torch.tensor(value)  # the dtype that PyG gives it in a batch
    if is_tensor(value):
        if value.layout is torch.strided:
            return from_tensor(value.as_subclass(torch.Tensor))
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return value.copy()
    raise ValueError(
        f"{name} must be a dense tensor, an array or a number, got {qualified_name(value)}; "
        f"remove it with `del data.{name}`"
    )


def _check_batching(data, name, value):
    """Raises if batching in PyG does something else to the attribute than ours does to extras."""
    shifted = np.any(np.asarray(data.__inc__(name, value)) != 0)
    if shifted or data.__cat_dim__(name, value) not in (0, None):
        raise ValueError(
            f"{name} cannot be converted: PyG shifts it like the indices of nodes, or joins it "
            "along another axis, when it batches graphs, and extras are only joined. Remove it, "
            "or rename it if it holds no indices"
        )


def _level(data, name, array):
    _check_batching(data, name, data[name])
    if name == "y":
        labels = array.shape[:1] == (data.num_nodes,) and data.num_nodes != 1
        return "node" if labels else "graph"
    if data.is_node_attr(name):
        return "node"
    return "edge" if data.is_edge_attr(name) else "graph"


def _level_in_batch(batch, name, array, index):
    """The level, and for a graph's attribute the number of rows that each graph has."""
    _check_batching(batch, name, batch[name])
    slices = getattr(batch, "_slice_dict", {})
    rows = np.diff(from_tensor(slices[name])) if name in slices else None
    if rows is None or rows.sum() != array.shape[0]:
        return _level_without_rows(batch, name, array), 1
    nodes = np.bincount(index, minlength=batch.num_graphs)
    edges = np.diff(from_tensor(slices["edge_index"]))
    one_each = np.all(rows == 1)
    is_node, is_edge = np.array_equal(rows, nodes), np.array_equal(rows, edges)
    if name == "y":
        is_node, is_edge = is_node and not one_each, False
    if is_node and is_edge:
        # PyG's own choice, by the name.
        return ("edge" if "edge" in name else "node"), 1
    if is_node or is_edge:
        return ("node" if is_node else "edge"), 1
    if np.all(rows == rows[0]):
        return "graph", int(rows[0])
    raise ValueError(
        f"{name} must have a row for each node, for each edge, or as many for each graph, got "
        f"{rows.tolist()} rows"
    )


def _level_without_rows(batch, name, array):
    level = _level(batch, name, array)
    if level == "graph" and array.shape[:1] != (batch.num_graphs,):
        raise ValueError(
            f"{name} must have a row for each node, edge or graph of the batch, got shape "
            f"{array.shape}"
        )
    return level


def _put(fields, extras, name, level, array):
    if name == "y" and level == "graph":
        fields["y"] = array
    else:
        extras[level][name] = array


_HETERO = "it has nodes of several types; convert data.to_homogeneous()"

# A Batch of PyG is a Data too, so that it must be looked for first.
register(
    Conversion("torch_geometric.data.Batch", Batch, _batch_from_pyg, _batch_to_pyg, subclasses=True)
)
register(
    Conversion("torch_geometric.data.Data", Data, _data_from_pyg, _data_to_pyg, subclasses=True)
)
register(
    Conversion(
        "torch_geometric.data.Dataset",
        None,
        _dataset_from_pyg,
        _no_dataset,
        subclasses=True,
    )
)
register_refusal("torch_geometric.data.HeteroData", _HETERO)
