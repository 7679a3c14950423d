from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ._candidate import Candidate
from ._case import Case
from ._compare import compare, compare_bits, is_vacuous
from ._decisions import judge_groups, near_cut, rank
from ._oracle import SCORES, AbstractOracle, Reference
from ._profile import Profiler
from ._record import FAIL, MISTRUSTED, NOT_VERIFIED, PASS, Record
from ._spec import Config, Decision, Spec
from ._tolerance import MORE_RUNS, Blocks, decision_margin
from ._weights import WeightMismatch

NAMES = ("operator", "config", "case", "lane", "tensor", "kind")


# For each lane and tensor, which of its comparisons said nothing.
Vacuous = dict[tuple[str, str], list[bool]]


class Book:
    """What the trials of one run find out together; `vacuous` may go on from another run."""

    def __init__(self, vacuous: Vacuous | None = None):
        self.vacuous: Vacuous = {} if vacuous is None else vacuous
        self.profilers: dict[tuple[str, str], Profiler] = {}
        self.classes: set[str] = set()

    def vacuum(self, lane: str, tensor: str, vacuous: bool) -> None:
        """Notes whether one comparison of a tensor says anything."""
        self.vacuous.setdefault((lane, tensor), []).append(vacuous)

    def profiler(self, operator: str, lane: str, tensor: str) -> Profiler:
        """The profiler of a tensor."""
        key = lane, tensor
        if key not in self.profilers:
            self.profilers[key] = Profiler(operator, lane, tensor)
        return self.profilers[key]


class Trial:
    """One configuration, case and lane."""

    def __init__(
        self,
        spec: Spec,
        config: Config,
        case: Case,
        lane: str,
        book: Book,
        repro: str = "",
        watch: Callable[[Mapping[str, np.ndarray | None]], None] = lambda found: None,
        quick: bool = False,
    ):
        self.spec, self.config, self.case, self.lane = spec, config, case, lane
        self.book, self.repro, self.watch, self.quick = book, repro, watch, quick
        self.records: list[Record] = []

    def record(self, tensor: str, kind: Any, **values: Any) -> Record:
        """Adds a record of this trial."""
        record = Record(
            self.spec.name, self.config.name, self.case.name, self.lane, tensor, kind, **values
        )
        record.repro = self.repro
        self.records.append(record)
        return record

    def guard(self, make_oracle, make_module, force: bool) -> None:
        """Runs the trial; an exception becomes a record, so that the others still run."""
        if self.lane == "exact" and not self.spec.exact(self.config):
            return
        try:
            oracle = make_oracle()
            self._note_classes(oracle.inputs)
            if self.lane == "exact":
                oracle = oracle.dyadic()
            chosen = oracle.decide(self.lane)
            reference = oracle.reference(chosen)
        except Exception as error:
            message = f"PyTorch raised {first_lines(error)}"
            self.record("*", "run", verdict=NOT_VERIFIED, message=message)
            return
        try:
            module = make_module()
            candidate = self.candidate(module, oracle.inputs, oracle.weights)
            self.record("weights", "weights", message=f"{len(oracle.weights)} weights matched")
            if self.lane == "exact":
                self._compare_bits(candidate, reference)
            elif self.lane == "metamorphic":
                from ._metamorphic import compare_moves

                compare_moves(self, module, oracle, candidate, reference)
            else:
                self._compare(oracle, candidate, reference, force)
        except WeightMismatch as error:
            self.record("weights", "weights", verdict=FAIL, message=str(error))
        except Exception as error:
            message = f"ours raised {first_lines(error)}"
            self.record("*", "run", verdict=FAIL, message=message)

    def _note_classes(self, inputs) -> None:
        classes = self.spec.input_classes.items()
        self.book.classes |= {name for name, occurs in classes if occurs(inputs)}

    def candidate(self, module: Any, inputs, weights, case: Case | None = None) -> Candidate:
        """The Equinox side for these inputs; `case` has another capacity, if given."""
        case = self.case if case is None else case
        at = (self.spec, self.config, case, module, inputs, weights, self.lane)
        return Candidate(*at, self.watch, self.quick)

    def _compare_bits(self, candidate: Candidate, reference: Reference) -> None:
        found = candidate.run(reference.chosen, reference.cotangents)
        for name in self.spec.exact(self.config):
            ref, low = reference.arrays.get(name), reference.low.get(name)
            record = self.record(name, kind_of(name, ref))
            if name not in found or ref is None or low is None:
                record.verdict, record.message = FAIL, "not a tensor of both sides"
                continue
            exact = np.asarray(ref == low)
            compare_bits(record, found[name], ref, exact)
            self.book.vacuum(self.lane, name, not np.any(exact & (ref != 0)))

    def _compare(
        self, oracle: AbstractOracle, candidate: Candidate, reference: Reference, force: bool
    ) -> None:
        chosen = reference.chosen
        found = candidate.run(None, reference.cotangents)
        if self.lane == "f32":
            self._properties(candidate)
        if chosen is not None:
            assert oracle.decision is not None
            index = f"out.{oracle.decision.index}"
            own = found[index]
            assert own is not None
            self.judge(oracle, reference, own)
            if self.lane == "f32":  # As users run it for inference; it is compiled otherwise.
                inferred = candidate.values(None)[index]
                assert inferred is not None
                self.judge(oracle, reference, inferred, "without gradients: ")
            self._select(oracle, candidate, chosen)
            # A GPU adds in any order, so its next call may choose otherwise where scores tie.
            unsure = jax.default_backend() != "cpu"
            if force or unsure or not np.array_equal(own, chosen):
                found = candidate.run(chosen, reference.cotangents)
        # As users run it; in float64 it would show nothing more.
        alone = candidate.values(chosen) if self.lane == "f32" else {}
        before = len(self.records)
        self._tensors(reference, found, alone)
        if any(r.verdict == FAIL and np.isfinite(r.ratio) for r in self.records[before:]):
            del self.records[before:]
            oracle.listen(reference, MORE_RUNS)
            self._tensors(reference, found, alone)
        for record in self.records[before:]:
            name = record.tensor
            if name in reference.arrays:
                self.book.vacuum(self.lane, name, is_vacuous(reference.arrays[name]))
                self._profile(record, found.get(name), reference)

    def _properties(self, candidate: Candidate) -> None:
        for name, problem in candidate.problems().items():
            record = self.record(name, "structure")
            if problem is not None:
                record.verdict, record.message = FAIL, problem

    def _profile(self, record: Record, ours: Any, reference: Reference) -> None:
        name = record.tensor
        ref, noise = reference.arrays[name], reference.noise
        if ours is None or ref is None or ref.dtype.kind != "f" or ours.shape != ref.shape:
            return
        at = (reference.low.get(name), reference.ids.get(name), noise.of(name, self.lane))
        profiler = self.book.profiler(self.spec.name, self.lane, name)
        profiler.add(ours, ref, *at, record.kind)

    def _tensors(self, reference: Reference, found, alone) -> None:
        """Records every tensor; of an output that is in `alone` too, the worse of the two."""
        names = {name for name in reference.arrays if name[:4] == "out." or name[:2] == "d."}
        ours = {name for name in found if name[:5] != "leak."}
        for name in sorted(ours - names):
            self.record(name, "structure", verdict=FAIL, message="PyTorch has no such tensor")
        for name in sorted(names):
            ref = reference.arrays[name]
            record = self.record(name, kind_of(name, ref))
            if name not in found:
                record.verdict, record.message = FAIL, "ours has no such tensor"
                continue
            noise = reference.noise
            at = {"ids": reference.ids.get(name)}
            at.update(tau=noise.of(name, self.lane), rms=noise.rms.get(name))
            compare(record, found[name], ref, **at)
            if name in alone and record.verdict == PASS:
                self._alone(record, alone[name], ref, at)
            if name in reference.unused:
                record.flags.append("NO TORCH GRADIENT")
        for name in sorted(set(found) - ours):
            leaks = int(np.count_nonzero(found[name]))
            record = self.record(name, "structure")
            if leaks:
                record.verdict, record.message = FAIL, f"{leaks} gradients of padding are not 0"

    def _alone(self, record: Record, ours, ref, at) -> None:
        """Puts the comparison of an output without gradients in the place of a better one."""
        other = Record(*(getattr(record, name) for name in NAMES), repro=record.repro)
        # The limit of root mean squares was fitted to programs with gradients.
        compare(other, ours, ref, **{**at, "rms": None})
        if other.verdict != PASS:
            other.message = f"computed without gradients: {other.message}"
        if other.verdict != PASS or other.ratio > record.ratio:
            self.records[-1] = other

    def judge(
        self, oracle: AbstractOracle, reference: Reference, own: np.ndarray, name: str = ""
    ) -> None:
        """Records how a decision compares with the reference's."""
        decision, chosen = oracle.decision, reference.chosen
        assert decision is not None and chosen is not None
        groups = np.asarray(oracle.inputs[decision.groups])
        scores = reference.arrays[SCORES]
        assert scores is not None
        scale = Blocks(scores.shape, groups).max(np.abs(np.nan_to_num(scores)))
        deltas = decision_margin(scale, reference.noise.tau[SCORES], self.lane)
        limits = None if decision.threshold is None else decision.threshold(scores, groups)
        judgement = judge_groups(decision.kind, own, chosen, groups, scores, deltas, limits)
        record = self.record(name + decision.index, "decision", decisions=judgement.counts)
        record.gap_delta, record.near_ties = judgement.gap, judgement.pairs
        if "FAIL" in judgement.counts:
            record.verdict, record.message = FAIL, judgement.message
        elif self._is_symmetric(decision):
            if set(judgement.counts) - {"EXACT"}:
                message = "scores that are equal by symmetry are not equal here, to the last bit"
                record.verdict, record.message = FAIL, message
        elif decision.kind == "topk" and not decision.ties and "ties" not in self.case.tags:
            close = np.asarray(near_cut(chosen, groups, scores, deltas)) > 0.05
            if np.sum(close) > len(close) / 2:
                message = f"in {np.sum(close)} of {len(close)} groups the cut is within rounding"
                record.verdict, record.message = MISTRUSTED, message

    def _is_symmetric(self, decision: Decision) -> bool:
        """Whether the choice must be the same. Among permuted nodes another one comes first."""
        return decision.symmetric and "symmetric" in self.case.tags and self.lane != "metamorphic"

    def _select(self, oracle: AbstractOracle, candidate: Candidate, chosen: np.ndarray) -> None:
        """For given scores there is one right selection: PyG's scores, then our own."""
        decision = oracle.decision
        assert decision is not None
        groups = np.asarray(oracle.inputs[decision.groups])
        theirs, ours = oracle.scores(self.lane), candidate.scores()
        self._same("select(PyG's scores)", candidate.select(theirs), chosen)
        kept = np.bincount(groups[chosen], minlength=groups.max(initial=0) + 1)
        given = {"own": ours}
        if decision.harder is not None:
            given["harder"] = decision.harder(theirs, groups)
        for whose, scores in given.items():
            if decision.kind == "topk":
                expected = rank(scores, groups, kept)
            else:
                assert decision.threshold is not None
                expected = np.flatnonzero(scores > decision.threshold(scores, groups))
            self._same(f"select({whose} scores)", candidate.select(scores), expected)

    def _same(self, what: str, found: np.ndarray, expected: np.ndarray) -> None:
        record = self.record(what, "decision")
        if not np.array_equal(found, expected):
            record.verdict = FAIL
            record.message = f"{found[:8]}... of {len(found)}, expected {expected[:8]}..." + (
                f" of {len(expected)}"
            )


def first_lines(error: Exception) -> str:
    """An exception in at most 300 characters."""
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:300]


def kind_of(name: str, ref: Any) -> str:
    """The kind of record for a tensor of this name."""
    if name[:2] == "d.":
        return "gradient"
    return "value" if ref is not None and ref.dtype.kind == "f" else "structure"
