"use strict";
// The filters of the table of runs: what is typed while an answer is on its way stays, and names are offered.
// And its order: a heading with shift is one more key.
(() => {
  let typed = null;

  document.body.addEventListener("htmx:beforeSwap", (event) => {
    typed = event.detail.target.id === "main" ? document.getElementById("text")?.value ?? null : null;
  });
  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "main" && typed !== null) document.getElementById("text").value = typed;
  });
  document.body.addEventListener("htmx:afterSettle", (event) => {
    const text = document.getElementById("text");
    if (event.detail.target.id !== "main" || text.value === text.defaultValue) return;
    text.dispatchEvent(new Event("input", { bubbles: true })); // it is asked for only now that all listens
  });

  // The names that runs have, once somebody wants to write a condition.
  document.addEventListener("toggle", async (event) => {
    const menu = event.target;
    if (!menu.matches?.("#filters .menu") || !menu.open || menu.dataset.named) return;
    menu.dataset.named = "yes";
    const project = document.body.dataset.project;
    const answer = await fetch(`/api/runs/metrics${project ? `?project=${project}` : ""}`).catch(() => null);
    if (!answer?.ok) return;
    const names = await answer.json();
    for (const kind of ["metrics", "params", "tags"]) {
      document.getElementById(kind)?.replaceChildren(...names[kind].map((name) => new Option("", name)));
    }
  }, true);

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest?.("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  document.addEventListener("click", (event) => {
    const heading = event.shiftKey && event.target.closest("a[data-then]");
    if (!heading) return;
    event.preventDefault(); // a browser opens another window
    heading.href = heading.dataset.then;
    setTimeout(() => { location.href = heading.href; }); // select.js has added what is selected
  }, true);
})();
