// Heat maps: raw 8-bit maps are fetched once, and enlarged and coloured here. Opacity is a CSS variable.

// --- preferences, one for all components of the page, kept in this browser --------------------------------------------

const HEAT_DEFAULTS = { opacity: 70, own: false, colours: "plasma", label: "auto", views: null, outline: false };
const heatPrefs = (run) => {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("covidviz.heat")) || {};
  } catch { /* a browser without storage forgets them */ }
  const opacity = Number(kept.opacity);
  return {
    ...HEAT_DEFAULTS,
    opacity: Number.isFinite(opacity) && opacity >= 0 && opacity <= 100 ? opacity : HEAT_DEFAULTS.opacity,
    own: kept.own === true,
    colours: typeof kept.colours === "string" ? kept.colours : HEAT_DEFAULTS.colours,
    label: kept.run === run && kept.label !== undefined ? kept.label : "auto", // another run may have other classes
    views: kept.views ?? null,
    outline: kept.outline === true,
  };
};
const setHeatPrefs = (run, changes) => {
  const prefs = { ...heatPrefs(run), ...changes };
  try {
    localStorage.setItem("covidviz.heat", JSON.stringify({ ...prefs, run }));
  } catch { /* see above */ }
  window.dispatchEvent(new CustomEvent("covidviz-heat", { detail: { run, prefs } }));
};

// Whose map an image shows: that of a chosen class, of its true one, or of the one that was predicted or is judged.
const heatClass = (prefs, item) => {
  if (Number.isInteger(prefs.label) && prefs.label < item.p.length) return prefs.label;
  const truth = item.y.indexOf(1);
  return prefs.label === "true" && truth >= 0 ? truth : item.k;
};

// Fills the bar for this run and keeps it in step with the preferences; `show(prefs)` draws it anew.
const heatBar = (bar, data, prefs) => {
  const set = (changes) => setHeatPrefs(data.run, changes);
  const range = bar.querySelector(".opacity");
  const own = bar.querySelector(".own");
  const label = bar.querySelector(".label");
  const colours = bar.querySelector(".colours");
  const options = [
    ["auto", data.multi ? (data.judged === null ? "the likeliest class" : data.classes[data.judged]) : "the predicted class"],
    ...(data.multi ? [] : [["true", "the true class"]]),
    ...data.classes.map((name, k) => [String(k), name]),
  ];
  fillSelect(label, options);
  fillSelect(colours, Object.keys(data.palettes).map((name) => [name, name]));
  range.oninput = () => set({ opacity: Number(range.value) });
  own.onchange = () => set({ own: own.checked });
  label.onchange = () => set({ label: /^\d+$/.test(label.value) ? Number(label.value) : label.value });
  colours.onchange = () => set({ colours: colours.value });
  if (Number(range.value) !== prefs.opacity) range.value = prefs.opacity;
  own.checked = prefs.own;
  label.value = String(prefs.label);
  if (label.selectedIndex < 0) label.value = "auto";
  colours.value = data.palettes[prefs.colours] ? prefs.colours : Object.keys(data.palettes)[0];
  bar.querySelector("output").textContent = `${prefs.opacity} %`;
  bar.querySelector(".swatch").style.background =
    `linear-gradient(90deg, ${data.palettes[colours.value].map((c) => "#" + c).join(", ")})`;
};
const fillSelect = (select, options) => {
  const signature = JSON.stringify(options);
  if (select.dataset.signature === signature) return;
  select.dataset.signature = signature;
  select.replaceChildren(...options.map(([value, title]) => {
    const option = el("option", "", title.length > 48 ? title.slice(0, 47) + "…" : title);
    option.value = value;
    return option;
  }));
};

// --- drawing ------------------------------------------------------------------------------------------------------------

const LUTS = new Map();
// 256 colours as the bytes of a canvas; alpha grows with the value, so that what is cold leaves the X-ray as it is.
const lutOf = (stops) => {
  const key = stops.join();
  if (LUTS.has(key)) return LUTS.get(key);
  const rgbs = stops.map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const bytes = new Uint8Array(1024);
  for (let v = 0; v < 256; v++) {
    const at = (v / 255) * (rgbs.length - 1);
    const low = Math.min(Math.floor(at), rgbs.length - 2);
    mix(rgbs[low], rgbs[low + 1], at - low).forEach((c, i) => { bytes[4 * v + i] = c; });
    bytes[4 * v + 3] = v;
  }
  LUTS.set(key, new Uint32Array(bytes.buffer));
  return LUTS.get(key);
};

const TAPS = new Map();
// Bicubic weights from n to side samples, as Pillow has them (a = -0.5), for a contact sheet looks the same.
const tapsOf = (n, side) => {
  const key = `${n}>${side}`;
  if (TAPS.has(key)) return TAPS.get(key);
  const scale = Math.max(1, n / side);
  const cubic = (x) => ((x = Math.abs(x)) < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0);
  const taps = Array.from({ length: side }, (_, i) => {
    const centre = ((i + 0.5) * n) / side;
    const first = Math.max(0, Math.floor(centre - 2 * scale + 0.5));
    const last = Math.min(n, Math.floor(centre + 2 * scale + 0.5));
    const weights = [];
    for (let x = first; x < last; x++) weights.push(cubic((x - centre + 0.5) / scale));
    const sum = weights.reduce((a, b) => a + b, 0);
    return [first, weights.map((w) => w / sum)];
  });
  TAPS.set(key, taps);
  return taps;
};
const enlarge = (values, h, w, side) => {
  const rows = new Float32Array(h * side);
  const out = new Uint8ClampedArray(side * side);
  const across = tapsOf(w, side);
  const down = tapsOf(h, side);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < side; x++) {
      const [first, weights] = across[x];
      let sum = 0;
      for (let t = 0; t < weights.length; t++) sum += weights[t] * values[y * w + first + t];
      rows[y * side + x] = sum;
    }
  }
  for (let y = 0; y < side; y++) {
    const [first, weights] = down[y];
    for (let x = 0; x < side; x++) {
      let sum = 0;
      for (let t = 0; t < weights.length; t++) sum += weights[t] * rows[(first + t) * side + x];
      out[y * side + x] = sum;
    }
  }
  return out;
};

// Paint class k of `maps` (of the store) on a canvas; what it shows already is not painted again.
const paintHeat = (canvas, maps, k, prefs, palettes) => {
  const stops = palettes[prefs.colours] || Object.values(palettes)[0];
  const share = prefs.own ? 1 : maps.scale[k];
  const signature = `${maps.key}|${k}|${share}|${stops[0]}|${stops.length}`;
  if (canvas.dataset.shows === signature) return;
  canvas.dataset.shows = signature;
  canvas.dataset.label = k;
  canvas.dataset.colours = prefs.colours;
  const side = canvas.width;
  const kept = (maps.large ||= new Map());
  const name = `${k}.${side}`;
  if (!kept.has(name)) kept.set(name, enlarge(maps.values.subarray(k * maps.h * maps.w, (k + 1) * maps.h * maps.w), maps.h, maps.w, side));
  const values = kept.get(name);
  const lut = lutOf(stops);
  const image = new ImageData(side, side);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = lut[Math.min(255, (values[i] * share + 0.5) | 0)];
  canvas.getContext("2d").putImageData(image, 0, 0);
};
const heatCanvas = (side) => {
  const canvas = el("canvas", "heat");
  canvas.width = canvas.height = side;
  return canvas;
};
