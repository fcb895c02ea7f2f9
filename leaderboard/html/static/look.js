// How lines look. A method keeps its look whatever is sorted or left out; seven markers and four dashes have no common
// factor, so that 28 methods differ without any colour. The colours are Okabe and Ito's.
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", null]; // null: the colour of text
const MARKERS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"];
const DASHES = ["solid", "dash", "dashdot", "dot"];

const dark = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");
const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function lookOf(method) {
  const colour = COLOURS[method % COLOURS.length] ?? styleOf("--text");
  return { marker: { color: colour, symbol: MARKERS[method % MARKERS.length], size: 8 }, line: { color: colour, dash: DASHES[method % DASHES.length], width: 2 } };
}

/** Plotly reads tags, entities and formulas in its texts; a name is none of them. */
const inert = (text) => text.replace(/[&<>$]/g, (c) => `&#${c.charCodeAt(0)};`);

const narrow = () => innerWidth < 640;

/** A name over several lines, so that a legend does not push its chart aside. */
const wrapped = (text, width = 28) => inLines(broken(text, width).slice(0, 3));

/** The title of an axis, over as many lines as it needs. */
const across = (text) => ({ text: inLines(broken(text, narrow() ? 20 : 40)) });
const upwards = (text) => ({ text: inLines(broken(text, 30)) });

const inLines = (lines) => lines.map(inert).join("<br>");

function broken(text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if ((lines.at(-1) + word).length > width && lines.at(-1)) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word.slice(0, 60);
  }
  return lines;
}

function layoutOf(x, y, entries, room) {
  const [text, grid] = [styleOf("--text"), styleOf("--rule")];
  const axis = { gridcolor: grid, zeroline: false, linecolor: text, tickcolor: text, automargin: true };
  const below = room < 640; // a legend beside the chart would leave it no width
  return {
    xaxis: { ...axis, ...x }, yaxis: { ...axis, ...y },
    font: { family: "system-ui, sans-serif", size: 13, color: text },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 12, t: 12, b: 48 },
    height: 360 + (below ? 24 * entries : 0),
    showlegend: entries > 0,
    legend: below ? { orientation: "h", x: 0, y: -0.25, yanchor: "top", entrywidth: 1, entrywidthmode: "fraction" } : { x: 1.02, y: 1 },
    hoverlabel: { align: "left", font: { family: "system-ui, sans-serif" } },
    hovermode: "closest",
  };
}

/** An axis of a logarithmic scale, with whole numbers at its ticks. */
function logarithmic(title, values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const steps = high / low > 200 ? [1] : high / low > 4 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8];
  const tickvals = [];
  for (let power = -3; power < 9; power += 1) for (const step of steps) tickvals.push(Number(`${step}e${power}`));
  const pad = Math.max(0.05 * Math.log10(high / low), 0.05);
  return { title: across(title), type: "log", tickvals, ticktext: tickvals.map(String), range: [Math.log10(low) - pad, Math.log10(high) + pad] };
}

const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"] };
