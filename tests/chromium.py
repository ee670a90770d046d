"""Debian's Chromium, as the tests and the benchmarks of the dashboard use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Debian's chromium at {CHROMIUM}")

# The browser's own background traffic stays off.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window, which ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=_ARGUMENTS)
        yield opened
        opened.close()


def looks_right(page: Page, screenshot: Path) -> None:
    """Asserts that the page does not scroll sideways, and shows nothing as old for long."""
    assert page.locator("main section").count() >= 1
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, "the page itself does not scroll sideways"
    page.locator(".stale").first.wait_for(state="detached", timeout=10_000)
    page.screenshot(path=screenshot, full_page=True)


def is_accessible(page: Page) -> None:
    """Asserts that axe finds nothing serious in what is shown."""
    from axe_playwright_python.sync_playwright import Axe

    serious = [
        f"{each['id']}: {each['nodes'][0]['html'][:160]}"
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
