import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

PASS, FAIL, DECLARED = "PASS", "FAIL", "DECLARED"
MISTRUSTED, NOT_VERIFIED = "MISTRUSTED", "NOT VERIFIED"
SCHEMA = 1


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
    flags: list[str] = field(default_factory=list)
    divergence: str = ""
    repro: str = ""


@dataclass
class Result:
    """The records of a run, and where they were made."""

    records: list[Record] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)

    def extend(self, other: "Result") -> None:
        """Adds the records of another run."""
        self.records.extend(other.records)
        self.environment.update(other.environment)

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
        """0 if all is well, 1 after a failure, 2 if something was not (or not really) compared."""
        if self.of(FAIL):
            return 1
        if not self.of(PASS, DECLARED) or self.of(MISTRUSTED, NOT_VERIFIED):
            return 2
        return 0

    def to_json(self) -> dict[str, Any]:
        """The whole result as JSON data."""
        records = [_json(asdict(record)) for record in self.records]
        return {"schema": SCHEMA, "environment": self.environment, "records": records}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Result":
        """The inverse of `to_json`."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"expected a result of schema {SCHEMA}, got {data['schema']}")
        records = [Record(**_from_json(record)) for record in data["records"]]
        return Result(records, data["environment"])

    def save(self, path: str | Path) -> None:
        """Writes the result as a JSON file."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1, allow_nan=False))


def worst(records: Iterable[Record]) -> float:
    """The largest error over tolerance, 0 without records."""
    return max((max(r.ratio, r.rms_ratio) for r in records), default=0.0)


# JSON has no infinities and NaNs, so they travel as text.
_FLOATS = [f.name for f in fields(Record) if f.type in (float, float | None)]


def _json(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v if _finite(v) else str(v) for k, v in record.items()}


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _from_json(record: dict[str, Any]) -> dict[str, Any]:
    return {k: float(v) if k in _FLOATS and v is not None else v for k, v in record.items()}
