"""A result with something of everything, for the tests of the report."""

from jraphx_eqx.parity import ULP_EDGES, Kill, Profile, Record, Result

NAN, INF = float("nan"), float("inf")
REPRO = "python -m parity_tests --operator TopKPooling --case random:0 --lane f64"
HOSTILE = '<script>alert("1")</script></style><!--'


def record(operator="TopKPooling", case="random:0", lane="f64", tensor="out.x", **values) -> Record:
    """One comparison of a value, a pass unless told otherwise."""
    given = {"config": "ratio=0.5", "kind": "value", "shape": [4, 2], "tol": 1e-6, **values}
    return Record(operator, given.pop("config"), case, lane, tensor, given.pop("kind"), **given)


def example() -> Result:
    """Every verdict, a near tie, three fates of faults, a divergence, infinities and NaNs."""
    decision = {"kind": "decision", "shape": [], "tol": 0.0}
    pair = {"row_ours": 3, "row_theirs": 17, "score_ours": 0.1234567890123, "score_theirs": 0.125}
    counts = {"EXACT": 3, "NEAR-TIE": 1}
    failed = {"verdict": "FAIL", "repro": REPRO, "max_index": [2, 4]}
    records = [
        record(ratio=0.05, max_abs=5e-8),
        record(tensor="d.x", kind="gradient", ratio=3.2e5, ours_at=-0.18, ref_at=0.027, **failed),
        record(tensor="d.w", kind="gradient", ratio=INF, ours_at=NAN, ref_at=INF, **failed),
        record(tensor="perm", decisions=counts, gap_delta=0.51, near_ties=[pair], **decision),
        record(lane="f32", ratio=0.4, max_abs=4e-7),
        record(case="ties:0", tensor="perm", verdict="MISTRUSTED", message="31 % near", **decision),
        record(case="random:0", operator="GCNConv", verdict="DECLARED", divergence="loop"),
        record(case="no_nodes:0", operator="GCNConv", verdict="NOT VERIFIED", kind="run"),
        record(case=HOSTILE, operator="GCNConv", tensor="<b>", message=HOSTILE, config=HOSTILE),
    ]
    bins = [0] * (len(ULP_EDGES) + 1)
    ours, theirs = [*bins], [*bins]
    ours[12], ours[15], theirs[12] = 900, 30, 1000
    points = [[1.0, 1e-8, 1e-6], [0.0, 0.0, 1e-9], [2.0, 4e-6, 2e-6], [INF, NAN, 1.0]]
    loop = {
        "id": "loop",
        "operators": ["GCNConv"],
        "condition": "a node has several loops",
        "pyg": [0.0625, 0.0625],
        "ours": [0.0, 0.0625],
        "reason": "Only the last loop counts.",
        "link": "https://example.org/loop",
    }
    kills = [
        Kill("k off by one", "TopKPooling", "KILLED", "`k + 1`", "random:0 / f64 / perm", "3 != 4"),
        Kill("eps", "TopKPooling", "SURVIVED", "1e-16 to 1e-12"),
        Kill("order of a sum", "GCNConv", "EQUIVALENT", "", "", "bit-equal"),
    ]
    profiles = [
        Profile("TopKPooling", "f32", "out.x", ours, theirs, points),
        Profile("TopKPooling", "f64", "out.x", ours, bins, points[:2]),
        Profile("GCNConv", "f64", "d.x"),
    ]
    environment = {"jax": "0.10.1", "safety": {"value": 8}}
    return Result(records, environment, profiles, kills, [loop])
