import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ._case import Case
from ._fault import Fault, injected
from ._lanes import LANES
from ._oracle import Arrays
from ._record import Kill, Record, Result
from ._references import trusted
from ._run import checked_lanes, pairs
from ._session import Live, Session
from ._spec import Config, Divergence, Spec
from ._trial import RunTally
from .verdicts import EQUIVALENT, FAIL, KILLED, SURVIVED

# What kills a fault is most often a value in float64, and the metamorphic lane takes the longest.
LANE_ORDER = ("f64", "exact", "f32", "metamorphic")
KINDS = ("weights", "run", "structure", "decision", "value", "gradient")


class UnreachedFault(ValueError):
    """A fault changed code that is never run, so nothing can be said about it."""


def mutate(
    spec: Spec,
    faults: Iterable[Fault],
    *,
    references: str | Path | None = None,
    cases: Sequence[Case] | None = None,
    lanes: Sequence[str] | None = None,
    pairing: Literal["product", "rotate"] = "rotate",
    seed: int = 0,
    weights: Literal["draw", "keep"] = "draw",
    divergences: Iterable[Divergence] = (),
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """Makes mistakes on purpose and reports which of them the comparison notices.

    For each fault the comparisons are repeated until one fails that passes without the fault.

    **Arguments:**

    - `spec`: what is compared.
    - `faults`: the mistakes. Those that concern other operators only are left out.
    - `references`: the folder of [`record`][jraphx_eqx.parity.record]: compare with what is there,
        without PyTorch. Or
    - `cases`: compare with PyTorch itself on these, with `pairing`, `seed` and `weights` as for
        [`run`][jraphx_eqx.parity.run].
    - `lanes`: as for `run`; by default all.
    - `divergences`: the declared ones; what they cover does not count as noticed.
    - `progress`: called after each fault.

    **Returns:** a `Result` whose `kills` has an entry for each fault: `KILLED`, with the first
    check that failed; `SURVIVED`; or `EQUIVALENT` where every output, gradient, score and selection
    of all comparisons is the same bit for bit.

    **Raises:** `UnreachedFault` if a fault's code is never run, `ValueError` for a fault that makes
    the code meaningless (an undefined name), `BadReferences` as
    [`check`][jraphx_eqx.parity.check].
    """
    if (references is None) == (cases is None):
        raise ValueError("one of references and cases must be given, to compare with")
    divergences = list(divergences)
    lanes = checked_lanes(spec, lanes)
    if references is not None:
        source = trusted(spec, references, divergences)
        cases, pairing = source.cases, source.manifest["pairing"]
        # Noise that a fault made a reference measure must not be there for the next one.
        session = Session(spec, source, divergences, quick=True, remember=0)
    else:
        assert cases is not None
        live = Live(spec, seed, weights)
        session = Session(spec, live, divergences, quick=True, remember=None)
    result = Result(environment=dict(session.environment))
    runner = FaultRunner(session, pairs(spec, cases, pairing), lanes)
    for fault in faults:
        if not fault.operators or spec.name in fault.operators:
            result.kills.append(runner.judge(fault))
            progress()
    return result


class Comparison(NamedTuple):
    """One comparison to be made: a configuration, a case and a lane."""

    config: Config
    case: Case
    lane: str

    @property
    def name(self) -> str:
        """As in `Kill.by`."""
        return " / ".join(filter(None, (self.case.name, self.config.name, self.lane)))


class Outcome(NamedTuple):
    """What a comparison found: its records, and a digest of all that ours computed."""

    records: list[Record]
    digest: str


@dataclass
class FaultRunner:
    """Where the faults of one operator are tried. Results without a fault are kept."""

    session: Session
    pairs: Sequence[tuple[Config, Case]]
    lanes: Sequence[str]
    clean: dict[str, Outcome] = field(default_factory=dict)

    def judge(self, fault: Fault) -> Kill:
        """What becomes of a fault."""
        kill = Kill(fault.name, self.session.spec.name, SURVIVED, fault.summary)
        found: dict[str, Outcome] = {}
        rest = self.comparisons(fault)
        was_reached: list[bool | None] = []
        while rest:
            with injected(fault) as reached:
                one = self._until_failure(rest, found)
                was_reached.append(reached())
            known = self.without_fault(one)
            record = _plainest_failure(found[one.name].records, known.records)
            if record is not None:
                _refuse_nonsense(fault, record)
                by, kind = f"{one.name} / {record.tensor}", _kind(record)
                return replace(kill, verdict=KILLED, by=by, message=record.message, kind=kind)
        return self._not_killed(fault, kill, found, was_reached)

    def comparisons(self, fault: Fault) -> list[Comparison]:
        """All comparisons, the likely killers first."""
        order = [lane for lane in LANE_ORDER if lane in self.lanes]
        comparisons = [
            Comparison(config, case, lane)
            for lane in order
            for config, case in self.pairs
            if LANES[lane].by != "bits" or self.session.spec.exact(config)
        ]
        return sorted(comparisons, key=lambda one: fault.likely not in one.name)

    def _until_failure(self, rest: list[Comparison], found: dict[str, Outcome]) -> Comparison:
        while True:
            one = rest.pop(0)
            found[one.name] = self.compare(one)
            if not rest or any(r.verdict == FAIL for r in found[one.name].records):
                return one

    def compare(self, one: Comparison) -> Outcome:
        """Makes one comparison with the code as it is now."""
        sha = hashlib.sha256()
        self.session.module.cache_clear()
        records = self.session.compare(
            one.config, one.case, one.lane, RunTally(), watch=lambda found: _add(sha, found)
        )
        return Outcome(records, sha.hexdigest())

    def without_fault(self, one: Comparison) -> Outcome:
        """The same comparison with the right code."""
        if one.name not in self.clean:
            self.clean[one.name] = self.compare(one)
        return self.clean[one.name]

    def _not_killed(self, fault: Fault, kill: Kill, found: dict[str, Outcome], reached) -> Kill:
        comparisons = {one.name: one for one in self.comparisons(fault)}
        changed = [
            name for name, one in comparisons.items() if found[name] != self.without_fault(one)
        ]
        if not any(reached) and (False in reached or not changed):
            raise UnreachedFault(
                f"fault {fault.name!r} does nothing to {kill.operator}: what it changes is run in "
                f"none of {len(comparisons)} comparisons"
            )
        if changed:
            message = (
                f"{len(changed)} of {len(comparisons)} comparisons gave other numbers, and passed"
            )
            return replace(kill, message=message)
        message = f"bit-equal in all {len(comparisons)} comparisons"
        return replace(kill, verdict=EQUIVALENT, message=message)


def _plainest_failure(records: Sequence[Record], before: Sequence[Record]) -> Record | None:
    """A failure that is not there without the fault; of a gradient only if all else agrees."""
    known = {record.tensor for record in before if record.verdict == FAIL}
    new = (r for r in records if r.verdict == FAIL and r.tensor not in known)
    return min(new, key=lambda record: KINDS.index(_kind(record)), default=None)


def _kind(record: Record) -> str:
    """The kind of a failed record; a wrong shape or dtype is one of structure."""
    unequal = record.kind in ("value", "gradient") and record.ratio == 0
    return "structure" if unequal else record.kind


def _refuse_nonsense(fault: Fault, record: Record) -> None:
    if re.match(r"ours raised (NameError|UnboundLocalError)", record.message):
        raise ValueError(
            f"fault {fault.name!r} is not a fault but code that cannot run: {record.message}"
        )


def _add(sha: Any, found: Arrays) -> None:
    """Takes every bit of the results into the digest."""
    for tensor in sorted(found):
        value, name = found[tensor], str(tensor)
        about = (name, None) if value is None else (name, value.shape, value.dtype.str)
        sha.update(repr(about).encode())
        sha.update(b"" if value is None else np.ascontiguousarray(value).tobytes())
