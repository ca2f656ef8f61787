/* The playground: sliders at the left; loss, pull, shares and link at the right, computed here as they move. */

const PANELS = new WeakMap();
const POINTS = Array.from({ length: 201 }, (_, i) => (i === 0 ? 0.0005 : i === 200 ? 0.9995 : i / 200));
const LOSS_TOPS = [0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20];
const MOST_ROWS = 12, BINS = 50, SETTLED = 400;
const percent = (v) => (!Number.isFinite(v) ? "–" : v > 0 && v < 0.001 ? "<\u00a00.1\u00a0%" : `${(100 * v).toFixed(v < 0.0995 ? 1 : 0)}\u00a0%`);
const prob = (v) => (v > 0 && v < 0.005 ? "< .01" : v > 0.995 && v < 1 ? "> .99" : v.toFixed(2).replace(/^0/, ""));
const costs = (v) => (!Number.isFinite(v) ? "∞" : v === 0 ? "0" : v < 0.001 ? v.toExponential(1) : v.toFixed(3));

class Panel {
  constructor(root) {
    this.root = root;
    this.at = Object.fromEntries(["fields", "why", "legend-line", "charts", "readout", "shares", "link", "reset"].map((name) => [name, root.querySelector(`.${name}`)]));
    this.loss = buildLines(this.at.charts, "Loss", "p: probability said for yes", "loss");
    this.pull = buildLines(this.at.charts, "Pull on the network (gradient by the logit)", "p: probability said for yes", "|gradient|");
    this.hists = [this.loss, this.pull].map((chart) => chart.figure.insertBefore(el("div", "hist"), chart.figure.lastChild));
    this.link = buildLines(this.at.link, "What a said p stands for", "said by a network that learned all there is", "truly yes");
    this.at.reset.onclick = () => { this.values = this.defaults(); this.controls.show(this.values); this.draw(); this.settle(); };
  }

  defaults() {
    return Object.fromEntries(this.data.controls.map((c) => [c.name, c.default]));
  }

  update(data, tell) {
    const before = this.data;
    this.tell = tell;
    this.data = data;
    const theme = themeOf(this.root);
    this.root.style.setProperty("--second", classColour(theme, 1));
    if (!before || !same(before.controls, data.controls)) {
      this.at.fields.replaceChildren();
      this.controls = buildControls(this.at.fields, data.controls, (name, value, final) => {
        this.values = { ...this.values, [name]: value };
        this.controls.show(this.values);
        this.later();
        if (final) this.settle();
      });
    }
    const text = JSON.stringify(data.settings);
    if (!before || before.id !== data.id || (text !== this.text && text !== this.sent)) this.values = { ...this.defaults(), ...data.settings };
    this.text = text;
    this.controls.show(this.values);
    if (data.url && this.url !== data.url) {
      this.url = data.url;
      this.root.setAttribute("aria-busy", "true");
      fetch(data.url)
        .then((reply) => { if (!reply.ok) throw new Error(reply.status); return reply.arrayBuffer(); })
        .then((buffer) => { if (this.url === data.url) { this.scores = scoresFrom(buffer); this.begin(); } },
          () => { this.url = null; this.at.why.textContent = "The predictions could not be fetched. Reload the page."; });
    } else if (!data.url) {
      this.url = null;
      this.scores = data.made_up;
      this.begin();
    } else if (this.scores) this.begin();
  }

  begin() {
    const { data, scores } = this;
    this.root.removeAttribute("aria-busy");
    this.sides = data.classes.map((_, k) => {
      const side = { p: new Float64Array(scores.n), label: new Uint8Array(scores.n), size: 2, own: 0, n: scores.n };
      for (let i = 0; i < scores.n; i++) {
        side.p[i] = scores.prob[i * scores.c + k];
        side.label[i] = scores.truth[i * scores.c + k] ? 0 : 1;
      }
      return side;
    });
    const name = data.classes[data.k], counts = histogramOf(this.sides[data.k], BINS);
    for (const hist of this.hists) drawHistogram(hist, counts, [name, `not ${name}`]);
    this.plain = data.classes.map((_, k) => this.sharesOf(CROSS_ENTROPY, k));
    this.legend();
    this.draw();
  }

  sharesOf(shape, k) {
    const own = k === this.data.k;
    const [yes, no] = own ? [this.values.yes, this.values.no] : this.data.counts[k];
    return sharesOf(shape, this.sides[k].p, this.sides[k].label, yes, no);
  }

  // Class-balanced weights are each label's own.
  shapeFor(k) {
    const [yes, no] = k === this.data.k ? [this.values.yes, this.values.no] : this.data.counts[k];
    return shapeOf({ ...this.values, yes, no });
  }

  later() {
    this.frame ||= requestAnimationFrame(() => { this.frame = 0; if (this.sides) this.draw(); });
  }

  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      if (!this.root.isConnected) return;
      const different = Object.fromEntries(this.data.controls.filter((c) => !same(this.values[c.name], c.default)).map((c) => [c.name, this.values[c.name]]));
      this.sent = JSON.stringify(different);
      this.tell(different);
    }, SETTLED);
  }

  legend() {
    const name = this.data.classes[this.data.k], title = this.data.titles;
    const items = [["yes", `${name}: yes is the truth`], ["no", "no is the truth"], ["before-yes", "the same with cross-entropy"]];
    this.at["legend-line"].replaceChildren(...items.map(([cls, words]) => {
      const item = el("span"), mark = item.appendChild(svgOf("svg", { viewBox: "0 0 26 6" }));
      mark.append(svgOf("path", { d: "M0 3H26", class: `line ${cls}` }));
      item.append(document.createTextNode(words));
      return item;
    }));
    this.title = title;
  }

  draw() {
    const { values, data } = this, k = data.k, shape = this.shapeFor(k), at = values.p;
    const curves = (of, abs) => [[shape, "yes", true], [shape, "no", false], [CROSS_ENTROPY, "before-yes", true], [CROSS_ENTROPY, "before-no", false]]
      .map(([s, cls, yes]) => ({ cls, x: POINTS, y: POINTS.map((p) => abs(of(s, p, yes))) }))
      .reverse(); // the chosen loss above
    const marks = (of) => [{ x: at, y: Math.abs(of(shape, at, true)), cls: "yes" }, { x: at, y: Math.abs(of(shape, at, false)), cls: "no" }];
    const rules = [{ x: at, cls: "at" }];
    const worst = Math.max(shape.wp, shape.wn);
    const top = LOSS_TOPS.find((t) => t >= 3 * Math.max(1, worst)) ?? 20;
    this.loss.draw({ lines: curves(lossAt, (v) => v), marks: marks(lossAt), rules, xs: [0, 1], ys: [0, top], words: `${this.name()} against cross-entropy` });
    const most = Math.max(1, ...POINTS.map((p) => Math.max(-pullAt(shape, p, true), pullAt(shape, p, false))));
    this.pull.draw({ lines: curves(pullAt, Math.abs), marks: marks(pullAt), rules, xs: [0, 1], ys: [0, LOSS_TOPS.find((t) => t >= most) ?? 20], words: `${this.name()} against cross-entropy` });
    const half = saidFor(shape, 0.5), meant = trueAt(shape, 0.5);
    this.link.draw({
      lines: [{ x: [0, 1], y: [0, 1], cls: "plain-line" }, { x: POINTS, y: POINTS.map((p) => trueAt(shape, p)), cls: "now" }],
      marks: [{ x: 0.5, y: meant, cls: "yes" }, { x: half, y: 0.5, cls: "no" }], rules, xs: [0, 1], ys: [0, 1],
      words: `A said .5 stands for ${prob(meant)}; ${prob(half)} is said where half are yes`,
    });
    this.at.readout.textContent = `At p = ${prob(at)}: a yes costs ${costs(lossAt(shape, at, true))} (cross-entropy ${costs(lossAt(CROSS_ENTROPY, at, true))}) and pulls with ${costs(Math.abs(pullAt(shape, at, true)))} (${costs(1 - at)}); `
      + `a no costs ${costs(lossAt(shape, at, false))} (${costs(lossAt(CROSS_ENTROPY, at, false))}) and pulls with ${costs(pullAt(shape, at, false))} (${costs(at)}). Said by a fully trained network, it stands for ${prob(trueAt(shape, at))}.`;
    this.plain[k] = this.sharesOf(CROSS_ENTROPY, k);
    this.now = data.classes.map((_, j) => this.sharesOf(this.shapeFor(j), j));
    this.table();
    this.why(half, meant);
    this.root.dataset.drawn = JSON.stringify([this.now[k].loss, this.now[k].pull, meant, half].map((v) => Number(v.toFixed(6))));
  }

  name() {
    const { values } = this;
    if (values.loss === "focal") return `Focal loss with gamma ${plain(values.gamma)}${values.alpha === null ? "" : ` and alpha ${plain(values.alpha)}`}`;
    return values.loss === "asymmetric" ? `Asymmetric loss (${plain(values.gamma_pos)}, ${plain(values.gamma_neg)}, clip ${plain(values.clip)})` : "Class-balanced loss";
  }

  // The sentence: what happens to the rare side, and where the decision goes. Both computed.
  why(half, meant) {
    const { data, values, plain: was, now } = this, k = data.k, name = data.classes[k], rare = values.yes <= values.no;
    const [a, b] = rare ? [was[k], now[k]] : [was[k], now[k]].map(({ loss, pull }) => ({ loss: 1 - loss, pull: 1 - pull }));
    const who = rare ? name : `the images without ${name}`, n = rare ? values.yes : values.no, total = values.yes + values.no;
    const known = Number.isFinite(b.loss) && Number.isFinite(a.loss);
    const ratio = b.pull / a.pull, word = ratio < 0.95 ? "less" : ratio > 1.05 ? "more" : "as much as before";
    const parts = [el("b", "", `${this.name()}: `)];
    if (!known) parts.push("no image counts anything: every no lies below the clip and there is no yes.");
    else {
      const strong = el("b", "", `${percent(b.loss)} of its loss and ${percent(b.pull)} of its pull`);
      parts.push(`${who} (${n.toLocaleString("en")} of ${total.toLocaleString("en")} images) makes up `, strong,
        ` in this label; with cross-entropy ${percent(a.loss)} and ${percent(a.pull)}. The rare side is heard `,
        el("b", "", word === "less" ? "less, not more" : word), ". ", this.byAlpha(k, rare));
    }
    const moved = Math.abs(half - 0.5) > 0.005;
    parts.push(moved ? `Where half are truly yes, a fully trained network says ${prob(half)}, and its .5 stands for ${prob(meant)}: decide at ${prob(half)} instead of .5, or choose the threshold on validation images.`
      : `The decision at .5 stays where it is${Math.abs(trueAt(this.shapeFor(k), 0.9) - 0.9) > 0.005 ? `, but other outputs move: a said .90 stands for ${prob(trueAt(this.shapeFor(k), 0.9))}.` : "."}`);
    this.at.why.replaceChildren(...parts.map((part) => (typeof part === "string" ? document.createTextNode(part) : part)));
    this.at.why.classList.toggle("bad", known && word === "less");
  }

  // What alpha does to the rare side, apart from gamma.
  byAlpha(k, rare) {
    const { values, now } = this;
    if (values.loss !== "focal" || values.alpha === null || values.gamma === 0 || values.alpha === 0.5) return "";
    const without = this.sharesOf(shapeOf({ ...values, alpha: null }), k).loss, share = (v) => percent(rare ? v : 1 - v);
    const [from, to] = [share(without), share(now[k].loss)];
    return from === to ? "" : `Alpha alone takes its part of the loss from ${from} to ${to}. `;
  }

  table() {
    const { data, plain: was, now } = this;
    const table = el("table"), head = table.appendChild(el("caption", "", "Share that the images with a label have in its loss and pull"));
    const row = table.appendChild(el("thead")).appendChild(el("tr"));
    for (const text of ["label", "loss: cross-entropy", "loss: now", "pull: cross-entropy", "pull: now"]) row.append(Object.assign(el("th", "", text), { scope: "col" }));
    const body = table.appendChild(el("tbody"));
    const cell = (share, cls) => {
      const td = el("td"), bar = td.appendChild(el("div", `bar ${cls}`)), line = bar.appendChild(el("i"));
      line.style.setProperty("--share", Number.isFinite(share) ? share : 0);
      bar.append(el("span", "", percent(share)));
      return td;
    };
    const shown = data.classes.map((_, k) => k).filter((k) => k === data.k || k < MOST_ROWS);
    for (const k of shown) {
      const line = body.appendChild(el("tr", k === data.k ? "own" : ""));
      const name = Object.assign(el("th", "", data.classes[k]), { scope: "row", title: data.classes[k] });
      name.dir = "auto";
      line.append(name, cell(was[k].loss, "was"), cell(now[k].loss, ""), cell(was[k].pull, "was"), cell(now[k].pull, ""));
    }
    head.title = "Sums over the images of the loss, and of the size of its derivative by the logit";
    this.at.shares.replaceChildren(table);
  }

  stop() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.settling);
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".focal");
  if (!PANELS.has(root)) PANELS.set(root, new Panel(root));
  const panel = PANELS.get(root);
  panel.update(data, (values) => setStateValue("settled", values));
  return replaced(root, () => { if (!root.isConnected) panel.stop(); });
}
