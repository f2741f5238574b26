// The table sorts, filters and searches; charts are drawn from the JSON that Python wrote; the theme follows the reader.
const root = document.documentElement;
const UNWANTED = ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"]; // the first would upload the reader's data
const wide = "(min-width: 50rem)";

function missingLast(sign) {
  return (a, b) => (a === "" || b === "" ? (a === "") - (b === "") : sign * (a - b));
}
Object.assign(DataTable.ext.type.order, { "figure-asc": missingLast(1), "figure-desc": missingLast(-1) });

function leaderboard(table) {
  const keys = [...table.querySelectorAll("thead th")].map((th) => th.dataset.key);
  const lines = new DataTable(table, {
    columnDefs: [{ targets: "figure", type: "figure" }],
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

function draw(place, view) {
  const style = getComputedStyle(root);
  const [ink, grid] = ["--ink", "--grid"].map((name) => style.getPropertyValue(name).trim());
  const axis = (title, log) => ({
    title: { text: title }, type: log ? "log" : undefined, gridcolor: grid, zerolinecolor: grid, automargin: true,
    tickformat: log ? ".3~g" : undefined,
  });
  const beside = matchMedia(wide).matches;
  const bars = view.lines ? 26 * view.lines + 130 : 0;
  const legend = beside ? {} : { orientation: "h", y: -0.25 };
  const layout = {
    xaxis: axis(view.x, view.log_x), yaxis: { ...axis(view.y, view.log_y), type: view.lines ? "category" : view.log_y ? "log" : undefined },
    barmode: "stack", hovermode: "closest", font: { color: ink }, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    height: Math.max(bars, beside ? 440 : 520), margin: { t: 10, r: 10 }, legend,
  };
  const bar = { displaylogo: false, displayModeBar: beside ? "hover" : false, modeBarButtonsToRemove: UNWANTED, plotlyServerURL: "" };
  Plotly.react(place, structuredClone(view.traces), layout, { responsive: true, ...bar });
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
    draw(figure.querySelector(".chart"), here.find((view) => view.against === against.value));
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

function open() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
addEventListener("hashchange", open);
open();
root.dataset.ready = "yes";
