import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ._case import Case
from ._compare import compare
from ._environment import environment
from ._lanes import LANES
from ._oracle import AbstractOracle, Chosen, Reference, decided
from ._record import Result
from ._recorded import (
    LANES_OF,
    RecordedOracle,
    case_of,
    case_tree,
    inputs_tree,
    oracle_tree,
    pack,
    unpack,
)
from ._run import pairs, run
from ._session import Live
from ._spec import Config, Divergence, Spec
from ._tolerance import JITTERED_RUNS, MORE_RUNS, Blocks, tolerance
from ._trial import RunTally, Trial, kind_of
from .verdicts import FAIL

MANIFEST = "manifest.json"
SCHEMA = 2


class BadReferences(ValueError):
    """References cannot be trusted, or would lose what is trusted.

    **Arguments:**

    - `place`: their folder.
    - `problems`: all that is wrong with them.
    """

    def __init__(self, place: Path, problems: Sequence[str]):
        self.place, self.problems = place, list(problems)
        super().__init__(place, problems)  # the arguments, so that it can be pickled

    @property
    def environment(self) -> Mapping[str, Any]:
        """Nothing is known of it."""
        return {}

    def problem(self, config: Config, case: Case) -> str:
        """Why nothing can be compared with them."""
        first, *more = self.problems
        others = f" (and {len(more)} more: see the test [all])" if more else ""
        return f"the references in {self.place} cannot be used: {first}{others}"

    def oracle(self, config: Config, case: Case) -> AbstractOracle:
        """Raises."""
        raise self

    def __str__(self) -> str:
        lines = [f"references in {self.place}:", *(f"- {problem}" for problem in self.problems)]
        return "\n".join(lines)


def record(
    spec: Spec,
    cases: Sequence[Case],
    folder: str | Path,
    *,
    pairing: Literal["product", "rotate"] = "rotate",
    seed: int = 0,
    weights: Literal["draw", "keep"] = "draw",
    divergences: Iterable[Divergence] = (),
    bless: str | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Path:
    """Runs PyTorch and writes down all that [`check`][jraphx_eqx.parity.check] needs of it.

    The folder of the operator gets an npz file for each configuration and case, and a
    `manifest.json`. The same versions on the same machine write the same bytes.

    **Arguments:**

    - `spec`, `cases`, `pairing`, `seed`, `weights`: as for [`run`][jraphx_eqx.parity.run].
    - `folder`: where the folder of the operator is, or will be.
    - `divergences`: the declared ones. `check` accepts no others.
    - `bless`: why the references may change. Without it references that exist are replaced only if
        PyTorch still gives what they say, within their own tolerance. The reason is kept in the
        manifest.
    - `progress`: called after each case.

    **Returns:** the folder of the operator.

    **Raises:** `BadReferences` if references exist and are not reproduced; `ValueError` if two
    configurations or cases have the same name, or something cannot be written to a file.
    """
    place = Path(folder) / spec.name
    if bless is not None and not bless.strip():
        raise ValueError("bless must be the reason for which the references change, got no text")
    _check_names(spec, cases)
    old, problems = _read(spec, place) if place.exists() else (None, [])
    if problems and bless is None:
        raise BadReferences(place, problems)
    with _one_thread():
        source = Live(spec, seed, weights)
        trees = [
            _tree(source, config, case, progress) for config, case in pairs(spec, cases, pairing)
        ]
        made = {**environment(), **source.environment}
    if old is not None and bless is None:
        lost = list(_differences(spec, old.trees, {_key(tree): tree for tree in trees}))
        if lost:
            reason = "PyTorch does not give what they say; to replace them, give a reason (bless)"
            raise BadReferences(place, [reason, *lost])
    files = {_file(number, tree): pack(tree) for number, tree in enumerate(trees)}
    blessings = [] if old is None else list(old.manifest["blessings"])
    if bless is not None:
        replaces = "" if old is None else old.manifest["sha256"]
        blessings.append({"reason": bless.strip(), "replaces": replaces})
    manifest = {
        "schema": SCHEMA,
        "spec": _describe(spec),
        "pairing": pairing,
        "seed": seed,
        "weights": weights,
        "cases": [case.name for case in cases],
        "environment": {
            name: made[name] for name in sorted(made) if name not in ("jax", "backend")
        },
        "divergences": [_declared(d.to_json()) for d in divergences if d.concerns(spec)],
        "blessings": blessings,
        "files": {name: _sha256(data) for name, data in files.items()},
    }
    manifest["sha256"] = _digest(manifest)
    _write(place, files, manifest)
    return place


def check(
    spec: Spec,
    folder: str | Path,
    *,
    lanes: Sequence[str] | None = None,
    divergences: Iterable[Divergence] = (),
    complete: bool = False,
    quick: bool = False,
    repro: Callable[[Spec, Config, Case, str], str] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """Compares an operator with what [`record`][jraphx_eqx.parity.record] wrote, without PyTorch.

    **Arguments:**

    - `spec`, `lanes`, `divergences`, `complete`, `quick`, `repro`, `progress`: as for
        [`run`][jraphx_eqx.parity.run].
    - `folder`: where the folder of the operator is.

    **Returns:** the `Result`, as `run` gives it.

    **Raises:** `BadReferences` if a file is missing, damaged, or not listed in the manifest, if the
    manifest was edited, or if the spec is not the one that was recorded.
    """
    divergences = list(divergences)
    found = trusted(spec, folder, divergences)
    return run(
        spec,
        found.cases,
        lanes=lanes,
        pairing=found.manifest["pairing"],
        complete=complete,
        quick=quick,
        divergences=divergences,
        source=found,
        repro=repro,
        progress=progress,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class References:
    """What a folder holds of a spec: the manifest, and the trees by names of configuration and
    case."""

    spec: Spec
    manifest: dict[str, Any]
    trees: dict[tuple[str, str], dict[str, Any]]

    @functools.cached_property
    def cases(self) -> list[Case]:
        """The cases, in the order in which they were recorded."""
        found = {name: case_of(tree["case"]) for (_, name), tree in self.trees.items()}
        return [found[name] for name in self.manifest["cases"]]

    @property
    def environment(self) -> dict[str, Any]:
        """Where they come from."""
        recorded = self.manifest["environment"]
        found = {name: value for name, value in recorded.items() if name.startswith("torch")}
        return {**found, f"references of {self.spec.name}": self.manifest["sha256"]}

    def oracle(self, config: Config, case: Case) -> RecordedOracle:
        """The PyTorch side of one configuration and case."""
        return RecordedOracle(self.spec, config, self.trees[_name(config), case.name])

    def problem(self, config: Config, case: Case) -> str | None:
        """Why these references say nothing about a configuration and case, if they do not."""
        tree = self.trees.get((_name(config), case.name))
        if tree is None:
            return "it is not in the references; record them again"
        if case not in self.cases and pack(case_tree(case)) != pack(tree["case"]):
            return "the case has other arrays, tags or capacities than the references"
        return None

    def left(self, compared: Iterable[tuple[Config, Case]]) -> list[str]:
        """What is in these references, but not among these configurations and cases."""
        known = {(_name(config), case.name) for config, case in compared}
        return [f"{case} ({config})" for config, case in self.trees if (config, case) not in known]


def trusted(spec: Spec, folder: str | Path, divergences: Sequence[Divergence]) -> References:
    """The references of an operator.

    **Raises:** `BadReferences` as [`check`][jraphx_eqx.parity.check].
    """
    place = Path(folder) / spec.name
    found, problems = _read(spec, place)
    if found is not None:
        problems += _stale(found, divergences)
    if found is None or problems:
        raise BadReferences(place, problems)
    return found


def _tree(source: Live, config: Config, case: Case, progress: Callable[[], None]) -> dict[str, Any]:
    """All that PyTorch says of one configuration and case."""
    spec = source.spec
    try:
        oracle = source.oracle(config, case)
    except Exception as error:
        raise ValueError(f"{spec.name} ({config.name}) cannot be built") from error
    tree = oracle_tree(oracle, tuple(spec.exact(config)), spec.network)
    progress()
    return {"config": _name(config), "case": case_tree(case), **tree}


@contextmanager
def _one_thread() -> Iterator[None]:
    """The order in which several threads add is not always the same."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _name(config: Config) -> str:
    """The configuration's name without the addresses that functions are shown with."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", config.name)


def _check_names(spec: Spec, cases: Sequence[Case]) -> None:
    found = {"configurations": [_name(c) for c in spec.grid], "cases": [c.name for c in cases]}
    for what, names in found.items():
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not names:
            message = "must exist and have different names"
            raise ValueError(f"{what} to be recorded {message}, got {twice} more than once")


def _describe(spec: Spec) -> dict[str, Any]:
    """All of a spec that its references depend on and that is data."""
    grid = []
    for config in spec.grid:
        decision = spec.decision(config)
        point = {
            "name": _name(config),
            "exact": list(spec.exact(config)),
            "decision": decision and decision.index,
        }
        grid.append(point)
    return {"name": spec.name, "differentiate": list(spec.differentiate), "grid": grid}


def _key(tree: Mapping[str, Any]) -> tuple[str, str]:
    return tree["config"], tree["case"]["name"]


def _file(number: int, tree: Mapping[str, Any]) -> str:
    return f"{number:03d}-{re.sub(r'[^A-Za-z0-9_]+', '-', tree['case']['name'])}.npz"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest(manifest: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    return _sha256(json.dumps(rest, sort_keys=True).encode())


def _write(place: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for old in [*place.glob("*.npz"), place / MANIFEST]:
        old.unlink(missing_ok=True)
    for name, data in files.items():
        (place / name).write_bytes(data)
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    (place / MANIFEST).write_text(text, encoding="utf-8", newline="\n")


def _read(spec: Spec, place: Path) -> tuple[References | None, list[str]]:
    """The references as far as they can be read, and what is wrong with their files."""
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        schema = manifest["schema"]
    except FileNotFoundError:
        return None, [f"{MANIFEST} is missing; write the references with record"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return None, [f"{MANIFEST} cannot be read: {type(error).__name__}: {error}"]
    if schema != SCHEMA:
        return None, [f"{MANIFEST} has schema {schema}, this version reads {SCHEMA}"]
    if manifest.get("sha256") != _digest(manifest):
        return None, [f"{MANIFEST} was edited: its content does not have the sha256 that it says"]
    problems, trees = [], {}
    listed = manifest["files"]
    for path in sorted(place.iterdir()):
        if path.name not in listed and path.name != MANIFEST:
            problems.append(f"{path.name} is not listed in {MANIFEST}")
    for name, expected in listed.items():
        try:
            data = (place / name).read_bytes()
        except OSError:
            problems.append(f"{name} is missing")
            continue
        if _sha256(data) != expected:
            problems.append(f"{name} is damaged: its sha256 is not that in {MANIFEST}")
            continue
        try:
            tree = unpack(data)
            trees[_key(tree)] = tree
        except Exception as error:
            problems.append(f"{name} cannot be read: {type(error).__name__}: {error}")
    return References(spec, manifest, trees), problems


def _declared(divergence: Mapping[str, Any]) -> dict[str, Any]:
    """A divergence without the operators that it also concerns."""
    return {name: value for name, value in divergence.items() if name != "operators"}


def _stale(found: References, divergences: Sequence[Divergence]) -> Iterator[str]:
    """What was recorded otherwise than it would be now."""
    spec, manifest, now = found.spec, found.manifest, _describe(found.spec)
    then = manifest["spec"]
    grids = [{point["name"]: point for point in of["grid"]} for of in (then, now)]
    for name in dict.fromkeys((*grids[0], *grids[1])):
        was, is_now = (grid.get(name) for grid in grids)
        if was is None or is_now is None:
            what = "was never recorded" if was is None else "was recorded but is not in the grid"
            yield f"stale: configuration ({name}) {what}"
        elif was != is_now:
            yield f"stale: configuration ({name}) was recorded with {was}, the spec has {is_now}"
    if grids[0].keys() == grids[1].keys() and list(grids[0]) != list(grids[1]):
        yield "stale: the grid was recorded in another order"
    for name in ("name", "differentiate"):
        if then[name] != now[name]:
            yield f"stale: {name} was recorded as {then[name]}, the spec has {now[name]}"
    runs = [JITTERED_RUNS, MORE_RUNS]
    recorded = manifest["environment"]["jittered_runs"]
    if recorded != runs:
        yield f"stale: noise was recorded over {recorded} runs, it is over {runs} now"
    declared = {d["id"]: _declared(d) for d in manifest["divergences"]}
    for divergence in divergences:
        if divergence.concerns(spec):
            data = json.loads(json.dumps(_declared(divergence.to_json())))
            if declared.get(divergence.id) != data:
                yield f"stale: divergence {divergence.id!r} was not recorded as it is declared now"
    configs = {_name(config): config for config in spec.grid}
    for (name, case), tree in found.trees.items():
        if name in configs:
            inputs = inputs_tree(spec.inputs(case_of(tree["case"]), **configs[name].inputs))
            if pack(inputs) != pack(tree["plain"]["inputs"]):
                yield f"stale: {case} ({name}) was recorded with other inputs than the spec makes"


def _differences(spec: Spec, old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Iterator[str]:
    """What references say and new ones do not, judged as `run` judges ours beside PyTorch's."""
    configs = {_name(config): config for config in spec.grid}
    for key, before in old.items():
        name, where = key[0], f"{key[1]} ({key[0]})"
        if key not in new:
            yield f"{where} would be lost"
            continue
        if pack(before["case"]) != pack(new[key]["case"]):
            yield f"{where}: the case differs"
        for part, lanes in LANES_OF.items():
            if before[part] is None or new[key][part] is None:
                if before[part] is not None:
                    yield f"{where}: the exact lane would be lost"
                continue
            one, other = (RecordedOracle(spec, configs[name], t, part) for t in (before, new[key]))
            for lane in lanes:
                trial = Trial(spec, configs[name], case_of(before["case"]), lane, RunTally())
                yield from (f"{where}, {lane}: {line}" for line in _changes(trial, one, other))


def _changes(trial: Trial, old: RecordedOracle, new: RecordedOracle) -> Iterator[str]:
    for what in ("inputs", "weights"):
        if pack(getattr(old, what)) != pack(getattr(new, what)):
            yield f"the {what} differ"
            return
    errors = [oracle.raised(trial.lane) for oracle in (old, new)]
    if any(errors):
        if errors[0] != errors[1]:
            yield f"PyTorch raised {errors[0]}, now {errors[1]}"
        return
    reference, other = (decided(oracle, trial.lane) for oracle in (old, new))
    for oracle, said in ((old, reference), (new, other)):
        oracle.measure_noise(said, MORE_RUNS)
    if not _same(reference.chosen, other.chosen):
        if LANES[trial.lane].by == "bits" or old.decision is None:
            yield f"the decision was {reference.chosen}, is {other.chosen}"
        else:
            trial.judge(old.decision, reference, other.chosen)
    else:
        yield from _tensor_changes(trial, reference, other)
    yield from (f"{r.tensor}: {r.message}" for r in trial.records if r.verdict == FAIL)


def _same(one: Chosen, other: Chosen) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def _tensor_changes(trial: Trial, old: Reference, new: Reference) -> Iterator[str]:
    ids = [{str(tensor): rows for tensor, rows in said.ids.items()} for said in (old, new)]
    for what, said in (("cotangents", (old.cotangents, new.cotangents)), ("ids", ids)):
        if pack(said[0]) != pack(said[1]):
            yield f"the {what} differ"
            return
    for tensor in sorted({*old.arrays, *new.arrays}):
        ref, ids, tau = old.arrays.get(tensor), old.ids.get(tensor), old.noise.of(tensor, "f64")
        record = trial.record(tensor, kind_of(tensor, ref))
        record.lane = "f64"  # All references are in float64.
        compare(record, new.arrays.get(tensor), ref, ids=ids, tau=tau)
        grown = new.noise.of(tensor, "f64")
        if ref is None or tau is None or grown is None or len(tau) != len(grown):
            continue
        finite = np.where(np.isfinite(ref), np.abs(ref), 0.0)
        limit = tolerance(Blocks(ref.shape, ids).max(finite), tau, "f32")
        if np.any(grown > limit):
            yield f"{tensor}: the noise is {grown.max():.2e}, {tau.max():.2e} was recorded"
