// The data that Python wrote, what the reader has chosen, and elements made without markup from strangers.
const root = document.documentElement;
const DATA = JSON.parse(document.getElementById("data").textContent);
const MOST = 100; // rows shown before the reader asks for more
const state = { run: 0, ...DATA.start, metric: "seconds", task: 0, find: "" };

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== false) element.setAttribute(name, value);
  element.append(...children.flat().filter((child) => child !== undefined && child !== ""));
  return element;
}

const run = () => DATA.runs[state.run];
const budget = () => run().at[`${state.evaluations} ${state.derivative}`];
const family = (name) => DATA.estimators[name]?.family ?? "";
const colour = (name) => DATA.families[family(name)]?.[1] ?? DATA.others;
const href = (name) => `#${DATA.estimators[name]?.anchor ?? "estimators"}`;
const parts = (text) => { const [value, rest] = text.split(/(?= \[)/); return [value, (rest ?? "").trim()]; };

// What the reader looks for: a name, a name without its settings, or any part of one. Empty: estimators of no family here.
function found(name) {
  const wanted = state.find.trim().toLowerCase();
  if (!wanted) return family(name) === "" && name in DATA.estimators;
  return name.toLowerCase() === wanted || (DATA.known.has(wanted) ? name.split(":")[0] === wanted : name.toLowerCase().includes(wanted));
}
DATA.known = new Set(Object.keys(DATA.estimators).map((name) => name.split(":")[0]));

// The first MOST rows, and a button for the others; `redraw` is called when it is pressed.
function first(rows, everything, redraw) {
  if (everything || rows.length <= MOST) return [rows, ""];
  const more = h("button", { type: "button", class: "more" }, `Show all ${rows.length.toLocaleString("en")}`);
  more.addEventListener("click", redraw);
  return [rows.slice(0, MOST), more];
}

function fill(select, values, chosen) {
  const before = chosen ?? select.value;
  select.replaceChildren(...values.map(([value, text]) => new Option(text, value)));
  if (values.some(([value]) => String(value) === String(before))) select.value = before;
  select.parentElement.hidden = select.options.length < 2;
}

// The order of a column by what is shown: [estimator, place (0: none), number, note], places counting those before.
function order(i) {
  const column = run().columns[i];
  const lines = run().lines.filter((line) => line.column === i);
  if (state.metric in DATA.numbers) {
    const known = lines.filter((line) => line.numbers[state.metric]).sort((a, b) => a.numbers[state.metric][1] - b.numbers[state.metric][1]);
    return known.map((line, k) => [line.estimator, k + 1, line.numbers[state.metric][0], ""]);
  }
  const places = budget().places[i][column.trained ? state.metric : "error"];
  const before = {};
  return places.map(([name, group, number, note], k) => {
    const key = `${group} ${note}`;
    before[key] ??= places.filter((other, j) => j < k && other[3] === note).length + 1;
    return [name, group ? before[key] : 0, number, note];
  });
}
