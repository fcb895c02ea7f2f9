// The charts, of the methods in the table's order: filter or sort the table to see others. Each returns its traces, axes, the
// sentence where there is nothing to draw, and the table that its CSV holds.
const MOST_LINES = 20;
const MOST_DOTS = 40;

const chartedLines = () => rowsOf().map((method) => lineOf(chartedBlock(), method)).filter(Boolean);
const linesOf = (most) => chartedLines().slice(0, most);
const complete = (line) => trialsOf(line).filter((trial) => trial.status === "complete");
const nameOfLine = (line) => DATA.methods[line.method];

/** The lines that are drawn: the first rows, and every coloured method; the grey ones first, so that none lies above. */
function drawnLines() {
  const lines = chartedLines().filter((line, place) => place < MOST_LINES || coloured.has(line.method));
  return [...lines.filter((line) => !coloured.has(line.method)), ...lines.filter((line) => coloured.has(line.method))];
}

/** Mean accuracy of each class over the seeds, against the training images of the class. */
function classChart() {
  const table = [["method", "class", `training ${EXAMPLES}`, "accuracy (%)"]];
  const traces = drawnLines().flatMap((line) => {
    const trials = complete(line).filter((trial) => trial.right);
    if (!trials.length) return [];
    const { counts, classes } = DATA.profiles[trials[0].profile];
    const order = counts.map((_, place) => place).sort((a, b) => counts[a] - counts[b]);
    const mean = (place) => trials.reduce((sum, trial) => sum + accuracyOf(trial, place), 0) / trials.length;
    const named = (place) => classes[place] ?? `class ${place}`;
    const said = (place) => `${nameOfLine(line)}: ${mean(place).toFixed(1)} %, ${named(place)}, ${counts[place]} training ${EXAMPLES}`;
    table.push(...order.map((place) => [nameOfLine(line), named(place), counts[place], mean(place)]));
    return [traceOf(line, order.map((place) => counts[place]), order.map(mean), order.map(said))];
  });
  return {
    traces, table, x: logarithmic(`training ${EXAMPLES} of the class`, traces.flatMap((trace) => trace.x)),
    y: { title: { text: "accuracy of the class (%)" }, range: [-3, 103] },
    missing: "No record of these trials says how each class was classified.",
  };
}

/** Each seed a dot, their mean a bar. */
function seedChart() {
  const lines = linesOf(MOST_DOTS).toReversed();
  const rows = lines.map((line, row) => [line, row, complete(line).map((trial) => [trial, valueOf(trial, chartedGroup())]).filter(([, value]) => value !== null)]);
  const dots = rows.flatMap(([line, row, values]) => values.map(([trial, value]) => ({ row, value, line, seed: trial.seed, said: `${nameOfLine(line)}, seed ${trial.seed}: ${value.toFixed(2)} %` })));
  const bars = rows.filter(([, , values]) => values.length).map(([line, row, values]) => {
    const { mean } = meanAndError(values.map(([, value]) => value));
    return { row, value: mean, said: `${nameOfLine(line)}, mean of ${values.length}: ${mean.toFixed(2)} %` };
  });
  const points = (some, marker) => ({
    type: "scatter", mode: "markers", x: some.map((one) => one.value), y: some.map((one) => one.row),
    hovertext: some.map((one) => wrapped(one.said, 60)), hoverinfo: "text", marker, showlegend: false,
  });
  const colour = styleOf("--text");
  return {
    traces: dots.length ? [
      points(bars, { symbol: "line-ns-open", size: 22, color: colour, line: { width: 3, color: colour } }),
      points(dots, { symbol: "circle-open", size: 9, color: dots.map((dot) => lookOf(dot.line.method).marker.color), line: { width: 2 } }),
    ] : [],
    table: [["method", "seed", `${measured(chartedGroup())} (%)`], ...dots.map(({ line, seed, value }) => [nameOfLine(line), seed, value])],
    x: { title: across(`${measured(chartedGroup())} (%)`) },
    y: { tickvals: lines.map((_, row) => row), ticktext: lines.map((line) => wrapped(nameOfLine(line), narrow() ? 14 : 24)), range: [-0.7, lines.length - 0.3] },
    height: 160 + 34 * lines.length,
    missing: "No seed of these methods is finished.",
  };
}

/** The training loss of each epoch, as the mean over the seeds. */
function learningChart() {
  const lines = drawnLines().filter((line) => behindOf(line).curve);
  const traces = lines.map((line) => {
    const { epoch, loss } = behindOf(line).curve;
    const said = epoch.map((number, place) => `${nameOfLine(line)}, epoch ${number}: ${loss[place]}`);
    return traceOf(line, epoch, loss, said, epoch.length > 30 ? "lines" : "lines+markers");
  });
  const rows = lines.flatMap((line) => behindOf(line).curve.epoch.map((epoch, place) => [nameOfLine(line), epoch, behindOf(line).curve.loss[place]]));
  return {
    traces, table: [["method", "epoch", "training loss"], ...rows], x: counting("epoch", traces), y: { title: { text: "training loss" } },
    missing: "The store holds no curve of these trials.",
  };
}

/** Mean accuracy against the device seconds that one training took, and the front of what no method beats in both. */
function costChart() {
  const points = chartedLines().flatMap((line) => {
    const [cell, seconds] = [cellOf(line, chartedGroup()), complete(line).map((trial) => trial.seconds).filter((each) => each > 0)];
    if (!seconds.length || !cell || cell.mean === null) return [];
    const { mean } = meanAndError(seconds);
    return [{ line, x: mean, y: cell.mean, stderr: cell.stderr, said: `${nameOfLine(line)}: ${cellText(cell)} % in ${mean.toPrecision(3)} device seconds${timesErm(line)}` }];
  });
  const front = paretoFront(points);
  const colour = styleOf("--text");
  const grey = points.filter(({ line }) => !coloured.has(line.method));
  const traces = points.length ? [
    { type: "scatter", mode: "lines", x: front.map((one) => one.x), y: front.map((one) => one.y), name: "Pareto front", hoverinfo: "skip", line: { shape: "hv", dash: "dot", width: 1.5, color: colour } },
    ...(grey.length ? [{ ...traceOf(grey[0].line, grey.map((one) => one.x), grey.map((one) => one.y), grey.map((one) => one.said), "markers"), showlegend: false }] : []),
    ...points.filter(({ line }) => coloured.has(line.method)).map(({ line, x, y, stderr, said }) => {
      const trace = traceOf(line, [x], [y], [said], "markers");
      return { ...trace, error_y: { type: "data", array: [stderr ?? 0], color: trace.marker.color, thickness: 1 } };
    }),
  ] : [];
  const value = `${measured(chartedGroup())} (%)`;
  return {
    traces, x: logarithmic("device seconds of one training", points.map((one) => one.x)), y: { title: upwards(value) },
    table: [["method", "device seconds of one training", "trainings of ERM on the same machine", value, "standard error", "on the Pareto front"],
      ...points.map((one) => [nameOfLine(one.line), one.x, one.line.cost ?? "", one.y, one.stderr, front.includes(one)])],
    missing: "No seed of these methods is finished.",
  };
}

/** The points that no other beats in both, from the cheapest to the dearest. */
function paretoFront(points) {
  const front = [];
  for (const point of points.toSorted((a, b) => a.x - b.x || b.y - a.y)) {
    if (!front.length || point.y > front.at(-1).y) front.push(point);
  }
  return front;
}

/** The expected best of K tuning trials, for every K. */
function budgetChart() {
  const block = chartedBlock();
  const table = [["method", "tuning trials", `expected best ${DATA.metric} (%)`, "best of the first (%)"]];
  const traces = drawnLines().flatMap((line) => {
    const here = (row) => ["dataset", "setting", "protocol"].every((word) => row[word] === block[word]) && row.method === nameOfLine(line);
    const points = DATA.budget.filter((row) => here(row) && row.expected_best !== null);
    const said = (row) => `${nameOfLine(line)}, ${row.trials} trials: ${row.expected_best.toFixed(2)} % expected of any, ${row.best_so_far?.toFixed(2) ?? NONE} % found by the first`;
    table.push(...points.map((row) => [nameOfLine(line), row.trials, row.expected_best, row.best_so_far]));
    return points.length ? [traceOf(line, points.map((row) => row.trials), points.map((row) => row.expected_best), points.map(said))] : [];
  });
  return {
    traces, table, x: counting("tuning trials", traces),
    y: { title: { text: `expected best<br>${inert(DATA.metric)} (%)` } },
    missing: "Nothing was tuned in this table.",
  };
}

/** An axis of whole numbers from 0. */
const counting = (title, traces) => ({
  title: across(title), rangemode: "tozero", ...(Math.max(0, ...traces.flatMap((trace) => trace.x)) <= 10 && { dtick: 1 }),
});

const traceOf = (line, x, y, said, mode = "lines+markers") => ({
  type: "scatter", mode, x, y, name: wrapped(nameOfLine(line), 18), hovertext: said.map((text) => wrapped(text, 60)), hoverinfo: "text",
  showlegend: coloured.has(line.method), ...lookOf(line.method),
});

const CHARTS = { cost: costChart, classes: classChart, seeds: seedChart, learning: learningChart, budget: budgetChart };
