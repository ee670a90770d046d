"use strict";
// Widths of the columns of a table of runs: by dragging a heading's edge, or by arrows on it; a double click or
// Enter there lets the content decide again. They are kept in the browser.
(() => {
  const least = 48, most = 800, step = 16;
  const key = `widths:${document.body.dataset.project ?? ""}`;
  const widths = JSON.parse(localStorage.getItem(key) ?? "{}");
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  let dragged = null; // {edge, from, width}: where the pointer and the width were

  const heads = () => [...document.querySelectorAll("table[data-columns] thead th")];

  function lay() {
    const rules = heads().map((head, place) => {
      const width = Number(widths[head.dataset.column]);
      const is = `.runs tr > :nth-child(${place + 1})`;
      return width ? `${is} { width: ${width}px; min-width: ${width}px; max-width: ${width}px; } ${is} .cell { max-width: 100%; }` : "";
    });
    sheet.replaceSync(`@media (min-width: 721px) { ${rules.join("\n")} }`);
    for (const head of heads()) {
      const edge = head.querySelector(".edge") ?? head.appendChild(made(head));
      edge.setAttribute("aria-valuenow", Math.round(head.getBoundingClientRect().width));
    }
  }

  function made(head) {
    const edge = document.createElement("span");
    const words = { role: "separator", "aria-orientation": "vertical", "aria-valuemin": least, "aria-valuemax": most };
    for (const [name, value] of Object.entries(words)) edge.setAttribute(name, value);
    edge.className = "edge";
    edge.tabIndex = 0;
    edge.title = `Width of ${(head.querySelector("bdi") ?? head).textContent}`;
    return edge;
  }

  function set(edge, width) {
    const { column } = edge.closest("th").dataset;
    if (width === null) delete widths[column];
    else widths[column] = Math.round(Math.max(least, Math.min(most, width)));
    lay();
  }

  const keep = () => localStorage.setItem(key, JSON.stringify(widths));
  const edgeOf = (event) => event.target.closest?.("th > .edge");
  const widthOf = (edge) => edge.closest("th").getBoundingClientRect().width;

  document.addEventListener("pointerdown", (event) => {
    const edge = edgeOf(event);
    if (!edge || event.button) return;
    dragged = { edge, from: event.clientX, width: widthOf(edge) };
    edge.setPointerCapture(event.pointerId);
  });
  document.addEventListener("pointermove", (event) => {
    if (dragged) set(dragged.edge, dragged.width + event.clientX - dragged.from);
  });
  document.addEventListener("lostpointercapture", () => {
    if (dragged) keep();
    dragged = null;
  });
  document.addEventListener("dragstart", (event) => {
    if (dragged) event.preventDefault(); // the edge is drawn, not the heading
  }, true);

  document.addEventListener("dblclick", (event) => {
    const edge = edgeOf(event);
    if (edge) { set(edge, null); keep(); }
  });
  document.addEventListener("keydown", (event) => {
    const edge = edgeOf(event);
    const by = { ArrowLeft: -step, ArrowRight: step }[event.key];
    if (!edge || event.ctrlKey || event.metaKey || event.altKey || !(by || event.key === "Enter")) return;
    event.preventDefault();
    set(edge, by ? widthOf(edge) + by : null);
    keep();
  });

  document.addEventListener("click", (event) => {
    if (!event.target.closest("#usual")) return;
    for (const column of Object.keys(widths)) delete widths[column];
    keep();
  });
  document.body.addEventListener("htmx:afterSettle", lay);
  lay();
})();
