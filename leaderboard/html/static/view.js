const MOST_BARRED = 1000; // lines of the page: of more, bars would hold up its opening

// What is shown: a few words, which the controls set and the link after # keeps.
const DEFAULTS = {
  protocol: PROTOCOLS[0],
  data: "", // a block's name, or all of them
  method: "", // what a method's name must hold
  spread: DATA.spread, // what the report was asked for
  versus: DATA.versus ?? "",
  metric: "mean",
  few: "",
  many: "",
  sort: "rank", // All of the first data set, the largest first; or a column's name, with - before it where the largest comes first
  bars: DATA.lines.length > MOST_BARRED ? "off" : "on",
  chosen: "", // the methods that alone are coloured in the charts, a line each
  published: "on",
  charted: "", // the block of the charts; the first that is shown where it is not
  group: "all",
};
const view = { ...DEFAULTS };
const CHECKS = ["published", "bars"];
const CONTROLS = ["protocol", "data", "method", "spread", "versus", "metric", "few", "many", ...CHECKS, "charted", "group"];

const shownBlocks = () => blocksOf(view.protocol).filter((block) => !view.data || nameOf(block) === view.data);
/** The groups of a block that are columns: by the report's own boundaries those with a class in any data set. */
const groupsOf = (block) => block.groups.filter((group) => thresholds() || !block.empty?.includes(group));
const chartedBlock = () => shownBlocks().find((block) => nameOf(block) === view.charted) ?? shownBlocks()[0];
const chartedGroup = () => groupsOf(chartedBlock()).find((group) => group === view.group) ?? groupsOf(chartedBlock()).at(-1);
const allColumns = () => blocksOf(view.protocol).flatMap((block) => groupsOf(block).map((group) => columnName({ block, group })));
const columnName = ({ block, group }) => `${nameOf(block)}: ${group}`;
const reference = () => (view.versus ? DATA.methods.indexOf(view.versus) : -1);
const reported = () => view.few === "" && view.many === "" && view.metric === "mean"; // as the report itself counts
const boundaries = (few, many) => [Number(few || (DATA.shots ?? [20, 100])[0]), Number(many || (DATA.shots ?? [20, 100])[1])];
const thresholds = () => (view.few === "" && view.many === "" ? null : boundaries(view.few, view.many));

/** The fields of Few and Many that do not hold, and why: the command line's rule, for the fields and for the link. */
function faultOf(few, many) {
  const faulty = Object.entries({ few, many }).filter(([, text]) => text !== "" && !/^[1-9]\d{0,8}$/.test(text));
  if (faulty.length) return { fields: faulty.map(([name]) => name), words: `${faulty.map(([name]) => titled(name)).join(" and ")}: a whole number from 1 on.` };
  const [least, most] = boundaries(few, many);
  return least > most ? { fields: ["few", "many"], words: `Few (${least}) must not be above Many (${most}).` } : { fields: [], words: "" };
}

/** Beside the fields: what does not hold, so that the table stays as it was. */
function sayFault({ fields, words }) {
  by("fault").textContent = words && `${words} The table is as before.`;
  for (const name of ["few", "many"]) {
    if (fields.includes(name)) by(name).setAttribute("aria-invalid", "true");
    else by(name).removeAttribute("aria-invalid");
  }
}

function takeThresholds() {
  const [few, many] = ["few", "many"].map((name) => by(name).value.trim());
  const fault = faultOf(few, many);
  sayFault(fault);
  if (!fault.words) Object.assign(view, { few, many });
}

function linkOf() {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(view)) if (value !== DEFAULTS[name]) words.set(name, value);
  return words.toString();
}

/** Take the view from the link; a word that fits nothing here is left at its default. */
function readLink() {
  const words = new URLSearchParams(location.hash.slice(1));
  Object.assign(view, DEFAULTS);
  for (const name of Object.keys(DEFAULTS)) if (words.has(name)) view[name] = words.get(name);
  const fits = {
    protocol: (word) => PROTOCOLS.includes(word),
    spread: (word) => ["se", "std", "ci95", "none"].includes(word),
    versus: (word) => word === "" || DATA.methods.includes(word),
    metric: (word) => word === "mean" || (word === "worst" && HAS_CLASSES),
    published: (word) => ["on", "off"].includes(word),
    bars: (word) => ["on", "off"].includes(word),
    sort: (word) => ["", "rank", "method", "-method"].includes(word) || allColumns().includes(word.replace(/^-/, "")),
    group: (word) => GROUPS.includes(word),
  };
  for (const [name, fit] of Object.entries(fits)) if (!fit(view[name])) view[name] = DEFAULTS[name];
  if (!HAS_CLASSES || !COUNTED || faultOf(view.few, view.many).words) Object.assign(view, { few: "", many: "" });
  if (!blocksOf(view.protocol).some((block) => nameOf(block) === view.data)) view.data = "";
}

function writeLink() {
  const words = linkOf();
  if (words !== location.hash.slice(1)) history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
}

/** The choices that depend on the view, and every control at what the view says. */
function showControls() {
  choices("protocol", PROTOCOLS.map((name) => [name, name]));
  choices("data", [["", "all"], ...blocksOf(view.protocol).map((block) => [nameOf(block), headerOf(block)])]);
  choices("versus", [["", "nothing"], ...DATA.methods.map((name) => [name, name])]);
  choices("charted", shownBlocks().map((block) => [nameOf(block), headerOf(block)]));
  choices("group", groupsOf(chartedBlock()).map((group) => [group, titled(group)]));
  const typing = by("fault").textContent ? ["few", "many"] : []; // what does not hold yet may be mended
  for (const name of CONTROLS.filter((each) => !typing.includes(each))) {
    if (CHECKS.includes(name)) by(name).checked = view[name] === "on";
    else if (by(name).value !== view[name]) by(name).value = view[name];
  }
  by("charted").value = nameOf(chartedBlock());
  by("group").value = chartedGroup();
  by("few").placeholder = DATA.shots?.[0] ?? "";
  by("many").placeholder = DATA.shots?.[1] ?? "";
  by("protocol").closest("label").hidden = PROTOCOLS.length === 1;
  by("data").closest("label").hidden = blocksOf(view.protocol).length === 1;
  by("charted").closest("label").hidden = shownBlocks().length === 1;
  by("published").closest("label").hidden = DATA.published.length === 0;
  for (const name of ["metric", "few", "many"]) by(name).disabled = !HAS_CLASSES || (name !== "metric" && !COUNTED);
  if (!COUNTED) by("metric").options[0].textContent = DATA.measure.label;
}

function choices(id, pairs) {
  const key = JSON.stringify(pairs);
  if (by(id).dataset.choices === key) return;
  by(id).dataset.choices = key;
  by(id).replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));
}

function listen(changed) {
  for (const name of CONTROLS) {
    by(name).addEventListener("input", () => {
      if (name === "few" || name === "many") takeThresholds();
      else view[name] = CHECKS.includes(name) ? (by(name).checked ? "on" : "off") : by(name).value;
      if (name === "protocol") view.data = "";
      changed();
    });
  }
  by("controls").addEventListener("submit", (event) => event.preventDefault());
  by("reset").addEventListener("click", () => {
    Object.assign(view, DEFAULTS);
    sayFault(faultOf("", ""));
    changed();
  });
  window.addEventListener("hashchange", () => {
    readLink();
    sayFault(faultOf(view.few, view.many));
    changed();
  });
}
