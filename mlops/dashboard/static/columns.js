"use strict";
// The columns of the table of runs that were chosen last, for a page whose address names none. It runs before
// anything is painted. A heading that is dragged to another one takes its column there.
(() => {
  const key = `columns:${document.currentScript.dataset.project}`;
  const asked = new URLSearchParams(location.search);
  const known = JSON.parse(localStorage.getItem(key) ?? "[]");
  const remember = (columns) => localStorage.setItem(key, JSON.stringify(columns));
  if (known.length && !asked.has("column") && location.pathname === "/runs") {
    for (const column of known) asked.append("column", column);
    location.replace(`/runs?${asked}`);
  }

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "columns") return;
    remember(new FormData(event.target).getAll("column"));
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("#usual")) localStorage.removeItem(key);
    const button = event.target.closest("[data-up]");
    const row = button?.closest("li");
    row?.previousElementSibling?.before(row);
    button?.focus(); // what is moved loses it
  });

  document.addEventListener("input", (event) => {
    if (event.target.id !== "column-text") return;
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const row of document.querySelectorAll("#columns li")) {
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    }
  });

  let dragged = null;
  const headOf = (event) => event.target.closest?.("thead th[draggable]");

  document.addEventListener("dragstart", (event) => {
    dragged = event.defaultPrevented ? null : headOf(event);
  });
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => {
      const head = dragged && headOf(event);
      if (!head) return;
      event.preventDefault();
      if (name === "dragover") head.classList.add("over");
      else move(dragged, head);
    });
  }
  for (const name of ["dragleave", "dragend", "drop"]) {
    document.addEventListener(name, () => document.querySelector("th.over")?.classList.remove("over"));
  }

  function move(head, to) {
    const columns = [...head.parentElement.querySelectorAll("th[draggable]")].map((each) => each.dataset.column);
    const place = columns.indexOf(to.dataset.column);
    columns.splice(columns.indexOf(head.dataset.column), 1);
    columns.splice(place, 0, head.dataset.column);
    const next = new URLSearchParams(location.search); // it has what is selected by now
    next.delete("column");
    for (const column of columns) next.append("column", column);
    remember(columns);
    location.href = `/runs?${next}`;
  }
})();
