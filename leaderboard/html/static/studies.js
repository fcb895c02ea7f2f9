// The figures of the studies, drawn from their points: the values are shown at each point, and each is saved as SVG and CSV.
const readable = (number) => String(Number(number.toPrecision(5)));

/** What a point of a curve says. */
function saidOf(point) {
  const spread = point.stderr !== null ? ` ± ${readable(point.stderr)}` : point.low !== null ? `, from ${readable(point.low)} to ${readable(point.high)}` : "";
  return `${point.curve}, ${readable(point.x)}: ${readable(point.mean)}${spread} (n=${point.n})`;
}

/** One standard error or, where there is one in its place, the band from low to high. */
function errorBarsOf(points, color) {
  if (points.every(({ low }) => low === null)) return { type: "data", array: points.map(({ stderr }) => stderr ?? 0), color, thickness: 1 };
  const [array, arrayminus] = [points.map(({ high, mean }) => high - mean), points.map(({ low, mean }) => mean - low)];
  return { type: "data", symmetric: false, array, arrayminus, color, thickness: 1 };
}

function traceOfCurve(curve, points, place) {
  const color = COLOURS[place % COLOURS.length];
  return {
    type: "scatter", mode: "lines+markers", x: points.map(({ x }) => x), y: points.map(({ mean }) => mean), name: wrapped(curve, 18),
    hovertext: points.map((point) => wrapped(saidOf(point), 60)), hoverinfo: "text", error_y: errorBarsOf(points, color),
    marker: { color, symbol: MARKERS[place % MARKERS.length], size: 8 }, line: { color, dash: DASHES[place % DASHES.length], width: 2 },
  };
}

/** The curves of one quantity in one panel of a study's figure. */
function studyChart({ axis, points }) {
  const curves = [...new Set(points.map(({ curve }) => curve))];
  const traces = curves.map((curve, place) => traceOfCurve(curve, points.filter((point) => point.curve === curve), place));
  const xs = points.map(({ x }) => x);
  const ends = [Math.min(...xs), Math.max(...xs)];
  const straight = (y, dash) => ({ type: "scatter", mode: "lines", x: ends, y, hoverinfo: "skip", showlegend: false, line: { color: styleOf("--text"), dash, width: 1 } });
  if (axis.diagonal) traces.push(straight(ends, "dot"));
  if (axis.zero) traces.push(straight([0, 0], "dot"));
  const scale = (words, log, values) => (log && Math.min(...values) > 0 ? logarithmic(words, values) : { title: across(words) });
  return {
    traces: points.length ? traces : [], x: scale(axis.x, axis.log_x, xs),
    y: { ...scale(axis.y, axis.log_y, points.map(({ mean }) => mean)), title: upwards(axis.y) },
    table: [["curve", axis.x, axis.y, "standard error", "n", "low", "high"], ...points.map((p) => [p.curve, p.x, p.mean, p.stderr, p.n, p.low, p.high])],
    missing: "No seed of these trials is finished.",
  };
}

for (const [name, chart] of Object.entries(DATA.studies ?? {})) CHARTS[name] = () => studyChart(chart);
