// Beside one large image: where its heat lies in numbers, the outline of what was measured, and the maps of other methods.

const POLL_MS = 1000;
const OUTLINE_SIDE = 640;
const PLACES = [["lungs", "in the lungs"], ["border", "on the border"], ["corners", "in the corners"], ["lesion", "on the lesion"]];
const MASK_WORDS = {
  dataset: "The lung mask comes with the dataset.",
  pspnet: "The lungs were found by torchxrayvision's PSPNet.",
  classical: "The lungs were found by a simple rule, which errs in about one X-ray of six: see the outline.",
};
const asPercent = (v) => `${Math.round(100 * v)} %`;
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

class Look {
  constructor(viewer) {
    this.viewer = viewer;
    this.box = viewer.dialog.querySelector(".look");
    this.docs = new Map(); // run/id -> what the server said, null while it is asked
    this.box.querySelector(".outline").onchange = (event) => setHeatPrefs(this.data.run, { outline: event.target.checked });
    this.box.querySelector(".find").onclick = () => this.ask({ more: "lungs" });
    this.box.querySelector(".quick").onclick = () => this.ask({ more: "methods", methods: this.missing(false) });
    this.box.querySelector(".slow").onclick = () => this.ask({ more: "methods", methods: this.missing(true) });
    viewer.dialog.querySelector('[data-views="methods"]').hidden = false;
  }

  get data() { return this.viewer.gallery.data; }
  get key() { return `${this.data.run}/${this.viewer.item.id}/${this.data.heat_v}`; }
  get doc() { return this.viewer.item ? this.docs.get(this.key) : undefined; }

  methods() { return this.doc?.methods || []; }
  missing(slow) { return this.methods().filter((method) => method.slow === slow && !method.map).map((method) => method.id); }

  // Tell the server to work, and look what became of it until it is done.
  ask(wanted) {
    this.viewer.gallery.trigger("explain", { ids: [this.viewer.item.id], ...wanted, at: performance.now() });
    this.waits = 15; // looks until the work must have begun
    this.box.querySelectorAll(".more .act").forEach((button) => { button.disabled = true; });
    this.later();
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { if (this.viewer.at !== null && this.viewer.item) this.fetch(true); }, POLL_MS);
  }

  fetch(again = false) {
    const key = this.key;
    if (this.docs.has(key) && !again) return;
    if (!this.docs.has(key)) this.docs.set(key, null);
    if (this.docs.size > 60) this.docs.delete(this.docs.keys().next().value);
    fetch(`/look/${this.data.run}/${this.viewer.item.id}.json`)
      .then((response) => { if (!response.ok) throw new Error(response.status); return response.json(); })
      .then((doc) => {
        const busy = this.docs.get(key)?.task?.busy && !doc.task?.busy;
        if (busy) this.docs.clear(); // what was made concerns other images as well
        if (doc.task) this.waits = 0;
        this.docs.set(key, doc);
        if (this.viewer.item && this.key === key) {
          this.viewer.heat();
          if (doc.task?.busy || this.waits-- > 0) this.later();
        }
      })
      .catch(() => { this.docs.delete(key); });
  }

  // Called whenever the viewer draws.
  draw(item, chosen, views) {
    this.box.hidden = !item.v && !item.heat;
    if (this.box.hidden) return;
    this.fetch();
    const doc = this.doc;
    const find = (name) => this.box.querySelector(name);
    find(".shares").textContent = doc ? this.words(doc, chosen) : "";
    find(".evenly").textContent = doc ? this.chance(doc) : "";
    const outlined = Boolean(doc?.lungs || doc?.lesion);
    const check = find(".outlined");
    check.hidden = !outlined;
    find(".outline").checked = this.viewer.gallery.prefs.outline;
    check.title = MASK_WORDS[doc?.source] || "";
    check.querySelector("span").textContent = doc?.lesion ? "outline of lungs (line) and lesion (dashes)" : "outline of the lungs";
    this.more(doc, item, views);
    this.outlines(doc);
  }

  words(doc, chosen) {
    if (!doc.shares) return "";
    const name = this.data.classes[chosen];
    if (doc.shares.border[chosen] === null) return `The map of ${name} shows no heat.`;
    const parts = PLACES.filter(([key]) => doc.shares[key][chosen] !== null).map(([key, where], i) => `${asPercent(doc.shares[key][chosen])} ${i ? "" : "of the heat "}${where}`);
    const peak = doc.shares.pointing[chosen];
    const end = peak === null ? "" : peak ? "; its peak lies on the lesion" : "; its peak misses the lesion";
    return `Map of ${name}: ${parts.join(", ")}${end}.`;
  }

  chance(doc) {
    if (!doc.shares) return "";
    const known = PLACES.filter(([key]) => doc.chance[key] !== null);
    return `Spread evenly it would be ${known.map(([key]) => asPercent(doc.chance[key])).join(", ")}.${doc.lungs && doc.source !== "dataset" ? ` ${MASK_WORDS[doc.source] || ""}` : ""}`;
  }

  more(doc, item, views) {
    const find = (name) => this.box.querySelector(name);
    const task = doc?.task;
    const weights = Boolean(this.data.explain?.weights) && Boolean(item.v);
    const quick = this.missing(false);
    const slow = this.missing(true);
    const here = views === "methods";
    find(".find").hidden = !doc || doc.looked || !doc.shares || Boolean(task?.busy);
    find(".quick").hidden = !here || !quick.length || !weights || Boolean(task?.busy);
    find(".slow").hidden = !here || !slow.length || !weights || Boolean(task?.busy);
    find(".quick").textContent = `Compute ${quick.length === 1 ? "the missing one" : `${quick.length} methods`}`;
    find(".slow").textContent = "Compute Score-CAM (slow: a minute or more)";
    if (!this.waits) this.box.querySelectorAll(".more .act").forEach((button) => { button.disabled = false; });
    const what = task?.kind === "masks" ? "The lungs could not be found" : "It could not be computed";
    const said = task?.busy ? `${task.kind === "masks" ? "Looking for the lungs" : "Computing"}: ${task.line}` : task?.failed ? `${what}: ${task.failed}` : "";
    const nothing = here && (quick.length || slow.length) && !weights ? "The weights of this run are not here to compute other maps." : "";
    find(".more .say").textContent = said || nothing;
    const bar = find("progress");
    bar.hidden = !task?.busy;
    if (task?.share === null || task?.share === undefined) bar.removeAttribute("value"); else bar.value = task.share;
    const list = find(".sources");
    list.hidden = !here;
    if (here && list.childElementCount !== this.methods().length) {
      list.replaceChildren(...this.methods().map((method) => {
        const line = el("li");
        line.append(el("b", "", method.title), ` ${method.help} `, el("small", "", method.source));
        return line;
      }));
    }
  }

  // The pane of another method.
  pane(pane, method, chosen) {
    const name = pane.querySelector(".name");
    name.hidden = false;
    name.textContent = method.map ? `${method.title}${method.per_class ? "" : " · every class"}` : `${method.title}: not computed`;
    const box = pane.querySelector(".xray");
    if (!method.map || !box || pane.querySelector(".gone")) return;
    const { h, w } = method.map;
    const n = this.data.classes.length;
    method.maps ||= { key: `${this.key}.${method.id}`, h, w, scale: new Float32Array(n).fill(1), values: bytesOf(method.map.values) };
    const canvas = pane.querySelector("canvas.heat") || box.appendChild(heatCanvas(PANE_SIDE));
    paintHeat(canvas, method.maps, chosen, { ...this.viewer.gallery.prefs, own: true }, this.data.palettes);
  }

  outlines(doc) {
    const show = this.viewer.gallery.prefs.outline && (doc?.lungs || doc?.lesion);
    for (const pane of this.viewer.panes.children) {
      const box = pane.querySelector(".xray");
      let canvas = pane.querySelector("canvas.edge");
      if (!show || !box || pane.querySelector(".gone")) {
        canvas?.remove();
        continue;
      }
      const signature = `${this.key}.${doc.lungs?.length}.${doc.lesion?.length}`;
      if (canvas?.dataset.shows === signature) continue;
      canvas ||= box.appendChild(el("canvas", "edge"));
      canvas.width = canvas.height = OUTLINE_SIDE;
      canvas.dataset.shows = signature;
      const pen = canvas.getContext("2d");
      pen.lineWidth = 3;
      pen.strokeStyle = "#5fd6c8";
      if (doc.lungs) this.edge(pen, bytesOf(doc.lungs), doc.grid);
      pen.strokeStyle = "#ffffff";
      pen.setLineDash([7, 6]);
      if (doc.lesion) this.edge(pen, bytesOf(doc.lesion), doc.grid);
    }
  }

  // The edge between the points that are in a mask and those that are not.
  edge(pen, bits, n) {
    const step = OUTLINE_SIDE / n;
    const at = (y, x) => (x < 0 || y < 0 || x >= n || y >= n ? 0 : (bits[(y * n + x) >> 3] >> (7 - ((y * n + x) & 7))) & 1);
    pen.beginPath();
    for (let y = 0; y <= n; y++) {
      for (let x = 0; x <= n; x++) {
        if (at(y, x) !== at(y - 1, x)) { pen.moveTo(x * step, y * step); pen.lineTo((x + 1) * step, y * step); }
        if (at(y, x) !== at(y, x - 1)) { pen.moveTo(x * step, y * step); pen.lineTo(x * step, (y + 1) * step); }
      }
    }
    pen.stroke();
  }
}
