import contextlib
import ctypes
import os
import pathlib

from .._warn import warn

# Names of options in malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_memory() -> None:
    """From now on the C library keeps memory that is given back, instead of the kernel.

    XLA takes the memory of each call from the C library and gives it back. By default large buffers
    go back to the kernel, which clears them when they are next taken. Without that, training on a
    CPU took a quarter to two fifths less processor time where batches were large, and no less where
    they were small. The process then holds the most memory that it ever needed, and gives none to
    others.

    Call it before JAX computes anything, at the top of a script. It applies to glibc, the C library
    of most Linux systems, and to the whole process, whoever takes memory in it. Elsewhere it does
    nothing and warns. It makes no difference to what is computed, nor to memory of GPUs.

    **Raises:** `RuntimeError` if JAX has begun to compute: its threads have memory of their own
    then, which this cannot reach.
    """
    if not _has_glibc():
        warn("keep_memory does nothing here: it needs glibc, the C library of most Linux systems")
        return
    if any("XLA" in name for name in _threads()):
        raise RuntimeError("keep_memory must be called before JAX computes anything")
    mallopt = ctypes.CDLL(None).mallopt
    # One heap for all threads, which also holds large buffers, and is not made shorter.
    for option, number in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1)):
        if not mallopt(option, number):
            raise RuntimeError(f"the C library refused to set option {option} of mallopt")


def _has_glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError):
        return False


def _threads() -> list[str]:
    names = []
    for task in pathlib.Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # of a thread that has ended
            names.append(task.read_text())
    return names
