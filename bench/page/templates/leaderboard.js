// Tables that sort: the leaderboard of one task, an estimator's own lines, and comparisons.
const SHORT = { bias: "bias", variance: "variance", evaluations: "calls", time: "µs", work: "variance × µs", elbo: "ELBO" };

// columns: [title, row -> [text, order, small, tip]]; the first is the row's header. Cards on a phone repeat the titles.
function grid(place, label, columns, rows, mark = () => "") {
  let by = -1, sign = 1, everything = false;
  const draw = () => {
    const sorted = by < 0 ? rows : [...rows].sort((a, b) => {
      const [x, y] = [a, b].map((row) => columns[by][1](row)[1] ?? null);
      return x === null || y === null ? (x === null) - (y === null) : sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
    });
    const [shown, more] = first(sorted, everything, () => { everything = true; draw(); });
    const head = columns.map(([text], i) => {
      const button = h("button", { type: "button", "data-key": text }, text);
      button.addEventListener("click", () => {
        [by, sign] = [i, by === i ? -sign : 1];
        draw();
        place.querySelectorAll("thead button")[i].focus();
      });
      return h("th", { scope: "col", "aria-sort": by === i ? (sign > 0 ? "ascending" : "descending") : undefined }, button);
    });
    const body = shown.map((row) => h("tr", { class: mark(row) || undefined }, columns.map(([text, read], i) => {
      const [value, , small, note] = read(row);
      return h(i ? "td" : "th", { "data-label": text, "data-tip": note || undefined, scope: i ? undefined : "row" }, value ?? "–", small ? h("small", {}, small) : "");
    })));
    place.replaceChildren(h("table", { class: "grid" }, h("caption", { class: "hide" }, label), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)), more);
  };
  draw();
}

const number = (key) => [SHORT[key], (line) => {
  const [text, value, n] = line.numbers[key] ?? ["–", null, 0];
  const [head, rest] = parts(text);
  return [head, value, rest, n > 1 ? `n = ${n.toLocaleString("en")}` : ""];
}];
const verdict = ["verdict", (line) => [h("span", { class: "verdict" }, line.word), line.word, line.reason]];
const mark = (line) => [line.state, found(line.estimator) ? "found" : ""].filter(Boolean).join(" ");

function leaderboard(place) {
  const column = run().columns[state.task];
  const keys = Object.keys(DATA.numbers).filter((key) => (column.trained ? key !== "bias" : key !== "elbo"));
  const own = run().lines.filter((line) => line.column === state.task);
  const places = new Map(order(state.task).map(([name, k, text, note], i) => [name, { k, text, note, i }]));
  const at = (line) => places.get(line.estimator) ?? { k: 0, text: "", note: "", i: Infinity };
  own.sort((a, b) => at(a).i - at(b).i || a.estimator.localeCompare(b.estimator));
  const error = ["error left", (line) => [parts(at(line).text)[0] || "–", at(line).text ? at(line).i : null, [parts(at(line).text)[1], at(line).note].filter(Boolean).join(" ")]];
  const numbers = keys.filter((key) => key !== "elbo").map(number);
  const lead = state.metric in DATA.numbers ? [] : [column.trained ? number("elbo") : error];
  grid(place, `Leaderboard of ${column.task}`, [
    ["estimator", (line) => [h("a", { href: href(line.estimator) }, h("i", { style: `background:${colour(line.estimator)}` }), line.estimator), line.estimator]],
    ["place", (line) => [at(line).k ? `${at(line).k}` : "–", at(line).k ? at(line).i : null]],
    ...lead, verdict, ...numbers,
  ], own, mark);
  const count = column.without;
  document.getElementById("unsupported-here").replaceChildren(...(count ? [h("a", { href: "#unsupported" }, `${count} estimators have no result here`)] : []));
}

// An estimator's lines on all tasks, once its section is opened.
function own(section) {
  const lines = DATA.runs.flatMap((each) => each.lines.filter((line) => line.estimator.split(":")[0] === section.dataset.family)
    .map((line) => ({ ...line, run: each.label, task: each.columns[line.column].task })));
  if (!lines.length) return;
  const several = DATA.runs.length > 1 ? [["run", (line) => [line.run, line.run]]] : [];
  grid(section.querySelector(".own"), `Results of ${section.dataset.family}`, [
    ["estimator", (line) => [line.estimator, line.estimator]], ...several, ["task", (line) => [line.task, line.task]],
    verdict, ...Object.keys(DATA.numbers).map(number),
  ], lines, mark);
}

function compared(place, { columns, rows }) {
  grid(place, "Comparison", columns.map((text, i) => [text, (row) => [row[i], row[i]]]), rows);
}
