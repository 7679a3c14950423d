import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..interop import write_state_dict


def write_whole(mapping: Mapping[str, Any], path: Path) -> None:
    """Writes a state dict so that the file is there complete, or as it was before."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent or ".")
    os.close(handle)
    temporary = Path(name)
    try:
        write_state_dict(mapping, temporary)
        # As of any new file, and not only of the user as of a temporary one.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
