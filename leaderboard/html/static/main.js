// The page follows the view: the table at once, even while the rest of the file is still being read; the charts once that
// is painted.
let waiting = 0;

function show() {
  if (!reported() || reference() >= 0) loaded(showAll);
  else showAll();
}

function showAll() {
  writeLink();
  showControls();
  showTable();
  showPublished();
  requestAnimationFrame(() => soon(30));
}

function soon(milliseconds) {
  clearTimeout(waiting);
  waiting = setTimeout(follow, milliseconds);
}

function follow() {
  performance.mark("table painted"); // for whoever measures
  fitHeader();
  loaded(() => {
    showCharts();
    setTimeout(loadLibrary); // so that a chart which is scrolled to need not wait for it
  });
}

/** Where the screen is narrow the table comes first, and the filters unfold where they are asked for. */
function foldFilters() {
  by("filters").open = !narrowScreen.matches;
}

/** Now, or once the whole file is there: what stands behind the cells and the charting library come last in it. */
function loaded(act) {
  if (document.readyState !== "loading") act();
  else document.addEventListener("DOMContentLoaded", act, { once: true });
}

foldFilters();
readLink();
listen(show);
listenTable(show);
listenBehind();
listenCopy();
show();
loaded(listenCharts);
narrowScreen.addEventListener("change", () => (foldFilters(), showTable()));
window.addEventListener("resize", () => soon(150)); // a legend goes below its chart where that is narrow
dark.addEventListener("change", () => soon(0));
document.documentElement.dataset.ready = "yes";
