"""Where comparisons are made: of one operator with one source of references."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from ._candidate import Candidate
from ._case import Case
from ._compare import compare, compare_bits, is_vacuous
from ._decisions import AbstractChoice
from ._environment import environment, is_torch_here, torch_environment
from ._lanes import LANES
from ._metamorphic import compare_moves
from ._oracle import AbstractOracle, Arrays, Oracle, Reference, decided
from ._record import Record, Result
from ._spec import Config, Decision, Divergence, Spec
from ._tensor import Tensor
from ._tolerance import MORE_RUNS
from ._torch import state_arrays
from ._trial import RunTally, Trial, first_lines, kind_of
from ._weights import WeightMismatch, leaves, with_moved
from .verdicts import DECLARED, FAIL, NOT_VERIFIED, PASS, UNJUDGED, UNUSED, ZERO


class Source(Protocol):
    """Where the PyTorch side comes from, and, if there is none, why."""

    @property
    def environment(self) -> Mapping[str, Any]: ...
    def problem(self, config: Config, case: Case) -> str | None: ...
    def oracle(self, config: Config, case: Case) -> AbstractOracle: ...


class Live:
    """PyTorch itself. Its modules are built once for each configuration.

    **Arguments:**

    - `spec`: what is compared.
    - `seed`, `weights`: as for [`run`][jraphx_eqx.parity.run].
    """

    def __init__(self, spec: Spec, seed: int = 0, weights: Literal["draw", "keep"] = "draw"):
        self.spec, self.seed, self.weights = spec, seed, weights
        self._module = functools.cache(lambda config: spec.pyg(**config.options))

    @property
    def environment(self) -> Mapping[str, Any]:
        """Versions and settings of PyTorch, if it is installed."""
        return torch_environment() if is_torch_here() else {}

    def problem(self, config: Config, case: Case) -> str | None:
        """Whether PyTorch is missing."""
        return None if is_torch_here() else "PyTorch is not installed, and no references are given"

    def oracle(self, config: Config, case: Case) -> AbstractOracle:
        """PyTorch for one configuration and case."""
        module = self._module(config)
        kept = state_arrays(module) if self.weights == "keep" else None
        return Oracle(self.spec, config, case, self.seed, module, kept)


class Session:
    """Makes the comparisons of one operator, whoever asks for them.

    **Arguments:**

    - `spec`: what is compared.
    - `source`: what with.
    - `divergences`: the declared ones.
    - `quick`: as for [`run`][jraphx_eqx.parity.run].
    - `remember`: of how many configurations and cases the PyTorch side is kept; `None` for all.
    """

    def __init__(
        self,
        spec: Spec,
        source: Source,
        divergences: Iterable[Divergence] = (),
        *,
        quick: bool = False,
        remember: int | None = 1,
    ):
        self.spec, self.source, self.quick = spec, source, quick
        self.divergences = [d for d in divergences if d.concerns(spec)]
        self.oracle = functools.lru_cache(remember)(source.oracle)
        self.module = functools.cache(lambda config: spec.eqx(**config.options))

    @functools.cached_property
    def environment(self) -> dict[str, Any]:
        """Versions and settings of both sides."""
        return {**environment(), **self.source.environment}

    def result(self, records: Sequence[Record] = ()) -> Result:
        """These records with what they were made of."""
        declared = [divergence.to_json() for divergence in self.divergences]
        return Result(list(records), dict(self.environment), divergences=declared)

    def compare(
        self,
        config: Config,
        case: Case,
        lane: str,
        tally: RunTally,
        *,
        repro: str = "",
        watch: Callable[[Arrays], None] = lambda found: None,
    ) -> list[Record]:
        """Makes one comparison. The arguments are those of a `Trial`."""
        trial = Trial(self.spec, config, case, lane, tally, repro, watch, self.quick)
        problem = self.source.problem(config, case)
        if problem is not None:
            trial.record("*", "run", verdict=NOT_VERIFIED, message=problem)
            return trial.records
        if LANES[lane].by != "bits" or self.spec.exact(config):
            self._run(trial)
        for record in trial.records:
            if record.verdict in (FAIL, NOT_VERIFIED):
                for divergence in self.divergences:
                    if divergence.covers(case, config, lane, record.tensor):
                        record.verdict, record.divergence = DECLARED, divergence.id
                        break
        return trial.records

    def _run(self, trial: Trial) -> None:
        """Runs a trial; an exception becomes a record, so that the others still run."""
        try:
            oracle = self.oracle(trial.config, trial.case)
            classes = self.spec.input_classes.items()
            trial.tally.classes |= {name for name, occurs in classes if occurs(oracle.inputs)}
            if LANES[trial.lane].by == "bits":
                oracle = oracle.dyadic()
            reference = decided(oracle, trial.lane)
        except Exception as error:
            message = f"PyTorch raised {first_lines(error)}"
            trial.record("*", "run", verdict=NOT_VERIFIED, message=message)
            return
        try:
            module = self.module(trial.config)
            weights = _held(module, oracle)
            candidate = Candidate(trial, module, oracle.inputs, weights)
            trial.record("weights", "weights", message=f"{len(oracle.weights)} weights matched")
            _BY[LANES[trial.lane].by](trial, module, oracle, candidate, reference)
        except WeightMismatch as error:
            trial.record("weights", "weights", verdict=FAIL, message=str(error))
        except Exception as error:
            message = f"ours raised {first_lines(error)}"
            trial.record("*", "run", verdict=FAIL, message=message)


def _held(module: Any, oracle: AbstractOracle) -> dict[str, np.ndarray]:
    """The weights without those further names of the same one that ours does not have."""
    ours = leaves(module)
    weights = oracle.weights.items()
    return {name: w for name, w in weights if name not in oracle.tied or name in ours}


def _compare_exactly(
    trial: Trial, module: Any, oracle: AbstractOracle, candidate: Candidate, reference: Reference
) -> None:
    found = candidate.run(reference.chosen, reference.cotangents)
    for tensor in map(Tensor.parse, trial.spec.exact(trial.config)):
        ref, low = reference.arrays.get(tensor), reference.low.get(tensor)
        record = trial.record(tensor, kind_of(tensor, ref))
        if tensor not in found or ref is None or low is None:
            record.verdict, record.message = FAIL, "not a tensor of both sides"
            continue
        exact = np.asarray(ref == low)
        compare_bits(record, found[tensor], ref, exact)
        trial.tally.note_vacuous(trial.lane, tensor, not np.any(exact & (ref != 0)))


def _compare_within_noise(
    trial: Trial, module: Any, oracle: AbstractOracle, candidate: Candidate, reference: Reference
) -> None:
    decision, chosen = oracle.decision, reference.chosen
    found = candidate.run(chosen, reference.cotangents)
    as_users = LANES[trial.lane].as_users
    if as_users:
        for name, problem in candidate.problems().items():
            verdict = PASS if problem is None else FAIL
            trial.record(name, "structure", verdict=verdict, message=problem or "")
    if decision is not None:
        trial.judge(decision, reference, candidate.own)
        if decision.select_eqx is not None and chosen:
            # The scores of the lane, not those of the reference.
            _compare_selections(trial, decision, oracle.decide(trial.lane)[0], candidate)
    alone = {}
    if as_users:  # As users run it for inference; in float64 it would show nothing more.
        alone = candidate.values(chosen)
        if decision is not None:
            trial.judge(decision, reference, candidate.own, "without gradients")
    before = len(trial.records)
    trial.tensors(reference, found, alone)
    if any(r.verdict == FAIL and np.isfinite(r.ratio) for r in trial.records[before:]):
        del trial.records[before:]
        oracle.measure_noise(reference, MORE_RUNS)
        trial.tensors(reference, found, alone)
    for record in trial.records[before:]:
        tensor, unjudged = Tensor.parse(record.tensor), record.verdict == UNJUDGED
        if tensor in reference.arrays:
            if not (unjudged and {UNUSED, ZERO} & set(record.flags)):
                vacuous = unjudged or is_vacuous(reference.arrays[tensor], trial.spec.network)
                trial.tally.note_vacuous(trial.lane, tensor, vacuous)
            trial.profile(tensor, record.kind, found.get(tensor), reference)
    if trial.spec.network and oracle.buffers:
        _move_buffers(trial, module, oracle)


def _compare_selections(
    trial: Trial, decision: Decision, theirs: AbstractChoice, candidate: Candidate
) -> None:
    """Records that there is one right selection for given scores: PyG's, then our own."""
    given = {"own": candidate.scores(theirs)}
    if decision.harder is not None:
        given["harder"] = decision.harder(theirs)
    trial.same("select(PyG's scores)", candidate.select(theirs, theirs.scores), theirs.rows)
    for whose, scores in given.items():
        expected = theirs.expected(scores)
        trial.same(f"select({whose} scores)", candidate.select(theirs, scores), expected)


def _move_buffers(trial: Trial, module: Any, oracle: AbstractOracle) -> None:
    """Compares the outputs for other running statistics and other buffers, since what has no
    gradient, and a value that changes nothing, would be seen by nothing else."""
    other = oracle.moved(with_moved(oracle.weights, oracle.buffers))
    reference = decided(other, trial.lane)
    candidate = Candidate(trial, module, other.inputs, _held(module, other))
    found = candidate.run(reference.chosen, {})
    for tensor, ours in found.items():
        ref, noise = reference.arrays.get(tensor), reference.noise.of(tensor, trial.lane)
        moved = dataclasses.replace(tensor, move="buffers moved")
        record = trial.record(moved, kind_of(tensor, ref))
        compare(record, ours, ref, ids=reference.ids.get(tensor), tau=noise)
        trial.tally.note_vacuous(trial.lane, moved, record.verdict == UNJUDGED)


_BY: dict[str, Callable[..., None]] = {
    "bits": _compare_exactly,
    "noise": _compare_within_noise,
    "moves": compare_moves,
}
