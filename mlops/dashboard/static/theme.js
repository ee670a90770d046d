"use strict";
// Runs before the first paint, so that a chosen theme and a narrow rail do not flash.
(() => {
  for (const name of ["theme", "rail"]) {
    const chosen = localStorage.getItem(name);
    if (chosen) document.documentElement.dataset[name] = chosen;
  }
})();

// A token's colour for a canvas, which does not know light-dark(a, b): an element resolves it.
function tone(name) {
  const probe = document.createElement("i");
  probe.className = `tone-${name}`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// Makes a chart as wide as its place. Where that is as before, a drag over the chart goes on.
function fit(plot) {
  const width = plot.root.parentElement.clientWidth;
  if (width !== plot.width) plot.setSize({ width, height: plot.height });
}
