import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from ._case import Case
from ._lanes import LANES
from ._record import Record, Result
from ._session import Live, Session, Source
from ._spec import Config, Divergence, Spec
from ._tensor import Tensor
from ._trial import RunTally, Vacuous
from .verdicts import FAIL, MISTRUSTED, NOT_VERIFIED


def run(
    spec: Spec,
    cases: Sequence[Case],
    *,
    lanes: Sequence[str] | None = None,
    pairing: Literal["product", "rotate"] = "product",
    seed: int = 0,
    weights: Literal["draw", "keep"] = "draw",
    configs: Sequence[Config] | None = None,
    complete: bool = False,
    quick: bool = False,
    divergences: Iterable[Divergence] = (),
    vacuous: Vacuous | None = None,
    source: Source | None = None,
    repro: Callable[[Spec, Config, Case, str], str] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """Compares an operator with its PyTorch original.

    For every configuration, case and lane: decisions are compared by their margin, then values,
    index structure and gradients with the same decision on both sides.

    **Arguments:**

    - `spec`, `cases`: what is compared, on what.
    - `lanes`: among `"exact"` (inputs, weights and cotangents in eighths; what float32 holds
        exactly must be equal bit for bit), `"f64"`, `"f32"` (without JAX's 64-bit mode, as users
        run it) and `"metamorphic"` (eager execution, other padding, permuted nodes and edges, and
        graphs apart must change nothing). By default all that the spec has what they need for.
    - `pairing`: `"product"`: every configuration on every case; `"rotate"`: each case with the next
        configuration in turn, and each configuration at least once.
    - `seed`: of weights, cotangents and jitter.
    - `weights`: `"draw"` random ones, or `"keep"` those of the PyTorch module.
    - `configs`: the configurations; by default all of the spec's `grid`.
    - `complete`: fail if one of the spec's `input_classes` is in none of the cases.
    - `quick`: also compile the lanes `"f32"` and `"exact"` without optimizations, as `"f64"`
        always is.
    - `divergences`: the declared ones.
    - `vacuous`: for several runs that are judged together: it records which comparisons were
        uninformative, and the verdict is left to [`vacuity`][jraphx_eqx.parity.vacuity].
    - `source`: where the reference comes from; by default PyTorch itself.
    - `repro`: the command that repeats one comparison, for reports.
    - `progress`: called after each case.

    **Returns:** the `Result`. Its `exit_code` is 0 only if everything was compared and agrees.
    """
    if configs is not None:
        spec = dataclasses.replace(spec, grid=configs)
    lanes = checked_lanes(spec, lanes)
    session = Session(spec, source or Live(spec, seed, weights), divergences, quick=quick)
    result, tally = session.result(), RunTally({} if vacuous is None else vacuous)
    for config, case in pairs(spec, cases, pairing):
        for lane in lanes:
            command = repro(spec, config, case, lane) if repro else ""
            result.records += session.compare(config, case, lane, tally, repro=command)
        progress()
    if vacuous is None:
        result.records += vacuity(spec, tally.vacuous)
    if complete:
        result.records += missing_input_classes(spec, tally.classes)
    if not result.records:
        result.records.append(about_all(spec, NOT_VERIFIED, "no case was run"))
    result.profiles = [profiler.finish() for profiler in tally.profilers.values()]
    return result


def lanes_of(spec: Spec) -> list[str]:
    """The lanes for which a spec has what they need."""
    needs = {"bits": any(map(spec.exact, spec.grid)), "moves": spec.rows is not None}
    return [name for name, lane in LANES.items() if needs.get(lane.by, True)]


def checked_lanes(spec: Spec, lanes: Sequence[str] | None) -> Sequence[str]:
    """The lanes, if they exist and the spec has what they need; all of those if `None`."""
    if lanes is None:
        return lanes_of(spec)
    unknown = set(lanes) - set(LANES)
    if unknown:
        raise ValueError(f"lanes must be among {tuple(LANES)}, got {sorted(unknown)}")
    missing = set(lanes) - set(lanes_of(spec))
    if missing:
        raise ValueError(
            f"lane {min(missing)!r} needs what the spec {spec.name} does not have: "
            "exact tensors for 'exact', rows for 'metamorphic'"
        )
    return lanes


def pairs(
    spec: Spec, cases: Sequence[Case], pairing: Literal["product", "rotate"]
) -> list[tuple[Config, Case]]:
    """The configurations and cases that `run` puts together."""
    if pairing == "product":
        return [(config, case) for config in spec.grid for case in cases]
    if not cases:
        return []
    turns = range(max(len(cases), len(spec.grid)))
    found = {(turn % len(spec.grid), turn % len(cases)): None for turn in turns}
    for i, config in enumerate(spec.grid):
        found |= {(i, j): None for j, case in enumerate(cases) if case.kind in config.cases}
    return [(spec.grid[i], cases[j]) for i, j in found]


def vacuity(spec: Spec, vacuous: Vacuous) -> list[Record]:
    """A tensor that was zero or constant in every case was not really compared.

    **Arguments:**

    - `spec`: says which tensors have to be zero.
    - `vacuous`: for each lane and tensor, which of its comparisons said nothing, as
        [`run`][jraphx_eqx.parity.run] takes it down.

    **Returns:** a record, MISTRUSTED, for each tensor of which all comparisons said nothing.
    """
    records = []
    for (lane, tensor), cases in sorted(vacuous.items()):
        if not all(cases) or spec.expect_zero(tensor) or Tensor.parse(tensor).direction:
            continue
        if spec.network and not all(vacuous.get(("f64", tensor), (True,))):
            continue  # Rounding hides it in float32 alone; float64 has shown it.
        says_nothing = "empty, zero, constant or hidden by rounding noise"
        message = f"{says_nothing} in all {len(cases)} cases"
        records.append(about_all(spec, MISTRUSTED, message, lane, tensor))
    return records


def missing_input_classes(spec: Spec, drawn: set[str]) -> list[Record]:
    """A kind of input that no case has was not tested at all."""
    missing = [name for name in spec.input_classes if name not in drawn]
    return [about_all(spec, FAIL, f"no case has {name}") for name in missing]


def about_all(spec: Spec, verdict: str, message: str, lane: str = "", tensor: str = "*") -> Record:
    """A record of what all comparisons together say."""
    return Record(spec.name, "", "", lane, tensor, "run", verdict, message)
