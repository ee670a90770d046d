"use strict";
// The search field: / goes there, what is found is listed below by kind, and arrows, Enter and Escape choose.
(() => {
  const headings = { project: "Projects", run: "Runs", model: "Models", deployment: "Deployments", data: "Data" };
  const field = document.getElementById("search");
  const list = document.getElementById("hits");
  const box = list.parentElement;
  const told = box.querySelector("[role=status]");
  let timer = null;
  let asked = 0;

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function option(hit, place) {
    const which = { run: hit.state, deployment: `v${hit.id} ${hit.state}`, data: hit.id.slice(0, 8) }[hit.what] ?? "";
    const beside = [hit.what === "project" ? "" : hit.project, which].filter(Boolean).join(" · ");
    return element("a", { role: "option", id: `hit-${place}`, href: hit.url, tabindex: -1, "aria-selected": false },
      element("bdi", {}, hit.name), element("span", {}, beside));
  }

  function show(hits) {
    let place = 0;
    list.replaceChildren(...[...grouped(hits)].map(([what, those]) => element("div", { role: "group", "aria-label": headings[what] },
      element("div", { role: "presentation" }, headings[what]), ...those.map((hit) => option(hit, place++)))));
    told.textContent = hits.length ? "" : "Nothing found.";
    open(true);
  }

  function grouped(hits) {
    const groups = new Map();
    for (const hit of hits) groups.set(hit.what, [...(groups.get(hit.what) ?? []), hit]);
    return groups;
  }

  function open(is) {
    box.hidden = !is;
    field.setAttribute("aria-expanded", String(is));
    choose(null);
  }

  function choose(chosen) {
    for (const each of list.querySelectorAll("[role=option]")) each.setAttribute("aria-selected", String(each === chosen));
    if (chosen) {
      field.setAttribute("aria-activedescendant", chosen.id);
      chosen.scrollIntoView({ block: "nearest" });
    } else field.removeAttribute("aria-activedescendant");
  }

  async function find() {
    const words = field.value.trim();
    const mine = ++asked;
    if (!words) {
      open(false);
      return;
    }
    const answer = await fetch(`/api/search?${new URLSearchParams({ q: words })}`).catch(() => null);
    if (mine !== asked || document.activeElement !== field) return; // an older question, or nobody waits
    if (answer?.ok) {
      show(await answer.json());
      return;
    }
    const problem = await answer?.json().catch(() => null);
    list.replaceChildren();
    told.textContent = problem?.error?.message ?? "The gateway does not answer.";
    open(true);
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(find, 120);
  });
  field.addEventListener("focus", () => { if (field.value.trim() && list.childElementCount) open(true); });
  field.addEventListener("keydown", (event) => {
    const all = [...list.querySelectorAll("[role=option]")];
    const place = all.findIndex((each) => each.id === field.getAttribute("aria-activedescendant"));
    if (event.key === "Escape") {
      if (box.hidden) field.blur();
      open(false);
      event.preventDefault(); // which would empty it
    } else if (box.hidden || !all.length) return;
    else if (event.key === "ArrowDown") choose(all[(place + 1) % all.length]);
    else if (event.key === "ArrowUp") choose(all.at(place <= 0 ? -1 : place - 1));
    else if (event.key === "Enter" && place >= 0) location.href = all[place].href;
    else return;
    event.preventDefault();
  });
  document.addEventListener("click", (event) => { if (!field.form.contains(event.target)) open(false); });
  field.form.addEventListener("focusout", (event) => {
    if (!field.form.contains(event.relatedTarget)) open(false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=checkbox]), select, textarea") || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    field.focus();
    field.select();
  });
})();
