"""The page says what is in the result, and nothing in the result can break it."""

import copy
import re
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest
from report_example import HOSTILE, REPRO, example, record

from jraphx_eqx.parity import Profile, Result
from jraphx_eqx.report import to_html

VOID = {"meta", "link"}


class Page(HTMLParser):
    """The elements of a page; checks that every one is closed, in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[tuple[str, dict]] = []
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        within = self.open[-1][0] if self.open else ""
        self.texts.append((within, data))

    def of(self, tag: str, kind: str = "") -> list[dict]:
        """The attributes of the elements of this name and class."""
        found = [attrs for name, attrs in self.elements if name == tag]
        return [attrs for attrs in found if not kind or kind in (attrs.get("class") or "").split()]

    @property
    def sections(self) -> list[str]:
        return [attrs["id"] for attrs in self.of("section") if "case" not in attrs["id"]]

    @property
    def text(self) -> str:
        return " ".join(data for tag, data in self.texts if tag not in ("style", "script"))


@pytest.fixture(scope="module")
def page():
    return Page(to_html(example()))


def test_failures_come_first_and_say_how_to_repeat_them(page):
    assert page.sections == [
        "failures",
        "summary",
        "matrix",
        "errors",
        "decisions",
        "faults",
        "divergences",
        "environment",
    ]
    shown = " ".join(page.text[: page.text.rindex("Summary")].split())
    assert REPRO in shown
    assert "at [2, 4]: ours -0.18, reference 0.027" in shown


def test_every_link_in_the_page_leads_somewhere(page):
    places = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    inner = [a["href"][1:] for a in page.of("a") if a["href"].startswith("#")]
    assert len(inner) > 15
    assert set(inner) <= places
    assert len(places) == len([1 for _, attrs in page.elements if "id" in attrs])


@pytest.mark.parametrize(
    "ratio, shade, text",
    [
        (0.0, "s0", "="),
        (1e-3, "s1", "−3.0"),  # noqa: RUF001
        (0.05, "s2", "−1.3"),  # noqa: RUF001
        (0.2, "s3", "−0.7"),  # noqa: RUF001
        (1.0, "s4", "0.0"),
        (5.0, "s5", "×"),  # noqa: RUF001
        (500.0, "s6", "×"),  # noqa: RUF001
        (1e9, "s7", "×"),  # noqa: RUF001
        (float("inf"), "s7", "×"),  # noqa: RUF001
        (float("nan"), "s7", "×"),  # noqa: RUF001
    ],
)
def test_a_cell_is_coloured_by_the_logarithm_of_error_over_tolerance(ratio, shade, text):
    verdict = "PASS" if ratio <= 1 else "FAIL"
    shown = to_html(Result([record(ratio=0.0), record(tensor="d.x", ratio=ratio, verdict=verdict)]))
    cells = re.findall(r'<td class="(s\d) (\w+)"><a href="#case-0"[^>]*>([^<]*)</a>', shown)
    assert cells == [(shade, verdict, text)]


@pytest.mark.parametrize(
    "verdict, symbol",
    [("FAIL", "×"), ("DECLARED", "D"), ("MISTRUSTED", "?"), ("NOT VERIFIED", "○")],  # noqa: RUF001
)
def test_what_is_not_a_pass_has_a_symbol_in_the_matrix_and_in_its_legend(verdict, symbol):
    shown = to_html(Result([record(ratio=0.1), record(tensor="d.x", verdict=verdict)]))
    kind = verdict.replace(" ", "-")
    assert re.search(rf'<td class="s\d {kind}"><a [^>]*>{re.escape(symbol)}</a>', shown)
    assert f"<b>{symbol}</b>{verdict}" in shown


def test_an_output_that_is_judged_nowhere_does_not_pass():
    weights, hidden = record(tensor="weights", kind="weights"), record(verdict="UNJUDGED")
    for more, verdict in [([], "UNJUDGED"), ([record()], "PASS"), ([record(case="b")], "UNJUDGED")]:
        shown = to_html(Result([weights, hidden, *more]))
        assert f' {verdict}"><a href="#case-0"' in shown


@pytest.mark.parametrize(
    ("flag", "meaning"),
    [("IMPRECISE", "float32 error is above 1e-4"), ("COARSE", "off by more than 1e-12")],
)
def test_a_flag_is_shown_with_what_it_means(flag, meaning):
    shown = to_html(Result([record(ratio=0.1, flags=[flag])]))
    assert re.search(f"{flag}: [^<]*{meaning}", shown)


def test_a_declared_difference_does_not_colour_its_cell():
    declared = record(tensor="d.x", verdict="DECLARED", ratio=1e13, divergence="loop")
    shown = to_html(Result([record(ratio=0.05), declared]))
    assert '<td class="s2 DECLARED">' in shown


def test_a_row_per_operator_and_a_block_per_lane():
    records = [record(operator, lane=lane) for operator in "AB" for lane in ("f64", "f32", "exact")]
    page = Page(to_html(Result(records)))
    assert len(page.of("table", "matrix")) == 3
    assert len(page.of("td", "PASS")) == 6


def test_text_of_the_result_is_never_markup(page):
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert [tag for tag, _ in page.elements].count("style") == 1
    assert HOSTILE in page.text
    text = to_html(Result(environment={"a": "@css@ @js@ @body@"}), title=HOSTILE)
    assert Page(text).of("h1")
    assert "@css@ @js@ @body@" in Page(text).text
    assert HOSTILE not in text


def test_a_link_of_a_divergence_is_followed_only_if_it_is_a_web_address():
    result = example()
    assert 'href="https://example.org/loop"' in to_html(result)
    result.divergences[0]["link"] = "javascript:alert(1)"
    assert 'href="javascript' not in to_html(result)


def test_the_page_needs_no_other_file(page):
    for tag, attrs in page.elements:
        assert "src" not in attrs and tag not in ("img", "iframe", "object", "embed")
    assert [attrs["href"] for attrs in page.of("link")] == ["data:,"]
    (style,) = (data for tag, data in page.texts if tag == "style")
    assert "url(" not in style and "@import" not in style and "@font-face" not in style
    assert "default-src 'none'" in page.of("meta")[2]["content"]


def test_points_above_the_tolerance_are_crosses_and_are_counted(page):
    # Of the four points one is above the line; one is no number.
    assert len(page.of("path", "above")) == 2  # in its place and among the closest
    assert "× 1 above the tolerance" in page.text  # noqa: RUF001
    assert "NaN left out" in page.text


def test_points_above_the_tolerance_that_are_declared_are_no_failures():
    result = Result(
        [record(lane="f32", verdict="DECLARED", divergence="loop")],
        profiles=[Profile("TopKPooling", "f32", "out.x", [1] * 25, points=[[1.0, 2.0, 1.0]])],
    )
    page = Page(to_html(result))
    assert "declared: loop" in " ".join(page.text.split())
    assert "1 above the tolerance" not in page.text
    result.records.append(record(lane="f32", case="random:1", verdict="FAIL"))
    assert "1 above the tolerance" in Page(to_html(result)).text


def test_histograms_overlay_both_sides_on_one_axis():
    result = Result(profiles=[p for p in example().profiles if p.lane == "f32"])
    (ours,) = {a["d"] for a in Page(to_html(result)).of("path", "ours")}
    (theirs,) = {a["d"] for a in Page(to_html(result)).of("path", "theirs")}

    def top(path):
        return min(float(y) for y in re.findall(r"V([\d.]+)", path))

    # The fullest bin, 1000 of theirs, reaches the top; 900 on a logarithmic axis nearly so.
    assert top(theirs) == 8
    assert 8 < top(ours) < 10
    # Bins 12 and 15 of ours, 12 of theirs: up and down again.
    assert (ours.count("V"), theirs.count("V")) == (5, 3)


def test_decisions_list_rows_that_were_chosen_differently(page):
    shown = " ".join(page.text.split())
    for text in ("row ours", "score theirs", "17", "0.1234567890123", "0.125", "NEAR-TIE"):
        assert text in shown


def test_the_kill_matrix_names_the_check_and_opens_at_survivors(page):
    cells = {kind: len(page.of("td", kind)) for kind in ("KILLED", "SURVIVED", "EQUIVALENT")}
    assert cells == {"KILLED": 1, "SURVIVED": 1, "EQUIVALENT": 1}
    assert "random:0 / f64 / perm" in page.text
    assert "1/2 of the faults that change a result were killed." in page.text
    assert len([a for a in page.of("details") if "open" in a]) == 1


def test_divergences_show_both_values_and_how_often_they_were_met(page):
    shown = " ".join(page.text.split())
    assert "[0.0625, 0.0625]" in shown and "[0.0, 0.0625]" in shown
    assert "It covers 1 comparison of this run." in shown
    assert "Only the last loop counts." in shown


def test_the_drift_since_an_earlier_run_is_shown_on_demand():
    result, before = example(), example()
    assert "drift" not in Page(to_html(result)).sections
    assert "Nothing changed since" in to_html(result, before=before)
    before.environment["jax"] = "0.9.0"
    page = Page(to_html(result, before=before))
    assert "drift" in page.sections
    assert "0.9.0" in page.text


def test_an_empty_result_says_that_nothing_was_compared():
    page = Page(to_html(Result()))
    assert "Nothing was compared." in page.text and "NOT VERIFIED" in page.text
    assert page.sections == ["summary", "environment"]


@pytest.mark.parametrize("number", [0.0, 5e-324, 1.7e308, float("inf"), float("nan"), -1.0])
def test_any_number_can_be_shown(number):
    values = {"ratio": number, "max_abs": number, "tol": number, "digits": number}
    more = {"rms_ratio": number, "gap_delta": number, "ours_at": number, "ref_at": number}
    records = [
        record(verdict="FAIL", **values, **more),
        record(tensor="perm", decisions={"TIE": 1}, near_ties=[{"score": number}], **more),
    ]
    points = [[number, 1.0, 1.0], [1.0, number, 1.0], [1.0, 1.0, number]]
    result = Result(records, profiles=[Profile("TopKPooling", "f64", "out.x", points=points)])
    page = Page(to_html(result, before=copy.deepcopy(result)))
    for path in (attrs["d"] for attrs in page.of("path")):
        assert not re.search("nan|inf", path)


def test_the_page_depends_on_the_file_alone(tmp_path):
    result = example()
    result.divergences[0]["pyg"] = [float("nan"), float("-inf")]
    result.save(tmp_path / "result.json")
    back = Result.read(tmp_path / "result.json")
    assert to_html(back) == to_html(back) == to_html(result)


def test_rendering_needs_neither_torch_nor_a_run():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from jraphx_eqx.parity import Result\n"
        "from jraphx_eqx.report import to_html\n"
        "assert '<main>' in to_html(Result())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_of_a_large_run_is_light():
    operators = [f"Operator{i}" for i in range(10)]
    tensors = ["out.x", "d.x", "d.weight", "d.bias", "perm", "score"] * 2
    result = Result(
        [
            record(operator, f"case:{case}", lane, f"{tensor}{place}", ratio=0.01 * place,
                   repro=f"{REPRO} --seed {case}")
            for operator in operators
            for case in range(25)
            for lane in ("f64", "f32")
            for place, tensor in enumerate(tensors)
        ],
        profiles=[
            Profile(operator, lane, f"d.{i}", list(range(25)), list(range(25, 0, -1)),
                    [[10.0 ** (k / 2), 1e-9 * (i + 1) * k, 1e-6] for k in range(-12, 8)])
            for operator in operators
            for lane in ("f64", "f32")
            for i in range(25)
        ],
    )  # fmt: skip
    assert (len(result.records), len(result.profiles)) == (6000, 500)
    start = time.perf_counter()
    page = to_html(result)
    seconds = time.perf_counter() - start
    assert len(page.encode()) < 3_000_000
    assert seconds < 20  # 1 s here; a square law would take minutes
