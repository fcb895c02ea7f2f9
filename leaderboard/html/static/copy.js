// To the clipboard; where the browser forbids that, into a box to copy from.

async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    tell(`${what} is in the clipboard.`);
  } catch {
    by("copied").value = text;
    by("copy").showModal();
    by("copied").select();
  }
}

/** A passing word, which a screen reader reads too. */
function tell(words) {
  by("told").textContent = words;
  setTimeout(() => by("told").textContent === words && (by("told").textContent = ""), 4000);
}

function listenCopy() {
  const forms = {
    latex: () => ["% Written by tailboard; needs \\usepackage{booktabs,graphicx}.", ...shownTables().map(latexOf)].join("\n\n") + "\n",
    markdown: () => shownTables().map(markdownOf).join("\n\n") + "\n",
    csv: csvOf,
    citation: citationOf,
    link: () => location.href.split("#")[0] + (linkOf() ? `#${linkOf()}` : ""),
  };
  const named = { latex: "The view as LaTeX", markdown: "The view as Markdown", csv: "The view as CSV", link: "The link to this view", citation: "A citation for BibTeX" };
  for (const [form, make] of Object.entries(forms)) by(`copy-${form}`).addEventListener("click", () => loaded(() => copyText(make(), named[form])));
  by("copy-close").addEventListener("click", () => by("copy").close());
}
