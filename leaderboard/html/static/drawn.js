// Which charts are drawn, and when: those in or near the window, each in a task of its own, so that the page stays quick;
// on paper all of them.
const stale = new Set(); // the view has changed since they were drawn
const near = new Set();
const sight = new IntersectionObserver(seen, { rootMargin: "25% 0px" });
let drawing = 0;

function seen(entries) {
  for (const { target, isIntersecting } of entries) near[isIntersecting ? "add" : "delete"](target.dataset.chart);
  drawSoon();
}

/** The view has changed: all charts are out of date. */
function showCharts() {
  if (!COUNTED) by("chart-cost").closest("figure").querySelector("figcaption").textContent = `${titled(DATA.measure.label)} against cost`;
  by("chart-budget").closest("figure").hidden = DATA.budget.length === 0;
  const all = rowsOf().length;
  const most = `The first ${MOST_LINES} methods of the table as it is filtered and sorted are drawn as lines, ${MOST_DOTS} seed by seed. `;
  by("charted-methods").textContent = `${all > MOST_LINES ? most : ""}The markers are those in the table: a click on one leaves the others grey.`;
  for (const name of Object.keys(CHARTS)) stale.add(name);
  if (paper.matches) drawAll();
  else drawSoon();
}

function drawSoon() {
  clearTimeout(drawing);
  const name = [...stale].find((each) => near.has(each));
  if (name) drawing = setTimeout(() => (draw(name), drawSoon()));
}

function drawAll() {
  for (const name of [...stale]) draw(name);
}

function draw(name) {
  stale.delete(name);
  const place = by(`chart-${name}`);
  if (!chartedBlock() || place.closest("figure").hidden) return;
  const { traces, x, y, missing, height } = CHARTS[name]();
  by(`missing-${name}`).textContent = traces.length ? "" : missing;
  place.hidden = traces.length === 0;
  if (place.hidden) return;
  place.style.minHeight = 0; // it has the room that it takes
  loadLibrary();
  const names = traces.filter((trace) => trace.showlegend !== false).map((trace) => trace.name);
  const layout = layoutOf(x, y, names, place.clientWidth);
  Plotly.react(place, traces, height ? { ...layout, height } : layout, CONFIG);
}

/** The policy names the hash of the library's text, so it may run although it stood in the file as plain text. */
function loadLibrary() {
  if (typeof Plotly === "undefined") document.head.append(element("script", {}, by("library").textContent));
}

function listenCharts() {
  for (const name of Object.keys(CHARTS)) {
    const figure = by(`chart-${name}`).closest("figure");
    figure.dataset.chart = name;
    sight.observe(figure);
  }
  listenDownloads();
  paper.addEventListener("change", showCharts);
  window.addEventListener("beforeprint", drawAll);
}
