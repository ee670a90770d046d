"use strict";
// What every page has: theme, rail, project and time range, copying, and ages that stay true.
(() => {
  const root = document.documentElement;
  const fold = document.getElementById("fold");

  function ago(seconds) {
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
    }
    return seconds < 5 ? "just now" : `${Math.floor(seconds)} s ago`;
  }

  function age() {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const text = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  function tell(words) {
    const told = document.getElementById("told");
    told.textContent = words;
    clearTimeout(tell.timer);
    tell.timer = setTimeout(() => { told.textContent = ""; }, 6000);
  }

  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme === "dark"
      || (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    document.dispatchEvent(new Event("theme"));
  });

  fold.setAttribute("aria-pressed", String(root.dataset.rail === "narrow"));
  fold.addEventListener("click", () => {
    root.dataset.rail = root.dataset.rail === "narrow" ? "wide" : "narrow";
    localStorage.setItem("rail", root.dataset.rail);
    fold.setAttribute("aria-pressed", String(root.dataset.rail === "narrow"));
  });

  // The page of the chosen project and range; fields that are not chosen stay out of its URL.
  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (form?.id !== "scope") return;
    const asked = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...asked]) if (!value || value === "24h") asked.delete(name);
    // What is within a project is not in another one: there the list is shown that it is in.
    const path = event.target.name === "project" ? form.dataset.home : form.action;
    location.href = `${path}${asked.size ? `?${asked}` : ""}`;
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("done");
    tell("Copied");
    setTimeout(() => button.classList.remove("done"), 1200);
  });

  document.body.addEventListener("told", (event) => tell(event.detail.value));
  setInterval(age, 1000);
})();
