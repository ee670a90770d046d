"use strict";
// The side sheet: an action's question, its one confirmation, and what went wrong with it.
(() => {
  const sheet = document.getElementById("sheet");
  const body = document.getElementById("sheet-body");

  // Once htmx knows its forms: earlier, Enter would send one as the browser does.
  document.body.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target === body && !sheet.open) sheet.showModal();
  });
  sheet.addEventListener("click", (event) => {
    if (event.target === sheet || event.target.closest("[data-close]")) sheet.close();
  });
  sheet.addEventListener("submit", (event) => {
    if (event.target.hasAttribute("hx-post")) event.preventDefault();
  });
  sheet.addEventListener("close", () => body.replaceChildren());
  sheet.addEventListener("htmx:beforeRequest", () => working(true));
  sheet.addEventListener("htmx:afterRequest", () => working(false));
  document.body.addEventListener("told", () => {
    sheet.close();
    document.getElementById("main").focus({ preventScroll: true }); // so that the row is in nobody's way to be renewed
  });

  for (const name of ["htmx:responseError", "htmx:sendError"]) {
    document.body.addEventListener(name, (event) => {
      const problem = sheet.open ? sheet.querySelector(".problem") : null;
      const words = explain(event.detail.xhr);
      if (problem) { problem.textContent = words; problem.hidden = false; }
      else if (event.detail.target === body) document.getElementById("told").textContent = words;
    });
  }

  function working(is) {
    for (const button of sheet.querySelectorAll(".primary")) button.disabled = is;
  }

  function explain(request) {
    try {
      const { message, remedy } = JSON.parse(request.responseText).error;
      return [message, remedy].filter(Boolean).join(". ");
    } catch {
      return "The gateway does not answer. Nothing was changed, as far as is known here.";
    }
  }
})();
