// Tutorial 01: learning rate, momentum and Adam's betas in the valley.
import { button, Chart, choice, decades, element, number, range, say, slider } from "./draw.js";
import { descend, valley } from "./rules.js";

const STEPS = 100;
const TOLD = [0.01, 0.1, 0.19, 0.2, 0.21];
const LOWER = { 0.01: 13, 0.1: 13, 0.19: -1 }; // so that labels of lines that end close to each other can be read
const START = valley([10, 5]);

export function build() {
  let parts;
  const told = TOLD.map((lr) => [lr, descend("SGD", { lr }, STEPS).map(valley)]);
  const controls = (redraw) => {
    const changed = () => {
      parts.momentum.part.hidden = parts.rule.value !== "SGD";
      for (const name of ["beta1", "beta2"]) parts[name].part.hidden = parts.rule.value !== "Adam";
      redraw();
    };
    const betas = [...range(0, 0.85, 0.05), ...range(0.9, 0.99, 0.01), 0.995, 0.999, 1];
    parts = {
      rule: choice({ name: say("Rule", "规则"), at: "SGD", options: [["SGD", "SGD"], ["Adam", "Adam"]] }, changed),
      lr: slider({ name: say("learning rate", "学习率"), code: "lr", values: [0, ...decades(-3, 1), Infinity], at: 0.19 }, redraw),
      momentum: slider({ name: say("", "动量"), code: "momentum", values: range(0, 1, 0.02), at: 0 }, redraw),
      beta1: slider({ code: "beta1", name: say("fading of the gradients", "梯度的衰减"), values: betas, at: 0.9 }, redraw),
      beta2: slider({ code: "beta2", name: say("fading of their squares", "平方的衰减"), values: betas, at: 0.999 }, redraw),
    };
    const presets = TOLD.map((lr) => button(`lr ${lr}`, () => {
      [parts.rule.value, parts.lr.value, parts.momentum.value] = ["SGD", lr, 0];
      changed();
    }));
    parts.momentum.part.hidden = false;
    for (const name of ["beta1", "beta2"]) parts[name].part.hidden = true;
    return [...Object.values(parts).map((one) => one.part), element("div", { class: "moving-buttons" }, ...presets)];
  };

  const draw = (width) => {
    const rule = parts.rule.value;
    const { lr, momentum, beta1, beta2 } = Object.fromEntries(Object.entries(parts).map(([name, one]) => [name, one.value]));
    const path = descend(rule, { lr, momentum, beta1, beta2 }, STEPS);
    const losses = path.map(valley);
    const each = width >= 560 ? (width - 8) / 2 : width;
    const plane = new Chart({
      title: say("The path in the valley", "山谷里的路径"), width: each, height: 290,
      x: { domain: [-11, 11], name: "x" }, y: { domain: [-8, 8], name: "y" },
    });
    for (const level of range(1, 9)) plane.ellipse(level * 2.2, level * 2.2 / Math.sqrt(10));
    plane.line(path.map(([x]) => x), path.map(([, y]) => y), "c0", { dots: true });
    plane.dot(0, 0, "c1");
    const curve = new Chart({
      title: say("The loss", "损失"), width: each, height: 290,
      x: { domain: [0, STEPS * 1.15], name: say("step", "步") }, y: { domain: [1e-12, 1e13], log: true },
    });
    for (const [value, line] of told) {
      curve.line(range(0, STEPS), line, "faint");
      curve.text(STEPS * 1.01, line.at(-1), value, "faint", { lower: LOWER[value] ?? 4 });
    }
    curve.line(range(0, STEPS), losses, "c0");
    return { charts: [plane, curve], says: verdict({ rule, lr, momentum, beta1, beta2 }, path, losses) };
  };
  return {
    caption: say(
      "The valley (x² + 10 y²) / 2 from (10, 5), 100 steps computed in your browser; in grey, the losses of SGD with the five learning rates above",
      "山谷 (x² + 10 y²) / 2，从 (10, 5) 出发走 100 步，由你的浏览器算出；灰线是上面五个学习率下 SGD 的损失",
    ),
    controls,
    draw,
  };
}

function verdict({ rule, lr, momentum, beta1, beta2 }, path, losses) {
  const end = losses.at(-1);
  const lost = losses.findIndex((loss) => !Number.isFinite(loss));
  const out = path.findIndex(([x, y]) => !(Math.abs(x) <= 11 && Math.abs(y) <= 8));
  const words = [];
  if (rule === "Adam" && Math.max(beta1, beta2) >= 1) {
    words.push(say("torch refuses a beta of 1: an average that never takes in anything new has no value here either.", "beta 等于 1，torch 会报错：从不吸收新值的平均，在这里也算不出数来。"));
  } else if (lr === 0) {
    words.push(say(`With a learning rate of 0 nothing moves: the loss stays at ${number(START)}.`, `学习率为 0，一步也不动，损失停在 ${number(START)}。`));
  } else if (!Number.isFinite(lr)) {
    words.push(say("An infinite learning rate: the first step has no end, and after it nothing is a number any more (∞ − ∞ is NaN).", "学习率无穷大：第一步就没有尽头，之后什么都不再是数（∞ − ∞ 得 NaN）。"));
  } else if (lost >= 0) {
    words.push(say(`It flies off: at step ${lost} the loss is larger than the largest number there is, 1.8e308.`, `飞走了：到第 ${lost} 步，损失已超过浮点数能表示的最大值 1.8e308。`));
  } else if (end > START * 1.001) {
    // Adam's steps are at most about lr long: it may be farther away than at the start, but it does not fly off.
    words.push(rule === "SGD" ? say("It flies off:", "飞走了：") : say("It ends higher than it began:", "越走越高："));
    words.push(say(`the loss was ${number(START)}, and is ${number(end)} after 100 steps.`, `损失一开始是 ${number(START)}，100 步后是 ${number(end)}。`));
  } else if (rule === "SGD" && momentum === 1) {
    words.push(say(`With a momentum of 1 no gradient is ever forgotten: it swings on and on, and the loss happens to be ${number(end)} after 100 steps.`, `动量为 1，梯度一个也不忘，来回摆个不停；100 步后损失碰巧是 ${number(end)}。`));
  } else if (end > START / 2) {
    words.push(say(`It does not get down: after 100 steps the loss is ${number(end)}.`, `下不去：100 步后损失是 ${number(end)}。`));
  } else if (end > 0.01) {
    words.push(say(`It has not arrived: after 100 steps the loss is ${number(end)}.`, `还没走到：100 步后损失是 ${number(end)}。`));
  } else {
    const there = losses.findLastIndex((loss) => loss > 0.01) + 1;
    words.push(say(`It arrives: from step ${there} on the loss is below 0.01; after 100 it is ${number(end)}.`, `走到了：从第 ${there} 步起损失小于 0.01，100 步后是 ${number(end)}。`));
  }
  const drawn = Number.isFinite(lr) && !(rule === "Adam" && Math.max(beta1, beta2) >= 1);
  if (out > 0 && drawn) words.push(say(`The path leaves the picture at step ${out}.`, `第 ${out} 步起路径出了图。`));
  if (rule === "SGD" && momentum === 0 && lr > 0 && drawn) {
    words.push(say(`Each step multiplies x by ${number(1 - lr)} and y by ${number(1 - 10 * lr)}.`, `每走一步，x 乘以 ${number(1 - lr)}，y 乘以 ${number(1 - 10 * lr)}。`));
  }
  return words.join(say(" ", ""));
}
