// What follows from a threshold, as `covidviz.evaluation` computes it: tests compare the two.

// The answer of /scores: probabilities and labels row by row, ids and picture keys.
const scoresFrom = (buffer) => {
  const size = new Uint32Array(buffer, 0, 1)[0];
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const n = head.ids.length, c = (buffer.byteLength - 4 - size) / (5 * n);
  return { ...head, n, c, prob: new Float32Array(buffer, 4 + size, n * c), truth: new Uint8Array(buffer, 4 + size + 4 * n * c, n * c) };
};

/* One class of all images. `p`: its probability; `label`: the true one of the `size` decisions there are; `trained`:
   what is decided without a threshold; `other`: what is decided where the threshold of decision `own` is not reached.
   Several labels: the decisions are yes (0) and no (1). */
const sideOf = ({ prob, truth, n, c }, k, single) => {
  const side = { n, size: single ? c : 2, own: single ? k : 0, p: new Float32Array(n), label: new Uint16Array(n), trained: new Uint16Array(n), other: new Uint16Array(n) };
  for (let i = 0; i < n; i++) {
    const row = i * c, p = side.p[i] = prob[row + k];
    if (!single) {
      side.label[i] = truth[row + k] ? 0 : 1;
      side.trained[i] = p >= 0.5 ? 0 : 1;
      side.other[i] = 1;
      continue;
    }
    let best = 0, rest = k === 0 && c > 1 ? 1 : 0, label = 0;
    for (let j = 1; j < c; j++) { // of equals the first
      if (prob[row + j] > prob[row + best]) best = j;
      if (j !== k && prob[row + j] > prob[row + rest]) rest = j;
    }
    while (label < c - 1 && !truth[row + label]) label += 1;
    side.label[i] = label;
    side.trained[i] = best;
    side.other[i] = rest;
  }
  return side;
};
const decided = (side, t, i) => (t === null ? side.trained[i] : side.p[i] >= t ? side.own : side.other[i]);

// The confusion matrix, rows true, at a threshold; null: as trained.
const cellsAt = (side, t) => {
  const { n, size, label } = side, flat = new Uint32Array(size * size);
  for (let i = 0; i < n; i++) flat[label[i] * size + decided(side, t, i)] += 1;
  return Array.from({ length: size }, (_, row) => [...flat.subarray(row * size, (row + 1) * size)]);
};
// One decision against the rest.
const oneAgainstRest = (cells, own) => {
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const all = sum(cells.map(sum)), tp = cells[own][own], fn = sum(cells[own]) - tp, fp = sum(cells.map((row) => row[own])) - tp;
  return { tp, fp, fn, tn: all - tp - fn - fp, all, right: sum(cells.map((row, i) => row[i])) };
};
// What is measured at a threshold: [hits, of how many], and F1.
const measuresOf = ({ tp, fp, fn, tn, all, right }) => ({
  recall: [tp, tp + fn], precision: [tp, tp + fp], specificity: [tn, tn + fp], f1: [2 * tp, 2 * tp + fp + fn], accuracy: [right, all],
});
// Which of the choices costs least, the highest threshold of equals.
const cheapestOf = (choices, ratio) => {
  let best = 0;
  for (let i = 1; i < choices.t.length; i++) {
    if (ratio * choices.fn[i] + choices.fp[i] < ratio * choices.fn[best] + choices.fp[best]) best = i;
  }
  return best;
};
/* The images that change side, by what that does to them: how many, and the `most` nearest to the threshold. */
const changesAt = (side, t, most) => {
  const found = { broken: { n: 0, at: [] }, fixed: { n: 0, at: [] }, other: { n: 0, at: [] } };
  if (t === null) return found;
  const far = { broken: [], fixed: [], other: [] };
  for (let i = 0; i < side.n; i++) {
    const before = side.trained[i], now = side.p[i] >= t ? side.own : side.other[i];
    if (before === now) continue;
    const kind = now === side.label[i] ? "fixed" : before === side.label[i] ? "broken" : "other";
    const group = found[kind], distances = far[kind], d = Math.abs(side.p[i] - t);
    group.n += 1;
    if (group.at.length === most && d >= distances[most - 1]) continue;
    let at = distances.length;
    while (at && distances[at - 1] > d) at -= 1;
    distances.splice(at, 0, d);
    group.at.splice(at, 0, i);
    if (group.at.length > most) { group.at.pop(); distances.pop(); }
  }
  return found;
};
// How many images of either truth lie in each of `bins` equal parts of 0..1.
const histogramOf = (side, bins) => {
  const yes = new Array(bins).fill(0), no = new Array(bins).fill(0);
  for (let i = 0; i < side.n; i++) (side.label[i] === side.own ? yes : no)[Math.min(bins - 1, Math.floor(side.p[i] * bins))] += 1;
  return { yes, no };
};
