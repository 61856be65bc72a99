// What every part of the page uses: the data, elements, and text for Plotly.
//
// A record's text reaches the page through textContent and setAttribute alone. Plotly reads a
// subset of HTML in whatever text it draws: all of it goes through `plain` first.
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);

/** Make an element: el("p", {class: "quiet"}, "text", child, ...). */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Make an SVG element without children. */
function shape(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** Make a <select> of [value, text] pairs that calls `changed` with the value. */
function picker(options, chosen, changed) {
  const select = el("select");
  for (const [value, text] of options) {
    const option = el("option", {}, text);
    option.value = value;
    select.append(option);
  }
  select.value = chosen;
  select.addEventListener("change", () => changed(select.value));
  return select;
}

/** Cut a text that would not fit. */
function short(text, length) {
  const letters = Array.from(text);
  return letters.length <= length ? text : letters.slice(0, length - 1).join("") + "\u2026";
}

/** Text as Plotly must get it to draw it as it is. */
function plain(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/** Plain text in lines of some length, at most four, for a hover label. */
function wrapped(text, length = 48) {
  const lines = [];
  let rest = short(text, 4 * length);
  while (rest.length > length) {
    const space = rest.lastIndexOf(" ", length);
    const cut = space > 0 ? space : length;
    lines.push(rest.slice(0, cut));
    rest = rest.slice(cut).trimStart();
  }
  return [...lines, rest].map(plain).join("<br>");
}

/** A number for a table of metrics: six significant digits, whole numbers whole. */
function written(value) {
  if (value === null) return "\u2013";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(4);
  return String(Number(value.toPrecision(6)));
}

/** The colours of style.css, as the reader's light or dark setting has them now. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "panel", "ink", "quiet", "line", "accent", "alarm"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

const TOUCH = matchMedia("(pointer: coarse)").matches;

const PLOT_CONFIG = {
  displaylogo: false,
  responsive: true,
  plotlyServerURL: "",
  // By name: the default set grows, and has had buttons that send the plot to a server.
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  // A finger must scroll the page, not zoom the plot.
  displayModeBar: TOUCH ? false : "hover",
};

/** What all plots share. */
function baseLayout(c) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: c.ink },
    margin: { l: 62, r: 18, t: 24, b: 52 },
    dragmode: TOUCH ? false : "zoom",
    hovermode: "closest",
    showlegend: false,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: c.quiet, activecolor: c.ink },
    hoverlabel: { bgcolor: c.panel, bordercolor: c.line, align: "left", font: { color: c.ink, size: 13 } },
  };
}

/** What all axes share; `values` is what is on this one. */
function baseAxis(c, title, log, values = []) {
  const axis = {
    title: { text: plain(short(title, 60)), font: { color: c.quiet, size: 13 }, standoff: 8 },
    type: log ? "log" : "linear",
    color: c.ink,
    gridcolor: c.line,
    linecolor: c.line,
    tickcolor: c.line,
    zeroline: false,
    exponentformat: "SI",
    minexponent: 4,
    tickfont: { color: c.quiet, size: 12 },
    tickangle: 0,
  };
  if (!log) return axis;
  // With a format of its own every tick shows its whole number, not only its leading digit.
  const big = values.every((v) => v >= 1) && values.some((v) => v >= 1e4);
  return { ...axis, tickformat: big ? "~s" : "~g", nticks: 4 };
}
