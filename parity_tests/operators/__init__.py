"""One operator, one file, one entry: `OPERATOR`."""
