// What stands behind a cell: its seeds, values, keys, machine, failures, and the command that trains each again.

function showBehind(block, method, group) {
  const line = lineOf(block, method);
  if (!line?.cells[group]) return;
  const cell = cellOf(line, group);
  by("behind-title").textContent = DATA.methods[method];
  by("behind-body").replaceChildren(
    element("p", { class: "small" }, `${block.protocol}; ${headerOf(block)}; ${measured(group)}`),
    ...summaryOf(cell, method, block, group),
    ...seedsOf(line, group),
    ...confusionOf(line, group),
    ...valuesOf(line),
    ...actedOf(line),
    element("h3", {}, "Each trial"),
    ...trialsOf(line).map((trial) => trialOf(trial, line)),
  );
  by("behind").showModal();
  by("behind").scrollTop = 0;
}

function summaryOf(cell, method, block, group) {
  const told = [`${cellText(cell)}${cell.reason && cell.status !== "n/a" ? `: ${cell.reason}` : ""}`];
  if (cell.stderr !== null) {
    const half = DATA.statistics.quantile[cell.n] * cell.stderr;
    told.push(
      `mean ${cell.mean.toFixed(3)}, standard error ${cell.stderr.toFixed(3)}, standard deviation ` +
        `${(cell.stderr * Math.sqrt(cell.n)).toFixed(3)}, 95% t interval ${(cell.mean - half).toFixed(3)} to ` +
        `${(cell.mean + half).toFixed(3)}, n = ${cell.n} of ${cell.planned}`,
    );
  }
  if (reference() >= 0 && method !== reference()) {
    const found = differencesOf(block, group).get(method);
    const p = found.p_holm === null || found.p_holm === undefined ? "" : `; p = ${found.p.toPrecision(2)}, ${found.p_holm.toPrecision(2)} after Holm's correction`;
    told.push(`difference from ${view.versus}: ${differenceText(found, cell)}${p}`);
  }
  return told.map((text) => element("p", {}, text));
}

function seedsOf(line, group) {
  const head = ["Seed", view.metric === "worst" ? "Accuracy of the worst class (%)" : COUNTED ? "Accuracy (%)" : `${DATA.measure.label} (%)`, "Status", trialsOf(line).some((trial) => trial.starts) ? "Device seconds, with what it starts from" : "Device seconds", "Key"];
  const rows = trialsOf(line).map((trial) => {
    const value = valueOf(trial, group);
    return [trial.seed, value === null ? NONE : value.toFixed(3), trial.status, trial.seconds === null ? NONE : trial.seconds.toFixed(1), trial.key];
  });
  return [
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Each seed" }, element("table", { class: "seeds" },
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows.map((texts) => element("tr", {}, ...texts.map((text) => element("td", {}, String(text)))))))),
  ];
}

function valuesOf(line) {
  const values = Object.entries(behindOf(line).values);
  return values.length ? [element("h3", {}, "Values"), listOf(values)] : [];
}

function actedOf(line) {
  const notes = Object.entries(behindOf(line).notes ?? {});
  if (!notes.length) return [];
  return [element("h3", {}, "How far each part acted, mean over seeds"), listOf(notes.map(([name, value]) => [name, value.toPrecision(3)]))];
}

const listOf = (pairs) => element("dl", {}, ...pairs.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));

function trialOf(trial, line) {
  const facts = trial.facts === undefined ? {} : DATA.facts[trial.facts];
  const shown = [["key", trial.key], ["course", trial.course], ["starts from", trial.starts], ...Object.entries(facts), ["reason", trial.reason]].filter(([, text]) => text);
  const made = element("details", {}, element("summary", {}, `Seed ${trial.seed}: ${trial.status}`), listOf(shown));
  if (trial.log) made.append(element("h4", {}, "Log of the failure"), element("pre", { tabindex: 0 }, trial.log));
  if (behindOf(line).rerun.length) made.append(element("h4", {}, "Train it again"), commandOf(behindOf(line).rerun.join(String(trial.seed))));
  made.open = Boolean(trial.log);
  return made;
}

function commandOf(command) {
  const button = element("button", { type: "button" }, "Copy");
  button.addEventListener("click", () => copyText(command, "The command"));
  return element("div", { class: "command" }, element("pre", { tabindex: 0 }, command), button);
}

function listenBehind() {
  by("behind-close").addEventListener("click", () => by("behind").close());
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // the backdrop
  }
}
