import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..data import Data

_FIELDS = ("x", "pos", "edge_attr", "y")


class Folder(Sequence):
    """The graphs of a folder, one a file, each read when it is asked for.

    Files are ordered by their names, which `files` holds.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        read: Callable[[pathlib.Path], Data] | None = None,
        *,
        pattern: str = "*.npz",
    ):
        """**Arguments:**

        - `folder`: where the files are.
        - `read`: makes a graph of a file. By default
            [`read_graph`][jraphx_eqx.loading.read_graph].
        - `pattern`: which files; `"**/*.npz"` looks into folders of the folder.

        **Raises:** `ValueError` if there is no such file.
        """
        self.files = sorted(pathlib.Path(folder).glob(pattern))
        self._read = read or read_graph
        if not self.files:
            raise ValueError(f"{folder} must hold files like {pattern}, and has none")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._read(file) for file in self.files[index]]
        return self._read(self.files[index])


def read_graph(path: str | pathlib.Path) -> Data:
    """A graph from an `.npz` file that [`write_graph`][jraphx_eqx.loading.write_graph] wrote, or
    that holds arrays of the names of [`Data`][jraphx_eqx.data.Data]'s arguments, and
    `node/NAME`, `edge/NAME`, `graph/NAME` for extras.

    **Raises:** `ValueError` that names the file, if it cannot be read.
    """
    fields: dict[str, Any] = {}
    extras: dict[str, dict[str, Any]] = {"node": {}, "edge": {}, "graph": {}}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name, array in arrays.items():
                level, _, rest = name.partition("/")
                if rest:
                    extras[level][rest] = array
                elif name == "num_nodes":
                    fields[name] = int(array)
                else:
                    fields[name] = array
        return Data(**fields, extras=extras)
    except Exception as error:
        raise ValueError(f"{path} does not hold a graph: {error}") from error


def write_graph(path: str | pathlib.Path, graph: Data) -> None:
    """Writes a graph to an `.npz` file. [`read_graph`][jraphx_eqx.loading.read_graph] reads it."""
    arrays = {name: getattr(graph, name) for name in _FIELDS if getattr(graph, name) is not None}
    for level, found in graph.extras.items():
        arrays |= {f"{level}/{name}": array for name, array in found.items()}
    np.savez_compressed(path, edge_index=graph.edge_index, num_nodes=graph.num_nodes, **arrays)
