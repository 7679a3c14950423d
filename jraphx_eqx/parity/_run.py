import functools
import importlib.metadata
import importlib.util
import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import jax
import numpy as np

from ._candidate import Candidate
from ._case import Case
from ._compare import compare, is_vacuous
from ._decisions import judge_groups, near_cut, rank
from ._oracle import Oracle, Reference
from ._record import DECLARED, FAIL, MISTRUSTED, NOT_VERIFIED, Record, Result
from ._spec import Config, Divergence, Spec
from ._tolerance import JITTERED_RUNS, MORE_RUNS, SAFETY, Blocks, decision_margin
from ._torch import state_arrays
from ._weights import WeightMismatch

LANES = ("f64", "f32")


def run(
    spec: Spec,
    cases: Sequence[Case],
    *,
    lanes: Sequence[str] = LANES,
    pairing: Literal["product", "rotate"] = "product",
    seed: int = 0,
    weights: Literal["draw", "keep"] = "draw",
    force: bool = False,
    divergences: Iterable[Divergence] = (),
    repro: Callable[[Spec, Config, Case, str], str] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """Compares an operator with its PyTorch original.

    For every configuration, case and lane: decisions are compared by their margin, then values,
    index structure and gradients with the same decision on both sides.

    **Arguments:**

    - `spec`, `cases`: what is compared, on what.
    - `lanes`: `"f64"` and `"f32"`. The second runs without JAX's 64-bit mode, as users do.
    - `pairing`: `"product"`: every configuration on every case; `"rotate"`: each case with the next
        configuration in turn, and each configuration at least once.
    - `seed`: of weights, cotangents and jitter.
    - `weights`: `"draw"` random ones, or `"keep"` those of the PyTorch module.
    - `force`: hand PyG's decision to the Equinox side always, and not only where its own differs.
    - `divergences`: the declared ones.
    - `repro`: the command that repeats one comparison, for reports.
    - `progress`: called after each case.

    **Returns:** the `Result`. Its `exit_code` is 0 only if everything was compared and agrees.
    """
    unknown = set(lanes) - set(LANES)
    if unknown:
        raise ValueError(f"lanes must be among {LANES}, got {sorted(unknown)}")
    mine = [divergence for divergence in divergences if spec.name in divergence.operators]
    result = Result([], environment())
    vacuous: dict[tuple[str, str], list[bool]] = {}
    built: dict[int, tuple[Any, Any]] = {}
    for config, case in pairs(spec, cases, pairing):
        if id(config) not in built:
            built[id(config)] = spec.pyg(**config.options), spec.eqx(**config.options)
        pyg, module = built[id(config)]
        kept = state_arrays(pyg) if weights == "keep" else None
        oracle = functools.cache(functools.partial(Oracle, spec, config, case, seed, pyg, kept))
        for lane in lanes:
            trial = _Trial(spec, config, case, lane, repro)
            trial.guard(oracle, module, force, vacuous)
            for record in trial.records:
                _declare(record, mine, config, case)
            result.records += trial.records
        progress()
    result.records += _vacuity(spec, vacuous)
    if not result.records:
        result.records.append(_missing(spec, "no case was run"))
    return result


def pairs(
    spec: Spec, cases: Sequence[Case], pairing: Literal["product", "rotate"]
) -> list[tuple[Config, Case]]:
    """The configurations and cases that `run` puts together."""
    if pairing == "product":
        return [(config, case) for config in spec.grid for case in cases]
    if not cases:
        return []
    turns = range(max(len(cases), len(spec.grid)))
    return [(spec.grid[turn % len(spec.grid)], cases[turn % len(cases)]) for turn in turns]


def environment() -> dict[str, Any]:
    """Versions and settings that a result depends on."""
    import torch

    found = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "backend": jax.default_backend(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "jittered_runs": [JITTERED_RUNS, MORE_RUNS],
        "safety": SAFETY,
    }
    if importlib.util.find_spec("torch_geometric"):
        found["torch_geometric"] = importlib.metadata.version("torch_geometric")
    return found


class _Trial:
    """One configuration, case and lane."""

    def __init__(self, spec, config, case, lane, repro):
        self.spec, self.config, self.case, self.lane = spec, config, case, lane
        self.repro = "" if repro is None else repro(spec, config, case, lane)
        self.records: list[Record] = []

    def record(self, tensor: str, kind: Any, **values: Any) -> Record:
        record = Record(
            self.spec.name, self.config.name, self.case.name, self.lane, tensor, kind, **values
        )
        record.repro = self.repro
        self.records.append(record)
        return record

    def guard(self, make_oracle, module, force, vacuous) -> None:
        """Runs the trial; an exception becomes a record, so that the others still run."""
        try:
            oracle = make_oracle()
            chosen = oracle.decide(self.lane)
            reference = oracle.reference(chosen)
        except Exception as error:
            message = f"PyTorch raised {_first_lines(error)}"
            self.record("*", "run", verdict=NOT_VERIFIED, message=message)
            return
        try:
            at = (self.spec, self.config, self.case, module, oracle.inputs, oracle.weights)
            candidate = Candidate(*at, self.lane)
            self._compare(oracle, candidate, reference, chosen, force, vacuous)
        except WeightMismatch as error:
            self.record("weights", "weights", verdict=FAIL, message=str(error))
        except Exception as error:
            message = f"ours raised {_first_lines(error)}"
            self.record("*", "run", verdict=FAIL, message=message)

    def _compare(self, oracle, candidate, reference, chosen, force, vacuous) -> None:
        self.record("weights", "weights", message=f"{len(oracle.weights)} weights matched")
        found = candidate.run(None, reference.cotangents)
        if chosen is not None:
            own = found[f"out.{oracle.decision.index}"]
            self._decide(oracle, candidate, reference, chosen, own)
            if force or not np.array_equal(own, chosen):
                found = candidate.run(chosen, reference.cotangents)
        before = len(self.records)
        self._tensors(reference, found)
        if any(r.verdict == FAIL and np.isfinite(r.ratio) for r in self.records[before:]):
            del self.records[before:]
            oracle.listen(reference, MORE_RUNS)
            self._tensors(reference, found)
        for record in self.records[before:]:
            if record.tensor in reference.arrays:
                vacuum = is_vacuous(reference.arrays[record.tensor])
                vacuous.setdefault((self.lane, record.tensor), []).append(vacuum)

    def _tensors(self, reference: Reference, found) -> None:
        names = {name for name in reference.arrays if name[:4] == "out." or name[:2] == "d."}
        ours = {name for name in found if name[:5] != "leak."}
        for name in sorted(ours - names):
            self.record(name, "structure", verdict=FAIL, message="PyTorch has no such tensor")
        for name in sorted(names):
            ref = reference.arrays[name]
            record = self.record(name, _kind(name, ref))
            if name not in found:
                record.verdict, record.message = FAIL, "ours has no such tensor"
                continue
            noise = reference.noise
            at = {"ids": reference.ids.get(name)}
            at.update(tau=noise.tau.get(name), rms=noise.rms.get(name))
            compare(record, found[name], ref, **at)
            if name in reference.unused:
                record.flags.append("NO TORCH GRADIENT")
        for name in sorted(set(found) - ours):
            leaks = int(np.count_nonzero(found[name]))
            record = self.record(name, "structure")
            if leaks:
                record.verdict, record.message = FAIL, f"{leaks} gradients of padding are not 0"

    def _decide(self, oracle: Oracle, candidate: Candidate, reference, chosen, own) -> None:
        decision = oracle.decision
        assert decision is not None
        groups = np.asarray(oracle.inputs[decision.groups])
        scores = reference.arrays["scores"]
        blocks = Blocks(scores.shape, groups)
        scale = blocks.max(np.abs(np.nan_to_num(scores)))
        deltas = decision_margin(scale, reference.noise.tau["scores"], self.lane)
        limits = None if decision.threshold is None else decision.threshold(scores, groups)
        judgement = judge_groups(decision.kind, own, chosen, groups, scores, deltas, limits)
        record = self.record(decision.index, "decision", decisions=judgement.counts)
        record.gap_delta = judgement.gap
        if "FAIL" in judgement.counts:
            record.verdict, record.message = FAIL, judgement.message
        elif decision.kind == "topk" and not decision.ties and "ties" not in self.case.tags:
            close = near_cut(chosen, groups, scores, deltas)
            if close > 0.05:
                message = f"{close:.0%} of the rows are within rounding of the cut"
                record.verdict, record.message = MISTRUSTED, message
        self._select(oracle, candidate, chosen, groups)

    def _select(self, oracle: Oracle, candidate: Candidate, chosen, groups) -> None:
        """For given scores there is one right selection: PyG's scores, then our own."""
        decision = oracle.decision
        assert decision is not None
        theirs, ours = oracle.scores(self.lane), candidate.scores()
        self._same("select(PyG's scores)", candidate.select(theirs), chosen)
        if decision.kind == "topk":
            kept = np.bincount(groups[chosen], minlength=groups.max(initial=0) + 1)
            expected = rank(ours, groups, kept)
        else:
            assert decision.threshold is not None
            expected = np.flatnonzero(ours > decision.threshold(ours, groups))
        self._same("select(own scores)", candidate.select(ours), expected)

    def _same(self, what: str, found: np.ndarray, expected: np.ndarray) -> None:
        record = self.record(what, "decision")
        if not np.array_equal(found, expected):
            record.verdict = FAIL
            record.message = f"{found[:8]}... of {len(found)}, expected {expected[:8]}..." + (
                f" of {len(expected)}"
            )


def _kind(name: str, ref: Any) -> str:
    if name[:2] == "d.":
        return "gradient"
    return "value" if ref is not None and ref.dtype.kind == "f" else "structure"


def _declare(record: Record, divergences, config: Config, case: Case) -> None:
    if record.verdict not in (FAIL, NOT_VERIFIED):
        return
    for divergence in divergences:
        if divergence.covers(case, config, record.lane, record.tensor):
            record.verdict, record.divergence = DECLARED, divergence.id
            return


def _vacuity(spec: Spec, vacuous: dict[tuple[str, str], list[bool]]) -> list[Record]:
    """A tensor that was zero or constant in every case was not really compared."""
    records = []
    for (lane, tensor), cases in sorted(vacuous.items()):
        if not all(cases) or spec.expect_zero(tensor) or "|" in tensor:
            continue
        message = f"empty, zero or constant in all {len(cases)} cases"
        records.append(
            Record(spec.name, "", "", lane, tensor, "run", verdict=MISTRUSTED, message=message)
        )
    return records


def _first_lines(error: Exception) -> str:
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:300]


def _missing(spec: Spec, message: str) -> Record:
    return Record(spec.name, "", "", "", "*", "run", verdict=NOT_VERIFIED, message=message)
