// Two small curves over the epochs: the setting of now in colour, what it is compared with in grey behind.

const svgOf = (tag, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
const TOPS = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 50, 100, 1000, 1e4, 1e6, 1e9];

/* `lines`: [{split, metric, name, kind}], drawn over `top` (null: as high as needed).
   draw(now, before, epochs): lists of epoch events, and how many there will be. */
const buildChart = (holder, title, lines, top) => {
  const head = holder.appendChild(el("div", "chart-head"));
  head.append(el("b", "", title));
  const values = lines.map((line) => {
    const item = head.appendChild(el("span", "legend"));
    const mark = svgOf("svg", { viewBox: "0 0 20 6", "aria-hidden": "true" });
    mark.append(svgOf("path", { d: "M0 3H20", class: `line ${line.kind}` }));
    item.append(mark, document.createTextNode(`${line.name} `));
    return item.appendChild(el("span", "value", ""));
  });
  const plot = holder.appendChild(el("div", "plot"));
  const high = plot.appendChild(el("span", "high"));
  plot.append(el("span", "low", "0"));
  const svg = plot.appendChild(svgOf("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" }));
  for (const y of [25, 50, 75]) svg.append(svgOf("path", { d: `M0 ${y}H100`, class: "grid" }));
  const paths = { old: [], now: [] };
  for (const age of ["old", "now"]) lines.forEach((line) => paths[age].push(svg.appendChild(svgOf("path", { class: `line ${line.kind} ${age}` }))));
  const dot = plot.appendChild(el("i", "dot"));
  const foot = holder.appendChild(el("div", "chart-foot"));
  const last = el("span");
  foot.append(el("span", "", "1"), el("span", "", "epoch"), last);
  return (now, before, epochs) => {
    const read = (events, line) => events.map((e) => e[line.split][line.metric]);
    const all = lines.flatMap((line) => [...read(now, line), ...read(before, line)]).filter(Number.isFinite);
    const ceiling = top ?? TOPS.find((t) => t >= Math.max(0, ...all)) ?? Math.max(...all);
    const width = Math.max(epochs, before.length, 2) - 1;
    const at = (k, v) => [(100 * k) / width, Math.max(-3, 100 - (100 * v) / ceiling)];
    const trace = (ys) => ys.map((v, k) => `${k ? "L" : "M"}${at(k, v).map((n) => n.toFixed(2)).join(" ")}`).join("") + (ys.length === 1 ? "h0.01" : "");
    lines.forEach((line, i) => {
      const ys = read(now, line);
      paths.now[i].setAttribute("d", trace(ys));
      paths.old[i].setAttribute("d", trace(read(before, line)));
    });
    const best = now.findLastIndex((e) => e.best);
    dot.hidden = best < 0;
    const shown = Math.max(0, best);
    lines.forEach((line, i) => { values[i].textContent = now.length ? Number(now[shown][line.split][line.metric]).toFixed(3) : ""; });
    if (best >= 0) {
      const [x, y] = at(best, now[best][lines[0].split][lines[0].metric]);
      Object.assign(dot.style, { left: `${x}%`, top: `${y}%` });
    }
    high.textContent = plain(ceiling);
    last.textContent = String(width + 1);
    svg.setAttribute("aria-label", `${title} over ${now.length} epochs: ${lines.map((line, i) => `${line.name} ${values[i].textContent}`).join(", ")} in the best epoch`);
  };
};
