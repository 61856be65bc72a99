// The curves of a board's groups, one beside the other: each a mean over seeds in its band.
"use strict";

const COMPARED = 6; // as many as there are hues and dash patterns
const LETTERS = "ABCDEF";

/** The groups to compare: those of the frontier, then the best ones, as many as can be told apart. */
function comparedGroups(board, on, shown, metric) {
  const has = (i) => board.groups[i].runs.some((r) => Object.hasOwn(DATA.runs[r].curves, metric));
  const some = board.groups.map((_, i) => i).filter((i) => shown.has(i) && has(i));
  return [...some.filter((i) => on.has(i)), ...some.filter((i) => !on.has(i))].slice(0, COMPARED);
}

/** A line of the key: letter, pattern, and the group's label, which leads to its runs. */
function keyItem(letter, hue, dash, label, note, href) {
  const strokes = { solid: "", dash: "9 5", dot: "2 4", dashdot: "9 4 2 4", longdash: "14 6", longdashdot: "14 4 2 4" };
  const svg = shape("svg", { viewBox: "0 0 44 16", "aria-hidden": "true", class: "stroke" });
  svg.append(shape("path", { d: "M1 8H43", stroke: hue, "stroke-width": 2.5, "stroke-dasharray": strokes[dash] || "none" }));
  return el("li", {}, el("b", {}, letter), svg, el("span", {}, el("a", { href }, label), note));
}

/** Make the block, closed; `draw(on, shown)` draws it where it is open, for these groups. */
function compareBlock(board, linkOf) {
  const runs = board.groups.flatMap((group) => group.runs.map((i) => DATA.runs[i]));
  const names = curveNames(runs);
  if (!names.length) return { node: null, draw: () => {} };
  let metric = firstCurve(runs, names, board.quality.key);
  let axis = 0;
  let state = [new Set(), new Set()];
  const plot = el("div", { class: "plot", role: "img" });
  const key = el("ul", { class: "legend", "aria-label": "Key to the curves" });
  const said = el("p", { class: "quiet", role: "status" });
  const controls = el("div", { class: "controls" },
    el("label", {}, "Metric", picker(names.map((name) => [name, name]), metric, (value) => { metric = value; draw(...state); })),
    el("label", {}, "over", picker(curveAxes(runs), "0", (value) => { axis = Number(value); draw(...state); })));
  const node = el("details", { class: "curves compare" }, el("summary", {}, "Curves"),
    el("p", { class: "quiet" }, "Means over seeds, each within its 95% interval: of the frontier's groups and then of the best ones, six at most."),
    controls, plot, key, said);

  function draw(on, shown) {
    state = [on, shown];
    if (!node.open) return;
    const c = colours();
    const hues = curveHues();
    const chosen = comparedGroups(board, on, shown, metric)
      .map((i) => [i, meanCurve(board.groups[i].runs.map((r) => DATA.runs[r]), metric, axis)])
      .filter(([, points]) => points.length);
    plot.hidden = !chosen.length;
    said.textContent = chosen.length ? "" : "No group that is shown has this curve in two runs or in its only one.";
    said.hidden = chosen.length > 0;
    key.replaceChildren(...chosen.map(([i, points], k) => {
      const group = board.groups[i];
      const n = Math.max(...points.map((p) => p.n));
      const of = n < group.runs.length ? ` of ${group.runs.length}` : "";
      const note = ` ${group.runs.length === 1 ? "one run, no band" : `n = ${n}${of}`}${on.has(i) ? ", on the frontier" : ""}`;
      return keyItem(LETTERS[k], hues[k], DASHES[k], group.label, note, linkOf(DATA.runs[group.runs[0]]));
    }));
    if (!chosen.length) return;
    const layout = curveLayout(c, metric, axis);
    // A letter stands upon its line, each farther to the left, so that none hides another.
    layout.annotations = chosen.map(([, points], k) => {
      const at = points[Math.round((0.94 - 0.13 * k) * (points.length - 1))];
      const beside = points.length === 1 ? 14 : 0; // a point of its own must not be covered
      return {
        x: at.x, y: at.y, xshift: beside, text: LETTERS[k], showarrow: false, captureevents: false,
        bgcolor: c.paper, borderpad: 1, font: { size: 12, color: hues[k] },
      };
    });
    plot.setAttribute("aria-label", `Curves of ${metric} over ${CURVE_X[axis][0]}, by group; the key is beneath`);
    const traces = chosen.flatMap(([i, points], k) => meanTraces(points, board.groups[i].label, hues[k], DASHES[k]));
    Plotly.react(plot, traces, layout, PLOT_CONFIG);
  }

  node.addEventListener("toggle", () => draw(...state));
  return { node, draw };
}
