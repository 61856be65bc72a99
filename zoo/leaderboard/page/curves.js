// The curves of a group's runs: one line for each seed.
"use strict";

const CURVE_X = [["step", "step"], ["samples", "samples"], ["tokens", "tokens"], ["train seconds", "train_s"]];
const CURVE_Y = 4; // a curve is [step, samples, tokens, train_s, value], indices into the pool
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
      showlegend: traces.length > 1,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: c.ink } },
      xaxis: { ...baseAxis(c, CURVE_X[axis][0], false), showline: true, ticks: "outside" },
      yaxis: { ...baseAxis(c, short(metric, 30), false), automargin: true },
    };
    node.setAttribute("aria-label", `Curve of ${metric} over ${CURVE_X[axis][0]}`);
    Plotly.react(node, traces, layout, PLOT_CONFIG);
  }

  const controls = el(
    "div", { class: "controls" },
    el("label", {}, "Metric", picker(names.map((name) => [name, name]), metric, (value) => { metric = value; draw(); })),
    el("label", {}, "over", picker(xChoices, "0", (value) => { axis = Number(value); draw(); })),
  );
  return { node: el("div", { class: "curves" }, controls, node), draw };
}
