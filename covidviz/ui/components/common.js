// Shared by all components: this text is put before each component's own.

const el = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text; // never innerHTML: names come from people
  return node;
};

// --- colours of the theme ---------------------------------------------------------------------------------------

const parseColour = (text) => {
  const hex = /^#([0-9a-f]{3,8})$/i.exec(text.trim());
  if (hex) {
    const h = hex[1].length < 6 ? [...hex[1]].map((c) => c + c).join("") : hex[1];
    return [0, 2, 4].map((i) => parseInt(h.slice(i, i + 2), 16));
  }
  const parts = (text.match(/[\d.]+/g) || []).map(Number);
  return parts.length >= 3 ? parts.slice(0, 3) : [128, 128, 128];
};
const mix = (a, b, share) => a.map((v, i) => Math.round(v + (b[i] - v) * share));
const rgb = (c) => `rgb(${c.join(",")})`;
const luminance = (c) => {
  const [r, g, b] = c.map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
// White where it can be read (WCAG contrast 4.5), else black: one of them always can.
const inkOn = (c) => (1.05 / (luminance(c) + 0.05) >= 4.5 ? "#ffffff" : "#000000");

const themeOf = (node) => {
  const style = getComputedStyle(node);
  const get = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  const palette = get("--st-chart-categorical-colors", "#0072b2,#d55e00,#00886a,#aa4499").split(/,(?![^(]*\))/);
  return {
    text: get("--st-text-color", "#12262b"),
    back: get("--st-background-color", "#ffffff"),
    soft: get("--st-secondary-background-color", "#eff5f4"),
    border: get("--st-border-color", "#cfdcda"),
    primary: get("--st-primary-color", "#0f766e"),
    font: get("--st-font", "sans-serif"),
    palette: palette.map((colour) => colour.trim()),
  };
};
const classColour = (theme, index) => theme.palette[index % theme.palette.length];

// --- life cycle and keys ---------------------------------------------------------------------------------------------------

const STOP = new WeakMap();
// A component is called again on each change of data or theme: what the last call listened to is let go first.
const replaced = (root, stop) => {
  STOP.get(root)?.();
  STOP.set(root, stop);
  return stop;
};
const activeIn = (root) => root.getRootNode().activeElement || document.activeElement;
// One button of a group is in the tab order; arrows move among them.
const rove = (buttons, current) => buttons.forEach((b) => { b.tabIndex = b === current ? 0 : -1; });
