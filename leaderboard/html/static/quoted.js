// What was published, below all that was measured: what it says of the measured cells, then each source folded away,
// for it is other code, other seeds, other subsets.

function showPublished() {
  const shown = view.published === "on" && DATA.published.length > 0;
  by("published-section").hidden = !shown;
  if (!shown) return;
  by("published-tables").replaceChildren(...besideTables().map((table) => tableOf(table, "beside")), ...quotedTables().map(folded));
}

/** What the report prints of measured cells beside published rows, of the data sets and methods that are shown. */
function besideTables() {
  const blocks = new Set(shownBlocks().map((block) => `${block.dataset}, ${shownSetting(block)}`.trim()));
  return (DATA.beside[view.protocol] ?? []).map((table) => ({
    ...table,
    rows: table.rows.filter(([method, data]) => named(method) && blocks.has(data)),
    notes: [...(reported() ? [] : ["Measured here as the report itself counts, not by the metric or the boundaries of this view."]), ...table.notes],
  })).filter((table) => table.rows.length);
}

const named = (method) => method.toLowerCase().includes(view.method.toLowerCase());

/** Each source, those with a counterpart of a measured row first. */
function quotedTables() {
  const measured = new Set(shownBlocks().flatMap((block) => rowsOf().map((method) => `${DATA.methods[method]}\n${block.dataset}`)));
  const sources = [...new Set(DATA.published.map((row) => row.source))];
  const tables = sources.map((source) => quotedTable(source, DATA.published.filter((row) => row.source === source), measured));
  return [...tables.filter((table) => table.met), ...tables.filter((table) => !table.met)];
}

function quotedTable(source, quoted, measured) {
  const place = (row) => `${row.dataset}, ${row.setting}: ${titled(row.group)}`;
  const columns = [...new Set(quoted.map(place))];
  const methods = [...new Set(quoted.map((row) => row.method))].filter(named);
  const texts = new Map(quoted.map((row) => [`${row.method}\n${place(row)}`, decimal(row.mean) + (row.stderr === null ? "" : ` ± ${decimal(row.stderr)}`)]));
  return {
    met: quoted.some((row) => measured.has(`${row.method}\n${row.dataset}`)),
    source,
    title: `Published (quoted, not measured): ${source}`,
    head: ["Method", ...columns],
    rows: methods.map((name) => [`${name} (published)`, ...columns.map((column) => texts.get(`${name}\n${column}`) ?? NONE)]),
    notes: [DATA.quoted, ...DATA.ways[source],
      ...new Set(quoted.filter((row) => row.note).map((row) => `${row.dataset}: ${row.note}.`))],
  };
}

function folded(table) {
  const summary = `${table.source} (${table.rows.length} ${table.rows.length === 1 ? "row" : "rows"}${table.met ? ", some of methods and data sets that are measured here" : ""})`;
  return element("details", {}, element("summary", {}, summary), tableOf(table, "quoted"));
}

const tableOf = ({ title, head, rows, notes }, kind) =>
  element("div", {},
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
      element("table", { class: kind },
        element("caption", {}, title),
        element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
        element("tbody", {}, ...rows.map(([name, ...texts]) => element("tr", {}, element("th", { scope: "row" }, name), ...texts.map((text) => element("td", {}, text))))))),
    element("ul", { class: "small" }, ...notes.map((note) => element("li", {}, note))));
