"use strict";
// Curves of runs over steps or time: read as they come into sight, with one cursor over all of them. Dragging
// asks the server for finer points, a double click shows all again; how they are drawn is in the page's address.
(() => {
  const [AT_A_TIME, LEAST, MOST] = [12, 200, 2000]; // metrics, points
  const RENEWED_MS = 5000;
  const LARGEST = 1.79e308; // MLflow keeps infinities as the largest doubles
  const WHOLE_GAPS = 2; // uPlot's: a gap of one run stays one where others have values
  const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];
  const boards = new Map();

  const { axes, number, smoothed, withGaps } = window.curvePoints;

  const faint = (colour) => colour.replace("rgb(", "rgba(").replace(")", ", 0.3)");

  class Board {
    constructor(root) {
      this.root = root;
      this.runs = JSON.parse(root.dataset.runs);
      this.form = root.querySelector("form");
      this.plots = new Map(); // figure -> what is drawn in it
      this.read = new Map(); // figure -> of each run {whole, fine}: [xs, ys]
      this.seen = new Set();
      this.waiting = new Set();
      this.turn = 0;
      this.extent = null;
      this.fromAddress();
      this.form.addEventListener("input", () => this.chosen());
      this.form.addEventListener("submit", (event) => event.preventDefault());
      this.form.querySelector("[data-whole]").addEventListener("click", () => this.zoom(null));
      this.sight = new IntersectionObserver((entries) => this.moved(entries), { rootMargin: "600px" });
      for (const figure of root.querySelectorAll("figure[data-metric]")) this.sight.observe(figure);
      this.sized = new ResizeObserver(() => this.resize());
      this.sized.observe(root);
    }

    fromAddress() {
      const given = new URLSearchParams(location.search);
      const { x, smooth, log } = this.form.elements;
      x.value = given.get("x") in axes ? given.get("x") : "relative";
      smooth.value = given.get("smooth") ?? "0";
      log.checked = given.get("log") === "1";
      const [from, to] = [given.get("from"), given.get("to")].map((text) => (text === null ? NaN : Number(text)));
      this.span = from < to ? [from, to] : null;
      this.state();
    }

    state() {
      const { x, smooth, log } = this.form.elements;
      [this.x, this.smooth, this.log] = [x.value, Number(smooth.value), log.checked];
      this.form.querySelector("[data-whole]").hidden = !this.span;
    }

    toAddress() {
      const url = new URL(location);
      const [from, to] = this.span ?? ["", ""];
      const stated = { x: this.x === "relative" ? "" : this.x, smooth: this.smooth || "", log: this.log ? "1" : "", from, to };
      for (const [name, value] of Object.entries(stated)) {
        if (value === "") url.searchParams.delete(name);
        else url.searchParams.set(name, value);
      }
      history.replaceState(history.state, "", url);
    }

    chosen() {
      const before = this.x;
      this.state();
      if (this.x !== before) {
        this.span = this.extent = null;
        this.read.clear();
        this.turn += 1;
        this.state();
      }
      this.toAddress();
      this.anew();
      if (this.x !== before) this.want(this.seen);
    }

    zoom(span) {
      this.span = span;
      this.turn += 1;
      for (const lines of this.read.values()) for (const line of lines) line.fine = null;
      this.state();
      this.toAddress();
      for (const figure of this.plots.keys()) this.draw(figure);
      if (span) this.want(this.seen);
    }

    moved(entries) {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) { this.seen.delete(target); continue; }
        this.seen.add(target);
        this.want([target]);
      }
    }

    // Figures are read together that come into sight together.
    want(figures) {
      for (const figure of figures) this.waiting.add(figure);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => {
        const asked = [...this.waiting];
        this.waiting.clear();
        for (let place = 0; place < asked.length; place += AT_A_TIME) this.load(asked.slice(place, place + AT_A_TIME));
      }, 30);
    }

    renew() {
      if (!this.runs.some((run) => run.goesOn) || this.span || document.hidden || this.renewing) return;
      this.renewing = setTimeout(() => { this.renewing = null; this.want(this.seen); }, RENEWED_MS);
    }

    async load(figures) {
      const turn = this.turn;
      const isFine = this.span !== null && figures.every((figure) => this.read.has(figure));
      const found = await Promise.all(this.runs.map((run) => this.ask(run, figures, isFine ? this.span : null)));
      if (turn !== this.turn || !this.root.isConnected) return;
      figures.forEach((figure) => {
        const known = this.read.get(figure);
        const lines = found.map((series, place) => {
          const line = series && this.line(series[figure.dataset.metric], this.runs[place]);
          if (!line) return known?.[place] ?? { whole: [[], []], fine: null };
          return isFine ? { ...known[place], fine: line } : { whole: line, fine: null };
        });
        this.read.set(figure, lines);
        figure.classList.toggle("stale", found.includes(null));
      });
      if (!isFine) this.widen();
      for (const figure of figures) this.draw(figure);
      if (this.span && !isFine) this.want(figures);
    }

    async ask(run, figures, span) {
      const points = Math.min(MOST, Math.max(LEAST, Math.round(figures[0].querySelector(".plot").clientWidth)));
      const asked = new URLSearchParams({ x: this.x === "step" ? "step" : "time", points });
      for (const figure of figures) asked.append("metric", figure.dataset.metric);
      if (span) {
        const [from, to] = span.map((x) => (this.x === "step" ? x : 1000 * (x + (this.x === "relative" ? run.begun : 0))));
        asked.set("from", Math.floor(from));
        asked.set("to", Math.ceil(to));
      }
      const answer = await fetch(`${run.url}?${asked}`).catch(() => null);
      const told = await answer?.json().catch(() => null);
      this.tell(answer?.ok ? "" : [told?.error?.message ?? "The gateway does not answer", told?.error?.remedy].filter(Boolean).join(". "));
      return answer?.ok ? told.series : null;
    }

    tell(words) {
      const problem = this.root.querySelector("[data-problem]");
      problem.hidden = !words;
      problem.querySelector("strong").textContent = words;
    }

    line({ steps, times, values }, run) {
      const shift = this.x === "relative" ? run.begun : 0;
      const xs = this.x === "step" ? steps : times.map((time) => time / 1000 - shift);
      return [xs, values.map((value) => (typeof value === "number" && Math.abs(value) < LARGEST ? value : null))];
    }

    widen() {
      const ends = [...this.read.values()].flat().flatMap(({ whole: [xs] }) => (xs.length ? [xs[0], xs.at(-1)] : []));
      if (!ends.length) return;
      const [before, after] = [this.extent, [Math.min(...ends), Math.max(...ends)]];
      this.extent = after;
      if (before && (before[0] !== after[0] || before[1] !== after[1])) {
        for (const plot of this.plots.values()) plot.setScale("x", { min: after[0], max: after[1] });
      }
    }

    range() {
      const [from, to] = this.span ?? this.extent ?? [0, 1];
      return from < to ? [from, to] : [from - 1, to + 1];
    }

    // The finer points within what is looked at, and beside it those of the whole.
    points({ whole: [xs, ys], fine }) {
      let found = [xs, ys];
      if (fine && this.span) {
        const [from, to] = this.span;
        const [begin, end] = [xs.findIndex((x) => x >= from), xs.findLastIndex((x) => x <= to)];
        const cut = (list, finer) => [...list.slice(0, begin < 0 ? list.length : begin), ...finer, ...list.slice(end + 1)];
        found = [cut(xs, fine[0]), cut(ys, fine[1])];
      }
      const [gapped, values] = withGaps(...found);
      const shown = this.log ? values.map((value) => (value > 0 ? value : null)) : values;
      return this.smooth ? [gapped, shown, smoothed(shown, this.smooth)] : [gapped, shown];
    }

    draw(figure) {
      const lines = this.read.get(figure);
      if (!lines) return;
      const plot = figure.querySelector(".plot");
      figure.classList.toggle("nothing", lines.every(({ whole: [, ys] }) => ys.every((value) => value === null)));
      const tables = lines.map((line) => this.points(line));
      const data = uPlot.join(tables, tables.map((table) => table.map(() => WHOLE_GAPS)));
      const known = this.plots.get(figure);
      if (known) known.setData(data);
      else this.plots.set(figure, new uPlot(this.options(plot.clientWidth), data, plot));
    }

    options(width) {
      const { label, incrs, tick, value } = axes[this.x];
      const axis = { stroke: tone("muted"), grid: { stroke: tone("line"), width: 1 }, ticks: { stroke: tone("line"), width: 1 },
        font: `12px ${getComputedStyle(document.documentElement).getPropertyValue("--sans")}` };
      return {
        width, height: 180,
        cursor: {
          sync: { key: "board", filters: { pub: (kind) => kind === "mousemove" || kind === "mouseleave" } },
          drag: { x: true, y: false, setScale: false },
          bind: { dblclick: () => () => { this.zoom(null); return null; } },
        },
        legend: { live: true },
        scales: { x: { time: false, range: () => this.range() }, y: { distr: this.log ? 3 : 1 } },
        axes: [{ ...axis, space: 64, ...(incrs ? { incrs } : {}), values: (_, ticks) => ticks.map(tick) }, { ...axis, size: 60, values: (_, ticks) => ticks.map((each) => (each == null ? "" : number(each))) }],
        series: [{ label, value: (_, x) => (x == null ? "–" : value(x)) }, ...this.runs.flatMap((run) => this.series(run))],
        hooks: { setSelect: [(plot) => this.selected(plot)] },
      };
    }

    series(run) {
      const colour = tone(run.tone);
      const line = { label: this.runs.length > 1 ? run.name : "Value", width: 1.5, dash: DASHES[run.dash], spanGaps: false, points: { size: 4 }, value: (_, value) => number(value) };
      if (!this.smooth) return [{ ...line, stroke: colour }];
      return [{ ...line, stroke: faint(colour), width: 1 }, { ...line, label: `${line.label}, smoothed`, stroke: colour }];
    }

    selected(plot) {
      const { left, width } = plot.select;
      if (width < 5) return;
      const span = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
      plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      this.zoom(this.x === "step" ? [Math.floor(span[0]), Math.ceil(span[1])] : span.map((x) => Math.round(1000 * x) / 1000));
    }

    anew() {
      for (const [figure, plot] of this.plots) { plot.destroy(); this.plots.delete(figure); }
      for (const figure of this.read.keys()) this.draw(figure);
    }

    resize() {
      this.plots.forEach(fit);
    }

    end() {
      this.sight.disconnect();
      this.sized.disconnect();
      for (const plot of this.plots.values()) plot.destroy();
    }
  }

  function look() {
    for (const [root, board] of boards) {
      if (!root.isConnected) { board.end(); boards.delete(root); }
    }
    for (const root of document.querySelectorAll("[data-board]")) {
      if (!boards.has(root)) boards.set(root, new Board(root));
    }
  }

  const all = (verb) => () => { for (const board of boards.values()) board[verb](); };
  document.body.addEventListener("htmx:afterSettle", look);
  document.body.addEventListener("live:runs", all("renew"));
  document.addEventListener("theme", all("anew"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all("anew"));

  // Another run laid over the first: the address keeps how they are drawn.
  document.addEventListener("change", (event) => {
    if (!event.target.matches("form[data-sends] select") || !event.target.value) return;
    const url = new URL(location);
    url.searchParams.append(event.target.name, event.target.value);
    location.href = url;
  });
  look();
})();
