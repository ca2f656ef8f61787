const KEEP = new WeakMap();
const GAP = 10;
const CAPTION = 62; // px below each picture: two lines of names, one of numbers
const AHEAD = 2; // rows drawn beyond each edge
const HEAT_SIDE = 48;
const SHEET_LIMIT = 300;

// A grid of which only the rows near the view are in the document, however long the list is.
class Gallery {
  constructor(album) {
    this.album = album;
    this.scroll = album.querySelector(".scroll");
    this.tiles = album.querySelector(".tiles");
    this.slots = new Map(); // position in the list -> its element
    this.picked = new Map(); // run -> ids
    this.at = 0; // what the arrow keys start from
    this.columns = 1;
    this.viewer = new Viewer(album.querySelector("dialog"), this);
    this.viewer.extra = new Look(this.viewer);
    this.scroll.onscroll = () => this.later();
    this.tiles.onclick = (event) => this.clicked(event);
    this.tiles.onchange = (event) => this.toggled(event);
    this.tiles.onkeydown = (event) => this.key(event);
    this.tiles.addEventListener("focusin", (event) => {
      const slot = event.target.closest(".slot");
      if (slot) this.move(Number(slot.dataset.at), false);
    });
    album.querySelector(".all").onchange = (event) => this.pickAll(event.target.checked);
    album.querySelector(".table").onclick = (event) => this.export("csv", event.target);
    album.querySelector(".sheet").onclick = (event) => this.export("png", event.target);
    album.querySelector(".explain button").onclick = () => this.explain([...this.chosen].slice(0, 200));
    this.sizes = new ResizeObserver(() => this.layout());
    this.onasked = () => this.tellPicked();
    this.onback = () => this.viewer.back();
    this.onprefs = ({ detail }) => { if (detail.run === this.data.run) this.show(detail.prefs); };
  }

  update(data, send, trigger) {
    const key = [data.base, data.list, data.list ? data.total : data.items.map((item) => item.id)].join();
    const fresh = this.key_ !== key;
    this.key_ = key;
    this.data = data;
    this.send = send;
    this.trigger = trigger;
    this.theme = themeOf(this.album);
    this.colours = { right: parseColour(this.theme.primary), wrong: parseColour(classColour(this.theme, 1)) };
    this.album.style.setProperty("--room", data.room);
    this.tiles.setAttribute("aria-label", data.label);
    const place = data.list?.replace(/epoch=\d+&?/, "").replace(/&$/, "");
    const moved = Boolean(place) && place === this.listed && !data.opened; // to another epoch: one stays where one is
    this.listed = place;
    if (fresh) {
      this.store = new ImageStore(data, () => this.arrived());
      this.slots.forEach((slot) => drop(slot));
      this.slots.clear();
      this.range = "";
      this.tiles.replaceChildren();
      this.at = data.opened?.at ?? (moved ? Math.min(this.at, data.total - 1) : 0);
      if (!moved) this.scroll.scrollTop = 0;
    } else {
      this.store.take(data);
    }
    if (!this.picked.has(data.run)) this.picked.set(data.run, new Set());
    this.chosen = this.picked.get(data.run);
    window.addEventListener("covidviz-heat", this.onprefs); // the same listener twice is one
    window.addEventListener("covidviz-who", this.onasked);
    window.addEventListener("popstate", this.onback);
    this.sizes.observe(this.scroll);
    this.prefs = heatPrefs(data.run);
    this.layout();
    if (fresh && this.at && !moved) this.reveal(this.at);
    this.slots.forEach((slot, at) => this.fill(slot, at)); // theme, facts, and maps may be others
    this.viewer.update(data, fresh);
    this.show(this.prefs);
  }

  stop() {
    window.removeEventListener("covidviz-heat", this.onprefs);
    window.removeEventListener("covidviz-who", this.onasked);
    window.removeEventListener("popstate", this.onback);
    this.sizes.disconnect();
  }

  // --- where the tiles are

  layout() {
    const style = getComputedStyle(this.scroll);
    const width = this.scroll.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (width <= 0) return; // not shown yet
    const smallest = width < 480 ? 102 : 128;
    const columns = Math.max(2, Math.floor((width + GAP) / (smallest + GAP)));
    const size = Math.floor((width - GAP * (columns - 1)) / columns);
    const first = Math.round(this.scroll.scrollTop / (this.step || 1)) * this.columns;
    const changed = columns !== this.columns || size !== this.size;
    this.columns = columns;
    this.size = size;
    this.step = size + CAPTION + GAP;
    this.tiles.style.setProperty("--w", `${size}px`);
    this.tiles.style.setProperty("--h", `${size + CAPTION}px`);
    this.tiles.style.height = `${Math.ceil(this.store.total / columns) * this.step - GAP}px`;
    if (changed) {
      if (first) this.scroll.scrollTop = Math.floor(first / columns) * this.step;
      this.slots.forEach((slot, at) => this.place(slot, at));
      this.range = "";
    }
    this.draw();
  }

  place(slot, at) {
    slot.style.transform = `translate(${(at % this.columns) * (this.size + GAP)}px, ${Math.floor(at / this.columns) * this.step}px)`;
  }

  later() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    if (!this.step) return;
    const rows = Math.ceil(this.store.total / this.columns);
    const top = this.scroll.scrollTop;
    this.flying = Math.abs(top - (this.top ?? top)) > this.step;
    this.top = top;
    const from = Math.max(0, Math.floor(top / this.step) - AHEAD) * this.columns;
    const to = Math.min(rows, Math.ceil((top + this.scroll.clientHeight) / this.step) + AHEAD) * this.columns;
    const last = Math.min(this.store.total, to);
    if (this.range === `${from}-${last}` && this.slots.size) return;
    this.range = `${from}-${last}`;
    for (const [at, slot] of this.slots) {
      // What has the focus stays, or the keyboard would lose its place.
      if ((at < from || at >= last) && !slot.contains(activeIn(this.tiles))) {
        drop(slot);
        this.slots.delete(at);
      }
    }
    const added = [];
    for (let at = from; at < last; at++) {
      if (this.slots.has(at)) continue;
      const slot = el("div", "slot");
      slot.setAttribute("role", "listitem");
      slot.setAttribute("aria-setsize", this.store.total);
      slot.setAttribute("aria-posinset", at + 1);
      slot.dataset.at = at;
      this.place(slot, at);
      this.slots.set(at, slot);
      this.fill(slot, at);
      added.push(at);
    }
    if (added.length) this.sort();
    this.near(from, last);
    this.heat();
    this.tab();
  }

  // The order in the document is that of the list, for screen readers and the tab key; nothing moves that is in place.
  sort() {
    let before = this.tiles.firstElementChild;
    for (const at of [...this.slots.keys()].sort((a, b) => a - b)) {
      const slot = this.slots.get(at);
      if (slot === before) before = before.nextElementSibling;
      else this.tiles.insertBefore(slot, before);
    }
  }

  // Pages of the list in view, and the next one; while somebody flies past, nothing is fetched.
  near(from, to) {
    clearTimeout(this.fetching);
    const page = this.data.page;
    const missing = () => {
      for (let at = Math.floor(from / page) * page; at < to; at += page) this.store.page(at);
      this.store.page(to + page / 2);
    };
    this.fetching = setTimeout(missing, 60);
  }

  arrived() {
    this.slots.forEach((slot, at) => this.fill(slot, at));
    this.heat();
    this.tab();
    this.viewer.arrived();
  }

  // --- one tile

  fill(slot, at) {
    const item = this.store.items[at];
    const signature = item ? JSON.stringify([item.id, item.v, item.what, item.prob, item.right, this.data.base]) : "";
    if (slot.dataset.shows !== signature || !slot.firstChild) {
      slot.dataset.shows = signature;
      clearTimeout(slot.loading);
      if (!item) {
        slot.replaceChildren(el("div", "wait"));
        return;
      }
      const tile = el("button", "tile");
      tile.type = "button";
      tile.dataset.id = item.id;
      tile.setAttribute("aria-label", `${item.right ? "right" : "wrong"}: ${item.what}, ${item.prob}`);
      const caption = el("span", "caption");
      const lines = item.true === item.said ? [el("span", "what two", item.true)] : [el("span", "what", item.true), el("span", "what", `→ ${item.said}`)];
      lines.forEach((line) => { line.dir = "auto"; });
      caption.append(el("span", "mark", item.right ? "✓" : "✕"), ...lines, el("span", "prob", item.prob));
      caption.title = `${item.what} · ${item.prob}`;
      const start = [];
      tile.append(xray(this.store, item, "t", "", start), caption);
      // What is only passed by asks for no picture.
      if (this.flying) slot.loading = setTimeout(() => start.forEach((one) => one()), 60);
      else start.forEach((one) => one());
      slot.replaceChildren(tile);
      if (this.data.picks) {
        const pick = el("label", "pick");
        const box = el("input");
        box.type = "checkbox";
        box.tabIndex = -1; // the key x does it
        box.setAttribute("aria-label", `Select ${item.id}`);
        pick.appendChild(el("span")).append(box);
        slot.append(pick);
      }
    }
    if (!item) return;
    const tile = slot.querySelector(".tile");
    const colour = item.right ? this.colours.right : this.colours.wrong;
    const mark = tile.querySelector(".mark");
    mark.style.background = rgb(colour);
    mark.style.color = inkOn(colour);
    this.mark(slot, item);
  }

  mark(slot, item) {
    const chosen = this.chosen.has(item.id);
    slot.classList.toggle("picked", chosen);
    const box = slot.querySelector(".pick input");
    if (box) box.checked = chosen;
    const current = this.viewer.last === item.id || this.data.selected === item.id;
    slot.querySelector(".tile").setAttribute("aria-current", String(current));
  }

  heat() {
    const shown = [...this.slots].filter(([at]) => this.store.items[at]?.heat);
    if (this.prefs.opacity > 0) this.store.wantMaps(shown.map(([at]) => this.store.items[at]));
    for (const [at, slot] of this.slots) {
      const item = this.store.items[at];
      const maps = item?.heat ? this.store.maps.get(item.id) : null;
      const box = slot.querySelector(".xray");
      let canvas = slot.querySelector("canvas");
      if (!box || !item?.v || slot.querySelector(".gone")) continue;
      if (!maps) {
        if (!item.heat) canvas?.remove();
        continue;
      }
      canvas ||= box.appendChild(heatCanvas(HEAT_SIDE));
      paintHeat(canvas, maps, heatClass(this.prefs, item), this.prefs, this.data.palettes);
    }
  }

  show(prefs) {
    this.prefs = prefs;
    this.album.style.setProperty("--heat", prefs.opacity / 100);
    const some = this.data.heat_any || this.store.items.some((item) => item?.heat);
    this.album.querySelectorAll(".heatbar").forEach((bar) => {
      bar.hidden = !some;
      heatBar(bar, this.data, prefs);
    });
    this.heat();
    this.viewer.heat();
    this.counts();
    this.explaining();
  }

  // --- moving about

  tab() {
    for (const [at, slot] of this.slots) {
      const tile = slot.querySelector(".tile");
      if (tile) tile.tabIndex = at === this.at ? 0 : -1;
    }
    if (!this.slots.has(this.at)) { // scrolled away: Tab enters at the first that can be seen
      const first = [...this.slots].sort(([a], [b]) => a - b).find(([at]) => Math.floor(at / this.columns) * this.step >= this.scroll.scrollTop);
      const tile = first?.[1].querySelector(".tile");
      if (tile) tile.tabIndex = 0;
    }
  }

  reveal(at) { // scrolls the box, never the page
    const top = Math.floor(at / this.columns) * this.step;
    const { scrollTop, clientHeight } = this.scroll;
    if (top < scrollTop || top + this.step > scrollTop + clientHeight) {
      this.scroll.scrollTop = top < scrollTop ? top : Math.max(0, top + this.step - clientHeight + GAP);
      if (Math.abs(this.scroll.scrollTop - scrollTop) > clientHeight) this.scroll.scrollTop = Math.max(0, top - clientHeight / 3);
    }
    this.draw();
  }

  move(at, focus) {
    this.at = Math.min(this.store.total - 1, Math.max(0, at));
    if (focus) {
      this.reveal(this.at);
      const at = this.at;
      const go = () => { if (at === this.at) this.slots.get(at)?.querySelector(".tile")?.focus({ preventScroll: true }); };
      if (this.store.items[at]) go();
      else this.store.page(at).then(go);
    }
    this.tab();
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const slot = event.target.closest(".slot");
    if (!slot) return;
    const at = Number(slot.dataset.at);
    const page = Math.max(1, Math.floor(this.scroll.clientHeight / this.step)) * this.columns;
    const to = {
      ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + this.columns, ArrowUp: at - this.columns,
      Home: 0, End: this.store.total - 1, PageDown: at + page, PageUp: at - page,
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      if ((event.key === "ArrowDown" && to >= this.store.total && Math.floor(at / this.columns) === Math.floor((this.store.total - 1) / this.columns)) || (event.key === "ArrowUp" && to < 0)) return;
      this.move(to, true);
    } else if (event.key === "x" && this.data.picks) {
      event.preventDefault();
      this.pick(this.store.items[at]);
    }
  }

  clicked(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const at = Number(tile.closest(".slot").dataset.at);
    if (event.shiftKey && this.data.picks && this.anchor !== undefined) return this.pickRange(this.anchor, at);
    this.at = at;
    if (!this.data.views) return this.send("picked", { id: tile.dataset.id, at: performance.now() });
    this.viewer.open(at);
  }

  // --- selection

  toggled(event) {
    const slot = event.target.closest(".slot");
    const item = slot && this.store.items[Number(slot.dataset.at)];
    if (!item) return;
    this.anchor = Number(slot.dataset.at);
    this.pick(item, event.target.checked);
  }

  pick(item, on = !this.chosen.has(item.id)) {
    if (on) this.chosen.add(item.id);
    else this.chosen.delete(item.id);
    this.marks();
  }

  pickRange(a, b) {
    for (let at = Math.min(a, b); at <= Math.max(a, b); at++) {
      if (this.store.items[at]) this.chosen.add(this.store.items[at].id);
    }
    this.marks();
  }

  pickAll(on) {
    if (!on) {
      this.chosen.clear();
      return this.marks();
    }
    return this.store.ids().then((ids) => {
      ids.forEach((id) => this.chosen.add(id));
      this.marks();
    });
  }

  marks() {
    this.slots.forEach((slot, at) => { if (this.store.items[at]) this.mark(slot, this.store.items[at]); });
    this.viewer.mark();
    this.counts();
    this.explaining();
    this.tellPicked();
  }

  // The epochs above, if they are open, draw a line for each of these.
  tellPicked() { window.dispatchEvent(new CustomEvent("covidviz-picked", { detail: { run: this.data.run, ids: [...this.chosen] } })); }

  counts() {
    const picks = this.album.querySelector(".picks");
    picks.hidden = !this.data.picks;
    const n = this.chosen.size;
    this.album.classList.toggle("picking", n > 0);
    const all = picks.querySelector(".all");
    all.checked = n > 0;
    all.indeterminate = n > 0 && n < this.store.total;
    picks.querySelector("label span").textContent = n ? `${n.toLocaleString("en")} selected` : `Select all ${this.store.total.toLocaleString("en")}`;
    picks.querySelectorAll(".act").forEach((button) => { button.disabled = !n || button.dataset.busy === "1"; });
    const sheet = picks.querySelector(".sheet");
    if (sheet.dataset.busy !== "1") sheet.textContent = n > SHEET_LIMIT ? `Contact sheet (first ${SHEET_LIMIT})` : "Contact sheet";
  }

  export(kind, button) {
    const { opacity, colours, own, label } = this.prefs;
    const title = button.textContent;
    const end = (text) => {
      button.dataset.busy = "";
      button.textContent = text;
      this.counts();
    };
    button.dataset.busy = "1";
    button.textContent = kind === "png" ? "Drawing …" : "Writing …";
    this.counts();
    const body = JSON.stringify({ ids: [...this.chosen], epoch: this.data.epoch ?? null, title: `${this.data.title}, ${this.chosen.size.toLocaleString("en")} images`, heat: { opacity, colours, own, label } });
    fetch(`/export/${this.data.run}/${kind}`, { method: "POST", body, headers: { "Content-Type": "application/json" } })
      .then((response) => { if (!response.ok) throw new Error(response.status); return response.blob(); })
      .then((blob) => {
        const link = el("a");
        link.href = URL.createObjectURL(blob);
        link.download = `${this.data.run}-images.${kind}`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
        end(title);
      })
      .catch(() => end("It could not be made"));
  }

  // --- images without a map

  explain(ids) { this.trigger("explain", { ids, at: performance.now() }); }

  explaining() {
    const { task, missing, weights } = this.data.explain || {};
    const box = this.album.querySelector(".explain");
    const show = Boolean(this.data.explain && (missing || task));
    box.hidden = !show;
    if (!show) return;
    const button = box.querySelector("button");
    const bar = box.querySelector("progress");
    const n = this.chosen.size;
    box.querySelector(".say").textContent = explainWords(this.data, `${missing === this.store.total ? "These images have" : `${missing.toLocaleString("en")} of these images ${missing === 1 ? "has" : "have"}`} no heat map.`);
    bar.hidden = !task?.busy;
    if (task?.share === null || task?.share === undefined) bar.removeAttribute("value"); else bar.value = task.share;
    button.hidden = Boolean(task?.busy) || !weights || !missing;
    button.textContent = n ? `Explain the ${Math.min(n, 200)} selected` : missing > 60 ? "Explain the first 60" : missing > 1 ? `Explain the ${missing}` : "Explain it";
  }
}

const explainWords = (data, otherwise) => {
  const { task, weights } = data.explain;
  if (task?.busy) return `Explaining: ${task.line}`;
  if (task?.failed) return `They could not be explained: ${task.failed}`;
  return weights ? otherwise : `${otherwise} The weights of this run are not here to make one.`;
};

const drop = (slot) => {
  clearTimeout(slot.loading);
  slot.querySelectorAll("img").forEach((image) => { image.onerror = null; image.removeAttribute("src"); }); // no longer wanted
  slot.remove();
};

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const album = parentElement.querySelector(".album");
  if (!KEEP.has(album)) KEEP.set(album, new Gallery(album));
  const one = KEEP.get(album);
  one.update(data, setStateValue, setTriggerValue);
  return () => one.stop();
}
