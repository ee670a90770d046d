"use strict";
// Tables: new rows wait to be asked for, and j, k and Enter walk through rows.
(() => {
  // Rows that were not there before are hidden in `fresh` behind a button that tells their number.
  window.holdBack = (region, fresh) => {
    if (!("waits" in region.dataset)) return;
    const table = fresh.querySelector("table");
    const known = new Set([...region.querySelectorAll("tbody tr[id]:not([hidden])")].map((row) => row.id));
    const waiting = [...(table?.querySelectorAll("tbody tr[id]") ?? [])].filter((row) => !known.has(row.id));
    if (!waiting.length || !known.size) return;
    for (const row of waiting) row.hidden = true;
    const button = fresh.ownerDocument.createElement("button");
    button.type = "button";
    button.className = "button waiting";
    const of = region.dataset.waits; // what the rows are, in the singular
    button.textContent = `${waiting.length} new${of && ` ${of}${waiting.length > 1 ? "s" : ""}`}`;
    table.parentElement.before(button);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".waiting");
    if (!button) return;
    for (const row of button.parentElement.querySelectorAll("tr[hidden]")) row.hidden = false;
    button.remove();
  });

  function step(by) {
    const rows = [...document.querySelectorAll("table[data-keys] tbody tr:not(.why):not([hidden])")];
    if (!rows.length) return;
    const place = rows.indexOf(document.activeElement.closest?.("tr"));
    const row = rows[Math.max(0, Math.min(rows.length - 1, place < 0 ? 0 : place + by))];
    row.tabIndex = -1;
    row.focus();
    row.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "Enter" && event.target.matches("tr")) event.target.querySelector("a, button")?.click();
  });
})();
