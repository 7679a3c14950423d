from collections.abc import Sequence

import numpy as np

from ._lanes import LANES
from ._record import ULP_EDGES, Profile
from ._tolerance import Blocks, tolerance


class Profiler:
    """Collects the `Profile` of one tensor over many cases."""

    def __init__(self, operator: str, lane: str, tensor: str):
        self.profile = Profile(operator, lane, tensor)
        self._points: dict[int, list[float]] = {}

    def add(
        self,
        ours: np.ndarray,
        ref: np.ndarray,
        low: np.ndarray | None,
        ids: np.ndarray | None,
        tau: np.ndarray | None,
        kind: str,
    ) -> None:
        """Takes in one case; `low` is PyTorch's float32 result."""
        finite = np.isfinite(ref) & np.isfinite(ours)
        if not finite.any():
            return
        lane, blocks = LANES[self.profile.lane], Blocks(ref.shape, ids)
        scale = blocks.max(np.where(finite, np.abs(ref), 0.0))
        tau = np.zeros(blocks.count) if tau is None else tau
        limits = tolerance(scale, tau, lane.name, kind)
        unit, tol = (of_block[blocks.ids].reshape(ref.shape) for of_block in (scale, limits))
        error = np.where(finite, ours - ref, 0.0)
        self._count(self.profile.ours, error[finite], unit[finite] * lane.eps)
        if low is not None and lane.as_users:
            both = finite & np.isfinite(low)
            self._count(self.profile.theirs, (low - ref)[both], unit[both] * lane.eps)
        self._keep(np.abs(ref[finite]), np.abs(error[finite]), tol[finite])

    def _count(self, counts: list[int], error: np.ndarray, unit: np.ndarray) -> None:
        ulps = error / np.where(unit == 0, 1.0, unit)
        found = np.bincount(np.searchsorted(ULP_EDGES, ulps), minlength=len(counts))
        counts[:] = [before + int(more) for before, more in zip(counts, found, strict=True)]

    def _keep(self, size: np.ndarray, error: np.ndarray, tol: np.ndarray) -> None:
        halves = _half_decades(size)
        order = np.lexsort((error, halves))
        last = np.flatnonzero(np.diff(halves[order], append=halves.max() + 1))
        for place in order[last]:
            point = [float(size[place]), float(error[place]), float(tol[place])]
            self._propose(int(halves[place]), point)

    def _propose(self, half: int, point: list[float]) -> None:
        if half not in self._points or point[1] > self._points[half][1]:
            self._points[half] = point

    def include(self, other: Profile) -> None:
        """Takes in the cases of another profile of the same tensor."""
        for mine, more in ((self.profile.ours, other.ours), (self.profile.theirs, other.theirs)):
            mine[:] = [before + count for before, count in zip(mine, more, strict=True)]
        for point in other.points:
            self._propose(int(_half_decades(np.asarray(point[0]))), point)

    def finish(self) -> Profile:
        """The profile of all cases so far."""
        self.profile.points = [self._points[half] for half in sorted(self._points)]
        return self.profile


def _half_decades(size: np.ndarray) -> np.ndarray:
    return np.floor(2 * np.log10(np.maximum(size, 1e-30))).astype(int)


def merge_profiles(profiles: Sequence[Profile]) -> list[Profile]:
    """One profile for each operator, lane and tensor."""
    merged: dict[tuple[str, str, str], Profiler] = {}
    for profile in profiles:
        key = profile.operator, profile.lane, profile.tensor
        merged.setdefault(key, Profiler(*key)).include(profile)
    return [profiler.finish() for profiler in merged.values()]
