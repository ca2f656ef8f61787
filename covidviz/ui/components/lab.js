/* The live lab: sliders at the left, what a head trained with them does at the right.

A change asks the server for a training (POST /lab) and ends the one before; what comes from an ended one is never drawn.
The threshold is applied here, from the probabilities of the last answer. */

const QUICKEST = 80, SLOWEST = 900; // ms between two trainings of one drag; what the last answer took lies in between
const SETTLED = 600; // ms without a change until the link is told
const LABS = new WeakMap();
const LOSS_LINES = [{ split: "val", metric: "loss", name: "validation", kind: "val" }, { split: "train", metric: "loss", name: "training", kind: "train" }];
const SCORE_LINES = [{ split: "val", metric: "macro_f1", name: "macro F1", kind: "val" }, { split: "val", metric: "accuracy", name: "accuracy", kind: "train" }];
const NO_FLIPS = { broken: [], fixed: [], other: [] };

class Lab {
  constructor(root) {
    const part = (cls) => root.querySelector(`.${cls}`);
    Object.assign(this, { root, part, session: crypto.getRandomValues(new Uint32Array(4)).join("-"), values: {}, data: null,
      opened: null, opening: null, running: null, shown: null, before: null, pinned: null, gesture: false,
      changedAt: performance.now(), startedAt: -1e9, took: 300, sentAt: null, stopped: false });
    this.sweep = { field: "", metric: "macro_f1", key: null, found: new Map(), before: new Map(), job: null, text: "" };
    this.drawLoss = buildChart(part("loss-chart"), "Loss", LOSS_LINES, null);
    this.drawScore = buildChart(part("score-chart"), "Score", SCORE_LINES, 1);
    this.drawFlips = buildFlips(part("flips"));
    this.strip = buildSweep(part("sweep"), {
      field: (name) => { this.sweep.field = name; this.refreshSweep(); },
      metric: (name) => { this.sweep.metric = name; this.drawSweep(); },
      pick: (name, value) => this.change(name, value, true),
    });
    const action = (cls, text, title, act) => {
      const button = part("actions").appendChild(el("button", `plain ${cls}`, text));
      Object.assign(button, { type: "button", title, onclick: act });
      return button;
    };
    this.buttons = {
      pin: action("pin", "Pin", "Keep this setting: changes are then shown against it", () => this.pin()),
      run: action("main", "Make it a run", "Train and keep it as a run with the same settings", () => this.makeRun()),
      form: action("", "Open in New run", "The same settings on the New run page", () => this.setTriggerValue("new_run", this.different())),
      reset: action("", "Reset", "Back to the defaults", () => this.reset()),
    };
    part("again").onclick = () => this.start();
    part("stop").onclick = () => (this.opening ? this.stopOpening() : this.open());
  }

  // --- what the page says ---------------------------------------------------------------------------------------

  update({ data, setStateValue, setTriggerValue }) {
    Object.assign(this, { setStateValue, setTriggerValue });
    const first = !this.data, before = this.data;
    this.data = before && same(before.sweeps, data.sweeps) ? { ...data, sweeps: before.sweeps } : data;
    if (first || !same(before.controls, data.controls)) {
      this.part("fields").replaceChildren();
      this.controls = buildControls(this.part("fields"), data.controls, (...change) => this.change(...change));
    }
    if (first && data.sweeps.some((s) => s.field === "threshold")) this.sweep.field = "threshold"; // costs nothing
    const theme = themeOf(this.root), warm = mix(parseColour(classColour(theme, 1)), parseColour(theme.text), 0.25);
    for (const [name, colour] of [["warn", rgb(warm)], ["second", classColour(theme, 0)], ["ink", inkOn(parseColour(theme.primary))]]) {
      this.root.style.setProperty(`--lab-${name}`, colour);
    }
    const text = JSON.stringify(data.settings);
    // What the page holds is news only where it comes from a link or from Back, not where it repeats what was sent.
    const own = text === this.pageText || (data.echo !== null && this.sentAt !== null && data.echo <= this.sentAt);
    this.pageText = text;
    if (first || !own) {
      this.values = { ...this.defaults(), ...data.settings };
      this.sentAt = null;
      this.before = this.shown;
    } else this.values = { ...this.defaults(), ...this.values };
    if (!first && !same(before.base, data.base)) this.before = this.shown; // another network: against the one before
    this.controls.show(this.values);
    if (this.shown) this.rejudge(this.before);
    this.start(false);
  }

  defaults() {
    return Object.fromEntries(this.data.controls.map((c) => [c.name, c.default]));
  }

  different() {
    return Object.fromEntries(this.data.controls.filter((c) => !same(this.values[c.name], c.default)).map((c) => [c.name, this.values[c.name]]));
  }

  config() {
    const used = this.data.controls.filter((c) => c.name !== "threshold" && applies(c, this.values));
    return { ...this.data.base, ...Object.fromEntries(used.map((c) => [c.name, this.values[c.name]])) };
  }

  dataKey() {
    return JSON.stringify([this.data.base, this.values.seed, this.data.version]);
  }

  // --- what the person does -------------------------------------------------------------------------------------

  change(name, value, final) {
    if (!this.gesture) this.began = this.shown; // a drag is one step: what changed is shown against where it began
    const moved = !same(this.values[name], value);
    if (moved) {
      this.before = this.began;
      this.values = { ...this.values, [name]: value };
      this.changedAt = performance.now();
    }
    this.gesture = !final;
    this.controls.show(this.values);
    if (name === "threshold") {
      this.rejudge(this.before);
      if (this.sweep.field === "threshold") this.drawSweep();
    } else this.schedule(final, moved);
    this.settle();
  }

  reset() {
    this.before = this.shown;
    this.values = this.defaults();
    this.changedAt = performance.now();
    this.controls.show(this.values);
    if (this.shown) this.rejudge(this.before);
    this.start();
    this.settle();
  }

  pin() {
    this.pinned = this.pinned ? null : this.shown;
    this.draw();
  }

  makeRun() {
    this.buttons.run.disabled = true; // a double click is one click
    setTimeout(() => { this.buttons.run.disabled = false; }, 1500);
    this.setTriggerValue("make_run", this.different());
  }

  // The link follows when the hand rests and the answer is there, so that the page's script takes no time from either.
  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      const busy = this.gesture || ((this.running || this.opening) && performance.now() - this.changedAt < 3000);
      if (busy) this.settle();
      else if (this.root.isConnected) {
        this.sentAt = Math.max(Date.now(), (this.sentAt ?? 0) + 1);
        this.setStateValue("settled", { values: this.different(), at: this.sentAt });
      }
    }, SETTLED);
  }

  // --- asking ---------------------------------------------------------------------------------------------------

  ask(kind, signal, more) {
    return answers({ kind, token: this.data.token, session: this.session, ...more }, signal);
  }

  // While dragging, the next training waits until the last one could have been answered; letting go starts it at once.
  schedule(final, moved) {
    clearTimeout(this.timer);
    this.endStaleSweep();
    const apart = Math.min(SLOWEST, Math.max(QUICKEST, 1.1 * this.took)), since = performance.now() - this.startedAt;
    if (final || since >= apart) this.start(moved);
    else this.timer = setTimeout(() => this.start(), Math.min(apart - since, 150 + QUICKEST));
  }

  async open() {
    const key = this.dataKey(), job = { key, ask: new AbortController() };
    this.opening?.ask.abort();
    this.stop();
    this.endSweep();
    this.stopped = false;
    this.opening = job;
    this.wait("Waiting for the compute worker …", 0, "Stop");
    let answer = null, trouble = "The answer was cut off.";
    try {
      for await (const event of this.ask("open", job.ask.signal, { config: this.config() })) {
        if (this.opening !== job) return;
        if (event.event === "progress") this.wait(event.what, event.total ? event.done / event.total : 0, "Stop", event.total ? `${event.done.toLocaleString("en")} of ${event.total.toLocaleString("en")} images` : "");
        else if (event.event === "done") answer = event;
        else if (event.event === "error") trouble = event.message;
        else if (event.event === "cancelled") trouble = "Stopped.";
      }
    } catch (error) {
      if (this.opening !== job) return;
      trouble = error.message;
    }
    this.opening = null;
    if (!answer) {
      this.stopped = true;
      this.wait(trouble, 0, "Try again");
      return;
    }
    this.part("waiting").hidden = true;
    this.root.classList.remove("opening");
    this.changedAt = performance.now(); // what took long was not the answer
    this.take(key, answer);
    this.start();
  }

  stopOpening() {
    const job = this.opening;
    this.opening = null;
    this.stopped = true;
    job.ask.abort();
    this.wait("Stopped. The features of these images are not computed yet.", 0, "Compute them");
  }

  wait(what, share, button, more = "") {
    this.root.classList.add("opening");
    const box = this.part("waiting");
    box.hidden = false;
    box.querySelector(".what").textContent = what;
    box.querySelector(".quiet").textContent = more;
    const bar = box.querySelector("progress");
    bar.hidden = this.stopped;
    bar.setAttribute("aria-label", what);
    if (share) bar.value = share;
    else bar.removeAttribute("value");
    box.querySelector(".stop").textContent = button;
    this.busy(null);
  }

  take(key, answer) {
    const truth = answer.val.labels.map((row) => row.indexOf(1));
    const others = !this.opened || !same(answer.val.ids, this.opened.ids) || !same(answer.classes, this.opened.classes) || !same(truth, this.opened.truth);
    if (others) Object.assign(this, { shown: null, before: null, pinned: null });
    this.opened = { key, truth, images: `/dataset/${answer.word}/`, ids: answer.val.ids, classes: answer.classes, critical: answer.classes.indexOf(answer.critical), about: this.data.title };
    if (!others) return;
    this.drawMatrix = buildMatrix(this.part("matrix-box"), answer.classes);
    this.drawScores = buildScores(this.part("scores"), answer.critical ?? null);
    this.draw();
  }

  stop() {
    clearTimeout(this.timer);
    this.running?.ask.abort();
    this.running = null;
  }

  // `again`: also what failed last.
  async start(again = true) {
    clearTimeout(this.timer);
    const data = this.dataKey();
    if (this.opened?.key !== data) {
      if (this.opening?.key !== data && !(this.stopped && this.stoppedKey === data)) {
        this.stoppedKey = data;
        this.open();
      }
      return;
    }
    const config = this.config(), key = JSON.stringify([config, this.data.version]);
    if (this.running?.key === key || (!again && this.failed === key)) return;
    this.failed = null;
    if (this.shown?.key === key) { // as it was, or back there
      if (this.running) this.stop();
      this.say("");
      this.busy(null);
      this.rejudge(this.before);
      this.refreshSweep();
      return;
    }
    this.stop();
    this.endStaleSweep();
    const job = { key, ask: new AbortController(), values: this.values, about: this.data.title, events: [], asked: this.changedAt };
    this.running = job;
    this.startedAt = performance.now();
    this.busy(0);
    let trouble = "The answer was cut off; the next change tries again.", diverged = false;
    try {
      for await (const event of this.ask("lab", job.ask.signal, { config })) {
        if (this.running !== job) return;
        if (event.event === "epoch") this.epoch(job, event);
        else if (event.event === "progress") this.part("took").textContent = event.total ? `${event.what}: ${Math.floor((100 * event.done) / event.total)} %` : event.what;
        else if (event.event === "done") { this.complete(job, event); return; }
        else if (event.event === "error") [trouble, diverged] = [event.message, event.diverged === true];
        else if (event.event === "cancelled") trouble = "The training was interrupted; the next change tries again.";
      }
    } catch (error) {
      if (this.running !== job) return;
      trouble = error.message;
    }
    if (this.running !== job) return;
    this.running = null;
    this.failed = key;
    this.busy(null);
    this.say(trouble, diverged);
    this.drawCurves();
  }

  // --- drawing --------------------------------------------------------------------------------------------------

  get base() {
    return this.pinned ?? this.before;
  }

  epoch(job, event) {
    job.events.push(event);
    this.busy(event.epoch / event.epochs);
    this.drawLoss(job.events, this.base?.events ?? [], event.epochs);
    this.drawScore(job.events, this.base?.events ?? [], event.epochs);
  }

  complete(job, event) {
    this.running = null;
    this.shown = { key: job.key, values: job.values, about: job.about, events: job.events, prob: event.prob, best: event.best_epoch };
    this.say("");
    this.rejudge(this.before);
    this.busy(null);
    this.took = performance.now() - job.asked;
    const seconds = this.took < 9950 ? `${Math.round(this.took).toLocaleString("en")} ms` : `${Math.round(this.took / 1000)} s`;
    this.part("took").textContent = `${seconds} · best epoch ${event.best_epoch} of ${event.epochs ?? job.events.length}`;
    this.root.dataset.answers = String(Number(this.root.dataset.answers ?? 0) + 1);
    this.refreshSweep();
  }

  // Apply the threshold of now to what is shown, and draw it against `before`.
  rejudge(before) {
    if (!this.shown || !this.opened) return;
    const { truth, classes, critical } = this.opened, threshold = this.values.threshold ?? null;
    const verdict = verdictsOf(this.shown.prob, critical, threshold), cells = confusionOf(truth, verdict, classes.length);
    this.shown = { ...this.shown, values: { ...this.shown.values, threshold }, verdict, cells, scores: scoresOf(cells) };
    this.before = before;
    this.draw();
  }

  drawCurves() {
    const events = this.shown?.events ?? [], old = this.base?.events ?? [];
    const epochs = Math.max(events.length, 1);
    this.drawLoss(events, old, epochs);
    this.drawScore(events, old, epochs);
  }

  draw() {
    const { shown, base, opened } = this;
    this.buttons.pin.textContent = this.pinned ? "Unpin" : "Pin";
    this.buttons.pin.setAttribute("aria-pressed", String(Boolean(this.pinned)));
    this.buttons.pin.disabled = !shown;
    if (!this.running) this.drawCurves();
    this.against();
    if (!shown?.verdict) {
      this.drawFlips(NO_FLIPS, null);
      return;
    }
    const theme = themeOf(this.root);
    this.drawMatrix(shown.cells, base?.cells ?? null, theme);
    this.drawScores(shown.scores, base?.scores ?? null, opened.critical);
    const flips = base ? flipsOf(opened.truth, base.verdict, shown.verdict) : NO_FLIPS;
    this.drawFlips(flips, base && { base: opened.images, ids: opened.ids, classes: opened.classes, truth: opened.truth, before: base.verdict, now: shown.verdict });
    const { accuracy, macro_f1 } = shown.scores;
    this.part("heard").textContent = `Accuracy ${accuracy.toFixed(3)}, macro F1 ${macro_f1.toFixed(3)}.${base ? ` ${flips.fixed.length} images fixed, ${flips.broken.length} broken.` : ""}`;
  }

  // With what it is compared, in words: what was different there.
  against() {
    const { base, shown } = this, holder = this.part("against");
    const text = base ? this.differences(base, shown) : "";
    holder.classList.toggle("chip", Boolean(this.pinned));
    holder.replaceChildren();
    if (!base) return;
    holder.append(el("span", "", `${this.pinned ? "Pinned" : "Compared with"}: ${text || "the same setting"}`));
    holder.title = holder.textContent;
    if (!this.pinned) return;
    const button = holder.appendChild(el("button", "unpin", "×"));
    Object.assign(button, { type: "button", title: "Unpin", onclick: () => { this.pin(); this.buttons.pin.focus(); } });
    button.setAttribute("aria-label", "Unpin");
  }

  differences(one, other) {
    const words = one.about === other?.about ? [] : [one.about];
    for (const control of this.data.controls) {
      const value = one.values[control.name];
      if (value === undefined || same(value, other?.values[control.name]) || !applies(control, one.values)) continue;
      words.push(`${control.label} ${wordOf(control, value)}`);
    }
    return words.length > 3 ? `${words.slice(0, 3).join(", ")} and ${words.length - 3} more` : words.join(", ");
  }

  say(message, diverged = false) {
    this.part("message").textContent = message ? `${message[0].toUpperCase()}${message.slice(1)}${/[.!?]$/.test(message) ? "" : "."}${this.shown ? ` ${diverged ? "Diverged: below" : "Below"} is the last good setting.` : ""}` : "";
    this.part("again").hidden = !message || diverged;
    this.root.classList.toggle("failed", Boolean(message));
  }

  // The thin line: null is idle.
  busy(share) {
    const line = this.part("thin");
    line.classList.toggle("on", share !== null);
    line.firstChild.style.transform = `scaleX(${share === null ? 1 : Math.max(0.03, share)})`;
    this.root.setAttribute("aria-busy", String(share !== null));
  }

  // --- the strip ------------------------------------------------------------------------------------------------

  endSweep() {
    const { sweep } = this;
    sweep.job?.abort();
    if (sweep.job) sweep.key = null;
    sweep.job = null;
  }

  // A sweep goes on while only its own slider moves; what is asked by hand comes before it anyway.
  endStaleSweep() {
    const { spec, key } = this.sweep;
    if (!spec || this.sweepKey(spec) !== key) this.endSweep();
  }

  sweepKey(spec) {
    const { [spec.field]: _, ...config } = this.config();
    return JSON.stringify([config, this.data.version]);
  }

  spec() {
    const found = this.data.sweeps.find((s) => s.field === this.sweep.field);
    return found && applies(found, this.values) ? found : null;
  }

  async refreshSweep() {
    const { sweep } = this, spec = this.spec();
    if (!spec || !this.shown || sweep.spec !== spec) {
      this.endSweep();
      Object.assign(sweep, { spec, key: null, found: new Map(), before: new Map(), text: "" });
    }
    if (spec && this.shown && spec.field === "threshold") {
      const { truth, classes, critical } = this.opened;
      spec.values.forEach((value, i) => {
        const scores = scoresOf(confusionOf(truth, verdictsOf(this.shown.prob, critical, value), classes.length));
        sweep.found.set(i, { ...scores, [`recall_${classes[critical]}`]: scores.recall[critical] });
      });
    } else if (spec && this.shown) {
      const key = this.sweepKey(spec);
      if (key !== sweep.key && !this.running) this.runSweep(spec, key);
    }
    this.drawSweep();
  }

  async runSweep(spec, key) {
    const { sweep } = this, job = new AbortController();
    this.endSweep();
    Object.assign(sweep, { key, job, before: new Map([...sweep.before, ...sweep.found]), found: new Map(), text: "" });
    const values = coarseFirst(spec.values.length).map((i) => spec.values[i]);
    try {
      for await (const event of this.ask("sweep", job.signal, { config: this.config(), field: spec.field, values })) {
        if (sweep.job !== job) return;
        if (event.event === "point") {
          const i = spec.values.findIndex((value) => same(value, event.value));
          sweep.found.set(i, event.val);
          sweep.before.delete(i);
          sweep.text = `${sweep.found.size} of ${values.length}`;
          this.drawSweep();
        } else if (event.event === "error") sweep.text = event.message;
        else if (event.event === "done") sweep.text = "";
      }
    } catch (error) {
      if (sweep.job === job) sweep.text = error.message;
    }
    if (sweep.job !== job) return;
    sweep.job = null;
    this.drawSweep();
  }

  drawSweep() {
    const { sweep, opened } = this, spec = this.spec();
    const critical = opened && opened.critical >= 0 ? opened.classes[opened.critical] : null;
    const metrics = [["macro_f1", "macro F1"], ["accuracy", "accuracy"], ...(critical ? [[`recall_${critical}`, `recall of ${critical}`]] : []),
      ...(sweep.field === "threshold" ? [] : [["loss", "loss"]])];
    if (!metrics.some(([name]) => name === sweep.metric)) sweep.metric = "macro_f1";
    const fields = this.data.sweeps.filter((s) => applies(s, this.values)).map((s) => [s.field, s.label]);
    if (!spec) sweep.field = "";
    this.strip.options(fields, sweep.field, metrics, sweep.metric);
    const pick = (map) => new Map([...map].map(([i, val]) => [i, val ? val[sweep.metric] : null]));
    this.strip.draw(spec, pick(sweep.found), pick(sweep.before), spec && this.values[spec.field], sweep.metric, sweep.text);
  }

  leave() {
    clearTimeout(this.settling);
    this.stop();
    this.endSweep();
    this.opening?.ask.abort();
    this.opening = null;
  }
}

export default function (component) {
  const root = component.parentElement.querySelector(".lab");
  if (!LABS.has(root)) LABS.set(root, new Lab(root));
  const lab = LABS.get(root);
  lab.update(component);
  lab.drawSweep();
  return () => setTimeout(() => { if (!root.isConnected) lab.leave(); });
}
