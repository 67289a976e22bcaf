// Tutorial 05: how far the first step of SGD and of Adam goes, by the size of the gradient.
import { Chart, decades, number, range, say, slider } from "./draw.js";
import { RULES } from "./rules.js";

const SIZES = range(-12, 6, 0.125).map((power) => 10 ** power);
const far = (rule, options, g) => Math.abs(RULES[rule](options)(0, g));

export function build() {
  let parts;
  const controls = (redraw) => {
    parts = {
      gradient: slider({ name: say("size of the gradient", "梯度的大小"), values: [0, ...range(-12, 6, 0.5).map((power) => Number((10 ** power).toPrecision(2))), Infinity], at: 100 }, redraw),
      lr: slider({ name: say("learning rate", "学习率"), code: "lr", values: [0, ...decades(-4, 1), Infinity], at: 1 }, redraw),
      eps: slider({ code: "eps", values: [0, ...range(-16, -1).map((power) => Number(`1e${power}`)), 1], at: 1e-8 }, redraw),
    };
    return Object.values(parts).map((one) => one.part);
  };
  const draw = (width) => {
    const [g, lr, eps] = Object.values(parts).map((one) => one.value);
    const chart = new Chart({
      title: say("Length of the first step", "第一步的长度"), width, height: 320,
      x: { domain: [1e-12, 1e6], log: true, name: say("size of the gradient", "梯度的大小") },
      y: { domain: [1e-12, 1e7], log: true },
    });
    const steps = { SGD: far("SGD", { lr }, g), Adam: far("Adam", { lr, eps }, g) };
    for (const [i, rule] of ["SGD", "Adam"].entries()) {
      if (lr > 0 && Number.isFinite(lr)) {
        chart.line(SIZES, SIZES.map((size) => far(rule, { lr, eps }, size)), `c${i}`);
        chart.text(1e6, far(rule, { lr, eps }, 1e6), rule, `c${i}`, { anchor: "end", lower: -6 });
      }
      if (g > 0 && Number.isFinite(g)) chart.dot(g, steps[rule], `c${i}`);
    }
    return { charts: [chart], says: verdict(g, lr, eps, steps) };
  };
  return {
    caption: say(
      "The first step of SGD and of Adam against the gradient, both axes logarithmic, computed in your browser",
      "SGD 和 Adam 的第一步随梯度的变化，两轴都是对数坐标，由你的浏览器算出",
    ),
    controls,
    draw,
  };
}

function verdict(g, lr, eps, { SGD, Adam }) {
  if (lr === 0) return say("With a learning rate of 0 neither moves.", "学习率为 0，两个都不动。");
  if (!Number.isFinite(lr)) return say("An infinite learning rate: no axis can show such a step.", "学习率无穷大：这样的一步，哪根坐标轴都画不下。");
  if (!Number.isFinite(g)) return say("An infinite gradient: SGD's step is infinite; Adam divides ∞ by ∞, which is NaN.", "梯度无穷大：SGD 的步子无穷大；Adam 算的是 ∞ 除以 ∞，得 NaN。");
  if (g === 0 && eps === 0) return say("No gradient and no eps: SGD stays; Adam divides 0 by 0, which is NaN. That is what eps is for.", "梯度为 0，eps 也为 0：SGD 不动；Adam 算 0 除以 0，得 NaN。eps 就是为此而设。");
  if (g === 0) return say("No gradient: neither moves.", "梯度为 0，两个都不动。");
  const share = Adam / lr;
  const told = share > 0.99
    ? say("the learning rate, whatever the gradient is", "等于学习率，与梯度大小无关")
    : say(`${number(share)} of the learning rate, since the gradient is ${g > eps ? "not far above" : g === eps ? "as small as" : "below"} eps`, `是学习率的 ${number(share)} 倍，因为梯度${g > eps ? "没比 eps 大多少" : g === eps ? "和 eps 一样小" : "比 eps 还小"}`);
  return say(`Gradient ${number(g)}: SGD moves by ${number(SGD)}, Adam by ${number(Adam)}: ${told}.`, `梯度 ${number(g)}：SGD 移动 ${number(SGD)}，Adam 移动 ${number(Adam)}，${told}。`);
}
