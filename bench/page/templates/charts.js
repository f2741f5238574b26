// Charts, drawn once they come into view. Colour is the family; what is not named is grey until the pointer is on it.
const UNWANTED = ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"]; // the first would upload the reader's data
const LINES = 60; // ranked rows drawn in one chart
const wide = matchMedia("(min-width: 50rem)");
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;"); // plotly reads tags
const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const digits = (x) => Number(x.toPrecision(3)).toString();
const quantile = (sorted, q) => sorted[Math.round(q * (sorted.length - 1))];

function base(extra) {
  return {
    font: { color: css("--ink"), size: 12, family: "system-ui, sans-serif" }, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    hovermode: "closest", showlegend: false, margin: { t: 24, r: 24, b: 48, l: 64 }, annotations: [], ...extra,
  };
}

function axis(title, extra) {
  return { title: { text: title, standoff: 8 }, gridcolor: css("--grid"), zeroline: false, automargin: true, ...extra };
}

// Ticks are one or several decades apart, so that labels do not overlap; below two decades plotly chooses them.
function log(values, wanted) {
  const all = values.filter((value) => value > 0);
  const decades = Math.log10(Math.max(...all) / Math.min(...all));
  const step = decades >= 2 ? { dtick: Math.ceil(decades / wanted) } : { nticks: wanted };
  return { type: "log", tickformat: ".3~g", ...step };
}

// The best LINES and what is looked for; and how many are left out.
const kept = (rows) => { const shown = rows.filter(([name], i) => i < LINES || found(name)); return [shown, rows.length - shown.length]; };
const left = (count) => (count ? `${count} more are in the leaderboard` : "");

// A lower end that one diverged training does not move.
function floor(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [quantile(sorted, 0.15), sorted.at(-1)];
  return Math.max(sorted[0], low - (high - low)) - 0.02 * (high - low || 1);
}

// A side for each name, at pixels [x, y]: the first where it covers no other name and the fewest points.
function sides(labels, points) {
  const taken = [];
  return labels.map(([x, y, text]) => {
    const [width, height] = [7 * text.length + 6, 15];
    const boxes = ["bottom left", "top right", "bottom right", "top left", "bottom center", "top center"].map((side) => {
      const left = side.includes("left") ? x - width : side.includes("right") ? x : x - width / 2;
      return [side, left, side.includes("bottom") ? y + 4 : y - height - 4];
    });
    const cost = ([, left, top]) => 100 * taken.filter(([a, b, w]) => left < a + w && a < left + width && Math.abs(b - top) < height).length
      + points.filter(([a, b]) => a > left && a < left + width && b > top && b < top + height).length;
    const best = boxes.reduce((a, b) => (cost(b) < cost(a) ? b : a));
    taken.push([best[1], best[2], width]);
    return best[0];
  });
}

function plane(view, width) {
  const front = new Set(view.front);
  const named = (name) => front.has(name) || found(name);
  const points = [...view.points].sort((a, b) => named(a[0]) - named(b[0]));
  const text = ([name, x, y, lo, hi]) => `<b>${escaped(name)}</b><br>${digits(y)}${lo === null ? "" : ` [${digits(lo)}, ${digits(hi)}]`} at ${digits(x)}`;
  const colours = points.map(([name]) => (named(name) ? colour(name) : DATA.others));
  const reach = (sign) => points.map((p) => Math.max(0, sign > 0 ? (p[4] ?? p[2]) - p[2] : p[2] - (p[3] ?? p[2])));
  const line = view.front.map((name) => points.find((p) => p[0] === name));
  const xs = points.map((p) => p[1]);
  const ys = points.map((p) => p[2]);
  const span = Math.log10(Math.max(...xs) / Math.min(...xs)) || 1;
  const range = [Math.log10(Math.min(...xs)) - 0.22 * span, Math.log10(Math.max(...xs)) + 0.12 * span];
  const pixel = (x, y) => [((Math.log10(x) - range[0]) / (range[1] - range[0])) * (width - 100), (Math.log10(Math.max(...ys) / y) / (Math.log10(Math.max(...ys) / Math.min(...ys)) || 1)) * 340];
  const chosen = points.map((p, i) => i).filter((i) => named(points[i][0]));
  const positions = sides(chosen.map((i) => [...pixel(xs[i], ys[i]), points[i][0]]), points.map((p) => pixel(p[1], p[2])));
  const place = Object.fromEntries(chosen.map((i, k) => [i, positions[k]]));
  const traces = [
    { type: "scatter", mode: "lines", hoverinfo: "skip", x: line.map((p) => p[1]), y: line.map((p) => p[2]), line: { color: css("--quiet"), width: 1, shape: "hv" } },
    {
      type: "scatter", mode: "markers+text", x: xs, y: ys, hoverinfo: "text", hovertext: points.map(text),
      text: points.map(([name]) => (named(name) ? escaped(name) : "")), textposition: points.map((_, i) => place[i] ?? "top center"),
      textfont: { color: css("--ink"), size: 12 }, cliponaxis: false, hoverlabel: { bgcolor: points.map(([name]) => colour(name)) },
      error_y: { type: "data", symmetric: false, array: reach(1), arrayminus: reach(-1), thickness: 1, width: 0, color: css("--quiet") },
      marker: { color: colours, size: points.map(([name]) => (found(name) ? 14 : named(name) ? 11 : 8)), symbol: points.map((p) => (p[5] ? "circle-open" : "circle")), line: { width: 1.5 } },
    },
  ];
  const layout = base({ height: 460, xaxis: axis(view.x, { ...log(xs, 6), range }), yaxis: axis(view.y, log(ys, 6)) });
  const hover = (place) => {
    const paint = (i, one) => Plotly.restyle(place, { "marker.color": [colours.map((c, k) => (k === i ? one : c))] }, [1]);
    place.on("plotly_hover", ({ points: [p] }) => p.curveNumber === 1 && paint(p.pointNumber, colour(points[p.pointNumber][0])));
    place.on("plotly_unhover", () => paint(-1));
  };
  return { traces, layout, hover };
}

const tick = ([name]) => (found(name) ? `<b>${escaped(name)}</b>` : escaped(name));
const lineAxis = (rows) => ({ tickvals: rows.map((_, i) => i), ticktext: rows.map(tick), range: [rows.length - 0.4, -0.6], automargin: true, showgrid: false, zeroline: false, tickfont: { size: 11 } });

function dots(view) {
  const [rows, more] = kept(view.points);
  const low = floor(rows.map((row) => row[1]));
  const off = rows.map(([, x], i) => [x, i]).filter(([x]) => x < low);
  const traces = [{
    type: "scatter", mode: "markers", x: rows.map((row) => row[1]), y: rows.map((_, i) => i), hoverinfo: "text",
    hovertext: rows.map(([name, x, lo, hi]) => `<b>${escaped(name)}</b><br>${x.toFixed(1)}${lo === null ? "" : ` [${lo.toFixed(1)}, ${hi.toFixed(1)}]`}`),
    marker: { color: rows.map(([name]) => colour(name)), size: rows.map(([name]) => (found(name) ? 12 : 8)) },
    error_x: { type: "data", symmetric: false, array: rows.map(([, x, , hi]) => (hi ?? x) - x), arrayminus: rows.map(([, x, lo]) => x - (lo ?? x)), thickness: 1.2, width: 0, color: css("--quiet") },
  }];
  const layout = base({ height: 16 * rows.length + 90, xaxis: axis(view.x, { range: [low, undefined] }), yaxis: lineAxis(rows) });
  const highest = Math.max(...rows.map(([, x, , hi]) => hi ?? x));
  layout.xaxis.range = [low, highest + 0.03 * (highest - low)];
  layout.annotations = off.map(([x, i]) => ({ x: low, y: i, text: `◂ ${x.toFixed(0)}`, showarrow: false, xanchor: "left", font: { size: 10 } }));
  if (more) layout.annotations.push({ text: left(more), showarrow: false, xref: "paper", yref: "paper", x: 1, y: 0.01, xanchor: "right" });
  return { traces, layout };
}

function multiples(view) {
  const groups = [...Object.keys(DATA.families), ""].filter((each) => view.curves.some(([name]) => family(name) === each));
  const across = wide.matches ? Math.min(5, groups.length) : Math.min(2, groups.length);
  const ends = view.curves.flatMap(([, , y]) => (view.log_y ? y : y.slice(-1))).filter((y) => y !== null);
  const range = view.log_y ? undefined : [floor(ends), Math.max(...view.curves.flatMap(([, , y]) => y)) + 1];
  const grey = view.curves.slice(0, MOST);
  const traces = [];
  const down = Math.ceil(groups.length / across);
  const layout = base({ height: 190 * down + 60, grid: { rows: down, columns: across, pattern: "independent", xgap: 0.06, ygap: 0.32 } });
  groups.forEach((each, i) => {
    const end = i ? i + 1 : "";
    const axes = { xaxis: `x${end}`, yaxis: `y${end}` };
    layout[`xaxis${end}`] = axis(i >= groups.length - across ? view.x : "", { matches: i ? "x" : undefined, nticks: 4, tickfont: { size: 10 } });
    layout[`yaxis${end}`] = axis(i % across ? "" : view.y, { matches: i ? "y" : undefined, showticklabels: i % across === 0, tickfont: { size: 10 }, ...(view.log_y ? log(ends, 4) : { range, nticks: 4 }) });
    layout.annotations.push({ text: `<b>${DATA.families[each]?.[0] ?? "yours"}</b>`, showarrow: false, x: 0, y: 1, xref: `x${end} domain`, yref: `y${end} domain`, xanchor: "left", yanchor: "bottom" });
    traces.push({ type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: DATA.others, width: 0.7 }, opacity: 0.5, x: grey.flatMap(([, x]) => [...x, null]), y: grey.flatMap(([, , y]) => [...y, null]), ...axes });
    const own = view.curves.filter(([name]) => family(name) === each);
    const best = own.reduce((a, b) => ((view.log_y ? -1 : 1) * (b[2].at(-1) - a[2].at(-1)) > 0 ? b : a));
    own.filter(([name], k) => k < MOST || found(name)).forEach(([name, x, y]) => {
      const named = name === best[0] || found(name);
      traces.push({
        type: "scatter", mode: x.length > 1 ? "lines" : "markers", x, y, name: escaped(name), hovertemplate: `<b>${escaped(name)}</b><br>%{y:.4g} at %{x:.4g}<extra></extra>`,
        line: { color: colour(name), width: found(name) ? 4 : named ? 2.2 : 1 }, hoverlabel: { bgcolor: colour(name) }, ...axes,
      });
    });
    layout.annotations.push({ text: escaped(best[0]), showarrow: false, x: 1, y: 0.02, xref: `x${end} domain`, yref: `y${end} domain`, xanchor: "right", yanchor: "bottom", font: { size: 11 } });
  });
  return { traces, layout };
}

function shares(view) {
  const [rows, more] = kept(view.bars);
  const grey = (i) => `color-mix(in srgb, ${css("--ink")} ${[72, 14, 30, 46, 88, 60, 38, 22, 8][i % 9]}%, ${css("--paper")})`;
  const probe = document.createElement("i"); // plotly does not know color-mix, the browser does
  document.body.append(probe);
  const solid = (i) => { probe.style.color = grey(i); const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g).map(Number); const k = r <= 1 && g <= 1 && b <= 1 ? 255 : 1; return `rgb(${r * k},${g * k},${b * k})`; };
  const traces = view.phases.map((phase, k) => ({
    type: "bar", orientation: "h", name: phase, x: rows.map((row) => row[2][k]), y: rows.map((_, i) => i), marker: { color: solid(k) },
    hovertemplate: rows.map(([name, ms, share]) => `<b>${escaped(name)}</b><br>${phase}: ${(100 * share[k]).toFixed(0)} % of ${digits(ms)} ms<extra></extra>`),
  })).filter((trace) => trace.x.some((share) => share > 0));
  probe.remove();
  const layout = base({ height: 16 * rows.length + 130, barmode: "stack", bargap: 0.2, showlegend: true, legend: { orientation: "h", y: 1, yanchor: "bottom", traceorder: "normal" },
    margin: { t: 60, r: 90, b: 48, l: 64 }, xaxis: axis(view.x, { range: [0, 1], tickformat: ".0%" }), yaxis: lineAxis(rows) });
  layout.annotations = rows.map(([, ms], i) => ({ x: 1, y: i, text: `${digits(ms)} ms`, showarrow: false, xanchor: "left", xshift: 6, font: { size: 11 } }));
  if (more) layout.annotations.push({ text: left(more), showarrow: false, xref: "paper", yref: "paper", x: 1, y: -0.02, xanchor: "right" });
  return { traces, layout };
}

const draw = (view, width) => (view.bars ? shares(view) : view.curves ? multiples(view) : view.front ? plane(view, width) : dots(view));

function chart(name, views) {
  const figure = document.getElementById(name);
  const [setting, against, place] = [".setting", ".against", ".chart"].map((part) => figure.querySelector(part));
  let seen = false;
  const update = () => {
    const here = views.filter((view) => view.setting === setting.value);
    fill(against, [...new Set(here.map((view) => view.against))].map((value) => [value, value]));
    if (!seen) return;
    const chosen = here.filter((view) => view.against === against.value);
    const panels = chosen.map((view) => {
      const panel = h("div");
      if (DATA.runs.length > 1) panel.append(h("h4", {}, view.run));
      const canvas = panel.appendChild(h("div"));
      return { panel, canvas, view };
    });
    place.querySelectorAll(".js-plotly-plot").forEach((old) => Plotly.purge(old));
    place.replaceChildren(...panels.map(({ panel }) => panel));
    panels.forEach(({ canvas, view }) => {
      const { traces, layout, hover } = draw(view, canvas.clientWidth);
      const bar = { displaylogo: false, displayModeBar: wide.matches ? "hover" : false, modeBarButtonsToRemove: UNWANTED, plotlyServerURL: "", responsive: true };
      Plotly.newPlot(canvas, traces, layout, bar);
      hover?.(canvas);
    });
  };
  fill(setting, [...new Set(views.map((view) => view.setting))].map((value) => [value, value]));
  [setting, against].forEach((select) => select.addEventListener("change", update));
  ["themed", "found"].forEach((event) => addEventListener(event, update));
  wide.addEventListener("change", update);
  new IntersectionObserver(([entry], watch) => {
    if (!entry.isIntersecting) return;
    watch.disconnect();
    seen = true;
    update();
  }, { rootMargin: "200px" }).observe(figure);
  update();
}
