"""The memory that a file asks for, before anything of it is expanded."""

# What any file may ask for, and how many times its own size a larger one may: weights shrink little
# by compression, a file of zeros a thousandfold.
_FREE, _RATIO = 2**26, 32


class TooMuch(ValueError):
    """A file asks for far more memory than it holds."""


def check_declared(declared: int, held: int) -> None:
    """Refuses a file of `held` bytes whose arrays would be of `declared`."""
    if declared > max(_FREE, _RATIO * held):
        raise TooMuch(
            f"it holds {held:,} bytes and declares arrays of {declared:,}, which weights do not "
            "shrink to"
        )


def one_line(error: Exception) -> str:
    """The text of an error in one line; its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
