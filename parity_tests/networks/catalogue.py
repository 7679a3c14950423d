"""Which networks there are, on which graphs, and where their weights are."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.data import Batch, Data

from ..digits import digit_graphs

FOLDER = Path(__file__).parent / "checkpoints"
# The folder of TU data sets as .npz; without it the networks on them are skipped.
TU = "JRAPHX_EQX_TU"


@dataclass(frozen=True)
class Network:
    """A network on a data set: `kind` is the name of the class in `theirs` and in `ours`."""

    name: str
    kind: str
    data: str = "digits"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Path:
        """The weights that `train` has written."""
        return FOLDER / f"{self.name}.safetensors"

    def sizes(self) -> dict[str, int]:
        return {
            "digits": {"in_features": 3, "classes": 10},
            "ENZYMES": {"in_features": 21, "classes": 6},
        }[self.data]

    def theirs(self) -> Any:
        from . import theirs

        return getattr(theirs, self.kind)(**self.sizes(), **self.options)

    def ours(self, dtype: Any = jnp.float32) -> Any:
        from . import ours

        key = jax.random.key(0)
        return getattr(ours, self.kind)(**self.sizes(), **self.options, dtype=dtype, key=key)


NETWORKS = (
    Network("topk", "Hierarchical", options={"kind": "topk", "layers": 3}),
    Network("topk-deep", "Hierarchical", options={"kind": "topk", "layers": 5}),
    Network("sag", "Hierarchical", options={"kind": "sag", "layers": 3}),
    Network("readouts", "SumOfReadouts", options={"kind": "topk"}),
    Network("gat-scores", "SumOfReadouts", options={"kind": "gat", "ratio": 0.7}),
    Network("unet", "UNetClassifier", options={"max_paths": 2**17}),
    Network("enzymes", "Hierarchical", "ENZYMES", {"kind": "sag", "layers": 5}),
)


def graphs(data: str) -> tuple[list[Data], list[Data]]:
    """The graphs to train on and the others: 1197 and 600 digits, or 480 and 120 enzymes."""
    if data == "digits":
        found, train = list(digit_graphs()), 1197
    else:
        found, train = _enzymes(), 480
    return found[:train], found[train:]


@functools.cache
def _enzymes() -> list[Data]:
    arrays = np.load(Path(os.environ[TU]) / "ENZYMES.npz", allow_pickle=False)
    attributes = arrays["node_attr"]
    attributes = (attributes - attributes.mean(axis=0)) / attributes.std(axis=0)
    x = np.concatenate([attributes, np.eye(3, dtype=np.float32)[arrays["node_label"]]], axis=1)
    nodes, edges = arrays["ptr"], arrays["edge_ptr"]
    # The file is ordered by class.
    order = np.random.default_rng(0).permutation(len(nodes) - 1)
    return [
        Data(
            x=x[nodes[g] : nodes[g + 1]].astype(np.float32),
            edge_index=arrays["edge_index"][:, edges[g] : edges[g + 1]] - nodes[g],
            y=int(arrays["y"][g]),
        )
        for g in order
    ]


def batches(found: list[Data], size: int) -> list[Batch]:
    """The graphs in batches, all but perhaps the last of the same number."""
    starts = range(0, len(found), size)
    return [Batch.from_data_list(found[start : start + size]) for start in starts]
