// Zoom and pan of a timeline, and where a click leads. Without it, every page still says all that it says.
"use strict";
(() => {
  const ZOOM_MAX = 5000;
  const view = { zoom: 1, pan: 0, critical: false };

  // The view is that of the page: a timeline that comes anew while the run goes on is shown in the same way.
  const table = () => document.querySelector(".bars");
  const show = () => {
    view.zoom = Math.min(Math.max(view.zoom, 1), ZOOM_MAX);
    view.pan = Math.min(Math.max(view.pan, 0), 1 - 1 / view.zoom);
    const bars = table();
    if (!bars) return;
    bars.style.setProperty("--zoom", view.zoom);
    bars.style.setProperty("--pan", view.pan);
    bars.classList.toggle("only-critical", view.critical);
    document.querySelectorAll(".tools").forEach((tools) => { tools.hidden = false; });
  };
  const zoomAt = (at, by) => {
    const time = view.pan + at / view.zoom;
    view.zoom = Math.min(Math.max(view.zoom * by, 1), ZOOM_MAX);
    view.pan = time - at / view.zoom;
    show();
  };
  const done = {
    in: () => zoomAt(0.5, 1.6),
    out: () => zoomAt(0.5, 1 / 1.6),
    left: () => { view.pan -= 0.25 / view.zoom; show(); },
    right: () => { view.pan += 0.25 / view.zoom; show(); },
    fit: () => { view.zoom = 1; view.pan = 0; show(); },
  };

  document.addEventListener("click", (event) => {
    const zoom = event.target.closest("[data-zoom]");
    if (zoom) done[zoom.dataset.zoom]();
    if (event.target.closest("[data-close]")) {
      event.preventDefault();
      document.getElementById("panel").replaceChildren();
      if (opened && document.getElementById(opened)) document.getElementById(opened).focus();
    }
  });
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-critical]")) return;
    view.critical = event.target.checked;
    show();
    if (long()) { long().scrollTop = 0; load(long(), 0); }
  });
  document.addEventListener("wheel", (event) => {
    const bar = event.target.closest(".bars td.bar, .bars th.axis");
    if (!bar || !(event.ctrlKey || event.metaKey || event.altKey)) return;
    event.preventDefault();
    const box = bar.getBoundingClientRect();
    zoomAt((event.clientX - box.left) / box.width, event.deltaY < 0 ? 1.25 : 0.8);
  }, { passive: false });

  let drag = null;
  document.addEventListener("pointerdown", (event) => {
    const bar = event.target.closest(".bars td.bar");
    if (bar && event.button === 0) drag = { x: event.clientX, pan: view.pan, width: bar.clientWidth };
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    view.pan = drag.pan - (event.clientX - drag.x) / drag.width / view.zoom;
    show();
  });
  document.addEventListener("pointerup", () => { drag = null; });

  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const names = { "+": "in", "=": "in", "-": "out", "[": "left", "]": "right", "0": "fit" };
    if (table() && names[event.key]) done[names[event.key]]();
    if (event.key === "Escape") { const close = document.querySelector("#panel [data-close]"); if (close) close.click(); }
    const row = event.target.closest(".bars tbody tr");
    if (row && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      let next = row;
      do { next = event.key === "ArrowDown" ? next.nextElementSibling : next.previousElementSibling; }
      while (next && !next.querySelector("a"));
      if (next) { event.preventDefault(); next.querySelector("a").focus(); }
    }
  });

  // What somebody fills in is not taken from them: a part that says the same comes not again, and what can be done with the
  // run stays as it is as long as somebody is at it.
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    const part = event.target;
    if (part.id !== "menu" && part.id !== "waits") return;
    const come = document.createElement("template"), now = document.createElement("template");
    come.innerHTML = event.detail.data;
    now.innerHTML = part.innerHTML;
    now.content.querySelectorAll("details[open]").forEach((details) => details.removeAttribute("open"));
    if ((part.id === "menu" && isUsed(part)) || come.innerHTML === now.innerHTML) event.preventDefault();
  });
  const isUsed = (part) => part.querySelector("details[open]") || (part.contains(document.activeElement) && document.activeElement.matches("input, textarea"));
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "list" && isUsed(event.detail.target)) event.detail.shouldSwap = false;
  });

  // A long timeline is scrolled as if all of its lines were there: those in sight are asked for, and blank space stands for
  // the others.
  const long = () => document.querySelector(".timeline[data-lines]");
  const lines = (box) => [...box.querySelectorAll("tbody tr.line")];
  let asked = 0;
  const space = (box) => {
    const body = box.querySelector("tbody"), rows = lines(box);
    if (!rows.length) return;
    const height = body.dataset.height || (rows[rows.length - 1].getBoundingClientRect().bottom - rows[0].getBoundingClientRect().top) / rows.length;
    body.dataset.height = height;
    const before = Number(box.dataset.from), after = Number(box.dataset.lines) - before - rows.length;
    body.querySelectorAll("tr.space").forEach((row) => row.remove());
    for (const [count, end] of [[before, "afterbegin"], [after, "beforeend"]]) {
      const row = document.createElement("tr");
      row.className = "space";
      row.setAttribute("aria-hidden", "true");
      row.append(document.createElement("td"));
      row.firstChild.colSpan = 4;
      row.style.height = count * height + "px";
      body.insertAdjacentElement(end, row);
    }
    box.classList.add("long");
  };
  const load = async (box, from) => {
    const at = `${box.dataset.at}?from=${from}&critical=${view.critical}`;
    const mine = ++asked;
    const come = document.createElement("template");
    try {
      const answer = await fetch(at, { headers: { "HX-Request": "true" } });
      if (!answer.ok) return;
      come.innerHTML = await answer.text();
    } catch { return; }
    if (!box.isConnected) return;
    const next = come.content.querySelector(".timeline"), body = box.querySelector("tbody");
    if (mine !== asked || !next) return;
    const focused = body.contains(document.activeElement) && document.activeElement.id;
    const height = body.dataset.height;
    body.replaceChildren(...next.querySelector("tbody").childNodes);
    body.dataset.height = height;
    box.dataset.from = next.dataset.from;
    box.dataset.lines = next.dataset.lines || box.dataset.lines;
    space(box);
    htmx.process(body);
    if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
    look(box);
  };
  const look = (box) => {
    const height = Number(box.querySelector("tbody").dataset.height);
    const first = Math.floor(box.scrollTop / height), last = Math.ceil((box.scrollTop + box.clientHeight) / height) - 2;
    const from = Number(box.dataset.from), until = from + lines(box).length;
    const total = Number(box.dataset.lines);
    if (first >= from && Math.min(last, total) <= until) return;
    // What is in sight comes in the middle of what is asked for.
    const come = Math.max(Math.min(first, total - 1) - Math.max(Math.floor((Number(box.dataset.part) - last + first) / 2), 0), 0);
    if (come !== from) load(box, come);
  };
  let due = 0;
  document.addEventListener("scroll", (event) => {
    if (event.target !== long()) return;
    cancelAnimationFrame(due);
    due = requestAnimationFrame(() => look(event.target));
  }, true);
  const begin = () => {
    const box = long();
    if (!box) return;
    space(box);
    const goesOn = box.closest("[sse-connect]");
    box.scrollTop = goesOn ? box.scrollHeight : Number(box.dataset.from) * Number(box.querySelector("tbody").dataset.height);
  };

  // What is recorded of a span comes beside the timeline: whoever followed the link reads on there.
  let opened = null;
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.matches(".bars a")) opened = event.target.id;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "panel") event.target.focus();
    show();
  });
  // What somebody has opened, or begun to type, is not taken away from them.
  const isTyped = (within) => within.querySelector(".actions details[open]") || [...within.querySelectorAll("textarea, input:not([type=hidden])")].some((field) =>
    field === document.activeElement || field.value !== field.defaultValue);
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "list" && isTyped(event.detail.target)) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    if (event.target.id === "waits" && isTyped(event.target)) event.preventDefault();
  });
  // Whoever looks at what was, and not at what goes on, is left alone.
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    const box = event.target.id === "bars" && long();
    if (box && (view.critical || box.scrollTop + box.clientHeight < box.scrollHeight - 40)) event.preventDefault();
  });
  document.addEventListener("htmx:sseMessage", (event) => {
    if (event.target.id === "bars" && long()) { space(long()); long().scrollTop = long().scrollHeight; }
    show();
  });
  document.addEventListener("submit", (event) => {
    const sure = event.target.dataset.sure;
    if (sure && !window.confirm(sure)) { event.preventDefault(); event.stopPropagation(); }
  }, true);
  window.addEventListener("hashchange", () => {
    const at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (at && at.matches(".panel")) at.focus();
  });
  begin();
  show();
})();
