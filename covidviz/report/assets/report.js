"use strict";
// What a report does beside being read: values under the pointer, zoom, hiding curves, heat maps paler or stronger.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const tip = document.body.appendChild(document.createElement("div"));
  tip.className = "tip";
  tip.hidden = true;

  const say = (lines, x, y) => {
    tip.replaceChildren(...lines.map(([text, colour]) => {
      const line = document.createElement("div");
      if (colour) line.appendChild(document.createElement("i")).style.background = `var(--${colour})`;
      line.append(text);
      return line;
    }));
    tip.hidden = false;
    const w = tip.offsetWidth, h = tip.offsetHeight;
    tip.style.left = `${Math.max(6, Math.min(x + 14, innerWidth - w - 6))}px`;
    tip.style.top = `${y - h - 12 < 6 ? y + 16 : y - h - 12}px`;
  };
  const quiet = () => { tip.hidden = true; };
  addEventListener("scroll", quiet, { passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") quiet(); });

  for (const cell of document.querySelectorAll(".hit")) {
    cell.querySelector("title")?.remove(); // the browser's own hint would come a second later
    cell.addEventListener("pointermove", (event) => say([[cell.dataset.tip]], event.clientX, event.clientY));
    cell.addEventListener("pointerleave", quiet);
  }

  const ticks = (low, high, n, whole) => {
    const raw = (high - low) / n, power = 10 ** Math.floor(Math.log10(raw));
    let step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
    if (whole) step = Math.max(1, step);
    const out = [];
    for (let k = Math.ceil(low / step - 1e-9); k <= Math.floor(high / step + 1e-9); k++) out.push(+(k * step).toPrecision(10));
    return out;
  };

  const chart = (svg) => {
    const { plot: [left, top, width, height], range, series, unit } = JSON.parse(svg.dataset.chart);
    const off = new Set();
    let view = [...range], from = null, last = null;
    const make = (name, set, text) => {
      const one = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(set)) one.setAttribute(key, value);
      if (text !== undefined) one.textContent = text;
      return one;
    };
    const px = (x) => left + (x - view[0]) / (view[1] - view[0]) * width;
    const py = (y) => top + height - (y - view[2]) / (view[3] - view[2]) * height;
    const cross = svg.appendChild(make("line", { stroke: "var(--muted)", "stroke-dasharray": "2 3", y1: top, y2: top + height, visibility: "hidden" }));
    const box = svg.appendChild(make("rect", { fill: "var(--primary)", "fill-opacity": ".15", visibility: "hidden" }));

    const draw = () => {
      for (const one of svg.querySelectorAll('[data-role="x"], [data-role="y"], [data-role="grid"]')) one.remove();
      const look = { "font-size": 11, fill: "var(--muted)" };
      for (const y of ticks(view[2], view[3], 5, false)) {
        svg.prepend(make("polyline", { points: `${left},${py(y)} ${left + width},${py(y)}`, stroke: "var(--line)", "data-role": "grid" }));
        svg.append(make("text", { ...look, x: left - 6, y: py(y) + 4, "text-anchor": "end", "data-role": "y" }, y));
      }
      for (const x of ticks(view[0], view[1], 6, true)) {
        svg.append(make("text", { ...look, x: px(x), y: top + height + 16, "text-anchor": "middle", "data-role": "x" }, x));
      }
      series.forEach((one, s) => {
        for (const item of svg.querySelectorAll(`[data-s="${s}"]`)) {
          item.style.display = off.has(s) ? "none" : "";
          if (item.tagName === "polyline") item.setAttribute("points", one.x.map((x, i) => `${px(x)},${py(one.y[i])}`).join(" "));
          else item.setAttribute("transform", `translate(${px(one.x[item.dataset.i])} ${py(one.y[item.dataset.i])})`);
        }
      });
      for (const mark of svg.querySelectorAll('[data-s="-1"]')) {
        mark.dataset.x ??= range[0] + (mark.points[0].x - left) / width * (range[1] - range[0]);
        const x = px(+mark.dataset.x);
        mark.setAttribute("points", `${x},${top} ${x},${top + height}`);
      }
    };

    const at = (event) => {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      return [Math.max(left, Math.min(left + width, point.x)), Math.max(top, Math.min(top + height, point.y))];
    };
    const value = (x, y) => [view[0] + (x - left) / width * (view[1] - view[0]), view[2] + (top + height - y) / height * (view[3] - view[2])];
    const epochs = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
    const point = (epoch, x, y) => {
      last = epoch;
      cross.setAttribute("x1", px(epoch));
      cross.setAttribute("x2", px(epoch));
      cross.setAttribute("visibility", "visible");
      const lines = series.flatMap((one, s) => {
        const i = one.x.indexOf(epoch);
        return i < 0 || off.has(s) ? [] : [[`${one.name}: ${one.y[i].toFixed(3)}`, one.colour]];
      });
      say([[`${unit} ${epoch}`], ...lines], x, y);
    };
    const leave = () => { cross.setAttribute("visibility", "hidden"); quiet(); };
    const near = (x) => epochs.filter((e) => e >= view[0] && e <= view[1]).reduce((a, b) => (Math.abs(b - x) < Math.abs(a - x) ? b : a), epochs[0]);

    svg.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (from) {
        const [x0, y0] = from, wide = Math.abs(y - y0) < 12;
        const set = { x: Math.min(x, x0), width: Math.abs(x - x0), y: wide ? top : Math.min(y, y0), height: wide ? height : Math.abs(y - y0), visibility: "visible" };
        for (const [key, one] of Object.entries(set)) box.setAttribute(key, one);
      }
      point(near(value(x, y)[0]), event.clientX, event.clientY);
    });
    svg.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button || event.target.dataset.role?.startsWith("key-")) return;
      from = at(event);
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointerup", (event) => {
      const start = from;
      from = null;
      box.setAttribute("visibility", "hidden");
      if (!start) return;
      const [x, y] = at(event);
      if (Math.abs(x - start[0]) < 10) return;
      const [a, b] = [value(Math.min(x, start[0]), Math.max(y, start[1])), value(Math.max(x, start[0]), Math.min(y, start[1]))];
      view = Math.abs(y - start[1]) < 12 ? [a[0], b[0], view[2], view[3]] : [a[0], b[0], a[1], b[1]];
      draw();
    });
    svg.addEventListener("pointerleave", leave);
    svg.addEventListener("blur", leave);
    const whole = () => { view = [...range]; draw(); leave(); };
    svg.addEventListener("dblclick", whole);
    addEventListener("beforeprint", whole);
    svg.addEventListener("keydown", (event) => {
      if (event.target !== svg) return;
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) {
        event.preventDefault();
        const k = last === null ? (step > 0 ? 0 : epochs.length - 1) : epochs.indexOf(last) + step;
        const epoch = epochs[Math.max(0, Math.min(epochs.length - 1, k))], frame = svg.getBoundingClientRect();
        point(epoch, frame.left + px(epoch) / svg.viewBox.baseVal.width * frame.width, frame.top + 40);
      } else if (event.key === "Escape") whole();
    });
    for (const key of svg.querySelectorAll('[data-role^="key-"]')) {
      const s = +key.dataset.role.slice(4);
      const flip = () => {
        off.has(s) ? off.delete(s) : off.add(s);
        key.classList.toggle("off", off.has(s));
        key.setAttribute("aria-pressed", !off.has(s));
        draw();
      };
      for (const [name, one] of Object.entries({ tabindex: 0, role: "button", "aria-pressed": "true", "aria-label": `show ${key.textContent}` })) key.setAttribute(name, one);
      key.addEventListener("click", flip);
      key.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); flip(); }
      });
    }
    svg.setAttribute("role", "group");
  };
  document.querySelectorAll("svg[data-chart]").forEach(chart);

  if (document.querySelector(".heat")) {
    const tools = document.body.appendChild(document.createElement("label"));
    tools.className = "tools";
    tools.append("Heat maps");
    const range = tools.appendChild(Object.assign(document.createElement("input"), { type: "range", min: 0, max: 100, value: 55 }));
    // Only where there is something to see of it: elsewhere it would cover text.
    const seen = new Set();
    const watch = new IntersectionObserver((found) => {
      for (const one of found) one.isIntersecting ? seen.add(one.target) : seen.delete(one.target);
      tools.classList.toggle("away", !seen.size);
    });
    document.querySelectorAll(".heat").forEach((one) => watch.observe(one));
    range.addEventListener("input", () => document.documentElement.style.setProperty("--heat", range.value / 100));
  }
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
})();
