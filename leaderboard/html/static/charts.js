// The charts, of the first methods in the table's order: filter or sort the table to see others.
const MOST_LINES = 12;
const MOST_DOTS = 40;

const linesOf = (most) => rowsOf().map((method) => lineOf(chartedBlock(), method)).filter(Boolean).slice(0, most);
const complete = (line) => trialsOf(line).filter((trial) => trial.status === "complete");
const nameOfLine = (line) => DATA.methods[line.method];

/** Mean accuracy of each class over the seeds, against the training images of the class. */
function classChart() {
  const traces = linesOf(MOST_LINES).flatMap((line) => {
    const trials = complete(line).filter((trial) => trial.right);
    if (!trials.length) return [];
    const { counts, classes } = DATA.profiles[trials[0].profile];
    const order = counts.map((_, place) => place).sort((a, b) => counts[a] - counts[b]);
    const mean = (place) => trials.reduce((sum, trial) => sum + accuracyOf(trial, place), 0) / trials.length;
    const said = (place) => `${nameOfLine(line)}: ${mean(place).toFixed(1)} %, ${classes[place] ?? `class ${place}`}, ${counts[place]} training images`;
    return [traceOf(line, order.map((place) => counts[place]), order.map(mean), order.map(said))];
  });
  return {
    traces, x: logarithmic("training images of the class", traces.flatMap((trace) => trace.x)),
    y: { title: { text: "accuracy of the class (%)" }, range: [-3, 103] },
    missing: "No record of these trials says how each class was classified.",
  };
}

/** Each seed a dot, their mean a bar. */
function seedChart() {
  const lines = linesOf(MOST_DOTS).toReversed();
  const rows = lines.map((line, row) => [line, row, complete(line).map((trial) => [trial, valueOf(trial, view.group)]).filter(([, value]) => value !== null)]);
  const dots = rows.flatMap(([line, row, values]) => values.map(([trial, value]) => ({ row, value, said: `${nameOfLine(line)}, seed ${trial.seed}: ${value.toFixed(2)} %` })));
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
      points(dots, { symbol: "circle-open", size: 9, color: COLOURS[0], line: { width: 2 } }),
    ] : [],
    x: { title: across(`${measured(view.group)} (%)`) },
    y: { tickvals: lines.map((_, row) => row), ticktext: lines.map((line) => wrapped(nameOfLine(line), narrow() ? 14 : 24)), range: [-0.7, lines.length - 0.3] },
    height: 130 + 34 * lines.length,
    missing: "No seed of these methods is finished.",
  };
}

/** The training loss of each epoch, as the mean over the seeds. */
function learningChart() {
  const traces = linesOf(MOST_LINES).filter((line) => behindOf(line).curve).map((line) => {
    const { epoch, loss } = behindOf(line).curve;
    const said = epoch.map((number, place) => `${nameOfLine(line)}, epoch ${number}: ${loss[place]}`);
    return traceOf(line, epoch, loss, said, epoch.length > 30 ? "lines" : "lines+markers");
  });
  return {
    traces, x: counting("epoch", traces), y: { title: { text: "training loss" } },
    missing: "The store holds no curve of these trials.",
  };
}

/** Mean accuracy against the device seconds that one training took. */
function costChart() {
  const traces = linesOf(MOST_DOTS).flatMap((line) => {
    const [cell, seconds] = [cellOf(line, view.group), complete(line).map((trial) => trial.seconds).filter((each) => each > 0)];
    if (!seconds.length || !cell || cell.mean === null) return [];
    const { mean } = meanAndError(seconds);
    const trace = traceOf(line, [mean], [cell.mean], [`${nameOfLine(line)}: ${cellText(cell)} % in ${mean.toPrecision(3)} device seconds`], "markers");
    return [{ ...trace, error_y: { type: "data", array: [cell.stderr ?? 0], color: trace.marker.color, thickness: 1 } }];
  });
  return {
    traces, x: logarithmic("device seconds of one training", traces.flatMap((trace) => trace.x)),
    y: { title: upwards(`${measured(view.group)} (%)`) },
    missing: "No seed of these methods is finished.",
  };
}

/** The expected best of K tuning trials, for every K. */
function budgetChart() {
  const block = chartedBlock();
  const traces = linesOf(MOST_LINES).flatMap((line) => {
    const here = (row) => ["dataset", "setting", "protocol"].every((word) => row[word] === block[word]) && row.method === nameOfLine(line);
    const points = DATA.budget.filter((row) => here(row) && row.expected_best !== null);
    const said = (row) => `${nameOfLine(line)}, ${row.trials} trials: ${row.expected_best.toFixed(2)} % expected of any, ${row.best_so_far?.toFixed(2) ?? NONE} % found by the first`;
    return points.length ? [traceOf(line, points.map((row) => row.trials), points.map((row) => row.expected_best), points.map(said))] : [];
  });
  return {
    traces, x: counting("tuning trials", traces),
    y: { title: { text: `expected best<br>${inert(DATA.metric)} (%)` } },
    missing: "Nothing was tuned in this table.",
  };
}

/** An axis of whole numbers from 0. */
const counting = (title, traces) => ({
  title: across(title), rangemode: "tozero", ...(Math.max(0, ...traces.flatMap((trace) => trace.x)) <= 10 && { dtick: 1 }),
});

const traceOf = (line, x, y, said, mode = "lines+markers") => ({
  type: "scatter", mode, x, y, name: wrapped(nameOfLine(line)), hovertext: said.map((text) => wrapped(text, 60)), hoverinfo: "text", ...lookOf(line.method),
});

const CHARTS = { classes: classChart, seeds: seedChart, learning: learningChart, cost: costChart, budget: budgetChart };
