// The mean of a group's runs, within its interval of 95% over seeds: Student's t at each step.
"use strict";

/** The points of a curve that have a value, by step. */
function byStep(curve, axis) {
  const [steps, xs, ys] = [curve[0], curve[axis], curve[CURVE_Y]].map((index) => DATA.pool[index]);
  const points = new Map();
  steps.forEach((step, i) => { if (ys[i] !== null) points.set(step, [xs[i], ys[i]]); });
  return points;
}

/**
 * The mean curve of `runs`: [{x, y, half, n}] by step, half an interval to either side of y.
 *
 * Of several runs a step counts that two at least have, as one alone tells no spread and is no
 * mean; x is the mean over the same runs. A single run is its own curve, and half is null.
 */
function meanCurve(runs, metric, axis) {
  const curves = runs.map((run) => (Object.hasOwn(run.curves, metric) ? run.curves[metric] : null))
    .filter((curve) => curve !== null && curve[axis] !== null).map((curve) => byStep(curve, axis));
  const steps = [...new Set(curves.flatMap((points) => [...points.keys()]))].sort((a, b) => a - b);
  const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
  return steps.flatMap((step) => {
    const there = curves.filter((points) => points.has(step)).map((points) => points.get(step));
    const n = there.length;
    if (n < Math.min(2, runs.length)) return [];
    const [x, y] = [mean(there.map((p) => p[0])), mean(there.map((p) => p[1]))];
    if (n < 2) return [{ x, y, half: null, n }];
    const variance = there.reduce((sum, p) => sum + (p[1] - y) ** 2, 0) / (n - 1);
    return [{ x, y, half: DATA.t95[n] * Math.sqrt(variance / n), n }];
  });
}

/** The traces of a mean curve: the band, where there is one, and the line upon it. */
function meanTraces(points, name, hue, dash) {
  const [x, y] = [points.map((p) => p.x), points.map((p) => p.y)];
  const text = points.map((p) => {
    const spread = p.half === null ? "one run" : `95% ${written(p.y - p.half)} to ${written(p.y + p.half)}, n = ${p.n}`;
    return `${wrapped(name)}<br>${written(p.x)}: ${written(p.y)}<br>${spread}`;
  });
  const alone = points.length === 1;
  const line = {
    type: "scatter", mode: alone ? "markers" : "lines", name: plain(short(name, 40)), x, y, text, hoverinfo: "text",
    line: { color: hue, dash, width: 2 }, marker: { color: hue, size: 8 },
  };
  if (!points.length || points[0].half === null) return [line];
  if (alone) return [{ ...line, error_y: { type: "data", array: [points[0].half], color: hue } }];
  const edge = { type: "scatter", mode: "lines", x, line: { width: 0 }, showlegend: false, hoverinfo: "skip" };
  return [
    { ...edge, y: points.map((p) => p.y - p.half) },
    { ...edge, y: points.map((p) => p.y + p.half), fill: "tonexty", fillcolor: `${hue}2e` },
    line,
  ];
}
