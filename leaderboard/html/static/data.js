"use strict";
// The page's object, and what is looked up in it. Everything is shown as text: nothing here is ever read as HTML.
const DATA = JSON.parse(document.getElementById("content").textContent);
const GROUPS = ["few", "med", "many", "all"];
const PROTOCOLS = [...new Set(DATA.blocks.map((block) => block.protocol))];
const BLOCK_OF = new Map(DATA.blocks.map((block, place) => [block, place]));
const LINES = DATA.blocks.map(() => new Map()); // of each block: the line of each method, by its number
for (const line of DATA.lines) LINES[line.block].set(line.method, line);
const COUNTED = DATA.measure.counted; // from the images that were classified rightly: with other boundaries too
const EXAMPLES = DATA.examples ?? "images"; // what a test set holds
const HAS_CLASSES = DATA.profiles.length > 0;

let evidence; // of each line: a text of JSON, which most readers never ask for, then what it holds

/** What stands behind a line. Until the whole file is there (see main.js) there is none to ask for. */
function behindOf(line) {
  evidence ??= new Map(by("evidence").textContent.split("\n").map((text, place) => [DATA.lines[place], text]));
  if (typeof evidence.get(line) === "string") evidence.set(line, JSON.parse(evidence.get(line)));
  return evidence.get(line);
}

const trialsOf = (line) => behindOf(line).trials;
const lineOf = (block, method) => LINES[BLOCK_OF.get(block)].get(method);
const blocksOf = (protocol) => DATA.blocks.filter((block) => block.protocol === protocol);
const shownSetting = (block) => block.setting.replaceAll(/\d+\.\d{10,}/g, (number) => Number(Number(number).toPrecision(5)));
const nameOf = (block) => [block.dataset, block.setting].filter(Boolean).join(", "); // of links: it tells blocks apart
const titleOf = (block) => [block.dataset, shownSetting(block)].filter(Boolean).join(", ");
const headerOf = (block) =>
  [block.dataset + (block.verified ? "" : " (unverified)"), shownSetting(block)].filter(Boolean).join(", ");
const titled = (group) => group[0].toUpperCase() + group.slice(1);
const narrowScreen = matchMedia("(max-width: 40rem)");
const by = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
