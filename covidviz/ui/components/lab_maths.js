// What follows from probabilities, as `covidviz.evaluation` computes it: tests compare the two.

// With a threshold an image is called critical where its probability reaches it, else the likeliest of the others.
const verdictsOf = (prob, critical, threshold) => prob.map((p) => {
  const ruled = threshold !== null && critical >= 0;
  if (ruled && p[critical] >= threshold) return critical;
  let best = -1;
  p.forEach((v, j) => { if (!(ruled && j === critical) && (best < 0 || v > p[best])) best = j; });
  return best;
});
const confusionOf = (truth, verdict, n) => {
  const cells = Array.from({ length: n }, () => new Array(n).fill(0));
  truth.forEach((t, i) => { cells[t][verdict[i]] += 1; });
  return cells;
};
// What would be 0/0 is 0.
const scoresOf = (cells) => {
  const n = cells.length, share = (a, b) => (b ? a / b : 0);
  const rows = cells.map((row) => row.reduce((a, b) => a + b, 0));
  const columns = cells.map((_, j) => cells.reduce((sum, row) => sum + row[j], 0));
  const recall = cells.map((row, i) => share(row[i], rows[i]));
  const f1 = cells.map((row, i) => share(2 * row[i], rows[i] + columns[i]));
  const right = cells.reduce((sum, row, i) => sum + row[i], 0);
  return { accuracy: share(right, rows.reduce((a, b) => a + b, 0)), macro_f1: f1.reduce((a, b) => a + b, 0) / n, recall, rows };
};
// Wilson's interval at 95 %.
const wilsonOf = (hits, n) => {
  if (!n) return [0, 1];
  const z = 1.959963984540054, z2 = z * z, p = hits / n;
  const middle = (hits + z2 / 2) / (n + z2), half = (z / (n + z2)) * Math.sqrt(n * p * (1 - p) + z2 / 4);
  return [hits === 0 ? 0 : Math.max(0, middle - half), hits === n ? 1 : Math.min(1, middle + half)];
};
// Images whose verdict changed: wrong before and right now, the other way round, or wrong in another way.
const flipsOf = (truth, before, now) => {
  const found = { broken: [], fixed: [], other: [] };
  truth.forEach((t, i) => {
    if (before[i] === now[i]) return;
    found[now[i] === t ? "fixed" : before[i] === t ? "broken" : "other"].push(i);
  });
  return found;
};
const signed = (v, digits) => (Math.abs(v) < 0.5 * 10 ** -digits ? "±0" : `${v > 0 ? "+" : "−"}${Math.abs(v).toFixed(digits)}`);
// 0.0003 as 3e-4, 0.012 as it is, 1000000 as 1e6.
const plain = (v) => {
  if (v !== 0 && (Math.abs(v) < 0.001 || Math.abs(v) >= 1e5)) return v.toExponential().replace("e+", "e");
  return String(Number(v.toPrecision(4)));
};
