"use strict";
// Rows that are selected: by click, shift, x and space. They are in the page's address, c compares them, and
// the bar below has what else is done about them.
(() => {
  const most = 20;
  const chosen = new Set(new URLSearchParams(location.search).getAll("run").slice(0, most));
  let last = null;

  const rows = () => [...document.querySelectorAll("table[data-select] tbody tr:not([hidden])")];

  function address(path, keep) {
    const asked = new URLSearchParams(keep);
    asked.delete("run");
    for (const run of chosen) asked.append("run", run);
    // A slash needs no escape in a query, and reads better without.
    return asked.size ? `${path}?${String(asked).replaceAll("%2F", "/")}` : path;
  }

  function show() {
    for (const row of document.querySelectorAll("table[data-select] tbody tr")) {
      const is = chosen.has(row.dataset.run);
      row.classList.toggle("selected", is);
      row.querySelector("input[type=checkbox]").checked = is;
    }
    const bar = document.getElementById("picked");
    bar.hidden = !chosen.size;
    bar.querySelector("span").textContent = `${chosen.size} selected`;
    document.getElementById("compare").href = address("/compare", "");
    document.getElementById("picked-runs")?.replaceChildren(...[...chosen].map(field)); // what is asked about
    const here = address(location.pathname, location.search);
    if (here !== location.pathname + location.search) history.replaceState(history.state, "", here);
  }

  function field(run) {
    const made = document.createElement("input");
    Object.assign(made, { type: "hidden", name: "run", value: run });
    return made;
  }

  function pick(row, is = !chosen.has(row.dataset.run)) {
    if (is && chosen.size >= most && !chosen.has(row.dataset.run)) {
      document.getElementById("told").textContent = `At most ${most} runs are selected.`;
    } else if (is) chosen.add(row.dataset.run);
    else chosen.delete(row.dataset.run);
    last = row.id;
  }

  function pickTo(row) {
    const all = rows();
    const from = all.findIndex((each) => each.id === last);
    const to = all.indexOf(row);
    const is = from < 0 || chosen.has(all[from].dataset.run);
    for (const each of all.slice(Math.min(from < 0 ? to : from, to), Math.max(from, to) + 1)) pick(each, is);
  }

  function step(row) {
    row.tabIndex = -1;
    row.focus({ preventScroll: true });
  }

  document.addEventListener("mousedown", (event) => {
    if (event.shiftKey && event.target.closest("table[data-select] tbody")) event.preventDefault(); // no text
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("#unpick")) {
      clear();
      return;
    }
    const link = event.target.closest('a[href^="/runs?"], a[href="/runs"]');
    if (link && chosen.size && link.closest("main")) link.href = address("/runs", new URL(link.href).search);
    const row = event.target.closest("table[data-select] tbody tr");
    if (!row || event.target.closest("a, button") || !getSelection().isCollapsed) return;
    (event.shiftKey ? pickTo : pick)(row);
    step(row);
    show();
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
    const row = event.target.closest("table[data-select] tbody tr");
    if (event.key === "c" && chosen.size) location.href = address("/compare", "");
    else if (event.key === "Escape" && !event.target.closest("details")) chosen.clear();
    else if (row && (event.key === "x" || event.key === " ") && !event.target.matches("a")) {
      event.preventDefault();
      (event.shiftKey ? pickTo : pick)(row);
    } else return;
    show();
  });

  function clear() {
    chosen.clear();
    show();
  }

  document.body.addEventListener("unpick", clear);
  document.body.addEventListener("htmx:afterSwap", show);
  document.body.addEventListener("htmx:pushedIntoHistory", show);
  show();
})();
