"""Everything that needs PyTorch. It is imported by the functions, never by the module."""

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

from ._decisions import AbstractChoice, Matching, Threshold, TopK
from ._tensor import Tensor


@contextmanager
def stable_sort() -> Iterator[None]:
    """Makes PyTorch's `sort` and `argsort` stable.

    As shipped they scramble equal keys from 17 on, so that PyG's own choice among ties depends on
    the rest of the batch.
    """
    import torch

    with ExitStack() as patched:
        for owner in (torch, torch.Tensor):
            for name in ("sort", "argsort"):
                stable = _stable(getattr(owner, name))
                patched.enter_context(mock.patch.object(owner, name, stable))
        yield


def _stable(original):
    def call(*args, **kwargs):
        return original(*args, **{**kwargs, "stable": True})

    return call


@contextmanager
def watch_choices(forced: Sequence[np.ndarray] | None = None) -> Iterator[list[AbstractChoice]]:
    """Watches, or replaces, what PyG's poolings choose, at one call after the other: the nodes that
    `SelectTopK` keeps, and the edges that `EdgePooling` merges.

    **Arguments:**

    - `forced`: the rows to be chosen at each call; `None` for PyG's own choice (by a stable sort).

    **Returns:** a context that yields a list, to which every call adds what was chosen.

    **Raises:** `ValueError` inside of the context at a call for which `forced` has no rows.
    """
    choices: list[AbstractChoice] = []
    if "torch_geometric" not in sys.modules:
        yield choices  # Nothing has called PyG.
        return

    def told() -> np.ndarray | None:
        if forced is not None and len(choices) >= len(forced):
            raise ValueError(f"PyG chooses more than the {len(forced)} times that were forced")
        return None if forced is None else np.array(forced[len(choices)])

    topk: Any = importlib.import_module("torch_geometric.nn.pool.select.topk")
    edge: Any = importlib.import_module("torch_geometric.nn.pool.edge_pool").EdgePooling
    with (
        stable_sort(),
        mock.patch.object(topk, "topk", _watched_topk(topk.topk, told, choices)),
        mock.patch.object(edge, "_merge_edges", _watched_merge(edge._merge_edges, told, choices)),
    ):
        yield choices


def _watched_topk(original: Any, told: Any, choices: list[AbstractChoice]) -> Any:
    parameters = inspect.signature(original)

    def topk(*given, **named):
        import torch

        bound = parameters.bind(*given, **named)
        bound.apply_defaults()
        rows = told()
        kept = original(*given, **named) if rows is None else torch.as_tensor(rows).long()
        choices.append(_choice(kept, **bound.arguments))
        return kept

    return topk


def _watched_merge(original: Any, told: Any, choices: list[AbstractChoice]) -> Any:
    def merge(self, x, edge_index, batch, edge_score):
        import torch

        scores, ends = (value.detach().numpy().copy() for value in (edge_score, edge_index))
        choice = Matching(np.zeros(0, np.int64), scores, np.zeros(len(scores), np.int64), ends)
        rows = told()
        if rows is None:
            out = original(self, x, edge_index, batch, edge_score)
            rows = choice.expected(scores)
            clusters = out[3].cluster.numpy()[ends[:, rows]]
            assert np.array_equal(clusters, [np.arange(len(rows))] * 2), "PyG merges other edges"
        else:
            # PyG goes down the edges in the order of this sort.
            rest = np.setdiff1d(np.arange(len(scores)), rows)
            order = torch.as_tensor(np.concatenate([rows, rest])).long()
            with mock.patch.object(torch, "argsort", lambda *given, **named: order):
                out = original(self, x, edge_index, batch, edge_score)
        choices.append(dataclasses.replace(choice, rows=rows))
        return out

    return merge


def _choice(rows, x, batch, min_score, tol, **rest) -> AbstractChoice:
    kept, scores = (value.detach().reshape(-1).numpy().copy() for value in (rows, x))
    groups = batch.detach().numpy().copy()
    if min_score is None:
        return TopK(kept, scores, groups)
    return Threshold(kept, scores, groups, float(min_score), float(tol))


# Operations that only move, select or create numbers; what they return is not rounded.
_MOVES = frozenset(
    """
    _to_copy abs alias amax amin as_strided cat ceil clamp clamp_max clamp_min clone copy_
    detach empty expand fill_ flip floor full gather index index_put index_put_ index_select
    lift_fresh masked_fill masked_fill_ max maximum min minimum neg new_empty new_full new_ones
    new_zeros ones permute relu repeat round scalar_tensor scatter scatter_reduce
    scatter_reduce_ select sign slice sort split squeeze stack t threshold_backward topk
    transpose unbind unsqueeze view where zero_ zeros
    """.split()  # noqa: SIM905
)


@contextmanager
def random_rounding(seed: int) -> Iterator[None]:
    """Moves what every arithmetic operation of PyTorch returns by up to one unit in the last place,
    backward passes included: another program that is equally right."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    generator = torch.Generator().manual_seed(seed)

    class Rounding(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            arithmetic = func._schema.name.removeprefix("aten::") not in _MOVES
            # Sparse results stay as they are: to write into one makes it uncoalesced.
            arithmetic &= getattr(out, "layout", None) == torch.strided
            if arithmetic and isinstance(out, torch.Tensor) and out.is_floating_point():
                steps = torch.randint(-1, 2, out.shape, generator=generator)
                out.mul_(1 + torch.finfo(out.dtype).eps * steps.to(out.dtype))
            return out

    with Rounding():
        yield


def is_float(value: Any) -> bool:
    """Whether `value` is a numpy array of floats."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def state_shapes(module: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of a module's floating parameters and buffers; none for a function."""
    return {name: tuple(value.shape) for name, value in _state(module).items()}


def state_arrays(module: Any) -> dict[str, np.ndarray]:
    """A module's floating parameters and buffers as float32 arrays; none for a function."""
    state = _state(module).items()
    return {name: value.detach().float().cpu().numpy().copy() for name, value in state}


def tied_names(module: Any) -> dict[str, str]:
    """The further names of parameters and buffers that a module has under several, each with the
    first."""
    first: dict[int, str] = {}
    further = {}
    for name, value in _state(module, keep=True).items():
        known = first.setdefault(id(value), name)
        if known != name:
            further[name] = known
    return further


def buffer_names(module: Any) -> set[str]:
    """The floating buffers that are in a module's state dict, under all their names; none for a
    function."""
    state = _state(module)
    buffers = module.named_buffers(remove_duplicate=False) if state else ()
    return {name for name, _ in buffers if name in state}


def _state(module: Any, keep: bool = False) -> dict[str, Any]:
    """The floating state of a module; `keep` the parameters themselves, which can be told apart."""
    import torch

    if not isinstance(module, torch.nn.Module):
        return {}
    state = module.state_dict(keep_vars=keep)
    return {name: value for name, value in state.items() if value.is_floating_point()}


def run_torch(
    module: Any,
    call: Any,
    inputs: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    differentiate: tuple[str, ...],
    dtype: Any,
    cotangents: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[Tensor, np.ndarray | None]:
    """Outputs and gradients of a PyTorch module, as arrays.

    **Arguments:**

    - `module`, `call`: `call(module, inputs)` returns the outputs by name.
    - `inputs`: arrays, integers and `None` by name.
    - `weights`: every floating parameter and buffer.
    - `differentiate`: the inputs to differentiate.
    - `dtype`: numpy's name of the float type to compute in.
    - `cotangents`: by name of a direction, the cotangent of each output that takes part.

    **Returns:** the arrays. A gradient that PyTorch does not have is `None`.
    """
    import torch

    float_type = getattr(torch, np.dtype(dtype).name)
    tensors = {name: _tensor(value, float_type) for name, value in inputs.items()}
    leaves = {}
    for name in differentiate:
        if is_float(inputs[name]):
            leaves[name] = tensors[name].requires_grad_(True)
    if isinstance(module, torch.nn.Module):
        module = module.to(float_type).eval()
        loaded = {name: _tensor(value, float_type) for name, value in weights.items()}
        module.load_state_dict({**module.state_dict(), **loaded})
        leaves.update(module.named_parameters())
    outputs = {name: _output(v, float_type) for name, v in call(module, tensors).items()}
    found = {Tensor("out", name): _array(value) for name, value in outputs.items()}
    for direction, parts in cotangents.items():
        # Buffers are no leaves. The other side may have no gradient for them either.
        grads = dict.fromkeys(weights) | _gradients(outputs, leaves, parts, float_type)
        found.update({Tensor("d", name, direction): grad for name, grad in grads.items()})
    return found


def _gradients(outputs, leaves, parts, float_type) -> dict[str, np.ndarray | None]:
    import torch

    used = [name for name in parts if outputs[name].requires_grad]
    if not leaves or not used:
        return {name: None for name in leaves}
    grads = torch.autograd.grad(
        [outputs[name] for name in used],
        list(leaves.values()),
        [_tensor(parts[name], float_type) for name in used],
        retain_graph=True,
        allow_unused=True,
    )
    return {name: _array(grad) for name, grad in zip(leaves, grads, strict=True)}


def _tensor(value: Any, float_type: Any) -> Any:
    import torch

    if not isinstance(value, np.ndarray):
        return value
    dtypes = {"f": float_type, "b": torch.bool}
    return torch.tensor(value, dtype=dtypes.get(value.dtype.kind, torch.long))


def _output(value: Any, float_type: Any) -> Any:
    """An output as a tensor: networks also return numbers, such as the part of the nodes kept."""
    import torch

    if isinstance(value, float):
        return torch.tensor(value, dtype=float_type)
    return torch.tensor(value) if isinstance(value, bool | int) else value


def _array(value: Any) -> np.ndarray | None:
    return None if value is None else value.detach().cpu().numpy().copy()
