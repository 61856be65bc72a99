// The dialog with everything that is known about a group's runs.
"use strict";

function badges(run) {
  const list = [el("span", { class: "badge" }, run.curated ? "curated" : "local")];
  if (run.status !== "finished") list.push(el("span", { class: "badge alarm" }, run.status));
  if (run.emulated) list.push(el("span", { class: "badge" }, "emulated"));
  return list;
}

/** Copy, and say so; where the browser forbids the clipboard, select the text for the reader. */
async function copy(text, source, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

function commandRow(command) {
  const code = el("code", {}, command);
  const button = el("button", { type: "button", "aria-live": "polite" }, "Copy");
  button.addEventListener("click", () => copy(command, code, button));
  return el("div", { class: "command" }, code, button);
}

function metricsTable(run) {
  const body = el("tbody");
  DATA.pool[run.metrics[0]].forEach((name, i) => {
    body.append(el("tr", {}, el("td", {}, name), el("td", { class: "number" }, written(run.metrics[1][i]))));
  });
  return el("table", { class: "metrics" }, body);
}

function runArticle(run, link, target, ranges) {
  const facts = el("dl", {}, el("dt", {}, "id"), el("dd", {}, el("a", { href: link }, run.id)),
    el("dt", {}, "seed"), el("dd", {}, String(run.seed)),
    el("dt", {}, "status"), el("dd", {}, run.status),
    el("dt", {}, "source"), el("dd", {}, run.curated ? "curated" : "local"));
  for (const index of run.facts) {
    const [name, text] = DATA.pool[index];
    facts.append(el("dt", {}, name), el("dd", {}, text));
  }
  const config = run.config.map((index) => DATA.pool[index]).join("");
  return el(
    "article", { class: target ? "run target" : "run" },
    el("h3", {}, `seed ${run.seed}`, ...badges(run)),
    commandRow(run.command),
    facts,
    ranges,
    el("details", { open: target }, el("summary", {}, `Metrics (${run.metrics[1].length})`), metricsTable(run)),
    el("details", {}, el("summary", {}, "Configuration"), el("pre", { class: "config" }, config)),
  );
}

/** Without the purge Plotly would go on listening to the window for a plot that is gone. */
function emptyDialog(dialog) {
  dialog.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.purge(plot));
  dialog.replaceChildren();
}

/** Fill and show the dialog; `group` and `board` are null for a run that is on no board. */
function showDetail(dialog, board, group, targetId, linkOf) {
  const indices = group ? group.runs : DATA.runs.flatMap((run, i) => (run.id === targetId ? [i] : []));
  const runs = indices.map((i) => DATA.runs[i]);
  const title = group ? group.label : `Run ${targetId}`;
  const close = el("button", { type: "button" }, "Close");
  close.addEventListener("click", () => dialog.close());
  const count = runs.length > 1 ? `${runs.length} runs that differ in nothing but their seed` : "one run";
  const heading = el("div", {}, el("h2", { id: "detail-title", tabindex: "-1" }, title),
    el("p", { class: "quiet" }, board ? `${count}, on the board ${board.name}` : `${count}, on no board`));
  const curves = curvesBlock(runs, board ? board.quality.key : "");
  const body = el("div", { class: "body" }, curves.node);
  const draws = [curves.draw];
  let target = null;
  for (const run of runs) {
    const ranges = run.ranges ? rangesBlock(run.ranges, run.id === targetId) : null;
    if (ranges) draws.push(ranges.draw);
    const article = runArticle(run, linkOf(run), run.id === targetId, ranges?.node);
    if (run.id === targetId) target = article;
    body.append(article);
  }
  emptyDialog(dialog);
  dialog.append(el("div", { class: "top" }, heading, close), body);
  if (!dialog.open) dialog.showModal();
  const draw = () => draws.forEach((one) => one());
  draw();
  heading.firstChild.focus({ preventScroll: true });
  // The first run is in view as it is, beneath the curves; another one must be gone to.
  if (target && runs[0].id !== targetId) target.scrollIntoView({ block: "start" });
  else dialog.scrollTop = 0;
  return draw;
}
