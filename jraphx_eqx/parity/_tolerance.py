from dataclasses import dataclass, field

import numpy as np

from ._lanes import LANES
from ._tensor import Tensor

# Fitted on nine operators of PyG 2.8.1: over 1,500 tensors no error exceeded 4.5 times the noise
# of eight jittered runs; four runs were not enough, because a lucky scalar can be exact four times.
# Gradients need more room: XLA's tanh is off by up to 4.4 units in the last place where PyTorch's
# is by 0.5, and 1 - tanh² near saturation magnifies it; 20 times the noise was seen on the digits.
# For the same reason root mean squares, of which the largest seen was 1.6, are judged for values.
JITTERED_RUNS = 8
# What should cancel can cancel exactly in every one of a few runs. So a failure has to survive
# more of them; what passes, passes without.
MORE_RUNS = 64
# How far a jittered run is from the input, in units in the last place. Where tanh is flat, a move
# of two leaves every rounding as it was, be it lucky or not; so more runs go further, to 1 %.
NEAR, FAR = 2, 2**16
SAFETY = {"value": 8, "gradient": 32}
DECISION_SAFETY = 2
RMS_LIMIT = 3
RMS_ELEMENTS = 100
IMPRECISE_ULP = 1e3
COARSE_ERROR = 1e-12
EPS_32, EPS_64 = LANES["f32"].eps, LANES["f64"].eps
# A gradient below this part of the largest one of a network is zero up to rounding.
NEGLIGIBLE = 1e-3


@dataclass
class Noise:
    """The reference's own rounding errors, per tensor and block.

    `tau` and `rms` are those of its float32 result. Scaled down they hold in float64 too, except
    where float32 is saturated and float64 is not. There `wide` says how far the float64 result
    moves when all its operations round differently.
    """

    runs: int = 0
    tau: dict[Tensor, np.ndarray] = field(default_factory=dict)
    rms: dict[Tensor, np.ndarray] = field(default_factory=dict)
    wide: dict[Tensor, np.ndarray] = field(default_factory=dict)

    def add(self, errors: dict[Tensor, tuple[np.ndarray, "Blocks"]]) -> None:
        """Takes in the errors of one more jittered run: their maximum and mean rms by block."""
        for name, (error, blocks) in errors.items():
            largest, rms = blocks.max(error), blocks.rms(error)
            self.tau[name] = np.maximum(self.tau.get(name, 0.0), largest)
            before = self.rms.get(name, 0.0)
            self.rms[name] = before + (rms - before) / (self.runs + 1)
        self.runs += 1

    def add_wide(self, moves: dict[Tensor, tuple[np.ndarray, "Blocks"]]) -> None:
        """Takes in how far one more float64 result with other roundings is from the reference."""
        for name, (move, blocks) in moves.items():
            self.wide[name] = np.maximum(self.wide.get(name, 0.0), blocks.max(move))

    def of(self, tensor: Tensor, lane: str) -> np.ndarray | None:
        """The noise of a tensor, in units of float32's error."""
        tau, wide = self.tau.get(tensor), self.wide.get(tensor)
        if tau is None or wide is None or not LANES[lane].wide:
            return tau
        return np.maximum(tau, wide * (EPS_32 / EPS_64))


class Blocks:
    """Which block (graph) each element of a tensor belongs to, and reductions over blocks.

    **Arguments:**

    - `shape`: the tensor's shape.
    - `ids`: one id per row, or an array that broadcasts against `shape`; `None` for one block.
    """

    def __init__(self, shape: tuple[int, ...], ids: np.ndarray | None = None):
        if ids is None:
            ids = np.zeros((), np.int64)
        ids = ids.reshape(ids.shape + (1,) * (len(shape) - ids.ndim)) if ids.ndim == 1 else ids
        self.ids = np.broadcast_to(ids, shape).ravel()
        self.count = int(self.ids.max(initial=0)) + 1
        self.sizes = np.bincount(self.ids, minlength=self.count)

    def max(self, values: np.ndarray) -> np.ndarray:
        """The largest of the non-negative `values` of each block."""
        out = np.zeros(self.count)
        np.maximum.at(out, self.ids, np.ravel(values))
        return out

    def rms(self, values: np.ndarray) -> np.ndarray:
        """The root mean square of each block."""
        weights = np.square(np.ravel(values), dtype=np.float64)
        sums = np.bincount(self.ids, weights=weights, minlength=self.count)
        return np.sqrt(sums / np.maximum(self.sizes, 1))


def jitter(rng: np.random.Generator, array: np.ndarray, reach: int = NEAR) -> np.ndarray:
    """Moves float32 numbers by up to `reach` units in the last place; zeros stay zero."""
    steps = rng.integers(-reach, reach + 1, np.shape(array))
    return (np.asarray(array, np.float64) * (1 + EPS_32 * steps)).astype(np.float32)


def tolerance(scale: np.ndarray, tau: np.ndarray, lane: str, kind: str = "value") -> np.ndarray:
    """How far a block may be from the float64 reference: the reference's own noise and half a unit
    in the last place of its largest element, times a safety factor."""
    return SAFETY[kind] * _rounding(scale, tau, lane) + LANES[lane].tiny


def decision_margin(scale: np.ndarray, tau: np.ndarray, lane: str) -> np.ndarray:
    """How far apart two scores must be for their order to mean something."""
    return DECISION_SAFETY * _rounding(scale, tau, lane) + LANES[lane].tiny


def _rounding(scale: np.ndarray, tau: np.ndarray, lane: str) -> np.ndarray:
    eps = LANES[lane].eps
    return tau * (eps / EPS_32) + 0.5 * eps * scale
