from jaxtyping import Array, Int, Num


def gather(x: Num[Array, "rows ..."], index: Int[Array, "..."]) -> Num[Array, "..."]:
    """Rows of `x`; zeros, with zero gradient, where `index` is past the end."""
    return x.at[index].get(mode="fill", fill_value=0)
