const COSTS = [1 / 50, 1 / 20, 1 / 10, 1 / 5, 1 / 3, 1 / 2, 1, 2, 3, 5, 10, 20, 50, 100];
const BINS = 50, MOST = 12, LARGE = 8;
const PANELS = new WeakMap();
const MEASURES = { recall: "recall", precision: "precision", specificity: "specificity", f1: "F1", accuracy: "accuracy" };
const TOLD = {
  recall: "of the images that have it, found (sensitivity)", precision: "of those that are called so, right",
  specificity: "of the images that have it not, left alone", f1: "harmonic mean of recall and precision", accuracy: "of all images, right",
};
const CHANGES = { broken: ["✕", "now wrong"], fixed: ["✓", "now right"], other: ["↔", "still wrong"] };
const three = (v) => (Number.isFinite(v) ? v.toFixed(3) : "–");
const ratioText = (r) => (r >= 1 ? `${plain(r)} false alarm${r === 1 ? "" : "s"}` : `1/${plain(1 / r)} of a false alarm`);

class Panel {
  constructor(root) {
    this.root = root;
    const of = (selector) => root.querySelector(selector);
    this.at = Object.fromEntries(["rule", "frozen", "hist", "t", "box", "cost", "ratio", "trained", "back", "save", "saved", "heard", "measures", "charts", "runs", "flips"]
      .map((name) => [name, of(`.${name}`)]));
    this.at.matrix = of(".matrix-box");
    this.at.cost.max = COSTS.length - 1;
    const { at } = this;
    at.t.oninput = () => this.move(Math.round(1000 * Number(at.t.value)) / 1000, null);
    at.box.oninput = () => { // what can't be a threshold is left to be finished
      const value = Number(at.box.value);
      if (at.box.value !== "" && value >= 0 && value <= 1) this.move(value, null, at.box);
    };
    at.cost.oninput = () => {
      const ratio = COSTS[Number(at.cost.value)];
      this.move(this.data.choices.t[cheapestOf(this.data.choices, ratio)], ratio);
    };
    for (const input of [at.t, at.box, at.cost]) input.onchange = () => this.settle();
    at.trained.onclick = () => { this.move(null, null); this.settle(); };
    at.back.onclick = () => { this.move(this.data.saved.t, this.data.saved.cost); this.settle(); };
    at.save.onclick = () => this.tell("save", { t: this.t, cost: this.ratio });
    at.flips.onclick = (event) => {
      const tile = event.target.closest("button.tile");
      if (tile) this.tell("open", { id: tile.dataset.id });
    };
    this.roc = buildCurves(at.charts, "ROC", "false positive rate", "recall");
    this.pr = buildCurves(at.charts, "Precision and recall", "recall", "precision");
    this.tiles = new Map();
  }

  update(data, tell) {
    const { at } = this, before = this.data;
    this.data = data;
    this.tell = tell;
    this.theme = themeOf(this.root);
    const fresh = before?.id !== data.id || before?.frozen !== data.frozen;
    const same = data.threshold === this.sent?.t && data.cost === this.sent?.cost;
    if (same) this.sent = null;
    if (fresh || !this.sent) { // else an answer to an earlier move: the hand has gone on
      this.t = data.threshold;
      this.ratio = data.cost;
      this.sent = null;
    }
    if (this.url !== data.url) {
      this.url = data.url;
      this.side = null;
      this.root.setAttribute("aria-busy", "true");
      fetch(data.url)
        .then((response) => { if (!response.ok) throw new Error(response.status); return response.arrayBuffer(); })
        .then((buffer) => {
          if (this.url !== data.url) return;
          this.scores = scoresFrom(buffer);
          this.begin();
        }, () => { this.url = null; at.heard.classList.add("failed"); at.heard.textContent = "The probabilities could not be fetched. Reload the page."; });
    } else if (this.scores) {
      this.begin();
    }
    for (const input of [at.t, at.box, at.cost]) input.disabled = data.frozen;
    this.root.querySelector(".of-cost").hidden = !data.choices;
    this.root.querySelector(".actions").hidden = data.frozen;
    at.frozen.hidden = !data.frozen && data.saves;
    this.legend();
  }

  // Class, split, theme or curves are others.
  begin() {
    const { data, at } = this, name = data.classes[data.k];
    const key = `${data.url} ${data.k}`;
    if (this.sideKey !== key || !this.side) {
      this.sideKey = key;
      this.side = sideOf(this.scores, data.k, data.single);
      this.before = cellsAt(this.side, null);
      drawHistogram(at.hist, histogramOf(this.side, BINS), [name, "others"]);
      this.large = this.side.size > LARGE;
      const names = data.single && !this.large ? data.classes : [name, `not ${name}`];
      this.drawMatrix = buildMatrix(at.matrix, names);
      this.tiles.clear();
    }
    this.root.removeAttribute("aria-busy");
    this.draw();
    this.say();
  }

  move(t, ratio, from) {
    this.t = t;
    this.ratio = ratio;
    this.from = from;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.side) this.draw();
      this.from = null;
    });
  }

  settle() {
    this.sent = { t: this.t, cost: this.ratio };
    this.tell("settled", this.sent);
    if (this.side) this.say();
  }

  cells(t) {
    const cells = t === null ? this.before : cellsAt(this.side, t);
    if (!this.large) return cells;
    const { tp, fp, fn, tn } = oneAgainstRest(cells, this.side.own);
    return [[tp, fn], [fp, tn]];
  }

  draw() {
    const { at, data, t } = this, name = data.classes[data.k];
    const cells = t === null ? this.before : cellsAt(this.side, t), own = this.side.own;
    this.counts = oneAgainstRest(cells, own);
    const was = oneAgainstRest(this.before, own);
    const shown = t ?? 0.5;
    if (this.from !== at.t) at.t.value = shown;
    if (this.from !== at.box) at.box.value = t === null && data.single ? "" : Number(shown.toPrecision(6));
    at.t.setAttribute("aria-valuetext", t === null ? "as trained" : `p ≥ ${plain(shown)}`);
    at.t.classList.toggle("unset", t === null && data.single);
    at.cost.value = COSTS.indexOf(COSTS.reduce((a, b) => (Math.abs(Math.log(b / (this.ratio ?? 1))) < Math.abs(Math.log(a / (this.ratio ?? 1))) ? b : a)));
    at.cost.classList.toggle("unset", this.ratio === null);
    at.cost.setAttribute("aria-valuetext", this.ratio === null ? "not used" : ratioText(this.ratio));
    at.ratio.textContent = this.ratio === null ? "(by hand)" : ratioText(this.ratio);
    at.rule.replaceChildren(...this.rule(name, t));
    at.hist.style.setProperty("--t", shown);
    at.hist.classList.toggle("unset", t === null && data.single);
    this.drawMatrix(this.large ? this.cells(t) : cells, t === null ? null : this.large ? this.cells(null) : this.before, this.theme);
    this.measures(was);
    const { tp, fp, fn, tn } = this.counts;
    this.roc.point(tp + fn && fp + tn ? [fp / (fp + tn), tp / (tp + fn)] : null);
    this.pr.point(tp + fn && tp + fp ? [tp / (tp + fn), tp / (tp + fp)] : null);
    this.changes = changesAt(this.side, t, MOST);
    this.flipped();
    this.buttons();
    this.root.dataset.drawn = `${t} ${this.counts.tp} ${this.counts.fp}`;
  }

  rule(name, t) {
    const called = el("b", "", name);
    called.dir = "auto";
    if (t === null && this.data.single) return [document.createTextNode("As trained: the likeliest class is decided, whatever its probability.")];
    const rest = this.data.single && this.data.classes.length > 1 ? ", else the likeliest of the others." : t === null ? ", as trained." : ", else not.";
    return [called, document.createTextNode(` is decided where its probability is at least ${plain(t ?? 0.5)}${rest}`)];
  }

  measures(was) {
    const { at, data, t } = this, now = measuresOf(this.counts), before = measuresOf(was);
    const head = el("tr");
    for (const text of ["", "now", ...(data.intervals ? ["95 %"] : []), "as trained"]) head.append(Object.assign(el("th", "", text), { scope: "col" }));
    const rows = Object.entries(MEASURES).map(([key, name]) => {
      const row = el("tr"), [k, n] = now[key], [k0, n0] = before[key];
      const title = Object.assign(el("th", "", name), { scope: "row", title: TOLD[key] });
      row.append(title, Object.assign(el("td", ""), { title: key === "f1" ? "" : `${k} of ${n}` }));
      row.lastChild.append(el("b", "", n ? three(k / n) : "–"));
      if (data.intervals) {
        const [low, high] = wilsonOf(k, n);
        row.append(el("td", "quiet", n && key !== "f1" ? `${low.toFixed(2)}–${high.toFixed(2)}` : ""));
      }
      row.append(el("td", "quiet", n0 ? three(k0 / n0) : "–"));
      return row;
    });
    if (this.ratio !== null) {
      const cost = (counts) => plain(Math.round(100 * (this.ratio * counts.fn + counts.fp)) / 100), row = el("tr");
      row.append(Object.assign(el("th", "", "cost"), { scope: "row", title: `${this.counts.fn} misses and ${this.counts.fp} false alarms` }), el("td"));
      row.lastChild.append(el("b", "", cost(this.counts)));
      if (data.intervals) row.append(el("td"));
      row.append(el("td", "quiet", cost(was)));
      rows.push(row);
    }
    at.measures.replaceChildren(el("thead"), el("tbody"));
    at.measures.firstChild.append(head);
    at.measures.lastChild.append(...rows);
    at.measures.dataset.t = String(t);
  }

  buttons() {
    const { at, data, t } = this, saved = data.saved;
    const kept = saved ? saved.t === t && saved.cost === this.ratio : t === null;
    at.trained.disabled = t === null;
    at.save.hidden = !data.saves;
    at.save.disabled = kept;
    at.save.textContent = kept && saved ? "Saved" : t === null && saved ? "Forget the saved one" : "Save threshold";
    at.back.hidden = !saved || kept;
    if (saved) at.back.textContent = `Back to ${plain(saved.t)}`;
    const words = saved ? (kept ? saved.words : `${plain(saved.t)} is ${saved.words}`) : data.replaces ? `Saving it replaces the one of ${data.replaces}.` : "";
    at.saved.textContent = words;
    const where = !data.saves && !data.frozen
      ? "There are no validation images: what is chosen here is chosen on the images that it is judged on, and is not saved."
      : t === null ? "As trained: no threshold was chosen on the validation images." : `Chosen on the validation images${saved && kept ? " and saved" : ", not saved"}; here it is frozen.`;
    at.frozen.textContent = where;
  }

  // The pictures follow a little later: a slider passes many of them.
  flipped() {
    const { at, changes, data } = this;
    const total = changes.broken.n + changes.fixed.n + changes.other.n;
    if (!this.heads) {
      const head = el("div", "flips-head");
      head.append(el("b", "", "Images that change side"));
      this.heads = Object.fromEntries(Object.keys(CHANGES).map((kind) => [kind, head.appendChild(el("span", kind))]));
      this.list = el("ul", "tiles");
      this.note = el("p", "quiet");
      at.flips.replaceChildren(head, this.note, this.list);
    }
    for (const [kind, [mark, words]] of Object.entries(CHANGES)) this.heads[kind].textContent = `${mark} ${changes[kind].n.toLocaleString("en")} ${words}`;
    for (const span of Object.values(this.heads)) span.hidden = !total;
    const left = total - Object.values(changes).reduce((sum, group) => sum + group.at.length, 0);
    this.note.textContent = this.t === null ? "Move the threshold: images that are judged otherwise then appear here."
      : !total ? "None: each image is judged as trained." : left > 0 ? `The nearest to the threshold; ${left.toLocaleString("en")} more are not shown.` : "";
    this.later ||= setTimeout(() => {
      this.later = 0;
      if (this.side) this.pictures();
    }, 90);
    at.flips.dataset.split = data.split;
  }

  pictures() {
    const { changes, data, scores, side } = this, names = side.size === 2 && !data.single ? [data.classes[data.k], `not ${data.classes[data.k]}`] : data.classes;
    const most = Math.max(...Object.values(changes).map((group) => group.at.length));
    const order = Array.from({ length: most }, (_, j) => Object.keys(CHANGES).map((kind) => [kind, changes[kind].at[j]])).flat().filter(([, i]) => i !== undefined);
    const kept = new Map();
    const nodes = order.map(([kind, i]) => {
      const id = scores.ids[i], item = this.tiles.get(id) || this.tile(id, scores.v[i]);
      kept.set(id, item);
      const [button] = item.children, [, mark, what] = button.children;
      button.className = `tile ${kind}`;
      mark.textContent = `${CHANGES[kind].join(" ")}`;
      what.textContent = `→ ${names[decided(side, this.t, i)]}`;
      button.title = `true: ${names[side.label[i]]}; was ${names[side.trained[i]]}, now ${names[decided(side, this.t, i)]}; p(${data.classes[data.k]}) = ${side.p[i].toFixed(3)}`;
      button.setAttribute("aria-label", `X-ray, ${button.title}`);
      return item;
    });
    this.tiles = kept;
    if (nodes.length !== this.list.children.length || nodes.some((node, j) => node !== this.list.children[j])) this.list.replaceChildren(...nodes);
    this.list.hidden = !nodes.length;
  }

  tile(id, v) {
    const item = el("li"), button = item.appendChild(el("button", "tile"));
    button.type = "button";
    button.dataset.id = id;
    const image = button.appendChild(new Image());
    image.alt = "";
    image.decoding = "async";
    image.onerror = () => image.classList.add("gone");
    if (v) image.src = `${this.data.base}${id}.t.webp?v=${v}`; else image.classList.add("gone");
    button.append(el("span", "kind"), el("small"));
    return item;
  }

  legend() {
    const { at, data, theme } = this, two = (v) => (v === null ? "–" : v.toFixed(3));
    const colours = data.curves.map((_, i) => (i ? classColour(theme, [0, 1, 3, 2, 4, 5][(i - 1) % 6]) : theme.primary));
    const line = (curve, i, kind) => ({ x: curve[kind][0], y: curve[kind][1], colour: colours[i], dash: DASHES[i % DASHES.length], own: !i });
    const of = (kind) => data.curves.map((curve, i) => curve[kind] && line(curve, i, kind)).filter(Boolean);
    const own = data.curves[0], base = own ? own.positives / own.n : null;
    const words = data.curves.map((curve) => `${curve.name}: area under the ROC ${two(curve.auc)}, average precision ${two(curve.ap)}`).join("; ");
    this.roc.lines(of("roc"), null, `ROC. ${words}`);
    this.pr.lines(of("pr"), base ?? 0, `Precision over recall, base rate ${two(base)}. ${words}`);
    const items = data.curves.map((curve, i) => {
      const item = el("li"), mark = item.appendChild(svgOf("svg", { viewBox: "0 0 24 6", "aria-hidden": "true" }));
      mark.append(svgOf("path", { d: "M0 3H24", class: i ? "line" : "line own", stroke: colours[i], "stroke-dasharray": DASHES[i % DASHES.length] }));
      const name = item.appendChild(el("span", "run", curve.name));
      name.dir = "auto";
      name.title = curve.name;
      const ends = data.intervals && curve.auc_ends ? ` (${curve.auc_ends.map((v) => v.toFixed(2)).join("–")})` : "";
      const areas = item.appendChild(el("span", "quiet", `AUC ${two(curve.auc)}${ends} · AP ${two(curve.ap)}${curve.same ? "" : " · on other images"}`));
      areas.title = "AUC: area under the ROC, with DeLong's 95 % interval (each image counted for itself). AP: average precision";
      return item;
    });
    if (own) {
      const item = el("li"), mark = item.appendChild(svgOf("svg", { viewBox: "0 0 24 6", "aria-hidden": "true" }));
      mark.append(svgOf("path", { d: "M0 3H24", class: "base" }));
      const missing = !own.positives ? `: no image has it, so there are no curves` : own.positives === own.n ? ": all images have it, so there is no ROC" : "";
      item.append(el("span", "quiet", `base rate ${(100 * base).toFixed(1)} % (${own.positives.toLocaleString("en")} of ${own.n.toLocaleString("en")} ${data.split} images)${missing}`));
      items.push(item);
    }
    at.runs.replaceChildren(...items);
  }

  // For those who do not see it, once the hand has let go.
  say() {
    const [hits, n] = measuresOf(this.counts).recall, [good, said] = measuresOf(this.counts).precision;
    this.at.heard.textContent = `${this.at.rule.textContent} Recall ${n ? three(hits / n) : "unknown"}, precision ${said ? three(good / said) : "unknown"}. `
      + Object.entries(CHANGES).map(([kind, [, words]]) => `${this.changes[kind].n} ${words}`).join(", ");
  }

  stop() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.later);
    this.frame = this.later = 0;
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".thresholds");
  if (!PANELS.has(root)) PANELS.set(root, new Panel(root));
  const panel = PANELS.get(root);
  panel.update(data, (name, value) => setTriggerValue(name, value));
  return replaced(root, () => { if (!root.isConnected) panel.stop(); });
}
