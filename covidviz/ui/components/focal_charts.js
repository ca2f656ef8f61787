// A line chart with a frame, ticks, marks and a histogram below, for the pages on losses.

const SHORT = (v) => (v === 0 ? "0" : Math.abs(v) < 0.0005 ? v.toExponential(0) : String(Number(v.toPrecision(3))));
const pathOf = (xs, ys, [left, right], [low, high]) => xs.map((x, i) => {
  const y = Math.min(130, Math.max(-30, 100 - (100 * (ys[i] - low)) / (high - low)));
  return `${i ? "L" : "M"}${((100 * (x - left)) / (right - left)).toFixed(2)} ${y.toFixed(2)}`;
}).join("");

/* draw({lines: [{x, y, cls}], marks: [{x, y, cls}], rules: [{x | y, cls}], xs, ys, words}): cls is looked up in the style sheet.
   xs, ys: the range of each axis. */
const buildLines = (holder, title, xName, yName) => {
  const figure = holder.appendChild(el("figure"));
  const head = figure.appendChild(el("figcaption", "", title));
  const plot = figure.appendChild(el("div", "plot"));
  const svg = plot.appendChild(svgOf("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": title }));
  for (const at of [25, 50, 75]) svg.append(svgOf("path", { d: `M0 ${at}H100M${at} 0V100`, class: "grid" }));
  const layer = svg.appendChild(svgOf("g", {})), dots = plot.appendChild(el("div", "dots"));
  const high = plot.appendChild(el("span", "tick high")), low = plot.appendChild(el("span", "tick low"));
  plot.append(el("span", "y", yName));
  const foot = figure.appendChild(el("div", "foot"));
  const first = foot.appendChild(el("span")), last = (foot.append(el("span", "", xName)), foot.appendChild(el("span")));
  return {
    figure,
    draw: ({ lines, marks = [], rules = [], xs, ys, words }) => {
      svg.setAttribute("aria-label", `${title}. ${words}`);
      high.textContent = SHORT(ys[1]);
      low.textContent = SHORT(ys[0]);
      first.textContent = SHORT(xs[0]);
      last.textContent = SHORT(xs[1]);
      head.textContent = title;
      const across = (x) => (100 * (x - xs[0])) / (xs[1] - xs[0]), up = (y) => 100 - (100 * (y - ys[0])) / (ys[1] - ys[0]);
      layer.replaceChildren(
        ...rules.map((rule) => svgOf("path", { d: rule.x === undefined ? `M0 ${up(rule.y)}H100` : `M${across(rule.x)} 0V100`, class: `rule ${rule.cls}` })),
        ...lines.map((line) => svgOf("path", { d: pathOf(line.x, line.y, xs, ys), class: `line ${line.cls}` })),
      );
      dots.replaceChildren(...marks.filter((m) => Number.isFinite(m.x) && Number.isFinite(m.y)).map((m) => {
        const dot = el("i", `dot ${m.cls}`, m.text);
        Object.assign(dot.style, { left: `${across(m.x)}%`, top: `${Math.min(104, Math.max(-4, up(m.y)))}%` });
        return dot;
      }));
    },
  };
};
