// What the papers say and what is so here, before any board: one table for each paper.
"use strict";

// Each verdict has a sign of its own, so that none is told by its colour alone.
const VERDICTS = { holds: "\u2713", fails: "\u2717", undecided: "?", "no runs": "\u2013" };

function claimRow(claim) {
  const said = claim.paper && el("p", { class: "quiet" }, `Paper: ${claim.paper}`);
  const verdict = el("span", { class: `verdict ${claim.verdict.replace(" ", "-")}` }, `${VERDICTS[claim.verdict]} ${claim.verdict}`);
  return el("tr", {},
    el("td", {}, verdict),
    el("td", { class: "sentence" }, claim.sentence, said),
    el("td", { class: "bound" }, claim.bound),
    el("td", { class: "sentence" }, claim.here));
}

/** Make the section of all claims, as boardSection makes that of a board. */
function claimsSection() {
  const every = DATA.claims.flatMap((paper) => paper.rows);
  const counts = Object.keys(VERDICTS)
    .map((verdict) => [every.filter((row) => row.verdict === verdict).length, verdict])
    .filter(([n]) => n).map(([n, verdict]) => `${n} ${verdict}`);
  const section = el("section", { class: "board claims" },
    el("h2", {}, "What the papers say, and what is so here"),
    el("p", {}, `${every.length} claims: ${counts.join(", ")}. Each is decided by its interval of 95% over seeds; one that fails is shown as failing.`));
  for (const { paper, rows } of DATA.claims) {
    const heads = ["verdict", "claim", "bound", "measured here"].map((text) => el("th", { scope: "col" }, text));
    const body = el("tbody");
    body.append(...rows.map(claimRow));
    section.append(
      el("h3", {}, paper),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `claims of ${paper}` },
        el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body)));
  }
  return { node: section, draw: () => {} };
}
