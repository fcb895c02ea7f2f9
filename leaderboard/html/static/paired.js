// Differences to any reference, by the rule of leaderboard/statistics/paired.py: paired by seed, Student's t, Holm over the
// methods of the column. A test holds the two together.

/** The two-sided p-value of Student's t at a whole number of degrees of freedom. */
function twoSided(t, freedom) {
  const p = 1 - within(t, freedom);
  return p < 1e-3 ? tails(t, freedom) : p; // the difference of two numbers that are nearly 1 has few right digits
}

/** The probability of a smaller t, whatever its sign (Abramowitz and Stegun 26.7.3, 26.7.4). */
function within(t, freedom) {
  const angle = Math.atan(Math.abs(t) / Math.sqrt(freedom));
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  const odd = freedom % 2 === 1;
  let term = odd ? cosine : 1;
  let sum = freedom > 1 ? term : 0;
  for (let k = odd ? 3 : 2; k <= freedom - 2; k += 2) {
    term *= (cosine ** 2 * (k - 1)) / k;
    sum += term;
  }
  return odd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum;
}

/** The probability of a larger t, whatever its sign, where that is small: the incomplete beta function of
 * freedom / (freedom + t^2), freedom / 2 and 1/2, as a power series (Abramowitz and Stegun 26.5.4, 26.7.1). */
function tails(t, freedom) {
  const [x, a] = [freedom / (freedom + t * t), freedom / 2];
  let beta = freedom % 2 === 1 ? Math.PI : 2;
  for (let half = freedom % 2 === 1 ? 0.5 : 1; half < a; half += 1) beta *= half / (half + 0.5);
  let [term, sum] = [1, 1 / a];
  for (let k = 1; term > 1e-17; k += 1) {
    term *= ((k - 0.5) / k) * x;
    sum += term / (a + k);
  }
  return (x ** a * sum) / beta;
}

/** Holm's step-down adjusted p-values, in the order given. */
function holm(p) {
  const order = p.map((_, place) => place).sort((a, b) => p[a] - p[b]);
  const adjusted = [];
  let largest = 0;
  order.forEach((place, step) => {
    largest = Math.max(largest, p[place] * (p.length - step));
    adjusted[place] = Math.min(largest, 1);
  });
  return adjusted;
}

/** Every line of a column minus that of the reference, by method. */
function differencesOf(block, group) {
  return remembered(`differences ${BLOCK_OF.get(block)} ${group} ${view.versus}`, () => judged(block, group));
}

function judged(block, group) {
  const zero = lineOf(block, reference());
  const others = [...LINES[BLOCK_OF.get(block)].values()].filter((line) => line !== zero && line.cells[group]);
  const found = others.map((line) => difference(line, zero, group, others.length));
  const adjusted = holm(found.map((one) => (one.silent ? 1 : one.p)));
  found.forEach((one, place) => {
    one.p_holm = one.silent ? null : adjusted[place];
    one.verdict = one.silent ? "" : adjusted[place] >= DATA.statistics.alpha ? "not separable" : one.difference > 0 ? "better" : "worse";
  });
  return new Map(others.map((line, place) => [line.method, found[place]]));
}

function difference(line, zero, group, family) {
  const { fewest, no_spread, quantile, detectable } = DATA.statistics;
  const seeds = new Map((zero ? trialsOf(zero) : []).map((trial) => [trial.seed, trial]));
  const pairs = trialsOf(line).filter((trial) => seeds.has(trial.seed)).map((trial) => [trial, seeds.get(trial.seed)]);
  const both = pairs.map((pair) => pair.map((trial) => valueOf(trial, group))).filter((pair) => !pair.includes(null));
  const { mean, stderr } = meanAndError(both.map(([ours, theirs]) => ours - theirs));
  const n = both.length;
  const settled =
    zero && [line, zero].every((one) => cellOf(one, group)?.status === "complete") &&
    pairs.every(([ours, theirs]) => ours.verified === theirs.verified);
  const spread = stderr !== null && stderr > no_spread ? stderr : null;
  const p = spread === null ? null : twoSided(mean / spread, n - 1);
  const half = spread === null ? null : quantile[n] * spread;
  return {
    difference: mean, stderr, n, p,
    ci95_low: half === null ? null : mean - half,
    ci95_high: half === null ? null : mean + half,
    silent: !settled || n < fewest || p === null,
    detectable: spread === null ? null : spread * detectable[n][family],
  };
}
