// How methods look in the charts: up to twenty differ by colour, by marker and, every fifth alike, by dash; the rest are grey.
// Each colour has a contrast of at least 3 to 1 on the light ground and on the dark one.
const COLOURS = [
  "#026dbb", "#d26600", "#0d8101", "#c4216f", "#a461e9", "#0a9d9e", "#a98304", "#be2b01", "#d34cae", "#577dfe",
  "#769802", "#01778b", "#935d05", "#03a26b", "#a136b2", "#e8445e", "#0395c9", "#737000", "#037c6a", "#6b50d8",
];
const MARKERS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "pentagon", "star", "hourglass"];
const DASHES = ["solid", "dash", "dashdot", "dot", "longdash"];
const SHAPES = { // of the markers, in the table: over 20 by 20
  circle: "M10 2a8 8 0 1 0 .01 0z", square: "M3 3h14v14h-14z", "triangle-up": "M10 2l9 15h-18z", diamond: "M10 1l8 9l-8 9l-8-9z",
  "triangle-down": "M10 18l9-15h-18z", cross: "M7 1h6v6h6v6h-6v6h-6v-6h-6v-6h6z", x: "M5 1l5 5l5-5l4 4l-5 5l5 5l-4 4l-5-5l-5 5l-4-4l5-5l-5-5z",
  pentagon: "M10 1l9 7l-4 11h-10l-4-11z", star: "M10 1l3 6l6 1l-5 5l2 7l-6-4l-6 4l2-7l-5-5l6-1z", hourglass: "M2 2h16l-16 16h16z",
};

const dark = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");
const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const slots = new Map(); // of the methods that are coloured, and of those that were: the place of the look
let coloured = new Set();

const chosenMethods = () => view.chosen.split("\n").map((name) => DATA.methods.indexOf(name)).filter((method) => method >= 0);

/** The chosen methods are coloured; where none is, the first twenty rows. A method keeps its look while it is one of them. */
function placeLooks(rows) {
  const chosen = chosenMethods();
  const all = DATA.methods.length <= COLOURS.length ? DATA.methods.map((_, method) => method) : rows;
  coloured = new Set((chosen.length ? chosen : all).slice(0, COLOURS.length));
  for (const method of coloured) if (!slots.has(method)) slots.set(method, freeSlot(method));
}

function freeSlot(method) {
  if (DATA.methods.length <= COLOURS.length) return method;
  const taken = new Set([...coloured].map((each) => slots.get(each)));
  const held = new Set(slots.values()); // by a method that may be coloured again: the first rows keep theirs longest
  if (held.size < COLOURS.length) return COLOURS.findIndex((_, place) => !held.has(place));
  const free = COLOURS.findLastIndex((_, place) => !taken.has(place));
  for (const [each, place] of slots) if (place === free) slots.delete(each);
  return free;
}

/** Colour, marker and line of a method, as Plotly names them. */
function lookOf(method) {
  if (!coloured.has(method)) {
    const color = styleOf("--faint");
    return { marker: { color, symbol: "circle", size: 6 }, line: { color, dash: "solid", width: 1 } };
  }
  const place = slots.get(method);
  const symbol = MARKERS[place % MARKERS.length] + (place < MARKERS.length ? "" : "-open");
  return {
    marker: { color: COLOURS[place], symbol, size: 9, line: { width: place < MARKERS.length ? 0 : 2 } },
    line: { color: COLOURS[place], dash: DASHES[place % DASHES.length], width: 2 },
  };
}

/** The marker of a method in the table. A click chooses it for the charts, or no longer; by keyboard the method's card does. */
function markerOf(method) {
  const title = "Colour only the chosen methods in the charts";
  if (!coloured.has(method)) return element("span", { class: "look grey", "aria-hidden": true, title }); // of 500 methods, most
  const { marker } = lookOf(method);
  const open = marker.symbol.endsWith("-open");
  const paint = open ? { fill: "none", stroke: marker.color, "stroke-width": 3 } : { fill: marker.color };
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  picture.setAttribute("viewBox", "-1 -1 22 22");
  for (const [name, value] of Object.entries({ d: SHAPES[marker.symbol.replace("-open", "")], ...paint })) path.setAttribute(name, value);
  picture.append(path);
  const chosen = chosenMethods().includes(method);
  return element("span", { class: chosen ? "look chosen" : "look", "aria-hidden": true, title }, picture);
}

/** Choose a method for the charts, or no longer; the last of too many replaces the first. */
function choose(method) {
  const chosen = chosenMethods();
  const others = chosen.filter((each) => each !== method);
  const now = others.length < chosen.length ? others : [...others, method].slice(-COLOURS.length);
  view.chosen = now.map((each) => DATA.methods[each]).join("\n");
}
