import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from ._case import Case
from ._environment import environment, torch_environment
from ._lanes import LANES, run_trial
from ._oracle import AbstractOracle, Oracle
from ._record import DECLARED, FAIL, MISTRUSTED, NOT_VERIFIED, Record, Result
from ._spec import Config, Divergence, Spec
from ._torch import state_arrays
from ._trial import RunTally, Trial, Vacuous


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
    oracle: Callable[[Spec, Config, Case, int], AbstractOracle] | None = None,
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
    - `oracle`: where the reference comes from; by default PyTorch itself.
    - `repro`: the command that repeats one comparison, for reports.
    - `progress`: called after each case.

    **Returns:** the `Result`. Its `exit_code` is 0 only if everything was compared and agrees.
    """
    if configs is not None:
        spec = dataclasses.replace(spec, grid=configs)
    lanes = lanes_of(spec) if lanes is None else checked_lanes(spec, lanes)
    mine = [divergence for divergence in divergences if divergence.concerns(spec)]
    result = Result(environment=environment(), divergences=[d.to_json() for d in mine])
    if oracle is None:
        oracle = live(weights)
        result.environment.update(torch_environment())
    tally = RunTally(vacuous)
    modules: dict[int, Any] = {}
    for config, case in pairs(spec, cases, pairing):
        make = functools.cache(functools.partial(oracle, spec, config, case, seed))
        for lane in lanes:
            command = repro(spec, config, case, lane) if repro else ""
            trial = Trial(spec, config, case, lane, tally, command, quick=quick)
            run_trial(trial, make, functools.partial(_module, modules, spec, config))
            for record in trial.records:
                declare(record, mine, config, case)
            result.records += trial.records
        progress()
    if vacuous is None:
        result.records += vacuity(spec, tally.vacuous)
    if complete:
        result.records += missing_input_classes(spec, tally.classes)
    if not result.records:
        message = "no case was run"
        result.records.append(
            Record(spec.name, "", "", "", "*", "run", verdict=NOT_VERIFIED, message=message)
        )
    result.profiles = [profiler.finish() for profiler in tally.profilers.values()]
    return result


def lanes_of(spec: Spec) -> list[str]:
    """The lanes for which a spec has what they need."""
    needs = {
        "exact": any(spec.exact(config) for config in spec.grid),
        "metamorphic": spec.rows is not None,
    }
    return [lane for lane in LANES if needs.get(lane, True)]


def checked_lanes(spec: Spec, lanes: Sequence[str]) -> Sequence[str]:
    """The lanes, if they exist and the spec has what they need."""
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


def live(
    weights: Literal["draw", "keep"] = "draw",
) -> Callable[[Spec, Config, Case, int], AbstractOracle]:
    """PyTorch itself as the reference; its modules are built once for each configuration."""
    modules: dict[int, Any] = {}

    def oracle(spec: Spec, config: Config, case: Case, seed: int) -> Oracle:
        if id(config) not in modules:
            modules[id(config)] = spec.pyg(**config.options)
        module = modules[id(config)]
        kept = state_arrays(module) if weights == "keep" else None
        return Oracle(spec, config, case, seed, module, kept)

    return oracle


def _module(modules: dict[int, Any], spec: Spec, config: Config) -> Any:
    if id(config) not in modules:
        modules[id(config)] = spec.eqx(**config.options)
    return modules[id(config)]


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


def declare(record: Record, divergences: Iterable[Divergence], config: Config, case: Case) -> None:
    """Marks a failure that a divergence covers."""
    if record.verdict not in (FAIL, NOT_VERIFIED):
        return
    for divergence in divergences:
        if divergence.covers(case, config, record.lane, record.tensor):
            record.verdict, record.divergence = DECLARED, divergence.id
            return


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
        if not all(cases) or spec.expect_zero(tensor) or "|" in tensor:
            continue
        if spec.network and not all(vacuous.get(("f64", tensor), (True,))):
            continue  # Rounding hides it in float32 alone; float64 has shown it.
        says_nothing = "empty, zero, constant or hidden by rounding noise"
        message = f"{says_nothing} in all {len(cases)} cases"
        records.append(
            Record(spec.name, "", "", lane, tensor, "run", verdict=MISTRUSTED, message=message)
        )
    return records


def missing_input_classes(spec: Spec, drawn: set[str]) -> list[Record]:
    """A kind of input that no case has was not tested at all."""
    missing = [name for name in spec.input_classes if name not in drawn]
    return [
        Record(spec.name, "", "", "", "*", "run", verdict=FAIL, message=f"no case has {name}")
        for name in missing
    ]
