from typing import Any

import numpy as np

from ._lanes import LANES
from ._record import Record
from ._tolerance import (
    COARSE_ERROR,
    EPS_32,
    IMPRECISE_ULP,
    RMS_ELEMENTS,
    RMS_LIMIT,
    Blocks,
    tolerance,
)
from .verdicts import COARSE, FAIL, IMPRECISE, UNJUDGED


def compare(
    record: Record,
    ours: Any,
    ref: Any,
    *,
    ids: np.ndarray | None = None,
    tau: np.ndarray | None = None,
    rms: np.ndarray | None = None,
) -> Record:
    """Compares one tensor with its reference and writes what it finds into `record`.

    Presence, shape and kind of dtype must be equal, integers and booleans exactly; floats must have
    equal NaNs and infinities and lie within the tolerance of their block. A tolerance above
    `COARSEST` of the largest number is no pass but UNJUDGED.

    **Arguments:**

    - `record`: names the tensor and the lane; completed and returned.
    - `ours`: the array to judge, or `None`.
    - `ref`: the reference, in float64 if it is a float.
    - `ids`: the block of each row. See `Blocks`.
    - `tau`, `rms`: the noise of the reference, per block; zero if not given.
    """
    problem = _structure(ours, ref, record.lane)
    if problem:
        return _fail(record, problem)
    if ref is None:
        return record
    ours, ref = np.asarray(ours), np.asarray(ref)
    record.shape, record.dtype = list(ours.shape), str(ours.dtype)
    if ref.dtype.kind != "f":
        return _exact(record, ours, ref)
    return _floats(record, ours.astype(np.float64), ref, ids, tau, rms)


def compare_bits(record: Record, ours: Any, ref: Any, exact: np.ndarray) -> Record:
    """Compares the elements of a tensor that float32 holds exactly: they must be equal.

    Only the sign of a zero is free.

    **Arguments:**

    - `record`, `ours`, `ref`: as for [`compare`][jraphx_eqx.parity.compare].
    - `exact`: which elements to compare.
    """
    problem = _structure(ours, ref, record.lane)
    if problem:
        return _fail(record, problem)
    ours, ref = np.asarray(ours), np.asarray(ref)
    record.shape, record.dtype = list(ours.shape), str(ours.dtype)
    wrong = exact & (ours.astype(np.float64) != ref)
    if wrong.any():
        _at(record, np.argwhere(wrong)[0], ours, ref)
        record.max_abs = float(np.nanmax(np.where(wrong, np.abs(ours - ref), 0.0)))
        record.ratio = float("inf")
        _fail(record, f"{int(wrong.sum())} of {int(exact.sum())} exact numbers differ")
    return record


def is_vacuous(ref: Any, alone: bool = False) -> bool:
    """Whether agreement with `ref` says little: nearly all of it is zero or one constant.

    With `alone`, as in a network of which there is a single case: only if all of it is zero. Most
    of a gradient may be, for classes that do not occur.
    """
    if ref is None or np.size(ref) == 0:
        return True
    values = np.ravel(ref)
    if values.dtype.kind != "f":
        return False
    if not np.nanmax(np.abs(values), initial=0.0) >= 1e-30:
        return True
    if alone:
        return False
    zeros = np.mean(values == 0)
    same = np.mean(values == values[0]) if values.size >= 10 else 0.0
    return bool(max(zeros, same) > 0.9)


def _structure(ours: Any, ref: Any, lane: str) -> str:
    if ours is None or ref is None:
        names = ["an array" if side is not None else "None" for side in (ours, ref)]
        return "" if ours is ref else f"ours is {names[0]}, the reference is {names[1]}"
    ours, ref = np.asarray(ours), np.asarray(ref)
    if ours.shape != ref.shape:
        return f"ours has shape {ours.shape}, the reference {ref.shape}"
    kinds = [side.dtype.kind for side in (ours, ref)]
    if kinds[0] != kinds[1]:
        return f"ours is of kind {ours.dtype}, the reference {ref.dtype}"
    expected = LANES[lane].dtype
    if kinds[0] == "f" and ours.dtype != expected:
        return f"ours is {ours.dtype}, expected {np.dtype(expected)} in lane {lane}"
    return ""


def _exact(record: Record, ours: np.ndarray, ref: np.ndarray) -> Record:
    if np.array_equal(ours, ref):
        return record
    at = np.argwhere(ours != ref)[0]
    record.max_index = [int(i) for i in at]
    record.ours_at, record.ref_at = float(ours[tuple(at)]), float(ref[tuple(at)])
    record.ratio = float("inf")
    return _fail(record, f"{int(np.sum(ours != ref))} of {ref.size} integers differ")


def _floats(record, ours, ref, ids, tau, rms) -> Record:
    finite = np.isfinite(ref)
    special = np.array_equal(np.where(finite, 0.0, ours), np.where(finite, 0.0, ref), True)
    if not special or not np.array_equal(finite, np.isfinite(ours)):
        wrong = ~((ours == ref) | (finite & np.isfinite(ours)) | (np.isnan(ours) & np.isnan(ref)))
        _at(record, np.argwhere(wrong)[0], ours, ref)
        record.ratio = float("inf")
        return _fail(record, f"{int(wrong.sum())} NaNs or infinities differ")
    ours, ref = np.where(finite, ours, 0.0), np.where(finite, ref, 0.0)
    blocks = Blocks(ref.shape, ids)
    tau = np.zeros(blocks.count) if tau is None else tau
    error, scale = np.abs(ours - ref), blocks.max(np.abs(ref))
    errors, tol = blocks.max(error), tolerance(scale, tau, record.lane, record.kind)
    with np.errstate(over="ignore"):
        ratios = errors / tol
    b = record.block = int(ratios.argmax())
    record.blocks, record.ratio = blocks.count, float(ratios[b])
    record.max_abs, record.scale = float(errors[b]), float(scale[b])
    record.tau, record.tol = float(tau[b]), float(tol[b])
    record.digits = _digits(errors, scale)
    if error.size:
        inside = np.where(blocks.ids.reshape(ref.shape) == b, error, -1.0)
        _at(record, np.unravel_index(inside.argmax(), ref.shape), ours, ref)
    if record.kind == "value":
        record.rms_ratio = _rms_ratio(blocks, error, scale, rms, record.lane)
    record.flags += _flags(errors, scale, tau, record.lane)
    if record.ratio > 1:
        _fail(record, f"error {record.max_abs:.2e} is {record.ratio:.3g} times the tolerance")
    elif record.rms_ratio > 1:
        _fail(record, f"rms error is {record.rms_ratio:.3g} times its limit")
    else:
        _refuse_coarse(record, tol, scale)
    return record


def _refuse_coarse(record: Record, tol: np.ndarray, scale: np.ndarray) -> None:
    """What lies within too large a tolerance is no pass. Where all is zero, the tolerance is the
    smallest number there is."""
    largest, worst, lane = float(scale.max(initial=0.0)), int(tol.argmax()), LANES[record.lane]
    if tol[worst] - lane.tiny > lane.coarsest * largest:
        record.scale, record.tol, record.verdict = largest, float(tol[worst]), UNJUDGED
        record.message = (
            f"rounding noise hides it: the tolerance is {tol[worst]:.1e}, which is above "
            f"{lane.coarsest:g} of the largest number, {largest:.1e}"
        )


def _rms_ratio(blocks, error, scale, rms, lane) -> float:
    large, lane = blocks.sizes >= RMS_ELEMENTS, LANES[lane]
    if not lane.as_users or rms is None or not large.any():
        return 0.0
    limit = RMS_LIMIT * (rms + 0.05 * lane.eps * scale) + lane.tiny
    return float((blocks.rms(error) / limit)[large].max())


def _flags(errors, scale, tau, lane) -> list[str]:
    flags = []
    if np.any(tau > IMPRECISE_ULP * EPS_32 * scale):
        flags.append(IMPRECISE)
    if LANES[lane].wide and np.any(errors > COARSE_ERROR * scale):
        flags.append(COARSE)
    return flags


def _digits(errors: np.ndarray, scale: np.ndarray) -> float | None:
    if not np.any(scale > 0):
        return None
    relative = np.max(errors[scale > 0] / scale[scale > 0])
    return float(np.clip(-np.log10(max(relative, 1e-17)), 0, 17))


def _at(record: Record, index: Any, ours: np.ndarray, ref: np.ndarray) -> None:
    index = tuple(int(i) for i in index)
    record.max_index = list(index)
    record.ours_at, record.ref_at = float(ours[index]), float(ref[index])


def _fail(record: Record, message: str) -> Record:
    record.verdict, record.message = FAIL, message
    return record
