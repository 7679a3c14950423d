"""The memory that a file asks for, before anything of it is expanded."""

# What any file may ask for, and how many times its own size a larger one may: weights shrink little
# by compression, a file of zeros a thousandfold.
_FREE, _RATIO = 2**26, 32


def check_declared(declared: int, held: int, file: str) -> None:
    """Refuses a file of `held` bytes that would need far more memory than that."""
    if declared > max(_FREE, _RATIO * held):
        raise ValueError(
            f"{file} has {held:,} bytes and declares arrays of {declared:,}; it was not read, as "
            "weights do not shrink like that"
        )


def one_line(error: Exception) -> str:
    """The text of an error in one line; its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
