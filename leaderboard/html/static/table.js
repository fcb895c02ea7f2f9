// The table: its order, its cells, and the way through it by keyboard.
const MOST_BESIDE = 8; // columns that may leave room for charts beside them
let focused = [0, 1]; // row and column of the cell that the tab key reaches

/** The columns as they stand: All, the main number, comes first where the screen is narrow. */
function columnsOf() {
  const first = (group) => narrowScreen.matches && group === "all";
  return shownBlocks().flatMap((block) => groupsOf(block).toSorted((a, b) => first(b) - first(a)).map((group) => ({ block, group })));
}

const cellsOfRow = (row) => [...row.cells].filter((cell) => cell.matches(":not(.tier)")); // the method's name, then the values

/** The methods in the order of the view. What has no number comes last, whichever way. */
function rowsOf() {
  const blocks = shownBlocks();
  const words = view.method.toLowerCase();
  const kept = DATA.methods.map((_, method) => method).filter(
    (method) => DATA.methods[method].toLowerCase().includes(words) && blocks.some((block) => lineOf(block, method)),
  );
  const falling = sorting().startsWith("-");
  const wanted = sorting().replace(/^-/, "");
  if (wanted === "method") {
    kept.sort((a, b) => (falling ? -1 : 1) * DATA.methods[a].localeCompare(DATA.methods[b], "en"));
    return kept;
  }
  const column = reportColumns().find((one) => columnName(one) === wanted);
  if (!column) return kept;
  const number = new Map(kept.map((method) => [method, shownNumber(column.block, method, column.group)]));
  const [there, absent] = [kept.filter((m) => number.get(m) !== null), kept.filter((m) => number.get(m) === null)];
  there.sort((a, b) => (falling ? number.get(b) - number.get(a) : number.get(a) - number.get(b)));
  return [...there, ...absent];
}

/** Largest first, smallest first, then the spec's own order again. */
function sortBy(name) {
  const first = name === "method" ? name : `-${name}`;
  const second = name === "method" ? `-${name}` : name;
  view.sort = sorting() === first ? second : sorting() === second ? "" : first;
}

function sorter(name, text) {
  const state = sorting() === name ? "ascending" : sorting() === `-${name}` ? "descending" : "none";
  const arrow = { ascending: "▲", descending: "▼", none: "" }[state];
  const button = element("button", { type: "button", "data-sort": name }, text, element("span", { class: "arrow", "aria-hidden": "true" }, arrow));
  return [button, state];
}

function headOf(columns) {
  const [methods, state] = sorter("method", "Method");
  const tiers = hasTiers() ? [element("th", { scope: "col", rowspan: 2, class: "tier" }, "Tier")] : [];
  const top = element("tr", {}, ...tiers, element("th", { scope: "col", rowspan: 2, class: "method", "aria-sort": state }, methods));
  const low = element("tr");
  for (const block of shownBlocks()) {
    top.append(element("th", { scope: "colgroup", colspan: groupsOf(block).length, class: "first" }, element("span", {}, element("button", { type: "button", class: "name", "data-block": BLOCK_OF.get(block), title: "What this data set is" }, headerOf(block)))));
  }
  columns.forEach((column, place) => {
    const [button, order] = sorter(columnName(column), titled(column.group));
    const first = place === 0 || columns[place - 1].block !== column.block;
    low.append(element("th", { scope: "col", "aria-sort": order, ...(first && { class: "first" }) }, button));
  });
  return [top, low];
}

function bodyOf(rows, columns) {
  const body = document.createDocumentFragment();
  const starts = columns.map((column, place) => place === 0 || columns[place - 1].block !== column.block);
  const [best, opening, tiers, compares] = [columns.map(bestOf), tierStarts(rows), hasTiers(), reference() >= 0];
  for (const method of rows) {
    const row = document.createElement("tr");
    if (opening.has(method)) row.className = "opens";
    if (tiers) row.append(tierCell(tierOf(method)));
    row.append(element("th", { scope: "row" }, markerOf(method), element("span", { class: "name", ...tipOf(method) }, DATA.methods[method])));
    columns.forEach(({ block, group }, place) => {
      const [cell, value] = [document.createElement("td"), shownCell(block, method, group)];
      cell.textContent = textOfCell(value);
      const words = (starts[place] ? "first " : "") + markOfValue(value?.mean, best[place]);
      if (words) cell.className = words;
      const compared = compares && comparedText(block, method, group);
      if (compared) cell.append(" ", element("span", { class: "difference" }, compared));
      row.append(cell);
    });
    body.append(row);
  }
  return body;
}

const tierCell = (tier) =>
  element("td", { class: "tier" }, ...(tier === null ? [NONE] : [element("span", { class: "word" }, "Tier "), String(tier)]));

function showTable() {
  const [rows, columns] = [rowsOf(), columnsOf()];
  markReasons(rows);
  placeLooks(rows);
  by("board").classList.toggle("wide", columns.length > MOST_BESIDE); // of so many, how wide they would be need not be measured
  by("head").replaceChildren(...headOf(columns));
  by("body").replaceChildren(bodyOf(rows, columns));
  by("body").dataset.methods = JSON.stringify(rows);
  by("caption").textContent = captionOf();
  by("notes").replaceChildren(...notesOf().map((note) => element("li", {}, note)));
  by("count").textContent = `${rows.length} of ${DATA.methods.length} methods`;
  by("nothing").hidden = rows.length > 0;
  focused = [0, 1];
  const [first] = by("body").rows;
  if (first) cellsOfRow(first)[1].tabIndex = 0;
}

/** How wide the methods' names are, once that is known: beside them the names of the data sets stay in sight. */
function fitHeader() {
  const names = by("head").querySelector(".method");
  const wide = (cell) => cell?.getBoundingClientRect().width ?? 0;
  if (names) by("head").style.setProperty("--names", `${Math.ceil(wide(names) + wide(by("head").querySelector(".tier")))}px`);
}

function moveTo(row, column) {
  const rows = by("body").rows;
  const [down, right] = [Math.min(Math.max(row, 0), rows.length - 1), Math.min(Math.max(column, 0), columnsOf().length)];
  const now = rows[focused[0]] && cellsOfRow(rows[focused[0]])[focused[1]];
  if (now) now.removeAttribute("tabindex");
  focused = [down, right];
  const next = cellsOfRow(rows[down])[right];
  next.tabIndex = 0;
  next.focus();
}

const methodOf = (cell) => JSON.parse(by("body").dataset.methods)[cell.parentElement.sectionRowIndex];
const placeOf = (cell) => [cell.parentElement.sectionRowIndex, cellsOfRow(cell.parentElement).indexOf(cell)];

function openAt([row, column]) {
  const method = JSON.parse(by("body").dataset.methods)[row];
  if (column === 0) return loaded(() => showMethodCard(method));
  const { block, group } = columnsOf()[column - 1];
  loaded(() => showBehind(block, method, group));
}

function listenTable(changed) {
  by("skip").addEventListener("click", (event) => {
    event.preventDefault(); // what follows # is the view
    moveTo(...focused);
  });
  by("head").addEventListener("click", (event) => {
    const { sort: name, block } = event.target.closest("button")?.dataset ?? {};
    if (block) loaded(() => showDataCard(DATA.blocks[block]));
    if (!name) return;
    sortBy(name);
    changed();
    [...by("head").querySelectorAll("button")].find((button) => button.dataset.sort === name)?.focus();
  });
  by("body").addEventListener("click", (event) => {
    const cell = event.target.closest("th, td:not(.tier)");
    if (!cell) return;
    if (event.target.closest(".look")) {
      choose(methodOf(cell));
      changed();
      return;
    }
    moveTo(...placeOf(cell));
    openAt(focused);
  });
  by("body").addEventListener("keydown", (event) => {
    if (!event.target.matches("th, td")) return;
    const [row, column] = focused;
    const steps = {
      ArrowDown: [row + 1, column], ArrowUp: [row - 1, column], ArrowRight: [row, column + 1], ArrowLeft: [row, column - 1],
      PageDown: [row + 20, column], PageUp: [row - 20, column], Home: [row, 0], End: [row, Infinity],
    };
    if (steps[event.key]) moveTo(...steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") openAt(focused);
    else return;
    event.preventDefault();
  });
}
