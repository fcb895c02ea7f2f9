// How the methods stand in one column: the tier of each, which Python has computed, the best mean, and a bar for each value.

/** The column by which the table is ranked: the one that it is sorted by, else All of the first data set. */
function rankedColumn() {
  const wanted = sorting().replace(/^-/, "");
  return reportColumns().find((column) => columnName(column) === wanted) ?? firstColumn();
}

const reportColumns = () => shownBlocks().flatMap((block) => groupsOf(block).map((group) => ({ block, group })));

/** All of the first data set; its last group where it has no All. */
function firstColumn() {
  const [block] = shownBlocks();
  return block && { block, group: block.groups.at(-1) };
}

/** What the table is sorted by, as a column's name, with - before it where the largest comes first; ranked where the column
 * that it was sorted by is not shown any more. */
function sorting() {
  const name = view.sort.replace(/^-/, "");
  const there = ["", "method", ...reportColumns().map(columnName)].includes(name);
  return there || !firstColumn() ? view.sort : `-${columnName(firstColumn())}`;
}

const tierOf = (method) => lineOf(rankedColumn().block, method)?.cells[rankedColumn().group]?.tier ?? null;

/** Tiers are of the report's own numbers, and of columns in which a word is due of any two methods. */
const hasTiers = () => reported() && DATA.methods.some((_, method) => tierOf(method) !== null);

function tierNotes() {
  const { block, group } = rankedColumn();
  const where = `${titled(group)}${shownBlocks().length > 1 ? `, ${headerOf(block)}` : ""}`;
  if (hasTiers()) return [`Tiers of ${where}. ${DATA.ranked}`];
  if (!reported()) return ["Tiers are shown for the report's own metric and boundaries only."];
  return [`No tiers of ${where}: they need two methods of which each seed is finished, at least ${DATA.statistics.fewest}.`];
}

/** The methods with which a new tier begins, in rows that are sorted from the best down. */
function tierStarts(rows) {
  const starts = new Set();
  if (!hasTiers() || sorting() !== `-${columnName(rankedColumn())}`) return starts;
  let last = 0;
  for (const method of rows) {
    if (tierOf(method) <= last) continue;
    last = tierOf(method);
    starts.add(method);
  }
  return starts;
}

/** The largest mean of a column, whatever rows are shown, of the methods of which every seed is finished; of all where there
 * is none of these. */
function bestOf({ block, group }) {
  const cells = [...LINES[BLOCK_OF.get(block)].values()].flatMap((line) => (line.cells[group] ? [cellOf(line, group)] : []));
  const complete = cells.filter((cell) => cell.status === "complete");
  const means = (complete.length ? complete : cells).map((cell) => cell.mean).filter((mean) => typeof mean === "number");
  return Math.max(...means);
}

const bars = new CSSStyleSheet(); // a class for each whole percent: a style for each cell would take the browser twice as long
bars.replaceSync(Array.from({ length: 101 }, (_, percent) => `.bar-${percent} { background-size: ${percent}% 4px; }`).join("\n"));
document.adoptedStyleSheets.push(bars);

/** The classes of a cell by its value: its mark as the best, and its bar, from 0 to 100 percent over the width of the cell. */
function markOfValue(mean, best) {
  if (typeof mean !== "number") return "";
  const bar = view.bars === "on" ? `bar-of-value bar-${Math.round(Math.min(Math.max(mean, 0), 100))}` : "";
  return mean === best ? `best ${bar}` : bar;
}
