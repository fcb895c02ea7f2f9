// What cells say, as the report's own tables say it.
const NONE = "–";

/** Decimals, halves to even, as Python writes them; never -0.0. */
function decimal(value, sign = "", digits = 1) {
  const lower = Math.floor(value * 10 ** digits);
  const half = Math.abs((value * 2 ** (digits + 1)) % 2) === 1; // such as 0.25 or 42.75, where toFixed would round up
  const rounded = half ? (lower + Math.abs(lower % 2)) / 10 ** digits : Number(value.toFixed(digits));
  const text = Math.abs(rounded).toFixed(digits);
  return rounded < 0 ? `−${text}` : sign + text;
}

/** As many decimals as it takes to show that a difference is one: of 0.04 one decimal would show none. */
function enoughDigits(value) {
  let digits = 1;
  while (Math.abs(value) > DATA.statistics.no_spread && Number(decimal(Math.abs(value), "", digits)) === 0) digits += 1;
  return digits;
}

/** A mean with what the view says of its uncertainty. */
function uncertain({ mean, stderr, n }, sign = "", digits = 1) {
  const shown = decimal(mean, sign, digits);
  if (stderr === null || view.spread === "none") return shown;
  if (view.spread === "se") return `${shown} ± ${decimal(stderr, "", digits)}`;
  if (view.spread === "std") return `${shown} ± ${decimal(stderr * Math.sqrt(n), "", digits)}`;
  const half = DATA.statistics.quantile[n] * stderr;
  return `${shown} [${decimal(mean - half, sign, digits)}, ${decimal(mean + half, sign, digits)}]`;
}

function cellText(cell) {
  if (!cell) return NONE;
  if (cell.status === "n/a") return `n/a (${cell.reason})`;
  if (cell.status === "missing") return `missing ${cell.planned}/${cell.planned}`;
  if (cell.status === "failed") return `failed ${cell.failed}/${cell.planned}`;
  const usual = cell.n === DATA.statistics.usual && cell.status === "complete";
  return uncertain(cell) + (usual ? "" : ` (n=${cell.n})`);
}

/** A difference, or why there is none: what became of the method, or else of the reference. */
function differenceText(found, cell) {
  if (!found?.n) return cell && !cell.n ? cellText(cell) : NONE;
  const digits = ["better", "worse"].includes(found.verdict) ? enoughDigits(found.difference) : 1;
  let text = uncertain({ ...found, mean: found.difference }, "+", digits);
  if (found.n !== DATA.statistics.usual) text += ` (n=${found.n})`;
  if (!found.verdict) return text;
  return `${text} ${found.verdict}` + (found.verdict === "not separable" ? ` (${decimal(found.detectable)})` : "");
}

/** What stands in the table where a method meets a column. */
function shownText(block, method, group) {
  return textOfCell(shownCell(block, method, group));
}

const textOfCell = (cell) => (cell ? cellText(cell) + (marks.get(toldOf(cell)) ?? "") : NONE);

/** What stands beside it: the difference from the reference, where there is one. */
function comparedText(block, method, group) {
  const cell = reference() < 0 ? undefined : shownCell(block, method, group);
  if (!cell) return "";
  if (method === reference()) return "reference";
  const found = differencesOf(block, group).get(method);
  return found?.n ? differenceText(found, cell) : "";
}

function shownCell(block, method, group) {
  const line = lineOf(block, method);
  return line?.cells[group] && cellOf(line, group);
}

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";
let marks = new Map(); // of the table that is shown: each reason why seeds are not in a mean, and its mark

/** The reason that goes under the table: of a complete cell what did not act; that all are missing is what the cell says already. */
const toldOf = ({ status, reason }) =>
  status === "incomplete" || status === "failed" || (["missing", "complete"].includes(status) && reason.includes(":")) ? reason : "";

function markReasons(rows) {
  const cells = shownBlocks().flatMap((block) => rows.map((method) => [block, lineOf(block, method)]).filter(([, line]) => line)
    .flatMap(([block, line]) => groupsOf(block).filter((group) => line.cells[group]).map((group) => cellOf(line, group))));
  const reasons = [...new Set(cells.map(toldOf))].filter(Boolean);
  marks = new Map(reasons.map((reason, place) => [reason, [...String(place + 1)].map((digit) => SUPERSCRIPT[digit]).join("")]));
}

/** The number that a column sorts by; null where there is none. */
function shownNumber(block, method, group) {
  return shownCell(block, method, group)?.mean ?? null;
}

/** What a value of the view is, such as "accuracy of the worst class, Few (fewer than 60 training images)". */
const measured = (group) => `${MEASURES[view.metric]}, ${bounded(group)}`;
const MEASURES = { mean: COUNTED ? "accuracy averaged over classes" : DATA.measure.label, worst: "accuracy of the worst class" };

function bounded(group) {
  const [few, many] = thresholds() ?? [];
  if (few === undefined || group === "all") return titled(group);
  const images = { few: `fewer than ${few}`, med: `${few} to ${many}`, many: `more than ${many}` };
  return `${titled(group)} (${images[group]} training ${EXAMPLES})`;
}

/** The sentence that says what the numbers are. */
function captionOf() {
  const spread = {
    se: "mean ± one standard error (ddof = 1)",
    std: "mean ± one standard deviation (ddof = 1)",
    ci95: "mean [its 95% t interval, not corrected]",
    none: "mean",
  }[view.spread];
  const counted = view.metric === "worst" ? "Accuracy of the worst class of each group" : "Accuracy averaged over the classes of each group";
  const metric = COUNTED || view.metric === "worst" ? `${counted}, on the test set, in percent` : DATA.measure.text;
  const [few, many] = thresholds() ?? [];
  const groups = few === undefined ? "" : ` Few, Med and Many: classes with fewer than ${few}, ${few} to ${many} and more than ${many} training ${EXAMPLES}.`;
  const what = reference() < 0 ? "" : ` Below each, its difference from ${view.versus} in percentage points, seed by seed.`;
  return `${metric}: ${spread}; n = ${DATA.statistics.usual} seeds unless shown. ★ marks the best mean of its column.${what}${groups}`;
}

/** The further sentences; how the report counts its groups is left out where the view counts otherwise. */
function notesOf() {
  const told = DATA.notes.filter((note) => thresholds() === null || !note.startsWith("Few, Med and Many"));
  const reasons = [...marks].map(([reason, mark]) => `${mark} ${reason}`);
  const why = thresholds() ? [] : shownBlocks().slice(0, 1).flatMap((block) => block.why ?? []);
  return [...reasons, ...tierNotes(), ...told, ...why, ...(reference() < 0 ? [] : differenceNotes())];
}

function differenceNotes() {
  const [differences, ...words] = DATA.compared;
  const spread = view.spread === "se" ? differences : differences.replace(", ± one standard error of their mean", ""); // the caption says what is shown
  return [spread, ...words];
}
