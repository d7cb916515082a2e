import uPlot from "uplot";
import uplotCss from "uplot/dist/uPlot.min.css";
import { h, injectStyles, setText } from "../lib/dom.js";
import { count, duration, rate, size } from "../lib/format.js";

const HEIGHT = 180; // px

/** The rate of each attempt over the time since it began, one above the other; the last one stands out. */
export function ratePlot(signal) {
  injectStyles("scigate-uplot-style", uplotCss);
  const words = h("figcaption", { class: "scigate-sub" });
  const box = h("div", { class: "scigate-plot" });
  const node = h("figure", { class: "scigate-figure" }, h("h4", {}, "Rate"), box, words);
  let plot = null;
  let drawn = "";

  const resize = new ResizeObserver(() => plot?.setSize({ width: box.clientWidth, height: HEIGHT }));
  resize.observe(box);
  signal.addEventListener("abort", () => (resize.disconnect(), plot?.destroy()), { once: true });

  function update({ attempts, expected }) {
    const shown = attempts.filter(({ points }) => points.length > 1);
    setText(words, summary(shown, expected));
    box.hidden = !shown.length;
    if (!shown.length || !box.isConnected) return;
    const data = joined(shown, expected);
    const shape = `${shown.length} ${Boolean(expected)}`;
    if (plot && drawn === shape) return void plot.setData(data);
    plot?.destroy();
    drawn = shape;
    plot = new uPlot(options(shown, expected, box), data, box);
    plot.root.setAttribute("aria-hidden", "true"); // the caption says it in words
  }

  return { node, update };
}

/** Points of all attempts on one axis of time. */
function joined(attempts, expected) {
  const tables = attempts.map(({ points }) => [points.map(([time]) => time), points.map(([, value]) => value)]);
  const data = tables.length > 1 ? uPlot.join(tables) : tables[0];
  return expected ? [...data, data[0].map(() => expected)] : data;
}

function options(attempts, expected, box) {
  const style = getComputedStyle(box);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--sg-quiet"), grid: { stroke: colour("--sg-line"), width: 1 }, ticks: { show: false }, font: `11px ${style.fontFamily}` };
  const last = attempts.length - 1;
  const lines = attempts.map(({ attempt }, at) => ({
    label: at === last ? "This attempt" : `Attempt ${attempt}`,
    stroke: at === last ? colour("--sg-accent") : colour("--sg-quiet"),
    width: at === last ? 2 : 1,
    alpha: at === last ? 1 : 0.55,
    spanGaps: true,
    points: { show: false },
    value: (_, value) => (value === null ? "" : rate(value)),
  }));
  if (expected) lines.push({ label: "Expected", stroke: colour("--sg-good"), width: 1, dash: [6, 4], points: { show: false }, value: (_, value) => rate(value) });
  return {
    width: box.clientWidth,
    height: HEIGHT,
    scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
    axes: [
      { ...axis, values: (_, values) => values.map((value) => duration(value)), space: 70 },
      { ...axis, values: (_, values) => values.map((value) => `${size(value)}/s`), size: 84 },
    ],
    series: [{ label: "After", value: (_, value) => (value === null ? "" : duration(value)) }, ...lines],
    cursor: { y: false },
    legend: { live: true },
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
