// The table sorts, filters and searches; charts are drawn from the JSON that Python wrote; the theme follows the system.
const root = document.documentElement;
const UNWANTED = ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"]; // the first would upload the reader's data
const MOST_NAMES = 12; // in a legend on a narrow screen
const wide = "(min-width: 50rem)";

function missingLast(sign) {
  return (a, b) => (a === "" || b === "" ? (a === "") - (b === "") : sign * (a - b));
}
Object.assign(DataTable.ext.type.order, { "number-asc": missingLast(1), "number-desc": missingLast(-1) });

function leaderboard(table) {
  const keys = [...table.querySelectorAll("thead th")].map((th) => th.dataset.key);
  const lines = new DataTable(table, {
    columnDefs: [{ targets: "number", type: "number" }],
    lengthMenu: [25, 100, { label: "all", value: -1 }],
    fixedColumns: matchMedia(wide).matches ? { start: 1 } : false,
    order: [],
    pageLength: 25,
    scrollX: true,
  });
  document.querySelectorAll("#filters select").forEach((select) =>
    select.addEventListener("change", () => {
      const wanted = select.value;
      const column = lines.column(keys.indexOf(select.dataset.column));
      column.search.fixed("filter", wanted ? (text) => text.trim() === wanted : null).draw();
    }),
  );
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
}

// Ticks are one or several decades apart, so that labels do not overlap; below two decades plotly chooses them.
function ticks(values, wanted) {
  const all = values.flat().filter((value) => value > 0);
  const decades = Math.log10(Math.max(...all) / Math.min(...all));
  return decades >= 2 ? { dtick: Math.ceil(decades / wanted) } : { nticks: wanted };
}

// The views of one setting, one panel per run: they share axes, colours and one legend, so that runs compare at a glance.
function draw(place, views) {
  const style = getComputedStyle(root);
  const [ink, grid] = ["--ink", "--grid"].map((name) => style.getPropertyValue(name).trim());
  const beside = matchMedia(wide).matches;
  const several = views.length > 1;
  const values = (letter) => views.flatMap((view) => view.traces.map((trace) => trace[letter]));
  const axis = (letter, title, log, other) => ({
    title: { text: title }, gridcolor: grid, zerolinecolor: grid, automargin: true, matches: other ? letter : undefined,
    ...(log ? { type: "log", tickformat: ".3~g", ...ticks(values(letter), beside && !several ? 8 : 4) } : {}),
  });
  const bars = Math.max(0, ...views.map((view) => view.lines ?? 0));
  const names = new Set();
  const layout = {
    grid: { rows: beside ? 1 : views.length, columns: beside ? views.length : 1, pattern: "independent" },
    barmode: "stack", hovermode: "closest", font: { color: ink }, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    margin: { t: several ? 30 : 10, r: 10 }, legend: beside ? {} : { orientation: "h", y: -0.25 }, annotations: [],
  };
  const traces = views.flatMap((view, i) => {
    const end = i ? i + 1 : "";
    layout[`xaxis${end}`] = axis("x", view.x, view.log_x, i);
    layout[`yaxis${end}`] = { ...axis("y", i && beside ? "" : view.y, view.log_y, i), ...(view.lines ? { type: "category" } : {}) };
    if (several)
      layout.annotations.push({
        text: view.run, showarrow: false, x: 0, y: 1, xanchor: "left", yanchor: "bottom",
        xref: `x${end} domain`, yref: `y${end} domain`,
      });
    return structuredClone(view.traces).map((trace) => {
      const showlegend = !names.has(trace.name);
      names.add(trace.name);
      return { ...trace, xaxis: `x${end}`, yaxis: `y${end}`, legendgroup: trace.name, showlegend };
    });
  });
  layout.showlegend = beside || names.size <= MOST_NAMES;
  layout.height = Math.max(26 * bars + 130, beside ? 440 : 420) * (beside ? 1 : views.length);
  const bar = { displaylogo: false, displayModeBar: beside ? "hover" : false, modeBarButtonsToRemove: UNWANTED, plotlyServerURL: "" };
  Plotly.react(place, traces, layout, { responsive: true, ...bar });
}

function chart(name, views) {
  const figure = document.getElementById(name);
  const [setting, against] = [".setting", ".against"].map((part) => figure.querySelector(part));
  const fill = (select, values) => {
    const before = select.value;
    select.replaceChildren(...[...new Set(values)].map((value) => new Option(value)));
    if (values.includes(before)) select.value = before;
    select.parentElement.hidden = select.options.length < 2;
  };
  const update = () => {
    const here = views.filter((view) => view.setting === setting.value);
    fill(against, here.map((view) => view.against));
    draw(figure.querySelector(".chart"), here.filter((view) => view.against === against.value));
  };
  fill(setting, views.map((view) => view.setting));
  [setting, against].forEach((select) => select.addEventListener("change", update));
  matchMedia(wide).addEventListener("change", update);
  addEventListener("themed", update);
  update();
}

function theme(dark) {
  root.classList.toggle("dark", dark);
  root.classList.toggle("light", !dark);
  dispatchEvent(new Event("themed"));
}

const dark = matchMedia("(prefers-color-scheme: dark)");
theme(dark.matches);
dark.addEventListener("change", () => theme(dark.matches));
document.getElementById("theme").addEventListener("click", () => theme(!root.classList.contains("dark")));

const table = document.getElementById("lines");
if (table) leaderboard(table);
document.querySelectorAll("table.compared").forEach((each) => new DataTable(each, { order: [], scrollX: true }));
for (const [name, views] of Object.entries(JSON.parse(document.getElementById("data").textContent))) chart(name, views);

document.querySelectorAll(".formula").forEach((place) => katex.render(place.textContent, place, { displayMode: true }));

function open() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
addEventListener("hashchange", open);
open();
root.dataset.ready = "yes";
