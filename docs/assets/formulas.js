for (const place of document.querySelectorAll(".arithmatex")) {
  const [, formula] = place.textContent.trim().match(/^\\[[(](.*)\\[\])]$/s);
  katex.render(formula, place, { displayMode: place.tagName === "DIV" });
}
