import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from ._checks import Check, Comparison, checks_of
from ._lanes import LANES
from ._record import Record, Result
from ._references import BadReferences, References, trusted
from ._run import about_all, missing_input_classes, pairs, vacuity
from ._session import Live, Session, Source
from ._suite import Suite
from ._tensor import Tensor
from ._trial import RunTally, Vacuous
from .verdicts import FAIL, NOT_VERIFIED, PASS


class Runner:
    """Runs the tests of a suite, each comparison when the first of its tests asks for it.

    **Arguments:**

    - `suite`: the suite.
    - `lanes`: only these of its lanes.
    - `folder`: where the folder of the operator with references is; `None` to run PyTorch.
    """

    def __init__(
        self, suite: Suite, *, lanes: Sequence[str] | None = None, folder: Path | None = None
    ):
        self.suite, self.lanes, self.folder = suite, lanes, folder
        self._parts: dict[Comparison, tuple[list[Record], RunTally]] = {}

    @functools.cached_property
    def checks(self) -> list[Check]:
        """The tests."""
        return checks_of(self.suite, self.lanes)

    @functools.cached_property
    def _session(self) -> Session:
        return Session(self.suite.spec, self._source(), self.suite.divergences)

    def _source(self) -> Source:
        suite = self.suite
        if self.folder is None:
            return Live(suite.spec, suite.seed, suite.weights)
        try:
            return trusted(suite.spec, self.folder, suite.divergences)
        except BadReferences as error:
            return error

    def run(self, check: Check) -> Result:
        """What a test finds: one record or more, none of which passes if it was not compared."""
        if check.comparison is None:
            return self._session.result(self._whole())
        comparison, (records, tally) = check.comparison, self._part(check.comparison)
        result = self._session.result(
            [r for r in records if comparison.tensor(r) == check.tensor]
            or [self._nothing(comparison, check.tensor, records)]
        )
        result.profiles = [
            profiler.finish()
            for (_, tensor), profiler in tally.profilers.items()
            if str(dataclasses.replace(Tensor.parse(tensor), direction="")) == check.tensor
        ]
        return result

    def _part(self, comparison: Comparison) -> tuple[list[Record], RunTally]:
        if comparison not in self._parts:
            tally = RunTally()
            records = self._session.compare(
                comparison.config, comparison.case, comparison.lane, tally
            )
            self._parts[comparison] = records, tally
        return self._parts[comparison]

    def _nothing(self, comparison: Comparison, tensor: str, records: list[Record]) -> Record:
        """Says why a comparison has found nothing about a tensor."""
        bad = [r for r in records if r.verdict in (FAIL, NOT_VERIFIED)]
        messages = [r.message for r in bad if r.kind in ("run", "weights")]
        message = messages[0] if messages else "neither side has such a tensor"
        config, case = comparison.config.name, comparison.case.name
        names = self.suite.spec.name, config, case, comparison.lane, tensor
        return Record(*names, "run", NOT_VERIFIED, message)

    def _whole(self) -> list[Record]:
        """What can be said of all comparisons together only."""
        suite, spec, source = self.suite, self.suite.spec, self._session.source
        if isinstance(source, BadReferences):
            return [about_all(spec, NOT_VERIFIED, str(source))]
        found = []
        if isinstance(source, References):
            left = source.left(pairs(spec, suite.cases, suite.pairing))
            said = (f"recorded, but in no test: {name}" for name in left)
            found += [about_all(spec, NOT_VERIFIED, message) for message in said]
        found += vacuity(spec, self._vacuous()) + missing_input_classes(spec, self._drawn())
        if not any(check.comparison for check in self.checks):
            found.append(about_all(spec, NOT_VERIFIED, "there is nothing to compare"))
        message = "each tensor is nonzero and not constant in at least one case"
        return found or [about_all(spec, PASS, message)]

    def _vacuous(self) -> Vacuous:
        """For each lane and tensor, which comparisons say nothing. Those that did not run here, as
        with several processes, run as far as they are needed."""
        vacuous: Vacuous = {}

        def needed(comparison: Comparison) -> bool:
            keys = [(comparison.lane, t) for t in comparison.tensors if t != comparison.index]
            real = [k for k in keys if not self.suite.spec.expect_zero(k[1])]
            return LANES[comparison.lane].by != "moves" and any(
                all(vacuous.get(k, ())) for k in real
            )

        comparisons = dict.fromkeys(c.comparison for c in self.checks if c.comparison)
        ran = [comparison for comparison in comparisons if comparison in self._parts]
        for comparison in dict.fromkeys((*ran, *comparisons)):
            if comparison in self._parts or needed(comparison):
                for key, said in self._part(comparison)[1].vacuous.items():
                    vacuous.setdefault(key, []).extend(said)
        return vacuous

    def _drawn(self) -> set[str]:
        """The input classes that some case has."""
        spec, drawn = self.suite.spec, set()
        for config, case in pairs(spec, self.suite.cases, self.suite.pairing):
            with contextlib.suppress(Exception):  # The comparison raises it too, and says so.
                inputs = spec.inputs(case, **config.inputs)
                drawn |= {name for name, occurs in spec.input_classes.items() if occurs(inputs)}
        return drawn
