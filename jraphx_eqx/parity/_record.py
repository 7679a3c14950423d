import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from .verdicts import DECLARED, FAIL, MISTRUSTED, NOT_VERIFIED, PASS, SURVIVED

SCHEMA = 2

# Bins of signed errors in ulp: symmetric, with one bin around 0 for what is exact.
_EDGES = (0.01, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0)
ULP_EDGES = (*(-edge for edge in reversed(_EDGES)), *_EDGES)


@dataclass
class Record:
    """What one comparison found: plain data, the only source of every report.

    For a tensor of several blocks the numbers are those of the worst block.
    """

    operator: str
    config: str
    case: str
    lane: str
    tensor: str
    kind: Literal["value", "gradient", "structure", "decision", "weights", "run"]
    verdict: str = PASS
    message: str = ""
    shape: list[int] = field(default_factory=list)
    dtype: str = ""
    blocks: int = 0
    block: int = 0
    max_abs: float = 0.0
    scale: float = 0.0
    tau: float = 0.0
    tol: float = 0.0
    ratio: float = 0.0
    rms_ratio: float = 0.0
    digits: float | None = None
    max_index: list[int] = field(default_factory=list)
    ours_at: float | None = None
    ref_at: float | None = None
    decisions: dict[str, int] = field(default_factory=dict)
    gap_delta: float = 0.0
    near_ties: list[dict[str, float]] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    divergence: str = ""
    repro: str = ""

    @property
    def excess(self) -> float:
        """The error over tolerance; NaN counts as infinite."""
        ratios = (self.ratio, self.rms_ratio)
        return math.inf if any(math.isnan(ratio) for ratio in ratios) else max(ratios)


@dataclass
class Profile:
    """How the errors of one tensor are distributed, over all cases of a lane.

    Errors are in units in the last place (ulp) of the largest element of their block.

    **Arguments:**

    - `operator`, `lane`, `tensor`: what it is about.
    - `ours`, `theirs`: how many signed errors lie in each bin of `ULP_EDGES`: ours, and those of
        PyTorch's own float32 result.
    - `points`: `[reference, error, tolerance]`, all absolute, of the largest error in each half
        decade of the reference.
    """

    operator: str
    lane: str
    tensor: str
    ours: list[int] = field(default_factory=lambda: [0] * (len(ULP_EDGES) + 1))
    theirs: list[int] = field(default_factory=lambda: [0] * (len(ULP_EDGES) + 1))
    points: list[list[float]] = field(default_factory=list)


@dataclass
class Kill:
    """What became of an injected fault.

    **Arguments:**

    - `fault`: its name; `description`: what was changed, and where.
    - `operator`: the operator under which it was looked for.
    - `verdict`: `"KILLED"`, `"SURVIVED"`, or `"EQUIVALENT"` where all results were bit-equal.
    - `by`: the first check that failed, as `case / config / lane / tensor`.
    - `message`: what that check said; for an equivalent fault, why it changes nothing.
    - `kind`: the kind of that check, as in `Record`.
    """

    fault: str
    operator: str
    verdict: str
    description: str = ""
    by: str = ""
    message: str = ""
    kind: str = ""


@dataclass
class Result:
    """The records of a run, and where they were made.

    **Arguments:**

    - `records`: what every comparison found.
    - `environment`: versions, settings and provenance.
    - `profiles`: the distribution of errors.
    - `kills`: what became of injected faults.
    - `divergences`: the declared ones, as data: `id`, `operators`, `condition`, `pyg`, `ours`,
        `reason`, `link`.
    """

    records: list[Record] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    profiles: list[Profile] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    divergences: list[dict[str, Any]] = field(default_factory=list)

    def extend(self, other: "Result") -> None:
        """Adds another run, of other operators or of other lanes."""
        self.records.extend(other.records)
        self.environment.update(other.environment)
        self.profiles.extend(other.profiles)
        self.kills.extend(other.kills)
        self.divergences.extend(d for d in other.divergences if d not in self.divergences)

    def of(self, *verdicts: str) -> list[Record]:
        """The records with one of these verdicts."""
        return [record for record in self.records if record.verdict in verdicts]

    @property
    def operators(self) -> list[str]:
        """The operators, in the order in which they were run."""
        return list(dict.fromkeys(record.operator for record in self.records))

    @property
    def ok(self) -> bool:
        """Whether everything was compared and nothing differed unexpectedly."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """0 if all is well, 1 after a failure, 2 if something was not (or not really) compared or
        an injected fault survived."""
        if self.of(FAIL):
            return 1
        survivors = any(kill.verdict == SURVIVED for kill in self.kills)
        compared = self.of(PASS, DECLARED) or self.kills
        if not compared or self.of(MISTRUSTED, NOT_VERIFIED) or survivors:
            return 2
        return 0

    def to_json(self) -> dict[str, Any]:
        """The whole result as JSON data."""
        parts = ("environment", "divergences", "kills", "profiles", "records")
        data = asdict(self)
        return {"schema": SCHEMA, **{name: _json(data[name]) for name in parts}}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Result":
        """The inverse of `to_json`."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"expected a result of schema {SCHEMA}, got {data['schema']}")
        return Result(
            [_record(record) for record in data["records"]],
            _numbers(data["environment"]),
            [_profile(profile) for profile in data["profiles"]],
            [Kill(**kill) for kill in data["kills"]],
            _numbers(data["divergences"]),
        )

    def save(self, path: str | Path) -> None:
        """Writes the result as a JSON file."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1, allow_nan=False))

    @staticmethod
    def read(path: str | Path) -> "Result":
        """The inverse of `save`."""
        return Result.from_json(json.loads(Path(path).read_text()))


def describe(record: Record) -> str:
    """A record that is not a pass, in one or two lines."""
    where = " / ".join(filter(None, (record.case, record.config, record.lane, record.tensor)))
    text = f"{record.verdict} {record.operator}: {where}: {record.message}"
    if record.ours_at is not None:
        text += f" at {record.max_index}: ours {record.ours_at!r}, reference {record.ref_at!r}"
    return text + (f"\n     repeat: {record.repro}" if record.repro else "")


# JSON has no infinities and NaNs, so they travel as text.
_FLOATS = [f.name for f in fields(Record) if f.type in (float, float | None)]


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


def _numbers(value: Any) -> Any:
    """Data of any form, in which these texts can only be numbers."""
    if isinstance(value, dict):
        return {name: _numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    return float(value) if value in ("nan", "inf", "-inf") else value


def _record(data: dict[str, Any]) -> Record:
    plain = {name: _number(v) if name in _FLOATS else v for name, v in data.items()}
    pairs = [{name: _number(v) for name, v in pair.items()} for pair in data["near_ties"]]
    return Record(**{**plain, "near_ties": pairs})


def _profile(data: dict[str, Any]) -> Profile:
    return Profile(**{**data, "points": [list(map(_number, point)) for point in data["points"]]})
