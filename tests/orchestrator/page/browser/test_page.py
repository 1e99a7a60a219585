"""The page in a real browser: each view, a run that grows, a phone's width, dark and light, keyboard only."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from chromium import find_chromium
from toyproject import DEFAULT_CONFIG, WAIT_S, Toy, wait_until

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
expect = sync_api.expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed"),
]

TOKEN = "only-those-who-know-this-see-it"
HOSTILE = '<img src=x onerror="window.hostile = 1"><script>window.hostile = 1</script>'

# Goes on when the page has begun to show the place.
GO_TO = """place => new Promise((begun) => {
    const before = location.hash;
    addEventListener("hashchange", () => setTimeout(begun), {once: true});
    location.hash = place;
    if (location.hash === before) begun();
})"""

MODULE = f'''
"""Jobs that learn a little before they wait, and a little after; what they print and are called is hostile."""

import numpy as np

import seedfold
import toy.work
from seedfold.results.store.thumbnails import write_thumbnails
from seedfold.trainers.data.thumbnails import make_thumbnail

PRELOAD = toy.work.PRELOAD


def run(work):
    """Log three steps, predict, keep the pictures of some samples, log three more."""
    log(work, range(3))
    print({HOSTILE!r}, flush=True)
    toy.work.run(work)
    picture = make_thumbnail(np.eye(8))
    write_thumbnails(work.staging, "val", {{f"s{{number:03d}}": picture for number in range(0, 12, 3)}})
    log(work, range(3, 6))


def log(work, steps):
    """One value of each metric and step."""
    for step in steps:
        value = 1 - 1 / (2 + step + work.config["seed"])
        seedfold.current().log({{"val/accuracy": value, "val/loss": 1 - value}}, step=step)
'''

STUDY = f"""# @package _global_
{DEFAULT_CONFIG}
study: curves
note: plain
matrix:
  seed: [0, 1, 2]
  note: [plain, '{HOSTILE}']
"""


@dataclass
class Window:
    """A page of the browser, and all that went wrong in it."""

    page: Any
    address: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("request", self._watch)
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))

    def _hear(self, message: Any) -> None:
        # Of the content security policy the browser complains here, too.
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.problems.append(f"request to another host: {request.url}")

    def open(self, place: str) -> Any:
        """Go to a place behind the ``#``; return the page when it has loaded what it shows."""
        self.page.evaluate(GO_TO, place)
        expect(self.page.locator(".loading")).to_have_count(0)
        expect(self.page.locator("[aria-busy=true]")).to_have_count(0)
        return self.page

    def check(self) -> None:
        """Nothing went wrong, nothing is broader than the window, and no hostile text was run."""
        assert self.problems == []
        assert self.page.evaluate("window.hostile") is None
        assert self.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.fixture
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        # The sandbox of Chromium cannot be had by root, as which CI runs.
        started = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        expect.set_options(timeout=1000 * WAIT_S)
        yield started
        started.close()


def open_window(browser: Any, address: str, **options: Any) -> Window:
    """A window with cookies of its own that knows the token."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(1000 * WAIT_S)
    window = Window(context.new_page(), address)
    window.page.goto(f"{address}/?token={TOKEN}")
    expect(window.page.get_by_role("heading", level=1)).to_be_visible()
    return window


@contextmanager
def served(toy: Toy, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server of the project's root: its address and its process."""
    process = toy.start("serve", "--port", str(port), "--token", TOKEN)
    try:
        lines: list[str] = []
        while not (found := re.search(r"(http://[^/]+)/", "".join(lines[-1:]))):
            lines.append(process.stdout.readline())  # type: ignore[union-attr]
            assert lines[-1], f"the server ended with {process.wait()}: {process.stderr.read()}"  # type: ignore[union-attr]
        yield found[1], process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_S)


def test_all_views_in_a_browser(toy: Toy, browser: Any) -> None:
    (toy.folder / "toy" / "curves.py").write_text(MODULE)
    toy.write_experiment(
        "curves", STUDY.replace("toy.light.run", "toy.curves.run").replace("fail_seeds: []", "fail_seeds: [2]")
    )
    toy.hold_jobs()
    assert toy.launch("--detach", experiment="curves").returncode == 0
    with served(toy) as (address, process):
        window = open_window(browser, address)
        watch_it_grow(toy, window)
        ids = window.page.evaluate("fetch('/api/studies/curves/jobs?state=done').then((answer) => answer.json())")[
            "rows"
        ]
        ids = [row[0] for row in ids]
        look_at_each_view(window, ids)
        use_the_keyboard(window)
        window.check()
        look_on_a_phone(browser, address, ids)
        lose_the_server(toy, window, process, int(address.rpartition(":")[2]))


def watch_it_grow(toy: Toy, window: Window) -> None:
    """The curves of jobs that run get longer in the chart that is open, and it stays where it is."""
    page = window.page
    expect(page.get_by_role("link", name="curves", exact=True)).to_be_visible()
    window.open("/studies/curves/curves")
    expect(page.locator("canvas")).to_be_visible()
    expect(page.locator(".legend .running").first).to_be_visible()
    page.get_by_text("The numbers").click()
    expect(page.locator(".numbers tbody tr")).to_have_count(3)
    before = page.locator("canvas").element_handle()
    toy.release_jobs()
    expect(page.locator(".numbers tbody tr")).to_have_count(6)
    assert page.evaluate("before => before.isConnected", before)
    window.open("/studies/curves")
    expect(page.locator(".states").first).to_contain_text("2 failed")
    expect(page.locator(".states").first).to_contain_text("4 done")
    wait_until(lambda: toy.states("curves") == {"done": 4, "failed": 2})
    expect(page.locator(".end")).to_contain_text("No job is running")


def look_at_each_view(window: Window, ids: list[str]) -> None:
    """Each view has what it is for, and hostile texts are texts in all of them."""
    page = window.page
    headline = table(window.open("/studies/curves"), "Results")
    expect(headline).to_contain_text("plain")
    expect(headline).to_contain_text(HOSTILE)
    headline.get_by_role("button", name="note").click()
    expect(headline.locator("th[aria-sort=ascending]")).to_have_count(1)
    expect(page.locator(".bests .lead").first).to_contain_text("Best of 2 so far")

    window.open("/studies/curves/settings?metric=val.accuracy")
    expect(page.get_by_role("img", name=re.compile("against note"))).to_be_visible()
    brush(page)

    window.open("/studies/curves/evaluation?split=val")
    expect(table(page, "Confusion").first.locator("tbody tr")).to_have_count(3)
    expect(page.get_by_role("heading", name="ROC")).to_be_visible()

    window.open("/studies/curves/failures")
    expect(page.locator(".failures pre")).to_contain_text("seed 2 is an unlucky one")
    expect(page.locator(".failures summary")).to_contain_text("2 jobs")
    expect(page.locator(".failures")).to_contain_text("Every job with seed=2 that has ended failed so, and no other.")
    expect(page.locator(".failures .command code")).to_contain_text("seedfold resume curves --kind error")
    page.locator(".states a").filter(has_text="failed").click()
    expect(table(page, "Jobs").locator("tbody tr")).to_have_count(2)
    expect(page.locator(".commands")).not_to_contain_text("seedfold rerun")

    look_at_the_table(window)
    look_at_a_job(window, ids)
    window.open(f"/compare?jobs={','.join(f'curves/{job}' for job in ids[:2])}")
    expect(table(page, "Metrics").locator("thead a")).to_have_count(2)
    expect(page.get_by_role("img", name=re.compile("^val.accuracy"))).to_be_visible()
    expect(page.get_by_label("Place").get_by_role("link", name="curves")).to_be_visible()
    window.open("/studies/nothing")
    expect(page.get_by_role("alert")).to_contain_text("nothing")
    # That there is no such study was answered as an error, of which the browser tells.
    window.problems[:] = [problem for problem in window.problems if "404" not in problem]


def table(page: Any, name: str) -> Any:
    """The table of a name, with what scrolls it."""
    return page.locator(f'.scroll[aria-label="{name}"]')


def brush(page: Any) -> None:
    """Drag along the axis of the metric: the jobs in that part are listed."""
    page.locator(".wide-chart canvas").scroll_into_view_if_needed()
    box = page.locator(".wide-chart canvas").bounding_box()
    right, top, bottom = box["x"] + box["width"] - 60, box["y"] + 40, box["y"] + box["height"] - 45
    page.mouse.move(right, top)
    page.mouse.down()
    page.mouse.move(right, (top + bottom) / 2, steps=4)
    page.mouse.move(right, bottom, steps=4)
    page.mouse.up()
    expect(page.locator(".brushed")).to_contain_text("4 jobs in the chosen part")
    expect(page.locator(".brushed tbody tr")).to_have_count(4)


def look_at_the_table(window: Window) -> None:
    """Conditions, order, groups, wrong conditions, and the way to the comparison."""
    page = window.page
    window.open("/studies/curves/jobs?group=note")
    expect(table(page, "Groups")).to_contain_text(HOSTILE)
    rows = table(page, "Jobs").locator("tbody tr")
    expect(rows).to_have_count(6)
    page.get_by_label("only jobs where").fill("seed<2")
    # A command line must not be copied for other jobs than those that one has just written down.
    expect(page.locator(".commands")).to_be_hidden()
    page.get_by_role("button", name="Apply").click()
    expect(rows).to_have_count(4)
    assert "where=seed" in page.url
    expect(page.locator(".commands")).to_contain_text("--where 'seed<2'")
    page.locator("button.sort").filter(has_text="seed").click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_count(1)
    top = rows.first.bounding_box()["y"]
    page.get_by_label(re.compile("^select ")).nth(0).check()
    page.get_by_label(re.compile("^select ")).nth(1).check()
    assert rows.first.bounding_box()["y"] == top, "the table stays below the pointer"
    page.get_by_role("link", name="Compare 2 jobs").click()
    expect(page.get_by_role("heading", name="Settings that differ")).to_be_visible()
    page.go_back()
    expect(rows).to_have_count(4)
    page.get_by_role("button", name="Show only these").click()
    expect(rows).to_have_count(2)
    expect(page.locator(".commands")).to_contain_text("--where job=")
    page.get_by_label("only jobs where").fill("colour=red")
    page.get_by_label("only jobs where").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("colour")
    window.problems[:] = [problem for problem in window.problems if "400" not in problem]


def look_at_a_job(window: Window, ids: list[str]) -> None:
    """The parts of a job."""
    page, job = window.page, f"/studies/curves/jobs/{ids[0]}"
    window.open(job)
    expect(table(page, "Attempts").locator("tbody tr")).to_have_count(1)
    expect(page.locator(".command code").first).to_contain_text("seedfold run")
    window.open(f"{job}/curves")
    expect(page.locator("canvas")).to_have_count(2)
    window.open(f"{job}/log")
    expect(page.locator("pre.log")).to_contain_text(HOSTILE)
    window.open(f"{job}/configuration?other={ids[1]}")
    expect(page.locator("pre.configuration")).to_contain_text("max_steps: 100")
    expect(table(page, "Difference")).to_be_visible()
    window.open(f"{job}/predictions?split=val")
    expect(table(page, "Predictions").locator("tbody tr")).to_have_count(10)
    # Of four samples the job kept a picture, if they are in its split: those of fold 0 are.
    images = table(page, "Predictions").locator("img.thumbnail")
    expect(images).to_have_count(4)
    for image in images.all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("naturalWidth", 8)
    expect(table(page, "Predictions")).to_contain_text("not kept")


def use_the_keyboard(window: Window) -> None:
    """From the list of studies to a job without a mouse; what has the focus can be seen."""
    page = window.page
    window.open("/")
    page.evaluate("document.activeElement.blur()")
    press_until(page, "document.activeElement.textContent === 'curves'", "Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Progress")).to_be_visible()
    press_until(page, "document.activeElement.textContent.startsWith('Jobs')", "Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("only jobs where")).to_be_visible()
    press_until(page, "document.activeElement.closest('.jobs tbody th')", "Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Attempts")).to_be_visible()


def press_until(page: Any, condition: str, key: str) -> None:
    """Press a key until something has the focus."""
    for _ in range(60):
        page.keyboard.press(key)
        if page.evaluate(f"Boolean({condition})"):
            return
    raise AssertionError(f"{condition}: never with {key}")


def look_on_a_phone(browser: Any, address: str, ids: list[str]) -> None:
    """In 390 pixels no view is broader than the window; and what is light by day is dark where people like it so."""
    places = [
        "",
        *(f"studies/curves{part}" for part in ("", "/curves", "/settings", "/evaluation", "/failures", "/jobs")),
    ]
    places += [
        f"studies/curves/jobs/{ids[0]}{part}" for part in ("", "/curves", "/log", "/configuration", "/predictions")
    ]
    places += [f"compare?jobs={quote(','.join(f'curves/{job}' for job in ids[:2]))}"]
    brightness = []
    for scheme in ("light", "dark"):
        window = open_window(browser, address, viewport={"width": 390, "height": 844}, color_scheme=scheme)
        for place in places:
            window.open(f"/{place}")
            window.check()
        colour = window.page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness.append(sum(map(int, re.findall(r"\d+", colour)[:3])))
        window.page.context.close()
    assert brightness[0] > 3 * 200 > 3 * 60 > brightness[1]


def lose_the_server(toy: Toy, window: Window, process: subprocess.Popen[str], port: int) -> None:
    """The page says that the server is gone, comes back with it, and says what to do without the token."""
    page, status = window.page, window.page.get_by_role("status").first
    window.open("/")
    process.send_signal(signal.SIGINT)
    expect(status).to_contain_text("does not answer")
    expect(page.get_by_role("link", name="curves", exact=True)).to_be_visible()
    process.wait(WAIT_S)
    assert process.stderr.read() == ""  # type: ignore[union-attr]
    with served(toy, port):
        expect(status).to_contain_text("updates by itself")
        page.context.clear_cookies()
        window.open("/studies/curves/failures")
        expect(page.get_by_role("alert")).to_contain_text("the link that seedfold serve printed")
