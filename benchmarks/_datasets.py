"""Batches of real graphs: the digits of scikit-learn, and sets of the TU collection.

The TU sets are not part of the project: `NAME.npz` is read from a folder that the user gives.
It holds `edge_index` and `ptr` (all graphs, one after the other), `y`, and `node_label` or none.
"""

import pathlib

import numpy as np

TU = ("DD", "REDDIT-BINARY")


def available(folder: str | None) -> tuple[list[str], list[str]]:
    """The sets that can be read here, and those that cannot."""
    there = [name for name in TU if folder and (pathlib.Path(folder) / f"{name}.npz").is_file()]
    return ["digits", *there], [name for name in TU if name not in there]


def real_batch(name: str, size: int, folder: str | None) -> dict:
    """The first batch of `size` shuffled graphs, and the capacity that fits all batches."""
    graphs = _digits() if name == "digits" else _tu(pathlib.Path(folder or "") / f"{name}.npz")
    order = np.random.default_rng(0).permutation(len(graphs))
    graphs = [graphs[i] for i in order]
    batches = [graphs[start : start + size] for start in range(0, len(graphs), size)]
    nodes = max(sum(len(x) for x, _, _ in batch) for batch in batches)
    edges = max(sum(edges.shape[1] for _, edges, _ in batch) for batch in batches)
    chosen = batches[0]
    sizes = np.array([len(x) for x, _, _ in chosen])
    first = np.cumsum(sizes) - sizes
    return {
        "x": np.concatenate([x for x, _, _ in chosen]),
        "edge_index": np.concatenate(
            [edges + start for (_, edges, _), start in zip(chosen, first, strict=True)], axis=1
        ).astype(np.int32),
        "batch": np.repeat(np.arange(len(chosen), dtype=np.int32), sizes),
        "y": np.array([y for _, _, y in chosen], np.int32),
        "num_classes": 1 + max(y for _, _, y in graphs),
        "capacity": (nodes, edges),
    }


def _digits() -> list[tuple[np.ndarray, np.ndarray, int]]:
    """The non-zero pixels, joined to their neighbours; intensity and position as features."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    graphs = []
    for image, label in zip(digits.images, digits.target, strict=True):
        place = np.stack(np.nonzero(image))
        steps = np.abs(place[:, None, :] - place[:, :, None]).max(0)
        x = np.concatenate([image[image > 0][None] / 16, (place + 1) / 8]).T
        graphs.append((x, np.stack(np.nonzero(steps == 1)), int(label)))
    return graphs


def _tu(path: pathlib.Path) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Features are the labels of nodes, one-hot, or else their degrees, standardised."""
    with np.load(path, allow_pickle=False) as arrays:
        edges, ptr, labels = arrays["edge_index"], arrays["ptr"].astype(int), arrays["y"]
        if "node_label" in arrays:
            x = np.eye(arrays["node_label"].max() + 1)[arrays["node_label"]]
        else:
            degree = np.bincount(edges[1], minlength=ptr[-1]).astype(float)
            x = ((degree - degree.mean()) / degree.std())[:, None]
    order = np.argsort(edges[0], kind="stable")
    edges = edges[:, order].astype(np.int64)
    cut = np.searchsorted(edges[0], ptr)
    return [
        (x[ptr[g] : ptr[g + 1]], edges[:, cut[g] : cut[g + 1]] - ptr[g], int(labels[g]))
        for g in range(len(labels))
    ]
