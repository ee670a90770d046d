"""How soon a page of the dashboard is loaded and painted in Chromium, and what it transfers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx

from tests.bench.result import Measure, Result, p95
from tests.chromium import chromium

PAINTED_MS, TRANSFER_KB = 500.0, 200.0

# The last of: the end of the page's load event, and the last paint of the largest thing that is in sight.
_TAKEN = """() => new Promise(told => {
  let painted = 0;
  new PerformanceObserver(list => { painted = list.getEntries().at(-1).startTime; })
    .observe({type: "largest-contentful-paint", buffered: true});
  setTimeout(() => {
    const entries = performance.getEntries();
    const loaded = performance.getEntriesByType("navigation")[0].loadEventEnd;
    const bytes = entries.reduce((sum, each) => sum + (each.transferSize || 0), 0);
    told([Math.max(loaded, painted), bytes / 1000, painted]);
  }, 300);
})"""


def painted(client: httpx.Client, pages: Sequence[str], rounds: int, what: str) -> Iterator[Result]:
    """Each page opened `rounds` times by one whose cache is empty, over loopback, at 1440 x 900."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.goto(client.post("/api/tickets").raise_for_status().json()["url"])
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        for path in pages:
            milliseconds, kilobytes = [], []
            for _ in range(rounds):
                page.goto(str(client.base_url).rstrip("/") + path, wait_until="load")
                taken, transferred, seen = page.evaluate(_TAKEN)
                if not seen:
                    raise RuntimeError(f"Chromium painted nothing of {path}")
                milliseconds.append(taken)
                kilobytes.append(transferred)
            name = f"page {path} in Chromium with an empty cache"
            yield Measure(f"{name}, loaded and painted, p95: {what}", "ms", [p95(milliseconds)], PAINTED_MS)
            yield Measure(f"{name}, transfer", "kB", [max(kilobytes)], TRANSFER_KB)
