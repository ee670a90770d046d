"use strict";
// What curves.js draws with: how numbers and times are written, smoothing, and where a line is broken.
window.curvePoints = (() => {
  function number(value) {
    if (value == null) return "–";
    const isSmall = value !== 0 && Math.abs(value) < 1e-3;
    return String(isSmall ? value.toExponential(3).replace(/\.?0+e/, "e") : +value.toPrecision(5)).replaceAll("-", "−");
  }

  const count = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 5 });
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  const times = [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800];
  const axes = {
    step: { label: "At", tick: (value) => count.format(value), value: (value) => `step ${value.toLocaleString("en").replaceAll(",", "\u2009")}` },
    time: { label: "At", incrs: times, tick: (value) => clock(value), value: (value) => new Date(value * 1000).toLocaleString() },
    relative: { label: "After", incrs: times, tick: (value) => lasted(value), value: (value) => lasted(value, 1) },
  };

  function clock(seconds) {
    return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  }

  function lasted(seconds, digits = 0) {
    const size = Math.abs(seconds);
    if (size < 60) return `${+seconds.toFixed(size < 10 ? 1 + digits : digits)} s`;
    const text = size < 3600 ? `${Math.floor(size / 60)}:${two(size % 60)}` : `${Math.floor(size / 3600)}:${two((size % 3600) / 60)}:${two(size % 60)}`;
    return seconds < 0 ? `−${text}` : text;
  }

  // An exponential mean of what was read, without the pull towards zero at its begin.
  function smoothed(values, weight) {
    let [mean, seen] = [0, 0];
    return values.map((value) => {
      if (value === null) return null;
      mean = weight * mean + (1 - weight) * value;
      seen += 1;
      return mean / (1 - weight ** seen);
    });
  }

  // Where for much longer than usual nothing was logged, the line is broken.
  function withGaps(xs, ys) {
    const steps = xs.slice(1).map((x, place) => x - xs[place]).sort((one, other) => one - other);
    const wide = Math.max(10 * (steps[steps.length >> 1] ?? 0), 0.03 * (xs.at(-1) - xs[0]));
    const found = [[], []];
    xs.forEach((x, place) => {
      if (place && x - xs[place - 1] > wide && steps.length > 7) {
        found[0].push((x + xs[place - 1]) / 2);
        found[1].push(null);
      }
      found[0].push(x);
      found[1].push(ys[place]);
    });
    return found;
  }

  return { axes, number, smoothed, withGaps };
})();
