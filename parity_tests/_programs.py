"""Linux lets a process map only so much memory, and each compiled program takes some."""

from pathlib import Path

import jax

MOST = 15_000
_MAPS = Path("/proc/self/maps")


def keep_few() -> None:
    """Forgets all compiled programs where there are many: at some 65,000 maps a process ends."""
    if _MAPS.exists() and _MAPS.read_text().count("\n") > MOST:
        jax.clear_caches()
