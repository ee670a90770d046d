"use strict";
// Asks a model by the gateway's own predict, with the session of whoever is logged in.
(() => {
  const text = (form, name, value) => { form.querySelector(`[data-told="${name}"]`).textContent = value; };

  function fail(form, message, remedy) {
    const problem = form.querySelector(".problem");
    problem.textContent = [message, remedy].filter(Boolean).join(". ");
    problem.hidden = false;
  }

  // Indented, with the numbers of a list on one line.
  const written = (value) => JSON.stringify(value, null, 1).replace(/\[\s+([^[\]{}]*?)\s+\]/g, (_, inner) => `[${inner.replace(/,\s+/g, ", ")}]`);

  // What is sent: a file as it is, else the inputs by name. Throws where one is not JSON.
  function question(form) {
    const file = form.querySelector("[data-file]")?.files[0];
    if (file) return { body: file, type: "application/octet-stream" };
    const inputs = {};
    for (const area of form.querySelectorAll("[data-input]")) {
      if (!area.value.trim()) continue;
      try {
        inputs[area.dataset.input] = JSON.parse(area.value);
      } catch (error) {
        area.focus();
        throw new Error(`${area.dataset.input} is not JSON: ${error.message}`, { cause: error });
      }
    }
    return { body: JSON.stringify({ inputs }), type: "application/json" };
  }

  async function ask(form) {
    form.querySelector(".problem").hidden = true;
    form.querySelector(".answer").hidden = true;
    const { body, type } = question(form);
    const began = performance.now();
    const answer = await fetch(form.dataset.try, { method: "POST", headers: { "Content-Type": type }, body });
    const content = await answer.text();
    const took = performance.now() - began;
    let told = null;
    try { told = JSON.parse(content); } catch { /* said as it is */ }
    const request = answer.headers.get("X-Request-Id") ?? "";
    if (!answer.ok) {
      const { message, remedy } = told?.error ?? { message: `${answer.status}: ${content.slice(0, 400)}` };
      fail(form, message, [remedy, request && `Request ${request}.`].filter(Boolean).join(" "));
      return;
    }
    text(form, "version", `v${answer.headers.get("X-Model-Version")}`);
    text(form, "took", took < 1000 ? `${took.toPrecision(3)} ms` : `${(took / 1000).toPrecision(3)} s`);
    text(form, "request", request);
    text(form, "outputs", told === null ? content : written(told.outputs ?? told));
    form.querySelector(".answer").hidden = false;
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-try]");
    if (!form) return;
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await ask(form);
    } catch (error) {
      fail(form, error instanceof TypeError ? "The gateway does not answer" : error.message, "");
    } finally {
      button.disabled = false;
    }
  });
  // A file stands for all inputs.
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-file]")) return;
    for (const area of event.target.form.querySelectorAll("[data-input]")) area.disabled = event.target.files.length > 0;
  });
})();
