"use strict";
/* Draws the curves of the report from the JSON beside them, and makes the switches work.
   Everything else on the page is there without this script. */
(() => {
  const W = 340, PLOT = 164, LEFT = 50, RIGHT = 10, TOP = 10;
  const SUPER = [..."⁰¹²³⁴⁵⁶⁷⁸⁹"];

  function el(name, attributes, parent, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }

  const power = (k) => "1−10⁻" + [...String(k)].map((d) => SUPER[d]).join("");
  const scientific = (v) => v.toExponential(1).replace("e+", "e");

  /* A cosine given by its deficit, written so that the distance from 1 can be read. */
  const cosine = (deficit) => (deficit > 5e-4 ? (1 - deficit).toFixed(4) : deficit > 0 ? "1−" + scientific(deficit) : "1");

  /* The axis of cosines: each step up is ten times closer to 1. */
  function cosineAxis(exponent) {
    const bottom = Math.log10(1.25), step = Math.max(1, Math.ceil(exponent / 7));
    const ticks = [];
    for (let k = 0; k <= exponent; k += step) ticks.push([10 ** -k, k === 0 ? "0" : k === 1 ? "0.9" : k === 2 ? "0.99" : power(k)]);
    const at = (v) => (bottom - Math.log10(Math.max(v, 10 ** -exponent))) / (bottom + exponent);
    return { at, ticks, usable: (v) => v !== null && v > 0, format: cosine };
  }

  function linearAxis(low) {
    const ticks = (low < 0 ? [-1, -0.5, 0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]).map((v) => [v, String(v)]);
    return { at: (v) => (v - low) / (1 - low), ticks, usable: (v) => v !== null, format: (v) => v.toFixed(3) };
  }

  /* A panel: horizontal rules, bands, curves, and one focusable column for each layer. */
  function draw(figure, spec) {
    const svg = figure.querySelector("svg"), axis = spec.axis;
    const active = svg.querySelector("[tabindex='0']")?.dataset.layer;
    svg.replaceChildren();
    const count = spec.labels.length, span = W - LEFT - RIGHT, height = PLOT;
    const longest = Math.max(0, ...spec.labels.map((label) => label.length));
    svg.setAttribute("viewBox", `0 0 ${W} ${TOP + PLOT + 22 + 4.2 * longest}`);
    const x = (k) => LEFT + (span * (k + 0.5)) / Math.max(count, 1), y = (v) => TOP + height * (1 - axis.at(v));
    const inside = (v) => Math.min(TOP + height, Math.max(TOP, y(v)));
    for (const [value, label] of axis.ticks) {
      el("line", { x1: LEFT, x2: W - RIGHT, y1: y(value), y2: y(value), class: "rule" }, svg);
      el("text", { x: LEFT - 7, y: y(value) + 3.5, class: "tick", "text-anchor": "end" }, svg, label);
    }
    const every = Math.ceil(count / 16);
    spec.labels.forEach((label, k) => {
      if (k % every && k !== count - 1) return;
      const place = `translate(${x(k) + 3} ${TOP + PLOT + 13}) rotate(-48)`;
      el("text", { transform: place, class: "tick", "text-anchor": "end" }, svg, label);
    });
    for (const band of spec.bands) {
      for (const [from, to] of runs(count, (k) => band.lower[k] !== null && band.upper[k] !== null)) {
        const ks = Array.from({ length: to - from }, (_, i) => from + i);
        const edge = (values, list) => list.map((k) => `${x(k)},${inside(values[k])}`).join(" ");
        el("polygon", { points: edge(band.lower, ks) + " " + edge(band.upper, [...ks].reverse()), class: "band " + band.key }, svg);
      }
    }
    for (const curve of spec.curves) {
      for (const [from, to] of runs(count, (k) => axis.usable(curve.values[k]))) {
        const half = span / count / 2;
        let path = "";
        for (let k = from; k < to; k++) {
          const h = inside(curve.values[k]);
          path += curve.steps ? `${path ? "L" : "M"}${x(k) - half},${h}L${x(k) + half},${h}` : `${path ? "L" : "M"}${x(k)},${h}`;
        }
        el("path", { d: path, class: "curve " + look(curve) }, svg);
      }
      curve.values.forEach((v, k) => { if (axis.usable(v)) mark(svg, curve, x(k), inside(v)); });
    }
    columns(figure, svg, spec, x, span / Math.max(count, 1), active);
  }

  /* Maximal [from, to) on which a layer has a value. */
  function runs(count, has) {
    const found = [];
    for (let k = 0; k < count; k++) {
      if (!has(k)) continue;
      if (found.length && found.at(-1)[1] === k) found.at(-1)[1]++;
      else found.push([k, k + 1]);
    }
    return found;
  }

  /* What a curve is drawn as: a theory's style goes by its place among theories. */
  function look(curve) { return curve.style ?? curve.key; }

  function mark(svg, curve, cx, cy) {
    const kind = "mark " + look(curve);
    if (curve.shape === "circle") el("circle", { cx, cy, r: 2.9, class: kind }, svg);
    if (curve.shape === "square") el("rect", { x: cx - 2.6, y: cy - 2.6, width: 5.2, height: 5.2, class: kind }, svg);
    if (curve.shape === "diamond") el("path", { d: `M${cx},${cy - 3.8}l3.8,3.8l-3.8,3.8l-3.8,-3.8z`, class: kind }, svg);
  }

  /* One column for each layer: the pointer or the focus on it shows its values; arrow keys go along. */
  function columns(figure, svg, spec, x, width, active) {
    const card = figure.querySelector(".card");
    const group = el("g", {}, svg);
    const start = spec.labels.includes(active) ? active : spec.labels[0];
    spec.labels.forEach((label, k) => {
      const lines = spec.curves.filter((c) => spec.axis.usable(c.values[k])).map((c) => [look(c), c.name, spec.axis.format(c.values[k]) + (c.note?.[k] ?? "")]);
      const words = lines.map(([, name, value]) => `${name} ${value}`).join(", ") || "no value";
      const options = { x: x(k) - width / 2, y: TOP, width, height: PLOT, class: "column", role: "img", "aria-label": `${label}: ${words}` };
      const column = el("rect", { ...options, tabindex: label === start ? 0 : -1, "data-layer": label }, group);
      const show = () => {
        card.replaceChildren(html("b", "", label), ...lines.map(([key, name, value]) => {
          const row = html("span", "row");
          row.append(html("i", "key " + key), html("span", "name", name), html("span", "value", value));
          return row;
        }));
        card.style.left = `${(100 * x(k)) / W}%`;
        card.classList.toggle("left", k > (spec.labels.length - 1) / 2);
        card.hidden = lines.length === 0;
      };
      const hide = () => { card.hidden = true; };
      for (const event of ["mouseenter", "focus"]) column.addEventListener(event, show);
      for (const event of ["mouseleave", "blur"]) column.addEventListener(event, hide);
      column.addEventListener("keydown", (event) => {
        const steps = { ArrowRight: k + 1, ArrowLeft: k - 1, Home: 0, End: spec.labels.length - 1 };
        if (event.key === "Escape") hide();
        const next = group.children[steps[event.key]];
        if (!next) return;
        event.preventDefault();
        column.setAttribute("tabindex", -1);
        next.setAttribute("tabindex", 0);
        next.focus();
      });
    });
  }

  function html(name, kind, text) {
    const node = document.createElement(name);
    node.className = kind;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  const pick = (values, kept) => kept.map((k) => values[k]);

  /* Decades by which a prediction is off, where there is a measurement to hold it against. */
  function errors(panel, curve, kept) {
    const { measured } = panel.curves;
    if (!measured || !curve.theory) return undefined;
    return kept.map((k) => {
      const decades = Math.log10(panel.curves[curve.key][k] / measured[k]);
      return Number.isFinite(decades) ? ` (${decades < 0 ? "−" : "+"}${Math.abs(decades).toFixed(2)})` : "";
    });
  }

  function cscPanel(figure, study, on) {
    const panel = study.csc[figure.dataset.index];
    const kept = panel.labels.map((_, k) => k).filter((k) => on.layer.has(panel.labels[k]));
    const curves = study.curves.filter((c) => panel.curves[c.key] && on.curve.has(c.key)).map((c) => ({
      ...c, values: pick(panel.curves[c.key], kept), note: errors(panel, c, kept) }));
    const bands = Object.entries(panel.bands).filter(() => on.curve.has("measured")).map(([key, [lower, upper]]) => ({
      key, lower: pick(lower, kept), upper: pick(upper, kept) }));
    draw(figure, { labels: pick(panel.labels, kept), curves, bands, axis: cosineAxis(study.exponent) });
  }

  function sanityPanel(figure, study, chosen) {
    const panel = study.sanity[figure.dataset.index];
    const found = panel.curves[`${chosen.mode}|${chosen.measure}`];
    if (!found) return draw(figure, { labels: [], curves: [], bands: [], axis: linearAxis(0) });
    const curves = [{ key: "measured", name: chosen.measure, values: found.median, shape: "circle" }];
    if (found.structure) curves.push({ key: "certified-median", name: "any relevance", values: found.structure });
    const logit = panel.logit[chosen.measure];
    if (logit !== undefined) curves.push({ key: "baseline", name: "another class", values: panel.labels.map(() => logit) });
    const bands = found.lower ? [{ key: "measured-band", lower: found.lower, upper: found.upper }] : [];
    const low = Math.min(0, ...[...found.median, ...(found.lower ?? []), logit ?? 0].map((v) => v ?? 0)) < 0 ? -1 : 0;
    draw(figure, { labels: panel.labels, curves, bands, axis: linearAxis(low) });
  }

  for (const section of document.querySelectorAll(".study")) {
    const study = JSON.parse(section.querySelector("script.data").textContent);
    const inputs = (kind) => [...section.querySelectorAll(`input[data-switch="${kind}"]`)];
    const checked = (kind) => new Set(inputs(kind).filter((i) => i.checked).map((i) => i.value));
    const update = () => {
      const on = Object.fromEntries(["method", "start", "curve", "layer"].map((kind) => [kind, checked(kind)]));
      const chosen = Object.fromEntries(["mode", "measure"].map((kind) => [kind, [...checked(kind)][0]]));
      for (const node of section.querySelectorAll("[data-method]")) {
        const shown = on.method.has(node.dataset.method) && (!("start" in node.dataset) || on.start.has(node.dataset.start));
        node.toggleAttribute("hidden", !shown); // SVG has no `hidden` property
      }
      for (const figure of section.querySelectorAll("figure.csc:not([hidden])")) cscPanel(figure, study, on);
      for (const figure of section.querySelectorAll("figure.sanity:not([hidden])")) sanityPanel(figure, study, chosen);
    };
    section.addEventListener("change", update);
    section.addEventListener("click", (event) => {
      const all = event.target.closest("button[data-all]");
      if (!all) return;
      for (const input of inputs(all.dataset.all)) input.checked = all.value === "on";
      update();
    });
    update();
  }
})();
