// Each chart as an SVG that stands alone, with its title and the ground of the page, and its numbers as CSV.

function saveAs(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

async function saveSvg(name) {
  draw(name);
  const place = by(`chart-${name}`);
  if (place.hidden) return tell(by(`missing-${name}`).textContent);
  const { data, layout } = place;
  const title = { text: inert(titleOfChart(name)), x: 0.02, xanchor: "left" };
  const shown = { ...layout, title, paper_bgcolor: styleOf("--ground"), margin: { ...layout.margin, t: 48 }, height: layout.height + 36 };
  const size = { width: Math.max(place.clientWidth, 640), height: shown.height };
  const address = await Plotly.toImage({ data, layout: shown }, { format: "svg", ...size });
  saveAs(fileOfChart(name, "svg"), "image/svg+xml", decodeURIComponent(address.slice(address.indexOf(",") + 1)));
}

function saveCsv(name) {
  const { traces, table, missing } = CHARTS[name]();
  if (!traces.length) return tell(missing);
  saveAs(fileOfChart(name, "csv"), "text/csv", table.map((fields) => fields.map(inCsv).join(",")).join("\n") + "\n");
}

const ofStudy = (name) => name in (DATA.studies ?? {}); // its caption says what it is of, whatever block the others show
const captionOfChart = (name) => by(`chart-${name}`).closest("figure").querySelector("figcaption").textContent;
const titleOfChart = (name) => (ofStudy(name) ? captionOfChart(name) : `${captionOfChart(name)}: ${titleOf(chartedBlock())}`);
const fileOfChart = (name, ending) => `${(ofStudy(name) ? titleOfChart(name) : `${name}-${nameOf(chartedBlock())}`).replaceAll(/[^A-Za-z0-9]+/g, "-")}.${ending}`;

function listenDownloads() {
  for (const name of Object.keys(CHARTS)) {
    const save = (ending, act) => {
      const button = element("button", { type: "button", "aria-label": `${ending} of the chart` }, ending);
      button.addEventListener("click", () => loaded(() => act(name)));
      return button;
    };
    by(`chart-${name}`).closest("figure").append(element("p", { class: "buttons small" }, "Save as ", save("SVG", saveSvg), " ", save("CSV", saveCsv)));
  }
}
