"""What a comparison can say of a tensor, and of an injected fault."""

PASS, FAIL, DECLARED = "PASS", "FAIL", "DECLARED"
MISTRUSTED, NOT_VERIFIED, UNJUDGED = "MISTRUSTED", "NOT VERIFIED", "UNJUDGED"
# The gravest first.
SEVERITY = (FAIL, NOT_VERIFIED, MISTRUSTED, DECLARED, PASS, UNJUDGED)

UNUSED, ZERO, IMPRECISE, COARSE = "NO TORCH GRADIENT", "ZERO", "IMPRECISE", "COARSE"
# What each flag of a record means, for those who read it in a report.
FLAGS = {
    UNUSED: "PyTorch does not differentiate it",
    ZERO: "zero up to rounding on both sides, beside the other gradients",
    IMPRECISE: "PyTorch's own float32 error is above 1e-4 of it",
    COARSE: "our float64 result is off by more than 1e-12 of it, which the tolerance allows",
}

KILLED, SURVIVED, EQUIVALENT = "KILLED", "SURVIVED", "EQUIVALENT"
