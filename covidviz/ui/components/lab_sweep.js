// The strip: one metric along a slider's whole range. A point is a button that sets the slider.

const sizeOf = (v) => (Array.isArray(v) ? v.reduce((a, b) => a + b, 0) : Number(v));
// Where a value stands among the points, which are evenly spaced: 0..1; null where it lies outside.
const placeAmong = (values, value, log) => {
  const scale = (v) => (log ? Math.log(sizeOf(v)) : sizeOf(v));
  const xs = values.map(scale), x = value === null ? NaN : scale(value), last = xs.length - 1;
  if (!(x >= xs[0] && x <= xs[last])) return null;
  const k = Math.min(last - 1, Math.max(0, xs.findLastIndex((one) => one <= x)));
  return (k + (x - xs[k]) / (xs[k + 1] - xs[k])) / last;
};
// Coarse first, so that the shape is there early.
const coarseFirst = (n) => {
  const order = [];
  for (const step of [4, 2, 1]) for (let i = 0; i < n; i += step) if (!order.includes(i)) order.push(i);
  return order;
};

/* `hear`: {field(name), metric(name), pick(field, value)}. Returns {options, draw}. */
const buildSweep = (holder, hear) => {
  const head = holder.appendChild(el("div", "sweep-head"));
  const choose = (label, heard) => {
    const select = head.appendChild(el("select"));
    select.setAttribute("aria-label", label);
    select.onchange = () => heard(select.value);
    return select;
  };
  head.append(el("b", "", "What if"));
  const field = choose("What if: which slider", hear.field), metric = choose("What if: which metric", hear.metric);
  const said = holder.appendChild(el("span", "quiet sweep-said"));
  const plot = holder.appendChild(el("div", "plot"));
  const high = plot.appendChild(el("span", "high")), low = plot.appendChild(el("span", "low"));
  const svg = plot.appendChild(svgOf("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" }));
  const old = svg.appendChild(svgOf("path", { class: "line old" })), line = svg.appendChild(svgOf("path", { class: "line val" }));
  const mark = svg.appendChild(svgOf("path", { class: "mark" }));
  const points = plot.appendChild(el("div", "points"));
  points.setAttribute("role", "group");
  const foot = holder.appendChild(el("div", "chart-foot"));
  const ends = [foot.appendChild(el("span")), foot.appendChild(el("span")), foot.appendChild(el("span"))];
  let built = null, buttons = [];
  const rebuild = (sweep) => {
    built = sweep;
    buttons = sweep.values.map((value, i) => {
      const button = el("button", "point");
      button.type = "button";
      button.style.left = `${(100 * i) / (sweep.values.length - 1)}%`;
      button.style.width = `${100 / sweep.values.length}%`;
      button.append(el("i"));
      button.onclick = () => hear.pick(sweep.field, value);
      return button;
    });
    points.replaceChildren(...buttons);
    points.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], i = buttons.indexOf(activeIn(holder));
      const next = step && buttons.slice().map((_, k) => buttons[i + step * (k + 1)]).find((b) => b && !b.hidden);
      if (!next) return;
      event.preventDefault();
      rove(buttons, next);
      next.focus();
    };
  };
  const options = (select, items, value) => {
    if (!same([...select.options].map((o) => [o.value, o.text]), items)) {
      select.replaceChildren(...items.map(([name, text]) => { const o = el("option", "", text); o.value = name; return o; }));
    }
    select.value = value;
  };
  return {
    options(fields, chosen, metrics, metricChosen) {
      options(field, [["", "off"], ...fields], chosen);
      options(metric, metrics, metricChosen);
      metric.hidden = !chosen;
    },
    /* `sweep` as of `covidviz.ui.lab_settings.sweeps` or null; `found`, `before`: value or null (diverged) by index;
       `value`: the slider's; `name` of the metric. */
    draw(sweep, found, before, value, name, text) {
      holder.classList.toggle("off", !sweep);
      said.textContent = text;
      if (!sweep) return;
      if (built !== sweep) rebuild(sweep);
      const known = [...found.values(), ...before.values()].filter(Number.isFinite);
      const loss = name === "loss", floor = loss ? 0 : Math.min(0.9, Math.floor(10 * Math.min(1, ...known)) / 10);
      const ceiling = loss ? TOPS.find((t) => t >= Math.max(0, ...known)) ?? 1 : Math.max(floor + 0.1, Math.ceil(10 * Math.max(0, ...known)) / 10);
      const n = sweep.values.length - 1, y = (v) => Math.min(100, 100 - (100 * (v - floor)) / (ceiling - floor));
      const path = (map) => [...map].sort((a, b) => a[0] - b[0]).filter((p) => Number.isFinite(p[1]))
        .map(([i, v], k) => `${k ? "L" : "M"}${((100 * i) / n).toFixed(2)} ${y(v).toFixed(2)}`).join("");
      line.setAttribute("d", path(found));
      old.setAttribute("d", path(before));
      const words = (i) => wordOf({ kind: "stops" }, sweep.values[i]);
      buttons.forEach((button, i) => {
        const has = found.has(i), v = found.get(i), place = button.firstChild;
        button.hidden = !has;
        if (!has) return;
        const good = Number.isFinite(v);
        place.className = good ? "" : "diverged";
        place.textContent = good ? "" : "✕";
        place.style.top = `${good ? y(v) : 94}%`;
        const label = `${sweep.label} ${words(i)}: ${good ? `${metric.selectedOptions[0]?.text} ${v.toFixed(3)}` : "diverged"}; click to set`;
        button.title = label;
        button.setAttribute("aria-label", label);
      });
      if (!buttons.some((b) => b.tabIndex === 0 && !b.hidden)) rove(buttons, buttons.find((b) => !b.hidden));
      const at = placeAmong(sweep.values, value, sweep.log);
      mark.setAttribute("d", at === null ? "" : `M${(100 * at).toFixed(2)} 0V100`);
      high.textContent = plain(ceiling);
      low.textContent = plain(floor);
      ends.forEach((node, k) => { node.textContent = words(Math.round((k * n) / 2)); });
    },
  };
};
