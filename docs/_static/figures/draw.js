// What the figures are made of: words, numbers, controls, charts. They are drawn in SVG, in the page's colours.
import { scaleLinear, scaleLog } from "./d3-scale.min.js";

const chinese = document.documentElement.lang.startsWith("zh");
export const say = (english, own) => (chinese ? own : english);

// As Python would print it, at three digits.
export function number(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const short = size === 0 || (size >= 1e-4 && size < 1e5) ? String(Number(value.toPrecision(3))) : value.toExponential(2);
  return short.replace(/\.?0+e/, "e").replace(/e[+]/, "e").replaceAll("-", "−");
}

// The values of a slider on a logarithmic scale: two digits each, finer where the first is 1 or 2.
export function decades(from, to) {
  const digits = [];
  for (let one = 10; one < 100; one += one < 30 ? 1 : one < 60 ? 2 : 5) digits.push(one);
  const all = [];
  for (let power = from; power < to; power += 1) all.push(...digits.map((one) => Number(`${one}e${power - 1}`)));
  return [...all, Number(`1e${to}`)];
}

export const range = (from, to, step = 1) =>
  Array.from({ length: Math.round((to - from) / step) + 1 }, (_, i) => Number((from + i * step).toPrecision(12)));

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

let count = 0;

// A slider goes through a list of values. It says its value beside it, and to whoever hears the page.
export function slider({ name = "", code = "", values, at }, changed) {
  const id = `moving-${(count += 1)}`;
  const label = element("label", { for: id }, ...(name ? [`${name} `] : []), ...(code ? [element("code", {}, code)] : []));
  const input = element("input", { type: "range", id, min: 0, max: values.length - 1, step: 1 });
  const output = element("output", { for: id, "aria-live": "off" });
  const show = () => {
    output.value = number(values[input.value]);
    input.setAttribute("aria-valuetext", output.value);
  };
  const control = {
    part: element("div", { class: "moving-slider" }, label, output, input),
    get value() { return values[input.value]; },
    set value(wanted) {
      const found = values.indexOf(wanted);
      input.value = found < 0 ? values.findIndex((one) => one >= wanted) : found;
      show();
    },
  };
  control.value = at;
  input.addEventListener("input", () => { show(); changed(); });
  return control;
}

// One of several: buttons that say their name, or a list where there are many.
export function choice({ name, options, at }, changed) {
  const id = `moving-${(count += 1)}`;
  const select = element("select", { id }, ...options.map(([value, text]) => element("option", { value }, text)));
  select.value = at;
  select.addEventListener("change", changed);
  return {
    part: element("div", { class: "moving-choice" }, element("label", { for: id }, name), select),
    get value() { return select.value; },
    set value(wanted) { select.value = wanted; },
  };
}

export function button(text, pressed) {
  const made = element("button", { type: "button" }, text);
  made.addEventListener("click", pressed);
  return made;
}

export { element };

const PAD = { left: 50, right: 18, top: 26, bottom: 42 };

// A chart: axes named and with ticks, lines, marks; what lies outside is cut off, and nothing is drawn that is no number.
export class Chart {
  constructor({ title, width, height, x, y }) {
    this.frame = [PAD.left, PAD.top, width - PAD.left - PAD.right, height - PAD.top - PAD.bottom];
    this.size = [width, height];
    this.title = title;
    this.x = this.axis(x, [PAD.left, width - PAD.right], width / 75);
    this.y = this.axis(y, [height - PAD.bottom, PAD.top], height / 50);
    this.inside = "";
    this.above = "";
  }

  axis({ domain, log = false, name }, span, ticks) {
    const scale = (log ? scaleLog() : scaleLinear()).domain(domain).range(span);
    const place = (value) => {
      if (Number.isNaN(value)) return NaN;
      const kept = log ? Math.max(value, domain[0] / 1e6) : value;
      return Math.min(Math.max(scale(kept), -3000), 6000);
    };
    const round = (value) => !log || Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9;
    return { place, name, ticks: scale.ticks(ticks).filter(round) };
  }

  points(xs, ys) {
    return ys.map((y, i) => [this.x.place(xs[i]), this.y.place(y)]).filter((point) => point.every(Number.isFinite));
  }

  line(xs, ys, kind, { dots = false, dash = false } = {}) {
    const points = this.points(xs, ys).map((point) => point.map((one) => one.toFixed(1)));
    this.inside += `<polyline class="${kind}${dash ? " dash" : ""}" points="${points.join(" ")}"/>`;
    if (dots) this.inside += points.map(([x, y]) => `<circle class="${kind}" cx="${x}" cy="${y}" r="2.5"/>`).join("");
  }

  dot(x, y, kind) {
    for (const [left, top] of this.points([x], [y])) {
      this.inside += `<circle class="${kind}" cx="${left.toFixed(1)}" cy="${top.toFixed(1)}" r="6"/>`;
    }
  }

  ellipse(across, up) {
    const [left, right, top, bottom] = [this.x.place(-across), this.x.place(across), this.y.place(up), this.y.place(-up)];
    this.inside += `<ellipse class="level" cx="${(left + right) / 2}" cy="${(top + bottom) / 2}" rx="${(right - left) / 2}" ry="${(bottom - top) / 2}"/>`;
  }

  // A text at a point that may lie outside, kept inside the frame.
  text(x, y, words, kind, { anchor = "start", lower = 0 } = {}) {
    const [left, top, width, height] = this.frame;
    for (const [a, b] of this.points([x], [y])) {
      const [across, up] = [Math.min(Math.max(a + (anchor === "start" ? 4 : 0), left), left + width), Math.min(Math.max(b + lower, top + 12), top + height - 4)];
      this.above += `<text class="${kind}" x="${across}" y="${up}" text-anchor="${anchor}">${words}</text>`;
    }
  }

  toString() {
    const [[left, top, width, height], [all, high]] = [this.frame, this.size];
    const bottom = top + height;
    const columns = this.x.ticks.map((value) => [this.x.place(value), number(value)]);
    const rows = this.y.ticks.map((value) => [this.y.place(value), number(value)]);
    const clip = `moving-${(count += 1)}`;
    return `<svg width="${all}" height="${high}" viewBox="0 0 ${all} ${high}" role="img" aria-label="${this.title}">
      <clipPath id="${clip}"><rect x="${left}" y="${top - 3}" width="${width + 3}" height="${height + 6}"/></clipPath>
      <text class="title" x="${left}" y="15">${this.title}</text>
      ${columns.map(([x, text]) => `<path class="grid" d="M${x} ${top}V${bottom}"/><text x="${x}" y="${bottom + 15}" text-anchor="middle">${text}</text>`).join("")}
      ${rows.map(([y, text]) => `<path class="grid" d="M${left} ${y}H${left + width}"/><text x="${left - 6}" y="${y + 4}" text-anchor="end">${text}</text>`).join("")}
      <path class="axis" d="M${left} ${top}V${bottom}H${left + width}"/>
      <text x="${left + width / 2}" y="${bottom + 34}" text-anchor="middle">${this.x.name ?? ""}</text>
      ${this.y.name ? `<text transform="translate(12 ${top + height / 2}) rotate(-90)" text-anchor="middle">${this.y.name}</text>` : ""}
      <g clip-path="url(#${clip})">${this.inside}</g>${this.above}</svg>`;
  }
}
