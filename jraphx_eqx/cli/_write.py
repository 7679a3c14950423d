import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..interop import write_state_dict
from ..interop.checkpoints import format_of
from ._problem import Problem, told


def check_output(path: Path) -> None:
    """Refuses what could not be written in the end, before anything is loaded."""
    with told(ValueError):
        format_of(path)
    check_place(path)


def check_place(path: Path) -> None:
    """Refuses a path where no file could be written."""
    if path.exists() and not path.is_file():
        raise Problem(f"{path} is a folder or a device, and no file")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise Problem(f"{path} cannot be written: there is no folder {str(folder)!r}")


def write_whole(mapping: Mapping[str, Any], path: Path) -> None:
    """Writes a state dict so that the file is there complete, or as it was before.

    Of a symbolic link, what it points to is written.
    """
    try:
        _write(mapping, path)
    except OSError as error:  # its own text may name the temporary file
        raise Problem(f"{path} could not be written: {error.strerror or error}") from error
    except (ValueError, ImportError) as error:
        raise Problem(str(error)) from error


def _write(mapping, path):
    target = Path(os.path.realpath(path))
    prefix = f".{target.stem}."
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write_state_dict(mapping, temporary)
        # As of any new file, and not only of the user as of a temporary one.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
