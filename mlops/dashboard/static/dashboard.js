"use strict";
// Renews the page's sections every two seconds while it is looked at, and keeps its ages true.
(() => {
  const main = document.getElementById("overview");
  const linkState = document.getElementById("link-state");
  let lostAt = null;

  function ago(seconds) {
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
    }
    return seconds < 5 ? "just now" : `${Math.floor(seconds)} s ago`;
  }

  function age() {
    for (const time of main.querySelectorAll("time")) {
      const text = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  function isInUse(section) {
    const selection = window.getSelection();
    return section.contains(document.activeElement) || section.querySelector("details[open]")
      || (!selection.isCollapsed && section.contains(selection.anchorNode));
  }

  function renew(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const section of fresh.querySelectorAll("[data-version]")) {
      const shown = document.getElementById(section.id);
      if (shown.dataset.version !== section.dataset.version && !isInUse(shown)) shown.replaceWith(section);
    }
    age();
  }

  async function poll() {
    if (document.hidden) return;
    try {
      const answer = await fetch(main.dataset.fragment, { signal: AbortSignal.timeout(15000) });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      renew(await answer.text());
      lostAt = null;
    } catch {
      lostAt ??= new Date();
    }
    main.classList.toggle("away", lostAt !== null);
    linkState.textContent = lostAt ? `The gateway has not answered since ${lostAt.toLocaleTimeString()}` : "";
  }

  async function loop() {
    await poll();
    setTimeout(loop, 2000);
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1200);
  });
  document.getElementById("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
      || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    const next = dark ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
  });
  setInterval(age, 1000);
  setTimeout(loop, 2000);
})();
