"use strict";
// Runs before the first paint, so that a chosen theme and a narrow rail do not flash.
(() => {
  for (const name of ["theme", "rail"]) {
    const chosen = localStorage.getItem(name);
    if (chosen) document.documentElement.dataset[name] = chosen;
  }
})();
