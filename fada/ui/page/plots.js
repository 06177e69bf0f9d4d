// Curves and histograms as SVG.
import { short } from "./parts.js";

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 56, RIGHT = 20, TOP = 12, BOTTOM = 28;

function draw(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function ticks(low, high, count, least = 0) {
  const step = 10 ** Math.floor(Math.log10((high - low) / count));
  const size = Math.max(least, [1, 2, 5, 10].map((each) => each * step).find((each) => (high - low) / each <= count));
  const found = [];
  for (let at = Math.ceil(low / size) * size; at <= high + size * 1e-9; at += size) found.push(Math.abs(at) < size * 1e-9 ? 0 : at);
  return found;
}

const widened = (low, high) => (low < high ? [low, high] : [low - (Math.abs(low) || 1) * 0.05, high + (Math.abs(high) || 1) * 0.05]);

function frame(label, [width, height], [x0, x1], [y0, y1], { isLog = false, wanted = 6, least = 0 } = {}) {
  const plot = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const x = (value) => LEFT + ((value - x0) / (x1 - x0)) * (width - LEFT - RIGHT);
  const y = (value) => height - BOTTOM - ((value - y0) / (y1 - y0)) * (height - TOP - BOTTOM);
  for (const at of ticks(y0, y1, 4)) {
    plot.append(draw("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: y(at), y2: y(at) }));
    plot.append(draw("text", { x: LEFT - 8, y: y(at) + 4, "text-anchor": "end" }, short(isLog ? 10 ** at : at)));
  }
  for (const at of ticks(x0, x1, wanted, least)) plot.append(draw("text", { x: x(at), y: height - 8, "text-anchor": "middle" }, short(at)));
  return { plot, x, y };
}

// points: [step, value] in order; width: pixels that there are.
export function curve(points, name, isLog, width) {
  const kept = isLog ? points.filter(([, value]) => value > 0).map(([step, value]) => [step, Math.log10(value)]) : points;
  if (!kept.length) return null;
  const steps = kept.map(([step]) => step), values = kept.map(([, value]) => value);
  const last = points[points.length - 1];
  const label = `${name} over steps ${steps[0]} to ${steps[steps.length - 1]}, last ${short(last[1])}`;
  const { plot, x, y } = frame(label, [Math.max(260, width), 240], widened(Math.min(...steps), Math.max(...steps)), widened(Math.min(...values), Math.max(...values)), { isLog, least: 1, wanted: width < 500 ? 4 : 7 });
  const line = kept.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
  if (line.length > 1) plot.append(draw("polyline", { class: "curve", points: line.join(" ") }));
  const [cx, cy] = line[line.length - 1].split(",");
  plot.append(draw("circle", { class: "dot", cx, cy, r: 4 }));
  return plot;
}

// edges: n + 1 borders of n counts, all of one width; one value alone has two equal ones.
export function histogram({ step, edges, counts }, name) {
  const isPoint = edges[0] === edges[edges.length - 1];
  const range = widened(edges[0], edges[edges.length - 1]);
  const { plot, x, y } = frame(`${name} at step ${step}`, [360, 180], range, [0, Math.max(...counts) || 1], { wanted: 4 });
  counts.forEach((count, number) => {
    const left = isPoint ? x(edges[0]) - 3 : x(edges[number]);
    const width = isPoint ? 6 : x(edges[number + 1]) - left - 1;
    plot.append(draw("rect", { class: "pillar", x: left, y: y(count), width, height: y(0) - y(count) }));
  });
  return plot;
}
