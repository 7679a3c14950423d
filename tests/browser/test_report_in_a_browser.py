"""The report in a real browser. `nox -s browser` runs it; elsewhere it is skipped, visibly.

`REPORT_SCREENSHOTS=folder` keeps pictures of the page.
"""

import os
import shutil
from pathlib import Path

import pytest
from report_example import example

from jraphx_eqx.report import to_html

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# What sticks out of the window although no box of its own scrolls it.
CUT_OFF = """() => [...document.querySelectorAll("body *")].filter(e =>
    e.getClientRects().length && !e.closest(".scroll > *") && !e.closest("svg") &&
    (e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1 ||
     e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != "inline" &&
     !e.matches(".scroll"))
).map(e => e.outerHTML.slice(0, 200))"""
LABELS_CUT_OFF = """() => [...document.querySelectorAll("svg[role=img]")].filter(svg => {
    const box = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text, use")].some(text => {
        const at = text.getBoundingClientRect();
        return at.left < box.left - 1 || at.right > box.right + 1 || at.bottom > box.bottom + 1;
    });
}).map(svg => svg.outerHTML.slice(0, 300))"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    before = example()
    before.environment["jax"], before.records[0].verdict = "0.9.0", "FAIL"
    path.write_text(to_html(example(), before=before), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def open_page(browser, address):
    """Opens the report; at the end checks that it asked for nothing and that nothing went wrong."""
    contexts, troubles, requests = [], [], []

    def open_page(width=1200, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []
    assert set(requests) == {address}


def unfold(page):
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_nothing_is_cut_off(open_page, width, scheme):
    page = open_page(width, color_scheme=scheme)
    if folder := os.environ.get("REPORT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"report-{width}-{scheme}.png", full_page=True)
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate(LABELS_CUT_OFF) == []


def test_the_check_for_what_is_cut_off_can_fail(open_page):
    page = open_page(400)
    page.evaluate("document.querySelector('h1').style.width = '900px'")
    assert len(page.evaluate(CUT_OFF)) > 0
    page.evaluate("document.querySelector('svg[role=img] text').setAttribute('x', -20)")
    assert len(page.evaluate(LABELS_CUT_OFF)) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_it_is_written_on(open_page, scheme):
    page = open_page(color_scheme=scheme)
    unfold(page)
    # The contrast of WCAG 2, of which 4.5 is asked for text.
    found = page.evaluate("""() => {
        const parse = color => (color.match(/[\\d.]+/g) || []).map(Number);
        const light = rgb => rgb.slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const behind = e => {
            for (; e; e = e.parentElement) {
                const color = parse(getComputedStyle(e).backgroundColor);
                if (color.length == 3 || color[3] == 1) return color;
            }
            return [255, 255, 255];
        };
        return [...document.querySelectorAll("body *")].filter(e => !e.closest("svg, script") &&
            [...e.childNodes].some(node => node.nodeType == 3 && node.data.trim())).map(e => {
            const [a, b] = [parse(getComputedStyle(e).color), behind(e)].map(light)
                .sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 150)];
        });
    }""")
    assert len(found) > 100
    assert [entry for entry in found if entry[0] < 4.5] == []


@pytest.mark.parametrize("javascript", [True, False])
def test_a_cell_leads_to_the_details_of_its_case(open_page, javascript):
    page = open_page(java_script_enabled=javascript)
    details = page.locator("#case-0")
    assert not details.is_visible()
    page.click(".matrix td.FAIL a")
    details.get_by_text("d.x").wait_for(state="visible", timeout=5000)
    assert page.locator("#case-3").is_visible() is False


def test_tables_that_are_too_wide_scroll_in_their_own_box(open_page):
    page = open_page(400)
    boxes = page.locator(".scroll").evaluate_all(
        "boxes => boxes.map(b => [b.scrollWidth > b.clientWidth, getComputedStyle(b).overflowX])"
    )
    assert any(wide for wide, _ in boxes)
    assert {overflow for _, overflow in boxes} == {"auto"}


def test_the_page_is_readable_without_javascript(open_page):
    page = open_page(java_script_enabled=False)
    assert page.get_by_role("heading", name="Needs attention").is_visible()
    assert page.locator("#failures pre").first.is_visible()
