import uPlot from "uplot";
import uplotCss from "uplot/dist/uPlot.min.css";
import { h, injectStyles, setText } from "../lib/dom.js";
import { count, duration, elapsed, rate } from "../lib/format.js";

const HEIGHT = 190; // px, with the legend
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400]; // s
const POWERS = Array.from({ length: 50 }, (_, at) => 2 ** at); // steps of the axis, so that sizes are round

/** The rate of each attempt over the time since it began, one above the other; the last one stands out. */
export function ratePlot(signal) {
  injectStyles("scigate-uplot-style", uplotCss);
  const words = h("figcaption", { class: "scigate-sub" });
  const pointed = h("span", { class: "scigate-quiet scigate-small", "aria-hidden": "true" });
  const box = h("div", { class: "scigate-plot" });
  const heading = h("div", { class: "scigate-row" }, h("h3", {}, "Rate"), pointed);
  const node = h("figure", { class: "scigate-figure" }, heading, box, words);
  let plot = null;
  let drawn = "";

  const resize = new ResizeObserver(() => plot?.setSize({ width: box.clientWidth, height: HEIGHT }));
  resize.observe(box);
  signal.addEventListener("abort", end, { once: true });

  function end() {
    resize.disconnect();
    plot?.destroy();
    plot = null;
  }

  /** @param isOver  what has not been measured then never will be */
  function update({ attempts, expected }, isOver = false) {
    const shown = attempts.filter(({ points }) => points.length > 1);
    node.hidden = isOver && !shown.length;
    setText(words, summary(shown, expected));
    box.hidden = !shown.length;
    if (!shown.length || !box.isConnected || signal.aborted) return;
    const data = joined(shown, expected);
    const shape = `${shown.length} ${Boolean(expected)}`;
    if (plot && drawn === shape) plot.setData(data);
    else draw(shown, expected, data);
    drawn = shape;
  }

  function draw(shown, expected, data) {
    plot?.destroy();
    plot = new uPlot({ ...options(shown, expected, box), hooks: { setCursor: [point] } }, data, box);
    plot.root.setAttribute("aria-hidden", "true"); // the caption says it in words
  }

  /** What is under the mouse. */
  function point({ cursor: { idx }, data: [times, ...lines] }) {
    const value = idx === null || idx === undefined ? null : lines.map((line) => line[idx]).findLast(Number.isFinite);
    setText(pointed, Number.isFinite(value) ? `${rate(value)} after ${duration(times[idx])}` : "");
  }

  return { node, update };
}

/** Points of all attempts on one axis of time. */
function joined(attempts, expected) {
  const tables = attempts.map(({ points }) => [points.map(([time]) => time), points.map(([, value]) => value)]);
  const data = tables.length > 1 ? uPlot.join(tables) : tables[0];
  return expected ? [data[0], data[0].map(() => expected), ...data.slice(1)] : data;
}

function options(attempts, expected, box) {
  const style = getComputedStyle(box);
  const colour = (name) => style.getPropertyValue(name).trim();
  const grid = { stroke: colour("--sg-line"), width: 1 };
  const axis = { stroke: colour("--sg-quiet"), grid, ticks: { show: false }, font: `11px ${style.fontFamily}` };
  const line = { spanGaps: true, points: { show: false } };
  const last = attempts.length - 1;
  const lines = attempts.map(({ attempt }, at) =>
    at === last
      ? { ...line, label: "This attempt", stroke: colour("--sg-accent"), width: 2 }
      : { ...line, label: `Attempt ${attempt}`, stroke: colour("--sg-quiet"), width: 1, alpha: 0.6 },
  );
  if (expected) lines.splice(0, 0, { ...line, label: "Usual", stroke: colour("--sg-good"), width: 1, dash: [6, 4] });
  return {
    width: box.clientWidth,
    height: HEIGHT,
    scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
    axes: [
      { ...axis, values: (_, values) => values.map(elapsed), incrs: STEPS, space: 70, size: 28 },
      { ...axis, values: (_, values) => values.map(rate), incrs: POWERS, size: 84 },
    ],
    series: [{}, ...lines],
    cursor: { y: false },
    legend: { live: false },
  };
}

/** What the plot shows, for those who do not see it. */
function summary(attempts, expected) {
  if (!attempts.length) return "There is nothing to plot yet: the rate of an attempt is seen after some seconds.";
  const [last] = attempts.at(-1).points.slice(-1);
  const earlier = attempts.length > 1 ? ` ${count(attempts.length - 1, "earlier attempt")} for comparison.` : "";
  const hoped = expected ? ` About ${rate(expected)} is usual.` : "";
  return `${rate(last[1])} after ${duration(last[0])}.${hoped}${earlier}`;
}
