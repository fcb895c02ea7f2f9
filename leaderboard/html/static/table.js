// The table: its order, its cells, and the way through it by keyboard.
let focused = [0, 0]; // row and column of the cell that the tab key reaches

const columnsOf = () => shownBlocks().flatMap((block) => block.groups.map((group) => ({ block, group })));
const columnName = ({ block, group }) => `${nameOf(block)}: ${group}`;

/** The methods in the order of the view. What has no number comes last, whichever way. */
function rowsOf() {
  const blocks = shownBlocks();
  const words = view.method.toLowerCase();
  const kept = DATA.methods.map((_, method) => method).filter(
    (method) => DATA.methods[method].toLowerCase().includes(words) && blocks.some((block) => lineOf(block, method)),
  );
  const falling = view.sort.startsWith("-");
  const wanted = falling ? view.sort.slice(1) : view.sort;
  if (wanted === "method") {
    kept.sort((a, b) => (falling ? -1 : 1) * DATA.methods[a].localeCompare(DATA.methods[b], "en"));
    return kept;
  }
  const column = columnsOf().find((one) => columnName(one) === wanted);
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
  view.sort = view.sort === first ? second : view.sort === second ? "" : first;
}

function sorter(name, text) {
  const state = view.sort === name ? "ascending" : view.sort === `-${name}` ? "descending" : "none";
  const arrow = { ascending: "▲", descending: "▼", none: "" }[state];
  const button = element("button", { type: "button", "data-sort": name }, text, element("span", { class: "arrow", "aria-hidden": "true" }, arrow));
  return [button, state];
}

function headOf(columns) {
  const [methods, state] = sorter("method", "Method");
  const top = element("tr", {}, element("th", { scope: "col", rowspan: 2, "aria-sort": state }, methods));
  const low = element("tr");
  for (const block of shownBlocks()) {
    top.append(element("th", { scope: "colgroup", colspan: block.groups.length, class: "first" }, element("span", {}, headerOf(block))));
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
  for (const method of rows) {
    const row = document.createElement("tr");
    row.append(element("th", { scope: "row" }, DATA.methods[method]));
    columns.forEach(({ block, group }, place) => {
      const cell = document.createElement("td");
      cell.textContent = shownText(block, method, group);
      if (starts[place]) cell.className = "first";
      row.append(cell);
    });
    body.append(row);
  }
  return body;
}

function showTable() {
  const [rows, columns] = [rowsOf(), columnsOf()];
  markReasons(rows);
  by("head").replaceChildren(...headOf(columns));
  by("body").replaceChildren(bodyOf(rows, columns));
  by("body").dataset.methods = JSON.stringify(rows);
  by("caption").textContent = captionOf();
  by("notes").replaceChildren(...notesOf().map((note) => element("li", {}, note)));
  by("count").textContent = `${rows.length} of ${DATA.methods.length} methods`;
  by("nothing").hidden = rows.length > 0;
  focused = [0, 0];
  const first = by("body").querySelector("td");
  if (first) first.tabIndex = 0;
}

/** How wide the methods' names are, once that is known: beside them the names of the data sets stay in sight. */
function fitHeader() {
  const names = by("head").querySelector("th");
  if (names) by("head").style.setProperty("--names", `${names.offsetWidth}px`);
}

function moveTo(row, column) {
  const rows = by("body").rows;
  const [down, right] = [Math.min(Math.max(row, 0), rows.length - 1), Math.min(Math.max(column, 0), columnsOf().length - 1)];
  const now = rows[focused[0]]?.cells[focused[1] + 1];
  if (now) now.removeAttribute("tabindex");
  focused = [down, right];
  const next = rows[down].cells[right + 1];
  next.tabIndex = 0;
  next.focus();
}

const placeOf = (cell) => [cell.parentElement.sectionRowIndex, cell.cellIndex - 1];

function openAt([row, column]) {
  const method = JSON.parse(by("body").dataset.methods)[row];
  const { block, group } = columnsOf()[column];
  loaded(() => showBehind(block, method, group));
}

function listenTable(changed) {
  by("skip").addEventListener("click", (event) => {
    event.preventDefault(); // what follows # is the view
    moveTo(...focused);
  });
  by("head").addEventListener("click", (event) => {
    const name = event.target.closest("button")?.dataset.sort;
    if (!name) return;
    sortBy(name);
    changed();
    [...by("head").querySelectorAll("button")].find((button) => button.dataset.sort === name)?.focus();
  });
  by("body").addEventListener("click", (event) => {
    const cell = event.target.closest("td");
    if (!cell) return;
    moveTo(...placeOf(cell));
    openAt(focused);
  });
  by("body").addEventListener("keydown", (event) => {
    if (!event.target.closest("td")) return;
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
