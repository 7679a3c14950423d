"""On what and when it was measured."""

import datetime
import os
import pathlib
import platform

import psutil

BUSY = 0.15


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


def _has_affinity():
    return hasattr(psutil.Process, "cpu_affinity")


def _processor():
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
