// All epochs of a run in the browser: probabilities as bytes (see covidviz/ui/replays.py), decoded once.

const REPLAYS = new Map(); // address -> promise; one for all who ask on this page

const fetchReplay = (url) => {
  if (!REPLAYS.has(url)) {
    if (REPLAYS.size > 3) REPLAYS.delete(REPLAYS.keys().next().value);
    REPLAYS.set(url, fetch(url)
      .then((reply) => { if (!reply.ok) throw new Error(reply.status); return reply.arrayBuffer(); })
      .then((buffer) => new ReplayData(buffer))
      .catch((error) => { REPLAYS.delete(url); throw error; }));
  }
  return REPLAYS.get(url);
};

class ReplayData {
  constructor(buffer) {
    const length = new Uint32Array(buffer, 0, 1)[0];
    Object.assign(this, JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))));
    const n = (this.n = this.ids.length), c = (this.c = this.classes.length), e = (this.e = this.epochs.length);
    let at = 4 + length;
    const take = (size) => {
      const part = new Uint8Array(buffer, at, size);
      at += size;
      return part;
    };
    this.truth = take(n * c);
    this.fate = take(n);
    this.forgotten = take(n);
    this.level = take(e * n * c);
    this.said = this.single ? take(e * n) : null;
    this.place = new Map(this.ids.map((id, i) => [id, i]));
    this.trueClass = new Int16Array(n);
    for (let i = 0; i < n; i++) this.trueClass[i] = this.truth.subarray(i * c, (i + 1) * c).indexOf(1);
    // The level of the truth (255: not a number), and whether the decision was right, for each epoch and image.
    this.own = new Uint8Array(e * n);
    this.right = new Uint8Array(e * n);
    for (let t = 0, k = 0; t < e; t++) {
      for (let i = 0; i < n; i++, k++) {
        let own = 254, right = 1;
        for (let j = 0; j < c; j++) {
          const level = this.level[k * c + j], yes = this.truth[i * c + j];
          if (level === 255) { own = 255; break; }
          if (this.single) {
            if (yes) own = level;
          } else {
            own = Math.min(own, yes ? level : 254 - level);
            if ((level >= 127) !== Boolean(yes)) right = 0;
          }
        }
        if (this.single && this.said[k] !== this.trueClass[i]) right = 0;
        this.own[k] = own;
        this.right[k] = own === 255 ? 0 : right;
      }
    }
  }

  // Where an epoch is, the nearest before it where it is not kept.
  at(epoch) {
    let found = 0;
    this.epochs.forEach((one, t) => { if (one <= epoch) found = t; });
    return found;
  }

  p(level) { return level === 255 ? null : Math.min(1, (level + 0.5) / 254); }
  own_(t, i) { return this.p(this.own[t * this.n + i]); }

  decided(t, i) {
    if (this.single) return [this.said[t * this.n + i]];
    const k = (t * this.n + i) * this.c;
    return [...Array(this.c).keys()].filter((j) => this.level[k + j] !== 255 && this.level[k + j] >= 127);
  }

  names(list) { return list.map((j) => this.classes[j]).join(", ") || "none"; }
  trueNames(i) { return this.names([...Array(this.c).keys()].filter((j) => this.truth[i * this.c + j])); }

  // Counts by cell id, of the images in `among`.
  counts(t, among) {
    const counts = new Map(), add = (cell) => counts.set(cell, (counts.get(cell) || 0) + 1);
    for (const i of among) {
      if (this.own[t * this.n + i] === 255) continue; // in no cell
      if (this.single) add(`${this.trueClass[i]}-${this.said[t * this.n + i]}`);
      else for (let j = 0; j < this.c; j++) add(this.cellOf(t, i, j));
    }
    return counts;
  }

  cellOf(t, i, j) {
    const yes = this.truth[i * this.c + j], says = this.level[(t * this.n + i) * this.c + j] >= 127;
    return `${j}-${yes ? (says ? "tp" : "fn") : says ? "fp" : "tn"}`;
  }

  inCell(t, i, cell) {
    if (this.own[t * this.n + i] === 255) return false;
    if (this.single) return cell === `${this.trueClass[i]}-${this.said[t * this.n + i]}`;
    return this.cellOf(t, i, Number(cell.split("-")[0])) === cell;
  }

  // The images of a fate (index), or all.
  among(fate) {
    const all = [...Array(this.n).keys()];
    return fate === null ? all : all.filter((i) => this.fate[i] === fate);
  }

  share(t, among) {
    let right = 0;
    for (const i of among) right += this.right[t * this.n + i];
    return among.length ? right / among.length : 0;
  }

  // Wrong ones, the least probable truth first; or right ones, the most probable first; with a cell all of it.
  order(t, which, among, cell) {
    const from = t * this.n, sign = which === "best" ? -1 : 1;
    const wanted = which === "best" ? 1 : 0;
    const rank = (i) => (this.own[from + i] === 255 ? -1 : this.own[from + i]);
    return among.filter((i) => (cell ? this.inCell(t, i, cell) : this.right[from + i] === wanted)).sort((a, b) => sign * (rank(a) - rank(b)) || a - b);
  }
}
