"""What is compared in each lane."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ._candidate import Candidate
from ._compare import compare, compare_bits, is_vacuous
from ._metamorphic import compare_moves
from ._oracle import AbstractOracle, Reference
from ._record import FAIL, NOT_VERIFIED, UNJUDGED, UNUSED, ZERO
from ._tolerance import MORE_RUNS
from ._trial import Trial, first_lines, kind_of
from ._weights import WeightMismatch, leaves, with_moved


def run_trial(
    trial: Trial, make_oracle: Callable[[], AbstractOracle], make_module: Callable[[], Any]
) -> None:
    """Runs a trial; an exception becomes a record, so that the others still run."""
    if trial.lane == "exact" and not trial.spec.exact(trial.config):
        return
    try:
        oracle = make_oracle()
        trial.note_classes(oracle.inputs)
        if trial.lane == "exact":
            oracle = oracle.dyadic()
        chosen = tuple(choice.rows for choice in oracle.decide(trial.lane))
        reference = oracle.reference(chosen)
    except Exception as error:
        message = f"PyTorch raised {first_lines(error)}"
        trial.record("*", "run", verdict=NOT_VERIFIED, message=message)
        return
    try:
        module = make_module()
        candidate = trial.candidate(module, oracle.inputs, _held(module, oracle))
        trial.record("weights", "weights", message=f"{len(oracle.weights)} weights matched")
        LANES[trial.lane](trial, module, oracle, candidate, reference)
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
    for name in trial.spec.exact(trial.config):
        ref, low = reference.arrays.get(name), reference.low.get(name)
        record = trial.record(name, kind_of(name, ref))
        if name not in found or ref is None or low is None:
            record.verdict, record.message = FAIL, "not a tensor of both sides"
            continue
        exact = np.asarray(ref == low)
        compare_bits(record, found[name], ref, exact)
        trial.tally.note_vacuous(trial.lane, name, not np.any(exact & (ref != 0)))


def _compare_within_noise(
    trial: Trial, module: Any, oracle: AbstractOracle, candidate: Candidate, reference: Reference
) -> None:
    decision, chosen = oracle.decision, reference.chosen
    found = candidate.run(chosen, reference.cotangents)
    if trial.lane == "f32":
        trial.properties(candidate)
    if decision is not None:
        trial.judge(decision, reference, candidate.own)
        if decision.select_eqx is not None and chosen:
            # The scores of the lane, not those of the reference.
            trial.select(decision, oracle.decide(trial.lane)[0], candidate)
    alone = {}
    if trial.lane == "f32":  # As users run it for inference; in float64 it would show nothing more.
        alone = candidate.values(chosen)
        if decision is not None:
            trial.judge(decision, reference, candidate.own, "without gradients: ")
    before = len(trial.records)
    trial.tensors(reference, found, alone)
    if any(r.verdict == FAIL and np.isfinite(r.ratio) for r in trial.records[before:]):
        del trial.records[before:]
        oracle.measure_noise(reference, MORE_RUNS)
        trial.tensors(reference, found, alone)
    for record in trial.records[before:]:
        name = record.tensor
        if name in reference.arrays:
            if not (record.verdict == UNJUDGED and {UNUSED, ZERO} & set(record.flags)):
                says_nothing = record.verdict == UNJUDGED or is_vacuous(
                    reference.arrays[name], trial.spec.network
                )
                trial.tally.note_vacuous(trial.lane, name, says_nothing)
            trial.profile(record, found.get(name), reference)
    if trial.spec.network and oracle.buffers:
        _move_buffers(trial, module, oracle)


def _move_buffers(trial: Trial, module: Any, oracle: AbstractOracle) -> None:
    """Compares the outputs for other running statistics and other buffers, since what has no
    gradient, and a value that changes nothing, would be seen by nothing else."""
    other = oracle.moved(with_moved(oracle.weights, oracle.buffers))
    reference = other.reference(tuple(choice.rows for choice in other.decide(trial.lane)))
    candidate = trial.candidate(module, other.inputs, _held(module, other))
    found = candidate.run(reference.chosen, {})
    for name, ours in found.items():
        ref, noise = reference.arrays.get(name), reference.noise.of(name, trial.lane)
        record = trial.record(f"buffers moved: {name}", kind_of(name, ref))
        compare(record, ours, ref, ids=reference.ids.get(name), tau=noise)
        trial.tally.note_vacuous(trial.lane, record.tensor, record.verdict == UNJUDGED)


LANES: dict[str, Callable[..., None]] = {
    "exact": _compare_exactly,
    "f64": _compare_within_noise,
    "f32": _compare_within_noise,
    "metamorphic": compare_moves,
}
