// The controls, the theme, the formulas, and what is drawn when they change.
const by = (id) => document.getElementById(id);

function redraw() {
  if (!DATA.runs.some((each) => each.lines.length)) return;
  answers(by("answers"));
  title(by("matrix-title"));
  matrix(by("matrix"));
  fill(by("task"), run().columns.map((column, i) => [i, column.task]), state.task);
  leaderboard(by("lines"));
}

function controls() {
  const values = {
    run: DATA.runs.map((each, i) => [i, each.label]),
    evaluations: DATA.evaluations.map((n) => [n, `${n} call${n > 1 ? "s" : ""} of f`]),
    derivative: Object.entries(DATA.derivatives),
    metric: [["seconds", "error left, ELBO at equal time"], ["steps", "error left, ELBO at equal steps"], ...Object.entries(DATA.numbers).filter(([key]) => key !== "elbo")],
  };
  for (const [key, options] of Object.entries(values)) {
    const select = document.querySelector(`[data-control=${key}] select`);
    fill(select, options, state[key]);
    select.addEventListener("change", () => {
      state[key] = key === "evaluations" || key === "run" ? Number(select.value) : select.value;
      if (key === "run") state.task = 0;
      redraw();
    });
  }
  by("names").replaceChildren(...Object.keys(DATA.estimators).sort().map((name) => h("option", { value: name })));
  by("find").addEventListener("input", (event) => {
    state.find = event.target.value;
    redraw();
    dispatchEvent(new Event("found"));
  });
  by("task")?.addEventListener("change", (event) => { state.task = Number(event.target.value); leaderboard(by("lines")); });
  document.querySelectorAll("form").forEach((form) => form.addEventListener("submit", (event) => event.preventDefault()));
}

function theme(dark) {
  root.dataset.theme = dark ? "dark" : "light";
  dispatchEvent(new Event("themed"));
}

// What one section needs, once it is opened. A formula that KaTeX refuses stays as its text and harms no other.
function open(section) {
  const formula = section.querySelector(".formula:not([data-set])");
  if (formula) {
    formula.dataset.set = "yes";
    const tex = formula.textContent;
    try { katex.render(tex, formula, { displayMode: true }); } catch { formula.replaceChildren(h("code", {}, tex), h("small", {}, " KaTeX cannot set this formula.")); }
  }
  if (section.dataset.family !== undefined) own(section);
}

function follow() {
  const target = by(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
theme(dark.matches);
dark.addEventListener("change", () => theme(dark.matches));
by("theme").addEventListener("click", () => theme(root.dataset.theme !== "dark"));
by("families").replaceChildren(...Object.entries(DATA.families).map(([, [name, tint]]) => h("li", {}, h("i", { style: `background:${tint}` }), name)));
controls();
redraw();
for (const size of ["(min-width: 74rem)", "(min-width: 48rem)"]) matchMedia(size).addEventListener("change", redraw);
for (const [name, views] of Object.entries(DATA.charts)) chart(name, views);
document.querySelectorAll(".compared").forEach((place, i) => compared(place, DATA.comparisons[i]));
document.querySelectorAll("details").forEach((section) => section.addEventListener("toggle", () => section.open && open(section)));
addEventListener("hashchange", follow);
follow();
root.dataset.ready = "yes";
