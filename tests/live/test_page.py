"""The page of a run in a browser: as a file, and served live. Chromium, driven by Playwright; no Temporal server.

Without Chromium these tests are skipped, and say so; where CI is `true` that is a failure.
"""

import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from many import Many, line
from secure import Authority
from simulated import Simulated
from steps import runbook, step
from tool import FLAGSHIP, Tool

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 60
HOSTILE = "</script><img src=x onerror=alert(1)>\u202egnp.exe"

if CHROMIUM is None and os.environ.get("CI") == "true":
    pytest.fail("Chromium is not installed: the page would go untested", pytrace=False)
pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="CHROMIUM IS NOT INSTALLED: the page was not tested"),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield made
        made.close()


@pytest.fixture
def page(browser):
    """A page on which any message on the console, an error or a stopped load fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = context.new_page()
    made.set_default_timeout(SECONDS * 1000)
    said: list[str] = []
    made.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    made.on("pageerror", lambda error: said.append(f"error: {error}"))
    made.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    yield made
    context.close()
    assert said == []


@pytest.fixture
def tool(tmp_path):
    return Tool(None, tmp_path / "tool")


def written(tool: Tool, journal: Path) -> str:
    """The address of the run's file."""
    out = tool.folder / "page.html"
    result = tool.run("report", str(journal), "--out", str(out))
    assert result.code == 0, result
    return out.as_uri()


def found(page, text: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#found")).to_have_text(text, timeout=SECONDS * 1000)


def first_row(page) -> list[str]:
    return page.locator("#grid-body .r").first.locator("span").all_inner_texts()


def test_a_hundred_thousand_rows_are_searched_filtered_and_sorted(tool, page, tmp_path):
    journal = tmp_path / "many.jsonl"
    Many(100_000).write(journal)
    address = written(tool, journal)
    times = {}

    def timed(name, act, text):
        began = time.monotonic()
        act()
        found(page, text)
        times[name] = round(time.monotonic() - began, 2)

    timed("load", lambda: page.goto(address), "100,000 Workflows")
    outcome = page.locator("#f-outcome")
    timed("filter", lambda: outcome.select_option(label="failed (1,000)"), "1,000 of 100,000 Workflows")
    assert "failed" in first_row(page)
    timed("search", lambda: page.fill("#search", "unauthorized"), "334 of 100,000 Workflows")
    page.fill("#search", "")
    outcome.select_option(value="")
    head = page.locator("#grid-head button", has_text="Workflow")
    timed("sort", head.click, "100,000 Workflows")
    assert first_row(page)[0] == "loyalty-3"
    timed("sort again", head.click, "100,000 Workflows")
    assert first_row(page)[0] == "shipment-99997"
    assert page.locator("#grid-body .r").count() < 80, "only what is seen is drawn"
    print(times)


def test_everything_is_reached_by_keyboard(tool, page, tmp_path):
    journal = tmp_path / "few.jsonl"
    Many(300).write(journal)
    page.goto(written(tool, journal))
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    wanted = {"Skip to the run", "Ledger", "search", "f-row", "f-outcome", "grid", "Workflow", "Why"}
    assert wanted <= reached, wanted - reached
    page.focus("#grid")
    for key in ("End", "ArrowUp"):
        page.keyboard.press(key)
    chosen = page.locator("#grid").get_attribute("aria-activedescendant")
    assert chosen == "row-298"
    assert page.locator("#row-298").get_attribute("aria-selected") == "true"
    assert "shipment-298" not in page.locator("#detail").inner_text() and "-298" in page.locator("#detail").inner_text()


def test_a_hostile_name_stays_text(tool, page, tmp_path):
    journal = tmp_path / "hostile.jsonl"

    class Hostile(Many):
        def page(self, first, count):
            records = super().page(first, count)
            records[0]["body"]["claims"][0]["id"] = HOSTILE
            records[0]["body"]["claims"][0]["type"] = HOSTILE
            return records

    Hostile(20).write(journal)
    page.goto(written(tool, journal))
    found(page, "20 Workflows")
    assert page.locator("img").count() == 0
    assert first_row(page)[0] == HOSTILE.replace("\u202e", "\\u{202e}")
    page.locator("#grid-body .r").first.click()
    assert "onerror=alert(1)" in page.locator("#detail").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_and_a_narrow_window_needs_no_scrolling(tool, page, tmp_path, scheme):
    journal = tmp_path / "few.jsonl"
    Many(300).write(journal)
    page.emulate_media(color_scheme=scheme)
    page.goto(written(tool, journal))
    low = page.evaluate(CONTRAST)
    assert low == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


# WCAG 2: 4.5 for text, 3 for large text; of every element that has text of its own.
CONTRAST = """() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const under = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
  const low = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || e.closest("script, title, svg") || !e.checkVisibility() || e.disabled) continue;
    const s = getComputedStyle(e), a = light(parse(s.color)), b = light(under(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(s.fontSize);
    if (ratio < (size >= 24 || (size >= 18.66 && s.fontWeight >= 700) ? 3 : 4.5)) low.push([e.tagName, e.className, e.textContent.slice(0, 30), ratio.toFixed(2)]);
  }
  return low;
}"""


def test_more_tabs_than_a_browser_has_connections_and_who_comes_back_sees_what_is_new(browser, tool, tmp_path):
    many = Many(3)
    journal = tmp_path / "rb-many.jsonl"
    many.write(journal)
    context = browser.new_context()
    context.set_default_timeout(SECONDS * 1000)
    # A headless browser shows all of its tabs.
    context.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.behind === true })")
    turn = "(behind) => { window.behind = behind; document.dispatchEvent(new Event('visibilitychange')); }"
    with tool.begin("serve", "--state-dir", str(tmp_path), "--http", "127.0.0.1:0") as serving:
        tab = context.new_page()
        tab.goto(serving.stdout.readline().strip())
        tab.wait_for_url(re.compile(r"/$"))
        address = f"{tab.url}runs/rb-many"
        tabs = []
        for _ in range(8):
            tab.evaluate(turn, True)
            tab = context.new_page()
            tab.goto(address)
            tab.locator("#live", has_text="as of").wait_for()
            tabs.append(tab)
        with journal.open("a", encoding="utf-8") as file:
            file.write(line([many.record("parked", reason="somebody else has to look")]))
        tab.locator("#head", has_text="somebody else").wait_for()
        assert tabs[0].locator("#head", has_text="somebody else").count() == 0
        tabs[0].evaluate(turn, False)
        tabs[0].locator("#head", has_text="somebody else").wait_for()
        context.close()


def test_the_served_page_follows_a_run_and_takes_an_approval(tool, page, tmp_path):
    # The path of a socket may have 107 bytes, and pytest's folders are deep.
    with Simulated(FLAGSHIP, "all_goes_well", tmp_path) as simulated, tempfile.TemporaryDirectory() as short:
        tool.world = simulated
        given = [*tool.flagship(), "-p", "classes.Order=restartable", f"--listen=unix:{short}/run.sock"]
        with tool.begin("exec", *given) as run, tool.begin("serve", "--http", "127.0.0.1:0") as serving:
            address = serving.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[0-9a-f]{64}", address), address
            page.goto(address)
            page.wait_for_url(re.compile(r"/$"))
            # The list comes anew by itself, when there is a run.
            page.locator("#runs a").first.click()
            yes = page.locator(".open-question button", has_text="Yes")
            yes.wait_for()
            heading = page.locator(".open-question h2").inner_text()
            assert "stop_rollout" in heading, heading
            yes.click()
            # The answer and what came of it arrive by themselves.
            page.locator("#question-1 strong.good", has_text="Yes").wait_for()
            assert "on the page" in page.locator("#question-1").inner_text()
            page.locator("#question-2").wait_for()
            yes.click()
            page.locator("#question-2 strong.good", has_text="Yes").wait_for()
            page.locator("#grid-body .r").first.wait_for()
            with pytest.raises(Exception, match="403"):
                urlopen(Request(address), timeout=10)
            assert run.poll() is None, "looking on does not end it"
            # The stream ends before the server does: its end is no error of the page.
            page.goto("about:blank")


def test_two_browsers_are_one_person_and_another_one_agrees_elsewhere(tool, page, browser, tmp_path):
    from playwright.sync_api import expect

    bob = Authority(tmp_path / "keys", "ours")
    server, client = bob.sign("server", "localhost"), bob.sign("bob", "bob.example.com")
    path = tool.folder / "two.yaml"
    asks = step("switch", "manual.task", instructions="Switch it off.")
    path.write_text(runbook(asks | {"confirm": {"by": 2}}))
    tls = ["--listen=127.0.0.1:0", f"--listen-tls-cert={server.certificate}", f"--listen-tls-key={server.key}"]
    tls.append(f"--listen-tls-client-ca={bob.own.certificate}")
    with Simulated(FLAGSHIP, "all_goes_well", tmp_path) as simulated, tempfile.TemporaryDirectory() as short:
        tool.world = simulated
        given = [str(path), *tool.connection(), f"--listen=unix:{short}/run.sock"]
        with (
            tool.begin("exec", *given) as run,
            tool.begin("serve", "--http", "127.0.0.1:0", *tls) as one,
            tool.begin("serve", "--http", "127.0.0.1:0") as two,
        ):
            listens, first = addresses(one)
            _, second = addresses(two)
            other = browser.new_context().new_page()
            other.set_default_timeout(SECONDS * 1000)
            for window, address in ((page, first), (other, second)):
                window.goto(address)
                window.wait_for_url(re.compile(r"/$"))
                window.locator("#runs a").first.click()
                window.locator(".open-question button", has_text="Yes").wait_for()
                who = window.locator(".answers-as").inner_text()
                assert "one person, whatever the browser" in who and "runbook approve rb-" in who, who
                # What the run says between its records, from its own process.
                expect(window.locator("#live")).to_contain_text("waits for an answer", timeout=SECONDS * 1000)
            page.locator(".open-question button", has_text="Yes").click()
            expect(page.locator("#told")).to_have_text("Your approval counts: 1 of 2.", timeout=SECONDS * 1000)
            # The other browser is told of it, and is the same person.
            expect(other.locator(".open-question")).to_contain_text("Approved by", timeout=SECONDS * 1000)
            # The page may come anew, and the form with it, while the answer is on its way: what is told stays.
            other.locator(".open-question button", has_text="Yes").click()
            expect(other.locator("#told")).to_contain_text("somebody else must agree (1 of 2)", timeout=SECONDS * 1000)
            assert run.poll() is None, "one person twice is not two"
            agreed = tool.run(
                "approve", tool.run_id(), "switch", "--yes", f"--connect=localhost:{listens.rpartition(':')[2]}",
                f"--connect-tls-cert={client.certificate}", f"--connect-tls-key={client.key}",
                f"--connect-tls-ca={bob.own.certificate}",
            )  # fmt: skip
            assert agreed.code == 0 and "Answered: yes, by" in agreed.stderr, agreed
            for window in (page, other):
                window.locator("#question-1 strong.good", has_text="Yes").wait_for()
                asked = window.locator("#question-1").inner_text()
                assert "on the page" in asked and "bob.example.com" in asked, asked
                window.goto("about:blank")
            assert run.wait(SECONDS) == 0
            other.context.close()


def addresses(serving) -> tuple[str, str]:
    """Where the API is, if it is, and the page's address."""
    lines = [""]
    while not lines[-1].startswith("http://"):
        lines.append(serving.stdout.readline().strip())
        assert lines[-1], "it ended"
    return lines[-2], lines[-1]
