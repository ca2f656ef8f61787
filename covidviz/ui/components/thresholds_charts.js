// The curves of some runs with the working point, and the histogram above the slider.

const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "12 3", "1 4"];

// draw(lines: [{x, y, colour, dash, own}], dot: [x, y] or null, base: height of the base line, null for the diagonal)
const buildCurves = (holder, title, xName, yName) => {
  const box = holder.appendChild(el("figure"));
  box.append(el("figcaption", "", title));
  const plot = box.appendChild(el("div", "plot"));
  const svg = plot.appendChild(svgOf("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" }));
  for (const at of [25, 50, 75]) svg.append(svgOf("path", { d: `M0 ${at}H100M${at} 0V100`, class: "grid" }));
  const base = svg.appendChild(svgOf("path", { class: "base" })), lines = svg.appendChild(svgOf("g", {}));
  const dot = plot.appendChild(el("i", "dot"));
  plot.append(el("span", "tick top", "1"), el("span", "tick low", "0"), el("span", "y", yName));
  const foot = box.appendChild(el("div", "foot"));
  foot.append(el("span", "", xName), el("span", "", "1"));
  return {
    box,
    lines: (curves, at, words) => {
      base.setAttribute("d", at === null ? "M0 100L100 0" : `M0 ${100 - 100 * at}H100`);
      svg.setAttribute("aria-label", words);
      lines.replaceChildren(...curves.map(({ x, y, colour, dash, own }) => svgOf("path", {
        d: x.map((v, i) => `${i ? "L" : "M"}${(100 * v).toFixed(2)} ${(100 - 100 * y[i]).toFixed(2)}`).join("") + (x.length === 1 ? "h0.5" : ""),
        class: own ? "line own" : "line", stroke: colour, "stroke-dasharray": dash,
      })).reverse()); // the run's own above the others
    },
    point: (at) => {
      dot.hidden = !at || !at.every(Number.isFinite);
      if (!dot.hidden) Object.assign(dot.style, { left: `${100 * at[0]}%`, bottom: `${100 * at[1]}%` });
    },
  };
};

// True ones upwards, the others downwards, each in shares of its own number; square roots, so that few are seen too.
const drawHistogram = (holder, { yes, no }, names) => {
  const bins = yes.length, svg = svgOf("svg", { viewBox: `0 0 ${bins} 40`, preserveAspectRatio: "none", role: "img" });
  const most = Math.sqrt(Math.max(1, ...yes, ...no));
  const bar = (list, cls, up) => list.forEach((n, i) => {
    const h = n ? Math.max(1, (19 * Math.sqrt(n)) / most) : 0;
    if (h) svg.append(svgOf("rect", { x: i + 0.08, width: 0.84, y: up ? 20 - h : 20, height: h, class: cls }));
  });
  bar(yes, "yes", true);
  bar(no, "no", false);
  const total = (list) => list.reduce((a, b) => a + b, 0);
  svg.setAttribute("aria-label", `Probabilities of ${total(yes)} images of ${names[0]} (up) and ${total(no)} others (down)`);
  holder.replaceChildren(svg, el("span", "up", names[0]), el("span", "down", names[1]));
};
