"use strict";
// The columns of the table of runs that were chosen last, for a page whose address names none. It runs before
// anything is painted.
(() => {
  const project = (address) => address.get("project") ?? "";
  const asked = new URLSearchParams(location.search);
  const known = JSON.parse(localStorage.getItem(`columns:${project(asked)}`) ?? "[]");
  if (known.length && !asked.has("column") && location.pathname === "/runs") {
    for (const column of known) asked.append("column", column);
    location.replace(`/runs?${asked}`);
  }

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "columns") return;
    const chosen = new FormData(event.target).getAll("column");
    localStorage.setItem(`columns:${event.target.dataset.project}`, JSON.stringify(chosen));
  });

  document.addEventListener("click", (event) => {
    const form = document.getElementById("columns");
    if (event.target.closest("#usual")) localStorage.removeItem(`columns:${form.dataset.project}`);
    const row = event.target.closest("[data-up]")?.closest("li");
    row?.previousElementSibling?.before(row);
  });

  document.addEventListener("input", (event) => {
    if (event.target.id !== "column-text") return;
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const row of document.querySelectorAll("#columns li")) {
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    }
  });
})();
