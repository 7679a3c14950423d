"""What the specs of all operators share: padding by our own `Batch`, and the graph of each row."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.data import Batch, BatchVector
from jraphx_eqx.ops import _by_block, _masked_matmul
from jraphx_eqx.parity import Case, Rows, graphs

WIDTH = 3  # of the features of all cases
EDGE_WIDTH = 2
NODE, EDGE = ("x", "attn"), ("edge_attr", "edge_weight")
ROWS = {
    "x": Rows("node"),
    "attn": Rows("node"),
    "batch": Rows("node", holds="graph"),
    "edge_index": Rows("edge", axis=1, holds="node"),
    "edge_attr": Rows("edge"),
    "edge_weight": Rows("edge"),
}


def _some(condition) -> bool:
    return bool(np.any(condition))


def _counts(inputs: Mapping[str, Any]) -> np.ndarray:
    return np.bincount(inputs["batch"], minlength=inputs["num_graphs"])


def _loops(inputs: Mapping[str, Any]) -> np.ndarray:
    source, target = inputs["edge_index"]
    return source[source == target]


def _one_way(inputs: Mapping[str, Any]) -> bool:
    edges = set(map(tuple, inputs["edge_index"].T.tolist()))
    return any((target, source) not in edges for source, target in edges)


def _repeated(rows: np.ndarray) -> bool:
    return len(rows) > 1 and len(np.unique(rows, axis=0)) < len(rows)


INPUT_CLASSES = {
    "several graphs": lambda inputs: inputs["num_graphs"] > 1,
    "a graph without nodes": lambda inputs: _some(_counts(inputs) == 0),
    "a graph of one node": lambda inputs: _some(_counts(inputs) == 1),
    "no node at all": lambda inputs: len(inputs["batch"]) == 0,
    "an unsorted batch vector": lambda inputs: _some(np.diff(inputs["batch"]) < 0),
    "equal nodes": lambda inputs: _repeated(inputs["x"]),
    "features above 10": lambda inputs: _some(np.abs(inputs["x"]) > 10),
    "features of 0": lambda inputs: _some(inputs["x"] == 0),
}
EDGE_CLASSES = {
    **INPUT_CLASSES,
    "no edge at all": lambda inputs: inputs["edge_index"].shape[1] == 0,
    "a loop": lambda inputs: _some(_loops(inputs) >= 0),
    "a node with several loops": lambda inputs: _repeated(_loops(inputs)),
    "an edge twice": lambda inputs: _repeated(inputs["edge_index"].T),
    "an edge without its reverse": _one_way,
}


LARGEST = 9  # of the graphs below
FEW = (
    *("several graphs", "a graph without nodes", "a graph of one node", "no edge at all"),
    *("an unsorted batch vector", "a loop", "an edge without its reverse"),
)
FEW_CLASSES = {name: EDGE_CLASSES[name] for name in FEW}


def few_cases(seed: int) -> list[Case]:
    """Batches of three small graphs, all padded to one shape, no node with two loops.

    Those of ties and of single nodes have equal scores.
    """
    rng = np.random.default_rng([seed, 17])
    plain = _small("plain", seed, rng, [7, 4, LARGEST])
    mixed = _small("mixed", seed, rng, [5, 0, 8])
    ties = _small("ties", seed, rng, [6, 1, 7])
    no_edges = _small("no_edges", seed, rng, [4, 1, 5], degree=0)
    single = _small("single", seed, rng, [1, 1, 1], degree=0.7)
    order = rng.permutation(len(mixed["x"]))
    mixed.arrays.update({name: mixed[name][order] for name in ("x", "attn", "batch")})
    mixed.arrays["edge_index"] = np.argsort(order)[mixed["edge_index"]]
    kinds = rng.integers(0, 4, ties["x"].shape)
    ties.arrays["x"] = np.asarray([-2, -1, 1, 2], np.float32)[kinds]
    return [plain, mixed, ties, no_edges, single]


def _small(name: str, seed: int, rng: np.random.Generator, sizes, degree=2.5) -> Case:
    case = graphs.assemble(f"{name}:{seed}", rng, sizes, features=WIDTH, degree=degree)
    source, target = case["edge_index"]
    loops = np.where(source == target, source, -1 - np.arange(len(source)))
    kept = np.sort(np.unique(loops, return_index=True)[1])
    arrays = {**case.arrays, "edge_index": case["edge_index"][:, kept]}
    arrays.update({name: case[name][kept] for name in ("edge_attr", "edge_weight")})
    capacity = {"num_nodes": 24, "num_edges": 96, "num_graphs": 3}
    return Case(case.name, arrays, frozenset({"ties"} & {name}), capacity)


@contextmanager
def torch_default(dtype: Any) -> Iterator[None]:
    """In which PyG makes some tensors, whatever the dtype of what it is given."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def pad_with(fill: float):
    """Pads by `Batch.pad`, then poisons the padded rows where `pad` writes zeros, those of nodes
    with `fill` and those of edges with NaN, and the indices of padding with others that mean
    padding as well."""

    def pad(inputs: Mapping[str, Any], case: Case) -> Mapping[str, Any]:
        if not inputs.get("batched", True):
            return inputs
        given = {name: value for name, value in inputs.items() if isinstance(value, np.ndarray)}
        index, num_graphs = given["batch"], inputs["num_graphs"]
        num_nodes, num_edges = len(index), given["edge_index"].shape[1]
        extras = {
            "node": {name: given[name] for name in NODE if name in given},
            "edge": {name: given[name] for name in EDGE if name in given},
        }
        vector = BatchVector(jax.device_put(index), num_graphs)
        batch = Batch(edge_index=given["edge_index"], batch=vector, extras=extras)
        sizes = {"num_nodes": num_nodes, "num_edges": num_edges, "num_graphs": num_graphs}
        padded = batch.pad(**{name: _capacity(case, name, n) for name, n in sizes.items()})
        found = {name: np.array(value) for name, value in padded.extras["node"].items()}
        found.update({name: np.array(value) for name, value in padded.extras["edge"].items()})
        for name, value in found.items():
            if value.dtype.kind == "f":
                value[len(given[name]) :] = np.nan if name in EDGE else fill
        found["edge_index"] = np.array(padded.edge_index)
        _vary_edges(found["edge_index"][:, num_edges:], max(num_nodes, 1))
        found["batch"] = np.array(padded.batch.index)
        found["batch"][num_nodes + 1 :: 2] = FAR
        return {**inputs, **found, "num_graphs": padded.num_graphs}

    return pad


FAR = np.iinfo(np.int32).max


def _vary_edges(padding: np.ndarray, num_nodes: int) -> None:
    """Of the padding edges some have one end at a node, and some are further past the end."""
    node = np.arange(padding.shape[1]) % num_nodes
    padding[0, ::4], padding[1, 1::4], padding[:, 2::4] = node[::4], node[1::4], FAR


def _capacity(case: Case, name: str, size: int) -> int:
    """The case's own capacity, or one from a short list, so that few programs are compiled.

    There always are padding nodes and edges. Most random cases have six graphs, and none of them
    is padding: what leaks into the last graph must show.
    """
    if name in case.capacity:
        return case.capacity[name]
    capacity = {"num_nodes": 128, "num_edges": 512, "num_graphs": 6}[name]
    while capacity < size + (name != "num_graphs"):
        capacity *= 2
    return capacity


@contextmanager
def small_blocks(inputs: Mapping[str, Any]) -> Iterator[None]:
    """Where `inputs["by_block"]`, rows are made a few at a time, as those of large graphs are."""
    few = {(_by_block, "_BLOCK_BYTES"): 128, (_masked_matmul, "_BLOCK"): 8}
    with ExitStack() as stack:
        for (module, name), size in few.items() if inputs.get("by_block") else ():
            stack.enter_context(mock.patch.object(module, name, size))
        yield


def undrawn(make: Callable[[], Any]) -> Any:
    """What `make` builds, with zeros for the weights that it would draw. PyTorch's are loaded in
    their place, and a program would be compiled for each of their shapes."""
    return jax.tree.map(_zeros, eqx.filter_eval_shape(make))


def _zeros(leaf: Any) -> Any:
    is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
    return jax.device_put(np.zeros(leaf.shape, leaf.dtype)) if is_shape else leaf


def one_graph(arrays: dict[str, Any]) -> dict[str, Any]:
    """All nodes as one graph, which is called without a batch vector and so without padding."""
    batch = np.zeros_like(arrays["batch"])
    return {**arrays, "batch": batch, "num_graphs": 1, "batched": False}


def edge_groups(edge_index: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """The graph of each edge."""
    return batch[edge_index[0]]


def row_groups(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The graph of each row of the gradients for node and edge inputs."""
    groups = {f"d.{name}": inputs["batch"] for name in NODE if name in inputs}
    edges = edge_groups(inputs["edge_index"], inputs["batch"])
    groups.update({f"d.{name}": edges for name in EDGE if inputs.get(name) is not None})
    return groups


def keeps_dtypes(call: Callable[..., Mapping[str, Any]]) -> Callable[..., str | None]:
    """A property of all operators: in bfloat16, with 64 bits switched on, floats come back in
    bfloat16 and indices in the same dtype as without. Nothing is computed. `call` is
    `Spec.call_eqx`."""
    call = eqx.filter_jit(call)  # so that it is traced once for all inputs of the same shapes

    def dtypes(module: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str | None:
        at = jax.tree.map(_in_bfloat16, (module, dict(inputs)))
        with jax.enable_x64(True):
            try:
                found = eqx.filter_eval_shape(call, *at)
            except Exception as error:
                return f"in bfloat16: {type(error).__name__}: {error}"
        for name, value in outputs.items():
            if value is None:
                continue
            expected = "bfloat16" if value.dtype.kind == "f" else value.dtype
            if found[name].dtype != expected:
                return f"in bfloat16, {name} has dtype {found[name].dtype}, expected {expected}"
        return None

    return dtypes


def _in_bfloat16(leaf):
    if not isinstance(leaf, jax.Array | np.ndarray):
        return leaf
    kinds = {"f": jnp.bfloat16, "b": bool}
    return jax.ShapeDtypeStruct(leaf.shape, kinds.get(leaf.dtype.kind, jnp.int32))


def pyg_layer(name: str, *options: Any, **more: Any) -> Callable[[int], Any]:
    """What makes PyG's layer of that name, given the number of features."""

    def make(width: int) -> Any:
        import torch_geometric.nn

        return getattr(torch_geometric.nn, name)(width, *options, **more)

    return make


def our_layer(layer: Callable[..., Any], *options: Any, **more: Any) -> Callable[..., Any]:
    """What makes our layer, given the number of features, `key=` and `dtype=`."""
    return lambda width, **given: layer(width, *options, **more, **given)
