const HELD = new WeakMap();
const FETCHED = new Map();
const MOST_CORNERS = 40;
const ROWS = 200; // of the table of what is chosen
const PAD = 14;
const MODES = { class: "Class", right: "Right or wrong", source: "Source", loss: "Loss" };
const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "star", "down", "plus"];

const fetchPoints = (url) => {
  if (!FETCHED.has(url)) {
    if (FETCHED.size > 12) FETCHED.delete(FETCHED.keys().next().value);
    FETCHED.set(url, fetch(url)
      .then((reply) => { if (!reply.ok) throw new Error(reply.status); return reply.json(); })
      .catch((error) => { FETCHED.delete(url); throw error; }));
  }
  return FETCHED.get(url);
};

// A shape of radius r around (x, y), as a path of the context.
const shape = (ctx, kind, x, y, r) => {
  const poly = (...at) => {
    ctx.moveTo(x + at[0] * r, y + at[1] * r);
    for (let k = 2; k < at.length; k += 2) ctx.lineTo(x + at[k] * r, y + at[k + 1] * r);
    ctx.closePath();
  };
  if (kind === "square") ctx.rect(x - 0.85 * r, y - 0.85 * r, 1.7 * r, 1.7 * r);
  else if (kind === "triangle") poly(0, -1.15, 1.05, 0.8, -1.05, 0.8);
  else if (kind === "down") poly(0, 1.15, 1.05, -0.8, -1.05, -0.8);
  else if (kind === "diamond") poly(0, -1.25, 1.25, 0, 0, 1.25, -1.25, 0);
  else if (kind === "cross") poly(-1, -0.5, -0.5, -1, 0, -0.5, 0.5, -1, 1, -0.5, 0.5, 0, 1, 0.5, 0.5, 1, 0, 0.5, -0.5, 1, -1, 0.5, -0.5, 0);
  else if (kind === "plus") poly(-0.4, -1.1, 0.4, -1.1, 0.4, -0.4, 1.1, -0.4, 1.1, 0.4, 0.4, 0.4, 0.4, 1.1, -0.4, 1.1, -0.4, 0.4, -1.1, 0.4, -1.1, -0.4, -0.4, -0.4);
  else if (kind === "star") poly(0, -1.3, 0.35, -0.4, 1.25, -0.4, 0.5, 0.2, 0.8, 1.15, 0, 0.55, -0.8, 1.15, -0.5, 0.2, -1.25, -0.4, -0.35, -0.4);
  else {
    ctx.moveTo(x + r, y);
    ctx.arc(x, y, r, 0, 2 * Math.PI);
  }
};

// As `covidviz.ui.places.inside`.
const within = (area, x, y) => {
  let yes = false;
  for (let k = 0; k < area.length; k++) {
    const [x1, y1] = area[k], [x2, y2] = area[(k + 1) % area.length];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) yes = !yes;
  }
  return yes;
};

class PlaceMap {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(name);
    this.canvas = this.find("canvas");
    this.view = { zoom: 1, x: 0.5, y: 0.5 }; // the middle of what is seen
    this.mode = "lasso";
    this.by = "class";
    this.cursor = null; // position of the image that the keys are at
    this.drawn = null; // an outline on its way
    root.querySelectorAll("[data-mode]").forEach((button) => { button.onclick = () => { this.mode = button.dataset.mode; this.buttons(); }; });
    this.find(".whole").onclick = () => this.whole();
    this.find(".none").onclick = () => this.choose(null);
    this.find(".near").onclick = () => this.nearest();
    const canvas = this.canvas;
    canvas.onpointerdown = (event) => this.down(event);
    canvas.onpointermove = (event) => this.move(event);
    canvas.onpointerup = (event) => this.up(event);
    canvas.onpointercancel = () => { this.drawn = this.hold = null; this.paint(); };
    canvas.onpointerleave = () => this.hover(null);
    canvas.ondblclick = () => this.whole();
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.onkeydown = (event) => this.key(event);
    canvas.onfocus = () => {
      this.hasFocus = canvas.matches(":focus-visible"); // a ring for those who came by the keyboard
      if (this.hasFocus) this.cursor ??= this.points ? this.middle() : null;
      this.paint();
    };
    canvas.onblur = () => { this.hasFocus = false; this.paint(); };
    this.sizes = new ResizeObserver(() => this.paint());
  }

  update(data, send, trigger) {
    this.data = data;
    this.send = send;
    this.trigger = trigger;
    this.theme = themeOf(this.root);
    this.sizes.observe(this.canvas);
    const asked = JSON.stringify(data.area);
    if (asked !== this.asked) {
      this.asked = asked;
      this.area = data.area;
    }
    if (this.url !== data.url) {
      this.url = data.url;
      fetchPoints(data.url).then((points) => {
        if (this.url !== data.url) return;
        this.points = points;
        this.draw();
      }, () => { if (this.url === data.url) this.find(".said").textContent = "The map could not be read. Reload the page."; });
    } else if (this.points) {
      this.draw();
    }
  }

  stop() { this.sizes.disconnect(); }

  // --- colours

  draw() {
    const { points } = this;
    const offered = Object.keys(MODES).filter((name) => name !== "source" || points.sources.length > 1);
    if (!offered.includes(this.by)) this.by = "class";
    const box = this.find(".colours");
    if (box.childElementCount !== offered.length) {
      box.replaceChildren(...offered.map((name) => {
        const button = el("button", "", MODES[name]);
        button.type = "button";
        button.dataset.by = name;
        button.onclick = () => { this.by = name; this.draw(); };
        return button;
      }));
    }
    this.kinds = this.kindsOf();
    this.buttons();
    this.legend();
    this.members();
    this.paint();
  }

  buttons() {
    this.root.querySelectorAll("[data-by]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.by === this.by)));
    this.root.querySelectorAll("[data-mode]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.mode === this.mode)));
    this.canvas.style.cursor = this.mode === "move" ? "grab" : "crosshair";
    this.find(".none").disabled = !this.area;
    this.find(".near").disabled = !this.points;
  }

  // For each image the number of its kind; per kind a title, a colour and a shape.
  kindsOf() {
    const { points, theme } = this;
    const colour = (k) => classColour(theme, k);
    if (this.by === "right") {
      return { of: points.right.map((yes) => 1 - yes), list: [{ title: "right", colour: theme.primary, shape: "circle" }, { title: "wrong", colour: colour(1), shape: "cross" }] };
    }
    if (this.by === "loss") {
      const sorted = points.loss.filter((v) => v !== null).sort((a, b) => a - b);
      const cuts = [0.2, 0.4, 0.6, 0.8].map((q) => sorted[Math.floor(q * sorted.length)] ?? 0);
      const soft = parseColour(theme.soft), warm = parseColour(colour(1));
      const ends = [sorted[0] ?? 0, ...cuts, sorted[sorted.length - 1] ?? 0];
      return {
        of: points.loss.map((v) => (v === null ? 4 : cuts.filter((cut) => v >= cut).length)),
        list: [0, 1, 2, 3, 4].map((k) => ({ title: `loss ${ends[k].toFixed(2)} to ${ends[k + 1].toFixed(2)}`, colour: rgb(mix(mix(soft, parseColour(theme.text), 0.2), warm, k / 4)), shape: ["circle", "circle", "diamond", "triangle", "cross"][k] })),
      };
    }
    const names = this.by === "source" ? points.sources.map((name) => name || "unknown") : points.groups;
    return { of: this.by === "source" ? points.source : points.group, list: names.map((title, k) => ({ title, colour: colour(k), shape: SHAPES[k % SHAPES.length] })) };
  }

  legend() {
    const counts = this.kinds.list.map(() => 0);
    this.kinds.of.forEach((k) => counts[k]++);
    this.find(".legend").replaceChildren(...this.kinds.list.map((kind, k) => {
      const entry = el("span", "entry");
      const mark = el("canvas");
      mark.width = mark.height = 28;
      const ctx = mark.getContext("2d");
      ctx.fillStyle = kind.colour;
      ctx.beginPath();
      shape(ctx, kind.shape, 14, 14, 9);
      ctx.fill();
      const name = el("span", "", `${kind.title} (${counts[k].toLocaleString("en")})`);
      name.dir = "auto";
      entry.append(mark, name);
      return entry;
    }));
  }

  // --- places

  frame() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const side = Math.max(1, Math.min(width, height) - 2 * PAD) * this.view.zoom;
    return { width, height, side };
  }
  // Of a map that is as wide as the canvas allows: x is stretched, since nothing depends on the shape.
  at(x, y, { width, height }) {
    const { zoom, x: cx, y: cy } = this.view;
    return [width / 2 + (x - cx) * (width - 2 * PAD) * zoom, height / 2 + (y - cy) * (height - 2 * PAD) * zoom];
  }
  from(px, py, { width, height }) {
    const { zoom, x: cx, y: cy } = this.view;
    return [(px - width / 2) / ((width - 2 * PAD) * zoom) + cx, (py - height / 2) / ((height - 2 * PAD) * zoom) + cy];
  }

  paint() {
    this.painting ||= requestAnimationFrame(() => {
      this.painting = 0;
      if (this.points && this.canvas.isConnected) this.paintNow();
    });
  }

  paintNow() {
    const { canvas, points, kinds, theme } = this;
    const frame = this.frame(), ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(frame.width * ratio) || canvas.height !== Math.round(frame.height * ratio)) {
      canvas.width = Math.round(frame.width * ratio);
      canvas.height = Math.round(frame.height * ratio);
    }
    const ctx = canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, frame.width, frame.height);
    const n = points.ids.length;
    const r = Math.min(9, (n > 3000 ? 2.6 : n > 800 ? 3.6 : 5) * this.view.zoom ** 0.35);
    // One path for each kind: 5,000 of them would take ten times as long. Those outside of the choice are pale, and below.
    for (const [chosen, alpha] of this.area ? [[false, 0.22], [true, 1]] : [[true, 0.85]]) {
      ctx.globalAlpha = alpha;
      kinds.list.forEach((kind, k) => {
        ctx.fillStyle = kind.colour;
        ctx.beginPath();
        for (let i = 0; i < n; i++) {
          if (kinds.of[i] !== k || (this.area && this.inside[i] !== chosen)) continue;
          const [x, y] = this.at(points.x[i], points.y[i], frame);
          if (x > -9 && y > -9 && x < frame.width + 9 && y < frame.height + 9) shape(ctx, kind.shape, x, y, r);
        }
        ctx.fill();
      });
    }
    ctx.globalAlpha = 1;
    const outline = this.drawn || this.area;
    if (outline) {
      ctx.strokeStyle = theme.text;
      ctx.lineWidth = 1.5;
      ctx.setLineDash([6, 4]);
      ctx.beginPath();
      outline.forEach(([x, y], k) => {
        const [px, py] = this.at(x, y, frame);
        if (k) ctx.lineTo(px, py); else ctx.moveTo(px, py);
      });
      ctx.closePath();
      ctx.stroke();
      ctx.setLineDash([]);
    }
    for (const [i, width] of [[this.over, 2], [this.hasFocus ? this.cursor : null, 3]]) {
      if (i === null || i === undefined) continue;
      const [x, y] = this.at(points.x[i], points.y[i], frame);
      ctx.strokeStyle = theme.text;
      ctx.lineWidth = width;
      ctx.beginPath();
      ctx.arc(x, y, r + 5, 0, 2 * Math.PI);
      ctx.stroke();
    }
  }

  whole() {
    this.view = { zoom: 1, x: 0.5, y: 0.5 };
    this.paint();
  }

  // --- the pointer

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  nearestTo(px, py, reach = 14) {
    const frame = this.frame();
    let best = null, least = reach * reach;
    for (let i = 0; i < this.points.ids.length; i++) {
      const [x, y] = this.at(this.points.x[i], this.points.y[i], frame);
      const d = (x - px) ** 2 + (y - py) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }

  down(event) {
    if (!this.points || event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    const [px, py] = this.point(event);
    this.hold = { px, py, view: { ...this.view }, moved: false };
    this.hover(null);
  }

  move(event) {
    if (!this.points) return;
    const [px, py] = this.point(event);
    if (!this.hold) return this.hover(this.nearestTo(px, py), px, py);
    if (!this.hold.moved && Math.hypot(px - this.hold.px, py - this.hold.py) < 4) return;
    this.hold.moved = true;
    const frame = this.frame();
    if (this.mode === "move" || event.shiftKey) {
      const { zoom, x, y } = this.hold.view;
      this.view = { zoom, x: x - (px - this.hold.px) / ((frame.width - 2 * PAD) * zoom), y: y - (py - this.hold.py) / ((frame.height - 2 * PAD) * zoom) };
    } else if (this.mode === "box") {
      const [a, b] = this.from(this.hold.px, this.hold.py, frame), [c, d] = this.from(px, py, frame);
      this.drawn = [[a, b], [c, b], [c, d], [a, d]];
    } else {
      this.drawn ||= [this.from(this.hold.px, this.hold.py, frame)];
      this.drawn.push(this.from(px, py, frame));
    }
    this.paint();
  }

  up(event) {
    const { hold, drawn } = this;
    this.hold = this.drawn = null;
    if (!hold) return;
    if (!hold.moved) {
      const i = this.nearestTo(...this.point(event));
      if (i !== null) this.open(i);
    } else if (drawn) {
      this.choose(drawn);
    }
    this.paint();
  }

  wheel(event) {
    if (!this.points) return;
    event.preventDefault();
    const [px, py] = this.point(event), frame = this.frame();
    const [x, y] = this.from(px, py, frame);
    this.view.zoom = Math.min(40, Math.max(1, this.view.zoom * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018))));
    const [nx, ny] = this.from(px, py, frame);
    this.view.x += x - nx;
    this.view.y += y - ny;
    if (this.view.zoom === 1) this.whole();
    this.paint();
  }

  words(i) {
    const { points } = this;
    const judged = points.right[i] ? "right" : `wrong, predicted ${points.said[i]}`;
    return `${points.true[i]}, ${judged}${points.sources.length ? `, ${points.sources[points.source[i]] || "unknown source"}` : ""}`;
  }

  hover(i, px, py) {
    const box = this.find(".hover");
    if (i !== this.over) {
      this.over = i;
      this.paint();
      box.hidden = i === null || i === undefined;
      if (!box.hidden) {
        const text = el("span", "", `${this.points.right[i] ? "✓" : "✕"} ${this.words(i)}`);
        text.dir = "auto";
        box.replaceChildren(...(this.points.v[i] ? [this.picture(i)] : []), text);
      }
    }
    if (box.hidden || px === undefined) return;
    const { width, height } = this.frame();
    box.style.left = `${Math.max(0, px + 16 + 150 > width ? px - 166 : px + 16)}px`;
    box.style.top = `${Math.max(0, Math.min(py - 40, height - 190))}px`;
  }

  picture(i) {
    const image = new Image();
    image.alt = "";
    image.draggable = false;
    image.src = `/img/${this.data.run}/${this.points.ids[i]}.t.webp?v=${this.points.v[i]}`;
    return image;
  }

  open(i) { this.trigger("open", { id: this.points.ids[i], chosen: Boolean(this.area && this.inside[i]), at: performance.now() }); }

  // --- the choice

  choose(outline) {
    let area = null;
    if (outline) {
      area = simplified(outline).map(([x, y]) => [Math.round(1000 * x) / 1000, Math.round(1000 * y) / 1000]);
      if (area.length < 3) area = null;
    }
    this.area = area;
    this.asked = JSON.stringify(area);
    this.members();
    this.buttons();
    this.paint();
    const text = area && area.map(([x, y]) => `${Math.round(1000 * x)},${Math.round(1000 * y)}`).join("~");
    this.send("area", { area: text, at: performance.now() });
  }

  members() {
    const { points, area } = this;
    this.inside = points.ids.map((_, i) => Boolean(area) && within(area, points.x[i], points.y[i]));
    const rows = [...points.ids.keys()].filter((i) => this.inside[i]);
    this.find(".said").textContent = area ? `${rows.length.toLocaleString("en")} of ${points.ids.length.toLocaleString("en")} images chosen` : `${points.ids.length.toLocaleString("en")} images`;
    this.canvas.setAttribute("aria-label", `Map of ${points.ids.length} images, ${rows.length} chosen. Arrow keys: go to the next image in that direction; Enter: show it; n: choose its 20 nearest; plus, minus, 0: zoom; Escape: choose none`);
    const details = this.find("details");
    details.hidden = !area;
    this.find("summary").textContent = `The ${rows.length.toLocaleString("en")} chosen images as a table${rows.length > ROWS ? `, the first ${ROWS}` : ""}`;
    details.ontoggle = () => this.table(rows);
    this.table(rows);
  }

  table(rows) {
    const { points } = this, box = this.find(".table");
    if (!this.find("details").open) return box.replaceChildren();
    const table = el("table");
    const head = table.appendChild(el("thead")).appendChild(el("tr"));
    ["image", "true", "predicted", "", "loss", ...(points.sources.length ? ["source"] : [])].forEach((name) => { head.append(el("th", "", name)); });
    const body = table.appendChild(el("tbody"));
    rows.slice(0, ROWS).forEach((i) => {
      const row = body.appendChild(el("tr"));
      const open = el("button", "link", points.ids[i]);
      open.type = "button";
      open.onclick = () => this.open(i);
      row.appendChild(el("td")).append(open);
      for (const text of [points.true[i], points.said[i], points.right[i] ? "✓ right" : "✕ wrong", points.loss[i] === null ? "–" : points.loss[i].toFixed(2), ...(points.sources.length ? [points.sources[points.source[i]]] : [])]) {
        row.append(el("td", "", text));
      }
    });
    box.replaceChildren(table);
  }

  // --- keys

  middle() {
    let best = 0, least = Infinity;
    this.points.ids.forEach((_, i) => {
      const d = (this.points.x[i] - this.view.x) ** 2 + (this.points.y[i] - this.view.y) ** 2;
      if (d < least) { least = d; best = i; }
    });
    return best;
  }

  key(event) {
    if (!this.points || event.altKey || event.ctrlKey || event.metaKey) return;
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    const act = {
      Enter: () => this.open(this.cursor ?? this.middle()), n: () => this.nearest(), 0: () => this.whole(), Escape: () => this.area && this.choose(null),
      "+": () => this.scale(1.4), "=": () => this.scale(1.4), "-": () => this.scale(1 / 1.4),
    }[event.key];
    if (!way && !act) return;
    if (event.key === "Escape" && !this.area) return;
    event.preventDefault();
    this.hasFocus = true;
    if (act) return act();
    this.step(way);
  }

  scale(by) {
    const i = this.cursor ?? this.middle();
    this.view = { zoom: Math.min(40, Math.max(1, this.view.zoom * by)), x: this.points.x[i], y: this.points.y[i] };
    if (this.view.zoom === 1) this.whole();
    this.paint();
  }

  // The nearest image in that direction: what lies aside counts more than what lies ahead.
  step([dx, dy]) {
    const { points } = this, frame = this.frame(), from = this.cursor ?? this.middle();
    const [x0, y0] = this.at(points.x[from], points.y[from], frame);
    let best = null, least = Infinity;
    for (let i = 0; i < points.ids.length; i++) {
      if (i === from) continue;
      const [x, y] = this.at(points.x[i], points.y[i], frame);
      const ahead = (x - x0) * dx + (y - y0) * dy, aside = Math.abs((x - x0) * dy) + Math.abs((y - y0) * dx);
      if (ahead <= 0 || aside > 2 * ahead) continue;
      const cost = ahead + 2 * aside;
      if (cost < least) { least = cost; best = i; }
    }
    if (best === null) return;
    this.cursor = best;
    const [x, y] = this.at(points.x[best], points.y[best], frame);
    if (x < 0 || y < 0 || x > frame.width || y > frame.height) Object.assign(this.view, { x: points.x[best], y: points.y[best] });
    this.hover(best, x, y);
    this.find(".live").textContent = this.words(best);
    this.paint();
  }

  // The image at the cursor and the 20 that lie nearest to it on the map, as a round outline.
  nearest() {
    const { points } = this, from = this.cursor ?? this.middle();
    const all = points.ids.map((_, i) => Math.hypot(points.x[i] - points.x[from], points.y[i] - points.y[from])).sort((a, b) => a - b);
    const r = (all[Math.min(20, all.length - 1)] + (all[Math.min(21, all.length - 1)] ?? 0)) / 2 + 0.004;
    this.cursor = from;
    this.choose(Array.from({ length: 24 }, (_, k) => [points.x[from] + r * Math.cos((2 * Math.PI * k) / 24), points.y[from] + r * Math.sin((2 * Math.PI * k) / 24)]));
  }
}

// As many corners as a link can hold: Douglas and Peucker's, with the tolerance that is needed.
const simplified = (outline) => {
  let tolerance = 0.002, found = outline;
  while (found.length > MOST_CORNERS) {
    const keep = (a, b) => {
      let far = 0, at = -1;
      const [x1, y1] = outline[a], [x2, y2] = outline[b], length = Math.hypot(x2 - x1, y2 - y1) || 1e-9;
      for (let k = a + 1; k < b; k++) {
        const [x, y] = outline[k];
        const d = x1 === x2 && y1 === y2 ? Math.hypot(x - x1, y - y1) : Math.abs((x2 - x1) * (y1 - y) - (x1 - x) * (y2 - y1)) / length;
        if (d > far) { far = d; at = k; }
      }
      return far > tolerance ? [...keep(a, at), ...keep(at, b).slice(1)] : [outline[a], outline[b]];
    };
    found = keep(0, outline.length - 1);
    tolerance *= 1.6;
  }
  return found;
};

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".map");
  if (!HELD.has(root)) HELD.set(root, new PlaceMap(root));
  const map = HELD.get(root);
  map.update(data, setStateValue, setTriggerValue);
  return () => map.stop();
}
