// A section for a board: question, plot, key, curves, table.
"use strict";

/** Whether every word of the filter is somewhere in what the group's row says. */
function matches(board, group, words) {
  const source = `${group.label} ${group.values.join(" ")} ${group.source} ${board.hardware[group.hardware]}`;
  const state = `${group.diverged ? "diverged" : ""} ${group.emulated ? "emulated" : ""}`;
  const text = `${source} ${state}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function notes(board) {
  const list = [];
  if (board.target) list.push(`${board.target[0].toUpperCase()}${board.target.slice(1)}.`);
  if (board.hardware.length > 1) {
    list.push(`Measured on ${board.hardware.length} kinds of hardware: their times stand side by side here and are not comparable. ` +
      `${board.hardware.join("; ")}.`);
  }
  if (board.groups.some((g) => g.emulated)) {
    list.push("Runs marked emulated compute their number format in software: their wall clock is not the format's.");
  }
  return list.map((text) => el("p", { class: "quiet" }, text));
}

/** Make the section; `open(group index)` shows the runs, `draw()` draws the plots when visible. */
function boardSection(board, open, linkOf) {
  const section = el("section", { class: "board" }, el("h2", {}, board.title), el("p", {}, board.question));
  if (!board.groups.length) {
    section.append(el("p", { class: "none" }, "No run is on this board yet; make one with ", el("code", {}, "python train.py"), "."));
    return { node: section, draw: () => {} };
  }
  let cost = 0;
  let words = [];
  const plot = el("div", { class: "plot", role: "img", "aria-label": `${board.title}: plot of the table beneath` });
  const unplaced = el("p", { class: "quiet" });
  const found = el("p", { class: "quiet", role: "status" });
  const table = groupsTable(board, open);
  const curves = compareBlock(board, linkOf);

  function draw() {
    const points = placed(board, cost).length;
    const missing = board.groups.length - points;
    plot.hidden = !points;
    unplaced.textContent = missing ? `${missing} of ${board.groups.length} groups have no place in this plot and stand only in the table.` : "";
    unplaced.hidden = !missing;
    const shown = shownGroups();
    found.textContent = words.length ? `${shown.size} of ${board.groups.length} groups` : "";
    if (points) drawFrontier(plot, board, cost, shown, open);
    curves.draw(new Set(board.frontiers[cost]), shown);
  }

  function shownGroups() {
    return new Set(board.groups.flatMap((g, i) => (matches(board, g, words) ? [i] : [])));
  }

  function fillTable() {
    table.fill(new Set(board.frontiers[cost]), shownGroups(), board.chances[cost]);
  }

  function update() {
    fillTable();
    draw();
  }

  const filter = el("input", { type: "search", placeholder: "words of a row", autocomplete: "off", spellcheck: "false" });
  filter.addEventListener("input", () => {
    words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    update();
  });
  const costs = picker(board.costs.map((axis, i) => [String(i), axis.label]), "0", (value) => { cost = Number(value); update(); });
  section.append(
    ...notes(board),
    el("div", { class: "controls" }, el("label", {}, "Cost", costs), el("label", {}, "Filter", filter), found),
    plot, legend(board), unplaced,
  );
  if (curves.node) section.append(curves.node);
  section.append(table.node);
  fillTable();
  return { node: section, draw };
}
