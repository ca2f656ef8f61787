const SVG = "http://www.w3.org/2000/svg";
const svg = (tag, attributes) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
const HELD = new WeakMap();
const TILES = 15;
const CHOSEN = 8; // lines in the chart
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const STEP_MS = [120, 700]; // of the play button, least and most
const ALL_MS = 9000; // what many epochs take together
const TELL_MS = 180; // between two words to the server
const KINDS = [["tp", "hit"], ["fn", "missed"], ["fp", "false alarm"], ["tn", "rightly not"]];
const fixed = (p) => (p === null ? "not a number" : p.toFixed(2));

class Scrubber {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(name);
    this.slider = this.find(".epoch");
    this.chosen = []; // ids with a line of their own
    this.tiles = new Map(); // id -> its button
    this.which = "worst";
    this.cell = null;
    this.fate = null;
    this.slider.oninput = () => this.go(Number(this.slider.value));
    this.slider.onkeydown = (event) => {
      if (event.key === " ") {
        event.preventDefault();
        this.play(!this.playing);
      }
    };
    this.find(".play").onclick = () => this.play(!this.playing);
    this.find(".best").onclick = () => this.go(this.bestAt);
    this.find(".open").onclick = () => this.trigger("open", { epoch: this.replay.epochs[this.t], order: this.cell ? "all" : this.which, cell: this.cell, fate: this.fate === null ? null : this.replay.fates[this.fate].id, at: performance.now() });
    root.querySelectorAll("[data-which]").forEach((button) => {
      button.onclick = () => {
        this.cell = null;
        this.which = button.dataset.which;
        this.draw();
      };
    });
    this.find(".plot").onpointerdown = (event) => {
      const box = this.find(".plot").getBoundingClientRect();
      const share = (event.clientX - box.left - 8) / Math.max(1, box.width - 16);
      this.go(Math.round(Math.min(1, Math.max(0, share)) * (this.replay.e - 1)));
    };
    this.find(".tiles").onclick = (event) => {
      const tile = event.target.closest(".tile");
      if (tile) this.choose(tile.dataset.id);
    };
    this.onpicked = ({ detail }) => {
      if (detail.run !== this.data.run || this.data.mode !== "images") return;
      this.chosen = detail.ids.slice(0, CHOSEN);
      if (this.replay) this.draw();
    };
  }

  update(data, send, trigger) {
    this.data = data;
    this.send = send;
    this.trigger = trigger;
    this.theme = themeOf(this.root);
    this.colours = { right: parseColour(this.theme.primary), wrong: parseColour(classColour(this.theme, 1)), soft: parseColour(this.theme.soft) };
    this.find(".list").hidden = data.mode === "images";
    this.root.classList.toggle("images", data.mode === "images");
    window.addEventListener("covidviz-picked", this.onpicked);
    if (data.mode === "images") window.dispatchEvent(new Event("covidviz-who")); // the gallery may be there already
    if (data.opened) this.play(false); // somebody looks at one image
    if (this.url !== data.url) {
      this.url = data.url;
      this.wait(data.url);
    } else if (this.replay) {
      this.follow();
    }
  }

  stop() {
    window.removeEventListener("covidviz-picked", this.onpicked);
    this.near?.disconnect();
    clearInterval(this.playing);
    this.playing = null;
  }

  // Nothing is fetched before somebody comes near.
  wait(url) {
    const state = this.find(".state");
    if (!this.replay) {
      state.hidden = false;
      state.textContent = "Reading the epochs …";
    }
    const load = () => fetchReplay(url).then((replay) => {
      if (this.url !== url) return;
      const before = this.replay;
      const followed = !before || (this.data.live && this.t === before.e - 1);
      const epoch = before?.epochs[this.t];
      this.replay = replay;
      this.bestAt = replay.best === null ? replay.e - 1 : replay.at(replay.best);
      if (before && !followed) this.t = replay.at(epoch);
      else this.t = this.data.live ? replay.e - 1 : this.bestAt;
      state.hidden = true;
      this.find(".all").hidden = false;
      this.build();
      this.follow();
    }, () => {
      if (this.url !== url) return;
      state.hidden = false;
      state.textContent = "The epochs could not be read. Reload the page.";
    });
    this.near?.disconnect();
    this.near = new IntersectionObserver((seen) => {
      if (!seen.some((one) => one.isIntersecting)) return;
      this.near.disconnect();
      load();
    }, { rootMargin: "400px" });
    this.near.observe(this.root);
  }

  // What the link says, where it says something else than what was told last.
  follow() {
    const { data, replay } = this;
    if (data.mode === "images") {
      const asked = JSON.stringify([data.epoch, data.cell, data.fate]);
      if (asked !== this.asked) {
        this.asked = asked;
        this.cell = data.cell;
        this.fate = data.fate === null ? null : replay.fates.findIndex((fate) => fate.id === data.fate);
        const own = this.told !== undefined && this.told === data.epoch;
        if (!own && !this.playing) this.t = data.epoch === null ? (data.live ? replay.e - 1 : this.bestAt) : replay.at(data.epoch);
      }
    }
    this.draw();
  }

  // --- moving

  go(t) {
    const to = Math.min(this.replay.e - 1, Math.max(0, t));
    if (to === this.t) return;
    this.t = to;
    this.draw();
    this.tell();
  }

  // The gallery follows at its own pace: the first step at once, then the latest of each moment.
  tell() {
    if (this.data.mode !== "images") return;
    if (this.telling) {
      this.again = true;
      return;
    }
    const { t, replay } = this;
    this.told = t === (this.data.live ? replay.e - 1 : replay.best === null ? -1 : this.bestAt) ? null : replay.epochs[t];
    this.send("epoch", { epoch: this.told, at: performance.now() });
    this.telling = setTimeout(() => {
      this.telling = 0;
      if (this.again) {
        this.again = false;
        this.tell();
      }
    }, TELL_MS);
  }

  play(on) {
    clearInterval(this.playing);
    this.playing = null;
    if (on && this.replay.e > 1) {
      if (this.t === this.replay.e - 1) this.go(0);
      this.playing = setInterval(() => {
        if (this.t >= this.replay.e - 1 || !this.root.isConnected) this.play(false);
        else this.go(this.t + 1);
      }, Math.min(STEP_MS[1], Math.max(STEP_MS[0], ALL_MS / this.replay.e)));
    }
    const button = this.find(".play");
    button.textContent = this.playing ? "❚❚ Pause" : "▶ Play";
    button.setAttribute("aria-pressed", String(Boolean(this.playing)));
  }

  choose(id) {
    const at = this.chosen.indexOf(id);
    if (at >= 0) this.chosen.splice(at, 1);
    else this.chosen = [...this.chosen, id].slice(-CHOSEN);
    this.draw();
  }

  pickCell(cell) {
    this.cell = this.cell === cell ? null : cell;
    if (this.data.mode === "images") this.send("cell", { cell: this.cell, at: performance.now() });
    this.draw();
  }

  pickFate(fate) {
    this.fate = this.fate === fate ? null : fate;
    if (this.data.mode === "images") this.send("fate", { fate: this.fate === null ? null : this.replay.fates[this.fate].id, at: performance.now() });
    this.draw();
  }

  // --- drawing

  build() { // what depends on the run, not on the epoch
    const { replay } = this;
    this.slider.min = 0;
    this.slider.max = Math.max(0, replay.e - 1);
    this.slider.disabled = this.find(".play").disabled = replay.e < 2;
    const best = this.find(".best");
    best.hidden = replay.best === null || replay.e < 2;
    best.textContent = `★ Best: epoch ${replay.best}`;
    this.find(".ends").replaceChildren(el("span", "", `epoch ${replay.epochs[0]}`), el("span", "key"), el("span", "", replay.e > 1 ? `${replay.epochs[replay.e - 1]}` : ""));
    const counts = replay.fates.map((_, k) => replay.fate.reduce((n, one) => n + (one === k), 0));
    this.find(".fates").replaceChildren(...replay.fates.map((fate, k) => {
      const button = el("button", "act", `${fate.title} ${counts[k].toLocaleString("en")}`);
      button.type = "button";
      button.title = fate.words;
      button.dataset.fate = k;
      button.setAttribute("aria-label", `${fate.title}: ${counts[k]} images, ${fate.words}`);
      button.onclick = () => this.pickFate(k);
      return button;
    }));
    this.find(".fates").hidden = replay.e < 2;
    const notes = [...replay.notes];
    if (replay.e < 2) notes.unshift("One epoch so far: there is nothing to replay yet.");
    this.find(".notes").textContent = notes.join(" ");
    this.grid();
  }

  grid() {
    const { replay } = this, box = this.find(".matrix");
    const columns = replay.single ? replay.classes : KINDS.map(([, title]) => title);
    const grid = el("div", "grid");
    grid.setAttribute("role", "group");
    grid.setAttribute("aria-label", "Confusion matrix of the epoch, rows true, columns predicted");
    grid.classList.toggle("many", columns.length > 6);
    grid.style.gridTemplateColumns = `minmax(50px, max-content) repeat(${columns.length}, minmax(${columns.length > 6 ? 26 : 46}px, 1fr))`;
    grid.append(el("span", "head", replay.single ? "true ↓ predicted →" : ""));
    for (const name of columns) grid.append(this.name(name));
    this.cells = [];
    replay.classes.forEach((name, i) => {
      const head = this.name(name);
      head.classList.add("row");
      grid.append(head);
      columns.forEach((other, j) => {
        const button = el("button", "cell");
        button.type = "button";
        button.dataset.cell = replay.single ? `${i}-${j}` : `${i}-${KINDS[j][0]}`;
        button.dataset.right = Number(replay.single ? i === j : j === 0 || j === 3);
        button.dataset.said = replay.single ? `true ${name}, predicted ${other}` : `${name}: ${other}`;
        button.onclick = () => this.pickCell(button.dataset.cell);
        this.cells.push(button);
        grid.append(button);
      });
    });
    grid.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns.length, ArrowUp: -columns.length }[event.key];
      const to = step && this.cells[this.cells.indexOf(activeIn(grid)) + step];
      if (!to) return;
      event.preventDefault();
      rove(this.cells, to);
      to.focus();
    };
    rove(this.cells, this.cells[0]);
    box.replaceChildren(grid);
  }

  name(text) {
    const node = el("span", "head", text);
    node.dir = "auto";
    node.title = text;
    return node;
  }

  draw() {
    const { replay, t } = this;
    const among = replay.among(this.fate);
    this.slider.value = t;
    const right = among.reduce((n, i) => n + replay.right[t * replay.n + i], 0);
    const star = t === this.bestAt && replay.best !== null;
    const words = `epoch ${replay.epochs[t]} of ${replay.epochs[replay.e - 1]}${star ? ", the best" : ""}`;
    this.slider.setAttribute("aria-valuetext", words);
    const of = this.fate === null ? "" : ` ${replay.fates[this.fate].title.toLowerCase()}`;
    const at = this.find(".at");
    at.replaceChildren(el("b", "", `Epoch ${replay.epochs[t]}${star ? " ★" : ""}`),
      document.createTextNode(` ${right.toLocaleString("en")} of ${among.length.toLocaleString("en")}${of} right (${among.length ? Math.round((100 * right) / among.length) : 0} %)`));
    this.root.querySelectorAll(".fates button").forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.fate) === this.fate)));
    this.matrix(among);
    this.chart(among);
    if (this.data.mode !== "images") this.images(among);
  }

  matrix(among) {
    const counts = this.replay.counts(this.t, among);
    const top = Math.max(1, ...this.cells.map((cell) => counts.get(cell.dataset.cell) || 0));
    for (const cell of this.cells) {
      const n = counts.get(cell.dataset.cell) || 0;
      const back = mix(this.colours.soft, this.colours[cell.dataset.right === "1" ? "right" : "wrong"], n ? 0.12 + 0.88 * (n / top) ** 0.5 : 0);
      cell.textContent = n.toLocaleString("en");
      cell.style.background = rgb(back);
      cell.style.color = inkOn(back);
      cell.setAttribute("aria-label", `${cell.dataset.said}: ${n} ${n === 1 ? "image" : "images"}`);
      cell.title = cell.getAttribute("aria-label");
      cell.setAttribute("aria-pressed", String(cell.dataset.cell === this.cell));
    }
  }

  // Lines over the epochs, above the slider so that both share their horizontal axis.
  chart(among) {
    const { replay, t, theme } = this;
    const x = (k) => (replay.e > 1 ? (100 * k) / (replay.e - 1) : 50);
    const node = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" });
    for (const y of [0, 50, 100]) node.append(svg("path", { d: `M0 ${y}H100`, class: "rule" }));
    const line = (values, attributes) => {
      let d = "", pen = "M";
      values.forEach((v, k) => {
        if (v === null) { pen = "M"; return; }
        d += `${pen}${x(k).toFixed(2)} ${(100 * (1 - v)).toFixed(2)}`;
        pen = "L";
      });
      if (values.length === 1) d += "h0.01";
      node.append(svg("path", { d, ...attributes }));
    };
    const shareKey = `${this.url} ${this.fate}`;
    if (this.shareKey !== shareKey) { // the same for all epochs
      this.shareKey = shareKey;
      this.shares = replay.epochs.map((_, k) => replay.share(k, among));
    }
    line(this.shares, { class: "share" });
    const shown = this.chosen.map((id) => replay.place.get(id)).filter((i) => i !== undefined);
    shown.forEach((i, k) => {
      line(replay.epochs.map((_, e) => replay.own_(e, i)), { class: "own", stroke: classColour(theme, k), "stroke-dasharray": DASHES[k % DASHES.length] });
    });
    if (replay.best !== null) node.append(svg("path", { d: `M${x(this.bestAt)} 0V100`, class: "bestline" }));
    node.append(svg("path", { d: `M${x(t)} 0V100`, class: "now" }));
    node.setAttribute("aria-label", `Share of right images by epoch, from ${fixed(this.shares[0])} to ${fixed(this.shares[replay.e - 1])}${shown.length ? `, and the probability of the truth for ${shown.length} images` : ""}`);
    const plot = this.find(".plot");
    plot.replaceChildren(el("span", "high", "1"), el("span", "low", "0"), node);
    this.find(".ends .key").textContent = shown.length ? "bold: share right; lines: probability of the truth" : "bold: share right";
    const box = this.find(".chosen");
    box.replaceChildren(...shown.map((i, k) => {
      const id = replay.ids[i];
      const chip = el("button", "chip");
      chip.type = "button";
      const mark = svg("svg", { viewBox: "0 0 22 6", "aria-hidden": "true" });
      mark.append(svg("path", { d: "M0 3H22", class: "own", stroke: classColour(theme, k), "stroke-dasharray": DASHES[k % DASHES.length] }));
      const p = fixed(replay.own_(t, i)), right = replay.right[t * replay.n + i];
      const times = replay.forgotten[i];
      chip.append(mark, this.thumb(i), el("span", "", `${right ? "✓" : "✕"} ${replay.trueNames(i)} ${p}${times ? `, forgotten ${times}×` : ""}`));
      chip.setAttribute("aria-label", `${replay.trueNames(i)}, probability ${p}, ${right ? "right" : "wrong"}${this.data.mode === "images" ? "" : ": take it out of the chart"}`);
      chip.disabled = this.data.mode === "images";
      chip.onclick = () => this.choose(id);
      return chip;
    }));
    if (!shown.length) {
      box.append(el("span", "hint", this.data.mode === "images" ? "Select images below (the key x) to follow them here." : "Click images to follow them here."));
    }
  }

  thumb(i) {
    const { replay } = this;
    if (!replay.v[i]) return el("span", "thumb gone");
    const image = new Image();
    image.className = "thumb";
    image.alt = "";
    image.decoding = "async";
    image.draggable = false;
    image.src = `/img/${replay.run}/${replay.ids[i]}.t.webp?v=${replay.v[i]}`;
    return image;
  }

  images(among) {
    const { replay, t } = this;
    const found = replay.order(t, this.which, among, this.cell);
    this.root.querySelectorAll("[data-which]").forEach((button) => {
      button.setAttribute("aria-pressed", String(!this.cell && button.dataset.which === this.which));
    });
    const cell = this.cell && this.cells.find((one) => one.dataset.cell === this.cell);
    this.find(".found").textContent = cell ? `${found.length.toLocaleString("en")}: ${cell.dataset.said}` : `${found.length.toLocaleString("en")} ${this.which === "best" ? "right" : "wrong"}`;
    this.find(".open").disabled = !found.length;
    const shown = found.slice(0, TILES), box = this.find(".tiles");
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const before = new Map([...this.tiles].map(([id, tile]) => [id, tile.isConnected ? tile.getBoundingClientRect() : null]));
    const focused = activeIn(box)?.closest?.(".tile")?.dataset.id;
    const kept = new Map();
    for (const i of shown) {
      const id = replay.ids[i], right = replay.right[t * replay.n + i] === 1;
      const tile = this.tiles.get(id) || this.tile(id, i);
      const mark = tile.querySelector(".mark"), colour = right ? this.colours.right : this.colours.wrong;
      mark.textContent = right ? "✓" : "✕";
      mark.style.background = rgb(colour);
      mark.style.color = inkOn(colour);
      const p = fixed(replay.own_(t, i));
      tile.querySelector(".p").textContent = p;
      const says = replay.names(replay.decided(t, i));
      tile.title = `true ${replay.trueNames(i)}, predicted ${says}, probability of the truth ${p}`;
      tile.setAttribute("aria-label", `${right ? "right" : "wrong"}: ${tile.title}`);
      tile.setAttribute("aria-pressed", String(this.chosen.includes(id)));
      kept.set(id, tile);
    }
    this.tiles = kept;
    box.replaceChildren(...[...kept.values()].map((tile) => tile.parentElement?.matches(".item") ? tile.parentElement : this.item(tile)));
    if (!shown.length) box.append(el("p", "none", this.which === "worst" && !this.cell ? "None is wrong." : "None."));
    if (focused && kept.has(focused)) kept.get(focused).focus({ preventScroll: true });
    if (still) return;
    for (const [id, tile] of kept) {
      const old = before.get(id), now = tile.getBoundingClientRect();
      if (old && (old.left !== now.left || old.top !== now.top)) {
        tile.animate([{ transform: `translate(${old.left - now.left}px, ${old.top - now.top}px)` }, { transform: "none" }], { duration: 220, easing: "ease-out" });
      }
    }
  }

  item(tile) {
    const item = el("div", "item");
    item.setAttribute("role", "listitem");
    item.append(tile);
    return item;
  }

  tile(id, i) {
    const tile = el("button", "tile");
    tile.type = "button";
    tile.dataset.id = id;
    const line = el("span", "line");
    line.append(el("span", "mark"), el("span", "p"));
    tile.append(this.thumb(i), line);
    return tile;
  }
}

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".replay");
  if (!HELD.has(root)) HELD.set(root, new Scrubber(root));
  const scrubber = HELD.get(root);
  scrubber.update(data, setStateValue, setTriggerValue);
  return () => scrubber.stop();
}
