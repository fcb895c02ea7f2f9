// The cards: what a method is and costs, and what a data set is, in the dialog that shows what stands behind a cell.

function showMethodCard(method) {
  const card = DATA.cards.methods[DATA.methods[method]] ?? {};
  by("behind-title").textContent = DATA.methods[method];
  by("behind-body").replaceChildren(
    ...(card.description ? [element("p", { class: "sentence" }, card.description)] : []),
    chooser(method),
    listOf(factsOfMethod(card)),
    ...measuredOf(method),
  );
  by("behind").showModal();
  by("behind").scrollTop = 0;
}

/** What a method is, shown where the pointer rests on its name. */
function tipOf(method) {
  const { description, year } = DATA.cards.methods[DATA.methods[method]] ?? {};
  return description ? { title: description + (year ? ` (${year})` : "") } : {};
}

function factsOfMethod({ source, year, parts, cost }) {
  const slots = Object.entries(parts ?? {}).map(([slot, part]) => `${slot}: ${part}`).join(", ");
  return [
    ["paper", source ? linked(source) : ""], ["year", year], ["parts", parts && (slots || "none: the training routine alone")],
    ["cost", cost && `a step is about as long as ${cost} of ERM's, as its registration says`],
  ].filter(([, text]) => text).map(([name, text]) => [name, typeof text === "object" ? text : String(text)]);
}

/** The text with each arXiv number as a link to its page, which is fetched only where it is followed. */
function linked(text) {
  const parts = text.split(/(arXiv[: ]\d{4}\.\d{4,5})/).map((part) => {
    const number = /^arXiv[: ](\d{4}\.\d{4,5})$/.exec(part)?.[1];
    return number ? element("a", { href: `https://arxiv.org/abs/${number}`, rel: "noreferrer", target: "_blank" }, part) : part;
  });
  return element("span", {}, ...parts);
}

/** A button that colours this method in the charts, or no longer. */
function chooser(method) {
  const chosen = chosenMethods().includes(method);
  const button = element("button", { type: "button", "aria-pressed": chosen }, chosen ? "Colour it no longer" : "Colour only it and other chosen methods in the charts");
  button.addEventListener("click", () => {
    choose(method);
    by("behind").close();
    show();
  });
  return element("p", {}, button);
}

/** What one training of the method took here, for each data set of the table. */
function measuredOf(method) {
  const rows = shownBlocks().flatMap((block) => {
    const line = lineOf(block, method);
    const ours = secondsOf(line);
    return ours === null ? [] : [[headerOf(block), `${ours.toPrecision(3)} device seconds a training${timesErm(line)}`]];
  });
  return rows.length ? [element("h3", {}, "Measured here"), listOf(rows)] : [];
}

/** How much longer than ERM on the same machine, in words; nothing where that is not known. */
const timesErm = (line) => (line.cost === undefined ? "" : `, ${line.cost} times ERM's on the same machine`);

function secondsOf(line) {
  const seconds = line ? complete(line).map((trial) => trial.seconds).filter((each) => each > 0) : [];
  return seconds.length ? meanAndError(seconds).mean : null;
}

function showDataCard(block) {
  const card = DATA.cards.data[block.dataset] ?? {};
  const trial = [...LINES[BLOCK_OF.get(block)].values()].flatMap(trialsOf).find((each) => each.profile !== undefined);
  const facts = [["setting", shownSetting(block)], ["source", card.description && linked(card.description)], ["terms", card.terms], ["verified", block.verified ? "every trial ran on a copy with the official checksums" : "not: the copy was not compared with official checksums"]];
  by("behind-title").textContent = titleOf(block);
  by("behind-body").replaceChildren(listOf(facts.filter(([, text]) => text)), ...(trial ? tailOf(DATA.profiles[trial.profile]) : [element("p", {}, "No trial is finished, so its counts are not known here.")]));
  by("behind").showModal();
  by("behind").scrollTop = 0;
}

/** The training images of each class: in a sentence, as a small chart, and as a table. */
function tailOf({ counts, tests, classes, groups }) {
  const order = counts.map((_, place) => place).sort((a, b) => counts[b] - counts[a]);
  const [most, least] = [counts[order[0]], counts[order.at(-1)]];
  const total = counts.reduce((sum, each) => sum + each, 0);
  const said = `${total} training ${EXAMPLES} of ${counts.length} classes, from ${most} down to ${least}: imbalance factor ${Number((most / least).toPrecision(3))}. ${tests.reduce((sum, each) => sum + each, 0)} test ${EXAMPLES}, ${[...new Set([Math.min(...tests), Math.max(...tests)])].join(" to ")} a class.`;
  const head = ["Class", `Training ${EXAMPLES}`, `Test ${EXAMPLES}`, "Group"];
  const rows = order.map((place) => [classes[place] ?? `class ${place}`, counts[place], tests[place], titled(groups[place])]);
  const texts = (tag, each) => element("tr", {}, ...each.map((text) => element(tag, tag === "th" ? { scope: "col" } : {}, String(text))));
  const table = element("table", { class: "seeds" }, element("thead", {}, texts("th", head)), element("tbody", {}, ...rows.map((row) => texts("td", row))));
  return [element("p", {}, said), barsOf(order.map((place) => counts[place]), order.map((place) => groups[place])),
    element("details", {}, element("summary", {}, "Each class"), element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Each class" }, table))];
}

/** A bar for each class, from the largest to the smallest; the groups are told apart by a word below as well. */
function barsOf(counts, groups) {
  const drawing = (tag, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const [width, height] = [600, 150];
  const step = width / counts.length;
  const bars = counts.map((count, place) => {
    const tall = Math.max((height * count) / counts[0], 1);
    return drawing("rect", { x: place * step, y: height - tall, width: Math.max(step - (step > 4 ? 1 : 0), 0.5), height: tall, class: `tail-${groups[place]}` });
  });
  const words = ["many", "med", "few"].filter((group) => groups.includes(group)).map((group) =>
    drawing("text", { x: groups.indexOf(group) * step, y: height + 18, class: "tail-word" }, `${titled(group)} (${groups.filter((each) => each === group).length})`));
  return drawing("svg", { viewBox: `0 0 ${width} ${height + 24}`, class: "tail", role: "img", "aria-label": `Training ${EXAMPLES} of each class, from the largest to the smallest` }, ...bars, ...words);
}
