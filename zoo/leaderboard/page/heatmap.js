// A heat map of exponents: columns are steps or layers, the colour is the logarithm of the share.
//
// range_figure.py draws the same as a picture; heat.css has the colours of both.
"use strict";

const HEAT_LEVELS = 18; // of colour, three a decade: from 1e-6 to 1
const HEAT_HEIGHT = 232;
const STRIP = 9; // the zeros beneath the exponents, what is not finite above them
const NEAR = 8; // octaves: the edge of a format that is farther from all elements is only named
const ROUNDING = 5e-4; // of a row of shares with four digits each
const EDGES = ["overflow", "normal", "subnormal"];
const RAISED = { "-": "\u207b", 0: "\u2070", 1: "\u00b9", 2: "\u00b2", 3: "\u00b3", 4: "\u2074",
  5: "\u2075", 6: "\u2076", 7: "\u2077", 8: "\u2078", 9: "\u2079" };

/** A power as text: the base with its exponent raised. */
function power(exponent, base = 2) {
  return String(base) + Array.from(String(exponent), (c) => RAISED[c]).join("");
}

/** The colour of a share above 0. */
function heatLevel(share) {
  return Math.min(HEAT_LEVELS - 1, Math.max(0, Math.floor(HEAT_LEVELS + 3 * Math.log10(share))));
}

/** The part of a column that is neither an exponent nor zero: infinities and NaN. */
function notFinite(map, i) {
  const rest = 1 - map.zero[i] - map.share[i].reduce((a, b) => a + b, 0);
  return rest > ROUNDING ? rest : 0;
}

/** The exponents that all panels of a run show, [low, high): every element, and the edges near by. */
function spanOf(maps, edges) {
  const held = maps.flatMap((map) => map.share[0].flatMap((_, j) => (map.share.some((row) => row[j] > 0) ? [map.low + j] : [])));
  if (!held.length) return [-8, 8];
  const [low, high] = [Math.min(...held), Math.max(...held) + 1];
  const near = edges.map((edge) => edge.at).filter((at) => at >= low - NEAR && at <= high + NEAR);
  return [Math.min(low, ...near) - 1, Math.max(high, ...near) + 1];
}

/** Multiples of a power of two in [low, high], at most `room` of them. */
function powerTicks([low, high], room) {
  let step = 1;
  while ((high - low) / step > room) step *= 2;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
}

/** Heights for labels, from the top, that keep `gap` between them and stay above `bottom`. */
function spread(wanted, gap, bottom) {
  const heights = [];
  for (const y of wanted) heights.push(Math.max(y, heights.length ? heights.at(-1) + gap : y));
  for (let i = heights.length - 1, limit = bottom; i >= 0; i -= 1, limit = heights[i + 1] - gap) {
    heights[i] = Math.min(heights[i], limit);
  }
  return heights;
}

/** How an edge is named; an arrow says that it lies beyond the exponents that are shown. */
function edgeText(edge, [low, high]) {
  const away = edge.at > high ? "\u2191 " : edge.at < low ? "\u2193 " : "";
  return `${away}${short(edge.name, 8)} ${EDGES[edge.edge]}`;
}

/** A step as a tick says it. */
function compact(n) {
  if (n < 1e4) return n.toLocaleString("en");
  return n < 1e6 ? `${Number((n / 1e3).toPrecision(3))}k` : `${Number((n / 1e6).toPrecision(3))}M`;
}

/** Where everything of a panel is, in whole pixels, so that cells meet without seams. */
function heatFrame(width, names, layers, span, edges, strips) {
  const left = 36;
  const right = width - 14 - edges.reduce((m, edge) => Math.max(m, textWidth(edgeText(edge, span))), 0);
  const top = 8 + (strips ? STRIP + 4 : 0);
  const bottom = top + HEAT_HEIGHT;
  const columns = names.map((_, i) => Math.round(left + (i * (right - left)) / names.length));
  const y = (k) => Math.round(bottom - ((k - span[0]) * HEAT_HEIGHT) / (span[1] - span[0]));
  // Names stand upright beneath their columns where each has room for a line of text.
  const named = layers && (right - left) / names.length >= 11;
  const floor = bottom + STRIP + 4;
  const said = named ? names.map((name) => (name.length > 18 ? `\u2026${name.slice(-17)}` : name)) : [];
  const height = floor + (named ? 12 + 6 * said.reduce((m, s) => Math.max(m, s.length), 0) : 36);
  return { left, right, top, bottom, floor, height, width, x: [...columns, right], y, span, said, layers };
}

function heatText(x, y, text, attributes = {}) {
  const node = shape("text", { x, y, ...attributes });
  node.textContent = text;
  return node;
}

function heatCells(f, map, strips) {
  const paths = Array.from({ length: HEAT_LEVELS }, () => "");
  const put = (i, top, bottom, share) => {
    if (share > 0) paths[heatLevel(share)] += `M${f.x[i]} ${top}H${f.x[i + 1]}V${bottom}H${f.x[i]}Z`;
  };
  map.share.forEach((row, i) => {
    row.forEach((share, j) => put(i, f.y(map.low + j + 1), f.y(map.low + j), share));
    put(i, f.bottom + 4, f.floor, map.zero[i]);
    if (strips) put(i, f.top - 4 - STRIP, f.top - 4, notFinite(map, i));
  });
  const cells = shape("g", { class: "cells" });
  cells.append(...paths.flatMap((d, level) => (d ? [shape("path", { class: `h${level}`, d })] : [])));
  return cells;
}

function heatAxes(f, names, strips) {
  const frame = (top, bottom) => shape("path", { class: "frame", d: `M${f.left} ${top}H${f.right}V${bottom}H${f.left}Z` });
  const nodes = [frame(f.top, f.bottom), frame(f.bottom + 4, f.floor)];
  const beside = (y, text) => nodes.push(heatText(f.left - 6, y + 4, text, { "text-anchor": "end" }));
  powerTicks(f.span, 9).forEach((k) => beside(f.y(k), power(k)));
  beside(f.floor - STRIP / 2, "0");
  if (strips) {
    nodes.push(frame(f.top - 4 - STRIP, f.top - 4));
    beside(f.top - 4 - STRIP / 2, "\u221e");
  }
  const middle = (i) => (f.x[i] + f.x[i + 1]) / 2;
  f.said.forEach((name, i) => {
    nodes.push(heatText(0, 0, name, { "text-anchor": "end", transform: `translate(${middle(i) + 4} ${f.floor + 6}) rotate(-90)` }));
  });
  if (!f.said.length) {
    const every = [1, 2, 5, 10, 20, 50, 100, 200].find((n) => n * (f.right - f.left) >= 40 * names.length) ?? names.length;
    const words = names.map((name, i) => (f.layers ? String(i + 1) : compact(name)));
    words.forEach((word, i) => {
      if ((f.layers ? i + 1 : i) % every === 0) nodes.push(heatText(middle(i), f.floor + 14, word, { "text-anchor": "middle" }));
    });
    nodes.push(heatText((f.left + f.right) / 2, f.floor + 30, f.layers ? "layer" : "step", { "text-anchor": "middle" }));
  }
  return nodes;
}

/** The formats' edges: a line across where there is a place for it, and a name at the right. */
function heatEdges(f, edges) {
  const top = f.y(f.span[1]);
  const order = edges.toSorted((a, b) => b.at - a.at);
  const at = order.map((edge) => Math.min(f.bottom, Math.max(top, f.y(edge.at))));
  const labels = spread(at, 13, f.bottom);
  return order.flatMap((edge, i) => {
    const colour = `f${edge.format % 4}`;
    const text = heatText(f.right + 11, labels[i] + 4, edgeText(edge, f.span), { class: colour });
    if (edge.at < f.span[0] || edge.at > f.span[1]) return [text];
    const line = `M${f.left} ${at[i]}H${f.right}`;
    return [
      shape("path", { class: "halo", d: line }),
      shape("path", { class: `edge ${colour}${edge.edge === 2 ? " dashed" : ""}`, d: line, "data-at": edge.at }),
      shape("path", { class: `edge ${colour}`, d: `M${f.right} ${at[i]}L${f.right + 8} ${labels[i]}` }),
      text,
    ];
  });
}

/** Fill `svg`; returns what finds the cell under a pixel and what frames one. */
function drawHeat(svg, map, { layers, span, edges, strips, width }) {
  const names = DATA.pool[map.names];
  const f = heatFrame(width, names, layers, span, edges, strips);
  const cursor = shape("path", { class: "cursor", d: "" });
  for (const [name, value] of [["width", width], ["height", f.height]]) svg.setAttribute(name, value);
  svg.replaceChildren(heatCells(f, map, strips), ...heatAxes(f, names, strips), ...heatEdges(f, edges), cursor);
  return {
    find(x, y) {
      const column = f.x.findLastIndex((left) => left <= x);
      const k = f.span[0] + Math.floor(((f.bottom - y) * (f.span[1] - f.span[0])) / HEAT_HEIGHT);
      const inside = column >= 0 && column < names.length;
      return inside ? [column, Math.min(f.span[1] - 1, Math.max(f.span[0], k))] : null;
    },
    mark(cell) {
      const [i, k] = cell ?? [0, 0];
      const box = (top, bottom) => `M${f.x[i]} ${top}H${f.x[i + 1]}V${bottom}H${f.x[i]}Z`;
      cursor.setAttribute("d", cell ? box(f.top, f.bottom) + box(f.y(k + 1), f.y(k)) : "");
    },
  };
}
