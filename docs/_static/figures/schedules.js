// Schedulers of torch (2.15, torch/optim/lr_scheduler.py), step by step in its own arithmetic, and the code that makes them.
// `start` is the learning rate at step 0, `next` the one at step t, from the one before it.

export const KINDS = {
  ConstantLR: {
    start: (lr, base, { factor }) => lr * factor,
    next: (lr, base, t, { factor, total_iters }) => (t === total_iters ? lr * (1 / factor) : lr),
  },
  LinearLR: {
    start: (lr, base, { start_factor }) => lr * start_factor,
    next(lr, base, t, { start_factor, total_iters }) {
      const rise = 1 - start_factor;
      return t > total_iters ? lr : lr * (1 + rise / (total_iters * start_factor + (t - 1) * rise));
    },
  },
  StepLR: {
    start: (lr) => lr,
    next: (lr, base, t, { step_size, gamma }) => (t % step_size === 0 ? lr * gamma : lr),
  },
  ExponentialLR: {
    start: (lr) => lr,
    next: (lr, base, t, { gamma }) => lr * gamma,
  },
  PolynomialLR: {
    start: (lr) => lr,
    next: (lr, base, t, { total_iters, power }) =>
      (t > total_iters ? lr : lr * ((1 - t / total_iters) / (1 - (t - 1) / total_iters)) ** power),
  },
  CosineAnnealingLR: {
    start: (lr) => lr,
    next(lr, base, t, { T_max }) {
      const cosine = (step) => 1 + Math.cos((Math.PI * step) / T_max);
      // Once in 2 * T_max steps it comes from 0, and no factor leads away from there.
      if ((t - 1 - T_max) % (2 * T_max) === 0) return lr + (base * (1 - Math.cos(Math.PI / T_max))) / 2;
      return (cosine(t) / cosine(t - 1)) * lr;
    },
  },
  CosineAnnealingWarmRestarts: {
    start: (lr, base) => base,
    next(lr, base, t, { T_0, T_mult }) {
      let [since, length] = [t, T_0];
      while (since >= length) [since, length] = [since - length, length * T_mult];
      return (base * (1 + Math.cos((Math.PI * since) / length))) / 2;
    },
  },
};

// A design: {lr, steps, joined: "after" | "product", parts: [{kind, options}]}, one part or two.
export function curve({ lr: base, steps, joined, parts }) {
  const rules = parts.map(({ kind, options }) => ({ ...KINDS[kind], options }));
  const length = rules.length > 1 && joined === "after" ? milestone(parts) : Infinity;
  const start = (some) => some.reduce((lr, { start: first, options }) => first(lr, base, options), base);
  const early = joined === "after" ? rules.slice(0, 1) : rules;
  let lr = start(early);
  const all = [lr];
  for (let step = 1; step <= steps; step += 1) {
    if (step === length) lr = start(rules.slice(1));
    else {
      const [some, t] = step > length ? [rules.slice(1), step - length] : [early, step];
      for (const { next, options } of some) lr = next(lr, base, t, options);
    }
    all.push(lr);
  }
  return all;
}

export const milestone = ([first]) => first.options.total_iters;

const python = (value) => (Number.isFinite(value) ? String(value) : 'float("inf")');
const made = ({ kind, options }) =>
  `${kind}(optimizer, ${Object.entries(options).map(([name, value]) => `${name}=${python(value)}`).join(", ")})`;

export function code({ lr, joined, parts }) {
  const [, second] = parts;
  const join = joined === "after" ? "SequentialLR" : "ChainedScheduler";
  const kinds = [...new Set([...parts.map(({ kind }) => kind), ...(second ? [join] : [])])].sort();
  const lines = ["from torch.optim import SGD", `from torch.optim.lr_scheduler import ${kinds.join(", ")}`, "", `optimizer = SGD(model.parameters(), lr=${python(lr)})`];
  if (!second) return [...lines, `scheduler = ${made(parts[0])}`].join("\n");
  lines.push(`first = ${made(parts[0])}`, `then = ${made(second)}`);
  lines.push(joined === "after"
    ? `scheduler = SequentialLR(optimizer, [first, then], milestones=[${milestone(parts)}])`
    : "scheduler = ChainedScheduler([first, then])");
  return lines.join("\n");
}
