// What gradient descent does on the loss of a course report: the smallest network there is, step by step.

const PANELS = new WeakMap();
const STEPS = 200, TICK = 40;
const EDGE = [0.005, 2];
const B_AXIS = Array.from({ length: 240 }, (_, i) => EDGE[0] + (i * (EDGE[1] - EDGE[0])) / 239);
const three = (v) => (v < 0.001 ? v.toExponential(1) : v.toFixed(3).replace(/^0/, ""));

class Panel {
  constructor(root) {
    this.root = root;
    this.at = Object.fromEntries(["fields", "why", "charts", "readout", "step", "step-word", "play", "reset"].map((name) => [name, root.querySelector(`.${name}`)]));
    const { at } = this;
    this.value = buildLines(at.charts, "The loss it lowers", "B: mean cross-entropy of the batch", "loss");
    this.path = buildLines(at.charts, "The cross-entropy, step by step", "step", "B");
    const key = this.path.figure.appendChild(el("div", "key"));
    for (const [cls, words] of [["now", "steps on this loss"], ["plain-line", "steps on cross-entropy"]]) {
      const item = key.appendChild(el("span")), mark = item.appendChild(svgOf("svg", { viewBox: "0 0 26 6", "aria-hidden": "true" }));
      mark.append(svgOf("path", { d: "M0 3H26", class: `line ${cls}` }));
      item.append(document.createTextNode(words));
    }
    at.step.max = STEPS;
    at.step.oninput = () => { this.pause(); this.step = Number(at.step.value); this.later(); };
    at.play.onclick = () => (this.timer ? this.pause() : this.play());
    at.reset.onclick = () => { this.pause(); this.step = 0; this.values = this.defaults(); this.controls.show(this.values); this.compute(); };
    this.step = 0;
  }

  defaults() {
    return Object.fromEntries(this.data.controls.map((c) => [c.name, c.default]));
  }

  update(data) {
    const first = !this.data;
    this.data = data;
    this.root.style.setProperty("--second", classColour(themeOf(this.root), 1));
    if (first) {
      this.controls = buildControls(this.at.fields, data.controls, (name, value) => {
        this.values = { ...this.values, [name]: value };
        this.controls.show(this.values);
        this.later(true);
      });
      this.values = this.defaults();
      this.controls.show(this.values);
      this.compute();
    } else this.draw();
  }

  later(anew) {
    this.anew ||= anew;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.anew) this.compute(); else this.draw();
      this.anew = false;
    });
  }

  compute() {
    const { gamma, start, lr } = this.values;
    this.lowest = batchMinimum(gamma);
    this.faulty = batchDescent(start, gamma, lr, STEPS);
    this.sound = batchDescent(start, null, lr, STEPS);
    this.draw();
  }

  play() {
    if (this.step >= STEPS) this.step = 0;
    this.at.play.textContent = "Pause";
    const tick = () => {
      if (!this.root.isConnected || this.step >= STEPS) { this.pause(); return; }
      this.step += 1;
      this.draw();
      this.timer = setTimeout(tick, TICK);
    };
    this.timer = setTimeout(tick, TICK);
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.at.play.textContent = "Play";
  }

  draw() {
    const { values, step, faulty, sound, lowest } = this, gamma = values.gamma, b = faulty[step];
    const ys = B_AXIS.map((x) => batchValue(x, gamma)), low = Math.min(-0.1, ...ys.filter((y) => y > -3)) * 1.25, high = Math.max(0.2, ys.at(-1));
    const slope = batchSlope(b, gamma), falls = slope > 0;
    const arrows = [];
    for (const x of [0.08, 0.2, 0.35, 0.75, 1.1, 1.5]) {
      const s = batchSlope(x, gamma);
      if (lowest === null || Math.abs(x - lowest) > 0.05) arrows.push({ x, y: batchValue(x, gamma) - 0.09 * (low - high), cls: "arrow", text: s > 0 ? "←" : "→" });
    }
    this.value.draw({
      lines: [{ x: B_AXIS, y: ys, cls: "now" }], rules: [{ y: 0, cls: "zero" }, ...(lowest === null ? [] : [{ x: lowest, cls: "low" }])],
      marks: [...arrows, { x: Math.min(b, EDGE[1]), y: batchValue(Math.min(b, EDGE[1]), gamma), cls: "yes" }], xs: [0, EDGE[1]], ys: [low, high],
      words: lowest === null ? "It falls without end towards B = 0" : `Least at B = ${three(lowest)}; arrows show where a step leads`,
    });
    const steps = faulty.map((_, i) => i), top = Math.max(...faulty, ...sound) * 1.05;
    this.path.draw({
      lines: [{ x: steps, y: sound, cls: "plain-line" }, { x: steps, y: faulty, cls: "now" }], rules: [{ x: step, cls: "at" }, ...(lowest === null ? [] : [{ y: lowest, cls: "low" }])],
      marks: [{ x: step, y: sound[step], cls: "quiet-dot" }, { x: step, y: b, cls: "yes" }], xs: [0, STEPS], ys: [0, top],
      words: `After ${STEPS} steps ${three(faulty.at(-1))} on this loss, ${three(sound.at(-1))} on cross-entropy`,
    });
    this.at.step.value = step;
    this.at["step-word"].textContent = String(step);
    this.at.readout.textContent = `Step ${step}: B = ${three(b)}, so the truth is given ${Math.round(100 * Math.exp(-b))} % (geometric mean). `
      + `The slope is ${slope > 0 ? "positive: the next step lowers B" : slope < 0 ? "negative: the next step raises B, that is, makes the network worse" : "0"}. On cross-entropy B would be ${three(sound[step])} by now.`;
    this.why();
    this.root.dataset.drawn = `${step} ${b.toFixed(6)} ${lowest === null ? "none" : lowest.toFixed(6)}`;
  }

  why() {
    const { values, faulty, sound, lowest } = this, gamma = values.gamma, said = (b) => `${Math.round(100 * Math.exp(-b))} %`;
    const words = [];
    if (lowest === null) words.push("Without gamma it is the logarithm of the mean cross-entropy: it falls without end, and its slope, 1 / B, grows without end.");
    else {
      const below = values.start < lowest;
      words.push(el("b", "", `With gamma ${plain(gamma)} this loss is least at B = ${three(lowest)}`), `, where the truth is given ${said(lowest)} on average. `,
        below ? `From B = ${three(values.start)} each step raises the cross-entropy: after ${STEPS} steps it is ${three(faulty.at(-1))}. `
          : `From B = ${three(values.start)} it falls to ${three(faulty.at(-1))} in ${STEPS} steps and can't fall below ${three(lowest)}. `,
        `Cross-entropy goes on to ${three(sound.at(-1))}. Focal loss proper has no such floor: it is taken image by image, and its slope never changes sign. `,
        "So “focal is worse than BCE” in that report is a finding about this formula, not about focal loss.");
    }
    this.at.why.replaceChildren(...words.map((word) => (typeof word === "string" ? document.createTextNode(word) : word)));
    this.at.why.classList.toggle("bad", lowest !== null && values.start < lowest);
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".batch");
  if (!PANELS.has(root)) PANELS.set(root, new Panel(root));
  const panel = PANELS.get(root);
  panel.update(data);
  return replaced(root, () => { if (!root.isConnected) panel.pause(); });
}
