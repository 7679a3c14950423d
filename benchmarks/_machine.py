"""On what and when it was measured."""

import datetime
import os
import pathlib
import platform

import psutil

BUSY = 0.15
# Makes the C library's `malloc` ask for huge pages; and where Linux says whether it has them.
HUGE_PAGES = "glibc.malloc.hugetlb=1"
# Makes it give nothing back to the system: one heap for all threads, which also holds large buffers
# and does not shrink.
KEEP_MEMORY = (
    "glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"
)
_SETTING = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def machine() -> dict[str, object]:
    return {
        "processor": _processor(),
        "cores": len(psutil.Process().cpu_affinity()) if _has_affinity() else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }


def busy_before_us() -> float:
    """The share of all cores that others use now."""
    return psutil.cpu_percent(1.0) / 100


def no_huge_pages() -> str:
    """Why large buffers cannot be in huge pages here; empty where they can."""
    if problem := no_glibc(2, 35):
        return problem
    setting = _SETTING.read_text() if _SETTING.exists() else ""
    if "[madvise]" not in setting and "[always]" not in setting:
        return f"{_SETTING} must be set to madvise or always, it is {setting.strip() or 'missing'}"
    return ""


def no_glibc(*oldest: int) -> str:
    """Why the settings of the C library have no effect here; empty where they have."""
    library, version = platform.libc_ver()
    if library == "glibc" and tuple(map(int, version.split(".")[:2])) >= oldest:
        return ""
    expected = ".".join(map(str, oldest))
    return f"the C library must be glibc {expected} or newer, this is {library or '?'} {version}"


def _has_affinity():
    return hasattr(psutil.Process, "cpu_affinity")


def _processor():
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
