// The update rules of torch.optim for one number: each takes options, and returns a step from a number
// and its gradient to the next number. tests/site/test_figures.py holds them against torch.

export const RULES = {
  SGD({ lr, momentum = 0, weight_decay = 0 }) {
    let buffer = 0;
    return (p, g) => {
      buffer = momentum * buffer + g + weight_decay * p;
      return p - lr * buffer;
    };
  },
  Adam({ weight_decay = 0, ...options }) {
    const step = moments(options);
    return (p, g) => step(p, g + weight_decay * p);
  },
  AdamW({ weight_decay = 0.01, ...options }) {
    const step = moments(options);
    return (p, g) => step(p * (1 - options.lr * weight_decay), g);
  },
};

function moments({ lr, beta1 = 0.9, beta2 = 0.999, eps = 1e-8 }) {
  let [m, v, t] = [0, 0, 0];
  return (p, g) => {
    t += 1;
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    return p - lr * (m / (1 - beta1 ** t)) / (Math.sqrt(v / (1 - beta2 ** t)) + eps);
  };
}

// The valley of tutorial 01, (x² + 10 y²) / 2: its loss, and the way from (10, 5) in steps of a rule.
export const valley = ([x, y]) => (x * x + 10 * y * y) / 2;

export function descend(rule, options, steps) {
  const [across, along] = [RULES[rule](options), RULES[rule](options)];
  const path = [[10, 5]];
  for (let step = 0; step < steps; step += 1) {
    const [x, y] = path.at(-1);
    path.push([across(x, x), along(y, 10 * y)]);
  }
  return path;
}
