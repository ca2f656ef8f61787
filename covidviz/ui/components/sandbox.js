/* Mistakes as switches. The compute worker judges the run with one (POST /what_if/RUN), pass by pass; what came once is
   kept until the page is left. Nothing of it is saved. */

const PANELS = new WeakMap();
const POINTS = Array.from({ length: 101 }, (_, i) => Math.min(0.9995, Math.max(0.0005, i / 100)));
const RANDOM = ["train-mode", "augmented"];
const three = (v) => (Number.isFinite(v) ? v.toFixed(3).replace(/^0/, "") : "–");
const points = (v) => `${Math.abs(100 * v).toFixed(1)} points`;
const meanOf = (list) => list.reduce((a, b) => a + b, 0) / list.length;
const twiceLoss = (p, k) => Math.log1p((k - 1) * Math.exp((1 - p) / (k - 1) - p));
const twicePull = (p, k) => {
  const outer = 1 / (1 + (k - 1) * Math.exp((1 - p) / (k - 1) - p));
  return (p * (1 - p) * (1 - outer) * k) / (k - 1);
};

class Panel {
  constructor(root) {
    this.root = root;
    this.at = Object.fromEntries(["switches", "status-line", "table-box", "said", "matrices", "images", "twice"].map((name) => [name, root.querySelector(`.${name}`)]));
    this.session = crypto.getRandomValues(new Uint32Array(4)).join("-");
    this.on = new Set();
    this.found = {};
    this.jobs = {};
  }

  update(data) {
    const before = this.data;
    this.data = data;
    this.theme = themeOf(this.root);
    this.root.style.setProperty("--second", classColour(this.theme, 1));
    if (before?.id !== data.id) {
      this.stop();
      this.found = {};
      this.at["status-line"].textContent = "";
    }
    if (!before || !same(before.mistakes, data.mistakes)) this.switches();
    this.draw();
    for (const name of this.on) this.ask(name);
  }

  switches() {
    const legend = this.at.switches.firstElementChild;
    this.at.switches.replaceChildren(legend, ...this.data.mistakes.map((one) => {
      const label = el("label", "switch"), box = label.appendChild(el("input"));
      Object.assign(box, { type: "checkbox", checked: this.on.has(one.name), disabled: Boolean(one.cannot), name: one.name });
      box.onchange = () => {
        if (box.checked) { this.on.add(one.name); this.ask(one.name); } else { this.on.delete(one.name); this.cancel(one.name); }
        this.draw();
      };
      label.append(el("span", "", one.title), el("small", "", one.cannot || one.help));
      return label;
    }));
  }

  // --- asking

  async ask(name) {
    if (!RANDOM.includes(name) || this.found[name]?.done || this.jobs[name]) return;
    const job = this.jobs[name] = new AbortController(), { run, split, token } = this.data;
    const kept = this.found[name] = { passes: [], done: false };
    const headers = { "Content-Type": "application/json", "X-Covidviz-Token": token, "X-Covidviz-Session": this.session };
    this.tell(`${this.titleOf(name)}: starting …`);
    try {
      for await (const event of answers({ mistake: name, split }, job.signal, `/what_if/${run}`, headers)) {
        if (this.jobs[name] !== job) return;
        if (event.event === "progress") this.tell(`${this.titleOf(name)}: ${event.what}${event.total ? `, ${Math.floor((100 * event.done) / event.total)} %` : ""}`);
        else if (event.event === "repeat") { kept.passes.push(event); this.draw(); }
        else if (event.event === "done") { kept.done = true; kept.how = event.how; this.tell(""); this.draw(); }
        else if (event.event === "error") { this.tell(`${this.titleOf(name)} could not be tried: ${event.message}`, true); delete this.found[name]; this.draw(); }
      }
    } catch (error) {
      if (error.name !== "AbortError") this.tell(`${this.titleOf(name)} could not be tried. ${error.message}`, true);
      if (this.jobs[name] === job) delete this.found[name];
    } finally {
      if (this.jobs[name] === job) delete this.jobs[name];
    }
  }

  cancel(name) {
    this.jobs[name]?.abort();
    if (this.jobs[name]) { delete this.found[name]; this.tell(""); }
    delete this.jobs[name];
  }

  titleOf(name) {
    return this.data.mistakes.find((one) => one.name === name).title;
  }

  tell(text, bad = false) {
    this.at["status-line"].textContent = text;
    this.at["status-line"].classList.toggle("bad", bad);
  }

  // --- drawing

  passesOf(name) {
    return this.on.has(name) ? this.found[name]?.passes ?? [] : [];
  }

  draw() {
    this.table();
    this.sentences();
    this.matrices();
    this.images();
    this.twice();
    this.root.dataset.drawn = RANDOM.map((name) => `${name}:${this.passesOf(name).length}`).join(" ");
  }

  cell(value, low, high, words) {
    const td = el("td"), range = el("div", "range"), line = range.appendChild(el("i")), mark = range.appendChild(el("u"));
    td.append(el("b", "", three(value)), range, el("small", "", words));
    range.setAttribute("aria-hidden", "true");
    Object.assign(line.style, { left: `${100 * low}%`, width: `${100 * (high - low)}%` });
    mark.style.left = `${100 * value}%`;
    return td;
  }

  table() {
    const { data } = this, table = el("table", "scores"), head = table.appendChild(el("thead")).appendChild(el("tr"));
    for (const text of ["", ...data.metrics.map((one) => one.title)]) head.append(Object.assign(el("th", "", text), { scope: "col" }));
    const body = table.appendChild(el("tbody"));
    const row = (title, note, cls) => {
      const line = body.appendChild(el("tr", cls)), name = Object.assign(el("th", "", title), { scope: "row" });
      if (note) name.append(el("small", "quiet", ` ${note}`));
      line.append(name);
      return line;
    };
    const right = row("As it should be", `${data.n.toLocaleString("en")} images`, "true");
    for (const one of data.metrics) right.append(this.cell(one.value, one.low, one.high, `95 %: ${three(one.low)} to ${three(one.high)}`));
    for (const name of RANDOM) {
      const passes = this.passesOf(name);
      if (!passes.length) continue;
      const line = row(this.titleOf(name), `${passes.length} of ${passes[0].of} passes`, "");
      for (const one of data.metrics) {
        const values = passes.map((pass) => pass.metrics[one.name]), mean = meanOf(values), low = Math.min(...values), high = Math.max(...values);
        line.append(this.cell(mean, low, high, `${three(low)} to ${three(high)}`));
      }
    }
    this.at["table-box"].replaceChildren(table);
  }

  sentences() {
    const main = this.data.metrics[0], said = [];
    for (const name of RANDOM) {
      const passes = this.passesOf(name);
      if (!passes.length) continue;
      const values = passes.map((pass) => pass.metrics[main.name]), mean = meanOf(values), gap = mean - main.value;
      const outside = mean < main.low || mean > main.high;
      const spread = Math.max(...values) - Math.min(...values);
      const words = el("p", `why${outside ? " bad" : ""}`);
      words.append(el("b", "", `${this.titleOf(name)}: `), document.createTextNode(
        (Math.abs(gap) < 0.0005 ? `${main.title} ${three(mean)}, as it should be. `
          : `${main.title} ${three(mean)} instead of ${three(main.value)}, ${points(gap)} ${gap < 0 ? "lower" : "higher"}; ${outside ? "outside" : "inside"} the interval of the true score. `)
        + (passes.length < 2 ? "" : spread > 0.0005 ? `The same network, judged again, gives another score each time: up to ${points(spread)} apart.` : "It came out the same in each pass.")
        + (this.found[name].how ? ` (${this.found[name].how})` : "")));
      said.push(words);
    }
    this.at.said.replaceChildren(...said);
  }

  matrices() {
    const { data } = this, boxes = [];
    const box = (title, cells, before) => {
      const holder = el("div");
      holder.append(el("h4", "", title));
      const inner = holder.appendChild(el("div"));
      buildMatrix(inner, data.matrix_classes)(cells, before, this.theme);
      boxes.push(holder);
    };
    const shown = RANDOM.filter((name) => this.passesOf(name).length);
    if (shown.length && data.matrix) {
      box("As it should be", data.matrix, null);
      for (const name of shown) {
        // Not the mean of the passes, which counts tenths of images: the pass that is nearest to it.
        const passes = this.passesOf(name), main = data.metrics[0].name, mean = meanOf(passes.map((pass) => pass.metrics[main]));
        const typical = passes.reduce((a, b) => (Math.abs(b.metrics[main] - mean) < Math.abs(a.metrics[main] - mean) ? b : a));
        box(`${this.titleOf(name)}, pass ${typical.number}${passes.length > 1 ? " (nearest to the mean)" : ""}`, this.cellsOf(typical.confusion), data.matrix);
      }
    }
    this.at.matrices.replaceChildren(...boxes);
  }

  cellsOf(confusion) {
    if (confusion.matrix) return confusion.matrix;
    const { tp, fp, fn, tn } = confusion[this.data.label];
    return [[tp, fn], [fp, tn]];
  }

  images() {
    const { data } = this, mixed = data.mixed;
    if (!this.on.has("wrong-index") || !mixed) { this.at.images.replaceChildren(); return; }
    const row = (title, items, off) => {
      const holder = el("div");
      holder.append(el("h4", "", title));
      const list = holder.appendChild(el("ul", "pictures"));
      for (const item of items) {
        const tile = list.appendChild(el("li", off && !item.meant ? "off" : "")), image = tile.appendChild(new Image());
        Object.assign(image, { alt: `X-ray, ${item.words}`, decoding: "async" });
        image.onerror = () => image.classList.add("gone");
        if (item.v) image.src = `${data.base}${item.id}.t.webp?v=${item.v}`; else image.classList.add("gone");
        tile.append(el("small", "", item.words));
      }
      return holder;
    };
    const words = el("p", "why bad");
    words.append(el("b", "", `${this.titleOf("wrong-index")}: `), document.createTextNode(mixed.sentence));
    this.at.images.replaceChildren(words, row("Meant: the worst of the wrong ones", mixed.meant, false), row("Shown: the same places in the list of all images", mixed.shown, true));
  }

  twice() {
    const { at, data } = this, on = this.on.has("softmax-twice");
    at.twice.hidden = !on;
    if (!on) return;
    const k = data.classes.length;
    if (!this.charts) {
      this.why = at.twice.appendChild(el("p", "why bad"));
      const line = at.twice.appendChild(el("p", "legend-line"));
      for (const [cls, words] of [["now", "softmax before cross-entropy"], ["plain-line", "cross-entropy"]]) {
        const item = line.appendChild(el("span")), mark = item.appendChild(svgOf("svg", { viewBox: "0 0 26 6", "aria-hidden": "true" }));
        mark.append(svgOf("path", { d: "M0 3H26", class: `line ${cls}` }));
        item.append(document.createTextNode(words));
      }
      const holder = at.twice.appendChild(el("div", "charts"));
      this.charts = [buildLines(holder, "Loss", "probability of the truth", "loss"), buildLines(holder, "Pull (gradient by the logit)", "probability of the truth", "|gradient|")];
      this.trained = holder.appendChild(el("div"));
      this.button = at.twice.appendChild(el("button", "plain", "Train a head with each"));
      this.button.type = "button";
      this.button.onclick = () => (this.training ? this.training.abort() : this.train());
      this.learned = at.twice.appendChild(el("p", "status-line"));
      this.learned.setAttribute("role", "status");
    }
    const [low, high] = [twiceLoss(1, k), Math.log(k - 1 + Math.E)];
    const most = Math.max(...POINTS.map((p) => twicePull(p, k)));
    this.why.replaceChildren(el("b", "", "Softmax before cross-entropy: "), document.createTextNode(
      `a mistake of training, so there is no other score of this run. With ${k} classes the loss can only lie between ${three(low)} (a perfect network) and ${three(high)} (a hopeless one), and an image never pulls with more than ${three(most)}: `
      + `cross-entropy pulls with up to 1, and hardest where it is most wrong; here the pull goes back to 0 there. At p = .01 it pulls with ${three(twicePull(0.01, k))} instead of .990.`));
    const lines = (mine, plainly) => [{ x: POINTS, y: POINTS.map(plainly), cls: "plain-line" }, { x: POINTS, y: POINTS.map(mine), cls: "now" }];
    this.charts[0].draw({ lines: lines((p) => twiceLoss(p, k), (p) => -Math.log(p)), rules: [{ y: low, cls: "low" }], xs: [0, 1], ys: [0, 3], words: `Between ${three(low)} and ${three(high)}` });
    this.charts[1].draw({ lines: lines((p) => twicePull(p, k), (p) => 1 - p), xs: [0, 1], ys: [0, 1], words: `At most ${three(most)}` });
    this.button.hidden = !data.lab;
    if (!data.lab) this.learned.textContent = data.no_lab;
  }

  // Two heads from the same start, in the live lab's engine.
  async train() {
    const { data } = this, job = this.training = new AbortController(), curves = {};
    this.button.textContent = "Stop";
    this.chart ||= buildLines(this.trained, "Validation accuracy over the epochs", "epoch", "accuracy");
    try {
      for (const loss of ["cross_entropy", "softmax_twice"]) {
        curves[loss] = [];
        for await (const event of answers({ kind: "lab", token: data.token, session: this.session, config: { ...data.lab, loss } }, job.signal)) {
          if (event.event === "progress") this.learned.textContent = `${event.what}${event.total ? `, ${Math.floor((100 * event.done) / event.total)} %` : ""}`;
          else if (event.event === "epoch") { curves[loss].push(event.val.accuracy); this.learning(curves, event.epochs); }
          else if (event.event === "error") throw new Error(event.message);
        }
      }
      const [sound, faulty] = ["cross_entropy", "softmax_twice"].map((loss) => curves[loss]);
      const reach = faulty.findIndex((v) => v >= Math.max(...sound)) + 1;
      this.learned.textContent = `Two heads from the same start, ${sound.length} epochs, on ${data.lab_words}: best validation accuracy ${three(Math.max(...sound))} with cross-entropy, ${three(Math.max(...faulty))} with a softmax before it; after the first epoch ${three(sound[0])} and ${three(faulty[0])}. `
        + (reach ? `The second reached the first one's best in epoch ${reach}.` : "The second did not reach the first one's best.") + " One seed; nothing of it is kept.";
      this.root.dataset.trained = "1";
    } catch (error) {
      this.learned.textContent = error.name === "AbortError" ? "Stopped." : error.message;
    } finally {
      this.training = null;
      this.button.textContent = "Train a head with each";
    }
  }

  learning(curves, epochs) {
    const line = (values, cls) => ({ x: values.map((_, i) => i + 1), y: values, cls });
    this.chart.draw({ lines: [line(curves.cross_entropy, "plain-line"), line(curves.softmax_twice ?? [], "now")].filter((one) => one.x.length), xs: [1, Math.max(2, epochs)], ys: [0, 1], words: "Cross-entropy against a softmax before it" });
  }

  stop() {
    for (const name of Object.keys(this.jobs)) this.cancel(name);
    this.training?.abort();
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".sandbox");
  if (!PANELS.has(root)) PANELS.set(root, new Panel(root));
  const panel = PANELS.get(root);
  panel.update(data);
  return replaced(root, () => { if (!root.isConnected) panel.stop(); });
}
