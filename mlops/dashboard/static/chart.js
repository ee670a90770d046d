"use strict";
// Figures over time: one cursor over all of a group, dragging asks for finer points, a double click resets, gaps stay gaps.
(() => {
  const drawn = new Map();
  const zoomed = new Map(); // by group: the stretch that is shown, in seconds since 1970
  const renewed = 10_000;
  const formats = {
    number: (value) => String(+value.toPrecision(4)),
    percent: (value) => `${+(100 * value).toPrecision(3)}`,
    latency: (value) => (value < 1 ? `${+(1000 * value).toPrecision(3)} ms` : `${+value.toPrecision(3)} s`),
  };

  function clock(seconds) {
    const time = new Date(seconds * 1000);
    const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    return time.toLocaleTimeString([], options);
  }

  // A value between two gaps is no line: it gets a dot.
  const alone = (plot, place) => plot.data[place].flatMap((value, at, all) => (value != null && all[at - 1] == null && all[at + 1] == null ? [at] : []));

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function options(figure, width) {
    const show = formats[figure.dataset.format];
    const axis = { stroke: tone("muted"), grid: { stroke: tone("line"), width: 1 }, ticks: { stroke: tone("line"), width: 1 },
      font: `12px ${colour("--sans")}` };
    return {
      width, height: 140,
      cursor: {
        sync: { key: figure.dataset.group, filters: { pub: (kind) => kind === "mousemove" || kind === "mouseleave" } },
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => { zoom(figure, null); return null; } },
      },
      hooks: { setSelect: [(plot) => selected(figure, plot)] },
      legend: { live: true }, scales: { y: { range: (_, least, most) => [Math.min(0, least ?? 0), (most || 1) * 1.1] } },
      axes: [{ ...axis, space: 56, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 68, values: (_, ticks) => ticks.map(show) }],
      series: [{ value: (_, time) => (time == null ? "–" : new Date(time * 1000).toLocaleTimeString()) },
        { label: "Value", stroke: tone("accent"), width: 1.5, spanGaps: false,
          points: { show: true, size: 5, filter: alone }, value: (_, value) => (value == null ? "–" : show(value)) }],
    };
  }

  async function draw(url, figures) {
    const answer = await fetch(url).catch(() => null);
    if (!answer?.ok) {
      for (const figure of figures) figure.classList.add("stale");
      return;
    }
    const columns = await answer.json();
    for (const figure of figures) {
      if (address(figure) !== url) continue; // zoomed meanwhile
      const values = columns[figure.dataset.chart];
      const data = [columns.times, values];
      figure.classList.remove("stale");
      figure.classList.toggle("nothing", values.every((value) => value === null));
      const plot = figure.querySelector(".plot");
      const known = drawn.get(figure);
      if (!known) drawn.set(figure, new uPlot(options(figure, plot.clientWidth), data, plot));
      else known.setData(data);
    }
  }

  function selected(figure, plot) {
    const { left, width } = plot.select;
    if (width < 5) return;
    const span = [left, left + width].map((place) => plot.posToVal(place, "x"));
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    zoom(figure, span);
  }

  function zoom(figure, span) {
    if (span) zoomed.set(figure.dataset.group, span);
    else zoomed.delete(figure.dataset.group);
    drawAll();
  }

  // What is zoomed into is asked for anew: the server has finer steps of it.
  function address(figure) {
    const url = new URL(figure.dataset.url, location);
    const span = zoomed.get(figure.dataset.group);
    if (span) {
      url.searchParams.set("span_s", Math.max(60, Math.ceil(span[1] - span[0])));
      url.searchParams.set("until", Math.ceil(span[1]));
    }
    return url.href;
  }

  function drawAll() {
    for (const figure of [...drawn.keys()]) {
      if (!figure.isConnected) { drawn.get(figure).destroy(); drawn.delete(figure); }
    }
    if (document.hidden) return;
    const byUrl = Map.groupBy(document.querySelectorAll("figure[data-chart]"), address);
    for (const [url, figures] of byUrl) draw(url, figures);
  }

  function anew() {
    for (const [figure, plot] of drawn) { plot.destroy(); drawn.delete(figure); }
    drawAll();
  }

  new ResizeObserver(() => drawn.forEach(fit)).observe(document.getElementById("main"));
  document.addEventListener("theme", anew);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);
  document.body.addEventListener("htmx:afterSettle", (event) => event.detail.target?.querySelector?.("figure[data-chart]") && drawAll());
  setInterval(drawAll, renewed);
  drawAll();
})();
