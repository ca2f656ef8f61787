const MEMORY = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".viewer");
  const theme = themeOf(root);
  const stage = root.querySelector(".stage");
  const memory = MEMORY.get(root) || { sent: new Set(), label: null, timer: 0 };
  MEMORY.set(root, memory);
  const ids = data.items.map((item) => item.id);

  // The server answers later than fingers move: what it selects counts if the list is new, or if it is no echo of a step.
  const list = data.base + ids.join();
  if (memory.list !== list || (data.selected !== memory.server && !memory.sent.has(data.selected))) {
    memory.shown = data.selected;
    memory.sent.clear();
  }
  memory.list = list;
  memory.server = data.selected;
  if (data.selected === memory.shown) memory.sent.clear();

  const at = () => Math.max(0, ids.indexOf(memory.shown));
  const item = () => data.items[at()];
  const heatClass = () => (memory.label !== null && memory.label < data.classes.length ? memory.label : item().k);

  const neighbour = (step) => {
    const k = at() + step;
    return data.items[k]?.id ?? (step < 0 ? data.before : data.after) ?? null;
  };
  const go = (step) => {
    const id = neighbour(step);
    if (id === null) return;
    memory.sent.add(id);
    if (ids.includes(id)) {
      memory.shown = id;
      draw();
    }
    clearTimeout(memory.timer);
    memory.timer = setTimeout(() => setStateValue("picked", { id, at: performance.now() }), 180);
  };

  const drawHeat = () => {
    const frame = stage.querySelector(".frame");
    if (!frame) return;
    const prefs = heatPrefs();
    stage.style.setProperty("--heat", prefs.opacity / 100);
    setHeat(frame, item().heat ? heatSrc(data, item(), heatClass(), "f", prefs.own) : null, false);
    root.querySelectorAll(".bar").forEach((bar, k) => {
      if (!item().heat) return;
      bar.setAttribute("aria-checked", String(k === heatClass()));
      bar.tabIndex = k === heatClass() ? 0 : -1;
    });
  };

  const drawBars = () => {
    const bars = root.querySelector(".bars");
    bars.replaceChildren();
    bars.classList.toggle("many", data.classes.length > 6);
    const shown = item();
    const choose = shown.heat;
    if (choose) {
      bars.setAttribute("role", "radiogroup");
      bars.setAttribute("aria-label", "Heat map of which class");
    } else {
      bars.removeAttribute("role");
      bars.removeAttribute("aria-label");
    }
    data.classes.forEach((name, k) => {
      const bar = el(choose ? "button" : "div", "bar");
      if (choose) {
        bar.type = "button";
        bar.setAttribute("role", "radio");
        bar.onclick = () => { memory.label = k; drawHeat(); };
      }
      const label = el("span", shown.y[k] ? "name true" : "name", (shown.y[k] ? "● " : "○ ") + name);
      label.title = name;
      const track = el("span", "track");
      const fill = track.appendChild(el("span", "fill"));
      fill.style.width = `${100 * shown.p[k]}%`;
      fill.style.background = classColour(theme, k);
      if (data.multi) track.append(el("span", "half"));
      const share = shown.p[k] === null ? "–" : shown.p[k].toFixed(3);
      bar.append(label, el("span", "value", share), track);
      bar.setAttribute("aria-label", `${name}: probability ${share}${shown.y[k] ? ", true label" : ""}`);
      bars.append(bar);
    });
    bars.append(el("p", "hint", choose ? "● true label. Choose a class to see its heat map." : "● true label. No heat map was logged for this image."));
  };

  const draw = () => {
    const shown = item();
    root.querySelector(".prev").disabled = neighbour(-1) === null;
    root.querySelector(".next").disabled = neighbour(1) === null;
    const signature = JSON.stringify([shown, data.base, data.heat_v, data.classes, data.offset + at(), data.total, theme]);
    if (memory.drawn === signature) return drawHeat();
    memory.drawn = signature;
    stage.querySelector(".frame")?.remove();
    stage.prepend(xray(data, shown, "f", `X-ray ${shown.id}, ${shown.what}`, false));
    const colour = parseColour(shown.right ? theme.primary : classColour(theme, 1));
    const verdict = el("span", "verdict", shown.right ? "✓ right" : "✕ wrong");
    verdict.style.background = rgb(colour);
    verdict.style.color = inkOn(colour);
    const heading = root.querySelector(".heading");
    heading.replaceChildren(verdict, el("span", "at", `${data.offset + at() + 1} of ${data.total}`), el("strong", "", shown.what));
    drawBars();
    const facts = root.querySelector("dl");
    facts.replaceChildren(...shown.facts.flatMap(([name, value]) => [el("dt", "", name), el("dd", "", value)]));
    drawHeat();
    [1, -1].forEach((step) => { // fetched ahead, so that the arrow keys show them at once
      const near = data.items[at() + step];
      if (near?.v) {
        new Image().src = imageSrc(data, near, "f");
        if (near.heat) new Image().src = heatSrc(data, near, memory.label ?? near.k, "f", heatPrefs().own);
      }
    });
    return undefined;
  };
  draw();

  const stopHeat = heatBar(root.querySelector(".heatbar"), data.items.some((one) => one.heat && one.v), drawHeat);
  root.querySelector(".prev").onclick = () => go(-1);
  root.querySelector(".next").onclick = () => go(1);
  root.querySelector(".bars").onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !item().heat) return;
    event.preventDefault();
    memory.label = (heatClass() + step + data.classes.length) % data.classes.length;
    drawHeat();
    root.querySelectorAll(".bar")[memory.label].focus();
  };
  const keys = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
    const target = event.composedPath()[0];
    if (target.closest?.("input, textarea, select, [role=combobox], [role=slider], [role=listbox], [role=tab], [role=grid], [role=radio]:not(.bar), [contenteditable]")) return;
    event.preventDefault();
    go(step);
  };
  document.addEventListener("keydown", keys);
  return replaced(root, () => {
    document.removeEventListener("keydown", keys);
    stopHeat();
  });
}
