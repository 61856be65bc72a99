// The page: header, navigation, and what the address says is shown.
//
// The address is the only state: #board=NAME shows a board, #run=ID (with or without a board)
// opens a run. Links, the back button and a pasted address all take the same way.
"use strict";

(() => {
  const main = document.getElementById("board");
  const dialog = document.getElementById("detail");
  const notice = document.getElementById("notice");
  const sections = new Map();
  // The claims and the methods stand before the boards, and are shown as two of them.
  const CLAIMS = { name: "claims" };
  const METHODS = { name: "methods" };
  const views = [...(DATA.claims.length ? [CLAIMS] : []), ...(DATA.methods.length ? [METHODS] : []), ...DATA.boards];
  let current = null;
  let drawCurves = () => {};
  let shownRun = null;

  const hashOf = (parts) => `#${new URLSearchParams(parts)}`;
  const linkOf = (board) => (run) => hashOf(board ? { board: board.name, run: run.id } : { run: run.id });

  function header() {
    const { runs } = DATA;
    const n = `${runs.length.toLocaleString("en")} ${runs.length === 1 ? "run" : "runs"}`;
    const local = runs.filter((run) => !run.curated).length;
    document.getElementById("made").textContent =
      `${n} (${(runs.length - local).toLocaleString("en")} curated, ${local.toLocaleString("en")} local), made ${DATA.made}`;
    const nav = document.getElementById("boards");
    nav.hidden = views.length < 2;
    nav.append(...views.map((board) => el("a", { href: hashOf({ board: board.name }) }, board.name)));
    if (!DATA.boards.length) {
      main.append(el("p", {}, "There is no board: a board is a YAML file in ", el("code", {}, "leaderboards/"), "."));
    }
    document.getElementById("skip").addEventListener("click", (event) => {
      event.preventDefault();
      main.focus();
    });
  }

  function footer() {
    const foot = document.getElementById("footer");
    const onBoards = new Set(DATA.boards.flatMap((board) => board.groups.flatMap((g) => g.runs)));
    const others = DATA.runs.filter((_, i) => !onBoards.has(i));
    if (others.length) {
      const list = el("ul");
      list.append(...others.map((run) => el("li", {}, el("a", { href: linkOf(null)(run) }, run.id), ` ${short(run.command, 160)}`)));
      foot.append(el("details", {}, el("summary", {}, `Runs on no board (${others.length})`), list));
    }
    if (DATA.problems.length) {
      const list = el("ul", { class: "problems" });
      list.append(...DATA.problems.map(([file, reason]) => el("li", {}, el("code", {}, file), ` ${reason}`)));
      foot.append(el("p", {}, "Left out, as they are no valid records:"), list);
    }
  }

  function showBoard(board) {
    if (board === current || !board) return;
    if (!sections.has(board)) {
      const open = (index) => { location.hash = linkOf(board)(DATA.runs[board.groups[index].runs[0]]); };
      const section = board === CLAIMS ? claimsSection()
        : board === METHODS ? methodsSection((name) => hashOf({ board: name })) : boardSection(board, open, linkOf(board));
      sections.set(board, section);
      main.append(section.node);
    }
    sections.forEach((section, other) => { section.node.hidden = other !== board; });
    [...document.getElementById("boards").children].forEach((link, i) => {
      if (views[i] === board) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    current = board;
    sections.get(board).draw();
  }

  /** The board and the group that hold a run: on the wanted board, or on the first that has it. */
  function whereIs(id, wanted) {
    const index = DATA.runs.findIndex((run) => run.id === id);
    if (index < 0) return null;
    for (const board of [wanted, ...DATA.boards]) {
      const group = board?.groups?.find((g) => g.runs.includes(index));
      if (group) return { board, group };
    }
    return { board: null, group: null };
  }

  function route() {
    const address = new URLSearchParams(location.hash.slice(1));
    const wanted = views.find((board) => board.name === address.get("board"));
    const id = address.get("run");
    const place = id === null ? null : whereIs(id, wanted);
    notice.hidden = id === null || place !== null;
    notice.textContent = notice.hidden ? "" : `There is no run ${short(id, 40)} on this page.`;
    showBoard(place?.board ?? wanted ?? current ?? views[0]);
    if (place) shownRun = id;
    if (place) drawCurves = showDetail(dialog, place.board, place.group, id, linkOf(place.board));
    else if (dialog.open) dialog.close();
  }

  dialog.addEventListener("close", () => {
    drawCurves = () => {};
    emptyDialog(dialog);
    // Closed by the reader, the address still names the run; closed by an address, another one.
    if (new URLSearchParams(location.hash.slice(1)).get("run") === shownRun) {
      location.hash = current ? hashOf({ board: current.name }) : "";
    }
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener("hashchange", route);
  const redraw = () => {
    if (current) sections.get(current).draw();
    drawCurves();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let width = innerWidth;
  addEventListener("resize", () => {
    // The labels' places depend on the width; the height changes whenever a phone scrolls.
    if (innerWidth !== width) redraw();
    width = innerWidth;
  });
  header();
  footer();
  route();
})();
