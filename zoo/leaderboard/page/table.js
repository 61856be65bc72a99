// The table of a board's groups: sorted by any column, missing values last whatever the direction.
"use strict";

/** The columns: what a header says, and the text and the sort value of a group's cell. */
function columnsOf(board) {
  const text = (read) => ({ text: read, value: (g) => read(g) || null });
  const metric = (axis, i) => ({
    name: axis.label, key: axis.key, number: true, metric: true,
    text: (g) => g.cells[i][4], value: (g) => g.cells[i][0],
    // Means over what is left of a group are not comparable with those of a whole one.
    late: (g) => g.diverged > 0,
  });
  const config = board.columns.map((name, i) => ({ name, key: name, ...text((g) => g.values[i]) }));
  if (!config.length) config.push({ name: "runs", key: "runs", ...text((g) => g.label) });
  config[0].opens = true;
  if (board.hardware.length > 1) config.push({ name: "hardware", key: "hardware", ...text((g) => board.hardware[g.hardware]) });
  return [
    { name: "frontier", key: "frontier", frontier: true },
    { name: "chance", key: "chance", number: true, chance: true },
    ...config,
    metric(board.quality, 0),
    { name: "95% interval", key: "interval", text: (g) => g.interval ?? "", value: (g) => (g.interval === null ? null : g.cells[0][0]) },
    { name: "n", key: "n", number: true, seeds: true, text: (g) => String(g.cells[0][2]), value: (g) => g.cells[0][2] },
    ...board.costs.map((axis, i) => metric(axis, i + 1)),
    { name: "source", key: "source", ...text((g) => g.source) },
  ].map((column) => ({ late: () => false, ...column }));
}

/** Compare two values: numbers as numbers, texts as a person orders them. */
function compareValues(a, b, numeric) {
  if (numeric) return Number(a) - Number(b);
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

/** The indices of `groups` by a column. */
function sorted(groups, column, descending) {
  const values = groups.map((g, i) => column.value(g, i));
  const present = values.filter((v) => v !== null);
  const numeric = present.every((v) => String(v).trim() !== "" && Number.isFinite(Number(v)));
  const rank = (i) => (values[i] === null ? 2 : column.late(groups[i]) ? 1 : 0);
  return groups.map((_, i) => i).sort((a, b) => {
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    const order = values[a] === null ? 0 : compareValues(values[a], values[b], numeric);
    return (descending ? -order : order) || a - b;
  });
}

/** A probability in words: never 0% or 100% where it is neither. */
function chanceText(chance) {
  if (chance === null) return "";
  if (chance > 0 && chance < 0.01) return "< 1%";
  if (chance > 0.99 && chance < 1) return "> 99%";
  return `${Math.round(100 * chance)}%`;
}

function cellOf(column, group, index, on, chance, open) {
  const attributes = column.number ? { class: "number" } : {};
  if (column.frontier) {
    return el("td", { class: "mark" }, on ? el("span", { title: "on the frontier" }, "\u25c6 yes") : "");
  }
  if (column.chance) return el("td", { ...attributes, title: "of being on the frontier, over resampled seeds" }, chanceText(chance));
  const text = column.text(group);
  if (column.seeds) {
    const single = group.cells[0][2] === 1 ? el("span", { class: "badge single" }, "single run") : null;
    const missing = group.cells[0][3] ? ` of ${group.runs.length}` : "";
    return el("td", attributes, single, `${text}${missing}`);
  }
  const cell = el("td", { ...attributes, title: text.length > 24 ? text : null });
  if (column.opens) {
    const button = el("button", { class: "open", type: "button", "aria-haspopup": "dialog" }, text || "(none)");
    button.addEventListener("click", (event) => { event.stopPropagation(); open(index); });
    cell.append(button);
    if (group.diverged) cell.append(el("span", { class: "badge alarm" }, `${group.diverged} diverged`));
    if (group.emulated) cell.append(el("span", { class: "badge" }, "emulated"));
  } else {
    cell.append(text);
  }
  return cell;
}

/**
 * Make the table; `fill(on, shown, chances)` sets its rows, in its own order.
 *
 * A row is made once for a frontier: sorting and filtering thousands of them only moves them.
 */
function groupsTable(board, open) {
  const columns = columnsOf(board);
  // Best quality first, as in the terminal.
  const sort = { column: columns.findIndex((c) => c.key === board.quality.key), descending: board.quality.direction === "max" };
  const body = el("tbody");
  const head = el("tr");
  let state = [new Set(), new Set(), []];
  let rows = new Map();

  function rowOf(i, on, chances) {
    if (!rows.has(i)) {
      const row = el("tr", { class: on.has(i) ? "on" : null });
      row.append(...columns.map((c) => cellOf(c, board.groups[i], i, on.has(i), chances[i], open)));
      row.addEventListener("click", () => { if (getSelection().isCollapsed) open(i); });
      rows.set(i, row);
    }
    return rows.get(i);
  }

  function fill(on, shown, chances) {
    if (chances !== state[2]) rows = new Map(); // another cost, another frontier
    state = [on, shown, chances];
    const column = { ...columns[sort.column] };
    if (column.frontier) column.value = (_, i) => (on.has(i) ? 0 : 1);
    if (column.chance) column.value = (_, i) => chances[i];
    [...head.children].forEach((th, i) => {
      th.setAttribute("aria-sort", i !== sort.column ? "none" : sort.descending ? "descending" : "ascending");
    });
    const order = sorted(board.groups, column, sort.descending).filter((i) => shown.has(i));
    body.replaceChildren(...order.map((i) => rowOf(i, on, chances)));
  }

  columns.forEach((column, i) => {
    const button = el("button", { type: "button" }, short(column.name, 40));
    button.addEventListener("click", () => {
      sort.descending = sort.column === i ? !sort.descending : false;
      sort.column = i;
      fill(...state);
    });
    head.append(el("th", { scope: "col", class: column.number ? "number" : null, title: column.name.length > 40 ? column.name : null }, button));
  });
  const table = el("table", { class: "groups" }, el("thead", {}, head), body);
  return { node: el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Groups of runs" }, table), fill };
}
