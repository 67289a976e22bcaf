// Tutorial 11: a schedule put together from torch's schedulers, its curve, and the code that makes it.
import { button, Chart, choice, decades, element, number, range, say, slider } from "./draw.js";
import { code, curve, milestone } from "./schedules.js";

const LONG = [...range(1, 60), ...range(65, 200, 5)];
const FACTORS = range(0.05, 1, 0.05);
// What can be picked, and the sliders of each: their values, and where they begin.
const FIRST = {
  LinearLR: { start_factor: [[0.001, 0.01, ...FACTORS], 0.1], total_iters: [LONG, 10] },
  ConstantLR: { factor: [[0.01, ...FACTORS], 0.3], total_iters: [LONG, 10] },
};
const THEN = {
  ConstantLR: { factor: [FACTORS, 1], total_iters: [LONG, 5] },
  StepLR: { step_size: [LONG, 15], gamma: [range(0, 1.1, 0.05), 0.5] },
  ExponentialLR: { gamma: [[0, 0.5, ...range(0.8, 1.1, 0.01), 2], 0.95] },
  PolynomialLR: { total_iters: [LONG, 40], power: [[0, 0.5, 1, 2, 3, 4], 2] },
  CosineAnnealingLR: { T_max: [LONG, 40] },
  CosineAnnealingWarmRestarts: { T_0: [LONG, 10], T_mult: [[1, 2, 3], 2] },
};

export function build() {
  let [lr, steps, joined, lists] = [];
  const controls = (redraw) => {
    const changed = () => {
      for (const { pick, sliders } of lists) {
        for (const one of sliders) one.part.hidden = one.kind !== pick.value;
      }
      joined.part.hidden = !lists[0].pick.value;
      redraw();
    };
    const list = (name, kinds, at, none) => {
      const options = [...(none ? [["", none]] : []), ...Object.keys(kinds).map((kind) => [kind, kind])];
      const sliders = Object.entries(kinds).flatMap(([kind, all]) => Object.entries(all).map(([option, [values, start]]) =>
        Object.assign(slider({ code: option, values, at: start }, redraw), { kind, option })));
      for (const one of sliders) one.part.hidden = one.kind !== at;
      return { pick: choice({ name, options, at }, changed), sliders };
    };
    lr = slider({ name: say("learning rate", "学习率"), code: "lr", values: [0, ...decades(-4, 1), Infinity], at: 1 }, redraw);
    steps = slider({ name: say("steps of the run", "训练的步数"), values: range(10, 200, 5), at: 50 }, redraw);
    joined = choice({
      name: say("Joined", "怎样合起来"), at: "after",
      options: [["after", say("one after the other: SequentialLR", "一个接一个：SequentialLR")], ["product", say("both at once: ChainedScheduler", "同时起作用：ChainedScheduler")]],
    }, redraw);
    lists = [list(say("First", "先"), FIRST, "LinearLR", say("nothing", "没有")), list(say("Then", "然后"), THEN, "CosineAnnealingLR")];
    const columns = lists.map(({ pick, sliders }) => element("div", {}, pick.part, ...sliders.map((one) => one.part)));
    return [...columns, lr.part, steps.part, joined.part];
  };

  const design = () => ({
    lr: lr.value,
    steps: steps.value,
    joined: joined.value,
    parts: lists.filter(({ pick }) => pick.value).map(({ pick, sliders }) => ({
      kind: pick.value,
      options: Object.fromEntries(sliders.filter(({ kind }) => kind === pick.value).map((one) => [one.option, one.value])),
    })),
  });

  const draw = (width) => {
    const made = design();
    const lrs = curve(made);
    const seen = lrs.filter(Number.isFinite);
    const chart = new Chart({
      title: say("Learning rate", "学习率"), width, height: 280,
      x: { domain: [0, made.steps], name: say("calls of scheduler.step()", "scheduler.step() 的次数") },
      y: { domain: [0, 1.05 * (Math.max(...seen) || 1)] },
    });
    const second = made.parts.length > 1 && made.joined === "after";
    if (second && milestone(made.parts) <= made.steps) {
      const where = milestone(made.parts);
      chart.line([where, where], [0, 1e300], "faint", { dash: true });
      chart.text(where, 0, say("milestone", "里程碑"), "faint", { lower: -6 });
    }
    chart.line(range(0, made.steps), lrs, "c0");
    return { charts: [chart], says: verdict(made, lrs), more: block(code(made)) };
  };
  return {
    caption: say(
      "A schedule to put together: the curve is what optimkit.lr_curve gives for the code below it",
      "自己拼一条学习率曲线：它与用下面的代码调用 optimkit.lr_curve 的结果相同",
    ),
    controls,
    draw,
  };
}

function block(text) {
  const copy = button(say("Copy the code", "复制代码"), async () => {
    await navigator.clipboard.writeText(`${text}\n`);
    copy.textContent = say("Copied", "已复制");
  });
  return [element("pre", { tabindex: 0 }, text), copy];
}

function verdict({ lr, steps, joined, parts }, lrs) {
  if (lr === 0) return say("A learning rate of 0 times anything is 0: nothing is learned.", "学习率为 0，乘上什么都是 0，什么也学不到。");
  if (!Number.isFinite(lr)) return say("No axis can show an infinite learning rate, and ∞ times 0 is NaN.", "学习率无穷大，哪根坐标轴都画不下；∞ 乘 0 又得 NaN。");
  const [high, end] = [Math.max(...lrs), lrs.at(-1)];
  const words = [say(
    `Highest at step ${lrs.indexOf(high)}: ${number(high)}; after ${steps} steps: ${number(end)}.`,
    `最高在第 ${lrs.indexOf(high)} 步：${number(high)}；${steps} 步后：${number(end)}。`,
  )];
  const main = parts.at(-1);
  const left = steps - (parts.length > 1 && joined === "after" ? milestone(parts) : 0);
  const gone = lrs.findLastIndex((one) => one !== 0) + 1;
  if (parts.length > 1 && joined === "after" && left <= 0) {
    words.push(say("The run ends before the second scheduler begins.", "训练结束时，后一个调度器还没轮到。"));
  } else if (gone > 0 && gone < steps) {
    words.push(say(`From step ${gone} on it is 0: the rest of the run learns nothing.`, `从第 ${gone} 步起是 0，后面全是白跑。`));
  }
  if (high > lr * 1.001) words.push(say("It grows above the lr that you gave.", "它涨过了你给的 lr。"));
  if (main.kind === "CosineAnnealingLR" && left > main.options.T_max) {
    words.push(say("Past T_max the cosine climbs back up.", "过了 T_max，余弦会往回爬。"));
  }
  if (parts.length > 1 && joined === "product" && main.kind === "CosineAnnealingWarmRestarts") {
    words.push(say("Restarts set lr anew at each step: the first scheduler has no effect.", "热重启每步都重新设定 lr，前一个调度器不起作用。"));
  }
  return words.join(say(" ", ""));
}
