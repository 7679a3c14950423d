from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ._case import Case
from ._torch import watch_choices


@dataclass(frozen=True, eq=False)
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
    """The discrete choices that an operator, or a network, makes from scores, one after the other,
    such as which nodes each of its poolings keeps.

    PyTorch's choice is forced at each call, on both sides and wherever rounding noise is measured.
    What the Equinox side would have chosen is judged by its margin. It has to hand each choice to
    [`decide`][jraphx_eqx.parity.decide], as all poolings of this package do.

    **Arguments:**

    - `index`: what the choice is called: the output that holds the chosen rows, if there is one.
    - `watch_pyg`: `watch_pyg(forced)` is a context in which the PyTorch side chooses the rows
        `forced[i]` at call `i` (its own where `forced` is `None`), and which yields a list that
        receives what was chosen at each call. [`watch_choices`][jraphx_eqx.parity.watch_choices]
        does so for PyG's poolings.
    - `select_eqx`: `select_eqx(module, scores, inputs)`, the rows chosen for given scores, padded:
        the selection alone, of an operator that makes one choice.
    - `harder`: `harder(choice)`, scores that are more difficult to choose from than those of
        `choice`, such as NaNs, zeros of both signs, and scores at the threshold.
    - `ties`: whether many equal scores are expected in every case. Otherwise too many rows at the
        cut make a comparison MISTRUSTED, unless the case is tagged `"ties"`.
    - `symmetric`: whether the choice must be PyG's where the case is tagged `"symmetric"`: there
        PyG's side gives some nodes exactly the same score, and so has ours to. Otherwise a TIE or
        a NEAR-TIE passes there as well.
    """

    index: str = "perm"
    watch_pyg: Callable[..., Any] = watch_choices
    select_eqx: Callable[..., Any] | None = None
    harder: Callable[[Any], np.ndarray] | None = None
    ties: bool = False
    symmetric: bool = False

    def name(self, place: int) -> str:
        """What the choice at a call is called."""
        return self.index if place == 0 else f"{self.index} {place + 1}"


Axis = Literal["node", "edge", "graph", "kept", "kept_edge"]


@dataclass(frozen=True)
class Rows:
    """What the rows of an input or output are, so that they can be followed through a permutation.

    **Arguments:**

    - `of`: `"node"`, `"edge"`, `"graph"`, `"kept"` (the nodes that a decision keeps, in its order)
        or `"kept_edge"` (the edges between those, in their original order).
    - `axis`: the axis of the rows.
    - `holds`: what the numbers count, for an index; `None` for features.
    - `ordered`: whether the order of the rows of one graph counts, of the input `"x"`. Then only
        rows of different graphs change places.
    """

    of: Axis
    axis: int = 0
    holds: Axis | None = None
    ordered: bool = False


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
    - `call_eqx`: `call_eqx(module, inputs)`, given padded JAX arrays, returns the same names. It
        runs under `jit`.
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
    - `decision`: `decision(config)` returns the discrete choices of that configuration, or `None`.
    - `weights`: `weights(name, drawn)`, the weight of that PyTorch name, given a random one, where
        not any numbers will do.
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
    - `network`: whether this is a whole network with its own weights. Then a parameter that neither
        side differentiates, a buffer, and a gradient that is zero up to rounding on both sides, are
        listed as UNJUDGED and do not make the result MISTRUSTED. Outputs are compared once more for
        other numbers in all buffers.
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
    weights: Callable[[str, np.ndarray], np.ndarray] = lambda name, drawn: drawn
    expect_zero: Callable[[str], str | None] = lambda tensor: None
    exact: Callable[[Config], Sequence[str]] = lambda config: ()
    rows: Callable[[Mapping[str, Any]], Mapping[str, Rows]] | None = None
    stages: Sequence[Stage] = ()
    properties: Mapping[str, Callable[..., str | None]] = field(default_factory=dict)
    input_classes: Mapping[str, Callable[[Mapping[str, Any]], bool]] = field(default_factory=dict)
    network: bool = False


@dataclass(frozen=True)
class Divergence:
    """A known difference between the two sides, which must stay as it is.

    **Arguments:**

    - `id`: a short name.
    - `condition`: when it occurs, in words.
    - `pyg`, `ours`: the expected values of `probe` on each side.
    - `reason`: why the sides differ and why that is accepted.
    - `link`: where to read more.
    - `probe`: returns `(pyg, ours)` now.
    - `covers`: `covers(case, config, lane, tensor)`, whether a failure there is this divergence.
    - `operators`: names of the specs it concerns; all if empty.
    """

    id: str
    condition: str
    pyg: Any
    ours: Any
    reason: str
    link: str
    probe: Callable[[], tuple[Any, Any]]
    covers: Callable[[Case, Config, str, str], bool] = lambda case, config, lane, tensor: False
    operators: tuple[str, ...] = ()

    def concerns(self, spec: Spec) -> bool:
        """Whether it is one of this spec's."""
        return not self.operators or spec.name in self.operators

    def to_json(self) -> dict[str, Any]:
        """What reports show of it."""
        names = ("id", "operators", "condition", "pyg", "ours", "reason", "link")
        shown = {name: getattr(self, name) for name in names}
        return {**shown, "operators": list(self.operators)}
