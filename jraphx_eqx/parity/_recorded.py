"""What `run` needs from PyTorch for one configuration and case, as a file that needs no PyTorch."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._case import Case
from ._decisions import CHOICES, AbstractChoice
from ._lanes import LANES
from ._oracle import AbstractOracle, Chosen, Reference, rows_of
from ._spec import Config, Decision, Spec
from ._tensor import Tensor
from ._tolerance import JITTERED_RUNS, MORE_RUNS, Noise
from ._trial import first_lines
from ._weights import with_moved

ABOUT, ARRAY = "about", "array"
LANES_OF = {
    part: tuple(name for name, lane in LANES.items() if lane.by == by)
    for part, by in (("plain", "noise"), ("dyadic", "bits"))
}
KINDS = ("tau", "rms", "wide")


class RecordedError(Exception):
    """What PyTorch raised when this was recorded."""


def pack(tree: Mapping[str, Any]) -> bytes:
    """A tree of dictionaries, lists, arrays and JSON values as the bytes of an npz file.

    The arrays are named by their path; equal ones are stored once. `"about"` is the tree itself, as
    JSON, with the names of the arrays in their place. Equal trees give equal bytes.
    """
    arrays: dict[str, np.ndarray] = {}
    known: dict[Any, str] = {}

    def encode(value: Any, path: str) -> Any:
        if isinstance(value, np.ndarray):
            key = value.dtype.str, value.shape, value.tobytes()
            if key not in known:
                known[key] = path
                arrays[path] = value
            return {ARRAY: known[key]}
        if isinstance(value, Mapping):
            return {
                name: encode(value[name], f"{path}/{name}".strip("/")) for name in sorted(value)
            }
        if isinstance(value, list | tuple):
            return [encode(part, f"{path}/{place}") for place, part in enumerate(value)]
        return value

    arrays[ABOUT] = np.array(json.dumps(encode(tree, ""), sort_keys=True))
    return _npz(arrays)


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(arrays[name], order="C"), (1, 0), False)
            info = zipfile.ZipInfo(f"{name}.npy")  # of the year 1980, whenever it is written
            info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue(), compresslevel=9)
    return file.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    """The inverse of `pack`. Objects that would have to be unpickled are an error."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}

    def decode(value: Any) -> Any:
        if isinstance(value, dict):
            if list(value) == [ARRAY] and isinstance(value[ARRAY], str):
                return arrays[value[ARRAY]]
            return {name: decode(part) for name, part in value.items()}
        return [decode(part) for part in value] if isinstance(value, list) else value

    return decode(json.loads(str(arrays[ABOUT])))


def case_tree(case: Case) -> dict[str, Any]:
    """A case as a tree for `pack`."""
    capacity = {name: int(rows) for name, rows in case.capacity.items()}
    arrays = {name: _plain(value, f"array {name!r}") for name, value in case.arrays.items()}
    return {"name": case.name, "tags": sorted(case.tags), "capacity": capacity, "arrays": arrays}


def case_of(tree: Mapping[str, Any]) -> Case:
    """The inverse of `case_tree`."""
    return Case(tree["name"], tree["arrays"], frozenset(tree["tags"]), tree["capacity"])


def inputs_tree(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call as a tree for `pack`."""
    return {name: _plain(value, f"input {name!r}") for name, value in inputs.items()}


def _plain(value: Any, what: str) -> Any:
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    message = "must be an array of numbers, a number, text or None to be recorded"
    raise ValueError(f"{what} {message}, got {type(value).__name__}")


def oracle_tree(
    oracle: AbstractOracle, exact: tuple[str, ...], network: bool = False
) -> dict[str, Any]:
    """All that an oracle says, as a tree for `pack`.

    **Arguments:**

    - `oracle`: the PyTorch side of one configuration and case.
    - `exact`: the tensors that the lane `"exact"` compares; of its reference only these are kept.
    - `network`: whether it is a whole network, of which other buffers are asked for.
    """
    tree = {"plain": _part(oracle, LANES_OF["plain"]), "dyadic": None}
    if exact:
        tree["dyadic"] = _part(oracle.dyadic(), LANES_OF["dyadic"], exact)
    if network:
        tree["tied"], tree["buffers"] = dict(oracle.tied), sorted(oracle.buffers)
    if network and oracle.buffers:
        other = oracle.moved(with_moved(oracle.weights, oracle.buffers))
        tree["moved"] = _part(other, LANES_OF["plain"])
    return tree


def _part(oracle: AbstractOracle, lanes, only: tuple[str, ...] | None = None) -> dict[str, Any]:
    references: list[Reference] = []
    trees: list[dict[str, Any]] = []
    dtypes: dict[str, Any] = {}
    for lane in lanes:
        try:
            choices = oracle.decide(lane)
            reference = oracle.reference(rows_of(choices))
        except Exception as error:
            dtypes[_dtype(lane)] = {"raised": first_lines(error)}
            continue
        if not any(reference is known for known in references):
            references.append(reference)
            trees.append(_reference(oracle, reference, only))
        place = [known is reference for known in references].index(True)
        made = [_choice_tree(choice) for choice in choices]
        dtypes[_dtype(lane)] = {"choices": made, "reference": place}
    inputs, weights = inputs_tree(oracle.inputs), dict(oracle.weights)
    return {"inputs": inputs, "weights": weights, "dtypes": dtypes, "references": trees}


def _reference(oracle: AbstractOracle, reference: Reference, only) -> dict[str, Any]:
    names = {str(t): t for t in reference.arrays if only is None or str(t) in only}
    tree: dict[str, Any] = {
        "choices": [_choice_tree(choice) for choice in reference.choices],
        "arrays": {name: reference.arrays[t] for name, t in names.items()},
        "low": {name: reference.low[t] for name, t in names.items() if t in reference.low},
        "cotangents": reference.cotangents,
        "unused": sorted(map(str, reference.unused)),
        "ids": {},
        "noise": [],
    }
    if only is None:
        ids = reference.ids
        tree["ids"] = {name: ids[t] for name, t in names.items() if t in ids}
        for runs in (JITTERED_RUNS, MORE_RUNS):
            oracle.measure_noise(reference, runs)
            tree["noise"].append(_noise_tree(reference.noise))
    return tree


def _choice_tree(choice: AbstractChoice) -> dict[str, Any]:
    fields = {f.name: getattr(choice, f.name) for f in dataclasses.fields(choice)}
    return {"kind": choice.kind, **fields}


def _choices(trees: Sequence[Mapping[str, Any]]) -> tuple[AbstractChoice, ...]:
    return tuple(
        CHOICES[tree["kind"]](**{name: v for name, v in tree.items() if name != "kind"})
        for tree in trees
    )


def _noise_tree(noise: Noise) -> dict[str, Any]:
    """The noise of all tensors in one array per kind: most have a few blocks only."""
    tree: dict[str, Any] = {"runs": noise.runs}
    for kind in KINDS:
        found = {str(tensor): values for tensor, values in getattr(noise, kind).items()}
        sizes = {name: len(found[name]) for name in sorted(found)}
        values = [found[name] for name in sizes]
        tree[kind] = {"sizes": sizes, "values": np.concatenate([*values, np.zeros(0)])}
    return tree


def _noise(tree: Mapping[str, Any]) -> Noise:
    found = {}
    for kind in KINDS:
        sizes, values = tree[kind]["sizes"], tree[kind]["values"]
        names = sorted(sizes)
        ends = np.cumsum([sizes[name] for name in names])[:-1]
        parts = np.split(values, ends) if names else []
        found[kind] = _by_tensor(dict(zip(names, parts, strict=True)))
    return Noise(tree["runs"], **found)


def _by_tensor(arrays: Mapping[str, Any]) -> dict[Tensor, Any]:
    return {Tensor.parse(name): value for name, value in arrays.items()}


def _dtype(lane: str) -> str:
    return np.dtype(LANES[lane].dtype).name


class RecordedOracle:
    """The PyTorch side of one configuration and case, as it was recorded.

    **Arguments:**

    - `spec`, `config`: what is compared.
    - `tree`: what `oracle_tree` gave.
    - `part`: `"plain"`, or `"dyadic"` for the exact lane, or `"moved"` for other
        numbers in the buffers of a network.
    """

    def __init__(self, spec: Spec, config: Config, tree: Mapping[str, Any], part: str = "plain"):
        self.spec, self.config, self.tree = spec, config, tree
        self._tree = tree[part]
        self.inputs: dict[str, Any] = self._tree["inputs"]
        self.weights: dict[str, np.ndarray] = self._tree["weights"]
        self.decision: Decision | None = spec.decision(config)
        self.tied: dict[str, str] = tree.get("tied", {})
        self.buffers: set[str] = set(tree.get("buffers", ()))
        self._references: dict[int, Reference] = {}

    def dyadic(self) -> "RecordedOracle":
        """The same for the exact lane."""
        return RecordedOracle(self.spec, self.config, self.tree, "dyadic")

    def moved(self, weights: Mapping[str, np.ndarray]) -> "RecordedOracle":
        """The same with the other buffers that were recorded."""
        other = RecordedOracle(self.spec, self.config, self.tree, "moved")
        if any(not np.array_equal(weights[name], value) for name, value in other.weights.items()):
            raise ValueError("references hold the results for one set of moved buffers")
        return other

    def decide(self, lane: str) -> Sequence[AbstractChoice]:
        """PyG's own choices in the dtype of a lane."""
        return _choices(self._of(lane)["choices"])

    def raised(self, lane: str) -> str | None:
        """What PyTorch raised in the dtype of a lane, if it did."""
        return self._tree["dtypes"][_dtype(lane)].get("raised")

    def _of(self, lane: str) -> Mapping[str, Any]:
        error = self.raised(lane)
        if error is not None:
            raise RecordedError(error)
        return self._tree["dtypes"][_dtype(lane)]

    def reference(self, chosen: Chosen) -> Reference:
        """The float64 result for the choices of one of the lanes."""
        trees = self._tree["references"]
        recorded = [[choice["rows"].tolist() for choice in tree["choices"]] for tree in trees]
        wanted = [rows.tolist() for rows in chosen]
        if wanted not in recorded:
            raise ValueError(f"{len(trees)} decisions were recorded, but not {wanted}")
        place = recorded.index(wanted)
        if place not in self._references:
            tree = trees[place]
            self._references[place] = Reference(
                _choices(tree["choices"]),
                _by_tensor(tree["arrays"]),
                _noise(tree["noise"][0]) if tree["noise"] else Noise(),
                _by_tensor(tree["ids"]),
                tree["cotangents"],
                set(map(Tensor.parse, tree["unused"])),
                _by_tensor(tree["low"]),
                self.tied,
                self.buffers,
            )
        return self._references[place]

    def measure_noise(self, reference: Reference, runs: int) -> None:
        """Takes the recorded noise of more jittered runs."""
        [place] = [place for place, known in self._references.items() if known is reference]
        for tree in self._tree["references"][place]["noise"]:
            if reference.noise.runs < runs:
                reference.noise = _noise(tree)
