// The page follows the view: the table at once; the charts once that is painted, since plotly.js takes longer to start
// than all else.
let waiting = 0;

function show() {
  writeLink();
  showControls();
  showTable();
  showPublished();
  requestAnimationFrame(() => soon(30));
}

function soon(milliseconds) {
  clearTimeout(waiting);
  waiting = setTimeout(draw, milliseconds);
}

function draw() {
  performance.mark("table painted"); // for whoever measures
  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", draw, { once: true });
    return;
  }
  // The policy names the hash of the library's text, so it may run although it stood in the file as plain text.
  if (typeof Plotly === "undefined") document.head.append(element("script", {}, by("library").textContent));
  showCharts();
}

readLink();
listen(show);
listenTable(show);
listenBehind();
listenCopy();
show();
window.addEventListener("resize", () => soon(150)); // a legend goes below its chart where that is narrow
dark.addEventListener("change", draw);
paper.addEventListener("change", draw);
document.documentElement.dataset.ready = "yes";
