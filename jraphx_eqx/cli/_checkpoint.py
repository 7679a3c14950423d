"""A checkpoint on its way into a network."""

from pathlib import Path
from typing import Any

import numpy as np

from .. import interop
from ..interop.checkpoints import Fit, as_array, fit, load_fit, parts_by_path, read_kept
from ._names import Names
from ._output import note
from ._problem import NO, Problem, told


def read(checkpoint: Path, key: str | None, names: Names) -> dict[str, np.ndarray]:
    """The weights of the file without those of `--drop`."""
    with told(FileNotFoundError, ValueError, ImportError, OSError, MemoryError):
        found = read_kept(checkpoint, key, names.kept)
    if names.dropped:
        note(f"left out by --drop: {', '.join(sorted(names.dropped))}")
    return found


def into(network: Any, found: dict[str, np.ndarray], names: Names) -> Fit:
    """How the weights fit an Equinox network."""
    return _fit(interop.state_dict(network), parts_by_path(network), names.renamed(found))


def load(network: Any, found: Fit) -> Any:
    """The network with these weights."""
    with told(ValueError, code=NO):
        return load_fit(network, found)


def load_torch(network: Any, twin: Any, checkpoint: Path, key: str | None, names: Names) -> None:
    """Loads a checkpoint into a PyTorch network whose layers have the names of `twin`."""
    renamed = names.renamed(read(checkpoint, key, names))
    expected = {name: _known(tensor) for name, tensor in network.state_dict().items()}
    parts = {**dict(network.named_modules()), **parts_by_path(twin)}
    found = _fit(expected, parts, renamed)
    loaded = _second_names(network, found.arrays)
    problems = [problem for name, problem in found.problems if name not in loaded]
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise Problem(f"{checkpoint.name} does not fit the PyTorch network:{lines}", NO)
    network.load_state_dict(interop.to_pyg(found.arrays), strict=not loaded)


def _second_names(network, arrays):
    """The names of parameters that the arrays have under another name of theirs."""
    names: dict[Any, list[str]] = {}
    for name, parameter in network.state_dict(keep_vars=True).items():
        names.setdefault(id(parameter), []).append(name)
    shared = [several for several in names.values() if any(name in arrays for name in several)]
    return {name for several in shared for name in several if name not in arrays}


def _known(tensor):
    from torch.nn.parameter import is_lazy

    return None if is_lazy(tensor) else as_array(tensor)


def _fit(expected, parts, renamed):
    changed = {now for now, then in renamed.before.items() if now != then}
    fitted = fit(expected, parts, renamed.values, placed=changed & expected.keys())
    for text in fitted.notes:
        note(text)
    origins = {
        name: [renamed.before[then] for then in names] for name, names in fitted.origins.items()
    }
    return fitted._replace(origins=origins)
