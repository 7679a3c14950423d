from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ._case import Case
from ._compare import compare
from ._decisions import AbstractChoice
from ._lanes import LANES
from ._oracle import Arrays, Reference, scores_of
from ._profile import Profiler
from ._record import Record
from ._spec import Config, Decision, Spec
from ._tensor import Tensor
from ._tolerance import NEGLIGIBLE, Blocks, decision_margin
from .verdicts import FAIL, MISTRUSTED, PASS, UNJUDGED, UNUSED, ZERO

# For each lane and tensor, which of its comparisons said nothing.
Vacuous = dict[tuple[str, str], list[bool]]


@dataclass
class RunTally:
    """What the trials of one run find out together; `vacuous` may go on from another run."""

    vacuous: Vacuous = field(default_factory=dict)
    profilers: dict[tuple[str, str], Profiler] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)

    def note_vacuous(self, lane: str, tensor: Tensor, vacuous: bool) -> None:
        """Notes whether one comparison of a tensor says anything."""
        self.vacuous.setdefault((lane, str(tensor)), []).append(vacuous)


@dataclass(eq=False)
class Trial:
    """One configuration, case and lane.

    **Arguments:**

    - `spec`, `config`, `case`, `lane`: what is compared.
    - `tally`: takes down what is judged over several comparisons.
    - `repro`: the command that repeats it.
    - `watch`: receives all that the Equinox side gives.
    - `quick`: compile without optimizations, and by XLA's older emitters.
    - `records`: what it finds.
    """

    spec: Spec
    config: Config
    case: Case
    lane: str
    tally: RunTally
    repro: str = ""
    watch: Callable[[Arrays], None] = lambda found: None
    quick: bool = False
    records: list[Record] = field(default_factory=list)

    def record(self, tensor: Tensor | str, kind: Any, **values: Any) -> Record:
        """Adds a record of this trial."""
        names = self.spec.name, self.config.name, self.case.name, self.lane, str(tensor)
        record = Record(*names, kind, **values)
        record.repro = self.repro
        self.records.append(record)
        return record

    def profile(self, tensor: Tensor, kind: str, ours: Any, reference: Reference) -> None:
        """Adds the errors of one tensor to its profile."""
        ref, noise = reference.arrays[tensor], reference.noise
        if ours is None or ref is None or ref.dtype.kind != "f" or ours.shape != ref.shape:
            return
        low, ids = reference.low.get(tensor), reference.ids.get(tensor)
        key = self.lane, str(tensor)
        profiler = self.tally.profilers.setdefault(key, Profiler(self.spec.name, *key))
        profiler.add(ours, ref, low, ids, noise.of(tensor, self.lane), kind)

    def tensors(self, reference: Reference, found: Arrays, alone: Arrays) -> None:
        """Records every tensor; of an output that is in `alone` too, the worse of the two."""
        found, noise = untied(found, reference.tied), reference.noise
        given = {t for t in reference.arrays if t.kind == "out"}
        given |= {t for t in reference.arrays if t.kind == "d" and t.name not in reference.tied}
        ours = {tensor for tensor in found if tensor.kind != "leak"}
        for tensor in sorted(ours - given):
            self.record(tensor, "structure", verdict=FAIL, message="PyTorch has no such tensor")
        for tensor in sorted(given):
            ref = reference.arrays[tensor]
            record = self.record(tensor, kind_of(tensor, ref))
            if tensor not in found:
                # All weights are there, and so is what is differentiated.
                why = "not computed, as an output has another shape"
                record.verdict = FAIL
                record.message = why if tensor.kind == "d" else "ours has no such tensor"
                continue
            if self.spec.network and tensor.kind == "d" and tensor.name in reference.buffers:
                record.verdict, record.flags = UNJUDGED, [UNUSED]
                record.message = "a buffer; outputs are compared for other numbers in it"
                continue
            tau, ids = noise.of(tensor, self.lane), reference.ids.get(tensor)
            compare(record, found[tensor], ref, ids=ids, tau=tau, rms=noise.rms.get(tensor))
            if tensor in alone and record.verdict == PASS:
                self._alone(record, alone[tensor], ref, ids, tau)
            if tensor in reference.unused:
                record.flags.append(UNUSED)
                if self.spec.network and record.verdict == PASS:
                    record.verdict, record.message = UNJUDGED, "neither side differentiates it"
        self._list_zeros()
        for tensor in sorted(set(found) - ours):
            leaks = int(np.count_nonzero(found[tensor]))
            record = self.record(tensor, "structure")
            if leaks:
                record.verdict, record.message = FAIL, f"{leaks} gradients of padding are not 0"

    def _list_zeros(self) -> None:
        """Tells gradients of a network that are zero up to rounding on both sides from those whose
        rounding noise hides them: beside the largest gradient their tolerance is small."""
        if not self.spec.network:
            return
        gradients = [record for record in self.records if record.kind == "gradient"]
        largest = max((record.scale for record in gradients), default=0.0)
        for record in gradients:
            hidden = record.verdict == UNJUDGED and UNUSED not in record.flags
            if hidden and record.scale <= record.tol <= NEGLIGIBLE * largest:
                record.flags.append(ZERO)
                record.message = (
                    f"zero up to rounding on both sides: below {record.tol:.1e}, where the largest "
                    f"gradient is {largest:.1e}"
                )

    def _alone(self, record: Record, ours, ref, ids, tau) -> None:
        """Puts the comparison of an output without gradients in the place of a better one."""
        other = self.record(record.tensor, record.kind)
        self.records.pop()
        # The limit of root mean squares was fitted to programs with gradients.
        compare(other, ours, ref, ids=ids, tau=tau)
        if other.verdict != PASS:
            other.message = f"computed without gradients: {other.message}"
        if other.verdict != PASS or other.ratio > record.ratio:
            self.records[-1] = other

    def judge(
        self, decision: Decision, reference: Reference, own: Sequence[np.ndarray], move: str = ""
    ) -> None:
        """Records how each choice compares with the reference's, after those before it were
        forced."""
        if own and len(own) != len(reference.choices):
            record = self.record(Tensor("", decision.index, move=move), "decision", verdict=FAIL)
            record.message = f"ours chooses {len(own)} times, PyTorch {len(reference.choices)}"
            return
        for place, (rows, choice) in enumerate(zip(own, reference.choices, strict=False)):
            sizes = np.abs(np.nan_to_num(choice.scores))
            scale = Blocks(sizes.shape, choice.groups).max(sizes)
            deltas = decision_margin(scale, reference.noise.tau[scores_of(place)], self.lane)
            record = self.record(Tensor("", decision.name(place), move=move), "decision")
            self._judge(record, decision, choice, rows, deltas)

    def _judge(self, record: Record, decision: Decision, choice: AbstractChoice, own, deltas):
        judgement = choice.judge(own, deltas)
        # Among permuted nodes another one comes first.
        moved = LANES[self.lane].by == "moves"
        symmetric = decision.symmetric and "symmetric" in self.case.tags and not moved
        record.decisions = judgement.counts
        record.gap_delta, record.near_ties = judgement.gap, judgement.pairs
        if "FAIL" in judgement.counts:
            record.verdict, record.message = FAIL, judgement.message
        elif symmetric:
            if set(judgement.counts) - {"EXACT"}:
                message = "scores that are equal by symmetry are not equal here, to the last bit"
                record.verdict, record.message = FAIL, message
        elif not decision.ties and "ties" not in self.case.tags:
            close = np.asarray(choice.near_cut(deltas)) > 0.05
            if np.sum(close) > len(close) / 2:
                message = f"in {np.sum(close)} of {len(close)} groups the cut is within rounding"
                record.verdict, record.message = MISTRUSTED, message

    def same(self, what: str, found: np.ndarray, expected: np.ndarray) -> None:
        """Records whether a selection is the right one."""
        record = self.record(what, "decision")
        if not np.array_equal(found, expected):
            record.verdict = FAIL
            record.message = f"{found[:8]}... of {len(found)}, expected {expected[:8]}..." + (
                f" of {len(expected)}"
            )


def untied(found: Arrays, tied: Mapping[str, str]) -> dict[Tensor, Any]:
    """Gradients in which one parameter has one name, that of all its uses together."""
    whole: dict[Tensor, Any] = dict(found)
    for tensor, value in found.items():
        if tensor.kind == "d" and tensor.name in tied:
            first = replace(tensor, name=tied[tensor.name])
            whole[first] = whole[first] + value
            del whole[tensor]
    return whole


def first_lines(error: Exception) -> str:
    """An exception in at most 300 characters."""
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:300]


def kind_of(tensor: Tensor, ref: Any) -> str:
    """The kind of record for a tensor."""
    if tensor.kind == "d":
        return "gradient"
    return "value" if ref is not None and ref.dtype.kind == "f" else "structure"
