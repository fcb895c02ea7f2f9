// What each cell comes to. As the report counts, Python has computed it; with other thresholds or another metric it is
// computed here, from the rightly classified test images of each class.
let computed = new Map(); // what was computed since the thresholds or the metric last changed
let computedFor = "";

function remembered(key, make) {
  const now = JSON.stringify([view.few, view.many, view.metric]);
  if (now !== computedFor) [computed, computedFor] = [new Map(), now];
  if (!computed.has(key)) computed.set(key, make());
  return computed.get(key);
}

/** The places of a group's classes. */
function classesOf(profile, group) {
  const all = DATA.profiles[profile];
  const boundaries = thresholds();
  return remembered(`${profile} ${group}`, () =>
    all.counts.map((_, place) => place).filter((place) => {
      if (group === "all") return true;
      if (!boundaries) return all.groups[place] === group;
      const [few, many] = boundaries;
      const count = all.counts[place];
      return group === (count < few ? "few" : count > many ? "many" : "med");
    }),
  );
}

/** A trial's value in a group, in percent; null where it did not finish or the group has no classes. */
function valueOf(trial, group) {
  if (reported()) return trial.values[group] ?? null;
  if (!trial.right) return null;
  const at = classesOf(trial.profile, group);
  if (!at.length) return null;
  const accuracy = at.map((place) => accuracyOf(trial, place));
  return view.metric === "worst" ? Math.min(...accuracy) : accuracy.reduce((sum, each) => sum + each, 0) / at.length;
}

const accuracyOf = (trial, place) => (100 * trial.right[place]) / DATA.profiles[trial.profile].tests[place];

function cellOf(line, group) {
  const told = line.cells[group];
  if (!told || reported()) return told;
  return remembered(line, () => new Map(GROUPS.map((name) => [name, counted(line, name)]))).get(group);
}

function counted(line, group) {
  const values = trialsOf(line).map((trial) => valueOf(trial, group)).filter((value) => value !== null);
  const finished = trialsOf(line).filter((trial) => trial.status === "complete").length;
  const missing = trialsOf(line).filter((trial) => trial.status === "missing").length;
  const [n, planned] = [values.length, trialsOf(line).length];
  const failed = planned - finished - missing;
  const status =
    n === planned ? "complete" : n ? "incomplete" : finished ? "n/a" : failed ? "failed" : "missing";
  const reason = status === "n/a" ? "0 classes" : line.cells.all?.reason ?? "";
  return { ...meanAndError(values), n, planned, failed, status, reason, verified: line.cells[group]?.verified ?? true };
}

/** Mean and standard error (n - 1 in the variance); null where there are too few values. */
function meanAndError(values) {
  const n = values.length;
  const mean = n ? values.reduce((sum, each) => sum + each, 0) / n : null;
  const variance = n > 1 ? values.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (n - 1) : null;
  return { mean, stderr: n > 1 ? Math.sqrt(variance / n) : null };
}
