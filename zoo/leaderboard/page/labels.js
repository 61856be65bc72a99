// Labels for the points of the frontier: beside them, over nothing that matters (labels.py).
"use strict";

const GAPS = [9, 20, 32, 44, 56, 68, 80]; // between a point and its label, in pixels
const MANY = 15; // so many points get only the labels that fit right beside them
const LABEL_SIZE = 12;

/** A wide enough guess at a text's width in pixels. */
function textWidth(text) {
  const em = (c) => ("fijlrtI .,:;'|()".includes(c) ? 0.36 : "mwMW".includes(c) ? 0.92 : 0.62);
  return LABEL_SIZE * Array.from(text).reduce((sum, c) => sum + em(c), 0);
}

const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

const around = (x1, y1, x2, y2, by) =>
  [Math.min(x1, x2) - by, Math.min(y1, y2) - by, Math.max(x1, x2) + by, Math.max(y1, y2) + by];

/** Find a place for each [x, y, text]: its text and the offset of its centre, or nothing. */
function placeLabels(points, obstacles, width, height, [fx, fy]) {
  const taken = [...obstacles];
  const placed = [];
  const sides = [[fx, fy], [0, fy], [fx, 0], [fx, -fy], [-fx, fy], [-fx, 0], [0, -fy], [-fx, -fy]];
  // Where there is little room, a long line to a far label says less than no label.
  const gaps = points.length > MANY ? 1 : width < 500 ? 3 : GAPS.length;
  const candidates = GAPS.slice(0, gaps).flatMap((gap) => sides.map((side) => [gap, ...side]));
  return points.map(([x, y, text]) => {
    const [w, h] = [textWidth(text), 1.25 * LABEL_SIZE];
    for (const [gap, dx, dy] of candidates) {
      const near = gap === GAPS[0];
      const beside = !dy ? gap : near ? 0.72 * gap : -6;
      const cx = dx * (beside + w / 2);
      const cy = dy * ((near && dx ? 0.72 : 1) * gap + h / 2);
      const box = [x + cx - w / 2, y + cy - h / 2, x + cx + w / 2, y + cy + h / 2];
      const [lx, ly] = dy ? [0, dy] : [dx, 0];
      const leader = near ? null : [7 * lx, 7 * ly, (gap - 2) * lx, (gap - 2) * ly];
      const line = leader ? [around(x + leader[0], y + leader[1], x + leader[2], y + leader[3], 1)] : [];
      const inside = box[0] >= 0 && box[2] <= width && box[1] >= -4 && box[3] <= height;
      if (!inside || taken.some((other) => overlap(box, other))) continue;
      if (line.some((part) => placed.some((other) => overlap(part, other)))) continue;
      taken.push(box, ...line);
      placed.push(box);
      return { text, cx, cy, leader };
    }
    return null;
  });
}

/** The labels of those `points` that are on the frontier, and the lines that lead to them. */
function notesFor(node, layout, points, all, stairs, [cost, quality], c) {
  const { margin: m, xaxis, yaxis } = layout;
  const [width, height] = [node.clientWidth - m.l - m.r, node.clientHeight - m.t - m.b];
  const part = (v, axis) => ((axis.type === "log" ? Math.log10(v) : v) - axis.range[0]) / (axis.range[1] - axis.range[0]);
  const px = (v) => width * part(v, xaxis);
  const py = (v) => height * (1 - part(v, yaxis));
  const obstacles = all.flatMap((p) => {
    const [x, y] = [px(p.x), py(p.y)];
    const low = (v, std, axis) => (axis.type === "log" && v <= std ? v : v - std);
    return [
      around(x, y, x, y, 6),
      around(x, py(low(p.y, p.yStd, yaxis)), x, py(p.y + p.yStd), 3),
      around(px(low(p.x, p.xStd, xaxis)), y, px(p.x + p.xStd), y, 3),
    ];
  });
  for (let i = 1; i < stairs.x.length; i += 1) {
    obstacles.push(around(px(stairs.x[i - 1]), py(stairs.y[i - 1]), px(stairs.x[i]), py(stairs.y[i]), 2));
  }
  // Domination keeps the corner towards less cost and more quality empty.
  const free = [cost.direction === "min" ? -1 : 1, quality.direction === "max" ? -1 : 1];
  const on = points.filter((p) => p.on).sort((a, b) => a.x - b.x);
  const wanted = on.map((p) => [px(p.x), py(p.y), short(p.group.label, 40)]);
  // First to last and last to first; the try with more labels, then fewer lines, is kept.
  const tries = [placeLabels(wanted, obstacles, width, height, free), placeLabels(wanted.toReversed(), obstacles, width, height, free).reverse()];
  const score = (some) => some.reduce((sum, place) => sum + (place ? 1000 - (place.leader ? 1 : 0) : 0), 0);
  const places = score(tries[1]) > score(tries[0]) ? tries[1] : tries[0];
  return places.flatMap((place, i) => {
    if (!place) return [];
    // Plotly wants the logarithm of an annotation's place on a logarithmic axis.
    const at = { x: xaxis.type === "log" ? Math.log10(on[i].x) : on[i].x, y: yaxis.type === "log" ? Math.log10(on[i].y) : on[i].y };
    const note = {
      ...at, text: plain(place.text), showarrow: false, captureevents: false, borderpad: 0,
      xanchor: "center", yanchor: "middle", xshift: place.cx, yshift: -place.cy, font: { size: LABEL_SIZE, color: c.ink },
    };
    if (!place.leader) return [note];
    const [x1, y1, x2, y2] = place.leader;
    const line = {
      ...at, text: "", showarrow: true, arrowhead: 0, arrowwidth: 1, arrowcolor: c.quiet, captureevents: false,
      ax: x2, ay: y2, xshift: 0, yshift: 0, standoff: Math.hypot(x1, y1),
    };
    return [line, note];
  });
}
