// Tutorial 14: weight decay added to the gradient (Adam), and apart from it (AdamW).
import { Chart, decades, number, range, say, slider } from "./draw.js";
import { RULES } from "./rules.js";

const SIZES = range(-3, 3, 0.1).map((power) => 10 ** power);
const SHOWN = [0.01, 0.1, 1, 10, 100];

// What is left of a weight that starts at 1, and whose gradient is now a number, now minus that number.
function left(rule, options, size, steps) {
  const step = RULES[rule](options);
  let weight = 1;
  for (let t = 0; t < steps; t += 1) weight = step(weight, t % 2 ? -size : size);
  return weight;
}

export function build() {
  let parts;
  const controls = (redraw) => {
    parts = [
      slider({ name: say("", "权重衰减"), code: "weight_decay", values: [0, ...decades(-4, 2), Infinity], at: 0.1 }, redraw),
      slider({ name: say("learning rate", "学习率"), code: "lr", values: [0, ...decades(-5, 0), Infinity], at: 0.01 }, redraw),
      slider({ name: say("steps", "步数"), values: range(0, 1000, 10), at: 500 }, redraw),
    ];
    return parts.map((one) => one.part);
  };
  const draw = (width) => {
    const [weight_decay, lr, steps] = parts.map((one) => one.value);
    const chart = new Chart({
      title: say("What is left of a weight", "权重还剩多少"), width, height: 300,
      x: { domain: [1e-3, 1e3], log: true, name: say("size of the gradients", "梯度的大小") }, y: { domain: [-0.1, 1.2] },
    });
    for (const [i, rule] of ["AdamW", "Adam"].entries()) {
      const after = (size) => left(rule, { weight_decay, lr }, size, steps);
      chart.line(SIZES, SIZES.map(after), `c${i}`);
      for (const size of SHOWN) chart.dot(size, after(size), `c${i}`);
      chart.text(1e-3, 1.2, rule, `c${i}`, { lower: 12 + 15 * i });
    }
    return { charts: [chart], says: verdict(weight_decay, lr, steps) };
  };
  return {
    caption: say(
      "What is left of a weight of 1 whose gradients change sign at each step, against their size, computed in your browser",
      "一个从 1 出发的权重还剩多少，随梯度大小的变化；梯度每步变号，由你的浏览器算出",
    ),
    controls,
    draw,
  };
}

function verdict(decay, lr, steps) {
  if (steps === 0) return say("Before the first step all weights are at 1.", "一步还没走，权重都是 1。");
  if (!Number.isFinite(decay) || !Number.isFinite(lr)) return say("Infinity leads nowhere: after a step or two no weight is a number.", "有一项是无穷大，就算不下去了：一两步之后，权重都不再是数。");
  if (lr === 0) return say("With a learning rate of 0 nothing decays either: AdamW multiplies by 1 − lr · weight_decay, which is 1.", "学习率为 0，也就不衰减：AdamW 乘的是 1 − lr · weight_decay，等于 1。");
  if (decay === 0) return say("No decay: Adam and AdamW are the same, and no weight gets far.", "没有衰减，Adam 和 AdamW 就是一回事，权重都走不远。");
  const factor = 1 - lr * decay;
  const [small, large] = [0.01, 100].map((size) => number(left("Adam", { weight_decay: decay, lr }, size, steps)));
  const words = [say(
    `AdamW multiplies each weight by 1 − lr · weight_decay = ${number(factor)} at each step, whatever its gradients. Adam divides the decay by the size of the gradients: at 0.01 it leaves ${small}, at 100 ${large}.`,
    `AdamW 不看梯度，每步都把权重乘以 1 − lr · weight_decay = ${number(factor)}。Adam 把衰减也除以梯度的大小：梯度为 0.01 的剩 ${small}，为 100 的剩 ${large}。`,
  )];
  if (factor <= -1) words.push(say("lr · weight_decay is 2 or more: AdamW flies off.", "lr · weight_decay 不小于 2，AdamW 会飞走。"));
  else if (factor < 0) words.push(say("lr · weight_decay is more than 1: AdamW jumps beyond 0.", "lr · weight_decay 大于 1，AdamW 一步就跨过了 0。"));
  return words.join(say(" ", ""));
}
