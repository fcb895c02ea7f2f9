// The view as Markdown, LaTeX and CSV. What is escaped, and how, is the report's own (leaderboard/formats/markdown.py).

const inMarkdown = (text) => [...text].map((c) => DATA.markup.markdown[c] ?? c).join("");
const SAFE = new Set(DATA.markup.safe);
const inLatex = (text) =>
  [...text].map((c) => (SAFE.has(c) ? DATA.markup.latex[c] ?? c : `{[}U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}{]}`)).join("");

/** The tables that are shown, as texts: the measured one, what is published of it, then each that is quoted. */
function shownTables() {
  const columns = reportColumns();
  const written = (text, methods) => methods.map((method) => [DATA.methods[method], ...columns.map(({ block, group }) => text(block, method, group) || NONE)]);
  const spans = shownBlocks().map((block) => [headerOf(block), groupsOf(block).length]);
  const head = ["Method", ...columns.map((column) => titled(column.group))];
  const measured = [{ title: view.protocol, spans, head, rows: written(shownText, rowsOf()), notes: [captionOf(), ...notesOf()] }];
  if (reference() >= 0) {
    const rows = written(comparedText, rowsOf().filter((method) => method !== reference()));
    measured.push({ title: `${view.protocol}: difference from ${view.versus}`, spans, head, rows, notes: differenceNotes() });
  }
  const quoted = view.published === "on" ? [...besideTables(), ...quotedTables()].map((table) => ({ ...table, spans: [["", table.head.length - 1]] })) : [];
  return [...measured, ...quoted];
}

function markdownOf({ title, spans, head, rows, notes }) {
  const above = spans.flatMap(([text, width]) => Array(width).fill(text ? `${text}: ` : ""));
  const header = head.map((text, place) => (place ? above[place - 1] + text : text));
  const row = (texts) => `| ${texts.map(inMarkdown).join(" | ")} |`;
  const rule = `|:--|${head.slice(1).map(() => "--:|").join("")}`;
  return [`### ${inMarkdown(title)}`, "", row(header), rule, ...rows.map(row), "", ...notes.map((note) => `- ${inMarkdown(note)}`)].join("\n");
}

function latexOf({ title, spans, head, rows, notes }) {
  const row = (texts) => `${texts.map(inLatex).join(" & ")} \\\\`;
  const cells = spans.map(([text, width]) => `\\multicolumn{${width}}{c}{${inLatex(text)}}`);
  let at = 2;
  const rules = spans.map(([, width]) => `\\cmidrule(lr){${at}-${(at += width) - 1}}`);
  const above = spans.some(([text]) => text) ? [` & ${cells.join(" & ")} \\\\`, rules.join(" ")] : [];
  return [
    "\\begin{table}", "\\centering\\small", `\\caption[${inLatex(title)}]{${inLatex(title)}. ${inLatex(notes.join(" "))}}`,
    "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
    `\\begin{tabular}{l${"r".repeat(head.length - 1)}}`, "\\toprule", ...above, row(head), "\\midrule",
    ...rows.map(row), "\\bottomrule", "\\end{tabular}}", "\\end{table}",
  ].join("\n");
}

/** The board as an entry for BibTeX, with the day on which its last training ended. */
function citationOf() {
  const { until } = by("copy-citation").dataset;
  const fields = {
    title: `{Leaderboard: ${inLatex(DATA.title)}}`, year: until.slice(0, 4), howpublished: "Made with tailboard",
    note: until && `Last training ended on ${until}`, url: location.protocol.startsWith("http") ? location.href.split("#")[0] : "",
  };
  const lines = Object.entries(fields).filter(([, text]) => text).map(([name, text]) => `  ${name} = {${text}},\n`);
  return `@misc{${["leaderboard", ...DATA.title.match(/[A-Za-z0-9]+/g) ?? []].join("-").slice(0, 60)},\n${lines.join("")}}\n`;
}

const CELL_FIELDS = ["mean", "stderr", "n", "planned", "status", "reason", "verified"];
const SAYING = ["std", "ci95", "metric"];
const DIFFERENCE_FIELDS = ["difference", "stderr", "n", "ci95_low", "ci95_high", "p", "p_holm", "verdict", "detectable"];
const COSTS = ["device_seconds", "erm_trainings"]; // of one training; the second in three digits

/** A line for each cell in full precision, with the fields of the report's CSV and then the boundaries of its groups, empty
where those are no numbers of images. */
function csvOf() {
  const versus = reference() >= 0 ? ["versus", ...DIFFERENCE_FIELDS.map((name) => ({ stderr: "difference_stderr", n: "shared" })[name] ?? name)] : [];
  const [few, many] = thresholds() ?? DATA.shots ?? [];
  const lines = [["protocol", "dataset", "setting", "method", "group", ...CELL_FIELDS, ...SAYING, ...versus, ...COSTS, "few", "many"]];
  for (const block of shownBlocks()) {
    for (const method of rowsOf()) {
      const line = lineOf(block, method);
      const costs = line && [secondsOf(line), line.cost];
      for (const group of block.groups.filter((name) => line?.cells[name])) {
        const cell = cellOf(line, group);
        const found = versus.length && method !== reference() ? differencesOf(block, group).get(method) : {};
        lines.push([
          block.protocol, block.dataset, block.setting, DATA.methods[method], group, ...CELL_FIELDS.map((name) => cell[name]),
          ...sayingOf(cell),
          ...(versus.length ? [view.versus, ...DIFFERENCE_FIELDS.map((name) => found[name])] : []),
          ...costs, few, many,
        ]);
      }
    }
  }
  return lines.map((fields) => fields.map(inCsv).join(",")).join("\n") + "\n";
}

function sayingOf({ stderr, n }) {
  const spread = stderr === null ? [] : [stderr * Math.sqrt(n), DATA.statistics.quantile[n] * stderr];
  return [spread[0], spread[1], view.metric === "worst" ? "worst_class" : COUNTED ? "balanced_accuracy" : DATA.measure.name];
}

function inCsv(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "True" : "False";
  // What a spreadsheet would take for a formula gets an apostrophe, as in the report's CSV.
  const text = (typeof value === "string" && /^[=+\-@]/.test(value) ? "'" : "") + value;
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
