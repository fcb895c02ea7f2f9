// The words and axes of the charts, as Plotly takes them.

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

function layoutOf(x, y, names, room) {
  const [text, grid] = [styleOf("--text"), styleOf("--rule")];
  const axis = { gridcolor: grid, zeroline: false, linecolor: text, tickcolor: text, automargin: true };
  const beside = room < 440 ? 1 : 2; // names of the legend, which stands below: beside the chart it would leave that no width
  const legend = 18 * linesOfLegend(names, beside);
  return {
    xaxis: { ...axis, ...x }, yaxis: { ...axis, ...y },
    font: { family: "system-ui, sans-serif", size: 13, color: text },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 12, t: 12, b: 64 + legend },
    height: 340 + legend,
    showlegend: names.length > 0,
    legend: { orientation: "h", x: 0, xref: "container", yref: "container", y: 0, yanchor: "bottom", entrywidth: 1 / beside, entrywidthmode: "fraction", font: { size: 12 }, maxheight: legend + 24 },
    hoverlabel: { align: "left", font: { family: "system-ui, sans-serif" } },
    hovermode: "closest",
  };
}

/** How many lines of text a legend has, where so many names stand beside each other. */
function linesOfLegend(names, beside) {
  const lines = names.map((name) => name.split("<br>").length);
  return lines.reduce((sum, _, place) => sum + (place % beside ? 0 : Math.max(...lines.slice(place, place + beside))), 0);
}

/** An axis of a logarithmic scale, with whole numbers at its ticks. */
function logarithmic(title, values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const steps = high / low > 200 ? [1] : high / low > 4 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8];
  const tickvals = [];
  for (let power = -6; power < 9; power += 1) for (const step of steps) tickvals.push(Number(`${step}e${power}`));
  const pad = Math.max(0.05 * Math.log10(high / low), 0.05);
  return { title: across(title), type: "log", tickvals, ticktext: tickvals.map(String), range: [Math.log10(low) - pad, Math.log10(high) + pad] };
}

const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"] };
