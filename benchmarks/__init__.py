"""Times our pools beside those of PyG and JraphX, on the same inputs, in one run."""
