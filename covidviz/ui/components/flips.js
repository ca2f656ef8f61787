// Tiles with the heat maps of two runs, and the viewer of one run (viewer.js) with a pane for each of the two.

const KEEP = new WeakMap();
const TILE_HEAT = 64;

// What run B says of an image, in the form that the heat maps of one run have it.
const ofB = (item) => ({ ...item, ...item.b });

class PairViewer extends Viewer {
  get panesOf() { // [run, item in its words]; null: the X-ray alone
    const item = this.item;
    const two = [[0, item], [1, ofB(item)]];
    return this.views() === "two" ? [...two, null] : two; // A and B beside each other in any arrangement
  }

  views() {
    const chosen = this.gallery.prefs.views || (window.innerWidth > 760 ? "two" : "one");
    return chosen === "one" || !this.hasHeat(this.item) ? "one" : "two";
  }

  hasHeat(item) { return Boolean(item && (item.heat || item.b.heat)); }

  draw() {
    super.draw();
    const item = this.item;
    if (!item) return;
    const { data, colours } = this.gallery;
    const verdict = this.dialog.querySelector(".verdict");
    const colour = data.kind === "fixed" ? colours.right : colours.wrong;
    verdict.textContent = data.word;
    verdict.style.background = rgb(colour);
    verdict.style.color = inkOn(colour);
    this.dialog.querySelector(".title").textContent = `true ${item.true}: ${item.said} → ${item.b.said}`;
    const at = data.offset + this.at + 1;
    this.dialog.querySelector(".at").textContent = `${at.toLocaleString("en")} of ${data.all.toLocaleString("en")}`;
  }

  drawBars(item) {
    const { data, theme } = this.gallery;
    const bars = this.dialog.querySelector(".bars");
    const focused = bars.contains(activeIn(bars));
    const some = this.hasHeat(item);
    if (some) {
      bars.setAttribute("role", "radiogroup");
      bars.setAttribute("aria-label", "Heat maps of which class");
    } else {
      bars.removeAttribute("role");
      bars.removeAttribute("aria-label");
    }
    const order = [...data.classes.keys()];
    const weight = (k) => item.y[k] + item.d[k] + item.b.d[k];
    if (order.length > 6) order.sort((a, b) => weight(b) - weight(a) || item.b.p[b] - item.b.p[a]);
    bars.replaceChildren(...order.map((k) => {
      const row = el(some ? "button" : "div", "duo bar-row");
      if (some) {
        row.type = "button";
        row.setAttribute("role", "radio");
        row.onclick = () => setHeatPrefs(data.run, { label: k });
      }
      row.dataset.k = k;
      const name = row.appendChild(el("span", "name", data.classes[k]));
      name.dir = "auto";
      name.title = data.classes[k];
      const tag = row.appendChild(el("span", "tag"));
      if (item.y[k]) tag.append(el("i", "", "true"));
      const words = [data.classes[k], item.y[k] ? "true label" : ""];
      [item, ofB(item)].forEach((one, i) => {
        const line = row.appendChild(el("span", "line"));
        const share = one.p[k] === null ? "–" : one.p[k].toFixed(3);
        const track = el("span", "track");
        const fill = track.appendChild(el("span", "fill"));
        fill.style.width = `${100 * (one.p[k] ?? 0)}%`;
        fill.style.background = classColour(theme, i);
        line.append(el("span", "", "AB"[i]), track, el("span", "value", share), el("span", "said", one.d[k] ? "predicted" : ""));
        words.push(`${"AB"[i]} ${share}${one.d[k] ? ", predicted" : ""}`);
      });
      if (some) row.setAttribute("aria-label", words.filter(Boolean).join(", "));
      return row;
    }));
    if (focused) this.panes.focus({ preventScroll: true });
  }

  heat() {
    const item = this.item;
    if (!item) return;
    const { data, prefs } = this.gallery;
    this.dialog.querySelectorAll(".seg button").forEach((button) => {
      button.hidden = !["one", "two"].includes(button.dataset.views);
      button.setAttribute("aria-pressed", String(button.dataset.views === this.views()));
    });
    this.dialog.querySelector(".seg").hidden = !this.hasHeat(item);
    const wanted = this.panesOf;
    const key = JSON.stringify([item.id, item.v, this.views(), item.heat, item.b.heat]);
    if (this.paneKey !== key) {
      this.paneKey = key;
      this.panes.replaceChildren(...wanted.map((of, i) => {
        const pane = el("div", "pane");
        pane.append(xray(this.gallery.pictures(item), item, "f", i ? "" : `X-ray ${item.id}, true ${item.true}`), el("span", "name"));
        return pane;
      }));
      this.arrange();
    }
    [...this.panes.children].forEach((pane, i) => {
      const name = pane.querySelector(".name");
      if (!wanted[i]) {
        name.textContent = "X-ray";
        return;
      }
      const [side, one] = wanted[i];
      const k = heatClass(prefs, one);
      const p = one.p[k] === null ? "" : one.p[k].toFixed(2);
      const votes = item.votes ? ` · right in ${item.votes[side]} of ${data.sizes[side]}` : "";
      name.textContent = `${one.right ? "✓" : "✕"} ${this.gallery.name(side, one)}: ${one.said} · map of ${data.classes[k]} ${p}${votes}`;
      name.title = name.textContent;
      const store = this.gallery.stores[side][one.of];
      if (one.heat) store.wantMaps([one]);
      const maps = one.heat ? store.maps.get(item.id) : null;
      if (!maps || !item.v || pane.querySelector(".gone")) {
        if (!one.heat) name.textContent += " · no heat map";
        return;
      }
      const canvas = pane.querySelector("canvas.heat") || pane.querySelector(".xray").appendChild(heatCanvas(PANE_SIDE));
      this.gallery.paint(canvas, side, one, maps);
    });
    const chosen = heatClass(prefs, item);
    this.dialog.querySelectorAll("button.duo").forEach((bar) => {
      bar.setAttribute("aria-checked", String(Number(bar.dataset.k) === chosen));
      bar.tabIndex = Number(bar.dataset.k) === chosen ? 0 : -1;
    });
    this.why();
  }

  why() {
    const item = this.item;
    const box = this.dialog.querySelector(".why");
    box.hidden = !item || this.hasHeat(item);
    box.querySelector("span").textContent = "No heat map was logged for this image by either run.";
    box.querySelector("progress").hidden = true;
    box.querySelector("button").hidden = true;
  }

  ahead() {
    const near = [1, -1].map((step) => this.store.items[this.at + step]).filter((item) => item?.v);
    near.forEach((item) => [item, ofB(item)].forEach((one, i) => { if (one.heat) this.gallery.stores[i][one.of].wantMaps([one]); }));
    this.kept = near.map((item) => {
      const image = new Image();
      image.src = this.gallery.pictures(item).picture(item, "f");
      return image;
    });
  }

  barKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !this.hasHeat(this.item)) return;
    event.preventDefault();
    const bars = [...this.dialog.querySelectorAll("button.duo")];
    const at = bars.findIndex((bar) => bar.getAttribute("aria-checked") === "true");
    const next = bars[(at + step + bars.length) % bars.length];
    setHeatPrefs(this.gallery.data.run, { label: Number(next.dataset.k) });
    next.focus();
  }
}

class Flips {
  constructor(root) {
    this.root = root;
    this.tiles = root.querySelector(".tiles");
    this.slots = new Map();
    this.chosen = new Set();
    this.viewer = new PairViewer(root.querySelector("dialog"), this);
    this.tiles.onclick = (event) => {
      const tile = event.target.closest(".tile");
      if (tile) this.viewer.open(Number(tile.dataset.at));
    };
    this.tiles.onkeydown = (event) => this.key(event);
    this.onprefs = ({ detail }) => { if (detail.run === this.data.run) this.show(detail.prefs); };
    const pager = root.querySelector(".pager");
    pager.querySelector(".back").onclick = () => this.page(-1);
    pager.querySelector(".on").onclick = () => this.page(1);
  }

  update(data, trigger) {
    const fresh = JSON.stringify([data.kind, data.sides, data.items.map((item) => item.id)]);
    this.trigger = trigger;
    this.data = data;
    this.theme = themeOf(this.root);
    this.colours = { right: parseColour(this.theme.primary), wrong: parseColour(classColour(this.theme, 1)) };
    if (this.fresh !== fresh) {
      const none = { ...data, list: null, offset: 0, total: data.items.length };
      const changed = () => this.heat();
      this.stores = data.sides.map((runs) => runs.map((run) => new ImageStore({ ...none, ...run }, changed)));
      this.store = this.stores[0][0];
    }
    window.addEventListener("covidviz-heat", this.onprefs);
    this.prefs = heatPrefs(data.run);
    this.draw(fresh !== this.fresh);
    this.viewer.update(data, fresh !== this.fresh);
    this.fresh = fresh;
    this.show(this.prefs);
  }

  stop() { window.removeEventListener("covidviz-heat", this.onprefs); }

  pictures(item) { return item.from_b ? this.stores[1][item.b.of] : this.stores[0][item.of]; }

  // Whose words these are: `A · run 3`.
  name(side, one) { return `${"AB"[side]} · run ${this.data.sides[side][one.of].number}`; }

  paint(canvas, side, one, maps) {
    const k = this.data.sides[side][one.of].order[heatClass(this.prefs, one)];
    paintHeat(canvas, maps, k, this.prefs, this.data.palettes);
  }

  draw(fresh) {
    const { data } = this;
    this.tiles.setAttribute("aria-label", data.label);
    const signature = JSON.stringify([data.items, data.sides, this.theme.palette]);
    if (this.drawn !== signature) {
      this.drawn = signature;
      this.slots.clear();
      this.tiles.replaceChildren(...data.items.map((item, at) => this.tile(item, at)));
      rove([...this.tiles.querySelectorAll(".tile")], this.tiles.querySelector(".tile"));
    }
    if (fresh) this.tiles.scrollTop = 0;
    const pager = this.root.querySelector(".pager");
    pager.hidden = data.pages < 2;
    pager.querySelector(".back").disabled = data.page_at === 0;
    pager.querySelector(".on").disabled = data.page_at >= data.pages - 1;
    const last = data.offset + data.items.length;
    pager.querySelector(".where").textContent = `${(data.offset + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${data.all.toLocaleString("en")}`;
  }

  tile(item, at) {
    const slot = el("div", "slot");
    slot.setAttribute("role", "listitem");
    const tile = slot.appendChild(el("button", "tile"));
    tile.type = "button";
    tile.dataset.at = at;
    tile.dataset.id = item.id;
    tile.setAttribute("aria-label", `${this.data.word}: true ${item.true}, A ${item.said}, B ${item.b.said}`);
    const two = tile.appendChild(el("span", "two"));
    two.append(xray(this.pictures(item), item, "t", ""), xray(this.pictures(item), item, "t", ""));
    const says = tile.appendChild(el("span", "says"));
    const truth = says.appendChild(el("span", "true", `true ${item.true}`));
    truth.dir = "auto";
    [item, ofB(item)].forEach((one, i) => {
      const votes = item.votes ? ` ${item.votes[i]}/${this.data.sizes[i]}` : "";
      const said = says.appendChild(el("span"));
      said.append(el("b", "", `${one.right ? "✓" : "✕"} ${"AB"[i]}${votes}`), one.said);
      said.title = `${this.name(i, one)}: ${one.said}`;
    });
    this.slots.set(at, slot);
    return slot;
  }

  heat() {
    for (const [at, slot] of this.slots) {
      const item = this.store.items[at];
      [...slot.querySelectorAll(".xray")].forEach((box, i) => {
        const one = i ? ofB(item) : item;
        if (!one.heat || !item.v) return;
        const store = this.stores[i][one.of];
        if (this.prefs.opacity > 0) store.wantMaps([one]);
        const maps = store.maps.get(item.id);
        if (!maps) return;
        const canvas = box.querySelector("canvas.heat") || box.appendChild(heatCanvas(TILE_HEAT));
        this.paint(canvas, i, one, maps);
      });
    }
    if (this.viewer.at !== null) this.viewer.heat();
  }

  show(prefs) {
    this.prefs = prefs;
    this.root.style.setProperty("--heat", prefs.opacity / 100);
    const some = this.data.items.some((item) => item.heat || item.b.heat);
    this.root.querySelectorAll(".heatbar").forEach((bar) => {
      bar.hidden = !some;
      heatBar(bar, this.data, prefs);
    });
    this.heat();
  }

  page(step) { this.trigger("page", { to: this.data.page_at + step, at: performance.now() }); }

  // --- what the viewer asks of a gallery

  send() {}
  explain() {}
  pick() {}
  mark(slot, item) { slot.querySelector(".tile").setAttribute("aria-current", String(this.viewer.last === item.id)); }
  move(at, focus) {
    const tile = this.slots.get(at)?.querySelector(".tile");
    if (!tile) return;
    rove([...this.tiles.querySelectorAll(".tile")], tile);
    if (focus) tile.focus();
  }

  key(event) {
    const tile = event.target.closest(".tile");
    if (!tile || event.altKey || event.ctrlKey || event.metaKey) return;
    const columns = getComputedStyle(this.tiles).gridTemplateColumns.split(" ").length;
    const at = Number(tile.dataset.at);
    const last = this.data.items.length - 1;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.move(Math.max(0, Math.min(last, to)), true);
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".flips");
  if (!KEEP.has(root)) KEEP.set(root, new Flips(root));
  const one = KEEP.get(root);
  one.update(data, setTriggerValue);
  return () => one.stop();
}
