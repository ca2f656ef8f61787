const SVG_NS = "http://www.w3.org/2000/svg";
const GLYPHS = {
  // a snowflake, a flame, an arrow down to a line, a double arrow: shapes, so that colour is never the only sign
  ice: "M8 1v14M2 4.5l12 7M14 4.5l-12 7M6 1.8l2 1.7 2-1.7M6 14.2l2-1.7 2 1.7M1.8 7.4l2.3-1.2-.2-2.4M14.2 8.6l-2.3 1.2.2 2.4M14.2 7.4l-2.3-1.2.2-2.4M1.8 8.6l2.3 1.2-.2 2.4",
  fire: "M8.6 .8c.5 2.6-3.9 4.4-4.6 7.9C3.500 12 5.600 15.200 8.200 15.200c3 0 5-2.300 4.800-5.200-.1-1.900-1-3-1.700-4.200-.2 1.400-.8 2.200-1.700 2.500C10.300 5.600 10.300 2.600 8.600.8z",
  from: "M8 1.500v8.500M4 6.500l4 4 4-4M2 14.200h12",
  drag: "M8 2v12M4.500 5.200L8 1.700l3.500 3.500M4.500 10.800L8 14.300l3.500-3.500",
};
const glyph = (kind) => {
  const svg = document.createElementNS(SVG_NS, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("glyph", kind);
  const path = svg.appendChild(document.createElementNS(SVG_NS, "path"));
  path.setAttribute("d", GLYPHS[kind]);
  if (kind === "fire") path.setAttribute("fill", "currentColor");
  else {
    path.setAttribute("fill", "none");
    path.setAttribute("stroke", "currentColor");
    path.setAttribute("stroke-width", kind === "ice" ? "1.3" : "1.9");
    path.setAttribute("stroke-linecap", "round");
  }
  return svg;
};
const amount = (n) => {
  if (n < 1e3) return String(n);
  const [unit, div] = n < 999_500 ? ["K", 1e3] : ["M", 1e6];
  const v = n / div;
  return `${v < 10 ? v.toFixed(2) : v < 100 ? v.toFixed(1) : v.toFixed(0)} ${unit}`;
};
const PATIENCE_MS = 10_000; // for the server to catch up with what was done here; after that it is right
const LOCAL = new WeakMap();

// What learns, as the config names it: head, all, from:LAYER, or layers and inner modules joined by commas.
const parse = (data, text) => {
  const names = data.layers.map((l) => l.name);
  if (text === "head") return { on: names.map(() => false), extras: [] };
  if (text === "all") return { on: names.map(() => true), extras: [] };
  if (text.startsWith("from:")) {
    const first = names.indexOf(text.slice(5));
    return { on: names.map((_, i) => first >= 0 && i >= first), extras: [] };
  }
  const named = text.split(",").map((s) => s.trim());
  return { on: names.map((n) => named.includes(n)), extras: data.extras };
};
const write = (data, { on, extras }) => {
  const names = data.layers.map((l) => l.name).filter((_, i) => on[i]);
  const inner = extras.filter((e) => !names.includes(e.layer)).map((e) => e.name);
  if (!names.length && !inner.length) return "head";
  if (!inner.length && names.length === on.length) return "all";
  const first = on.indexOf(true);
  if (!inner.length && on.slice(first).every(Boolean)) return `from:${names[0]}`;
  return [...names, ...inner].join(",");
};
const headParameters = (data, head) => {
  const sizes = [data.features, ...head, data.classes ?? 0];
  return sizes.slice(1).reduce((sum, n, i) => sum + sizes[i] * n + n, 0);
};

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".network");
  const theme = themeOf(root);
  const back = parseColour(theme.back), dark = luminance(back) < 0.2;
  const cold = parseColour(classColour(theme, 0)), warm = parseColour(classColour(theme, 1)), ink = parseColour(theme.text);
  const set = (name, colour) => root.style.setProperty(name, rgb(colour));
  set("--cold", mix(back, cold, dark ? 0.2 : 0.1));
  set("--cold-2", mix(back, cold, dark ? 0.3 : 0.2));
  set("--cold-line", mix(back, cold, 0.75));
  set("--cold-ink", mix(cold, ink, 0.25));
  set("--warm", mix(back, warm, dark ? 0.3 : 0.2));
  set("--warm-line", warm);
  set("--warm-ink", mix(warm, ink, 0.2));

  let local = LOCAL.get(root);
  const caughtUp = !local || data.heard >= local.at || Date.now() - local.at > PATIENCE_MS;
  const structure = JSON.stringify(data.layers.map((l) => l.name));
  if (caughtUp || local.structure !== structure) {
    local = { ...parse(data, data.trainable), head: [...data.head], at: local?.at ?? 0, structure };
    LOCAL.set(root, local);
  }
  const n = data.layers.length;
  const border = () => { // before which layer learning starts; n: at the head
    const first = local.on.indexOf(true);
    return first < 0 ? n : first;
  };
  const send = () => {
    local.at = Date.now();
    setStateValue("chosen", { trainable: write(data, local), head: local.head, at: local.at });
  };

  // built again only when the network, the image size or the number of head layers changed: focus stays otherwise
  const shape = JSON.stringify([data.layers, data.size, data.features, data.classes, local.head.length]);
  if (root.dataset.shape !== shape) {
    const active = activeIn(root)?.dataset?.focus;
    root.dataset.shape = shape;
    build(root, data, local);
    if (active) root.querySelector(`[data-focus="${active}"]`)?.focus();
  }
  const rows = [...root.querySelectorAll(".block[data-i]")];
  const rail = root.querySelector(".rail"), knob = root.querySelector(".knob");

  const paint = () => {
    let learning = 0, total = 0;
    data.layers.forEach((layer, i) => {
      const inner = local.on[i] ? [] : local.extras.filter((e) => e.layer === layer.name);
      const here = local.on[i] ? layer.parameters : inner.reduce((a, e) => a + e.parameters, 0);
      learning += here;
      total += layer.parameters;
      const row = rows[i], face = row.querySelector(".face");
      row.className = `block ${local.on[i] ? "learns" : inner.length ? "frozen partly" : "frozen"}`;
      face.setAttribute("aria-pressed", String(local.on[i]));
      const state = local.on[i] ? "learns" : inner.length ? "learns in part" : "frozen";
      face.setAttribute("aria-label", `${layer.name}, ${state}, output ${layer.channels} channels of ${layer.side} by ${layer.side}, ${amount(layer.parameters)} parameters`);
      const sign = local.on[i] || inner.length ? "fire" : "ice";
      if (!face.firstElementChild.classList.contains(sign)) face.firstElementChild.replaceWith(glyph(sign));
    });
    const head = headParameters(data, local.head);
    learning += head;
    total += head;
    const known = data.classes !== null;
    const share = total ? learning / total : 0;
    const percent = share > 0 && share < 0.01 ? "<1 %" : `${Math.round(100 * share)} %`;
    const count = root.querySelector(".count");
    count.replaceChildren(el("b", "", amount(learning)), document.createTextNode(` of ${amount(total)} parameters learn, ${percent}`));
    count.title = `${learning.toLocaleString("en")} of ${total.toLocaleString("en")}${known ? "" : ", without the last layer: its width is the number of classes"}`;
    root.querySelector(".meter i").style.width = `${100 * share}%`;
    root.querySelector(".head .n").textContent = amount(head);
    const spec = write(data, local);
    root.querySelectorAll(".preset").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.spec === spec)));
    const at = border();
    rail.classList.toggle("loose", local.extras.length > 0 || !local.on.slice(at).every(Boolean));
    knob.setAttribute("aria-valuenow", String(n - at));
    knob.setAttribute("aria-valuetext", at === n ? "only the head learns" : `learns from ${data.layers[at].name} to the output`);
    placeKnob();
    const extra = root.querySelector(".extra");
    const inner = local.extras.filter((e) => !local.on[data.layers.findIndex((l) => l.name === e.layer)]);
    extra.hidden = !inner.length;
    extra.textContent = inner.length ? `Also learns: ${inner.map((e) => e.name).join(", ")}` : "";
  };
  const placeKnob = () => {
    const at = border(), top = rail.getBoundingClientRect().top;
    const place = at < n ? rows[at] : root.querySelector(".head.block");
    rail.style.setProperty("--at", `${Math.max(0, place.getBoundingClientRect().top - top - 1)}px`);
  };
  const from = (i) => {
    local.on = local.on.map((_, k) => k >= i);
    local.extras = [];
    paint();
  };
  const nearest = (y) => { // the border closest to a height on the screen
    const tops = [...rows, root.querySelector(".head.block")].map((row) => Math.abs(row.getBoundingClientRect().top - y));
    return tops.indexOf(Math.min(...tops));
  };

  rail.onpointerdown = (event) => {
    if (event.button) return;
    event.preventDefault();
    knob.focus();
    rail.setPointerCapture(event.pointerId);
    const before = write(data, local);
    const move = (e) => { const i = nearest(e.clientY); if (i !== border() || local.extras.length || !local.on.slice(i).every(Boolean)) from(i); };
    if (event.target === rail) move(event);
    rail.onpointermove = move;
    rail.onpointerup = rail.onpointercancel = () => {
      rail.onpointermove = rail.onpointerup = rail.onpointercancel = null;
      if (write(data, local) !== before) send();
    };
  };
  root.onclick = (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const i = Number(button.closest(".block")?.dataset.i ?? -1);
    if (button.classList.contains("face")) {
      local.on = local.on.map((on, k) => (k === i ? !on : on));
      paint();
    } else if (button.classList.contains("from")) from(i);
    else if (button.classList.contains("preset")) from(button.dataset.spec === "all" ? 0 : n);
    else if (button.dataset.remove !== undefined) local.head = local.head.filter((_, k) => k !== Number(button.dataset.remove));
    else if (button.dataset.add !== undefined) local.head = [...local.head, local.head.at(-1) ? Math.max(16, Math.round(local.head.at(-1) / 2)) : 256];
    else return;
    send();
  };
  root.onchange = (event) => {
    const input = event.target.closest(".widths input");
    if (!input) return;
    const width = Number(input.value);
    if (!Number.isInteger(width) || width < 1 || width > 8192) { // its border says so; the form keeps the last good one
      input.reportValidity();
      return;
    }
    local.head = local.head.map((old, k) => (k === Number(input.dataset.width) ? width : old));
    paint();
    send();
  };
  root.oninput = (event) => { // the count follows while a width is typed
    const input = event.target.closest(".widths input");
    const width = Number(input?.value);
    if (!input || !Number.isInteger(width) || width < 1 || width > 8192) return;
    local.head = local.head.map((old, k) => (k === Number(input.dataset.width) ? width : old));
    paint();
  };
  root.onkeydown = (event) => {
    const active = activeIn(root);
    if (active === knob) {
      const at = border();
      const to = { ArrowUp: at - 1, ArrowLeft: at - 1, ArrowDown: at + 1, ArrowRight: at + 1, Home: 0, End: n }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      if (to >= 0 && to <= n) { from(to); send(); }
      return;
    }
    const block = active?.closest?.(".block[data-i]");
    if (!block) return;
    const i = Number(block.dataset.i), kind = active.classList.contains("from") ? "from" : "face";
    const goal = { ArrowUp: [i - 1, kind], ArrowDown: [i + 1, kind], ArrowRight: [i, "from"], ArrowLeft: [i, "face"] }[event.key];
    if (!goal) return;
    event.preventDefault();
    const next = rows[goal[0]]?.querySelector(`.${goal[1]}`);
    if (next) {
      rove([...root.querySelectorAll(".face[data-focus], .from")], next);
      next.focus();
    }
  };
  [...root.querySelectorAll(".widths input")].forEach((input, k) => {
    if (activeIn(root) !== input || caughtUp) if (Number(input.value) !== local.head[k]) input.value = local.head[k];
  });
  const buttons = [...root.querySelectorAll(".face[data-focus], .from")];
  rove(buttons, buttons.find((b) => b === activeIn(root)) || rows[Math.min(border(), n - 1)].querySelector(".face"));
  paint();
  const watch = new ResizeObserver(placeKnob); // fonts that arrive late and narrow windows move the rows
  watch.observe(root);
  return replaced(root, () => watch.disconnect());
}

const build = (root, data, local) => {
  const sums = el("div", "sums");
  sums.append(el("span", "count"));
  const meter = sums.appendChild(el("span", "meter"));
  meter.append(el("i"));
  const presets = [["head", "Head only"], ["all", "All"]].map(([spec, text]) => {
    const button = el("button", "preset", text);
    button.type = "button";
    button.dataset.spec = spec;
    button.dataset.focus = `preset-${spec}`;
    return button;
  });
  const legend = el("span", "legend");
  for (const [kind, text] of [["ice", "frozen"], ["fire", "learns"]]) {
    const item = legend.appendChild(el("span", kind));
    item.append(glyph(kind), el("span", "", text));
  }
  sums.append(...presets, legend);
  sums.querySelector(".count").setAttribute("role", "status");

  const stack = el("div", "stack");
  const rail = el("div", "rail");
  rail.title = "Drag: what lies below learns";
  const knob = rail.appendChild(el("div", "knob"));
  knob.append(glyph("drag"));
  knob.tabIndex = 0;
  knob.dataset.focus = "knob";
  for (const [name, value] of Object.entries({ role: "slider", "aria-orientation": "vertical", "aria-label": "Layers that learn, counted from the output", "aria-valuemin": "0", "aria-valuemax": String(data.layers.length) })) knob.setAttribute(name, value);
  const rows = el("div", "rows");
  rows.setAttribute("role", "group");
  rows.setAttribute("aria-label", "Layers from the image to the output");
  const count = data.layers.length;
  root.style.setProperty("--height", `${count <= 6 ? 34 : count <= 9 ? 29 : 24}px`);
  root.classList.toggle("several", count > 9);
  const entrance = el("div", "end");
  entrance.append(el("span", "", "image"), el("span", "", `3×${data.size}×${data.size}`));
  data.layers.forEach((layer, i) => {
    const row = el("div", "block frozen");
    row.dataset.i = i;
    const face = row.appendChild(el("button", "face"));
    face.type = "button";
    face.title = `${layer.name}: click to freeze it or let it learn`;
    face.dataset.focus = `face-${i}`;
    face.append(glyph("ice"), el("span", "name", layer.title), el("span", "shape", `${layer.channels}×${layer.side}×${layer.side}`), el("span", "n", amount(layer.parameters)));
    const from = row.appendChild(el("button", "from"));
    from.type = "button";
    from.title = "Train from here on";
    from.setAttribute("aria-label", `Train from ${layer.name} on`);
    from.dataset.focus = `from-${i}`;
    from.append(glyph("from"));
    rows.append(row);
  });
  const head = el("div", "head block learns");
  const top = head.appendChild(el("div", "face"));
  top.append(glyph("fire"), el("span", "name", "head"), el("span", "shape", ""), el("span", "n", ""));
  const widths = head.appendChild(el("div", "widths"));
  widths.append(el("span", "", `${data.features} →`));
  local.head.forEach((width, k) => {
    const input = widths.appendChild(el("input"));
    Object.assign(input, { type: "number", min: 1, max: 8192, step: 1, required: true, value: width });
    input.dataset.width = k;
    input.dataset.focus = `width-${k}`;
    input.setAttribute("aria-label", `Width of hidden layer ${k + 1}`);
    const remove = widths.appendChild(el("button", "small", "×"));
    remove.type = "button";
    remove.dataset.remove = k;
    remove.setAttribute("aria-label", `Remove hidden layer ${k + 1}`);
    remove.title = "Remove this hidden layer";
  });
  const add = el("button", "small text", local.head.length ? "+" : "+ hidden layer");
  add.type = "button";
  add.dataset.add = "";
  add.dataset.focus = "add";
  add.setAttribute("aria-label", "Add a hidden layer");
  add.title = "Add a hidden layer";
  widths.append(add, el("span", "", `→ ${data.classes === null ? "classes" : `${data.classes} ${data.classes === 1 ? "class" : "classes"}`}`));
  rows.append(head);
  stack.append(el("div"), entrance, rail, rows);
  const extra = el("div", "extra");
  extra.hidden = true;
  root.replaceChildren(sums, stack, extra);
};
