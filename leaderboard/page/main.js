// The page follows the view: the table at once, the charts as soon as the browser has time.
let waiting = 0;

function show() {
  writeLink();
  showControls();
  showTable();
  showPublished();
  clearTimeout(waiting);
  waiting = setTimeout(showCharts, 30);
}

readLink();
listen(show);
listenTable(show);
listenBehind();
listenCopy();
show();
dark.addEventListener("change", showCharts);
paper.addEventListener("change", showCharts);
document.documentElement.dataset.ready = "yes";
