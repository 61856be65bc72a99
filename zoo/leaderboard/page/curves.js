// The curves of a group's runs: one line for each seed.
"use strict";

const CURVE_X = [["step", "step"], ["samples", "samples"], ["tokens", "tokens"], ["train seconds", "train_s"]];
const CURVE_Y = 4; // a curve is [step, samples, tokens, train_s, value], indices into the pool
const BAND = "band:"; // a choice that is a distribution, and not a curve
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const HUES = {
  light: ["#0b5cad", "#a13c00", "#1a7f37", "#8250df", "#7d4e00", "#bf3989"],
  dark: ["#79b8ff", "#ffa657", "#7ee787", "#d2a8ff", "#e3b341", "#ff9bce"],
};

/** The curve to start with: the board's quality where it has one, its validation twin, or any. */
function firstCurve(names, quality) {
  const wishes = [quality, quality.replace(/^test\//, "val/")];
  return wishes.find((name) => names.includes(name)) ?? names[0];
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

/** A block with the plot and its two selects, and the function that draws it. */
function curvesBlock(runs, quality) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.curves)))].sort();
  if (!names.length) {
    const none = el("p", { class: "quiet" }, runs.length > 1 ? "These runs stored no curve." : "This run stored no curve.");
    return { node: none, draw: () => {} };
  }
  let metric = firstCurve(names, quality);
  let axis = 0;
  const node = el("div", { class: "plot", role: "img" });
  const xChoices = CURVE_X.map(([text], i) => [String(i), text])
    .filter(([i]) => i !== "2" || runs.some((run) => Object.values(run.curves).some((curve) => curve[2] !== null)));

  function draw() {
    const c = colours();
    const hues = HUES[matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"];
    const traces = [];
    runs.forEach((run, i) => {
      const spread = metric.startsWith(BAND);
      if (spread) {
        const name = `seed ${run.seed}`;
        traces.push(...bandTraces(run, metric.slice(BAND.length), axis, name, hues[i % hues.length], DASHES[i % DASHES.length]));
        return;
      }
      const curve = Object.hasOwn(run.curves, metric) ? run.curves[metric] : null;
      if (curve === null || curve[axis] === null) return;
      const name = `seed ${run.seed}${run.status === "diverged" ? ", diverged" : ""}`;
      const y = DATA.pool[curve[CURVE_Y]];
      traces.push({
        type: "scatter", mode: y.length > 1 ? "lines" : "markers", name, x: DATA.pool[curve[axis]], y,
        line: { color: hues[i % hues.length], dash: DASHES[i % DASHES.length], width: 2 },
        marker: { color: hues[i % hues.length], size: 8 },
        hovertemplate: `${name}<br>%{x:,.6~g}: %{y:.6~g}<extra></extra>`,
      });
    });
    const layout = {
      ...baseLayout(c),
      showlegend: runs.length > 1,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: c.ink } },
      xaxis: { ...baseAxis(c, CURVE_X[axis][0], false), showline: true, ticks: "outside" },
      yaxis: { ...baseAxis(c, short(metric.replace(BAND, ""), 30), false), automargin: true },
    };
    node.setAttribute("aria-label", `Curve of ${metric.replace(BAND, "")} over ${CURVE_X[axis][0]}`);
    Plotly.react(node, traces, layout, PLOT_CONFIG);
  }

  const choices = [
    ...names.map((name) => [name, name]),
    ...bands(names).map((base) => [BAND + base, `${base}, 5 to 95%`]),
  ].sort((a, b) => (a[1] < b[1] ? -1 : 1));
  const controls = el(
    "div", { class: "controls" },
    el("label", {}, "Metric", picker(choices, metric, (value) => { metric = value; draw(); })),
    el("label", {}, "over", picker(xChoices, "0", (value) => { axis = Number(value); draw(); })),
  );
  return { node: el("div", { class: "curves" }, controls, node), draw };
}
