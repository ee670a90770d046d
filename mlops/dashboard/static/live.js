"use strict";
// Listens to what changed, and has htmx read the regions again that show it.
//
// Only pages that are looked at listen: a browser has six connections to a server, whatever its tabs.
(() => {
  const project = document.body.dataset.project;
  const linkState = document.getElementById("link-state");
  const main = document.getElementById("main");
  const putOff = new Map();
  let source = null;
  let retry = null;

  function renew(topic) {
    htmx.trigger(document.body, `live:${topic}`);
  }

  function show(lostAt) {
    main.classList.toggle("away", lostAt !== null);
    linkState.textContent = lostAt ? `The gateway has not answered since ${lostAt.toLocaleTimeString()}` : "";
  }

  function listen() {
    clearTimeout(retry);
    if (document.hidden || source) return;
    let lostAt = null;
    source = new EventSource("/events");
    source.onopen = () => { lostAt = null; show(null); renew("all"); };
    source.onerror = async () => {
      lostAt ??= new Date();
      show(lostAt);
      if (source?.readyState !== EventSource.CLOSED) return; // it tries again by itself
      stop();
      const answer = await fetch("/api/me").catch(() => null);
      if (answer?.status === 401) location.reload(); // to the login page, and back
      else retry = setTimeout(listen, 2000);
    };
    source.addEventListener("change", (event) => {
      for (const [topic, projects] of Object.entries(JSON.parse(event.data))) {
        if (!project || projects.includes(project) || projects.includes("")) renew(topic);
      }
    });
  }

  function stop() {
    source?.close();
    source = null;
  }

  // A region that somebody is using is renewed when they have left it.
  function isInUse(region) {
    const selection = getSelection();
    const active = document.activeElement;
    return (region.contains(active) && active.matches("a, button, input, select, summary, [role=separator], table:not([data-select]) tr"))
      || region.matches(":active") // a button of the mouse is held down in it
      || region.querySelector("tbody details[open]") !== null
      || (!selection.isCollapsed && region.contains(selection.anchorNode));
  }

  // What a region has already need not be sent again.
  document.body.addEventListener("htmx:configRequest", ({ detail }) => {
    if (detail.elt === detail.target && detail.elt.dataset.version) detail.headers["X-Region-Version"] = detail.elt.dataset.version;
  });

  // Fields that are empty stay out of addresses.
  document.body.addEventListener("htmx:configRequest", (event) => {
    const { verb, formData } = event.detail;
    for (const name of verb === "get" ? new Set(formData.keys()) : []) {
      const given = formData.getAll(name).filter(Boolean);
      formData.delete(name);
      for (const value of given) formData.append(name, value);
    }
  });

  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const region = event.detail.target;
    if (!region.matches?.("section.region") || event.detail.xhr.status !== 200) return;
    const fresh = new DOMParser().parseFromString(event.detail.serverResponse, "text/html").querySelector("section");
    if (!fresh) return;
    const asked = event.detail.requestConfig.elt !== region; // by a filter, not by an event
    if (!asked && isInUse(region)) {
      event.detail.shouldSwap = false;
      putOff.set(region.id, true);
    } else if (!asked) {
      for (const open of region.querySelectorAll("details[open]:not(tbody *)")) {
        fresh.querySelectorAll("details")[[...region.querySelectorAll("details")].indexOf(open)]?.setAttribute("open", "");
      }
      window.holdBack?.(region, fresh);
      event.detail.serverResponse = fresh.outerHTML;
    }
  });
  document.body.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 401) location.reload();
  });
  setInterval(() => {
    for (const id of [...putOff.keys()]) {
      const region = document.getElementById(id);
      if (region && isInUse(region)) continue;
      putOff.delete(id);
      if (region) htmx.trigger(region, "put-off");
    }
  }, 1000);

  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : listen()));
  addEventListener("pagehide", stop);
  addEventListener("pageshow", listen);
  listen();
})();
