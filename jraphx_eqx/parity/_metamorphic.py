"""Changes of an input that must change nothing but the order of rows. No PyTorch is run: the
reference is our own result, its tolerance the noise of PyG's."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._candidate import Candidate
from ._compare import compare
from ._oracle import AbstractOracle, Reference
from ._spec import Rows
from ._tensor import Tensor
from ._tolerance import MORE_RUNS
from ._trial import Trial, kind_of
from .verdicts import FAIL

PARTS = 8


class Part(NamedTuple):
    """A changed input, and which row of the original each of its rows is."""

    candidate: Candidate
    places: Mapping[str, np.ndarray]


def compare_moves(
    trial: Trial, module: Any, oracle: AbstractOracle, plain: Candidate, reference: Reference
) -> None:
    """Records, for each change, the choices and all tensors beside those of the plain input."""
    base = plain.run(reference.chosen, reference.cotangents)
    for name, parts in _moves(trial, module, oracle, plain):
        frame = _OriginalOrder(trial, oracle, reference, base, name)
        frame.compare(parts)


def _moves(trial, module, oracle, plain: Candidate) -> Iterator[tuple[str, list[Part]]]:
    inputs, rng = oracle.inputs, np.random.default_rng(len(trial.case.name))
    rows = trial.spec.rows(inputs)
    sizes = {"node": len(inputs["batch"]), "graph": inputs["num_graphs"]}
    [edges] = {np.shape(inputs[n])[r.axis] for n, r in rows.items() if n == "edge_index"} or {0}
    same = {name: np.arange(size) for name, size in {**sizes, "edge": edges}.items()}

    def part(places, case=None):
        moved = _take(inputs, rows, places)
        return Part(Candidate(trial, module, moved, oracle.weights, case), places)

    eager = part(same)
    eager.candidate.compiled = False
    yield "eager", [eager]
    yield "more padding", [part(same, _roomier(trial.case, plain, inputs))]
    yield "no padded nodes", [part(same, _tight(trial.case, sizes))]
    if sizes["node"]:
        order = rng.permutation(sizes["node"])
        if "x" in rows and rows["x"].ordered:
            order = _in_order(order, inputs["batch"])
        yield "nodes permuted", [part({**same, "node": order})]
    if edges:
        yield "edges permuted", [part({**same, "edge": _shuffle(rng, inputs["edge_index"])})]
    if sizes["graph"] > 1:
        batch = inputs["batch"]
        parts = []
        for graphs in np.array_split(same["graph"], min(PARTS, sizes["graph"])):
            nodes = np.flatnonzero(np.isin(batch, graphs))
            own = np.isin(batch[inputs["edge_index"][0]], graphs) if edges else np.zeros(0, bool)
            parts.append(part({"node": nodes, "edge": np.flatnonzero(own), "graph": graphs}))
        yield "graphs apart", parts


def _take(inputs: Mapping[str, Any], rows: Mapping[str, Rows], places) -> dict[str, Any]:
    moved = dict(inputs)
    for name, row in rows.items():
        if inputs.get(name) is None:
            continue
        values = np.take(inputs[name], places[row.of], axis=row.axis)
        if row.holds is not None:
            size = places[row.holds].max(initial=-1) + 1
            values = _labels(places[row.holds], size)[values] if values.size else values
        moved[name] = values
    moved["num_graphs"] = len(places["graph"])
    return moved


def _shuffle(rng: np.random.Generator, edge_index: np.ndarray) -> np.ndarray:
    """A permutation that keeps equal edges in order, since the weight of the last loop counts."""
    return _in_order(rng.permutation(edge_index.shape[1]), edge_index[1], edge_index[0])


def _in_order(order: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """The permutation, but rows of equal keys keep their order."""
    kept = np.empty_like(order)
    kept[np.lexsort([key[order] for key in keys])] = np.lexsort(keys)
    return kept


def _roomier(case, plain: Candidate, inputs) -> Any:
    """The case with twice the capacity that it is padded to now."""
    padded = {"num_nodes": len(plain.padded["batch"]), "num_graphs": plain.padded["num_graphs"]}
    if "edge_index" in inputs:
        padded["num_edges"] = plain.padded["edge_index"].shape[1]
    return dataclasses.replace(case, capacity={name: 2 * size for name, size in padded.items()})


def _tight(case, sizes: Mapping[str, int]) -> Any:
    """The case with room for its nodes and graphs and no more, so that no last row of padding takes
    what edges of padding leave behind."""
    capacity = {"num_nodes": sizes["node"], "num_graphs": sizes["graph"]}
    return dataclasses.replace(case, capacity={**case.capacity, **capacity})


class _Level(NamedTuple):
    """A call in a part: where its rows are in the original, the rows that are forced, and which of
    those that the original keeps they are."""

    places: np.ndarray
    forced: np.ndarray
    kept: np.ndarray


class _OriginalOrder:
    """Brings the results of the parts back to the order of the original input."""

    def __init__(self, trial: Trial, oracle, reference: Reference, base, move: str):
        self.trial, self.oracle, self.reference, self.base = trial, oracle, reference, base
        self.move = move
        assert trial.spec.rows is not None
        rows = trial.spec.rows(oracle.inputs)
        self.rows = {Tensor.parse(name): row for name, row in rows.items()}

    def compare(self, parts: Sequence[Part]) -> None:
        choices = self.reference.choices
        levels = [self._levels(part) for part in parts]
        placed = [self._place(part, mine) for part, mine in zip(parts, levels, strict=True)]
        results = [
            part.candidate.run(tuple(level.forced for level in mine), self._cotangents(places))
            for part, mine, places in zip(parts, levels, placed, strict=True)
        ]
        if self.oracle.decision is not None:
            own = []
            for place in range(min(len(choices), *(len(p.candidate.own) for p in parts))):
                both = zip(parts, levels, strict=True)
                rows = [mine[place].places[p.candidate.own[place]] for p, mine in both]
                own.append(choices[place].in_order(np.concatenate(rows)))
            self.trial.judge(self.oracle.decision, self.reference, own, self.move)
        for tensor in sorted(self.base):
            if tensor.kind != "leak":
                self._tensor(tensor, placed, [result.get(tensor) for result in results])

    def _levels(self, part: Part) -> list["_Level"]:
        """What is forced in a part at each call."""
        levels, places = [], part.places["node"]
        for choice in self.reference.choices:
            labels = _labels(places, len(choice.groups))[choice.rows]
            kept = np.flatnonzero(labels >= 0)
            levels.append(_Level(places, labels[kept], kept))
            places = kept
        return levels

    def _place(self, part: Part, levels: list["_Level"]) -> dict[str, np.ndarray]:
        """Where the rows of a part are in the original order."""
        places = dict(part.places)
        if levels:
            of_node = _labels(self.reference.choices[0].rows, len(self.oracle.inputs["batch"]))
            places["kept"] = levels[0].kept
            kept = np.all(of_node[self.oracle.inputs["edge_index"]] >= 0, axis=0)
            survivors, edges = np.flatnonzero(kept), part.places["edge"]
            places["kept_edge"] = np.searchsorted(survivors, edges[kept[edges]])
        return places

    def _cotangents(self, places) -> dict[str, dict[str, np.ndarray]]:
        moved = {}
        for direction, parts in self.reference.cotangents.items():
            taken = {}
            for name, value in parts.items():
                row = self.rows.get(Tensor("out", name))
                taken[name] = value if row is None else np.take(value, places[row.of], row.axis)
            moved[direction] = taken
        return moved

    def _tensor(self, tensor: Tensor, placed, found: list[np.ndarray | None]) -> None:
        ref, noise = self.base[tensor], self.reference.noise
        moved = dataclasses.replace(tensor, move=self.move)
        record = self.trial.record(moved, kind_of(tensor, ref))
        if ref is None or any(value is None for value in found):
            if ref is not None or any(value is not None for value in found):
                record.verdict, record.message = FAIL, "only one side is None"
            return
        try:
            restored = self._restore(tensor, ref, placed, found)
        except (IndexError, ValueError) as error:
            record.verdict, record.message = FAIL, f"rows cannot be matched: {error}"
            return
        ids = self.reference.ids.get(tensor)
        compare(record, restored, ref, ids=ids, tau=noise.of(tensor, self.trial.lane))
        if record.verdict == FAIL and np.isfinite(record.ratio) and noise.runs < MORE_RUNS:
            self.trial.records.pop()
            self.oracle.measure_noise(self.reference, MORE_RUNS)
            self._tensor(tensor, placed, found)

    def _restore(self, tensor: Tensor, ref: np.ndarray, placed, found) -> Any:
        row = self.rows.get(tensor if tensor.kind == "out" else Tensor("", tensor.name))
        if row is None:
            return sum(found)
        whole = np.full_like(ref, 0)
        for places, values in zip(placed, found, strict=True):
            values = values if row.holds is None else places[row.holds][values]
            at = (slice(None),) * (row.axis % ref.ndim)
            whole[(*at, places[row.of])] = values
        return whole


def _labels(places: np.ndarray, size: int) -> np.ndarray:
    """The inverse of `places`, which are below `size`; -1 for what is not in it."""
    labels = np.full(size, -1)
    labels[places] = np.arange(len(places))
    return labels
