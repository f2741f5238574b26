// The first screen: what is best for each kind of latent, then the matrix of estimators and tasks.
const GLYPHS = { unbiased: "●", biased: "○", failed: "✕", "": "◌" };
const names = (all) => all.flatMap((name, i) => [i ? ", " : "", h("a", { href: href(name) }, name)]);

function answers(place) {
  const latent = (line) => line.where.split(",")[0];
  const cards = Object.entries(budget().answers).filter(([, lines]) => lines.length).map(([kind, lines]) => {
    const latents = [...new Set(lines.map(latent))];
    const on = (line) => (latents.length > 1 ? ` on ${latent(line)}` : "");
    return h("article", {},
      h("h2", {}, kind, " ", h("small", {}, latents.join(" · "))),
      h("dl", {}, lines.flatMap((line) => [
        h("dt", { title: line.where }, line.question),
        h("dd", { "data-tip": [line.where, line.note].join(": "), tabindex: 0 },
          line.pick ? [h("a", { href: href(line.pick), class: "pick" }, line.pick), " ", h("small", {}, line.number, on(line))] : h("small", {}, line.note),
          line.tied.length ? h("div", { class: "tied" }, "tied: ", names(line.tied.slice(0, 3)), line.tied.length > 3 ? ` and ${line.tied.length - 3} more` : "") : ""),
      ])));
  });
  place.replaceChildren(...cards);
}

function title(place) {
  const toys = { seconds: "ELBO at equal time", steps: "ELBO at equal steps" }[state.metric];
  const what = toys ? `Error left (toys), ${toys} (trained)` : DATA.numbers[state.metric].replace(/^./, (c) => c.toUpperCase());
  place.replaceChildren(what, h("small", {}, " ● unbiased ○ biased ◌ bias not shown ✕ failed; a stronger shade is a better place in its column. Hover for numbers, click for the estimator."));
}

// The names in blocks of at most so many rows, those of the headings of families included, none of which comes last.
function inBlocks(names, most) {
  const blocks = [];
  let rows = Infinity;
  names.forEach((name, i) => {
    const opens = !i || family(name) !== family(names[i - 1]);
    if (rows + 1 + opens > most) {
      blocks.push([]);
      rows = 1;
    } else rows += opens;
    blocks.at(-1).push(name);
    rows++;
  });
  return blocks;
}

function matrix(place, everything = false) {
  const { columns, lines } = run();
  const cells = columns.map((_, i) => new Map(order(i).map(([name, ...rest]) => [name, rest])));
  const known = new Map();
  for (const line of lines) known.set(line.estimator, (known.get(line.estimator) ?? new Map()).set(line.column, line));
  const ranked = columns.map((_, i) => Math.max(1, ...[...cells[i].values()].map(([k, , note]) => (note ? 0 : k))));
  const level = (i, cell) => (cell && cell[0] && !cell[2] ? 1 - (cell[0] - 1) / Math.max(1, ranked[i] - 1) : 0);
  const score = new Map([...known.keys()].map((name) => {
    const own = columns.map((_, i) => cells[i].get(name) && level(i, cells[i].get(name))).filter((x) => x !== undefined);
    return [name, own.reduce((a, b) => a + b, 0) / Math.max(1, own.length)];
  }));
  const families = [...Object.keys(DATA.families), ""];
  const sorted = [...known.keys()].sort((a, b) =>
    families.indexOf(family(a)) - families.indexOf(family(b)) || score.get(b) - score.get(a) || a.localeCompare(b));
  const [shown, more] = first(sorted, everything, () => matrix(place, true));

  const cell = (name, i) => {
    const line = known.get(name).get(i);
    if (!line) return h("td");
    const [k, number, note] = cells[i].get(name) ?? [0, "", "not in this ranking"];
    const verdict = line.state === "failed" ? "failed" : line.verdict;
    const standing = k && note ? `${k}. of ${note}` : k ? `${k}. of ${cells[i].size}` : line.reason || note;
    const words = [verdict || "bias not shown", standing, number].filter(Boolean).join(", ");
    const shade = level(i, [k, number, note]);
    const link = h("a", { href: href(name), tabindex: -1, "aria-label": words }, GLYPHS[verdict] ?? GLYPHS[""]);
    return h("td", { class: `s${Math.ceil(shade * 5)}${k === 1 && !note ? " best" : ""}`, "data-tip": `${name} on ${columns[i].task}: ${words}` }, link);
  };
  const twice = (column) => columns.filter((other) => other.latent === column.latent && other.trained === column.trained).length > 1;
  const head = h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "hide" }, "estimator")), columns.map((column) =>
    h("th", { scope: "col", "data-tip": `${column.task}${column.data ? `, ${column.data}` : ""}: ${column.without} estimators have no result here` },
      h("div", {}, column.latent || column.task, h("small", {}, column.trained ? " VAE" : "", twice(column) ? ` ${column.trained && !column.task.includes("=") ? "" : column.task.replace(/^.*=|-codebook$/g, "")}` : ""))))));
  const across = matchMedia("(min-width: 74rem)").matches ? 3 : matchMedia("(min-width: 48rem)").matches ? 2 : 1;
  const groups = families.filter((each) => shown.some((name) => family(name) === each));
  let most = Math.ceil((shown.length + groups.length) / across);
  while (inBlocks(shown, most).length > across) most++;
  const heading = (name) => h("tr", { class: "family" }, h("th", { scope: "colgroup", colspan: columns.length + 1 },
    h("i", { style: `background:${colour(name)}` }), DATA.families[family(name)]?.[0] ?? "yours"));
  const blocks = inBlocks(shown, most).map((block) =>
    h("table", {}, h("caption", { class: "hide" }, "Verdict and rank of each estimator on each task"), head.cloneNode(true),
      h("tbody", {}, block.flatMap((name, i) => [
        i && family(name) === family(block[i - 1]) ? "" : heading(name),
        h("tr", { class: found(name) ? "found" : undefined },
          h("th", { scope: "row" }, h("a", { href: href(name), title: name }, name)), columns.map((_, j) => cell(name, j))),
      ]))));
  place.replaceChildren(h("div", { class: "blocks" }, blocks), more);
}

// One tooltip for everything with data-tip, for the mouse, the finger and the keyboard.
const tip = document.getElementById("tip");
function show(event) {
  const target = event.target.closest?.("[data-tip]");
  tip.hidden = !target;
  if (!target) return;
  tip.textContent = target.dataset.tip;
  const box = target.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${box.bottom + tip.offsetHeight + 6 > innerHeight ? box.top - tip.offsetHeight - 4 : box.bottom + 4}px`;
}
for (const kind of ["mouseover", "focusin", "touchstart"]) document.addEventListener(kind, show, { passive: true });
addEventListener("scroll", () => (tip.hidden = true), { passive: true });
addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
