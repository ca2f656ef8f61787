// Images are sent one by one, two at a time; what is computed of them comes back in lines. Nothing goes to the script.

const PAGES = new WeakMap();
const LEFT = {}; // the page that was left last, for who comes back: `items` and the `settings` they were looked at with
const AT_ONCE = 2;
const NEAR_AT_ONCE = 64;
const MOST = 500;
const DICOM = /[.](dcm|dicom)$/i;

const megabytes = (bytes) => `${Math.max(1, Math.round(bytes / 1e6)).toLocaleString("en")} MB`;
const plural = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;

class Predict {
  constructor(root) {
    this.root = root;
    this.items = [];
    this.number = 0;
    this.filter = "all";
    this.find = (name) => root.querySelector(name);
    const input = this.find("input[type=file]");
    this.find(".choose").onclick = () => input.click();
    input.onchange = () => {
      this.add([...input.files]);
      input.value = ""; // the same file may be chosen again
    };
    this.find(".examples").onclick = () => this.examples();
    this.find(".halt").onclick = () => this.halt();
    this.find(".again").onclick = () => this.again();
    this.find(".clear").onclick = () => this.clear();
    this.find(".table").onclick = () => this.table();
    this.find(".groups").onclick = (event) => this.choose(event.target.closest("button"));
    this.onprefs = ({ detail }) => { if (detail.run === this.data.run) this.heat(detail.prefs); };
    this.ondrag = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // or the browser would open a file that is dropped beside
      event.dataTransfer.dropEffect = "copy";
      root.classList.toggle("over", event.type === "dragover");
    };
    this.ondrop = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      root.classList.remove("over");
      const folders = [...event.dataTransfer.items].map((one) => one.webkitGetAsEntry?.()).filter((one) => one?.isDirectory).map((one) => one.name);
      this.add([...event.dataTransfer.files].filter((file) => !folders.includes(file.name)), folders);
    };
  }

  update(data) {
    const before = this.data;
    this.data = data;
    this.theme = themeOf(this.root);
    for (const name of ["dragover", "dragleave"]) window.addEventListener(name, this.ondrag);
    window.addEventListener("drop", this.ondrop);
    window.addEventListener("covidviz-heat", this.onprefs);
    const { token, ...asked } = data;
    const settings = JSON.stringify(asked);
    this.headers = { "X-Covidviz-Token": token, "X-Covidviz-Session": (this.session ||= `p${Math.random().toString(36).slice(2)}`) };
    this.find(".invite").textContent = `or drop them here: PNG, JPEG, WebP, BMP, TIFF, GIF or DICOM, up to ${data.limit_mb} MB each. They stay on the server only while they are looked at.`;
    this.find(".examples").hidden = !data.examples.length;
    if (this.settings !== settings) {
      const items = before ? this.items : LEFT.items || [];
      this.settings = settings;
      // Another run, or other thresholds: the same images are asked about again.
      if (before || LEFT.settings !== settings) this.restart(items.map((item) => item.file));
      else this.take(items);
    }
    this.draw();
  }

  leave() {
    for (const name of ["dragover", "dragleave"]) window.removeEventListener(name, this.ondrag);
    window.removeEventListener("drop", this.ondrop);
    window.removeEventListener("covidviz-heat", this.onprefs);
    this.abort();
    this.items.forEach((item) => { if (item.state === "busy") item.state = "waiting"; });
    Object.assign(LEFT, { items: this.items, settings: this.settings });
  }

  // --- what is to be looked at

  take(items) {
    this.items = items;
    this.number = Math.max(0, ...items.map((item) => Number(item.id)));
    for (const item of items) this.find(".cards").append((item.card = new PredictCard(item)).node);
    this.begin();
  }

  restart(files) {
    this.clear();
    this.add(files);
  }

  add(files, folders = []) {
    const said = folders.map((name) => `${name} is a folder: open it and drop the images that are in it.`);
    const room = MOST - this.items.length;
    if (files.length > room) {
      said.push(`${plural(files.length, "file")} given, accepted: ${MOST} on this page. The first ${room} are looked at; for a whole folder there is the command line: python -m covidviz predict ${this.data.run} FOLDER`);
    }
    for (const file of files.slice(0, Math.max(0, room))) {
      const item = { id: `${++this.number}`, name: file.name, file, state: "waiting", error: "" };
      if (file.size > this.data.limit_mb * 1e6) this.fail(item, `${megabytes(file.size)}, accepted: up to ${this.data.limit_mb} MB. It was not sent; a smaller copy of it can be.`);
      else if (!file.size) this.fail(item, "The file is empty (0 bytes).");
      item.card = new PredictCard(item);
      this.items.push(item);
      this.find(".cards").append(item.card.node);
    }
    this.trouble(said.join(" "));
    this.begin();
  }

  async examples() {
    const button = this.find(".examples");
    button.disabled = true;
    const files = await Promise.all(this.data.examples.map(async ({ name, url }) => {
      const answer = await fetch(url).catch(() => null);
      return answer?.ok ? new File([await answer.blob()], name) : null;
    }));
    button.disabled = false;
    const there = files.filter(Boolean);
    this.add(there);
    if (there.length < files.length) this.trouble("Some images of the dataset are not where they were.");
  }

  fail(item, words) {
    item.state = "failed";
    item.error = words;
  }

  begin() {
    this.paused = false;
    this.abortion ||= new AbortController();
    this.pump();
    this.later();
  }

  abort() {
    this.abortion?.abort();
    this.abortion = null;
    this.comparing = false;
    this.progress = "";
  }

  halt() {
    this.paused = true;
    this.abort();
    this.items.forEach((item) => { if (item.state === "busy") item.state = "waiting"; });
    const left = this.items.filter((item) => item.state === "waiting").length;
    this.trouble(left ? `Stopped: ${plural(left, "image")} not looked at yet.` : "Stopped.", true);
    this.later();
  }

  again() {
    const failed = this.items.filter((item) => item.again);
    for (const item of failed) Object.assign(item, { state: "waiting", error: "", again: false });
    this.items.forEach((item) => { item.waits = ""; });
    this.noNear = "";
    this.trouble("");
    this.begin();
  }

  clear() {
    this.abort();
    this.items = [];
    this.filter = "all";
    this.noNear = "";
    this.find(".cards").replaceChildren();
    this.trouble("");
    this.draw();
  }

  // --- asking

  pump() {
    if (this.paused) return;
    const { abortion } = this;
    const busy = this.items.filter((item) => item.state === "busy").length;
    const next = this.items.filter((item) => item.state === "waiting").slice(0, Math.max(0, AT_ONCE - busy));
    for (const item of next) {
      item.state = "busy";
      this.one(item, abortion).then(() => { if (this.abortion === abortion) { this.later(); this.pump(); this.compare(); } });
    }
  }

  async one(item, abortion) {
    const address = `/predicting/${encodeURIComponent(this.data.run)}/image?dicom=${DICOM.test(item.name) ? 1 : 0}`;
    const mine = () => this.abortion === abortion;
    try {
      for await (const event of answers(item.file, abortion.signal, address, this.headers)) {
        if (!mine()) return;
        if (event.event === "queued" && !this.items.some((one) => one.result)) this.tell({ what: "starting" });
        else if (event.event === "progress") this.tell(event);
        else if (event.event === "done") {
          if (!this.comparing) this.progress = "";
          Object.assign(item, { state: "done", result: event });
        }
        else if (event.event === "error") this.failed(item, event);
      }
      if (mine() && item.state === "busy") throw new Error("The answer broke off.");
    } catch (error) {
      if (mine() && error.name !== "AbortError") await this.unreachable(item, error);
    }
  }

  failed(item, event) {
    const words = event.message.charAt(0).toUpperCase() + event.message.slice(1);
    if (event.about === "run") { // it would be the same for all others
      this.paused = true;
      Object.assign(item, { state: "waiting" });
      this.trouble(`${words}. No image can be looked at with this run; another one can be chosen above.`, true);
      return;
    }
    this.fail(item, /[.]$/.test(words) ? words : `${words}.`);
    if (!event.worker) return;
    item.again = true; // the next image has no part in it, but who knows which one has
    this.paused = true;
    this.trouble(`${words}. What was looked at before is still here. If it ends again, leave out the images that were being looked at.`, true);
  }

  async unreachable(item, error) {
    let readable = true;
    try { await item.file.slice(0, 1).arrayBuffer(); } catch { readable = false; }
    if (!readable) {
      this.fail(item, "The file can't be read any more: it was moved, changed or is a folder.");
      return;
    }
    this.fail(item, "Not looked at: the server did not answer.");
    item.again = true;
    this.paused = true;
    this.trouble(error instanceof TypeError ? "The server can't be reached." : error.message, true);
  }

  // The nearest training images, for many at once. The first time they may have to be computed, which takes a while.
  async compare() {
    const { abortion } = this;
    const mine = () => this.abortion === abortion;
    const ready = this.items.filter((item) => item.result && !item.answer && !item.waits).slice(0, NEAR_AT_ONCE);
    if (this.comparing || !abortion || !ready.length) return;
    if (this.noNear) { // it was tried, and would be the same for these
      ready.forEach((item) => { item.waits = this.noNear; });
      this.later();
      return;
    }
    this.comparing = true;
    const address = `/predicting/${encodeURIComponent(this.data.run)}/near`;
    let words = "";
    let [all, retry] = [false, false];
    try {
      for await (const event of answers({ vectors: ready.map((item) => item.result.vector) }, abortion.signal, address, { ...this.headers, "Content-Type": "application/json" })) {
        if (!mine()) return;
        if (event.event === "progress") this.tell(event);
        else if (event.event === "done") ready.forEach((item, i) => { item.answer = event.answers[i]; });
        else if (event.event === "error") {
          words = event.message;
          retry = Boolean(event.worker);
          all = retry || event.about === "run";
        }
      }
    } catch (error) {
      if (!mine() || error.name === "AbortError") return;
      words = "the server did not answer";
      all = retry = true;
    }
    if (!mine()) return;
    this.comparing = false;
    this.progress = "";
    if (words) {
      const said = `The nearest training images can't be shown, nor how usual this image is: ${words}.`;
      ready.forEach((item) => { item.waits = said; });
      if (all) this.noNear = said;
      if (retry) this.trouble(`${words.charAt(0).toUpperCase() + words.slice(1)}.`, true);
    }
    this.later();
    this.compare();
  }

  tell({ what, done, total }) {
    this.progress = total ? `${what}: ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : what;
    this.later();
  }

  // --- drawing

  trouble(words, again = false) {
    this.find(".trouble").hidden = !words;
    this.find(".trouble span").textContent = words;
    this.find(".again").hidden = !again;
  }

  later() {
    this.frame ||= setTimeout(() => {
      this.frame = 0;
      this.draw();
    }, 40);
  }

  draw() {
    const { data, items } = this;
    const some = items.length > 0;
    this.root.classList.toggle("some", some);
    this.find(".bar-of-tools").hidden = !some;
    const ended = items.filter((item) => item.state === "done" || item.state === "failed").length;
    const waiting = items.length - ended;
    const working = !this.paused && (waiting > 0 || this.comparing);
    this.find(".say").textContent = (waiting ? `${ended} of ${items.length} looked at` : plural(items.length, "image")) + (this.progress && working ? ` · ${this.progress}` : "");
    const bar = this.find(".working progress");
    bar.hidden = !working;
    if (waiting) bar.value = ended / items.length; else bar.removeAttribute("value");
    this.find(".halt").hidden = !working;
    this.find(".table").disabled = !ended;
    this.groups();
    const prefs = heatPrefs(data.run);
    for (const item of items) {
      item.card.draw(data, this.theme, prefs);
      item.card.node.hidden = this.filter !== "all" && !this.belongs(item).includes(this.filter);
    }
    this.heat(prefs, false);
  }

  heat(prefs, paint = true) {
    const mapped = this.items.some((item) => item.result);
    const bar = this.find(".heatbar");
    bar.hidden = !mapped;
    if (mapped) heatBar(bar, { ...this.data, multi: true, judged: null }, prefs); // of the true class nobody knows
    this.root.style.setProperty("--heat", prefs.opacity / 100);
    if (paint) this.items.forEach((item) => item.card.heat(this.data, prefs));
  }

  // --- which are shown

  belongs(item) {
    const groups = item.result ? item.result.called.map((k) => `class ${k}`) : [];
    if (item.result && !item.result.called.length) groups.push("none");
    if (["unlike", "alien"].includes(item.answer?.level)) groups.push("unlike");
    if (item.answer?.twin) groups.push("twin");
    if (item.state === "failed") groups.push("failed");
    return groups;
  }

  groups() {
    const counts = new Map();
    for (const item of this.items) for (const group of this.belongs(item)) counts.set(group, (counts.get(group) || 0) + 1);
    const titles = [["all", "All"], ...this.data.classes.map((name, k) => [`class ${k}`, name]), ["none", "no class"],
      ["unlike", "unlike training"], ["twin", "in training"], ["failed", "not read"]];
    if (!counts.has(this.filter)) this.filter = "all";
    const box = this.find(".groups");
    box.hidden = this.items.length < 2 || counts.size < 2;
    const shown = titles.filter(([group]) => group === "all" || counts.has(group));
    const signature = JSON.stringify([shown, [...counts], this.items.length, this.filter]);
    if (box.dataset.shows === signature) return;
    box.dataset.shows = signature;
    const focused = activeIn(box)?.dataset?.group;
    box.replaceChildren(...shown.map(([group, title]) => {
      const button = el("button", "group", `${title.length > 40 ? `${title.slice(0, 39)}…` : title} ${group === "all" ? this.items.length : counts.get(group)}`);
      button.type = "button";
      button.dataset.group = group;
      button.title = title;
      button.setAttribute("aria-pressed", String(group === this.filter));
      return button;
    }));
    box.querySelector(`[data-group="${focused}"]`)?.focus();
  }

  choose(button) {
    if (!button) return;
    this.filter = button.dataset.group;
    this.draw();
  }

  // --- taking along

  table() {
    const rows = this.items.filter((item) => item.result || item.error).map((item) => ({
      name: item.name, error: item.error, prob: item.result?.prob, called: item.result?.called,
      remarks: item.result?.remarks, answer: item.answer,
    }));
    const address = `/predicting/${encodeURIComponent(this.data.run)}/csv`;
    fetch(address, { method: "POST", body: JSON.stringify({ rows }), headers: this.headers })
      .then((response) => { if (!response.ok) throw new Error(response.status); return response.blob(); })
      .then((blob) => {
        const link = el("a");
        link.href = URL.createObjectURL(blob);
        link.download = `${this.data.run}-predictions.csv`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      })
      .catch(() => this.trouble("The table could not be made: the server did not answer, or this page is too old (reload it)."));
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".predict");
  if (!PAGES.has(root)) PAGES.set(root, new Predict(root));
  const page = PAGES.get(root);
  page.update(data);
  return () => setTimeout(() => { if (!root.isConnected) page.leave(); });
}
