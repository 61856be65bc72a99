// The curves of a group's runs: one line for each seed, or their mean in a band.
"use strict";

const CURVE_X = [["step", "step"], ["samples", "samples"], ["tokens", "tokens"], ["train seconds", "train_s"]];
const CURVE_Y = 4; // a curve is [step, samples, tokens, train_s, value], indices into the pool
const BAND = "band:"; // a choice that is a distribution, and not a curve
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const HUES = {
  light: ["#0b5cad", "#a13c00", "#1a7f37", "#8250df", "#7d4e00", "#bf3989"],
  dark: ["#79b8ff", "#ffa657", "#7ee787", "#d2a8ff", "#e3b341", "#ff9bce"],
};

/** Whether a curve has more than one point in half of the runs that have it. */
function isLine(runs, name) {
  const curves = runs.filter((run) => Object.hasOwn(run.curves, name)).map((run) => run.curves[name]);
  return 2 * curves.filter((curve) => DATA.pool[curve[0]].length > 1).length >= Math.max(1, curves.length);
}

/** The curve to start with: the board's quality, its twin of another split, a loss, or any. */
function firstCurve(runs, names, quality) {
  const twins = ["val/", "train/"].map((split) => quality.replace(/^test\//, split));
  const wishes = [quality, ...twins, "val/loss", "train/loss"].filter((name) => names.includes(name));
  // A validation at the end of training alone is one point: that is in the table already.
  return wishes.find((name) => isLine(runs, name)) ?? wishes[0] ?? names[0];
}

/** Distributions among the curves: those that are there as percentiles 5, 50 and 95. */
function bands(names) {
  return names.filter((name) => name.endsWith("_p50")).map((name) => name.slice(0, -4))
    .filter((base) => [5, 95].every((p) => names.includes(`${base}_p${String(p).padStart(2, "0")}`)));
}

/** The traces of a distribution: the median as a line, within a band from 5 to 95 percent. */
function bandTraces(run, base, axis, name, hue, dash) {
  const [low, middle, high] = ["_p05", "_p50", "_p95"].map((p) => run.curves[base + p]);
  if (!low || !middle || !high || middle[axis] === null) return [];
  const edge = { type: "scatter", mode: "lines", x: DATA.pool[low[axis]], line: { width: 0 }, showlegend: false, hoverinfo: "skip" };
  return [
    { ...edge, y: DATA.pool[low[CURVE_Y]] },
    { ...edge, y: DATA.pool[high[CURVE_Y]], fill: "tonexty", fillcolor: `${hue}2e` },
    {
      type: "scatter", mode: "lines", name, x: DATA.pool[middle[axis]], y: DATA.pool[middle[CURVE_Y]],
      line: { color: hue, dash, width: 2 },
      hovertemplate: `${name}, median<br>%{x:,.6~g}: %{y:.6~g}<extra></extra>`,
    },
  ];
}

/** The traces of one curve for each seed. */
function seedTraces(runs, metric, axis, hues) {
  return runs.flatMap((run, i) => {
    const curve = Object.hasOwn(run.curves, metric) ? run.curves[metric] : null;
    if (curve === null || curve[axis] === null) return [];
    const name = `seed ${run.seed}${run.status === "diverged" ? ", diverged" : ""}`;
    const y = DATA.pool[curve[CURVE_Y]];
    return [{
      type: "scatter", mode: y.length > 1 ? "lines" : "markers", name, x: DATA.pool[curve[axis]], y,
      line: { color: hues[i % hues.length], dash: DASHES[i % DASHES.length], width: 2 },
      marker: { color: hues[i % hues.length], size: 8 },
      hovertemplate: `${name}<br>%{x:,.6~g}: %{y:.6~g}<extra></extra>`,
    }];
  });
}

/** The hues of curves, as the reader's light or dark setting has them now. */
function curveHues() {
  return HUES[matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"];
}

/** What plots of curves share. */
function curveLayout(c, metric, axis) {
  return {
    ...baseLayout(c),
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: c.ink } },
    xaxis: { ...baseAxis(c, CURVE_X[axis][0], false), showline: true, ticks: "outside" },
    yaxis: { ...baseAxis(c, short(metric, 30), false), automargin: true },
  };
}

/** What these runs' curves can be drawn over, for a picker: tokens only where there are any. */
function curveAxes(runs) {
  return CURVE_X.map(([text], i) => [String(i), text])
    .filter(([i]) => i !== "2" || runs.some((run) => Object.values(run.curves).some((curve) => curve[2] !== null)));
}

/** The names of these runs' curves. */
function curveNames(runs) {
  return [...new Set(runs.flatMap((run) => Object.keys(run.curves)))].sort();
}

/** A block with the plot and its selects, and the function that draws it. */
function curvesBlock(runs, quality) {
  const names = curveNames(runs);
  if (!names.length) {
    const none = el("p", { class: "quiet" }, runs.length > 1 ? "These runs stored no curve." : "This run stored no curve.");
    return { node: none, draw: () => {} };
  }
  let metric = firstCurve(runs, names, quality);
  let axis = 0;
  let drawn = "seeds";
  const node = el("div", { class: "plot", role: "img" });
  const none = el("p", { class: "quiet", role: "status" });
  const ways = picker([["seeds", "each seed"], ["mean", "mean, 95% over seeds"]], drawn, (value) => { drawn = value; draw(); });

  function traces() {
    const hues = curveHues();
    if (metric.startsWith(BAND)) {
      return runs.flatMap((run, i) =>
        bandTraces(run, metric.slice(BAND.length), axis, `seed ${run.seed}`, hues[i % hues.length], DASHES[i % DASHES.length]));
    }
    if (drawn === "seeds") return seedTraces(runs, metric, axis, hues);
    const points = meanCurve(runs, metric, axis);
    return points.length ? meanTraces(points, `mean of ${runs.length} seeds`, hues[0], DASHES[0]) : [];
  }

  function draw() {
    const name = metric.replace(BAND, "");
    const some = traces();
    // A distribution over filters is a band already: one over seeds as well could not be told from it.
    ways.disabled = metric.startsWith(BAND);
    none.textContent = some.length ? ""
      : drawn === "mean" ? "No step of this curve is in two of these runs, so there is no mean." : "There are no such values.";
    none.hidden = some.length > 0;
    node.hidden = !some.length;
    if (!some.length) return;
    const layout = { ...curveLayout(colours(), name, axis), showlegend: runs.length > 1 };
    node.setAttribute("aria-label", `Curve of ${name} over ${CURVE_X[axis][0]}`);
    Plotly.react(node, some, layout, PLOT_CONFIG);
  }

  const choices = [
    ...names.map((name) => [name, name]),
    ...bands(names).map((base) => [BAND + base, `${base}, 5 to 95%`]),
  ].sort((a, b) => (a[1] < b[1] ? -1 : 1));
  const controls = el(
    "div", { class: "controls" },
    el("label", {}, "Metric", picker(choices, metric, (value) => { metric = value; draw(); })),
    el("label", {}, "over", picker(curveAxes(runs), "0", (value) => { axis = Number(value); draw(); })),
    runs.length > 1 ? el("label", {}, "draw", ways) : null,
  );
  return { node: el("div", { class: "curves" }, controls, node, none), draw };
}
