import inspect
import warnings

_OURS = ("jraphx_eqx", "equinox", "jaxtyping")


def warn(message: str) -> None:
    """Warns at the line that called this package, past the wrappers of Equinox and jaxtyping.

    A warning at a line of the package would be shown once for all callers.
    """
    level, frame = 1, inspect.currentframe()
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
