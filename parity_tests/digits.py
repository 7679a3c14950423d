"""The handwritten digits that ship inside scikit-learn, as graphs of their pixels."""

import functools

import numpy as np

from jraphx_eqx.data import Batch, Data
from jraphx_eqx.parity import Case


def digit_graph(image: np.ndarray, label: int | None = None) -> Data:
    """The non-zero pixels of an image, joined to their eight neighbours in both directions.

    Node features are the intensity and the position (row, column), in (0, 1]. Edges carry the
    intensity of their source and the distance, and in `extras` a weight, one over the distance.
    """
    rows, columns = np.nonzero(image)
    place = np.stack([rows, columns])
    steps = place[:, None, :] - place[:, :, None]
    source, target = np.nonzero(np.abs(steps).max(0) == 1)
    intensity = image[rows, columns] / 16
    x = np.stack([intensity, (rows + 1) / 8, (columns + 1) / 8], axis=1)
    distance = np.linalg.norm(steps[:, source, target], axis=0)
    attr = np.stack([intensity[source], distance], axis=1)
    return Data(
        x=_f32(x),
        edge_index=np.stack([source, target]),
        edge_attr=_f32(attr),
        y=label,
        extras={"node": {"attn": _f32(x[:, ::-1])}, "edge": {"weight": _f32(1 / distance)}},
    )


@functools.cache
def digit_graphs() -> tuple[Data, ...]:
    """All 1797 digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pairs = zip(digits.images, digits.target, strict=True)
    return tuple(digit_graph(image, int(label)) for image, label in pairs)


@functools.cache
def digit_cases(size: int = 128) -> tuple[Case, ...]:
    """The digits in batches of `size` graphs, the last one smaller, all padded to one capacity."""
    graphs = digit_graphs()
    starts = range(0, len(graphs), size)
    batches = [Batch.from_data_list(graphs[start : start + size]) for start in starts]
    capacity = {
        "num_nodes": max(batch.num_nodes for batch in batches) + 1,
        "num_edges": max(batch.num_edges for batch in batches) + 1,
        "num_graphs": size,
    }
    return tuple(_case(f"digits:{i}", batch, capacity) for i, batch in enumerate(batches))


def _case(name: str, batch: Batch, capacity: dict[str, int]) -> Case:
    arrays = {
        "x": batch.x,
        "attn": batch.extras["node"]["attn"],
        "edge_index": batch.edge_index,
        "edge_attr": batch.edge_attr,
        "edge_weight": batch.extras["edge"]["weight"],
        "batch": batch.batch.index,
    }
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    return Case(name, {**arrays, "num_graphs": batch.num_graphs}, frozenset(), capacity)


def _f32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)
