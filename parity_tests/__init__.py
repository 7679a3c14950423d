"""Every operator of the library against its PyTorch Geometric original. See `__main__`."""
