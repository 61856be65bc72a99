// A card for each method: what it is, its equations, how to try it, and what came of it here.
"use strict";

/** Links with commas between them. */
function linkList(links) {
  return links.flatMap((link, i) => (i ? [", ", link] : [link]));
}

function methodCard(method, hrefOf) {
  const card = el("article", { class: "method", "aria-labelledby": `method-${method.name}` },
    el("h3", { id: `method-${method.name}` }, method.title),
    el("p", { class: "quiet" }, method.paper),
    el("p", {}, method.idea),
    el("pre", { class: "equations", tabindex: "0", role: "region", "aria-label": "equations" }, method.equations.join("\n")),
    method.read && el("p", { class: "quiet" }, method.read),
    ...method.commands.map(commandRow));
  const facts = el("dl");
  if (method.verdicts) {
    const counts = Object.keys(VERDICTS).filter((verdict) => method.verdicts[verdict]).flatMap((verdict, i) => [
      i ? ", " : null, el("span", { class: `verdict ${verdict.replace(" ", "-")}` }, `${VERDICTS[verdict]} ${method.verdicts[verdict]} ${verdict}`)]);
    facts.append(el("dt", {}, "claims here"), el("dd", {}, el("a", { href: hrefOf("claims") }, method.claims), ": ", ...counts.filter(Boolean)));
  }
  if (method.boards.length) {
    facts.append(el("dt", {}, "boards"), el("dd", {}, ...linkList(method.boards.map((name) => el("a", { href: hrefOf(name) }, name)))));
  }
  if (method.document) facts.append(el("dt", {}, "document"), el("dd", {}, el("code", {}, `docs/${method.document}.md`)));
  card.append(facts);
  return card;
}

/** Make the section of all cards, as boardSection makes that of a board; `hrefOf(board)` is a link. */
function methodsSection(hrefOf) {
  const cards = el("div", { class: "cards" });
  cards.append(...DATA.methods.map((method) => methodCard(method, hrefOf)));
  const section = el("section", { class: "board methods" }, el("h2", {}, "The methods, and how to try them"), cards);
  return { node: section, draw: () => {} };
}
