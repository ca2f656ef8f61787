// Losses of one yes-or-no question, as `covidviz.evaluation.loss_curves` and `.batch_focal` compute them: tests compare.

const LN_BETA = Math.log(0.9999);
const balancedWeights = (counts) => {
  const weights = counts.map((n) => (1 - 0.9999) / -Math.expm1(Math.max(n, 1) * LN_BETA)), sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => (w / sum) * weights.length);
};
// {gp, gn, wp, wn, clip}: exponents and weights of a yes and a no.
const CROSS_ENTROPY = { gp: 0, gn: 0, wp: 1, wn: 1, clip: 0 };
const shapeOf = ({ loss, gamma, alpha, gamma_pos, gamma_neg, clip, yes, no }) => {
  if (loss === "asymmetric") return { ...CROSS_ENTROPY, gp: gamma_pos, gn: gamma_neg, clip };
  if (loss === "class_balanced") {
    const [wp, wn] = balancedWeights([yes, no]);
    return { ...CROSS_ENTROPY, wp, wn };
  }
  return { gp: gamma, gn: gamma, wp: alpha ?? 1, wn: alpha === null ? 1 : 1 - alpha, clip: 0 };
};
const lossAt = (s, p, yes) => {
  if (yes) return -s.wp * (1 - p) ** s.gp * Math.log(p) + 0;
  const q = Math.max(p - s.clip, 0);
  return -s.wn * q ** s.gn * Math.log1p(-q) + 0;
};
// The derivative by the logit: <= 0 for a yes, >= 0 for a no.
const pullAt = (s, p, yes) => {
  if (yes) return s.wp * (1 - p) ** s.gp * (s.gp * p * (p > 0 ? Math.log(p) : 0) - (1 - p));
  if (p <= s.clip) return 0;
  const q = p - s.clip;
  const pull = p < 1 ? -s.gn * (Math.log1p(-q) / q) * (1 - p) : 0;
  return s.wn * q ** s.gn * (pull + (q < 1 ? (1 - p) / (1 - q) : 1)) * p;
};
const trueAt = (s, p) => {
  const no = pullAt(s, p, false), both = no - pullAt(s, p, true);
  return both > 0 ? no / both : p;
};
const saidFor = (s, share) => {
  let low = 0, high = 1;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (trueAt(s, middle) < share) low = middle; else high = middle;
  }
  return (low + high) / 2;
};
/* The part that those with the label have in the loss and in the pull. `p`, `label` (0: has it): see `sideOf`.
   yes, no: as if there were so many. */
const sharesOf = (s, p, label, yes, no) => {
  const sums = { loss: [0, 0], pull: [0, 0] }, n = [0, 0];
  for (let i = 0; i < p.length; i++) {
    const at = Math.min(1 - 1e-7, Math.max(1e-7, p[i])), has = label[i] === 0, side = has ? 0 : 1;
    n[side] += 1;
    sums.loss[side] += lossAt(s, at, has);
    sums.pull[side] += Math.abs(pullAt(s, at, has));
  }
  const part = (sum) => {
    const [a, b] = [[yes, 0], [no, 1]].map(([count, side]) => (n[side] ? (count * sum[side]) / n[side] : 0));
    return a + b > 0 ? a / (a + b) : NaN;
  };
  return { loss: part(sums.loss), pull: part(sums.pull) };
};

// --- the loss on the mean BCE of a batch

const batchValue = (b, gamma) => (-Math.expm1(-b)) ** gamma * Math.log(b);
const batchSlope = (b, gamma) => {
  const q = -Math.expm1(-b);
  return gamma * q ** (gamma - 1) * (1 - q) * Math.log(b) + q ** gamma / b;
};
const batchMinimum = (gamma) => {
  if (gamma <= 0) return null;
  let low = -1 / gamma - 2, high = 0;
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2, b = Math.exp(middle);
    if (gamma * middle + (b > 0 ? Math.expm1(b) / b : 1) < 0) low = middle; else high = middle;
  }
  return Math.exp((low + high) / 2);
};
const batchDescent = (start, gamma, lr, steps) => {
  const found = [];
  let b = start, x = -(b + Math.log(-Math.expm1(-b)));
  for (let i = 0; i <= steps; i++) {
    found.push(b);
    x += lr * -Math.expm1(-b) * (gamma === null ? 1 : batchSlope(b, gamma));
    b = Math.max(Math.max(-x, 0) + Math.log1p(Math.exp(-Math.abs(x))), 1e-12);
  }
  return found;
};
