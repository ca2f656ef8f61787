const svgEl = (tag, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
const short = (v) => {
  if (v === 0) return "0";
  const text = Math.abs(v) < 0.001 ? v.toExponential(1).replace(".0e", "e") : String(Number(v.toPrecision(2)));
  return text;
};

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".curve");
  const theme = themeOf(root);
  const colours = { first: theme.primary, second: classColour(theme, 1), quiet: theme.text };
  const dashes = { first: "", second: "7 3", quiet: "2 3" };
  const right = Math.max(...data.series.flatMap((s) => s.x)) || 1;
  const top = data.top ?? (Math.max(...data.series.flatMap((s) => s.y)) || 1);
  const svg = svgEl("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", class: "lines" });
  svg.style.height = `${data.height}px`;
  for (const y of [25, 50, 75]) svg.append(svgEl("path", { d: `M0 ${y}H100`, class: "grid" }));
  data.series.forEach((s) => {
    const d = s.x.map((x, i) => {
      const y = Math.max(-3, 100 - (100 * s.y[i]) / (top * 1.04));
      return `${i ? "L" : "M"}${((100 * x) / right).toFixed(2)} ${y.toFixed(2)}`;
    }).join("");
    svg.append(svgEl("path", { d, class: `line ${s.kind}`, stroke: colours[s.kind], "stroke-dasharray": dashes[s.kind] }));
  });
  const frame = el("div", "frame-of-lines");
  frame.append(el("span", "high", short(top)), svg);
  const foot = el("div", "foot");
  foot.append(el("span", "", "0"), el("span", "", data.x), el("span", "", short(right)));
  const key = el("div", "legend");
  if (data.series.length > 1) {
    data.series.forEach((s) => {
      const item = key.appendChild(el("span"));
      const mark = svgEl("svg", { viewBox: "0 0 22 6", class: "mark", "aria-hidden": "true" });
      mark.append(svgEl("path", { d: "M0 3H22", class: `line ${s.kind}`, stroke: colours[s.kind], "stroke-dasharray": dashes[s.kind] }));
      item.append(mark, document.createTextNode(s.name));
    });
  }
  root.setAttribute("role", "img");
  root.setAttribute("aria-label", data.label);
  root.replaceChildren(el("div", "axis", data.y), frame, foot, key);
}
