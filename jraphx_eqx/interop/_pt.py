"""Tensors by name in files of PyTorch."""

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import Keep, as_tensor, from_tensor, is_tensor, no_array
from ._declared import TooMuch, check_declared, one_line
from ._pickled import place_of

# Where training scripts commonly put the state dict in a checkpoint that holds more.
_USUAL_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module")

_REFUSED_CLASS = re.compile(r"Unsupported (?:global|class): GLOBAL (\S+)|Unsupported class (\S+)")
_ADVICE = "it must hold tensors only, as written by torch.save(module.state_dict(), path)"


def read(path: Path, key: str | None, keep: Keep) -> dict[str, np.ndarray]:
    """The tensors of the state dict that are to be kept, as arrays."""
    tensors = _state_dict(_load(path), path.name, key)
    tensors = {name: tensors[name] for name in keep(tensors)}
    for name, tensor in tensors.items():
        reason = no_array(tensor)
        if reason:
            raise ValueError(f"{path.name}: {name!r} {reason}")
    try:
        # A tensor may be one number that is expanded.
        declared = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        check_declared(declared, path.stat().st_size)
    except TooMuch as error:
        raise ValueError(f"{path.name} cannot be read as weights: {error}") from error
    return {name: from_tensor(tensor) for name, tensor in tensors.items()}


def write(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes what `torch.load` reads."""
    torch = _torch(path)
    tensors = {name: as_tensor(array) for name, array in arrays.items()}
    try:
        torch.save(tensors, path)
    except RuntimeError as error:  # as of a full disk
        raise OSError(f"torch.save could not write all of it ({one_line(error)})") from error


def _load(path):
    torch = _torch(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of layouts that are in beta
            mapped = _can_be_mapped(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # of many types, for damage and for what is not allowed
        reason = _why_unread(path, error)
        raise ValueError(f"{path.name} cannot be read as weights: {reason}") from error


def _can_be_mapped(path):
    """Whether the tensors are in the file as in memory, and need not be read into it first."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    check_declared(sum(member.file_size for member in members), path.stat().st_size)
    return all(member.compress_type == zipfile.ZIP_STORED for member in members)


def _why_unread(path, error):
    text = one_line(error)
    if isinstance(error, TooMuch):
        return text
    found = _REFUSED_CLASS.search(text)
    if found:
        kind = found[1] or found[2]
        place = place_of(kind, path)
        where = f"its entry {place!r} holds" if place else "it holds"
        return f"{where} {kind}, which is no tensor; {_ADVICE}"
    if isinstance(error, EOFError) or path.stat().st_size == 0:
        return "it is empty, or ends too early"
    if isinstance(error, RuntimeError | OSError | MemoryError):
        # What follows is torch's advice.
        return f"{text.split('. ')[0]}; {_ADVICE}"
    return f"it was not written by torch.save, or is damaged; {_ADVICE}"


def _state_dict(content: Any, file: str, key: str | None) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{file} must hold a state dict, got {type(content).__name__}; write it by "
            "torch.save(module.state_dict(), path)"
        )
    if key is not None:
        chosen = _under(content, key)
        if not _holds_tensors(chosen):
            raise ValueError(f"{file} has no state dict under {key!r}; it has {_keys(content)}")
        return chosen
    if _holds_tensors(content):
        return content
    found = dict(_usual(content))
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise ValueError(
            f"{file} has several state dicts, under {', '.join(map(repr, found))}; say which with "
            "key="
        )
    nested = [name for name, value in content.items() if _holds_tensors(value)]
    advice = f"say which with key=, one of {nested}" if nested else "none of these holds tensors"
    others = [name for name, value in content.items() if not is_tensor(value)]
    if len(others) < len(content):
        advice = f"these are not tensors: {', '.join(map(repr, others[:10]))}"
    raise ValueError(f"{file} is no state dict; it has {_keys(content)}; {advice}")


def _usual(content, path=""):
    """The state dicts under usual keys, with the keys on the way to them."""
    for name in _USUAL_KEYS:
        value = content.get(name)
        if _holds_tensors(value):
            if value:
                yield f"{path}{name}", value
        elif isinstance(value, Mapping):
            yield from _usual(value, f"{path}{name}.")


def _under(content: Mapping[Any, Any], key: str) -> Any:
    """What is under a key, or under several with dots."""
    if key in content or "." not in key:
        return content.get(key)
    first, rest = key.split(".", 1)
    inner = content.get(first)
    return _under(inner, rest) if isinstance(inner, Mapping) else None


def _holds_tensors(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(isinstance(name, str) and is_tensor(tensor) for name, tensor in value.items())


def _keys(content):
    names = list(map(repr, content))
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _torch(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{path.suffix} files need PyTorch: pip install torch") from error
    return torch
