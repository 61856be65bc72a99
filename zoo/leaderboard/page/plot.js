// The frontier plot: cost against quality, a point for each group.
//
// Shape says frontier (diamond), dominated (circle) or diverged (cross); a hollow point is a
// single run. Colour only repeats what shape says.
"use strict";

/** The groups that have a place in the plot: both values, and one that its axis can hold. */
function placed(board, costIndex) {
  const axes = [board.quality, board.costs[costIndex]];
  const on = new Set(board.frontiers[costIndex]);
  const points = [];
  board.groups.forEach((group, index) => {
    const [q, c] = [group.cells[0], group.cells[costIndex + 1]];
    if (q[0] === null || c[0] === null) return;
    if (beyond(axes[0], q[0]) || beyond(axes[1], c[0])) return;
    const scale = axes.map((axis) => (axis.percent ? 100 : 1));
    points.push({
      group, index, on: on.has(index), single: q[2] < 2,
      x: c[0] * scale[1], xStd: c[1] === null ? 0 : c[1] * scale[1],
      y: q[0] * scale[0], yStd: q[1] === null ? 0 : q[1] * scale[0],
    });
  });
  return points;
}

/** Whether a value is worse than the worst that its axis draws. */
function beyond(axis, value) {
  if (axis.worst === null) return false;
  return axis.direction === "min" ? value > axis.worst : value < axis.worst;
}

/** An axis is logarithmic where the board says so and every value can be: a cost of 0 cannot. */
function isLog(axis, values) {
  return axis.log && values.every((value) => value > 0);
}

/** The range of an axis around its points and their error bars, as Plotly has it (log10). */
function rangeOf(values, errors, log) {
  const at = log ? Math.log10 : (v) => v;
  const low = values.map((v, i) => (log && v - errors[i] <= 0 ? at(v) : at(v - errors[i])));
  const high = values.map((v, i) => at(v + errors[i]));
  const [a, b] = [low.reduce((m, v) => Math.min(m, v)), high.reduce((m, v) => Math.max(m, v))];
  const pad = b > a ? 0.08 * (b - a) : log ? 0.3 : Math.abs(a) * 0.05 || 1;
  return [a - pad, b + pad];
}

/** The frontier as a staircase: what quality a budget buys, out to the edges of the plot. */
function staircase(points, cost, quality, xRange, yRange, logs) {
  const steps = points.filter((p) => p.on).sort((a, b) => (cost.direction === "min" ? a.x - b.x : b.x - a.x));
  // Each machine has a frontier of times: one line through two of them would say nothing.
  const machines = new Set(steps.map((p) => p.group.hardware));
  // So has each kind of rows that the board keeps apart, such as sets of data.
  const kinds = new Set(steps.map((p) => p.group.kind));
  if (!steps.length || (cost.clocked && machines.size > 1) || kinds.size > 1) return { x: [], y: [] };
  const edge = (range, log, high) => (log ? 10 ** range[high ? 1 : 0] : range[high ? 1 : 0]);
  const worstX = edge(xRange, logs[0], cost.direction === "min");
  const worstY = edge(yRange, logs[1], quality.direction === "min");
  const line = { x: [steps[0].x], y: [worstY] };
  steps.forEach((p, i) => {
    line.x.push(p.x, i + 1 < steps.length ? steps[i + 1].x : worstX);
    line.y.push(p.y, p.y);
  });
  return line;
}

/** What a point says under the pointer. */
function hoverText(board, cost, costIndex, p) {
  const { group } = p;
  const [q, c] = [group.cells[0], group.cells[costIndex + 1]];
  const runs = group.runs.length;
  const lines = [
    `<b>${wrapped(group.label)}</b>`,
    `${wrapped(board.quality.label)}: ${plain(q[4])}`,
    `${wrapped(cost.label)}: ${plain(c[4])}`,
    q[2] === 1 ? "n = 1: a single run, no error bar" : `n = ${q[2]}`,
  ];
  if (group.interval !== null) lines.splice(2, 0, `mean within ${plain(group.interval)} (95%)`);
  if (q[3]) lines.push(`${q[3]} of ${runs} runs lack the value`);
  if (group.diverged) lines.push(`${group.diverged} of ${runs} runs diverged`);
  if (group.emulated) lines.push("emulated arithmetic");
  if (board.hardware.length > 1) lines.push(wrapped(board.hardware[group.hardware]));
  const chance = board.chances[costIndex][p.index];
  if (p.on || chance) lines.push(`${p.on ? "on" : "not on"} the frontier${chance === null ? "" : `; chance ${chanceText(chance)}`}`);
  return lines.join("<br>");
}

function markers(points, name, look, board, cost, costIndex, faded) {
  const bar = (values) => ({
    // Where there is no deviation there is no bar; a zero would still draw its caps.
    type: "data", array: values.map((v) => v || NaN), visible: !faded, color: look.color, thickness: 1.2, width: 3,
  });
  return {
    type: "scatter", mode: "markers", name,
    x: points.map((p) => p.x), y: points.map((p) => p.y),
    error_x: bar(points.map((p) => p.xStd)), error_y: bar(points.map((p) => p.yStd)),
    customdata: points.map((p) => p.index),
    text: points.map((p) => hoverText(board, cost, costIndex, p)), hoverinfo: "text",
    cliponaxis: false,
    marker: {
      symbol: points.map((p) => (p.single && look.symbol !== "x" ? `${look.symbol}-open` : look.symbol)),
      size: look.size, color: look.color, opacity: faded ? 0.18 : 1,
      line: { width: points.map((p) => (p.single ? 2 : 1)), color: points.map((p) => (p.single ? look.color : look.rim)) },
    },
  };
}

/** Draw a board into `node`; `shown` is the set of groups that the filter lets through. */
function drawFrontier(node, board, costIndex, shown, open) {
  const c = colours();
  const cost = board.costs[costIndex];
  const points = placed(board, costIndex);
  const logs = [isLog(cost, points.map((p) => p.x)), isLog(board.quality, points.map((p) => p.y))];
  const xRange = rangeOf(points.map((p) => p.x), points.map((p) => p.xStd), logs[0]);
  const yRange = rangeOf(points.map((p) => p.y), points.map((p) => p.yStd), logs[1]);
  const layout = {
    ...baseLayout(c),
    xaxis: { ...baseAxis(c, cost.label, logs[0], points.map((p) => p.x)), range: xRange, showline: true, ticks: "outside" },
    yaxis: { ...baseAxis(c, short(board.quality.label, 44), logs[1], points.map((p) => p.y)), range: yRange, showline: false },
  };
  const looks = {
    on: { symbol: "diamond", size: 12, color: c.accent, rim: c.paper },
    off: { symbol: "circle", size: 9, color: c.quiet, rim: c.paper },
    diverged: { symbol: "x", size: 9, color: c.alarm, rim: c.paper },
  };
  const kind = (p) => (p.on ? "on" : p.group.diverged ? "diverged" : "off");
  const line = staircase(points, cost, board.quality, xRange, yRange, logs);
  layout.annotations = notesFor(node, layout, points.filter((p) => shown.has(p.index)), points, line, [cost, board.quality], c);
  const traces = [{
    type: "scatter", mode: "lines", name: "staircase", ...line, hoverinfo: "skip",
    line: { color: c.accent, width: 1.75 },
  }];
  for (const faded of [true, false]) {
    for (const name of ["off", "diverged", "on"]) {
      const some = points.filter((p) => kind(p) === name && shown.has(p.index) !== faded);
      if (some.length) traces.push(markers(some, name, looks[name], board, cost, costIndex, faded));
    }
  }
  Plotly.react(node, traces, layout, PLOT_CONFIG);
  node.removeAllListeners("plotly_click");
  node.on("plotly_click", (event) => {
    const index = event.points[0].customdata;
    if (index !== undefined) open(index);
  });
}

/** The key to the plot's shapes. */
function legend(board) {
  const c = "currentColor";
  const accent = "var(--accent)";
  const items = [
    [["path", { d: "M11 2 17 8 11 14 5 8Z", fill: accent }], "on the frontier"],
    [["circle", { cx: 11, cy: 8, r: 4.5, fill: c }], "dominated"],
    [["circle", { cx: 11, cy: 8, r: 4, fill: "none", stroke: c, "stroke-width": 2 }], "hollow: a single run, no error bar"],
    [["path", { d: "M11 1V15M8 1H14M8 15H14", fill: "none", stroke: c }], "standard deviation over seeds"],
  ];
  if (board.groups.some((g) => g.diverged)) {
    items.push([["path", { d: "M6 3 16 13M16 3 6 13", stroke: "var(--alarm)", "stroke-width": 3 }], "a run diverged: never on the frontier"]);
  }
  const list = el("ul", { class: "legend", "aria-label": "Key to the plot" });
  for (const [[tag, attributes], text] of items) {
    const svg = shape("svg", { viewBox: "0 0 22 16", "aria-hidden": "true" });
    svg.append(shape(tag, attributes));
    list.append(el("li", {}, svg, text));
  }
  return list;
}
