"""What the benchmark makes of its measurements: ratios, targets, tables, pictures, the page."""

import json
import pathlib

import pytest

from benchmarks import _machine, _page, _plots, _tables, _targets

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "assets" / "benchmarks"


def record(framework, turns=None, *, part="layers", operator="TopKPooling", graphs=128, **other):
    found = {} if turns is None else {"seconds": turns}
    names = {"size": f"{graphs} x 32", "graphs": graphs, "nodes": 32, "dtype": "float32"}
    names |= {"operator": operator, "pass": "forward + backward", "framework": framework}
    return {"part": part, **names, **found, **other}


def outcome(records, name, against):
    found = _targets.outcomes(records)
    return next(
        o
        for o in found
        if (o.target.name, o.target.against) == (name, against)
        and ("forward + backward" in o.target.passes)
    )


RECORDS = [
    record("ours", [[1.0, 2.0], [3.0, 100.0, 2.0]]),
    record("PyG", [[8.0, 8.0]]),
    record("JraphX", error="RuntimeError: a reason"),
    record("ours", [[2.0]], graphs=1024),
    record("PyG", [[5.0]], graphs=1024),
    record("ours", [[9.0]], graphs=4),
    record("PyG", [[1.0]], graphs=4),
]
RESULTS = {
    "machine": {
        "processor": "A processor",
        "cores": 2,
        "memory_gib": 8.0,
        "system": "Linux",
        "python": "3.11",
        "date": "2026-01-02",
    },
    "busy": 0.0,
    "versions": {"jax": "0.10"},
    "options": {"quick": False, "passive": False},
    "skipped": ["DD: a reason"],
    "records": RECORDS,
}


def test_a_ratio_is_of_the_medians_of_all_turns():
    found = outcome(RECORDS, "TopK, 128 graphs or more", "PyG")
    assert found.ratios == [2.0 / 8.0, 2.0 / 5.0]


def test_a_target_is_met_only_in_all_the_cells_it_covers():
    found = outcome(RECORDS, "TopK, 128 graphs or more", "PyG")
    assert found.met == "in 1 of 2"  # at most 0.33; the cell of four graphs is not covered
    assert outcome(RECORDS[:3], "TopK, 128 graphs or more", "PyG").met == "yes"


def test_what_was_not_measured_is_not_met():
    assert outcome(RECORDS, "TopK, 128 graphs or more", "JraphX").met == "not measured"
    row = next(row for row in _tables.summary(RECORDS).rows if row[2] == "JraphX")
    assert row[-4:] == ["-", "-", "-", "not measured"]


def test_memory_counts_from_what_was_there_before():
    sizes = {"ours": (100, 500), "PyG": (1000, 1800)}
    records = [
        record(name, part="memory", graphs=1, memory={"before": before, "peak": peak})
        | {"nodes": 10**6}
        for name, (before, peak) in sizes.items()
    ]
    assert outcome(records, "peak memory, 1e6 nodes", "PyG").ratios == [0.5]
    assert (
        outcome([r | {"nodes": 10} for r in records], "peak memory, 1e6 nodes", "PyG").ratios == []
    )


def test_a_table_shows_median_spread_and_ratio_and_a_dash_for_a_failure():
    table = _tables.part(RECORDS, "layers")
    assert table.header[4:] == ["ours (ms)", "PyG (ms)", "JraphX (ms)", "/ PyG", "/ JraphX"]
    assert table.rows[0][4:] == ["2000 ± 2e+04", "8000", "-", "0.250", "-"]
    assert _tables.failures(RECORDS) == [
        "JraphX, TopKPooling forward + backward, layers 128 x 32: RuntimeError: a reason"
    ]


def test_rewriting_changes_only_what_is_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{_page.BEGIN}\nold\n{_page.END}\nafter\n")
    _page.rewrite(page, RESULTS, tmp_path / "pictures")
    once = page.read_text()
    _page.rewrite(page, RESULTS, tmp_path / "pictures")
    assert page.read_text() == once
    assert once.startswith("before\n") and once.endswith("after\n") and "old" not in once
    assert "A processor, 2 cores" in once and "- DD: a reason" in once
    assert "not idle" not in once


def test_the_page_tells_of_a_busy_machine():
    assert "others used 60 % of its cores" in _page.block(RESULTS | {"busy": 0.6}, "", [])


def test_the_page_tells_of_huge_pages():
    results = RESULTS | {"options": {"huge_pages": True}}
    assert "huge pages (`glibc.malloc.hugetlb=1`)" in _page.block(results, "", [])
    assert "huge pages" not in _page.block(RESULTS, "", [])


def test_the_page_tells_of_memory_that_is_kept():
    results = RESULTS | {"options": {"keep_memory": True}}
    assert "GLIBC_TUNABLES=glibc.malloc.arena_max=1:" in _page.block(results, "", [])
    assert "GLIBC_TUNABLES" not in _page.block(RESULTS, "", [])


def test_a_page_without_marks_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="to write between"):
        _page.rewrite(page, RESULTS, tmp_path)


def test_pictures_are_drawn_of_what_there_is_and_are_the_same_each_time(tmp_path):
    growing = [
        record("ours", [[t]], part="scaling", graphs=1) | {"nodes": n}
        for n, t in ((10, 0.1), (100, 0.2))
    ]
    assert _plots.draw([*RECORDS, *growing], tmp_path) == ["ratios", "scaling"]
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    _plots.draw([*RECORDS, *growing], tmp_path)
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert _plots.draw([], tmp_path / "none") == []


@pytest.mark.parametrize(
    ("page", "folder"),
    [
        ("benchmarks", FOLDER),
        ("benchmarks-kept-memory", FOLDER / "kept"),
        ("on-a-gpu", FOLDER / "gpu"),
    ],
)
def test_the_documentation_shows_the_recorded_results(page, folder):
    results = json.loads((folder / "results.json").read_text())
    text = (ROOT / "docs" / f"{page}.md").read_text()
    shown = text.partition(_page.BEGIN)[2].partition(_page.END)[0]
    drawn = [name for name in _page.CAPTIONS if (folder / f"{name}.svg").is_file()]
    place = folder.relative_to(ROOT / "docs").as_posix()
    assert shown.strip() == _page.block(results, place, drawn).strip()


def test_a_page_of_a_gpu_names_it_and_has_no_targets():
    block = _page.block(RESULTS | {"machine": RESULTS["machine"] | {"device": "H1"}}, "", [])
    assert "**H1**, with A processor, 2 cores" in block and "### Targets" not in block
    assert "### Targets" in _page.block(RESULTS, "", [])


@pytest.mark.parametrize(
    ("library", "setting", "problem"),
    [
        (("glibc", "2.36"), "always [madvise] never", ""),
        (("glibc", "2.35"), "[always] madvise never", ""),
        (("glibc", "2.34"), "[always] madvise never", "must be glibc 2.35 or newer"),
        (("", ""), "[always] madvise never", "must be glibc 2.35 or newer, this is ?"),
        (("glibc", "2.36"), "always madvise [never]", "must be set to madvise or always"),
        (("glibc", "2.36"), None, "it is missing"),
    ],
)
def test_huge_pages_need_a_c_library_and_a_kernel_that_have_them(
    library, setting, problem, monkeypatch, tmp_path
):
    monkeypatch.setattr(_machine.platform, "libc_ver", lambda: library)
    monkeypatch.setattr(_machine, "_SETTING", tmp_path / "enabled")
    if setting is not None:
        (tmp_path / "enabled").write_text(setting)
    found = _machine.no_huge_pages()
    assert problem in found if problem else found == ""
