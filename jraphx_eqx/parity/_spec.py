from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ._case import Case


@dataclass(frozen=True)
class Config:
    """One point of an operator's grid.

    **Arguments:**

    - `options`: handed to both constructors.
    - `inputs`: handed to `Spec.inputs`, for what varies in the call and not in the constructor.
    - `cases`: kinds of cases that this configuration always meets, whatever the turn. The kind of
        `"linked_pairs:0"` is `"linked_pairs"`.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    cases: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The options as text, for reports."""
        return ", ".join(f"{key}={value}" for key, value in {**self.options, **self.inputs}.items())


@dataclass(frozen=True)
class Decision:
    """A discrete choice that an operator makes from scores, such as which nodes it keeps.

    **Arguments:**

    - `kind`: `"topk"` (the highest of each group, in descending order) or `"threshold"` (all that
        exceed a threshold, in their original order).
    - `index`: the output that holds the chosen rows.
    - `groups`: the input that holds the group (graph) of each row.
    - `watch_pyg`: `watch_pyg(forced)` is a context in which the PyG side makes the choice
        `forced` (its own where that is `None`), and which yields a list that receives the scores.
    - `score_eqx`: `score_eqx(module, inputs)`, the scores of the other side, one per (padded) row.
    - `select_eqx`: `select_eqx(module, scores, inputs)`, the chosen rows, padded.
    - `pad`: `pad(chosen, inputs, capacity)`, a choice padded as the other side expects it.
    - `threshold`: for `"threshold"`: `threshold(scores, groups)`, the threshold of each row.
    - `harder`: `harder(scores, groups)`, scores that are more difficult to choose from, such as
        NaNs, zeros of both signs, and scores at the threshold. The choice for them must be the
        first rows in a stable descending order with NaN first, or all above the threshold.
    - `ties`: whether many equal scores are expected in every case. Otherwise too many rows at the
        cut make a comparison MISTRUSTED, unless the case is tagged `"ties"`.
    - `symmetric`: whether the choice must be PyG's where the case is tagged `"symmetric"`: there
        PyG's side gives some nodes exactly the same score, and so has ours to. Otherwise a TIE or
        a NEAR-TIE passes there, too.
    """

    kind: Literal["topk", "threshold"]
    index: str
    groups: str
    watch_pyg: Callable[..., Any]
    score_eqx: Callable[..., Any]
    select_eqx: Callable[..., Any]
    pad: Callable[[np.ndarray, Mapping[str, Any], int], np.ndarray]
    threshold: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    ties: bool = False
    symmetric: bool = False
    harder: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


Axis = Literal["node", "edge", "graph", "kept", "kept_edge"]


@dataclass(frozen=True)
class Rows:
    """What the rows of an input or output are, so that they can be followed through a permutation.

    **Arguments:**

    - `of`: `"node"`, `"edge"`, `"graph"`, `"kept"` (the nodes that a decision keeps, in its order)
        or `"kept_edge"` (the edges between those, in their original order).
    - `axis`: the axis of the rows.
    - `holds`: what the numbers count, for an index; `None` for features.
    """

    of: Axis
    axis: int = 0
    holds: Axis | None = None


@dataclass(frozen=True)
class Stage:
    """A step of an operator, to find the first that differs.

    **Arguments:**

    - `name`: for example `"score"`.
    - `run_eqx`: `run_eqx(module, inputs, known)` computes the step alone. `known` holds PyG's
        results of all steps, padded: its outputs by name, and its scores as `"scores"`.
    - `outputs`: the names of what it returns, as in `known`.
    """

    name: str
    run_eqx: Callable[..., Mapping[str, Any]]
    outputs: Sequence[str]


@dataclass(frozen=True, eq=False)
class Spec:
    """What it takes to compare one PyTorch operator with its Equinox twin, as data.

    **Arguments:**

    - `name`: the operator's name.
    - `pyg`, `eqx`: `pyg(**config.options)` builds the module (or returns a function) on each side.
    - `call_pyg`: `call_pyg(module, inputs)`, given torch tensors, returns the outputs by name.
    - `call_eqx`: `call_eqx(module, inputs, decide)`, given padded JAX arrays, returns the same
        names. It runs under `jit`. `decide` is `None` for a configuration without a decision.
        Otherwise `decide(own)` is what the module has to choose where it would choose `own`: that,
        or the choice of the PyTorch side.
    - `grid`: the configurations.
    - `inputs`: `inputs(case, **config.inputs)` picks the call's arguments from a case.
    - `pad`: `pad(inputs, case)` pads them for the Equinox side. Real rows must come first.
    - `real`: `real(inputs, outputs)` returns an index (slices or a mask) of the real entries of
        each padded output; outputs that it does not name are real as a whole.
    - `blocks`: `blocks(inputs, outputs)` returns, by name of an output (`"out.x"`) or gradient
        (`"d.x"`), the graph of each row (or of each element, by broadcasting). Errors are judged
        per block; a tensor that is not named is one block.
    - `differentiate`: the float inputs to differentiate. Parameters always are.
    - `renames`: PyTorch state-dict name to Equinox leaf path, where they are not equal.
    - `decision`: `decision(config)` returns the discrete choice of that configuration, or `None`.
    - `expect_zero`: `expect_zero(tensor)`, a reason if a gradient may vanish in every case.
    - `exact`: `exact(config)`, the tensors that are sums of products of their inputs and therefore
        must be equal bit for bit in the lane `"exact"`.
    - `rows`: `rows(inputs)`, what the rows of each input (`"x"`) and output (`"out.x"`) are, for
        the lane `"metamorphic"`. The inputs `"batch"` and `"num_graphs"` must be the graph of each
        node and the number of graphs.
    - `stages`: the steps of the operator, for `bisect`.
    - `properties`: what has to be true of the Equinox side alone, for example how it marks padding:
        `properties[name](module, inputs, outputs)`, given the padded inputs and outputs, returns
        what is wrong, or `None`. They are looked at in the lane `"f32"`.
    - `input_classes`: kinds of inputs that must be drawn: `input_classes[name](inputs)`.
    """

    name: str
    pyg: Callable[..., Any]
    eqx: Callable[..., Any]
    call_pyg: Callable[..., Mapping[str, Any]]
    call_eqx: Callable[..., Mapping[str, Any]]
    inputs: Callable[..., Mapping[str, Any]]
    grid: Sequence[Config] = (Config(),)
    pad: Callable[[Mapping[str, Any], Case], Mapping[str, Any]] = lambda inputs, case: inputs
    real: Callable[..., Mapping[str, Any]] = lambda inputs, outputs: {}
    blocks: Callable[..., Mapping[str, np.ndarray]] = lambda inputs, outputs: {}
    differentiate: Sequence[str] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    decision: Callable[[Config], Decision | None] = lambda config: None
    expect_zero: Callable[[str], str | None] = lambda tensor: None
    exact: Callable[[Config], Sequence[str]] = lambda config: ()
    rows: Callable[[Mapping[str, Any]], Mapping[str, Rows]] | None = None
    stages: Sequence[Stage] = ()
    properties: Mapping[str, Callable[..., str | None]] = field(default_factory=dict)
    input_classes: Mapping[str, Callable[[Mapping[str, Any]], bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class Divergence:
    """A known difference between the two sides, which must stay as it is.

    **Arguments:**

    - `id`: a short name.
    - `operators`: the specs it concerns.
    - `condition`: when it occurs, in words.
    - `pyg`, `ours`: the expected values of `probe` on each side.
    - `reason`: why the sides differ and why that is accepted.
    - `link`: where to read more.
    - `probe`: returns `(pyg, ours)` now.
    - `covers`: `covers(case, config, lane, tensor)`, whether a failure there is this divergence.
    """

    id: str
    operators: tuple[str, ...]
    condition: str
    pyg: Any
    ours: Any
    reason: str
    link: str
    probe: Callable[[], tuple[Any, Any]]
    covers: Callable[[Case, Config, str, str], bool] = lambda case, config, lane, tensor: False

    def to_json(self) -> dict[str, Any]:
        """What reports show of it."""
        names = ("id", "operators", "condition", "pyg", "ours", "reason", "link")
        shown = {name: getattr(self, name) for name in names}
        return {**shown, "operators": list(self.operators)}
