// Tutorial 05: how long an average remembers.
import { Chart, number, range, say, slider } from "./draw.js";

const BETAS = [0, ...range(0.1, 0.8, 0.1), 0.85, ...range(0.9, 0.99, 0.01), 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 1];

export function build() {
  let beta;
  const controls = (redraw) => {
    beta = slider({ name: say("left after each step", "每步之后留下"), code: "beta", values: BETAS, at: 0.9 }, redraw);
    return [beta.part];
  };
  const draw = (width) => {
    const half = Math.log(0.5) / Math.log(beta.value);
    const span = [24, 100, 1000, 10000, 40000].find((most) => half * 3.6 < most) ?? 40000;
    const ages = range(0, span, span / Math.min(span, 400));
    const chart = new Chart({
      title: say("What is left of a gradient", "一个梯度还剩多少"), width, height: 280,
      x: { domain: [0, span], name: say("its age in steps", "它是多少步以前的") },
      y: { domain: [0, 1.05] },
    });
    const buffer = ages.map((age) => beta.value ** age);
    const average = buffer.map((left) => (1 - beta.value) * left);
    chart.line(ages, buffer, "c1", { dots: span === 24 });
    chart.line(ages, average, "c2", { dots: span === 24 });
    if (half > 0 && half < span) {
      chart.line([half, half], [0, 0.5], "faint", { dash: true });
      chart.line([0, half], [0.5, 0.5], "faint", { dash: true });
      chart.text(half, 0.5, say(`half-life ${number(half)}`, `半衰期 ${number(half)}`), "faint", { lower: -6 });
    }
    chart.text(span, 1, say("momentum buffer", "动量缓冲区"), "c1", { anchor: "end", lower: 4 });
    chart.text(span, 1, say("average (Adam, EMA)", "平均（Adam、EMA）"), "c2", { anchor: "end", lower: 20 });
    return { charts: [chart], says: verdict(beta.value, half) };
  };
  return {
    caption: say(
      "The share of a gradient in a momentum buffer, and in an exponential moving average, against its age",
      "一个梯度在动量缓冲区里、在指数移动平均里所占的份量，随它的年龄变化",
    ),
    controls,
    draw,
  };
}

function verdict(beta, half) {
  if (beta === 0) return say("beta 0: nothing is remembered, only the newest gradient counts.", "beta 为 0，什么都不记，只看最新的梯度。");
  if (beta === 1) return say("beta 1: nothing is ever forgotten. A buffer grows for ever; an average takes in nothing new, and Adam refuses it.", "beta 为 1，什么都不忘。缓冲区会一直涨；平均则什么新值也不吸收，Adam 会报错。");
  const steps = Math.ceil(half - 1e-9);
  return say(
    `Half is forgotten after ${number(half)} steps: ln 0.5 / ln ${beta}. The weights of the average add up to 1; those of the buffer, to 1 / (1 − beta) = ${number(1 / (1 - beta))}${steps > 1 ? "" : "; one step keeps half at most"}.`,
    `过 ${number(half)} 步忘掉一半：ln 0.5 / ln ${beta}。平均的权重加起来是 1，缓冲区的加起来是 1 / (1 − beta) = ${number(1 / (1 - beta))}${steps > 1 ? "" : "；一步之后最多只剩一半"}。`,
  );
}
