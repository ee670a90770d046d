"use strict";
// How right a model's versions were over time: a chart for each output, a line with its 95 % interval for each
// version and side.
(() => {
  const tones = ["accent", "amber", "green", "violet", "red", "grey"];
  const drawn = new Map();
  const renewed = 60_000;
  const show = (value) => (value == null ? "–" : String(+value.toPrecision(4)));

  const tokens = getComputedStyle(document.documentElement);
  // Hours of a day or two, else days.
  function dates(plot, ticks) {
    const isLong = plot.scales.x.max - plot.scales.x.min > 2 * 86400;
    return ticks.map((seconds) => {
      const time = new Date(seconds * 1000);
      const two = (number) => String(number).padStart(2, "0");
      return isLong ? `${two(time.getMonth() + 1)}-${two(time.getDate())}` : `${two(time.getHours())}:${two(time.getMinutes())}`;
    });
  }

  function within(low, high, requests) {
    const interval = low == null ? "" : ` (${show(low)} to ${show(high)})`;
    return `${interval}, ${requests} request${requests === 1 ? "" : "s"}`;
  }

  function series(line, place) {
    const stroke = tone(tones[place % tones.length]);
    const bound = () => ({ width: 0, points: { show: false }, label: "bound" });
    const value = (plot, found, _, at) =>
      found == null ? "–" : show(found) + within(line.low[at], line.high[at], line.requests[at]);
    return [{ label: `v${line.version} ${line.side}`, stroke, width: 1.5, points: { size: 4 }, value }, bound(), bound()];
  }

  function options(lines, width) {
    const axis = { stroke: tone("muted"), grid: { stroke: tone("line"), width: 1 },
      ticks: { stroke: tone("line"), width: 1 }, font: `12px ${tokens.getPropertyValue("--sans")}` };
    const bands = lines.map((_, place) => {
      const fill = tone(tones[place % tones.length]).replace("rgb(", "rgba(").replace(")", ", 0.15)");
      return { series: [3 * place + 3, 3 * place + 2], fill };
    });
    return {
      width, height: 160, cursor: { drag: { x: true, y: false } }, bands,
      axes: [{ ...axis, space: 64, values: dates }, { ...axis, size: 56, values: (_, ticks) => ticks.map(show) }],
      series: [{ value: (_, time) => (time == null ? "–" : new Date(time * 1000).toLocaleString()) },
        ...lines.flatMap(series)],
      hooks: { ready: [(plot) => {
        plot.root.querySelectorAll(".u-legend .u-series").forEach((row, at) => { row.hidden = at > 0 && at % 3 !== 1; });
      }] },
    };
  }

  function figure(place, name) {
    const made = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const plot = document.createElement("div");
    made.className = "chart";
    caption.textContent = name;
    plot.className = "plot";
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", `${name} over time`);
    made.append(caption, plot);
    place.append(made);
    return plot;
  }

  function say(place, words) {
    const told = document.createElement("p");
    told.className = "muted";
    told.textContent = words;
    place.replaceChildren(told);
  }

  async function draw(place) {
    const answer = await fetch(place.dataset.performance).catch(() => null);
    if (!place.isConnected) return;
    if (!answer?.ok) {
      const told = await answer?.json().catch(() => null);
      say(place, told?.error?.message ?? "The gateway does not answer.");
      return;
    }
    const { times, lines } = await answer.json();
    forget(place);
    if (!lines.length) { say(place, "No answer of this time has a ground truth."); return; }
    place.replaceChildren();
    const plots = [];
    for (const [name, some] of Map.groupBy(lines, (line) => `${line.output}, ${line.metric}`)) {
      const element = figure(place, name);
      const data = [times, ...some.flatMap((line) => [line.values, line.low, line.high])];
      plots.push(new uPlot(options(some, element.clientWidth), data, element));
    }
    drawn.set(place, plots);
  }

  function forget(place) {
    for (const plot of drawn.get(place) ?? []) plot.destroy();
    drawn.delete(place);
  }

  function drawAll() {
    for (const place of [...drawn.keys()]) if (!place.isConnected) forget(place);
    if (!document.hidden) for (const place of document.querySelectorAll("[data-performance]")) draw(place);
  }

  new ResizeObserver(() => drawn.forEach((plots) => plots.forEach(fit))).observe(document.getElementById("main"));
  document.addEventListener("theme", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.body.addEventListener("htmx:afterSettle", (event) => event.detail.target?.querySelector?.("[data-performance]") && drawAll());
  setInterval(drawAll, renewed);
  drawAll();
})();
