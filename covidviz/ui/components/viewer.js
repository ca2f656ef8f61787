// One image large, over the whole window: the X-ray and its heat maps move, zoom and are windowed together.

const PANE_SIDE = 160; // pixels of a heat map here
const MAX_ZOOM = 16;
const FULL = { width: 255, level: 127.5 };

class Viewer {
  constructor(dialog, gallery) {
    this.dialog = dialog;
    this.gallery = gallery;
    this.at = null; // position in the list, null while it is closed
    this.last = null; // id of what was looked at last
    this.sent = new Set(); // reported to the server, not yet answered
    this.look = { zoom: 1, x: 0, y: 0, ...FULL };
    this.pointers = new Map();
    const find = (name) => dialog.querySelector(name);
    this.panes = find(".panes");
    find(".prev").onclick = () => this.go(-1);
    find(".next").onclick = () => this.go(1);
    find(".close").onclick = () => dialog.close();
    find(".in").onclick = () => this.zoom(1.5);
    find(".out").onclick = () => this.zoom(1 / 1.5);
    find(".reset").onclick = () => this.reset();
    find(".width").oninput = (event) => this.window(Number(event.target.value), this.look.level);
    find(".level").oninput = (event) => this.window(this.look.width, Number(event.target.value));
    find(".why button").onclick = () => gallery.explain([this.item.id]);
    find(".side .pick input").onchange = (event) => gallery.pick(this.item, event.target.checked);
    find(".bars").onkeydown = (event) => this.barKey(event);
    dialog.querySelectorAll(".seg button").forEach((button) => {
      button.onclick = () => setHeatPrefs(gallery.data.run, { views: button.dataset.views });
    });
    dialog.onkeydown = (event) => this.key(event);
    dialog.addEventListener("close", () => this.closed());
    this.panes.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), event);
    }, { passive: false });
    this.panes.oncontextmenu = (event) => event.preventDefault();
    this.panes.ondblclick = () => this.reset();
    this.panes.onpointerdown = (event) => this.down(event);
    this.panes.onpointermove = (event) => this.drag(event);
    this.panes.onpointerup = this.panes.onpointercancel = (event) => this.up(event);
    new ResizeObserver(() => this.arrange()).observe(this.panes);
  }

  get store() { return this.gallery.store; }
  get item() { return this.at === null ? undefined : this.store.items[this.at]; }

  // --- what is shown, and what the server says about it

  // The server answers later than fingers move: what it says counts if the list is new, or if it is no echo of a step.
  update(data, fresh) {
    const wanted = data.opened?.id ?? "";
    if (!data.views) return;
    if (fresh || (wanted !== this.server && !this.sent.has(wanted))) {
      this.sent.clear();
      if (wanted) this.open(data.opened.at, false);
      else if (this.at !== null) this.hide();
    }
    this.server = wanted;
    if (wanted === (this.item?.id ?? "")) this.sent.clear();
    if (this.at !== null) this.draw();
  }

  // The browser's Back is a new word, also where it leads to what the server said last, before it heard of a step: then
  // nothing changes for the server, and no update comes.
  back() {
    clearTimeout(this.telling);
    this.sent.clear();
    this.server = null;
    const { opened } = this.gallery.data, wanted = new URLSearchParams(location.search).get("img") ?? "";
    if (wanted !== (opened?.id ?? "")) return;
    if (wanted) this.open(opened.at, false);
    else if (this.at !== null) this.hide();
  }

  open(at, tell = true) {
    this.at = at;
    if (!this.dialog.open) {
      this.look = { zoom: 1, x: 0, y: 0, ...FULL };
      this.dialog.showModal();
      this.panes.focus({ preventScroll: true });
    }
    this.draw();
    if (tell) this.report();
  }

  go(step) {
    const to = this.at + step;
    if (this.at === null || to < 0 || to >= this.store.total) return;
    this.at = to;
    Object.assign(this.look, { zoom: 1, x: 0, y: 0 }); // the window stays: the next picture is of the same kind
    this.draw();
    this.report();
  }

  report() {
    clearTimeout(this.telling);
    const tell = () => {
      const id = this.item?.id ?? "";
      if (this.at !== null && !id) return; // told when it is there
      this.sent.add(id);
      this.gallery.send("opened", { id, at: performance.now() });
    };
    this.telling = setTimeout(tell, this.at === null ? 0 : 200);
  }

  hide() { // not to be reported: the server asked for it
    if (!this.dialog.open) return; // it is being closed already
    this.quiet = true;
    this.dialog.close();
  }

  closed() {
    const at = this.at;
    this.at = null;
    this.pointers.clear();
    if (!this.quiet) this.report();
    this.quiet = false;
    if (at !== null) this.gallery.move(at, true);
    this.gallery.slots.forEach((slot, k) => { if (this.store.items[k]) this.gallery.mark(slot, this.store.items[k]); });
  }

  arrived() {
    if (this.at === null) return;
    this.draw();
    if (this.waiting && this.item) this.report();
  }

  draw() {
    const { data, theme, colours } = this.gallery;
    const item = this.item;
    const find = (name) => this.dialog.querySelector(name);
    find(".prev").disabled = this.at === 0;
    find(".next").disabled = this.at >= this.store.total - 1;
    find(".at").textContent = `${(this.at + 1).toLocaleString("en")} of ${this.store.total.toLocaleString("en")}`;
    this.waiting = !item;
    if (!item) {
      this.store.page(this.at);
      return;
    }
    this.last = item.id;
    const signature = JSON.stringify([item, data.base, theme, data.classes]);
    if (this.drawn !== signature) {
      this.drawn = signature;
      const colour = item.right ? colours.right : colours.wrong;
      const verdict = find(".verdict");
      verdict.textContent = item.right ? "✓ right" : "✕ wrong";
      verdict.style.background = rgb(colour);
      verdict.style.color = inkOn(colour);
      find(".title").textContent = item.what;
      find(".title").dir = "auto";
      this.drawBars(item);
      find("dl").replaceChildren(...item.facts.flatMap(([name, value]) => {
        const dd = el("dd", "", value);
        dd.dir = "auto";
        return [el("dt", "", name), dd];
      }));
      this.paneKey = "";
    }
    this.mark();
    this.heat();
    this.transform();
    this.ahead();
  }

  drawBars(item) {
    const { data, theme } = this.gallery;
    const bars = this.dialog.querySelector(".bars");
    const focused = bars.contains(activeIn(bars));
    bars.classList.toggle("many", data.classes.length > 6);
    if (item.heat) {
      bars.setAttribute("role", "radiogroup");
      bars.setAttribute("aria-label", "Heat map of which class");
    } else {
      bars.removeAttribute("role");
      bars.removeAttribute("aria-label");
    }
    // Of many classes those first that matter for this image; a few keep their places.
    const order = [...data.classes.keys()];
    if (order.length > 6) order.sort((a, b) => item.y[b] + item.d[b] - item.y[a] - item.d[a] || item.p[b] - item.p[a]);
    bars.replaceChildren(...order.map((k) => {
      const name = data.classes[k];
      const bar = el(item.heat ? "button" : "div", "bar");
      if (item.heat) {
        bar.type = "button";
        bar.setAttribute("role", "radio");
        bar.onclick = () => setHeatPrefs(data.run, { label: k });
      }
      bar.dataset.k = k;
      const label = el("span", "name", name);
      label.title = name;
      label.dir = "auto";
      const tags = el("span", "tag");
      if (item.y[k]) tags.append(el("i", "true", "true"));
      if (item.d[k]) tags.append(el("i", "said", "predicted"));
      const share = item.p[k] === null ? "–" : item.p[k].toFixed(3);
      const track = el("span", "track");
      const fill = track.appendChild(el("span", "fill"));
      fill.style.width = `${100 * (item.p[k] ?? 0)}%`;
      fill.style.background = classColour(theme, k);
      if (data.multi) track.append(el("span", "half"));
      bar.append(label, tags, el("span", "value", share), track);
      const words = [`${name}: probability ${share}`, item.y[k] ? "true label" : "", item.d[k] ? "predicted" : ""];
      if (item.heat) bar.setAttribute("aria-label", words.filter(Boolean).join(", "));
      return bar;
    }));
    if (focused) this.panes.focus({ preventScroll: true });
  }

  // Fetched ahead, so that the arrow keys show them at once.
  ahead() {
    const near = [1, -1, 2].map((step) => this.at + step).filter((at) => at >= 0 && at < this.store.total);
    near.forEach((at) => this.store.page(at));
    const items = near.map((at) => this.store.items[at]).filter((item) => item?.v);
    this.store.wantMaps(items);
    const now = this.drawn;
    setTimeout(() => {
      if (this.drawn !== now) return;
      this.kept = items.map((item) => {
        const image = new Image();
        image.src = this.store.picture(item, "f");
        return image;
      });
    }, 80);
  }

  // --- panes

  views() {
    const chosen = this.gallery.prefs.views || (window.innerWidth > 760 ? "two" : "one");
    if (chosen === "methods" && !this.extra) return this.item?.heat ? "two" : "one"; // a viewer without them
    return this.item?.heat ? chosen : "one";
  }

  heat() {
    const item = this.item;
    if (!item) return;
    const { data, prefs } = this.gallery;
    const views = this.views();
    this.dialog.querySelectorAll(".seg button").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.views === views));
    });
    this.dialog.querySelector(".seg").hidden = !item.heat;
    const chosen = heatClass(prefs, item);
    const wanted = views === "one" ? [item.heat ? chosen : null] : views === "two" ? [null, chosen] : views === "methods" ? [null, chosen, ...this.extra.methods()] : [null, ...item.p.keys()];
    const key = JSON.stringify([item.id, item.v, item.heat, views, wanted.length]);
    if (this.paneKey !== key) {
      this.paneKey = key;
      this.panes.replaceChildren(...wanted.map((k, i) => {
        const pane = el("div", "pane");
        pane.append(xray(this.store, item, "f", i ? "" : `X-ray ${item.id}, ${item.what}`), el("span", "name"));
        return pane;
      }));
      this.arrange();
    }
    this.store.wantMaps([item]);
    const maps = item.heat ? this.store.maps.get(item.id) : null;
    [...this.panes.children].forEach((pane, i) => {
      const k = wanted[i];
      if (k !== null && typeof k === "object") return this.extra.pane(pane, k, chosen);
      const name = pane.querySelector(".name");
      name.textContent = k === null ? "X-ray" : `${data.classes[k]} ${item.p[k] === null ? "" : item.p[k].toFixed(2)}${item.y[k] ? " · true" : ""}${item.d[k] ? " · predicted" : ""}`;
      if (views === "methods" && k !== null) name.textContent = `Grad-CAM · ${data.classes[k]}`;
      name.hidden = k === null && wanted.length === 1;
      if (k === null || !maps || !item.v || pane.querySelector(".gone")) return;
      const canvas = pane.querySelector("canvas.heat") || pane.querySelector(".xray").appendChild(heatCanvas(PANE_SIDE));
      // Other methods have other units: there each map is shown in its own scale.
      paintHeat(canvas, maps, k, views === "methods" ? { ...prefs, own: true } : prefs, data.palettes);
    });
    this.dialog.querySelectorAll("button.bar").forEach((bar) => {
      bar.setAttribute("aria-checked", String(Number(bar.dataset.k) === chosen));
      bar.tabIndex = Number(bar.dataset.k) === chosen ? 0 : -1;
    });
    this.why();
    this.extra?.draw(item, chosen, views);
  }

  // As many columns as make the panes largest.
  arrange() {
    const n = this.panes.children.length;
    const { clientWidth: w, clientHeight: h } = this.panes;
    if (!n || !w) return;
    const side = (columns) => Math.min(w / columns, h / Math.ceil(n / columns));
    const columns = Array.from({ length: n }, (_, i) => i + 1).reduce((best, c) => (side(c) > side(best) + 0.5 ? c : best), 1);
    this.panes.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    this.panes.style.gridAutoRows = "minmax(0, 1fr)";
    this.transform();
  }

  why() {
    const { data } = this.gallery;
    const box = this.dialog.querySelector(".why");
    const item = this.item;
    box.hidden = !item || item.heat;
    if (box.hidden) return;
    const { task, weights } = data.explain || {};
    box.querySelector("span").textContent = data.explain ? explainWords(data, "No heat map was logged for this image.") : "No heat map was logged for this image.";
    const bar = box.querySelector("progress");
    bar.hidden = !task?.busy;
    if (task?.share === null || task?.share === undefined) bar.removeAttribute("value"); else bar.value = task.share;
    box.querySelector("button").hidden = !weights || Boolean(task?.busy) || !item.v;
  }

  mark() {
    const pick = this.dialog.querySelector(".side .pick");
    pick.hidden = !this.gallery.data.picks;
    if (this.item) pick.querySelector("input").checked = this.gallery.chosen.has(this.item.id);
  }

  // --- zoom, pan, window and level

  pane(event) { // the pointer relative to the middle of its pane, and the size of the pane
    const pane = [...this.panes.children].find((one) => {
      const box = one.getBoundingClientRect();
      return event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    }) || this.panes.firstElementChild;
    const box = pane.getBoundingClientRect();
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2, w: box.width, h: box.height };
  }

  zoom(factor, event) {
    const at = event && this.panes.firstElementChild ? this.pane(event) : { x: 0, y: 0 };
    const { look } = this;
    const zoom = Math.min(MAX_ZOOM, Math.max(1, look.zoom * factor));
    const share = zoom / look.zoom;
    Object.assign(look, { zoom, x: at.x - (at.x - look.x) * share, y: at.y - (at.y - look.y) * share });
    this.transform();
  }

  window(width, level) {
    this.look.width = Math.min(510, Math.max(2, width));
    this.look.level = Math.min(255, Math.max(0, level));
    this.transform();
  }

  reset() {
    this.look = { zoom: 1, x: 0, y: 0, ...FULL };
    this.transform();
  }

  transform() {
    const { look, panes } = this;
    const first = panes.firstElementChild;
    if (!first) return;
    // Some of the picture always stays in view.
    const room = (size) => (size * (look.zoom - 1)) / 2;
    look.x = Math.min(room(first.clientWidth), Math.max(-room(first.clientWidth), look.x));
    look.y = Math.min(room(first.clientHeight), Math.max(-room(first.clientHeight), look.y));
    panes.style.setProperty("--tx", `${look.x}px`);
    panes.style.setProperty("--ty", `${look.y}px`);
    panes.style.setProperty("--zoom", look.zoom);
    const windowed = look.width !== FULL.width || look.level !== FULL.level;
    panes.classList.toggle("windowed", windowed);
    // Grey g is shown as (g - level) / width + 0.5, cut off at black and white.
    const slope = 255 / look.width;
    const intercept = 0.5 - look.level / look.width;
    this.dialog.querySelectorAll("feFuncR, feFuncG, feFuncB").forEach((part) => {
      part.setAttribute("slope", slope);
      part.setAttribute("intercept", intercept);
    });
    const set = (name, value) => {
      const input = this.dialog.querySelector(name);
      if (Number(input.value) !== Math.round(value)) input.value = Math.round(value);
      input.nextElementSibling.textContent = Math.round(value);
    };
    set(".width", look.width);
    set(".level", look.level);
    this.dialog.querySelector(".zoom").textContent = `${Math.round(100 * look.zoom)} %`;
  }

  down(event) {
    if (event.pointerType === "mouse" && event.button > 2) return;
    this.panes.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.windowing = event.button === 2 || event.shiftKey;
    this.swipe = { x: event.clientX, y: event.clientY, alone: this.pointers.size === 1 && event.pointerType === "touch" };
    if (event.button === 2) event.preventDefault();
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.x;
    const dy = event.clientY - before.y;
    const spread = () => {
      const [a, b] = [...this.pointers.values()];
      return Math.hypot(a.x - b.x, a.y - b.y);
    };
    if (this.pointers.size === 2) {
      this.swipe.alone = false;
      const wide = spread();
      this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const [a, b] = [...this.pointers.values()];
      this.look.x += dx / 2;
      this.look.y += dy / 2;
      this.zoom(spread() / (wide || 1), { clientX: (a.x + b.x) / 2, clientY: (a.y + b.y) / 2 });
      return;
    }
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.windowing) this.window(this.look.width + dx, this.look.level + dy);
    else {
      this.look.x += dx;
      this.look.y += dy;
      this.transform();
    }
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId) || this.pointers.size) return;
    const { x, y, alone } = this.swipe;
    const dx = event.clientX - x;
    if (alone && event.type === "pointerup" && this.look.zoom === 1 && Math.abs(dx) > 60 && Math.abs(dx) > 2 * Math.abs(event.clientY - y)) this.go(dx < 0 ? 1 : -1);
  }

  // --- keys

  key(event) {
    event.stopPropagation(); // what lies below is not meant
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const field = event.target.closest("input:not([type=checkbox]), select");
    const act = {
      ArrowLeft: () => this.go(-1), ArrowRight: () => this.go(1), "+": () => this.zoom(1.25), "=": () => this.zoom(1.25),
      "-": () => this.zoom(0.8), 0: () => this.reset(), x: () => this.gallery.data.picks && this.gallery.pick(this.item),
    }[event.key];
    if (!act || field || !this.item) return;
    event.preventDefault();
    act();
  }

  barKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const { data, prefs } = this.gallery;
    if (!step || !this.item?.heat) return;
    event.preventDefault();
    const bars = [...this.dialog.querySelectorAll(".bar")];
    const at = bars.findIndex((bar) => Number(bar.dataset.k) === heatClass(prefs, this.item));
    const next = bars[(at + step + bars.length) % bars.length];
    setHeatPrefs(data.run, { label: Number(next.dataset.k) });
    next.focus();
  }
}
