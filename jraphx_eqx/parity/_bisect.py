from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from ._candidate import Candidate, precision
from ._case import Case
from ._compare import compare
from ._oracle import SCORES, AbstractOracle, Reference, decided, scores_of
from ._record import Record
from ._session import Live, Session, Source
from ._spec import Config, Spec, Stage
from ._tensor import Tensor
from ._trial import RunTally, Trial, kind_of
from .verdicts import FAIL, NOT_VERIFIED


@dataclass
class Bisection:
    """Where the two sides part.

    **Arguments:**

    - `stage`: the first step that differs: the name of a `Stage`, `"call"` where only the whole
        differs, `"gradients"` where all values agree, or `None` if nothing differs.
    - `records`: what was compared up to there, and, last, what differs.
    - `repro`: the command that repeats the comparison.
    """

    stage: str | None
    records: list[Record] = field(default_factory=list)
    repro: str = ""

    def __str__(self) -> str:
        if self.stage is None:
            return "nothing differs"
        bad = [record for record in self.records if record.verdict != "PASS"]
        lines = [f"the first stage that differs is {self.stage!r}"]
        lines += [f"  {record.tensor}: {record.message}" for record in bad[:5]]
        return "\n".join(lines + ([f"  repeat: {self.repro}"] if self.repro else []))


def bisect(
    spec: Spec,
    config: Config,
    case: Case,
    *,
    lane: str = "f64",
    seed: int = 0,
    source: Source | None = None,
    repro: str = "",
) -> Bisection:
    """Finds the first step of an operator that differs from PyTorch's.

    Each of the spec's `stages` is run alone, with PyG's results of the steps before it.

    **Arguments:**

    - `spec`, `config`, `case`, `seed`, `source`: as for [`run`][jraphx_eqx.parity.run].
    - `lane`: `"f64"` or `"f32"`.
    - `repro`: the command that repeats this, for the report.
    """
    session = Session(spec, source or Live(spec, seed))
    theirs = session.oracle(config, case)
    trial = Trial(spec, config, case, lane, RunTally(), repro)
    candidate = Candidate(trial, session.module(config), theirs.inputs, theirs.weights)
    for stage in spec.stages if theirs.decision is not None else ():
        _compare_stage(trial, stage, theirs, candidate, decided(theirs, lane))
        if any(record.verdict == FAIL for record in trial.records):
            return Bisection(stage.name, trial.records, repro)
    whole = session.compare(config, case, lane, RunTally())
    bad = [record for record in whole if record.verdict in (FAIL, NOT_VERIFIED)]
    if not bad:
        return Bisection(None, [*trial.records, *whole], repro)
    values = [record for record in bad if record.kind != "gradient"]
    stage = "call" if values else "gradients"
    return Bisection(stage, [*trial.records, *(values or bad)], repro)


def _compare_stage(
    trial: Trial, stage: Stage, oracle: AbstractOracle, candidate: Candidate, reference: Reference
) -> None:
    assert oracle.decision is not None
    # Stages are of an operator that chooses once.
    [theirs] = oracle.decide(trial.lane)
    scores = theirs.scores
    candidate.values(reference.chosen)
    ours = candidate.watched
    padded = np.full(len(ours.scores[0]), np.nan, scores.dtype)
    padded[: len(scores)] = scores
    rows = np.full(len(ours.own[0]), len(padded), np.int32)
    rows[: len(reference.chosen[0])] = reference.chosen[0]
    with precision(trial.lane):
        known = {SCORES: jnp.asarray(padded), oracle.decision.index: jnp.asarray(rows)}
        found = stage.run_eqx(candidate.module, candidate.arrays, known)
        outputs = {
            name: None if v is None else np.asarray(v)
            for name, v in {**ours.outputs, **found}.items()
        }
    real = {SCORES: slice(len(scores)), **trial.spec.real(candidate.padded, outputs)}
    for name in stage.outputs:
        tensor = scores_of(0) if name == SCORES else Tensor("out", name)
        ref, ours = reference.arrays[tensor], outputs[name]
        ours = ours if ours is None or name not in real else ours[real[name]]
        record = trial.record(name, kind_of(tensor, ref))
        tau, ids = reference.noise.of(tensor, trial.lane), reference.ids.get(tensor)
        compare(record, ours, ref, tau=tau, ids=ids)
