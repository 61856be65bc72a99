// The exponents of a run's tensors, beside the ranges of the formats that could hold them.
"use strict";

const KINDS = [["weights", "Weights"], ["activations", "Activations"],
  ["gradients", "Gradients of activations"], ["weight_gradients", "Gradients of weights"]];
const VIEWS = [["over_training", "over training"], ["by_layer", "by layer"]];
const FIRST_FORMATS = ["fp169", "fp16"];

/** A share as text. */
function percent(share) {
  const p = 100 * share;
  if (p === 0) return "0";
  return p >= 1e-4 ? `${Number(p.toPrecision(3))} %` : "< 0.0001 %";
}

/** The shares of a column's nonzero elements that a format loses: above, beneath its normals, beneath all. */
function losses(map, i, [, overflow, normal, subnormal]) {
  const row = map.share[i];
  const some = row.reduce((a, b) => a + b, 0) + notFinite(map, i);
  const part = (isIn) => (some ? row.reduce((sum, share, j) => (isIn(map.low + j) ? sum + share : sum), 0) / some : 0);
  return [part((k) => k >= overflow), part((k) => k < normal), subnormal === null ? null : part((k) => k < subnormal)];
}

/** What a panel says of one cell, or of its worst columns where none is pointed at. */
function fillReadout(node, map, layers, formats, cell) {
  const names = DATA.pool[map.names];
  const columns = cell ? [cell[0]] : names.map((_, i) => i);
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...["of nonzero", "\u2265 overflow", "< normal", "< subnormal"]
    .map((text) => el("th", { scope: "col" }, text)))));
  const body = el("tbody");
  for (const format of formats) {
    const lost = columns.map((i) => losses(map, i, format));
    const worst = [0, 1, 2].map((e) => (lost[0][e] === null ? "\u2013" : percent(Math.max(...lost.map((l) => l[e])))));
    body.append(el("tr", {}, el("th", { scope: "row" }, short(format[0], 12)), ...worst.map((text) => el("td", {}, text))));
  }
  table.append(body);
  let said = `The worst of ${names.length} ${layers ? "layers" : "steps"}; point at one for its own.`;
  if (cell) {
    const [i, k] = cell;
    const name = layers ? `layer ${i + 1}, ${short(names[i], 60)}` : `step ${names[i].toLocaleString("en")}`;
    const lost = notFinite(map, i);
    said = `${name}: ${percent(map.share[i][k - map.low] ?? 0)} in [${power(k)}, ${power(k + 1)}), ${percent(map.zero[i])} zeros` +
      (lost ? `, ${percent(lost)} not finite` : "");
  }
  node.replaceChildren(el("p", {}, said), ...(formats.length ? [table] : []));
}

/** A panel: heading, map, and what the map says under the pointer or the arrow keys. */
function heatPanel(title, map, layers, formats) {
  const svg = shape("svg", { tabindex: "0", role: "application", "aria-roledescription": "heat map",
    "aria-label": `${title}: exponent against ${layers ? "layer" : "step"}; the arrow keys go from cell to cell` });
  const readout = el("div", { class: "readout", role: "status" });
  const node = el("figure", { class: "heat" }, el("figcaption", {}, title), svg, readout);
  let cell = null;
  let drawn = null;

  function point(next) {
    if (String(next) === String(cell)) return;
    cell = next;
    drawn.mark(cell);
    fillReadout(readout, map, layers, formats, cell);
  }

  function at(event) {
    const box = svg.getBoundingClientRect();
    point(drawn.find(event.clientX - box.left, event.clientY - box.top));
  }

  /** The last column, where most of its elements are. */
  function entry() {
    const row = map.share.at(-1);
    return [map.share.length - 1, map.low + row.indexOf(Math.max(...row))];
  }

  svg.addEventListener("pointermove", at);
  svg.addEventListener("pointerdown", at);
  // A finger that is lifted leaves what it pointed at to be read.
  svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") point(null); });
  svg.addEventListener("focus", () => { if (!cell && svg.matches(":focus-visible")) point(entry()); });
  svg.addEventListener("blur", () => point(null));
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const [i, k] = cell ?? entry();
    const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
    point([clamp(i + move[0], 0, map.share.length - 1), clamp(k + move[1], map.low, map.low + map.share[0].length - 1)]);
  });

  function draw(options) {
    cell = null;
    drawn = drawHeat(svg, map, { ...options, layers, width: node.clientWidth });
    fillReadout(readout, map, layers, formats, cell);
  }

  return { node, draw };
}

/** The key to the colours and the lines. */
function heatKey(strips) {
  const ramp = shape("svg", { class: "ramp", viewBox: `0 0 ${HEAT_LEVELS} 1`, preserveAspectRatio: "none", "aria-hidden": "true" });
  for (let i = 0; i < HEAT_LEVELS; i += 1) ramp.append(shape("path", { class: `h${i}`, d: `M${i} 0h1v1h-1Z` }));
  const line = (dashed) => {
    const svg = shape("svg", { viewBox: "0 0 22 16", "aria-hidden": "true" });
    svg.append(shape("path", { d: "M0 8H22", stroke: "currentColor", "stroke-width": 1.5, "stroke-dasharray": dashed ? "5 3" : "none" }));
    return svg;
  };
  const items = [
    [`share of elements: ${power(-6, 10)}`, ramp, "1"],
    [line(false), "overflow, smallest normal number"],
    [line(true), "smallest subnormal number"],
    ["0: exact zeros"],
    ...(strips ? [["\u221e: not finite"]] : []),
  ];
  return el("ul", { class: "legend", "aria-label": "Key to the heat maps" }, ...items.map((parts) => el("li", {}, ...parts)));
}

/** A block that opens, with the controls and a panel for each kind; `draw` once it is in view. */
function rangesBlock(ranges, open) {
  const formats = DATA.pool[ranges.formats];
  const views = VIEWS.filter(([view]) => Object.keys(ranges[view]).length);
  if (!views.length) return { node: null, draw: () => {} };
  const wished = formats.flatMap(([name], i) => (FIRST_FORMATS.includes(name) ? [i] : []));
  const shown = new Set(wished.length ? wished : formats.slice(0, 2).keys());
  const all = VIEWS.flatMap(([view]) => Object.values(ranges[view]));
  const strips = all.some((map) => map.share.some((_, i) => notFinite(map, i)));
  let view = views[0][0];
  const panels = el("div", { class: "panels" });

  function draw() {
    if (!node.open) return;
    const some = formats.filter((_, i) => shown.has(i));
    const edges = formats.flatMap(([name, ...exponents], format) => exponents.flatMap((at, edge) =>
      (shown.has(format) && at !== null ? [{ name, format, edge, at }] : [])));
    const span = spanOf(all, edges);
    const made = KINDS.filter(([kind]) => ranges[view][kind])
      .map(([kind, title]) => heatPanel(title, ranges[view][kind], view === "by_layer", some));
    panels.replaceChildren(...made.map((panel) => panel.node));
    made.forEach((panel) => panel.draw({ span, edges, strips }));
  }

  const choices = formats.map(([name, overflow, normal, subnormal], i) => {
    const box = el("input", { type: "checkbox", checked: shown.has(i) });
    box.addEventListener("change", () => {
      if (box.checked) shown.add(i);
      else shown.delete(i);
      draw();
    });
    const swatch = shape("svg", { viewBox: "0 0 18 4", class: "swatch", "aria-hidden": "true" });
    swatch.append(shape("path", { class: `edge f${i % 4}`, d: "M0 2H18" }));
    const range = `${power(normal)} to ${power(overflow)}${subnormal === null ? "" : `, subnormal from ${power(subnormal)}`}`;
    return el("label", {}, box, swatch, short(name, 20), el("span", { class: "range" }, range));
  });
  const switcher = views.length > 1
    ? el("label", {}, "Shares", picker(views, view, (value) => { view = value; draw(); })) : null;
  const node = el(
    "details", { class: "ranges", open },
    el("summary", {}, "Number ranges"),
    el("div", { class: "controls" }, switcher, el("div", { class: "formats", role: "group", "aria-label": "Formats" }, ...choices)),
    panels, heatKey(strips),
  );
  node.addEventListener("toggle", draw);
  return { node, draw };
}
