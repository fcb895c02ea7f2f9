// Which classes a method takes for which: the mean over its seeds, as a matrix where the classes are few, and as a list
// of the largest confusions.
const LISTED = 12;
const DEEPEST = 45; // percent of the mark's colour behind a share of 100: text stays readable on it

function confusionOf(line, group) {
  const found = behindOf(line).mistakes;
  const profile = trialsOf(line).find((trial) => trial.right)?.profile;
  if (!found || profile === undefined) return [];
  const { tests, classes } = DATA.profiles[profile];
  const name = (place) => classes[place] ?? `class ${place}`;
  const shown = new Set(classesOf(profile, group));
  if (!shown.size) return [];
  const seeds = found.seeds === 1 ? "one seed" : `mean over ${found.seeds} seeds`;
  const share = (place, images) => (100 * images) / found.seeds / tests[place];
  return [
    element("h3", {}, `What is taken for what (${seeds})`),
    ...(found.matrix ? matrixOf(found, tests, name, share, shown) : []),
    ...largestOf(found, tests, name, share, shown),
  ];
}

function matrixOf({ matrix, seeds }, tests, name, share, shown) {
  const rows = matrix.map((images, place) => [place, images]).filter(([place]) => shown.has(place));
  const cell = (place, taken, images) => {
    const text = [`${share(place, images).toFixed(1)}`, element("small", {}, imagesText(images / seeds))];
    const made = element("td", place === taken ? { class: "right" } : {}, ...text);
    made.style.background = `color-mix(in srgb, var(--mark) ${((DEEPEST * share(place, images)) / 100).toFixed(1)}%, var(--ground))`;
    return made;
  };
  return [
    element("p", { class: "small" }, `A row for each class, a column for what its test ${EXAMPLES} are taken for: percent of the row, and below how many.`),
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusion matrix" }, element("table", { class: "confusion" },
      element("thead", {}, element("tr", {}, element("th", {}, "Class"), ...matrix.map((_, place) => element("th", { scope: "col" }, element("span", {}, name(place)))))),
      element("tbody", {}, ...rows.map(([place, images]) => element("tr", {}, element("th", { scope: "row" }, `${name(place)} (${tests[place]})`), ...images.map((each, taken) => cell(place, taken, each))))))),
  ];
}

function largestOf({ matrix, worst, seeds }, tests, name, share, shown) {
  const all = worst ?? matrix.flatMap((row, place) => row.map((images, taken) => [place, taken, images]));
  const wrong = all.filter(([place, taken, images]) => place !== taken && images && shown.has(place));
  const first = wrong.sort((a, b) => share(b[0], b[2]) - share(a[0], a[2])).slice(0, worst ? worst.length : LISTED);
  if (!first.length) return [element("p", {}, worst ? `None of the ${worst.length} largest confusions is of these classes.` : `None of the ${EXAMPLES} of these classes is taken for another.`)];
  const head = ["Class", "taken for", `% of its ${EXAMPLES}`, EXAMPLES];
  const cells = ([place, taken, images]) => [name(place), name(taken), share(place, images).toFixed(1), `${imagesText(images / seeds)} of ${tests[place]}`];
  return [
    element("p", { class: "small" }, worst ? `The ${worst.length} largest confusions of all classes${first.length < worst.length ? `, of which ${first.length} are of these` : ""}.` : "The largest confusions."),
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The largest confusions" }, element("table", { class: "seeds confusions" },
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...first.map((each) => element("tr", {}, ...cells(each).map((text) => element("td", {}, text))))))),
  ];
}

const imagesText = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(1));
