export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".seeds");
  const signature = JSON.stringify(data);
  root.onclick = (event) => {
    const button = event.target.closest("button:not([aria-current])");
    if (button) setTriggerValue("picked", { id: button.dataset.id });
  };
  if (root.dataset.signature === signature) return;
  root.dataset.signature = signature;
  root.replaceChildren(el("p", "", data.title));
  for (const metric of data.metrics) {
    const values = metric.points.map((point) => point.value);
    // All there is, and never so close that a difference without meaning fills the line.
    const middle = (Math.min(...values) + Math.max(...values)) / 2;
    const half = Math.max(0.02, 0.55 * (Math.max(...values) - Math.min(...values)), 1.1 * metric.spread);
    const at = (v) => `${(100 * (v - middle + half)) / (2 * half)}%`;
    const value = el("span", "value");
    value.append(el("b", "", metric.mean.toFixed(3)), el("small", "", ` ± ${metric.spread.toFixed(3)}`));
    const strip = el("div", "strip");
    strip.setAttribute("role", "group");
    strip.setAttribute("aria-label", `${metric.name} of each run`);
    const band = strip.appendChild(el("i", "band"));
    Object.assign(band.style, { left: at(metric.mean - metric.spread), width: `${(100 * metric.spread) / half}%` });
    strip.appendChild(el("i", "mean")).style.left = at(metric.mean);
    for (const point of metric.points) {
      const button = strip.appendChild(el("button"));
      button.type = "button";
      button.dataset.id = point.id;
      button.style.left = at(point.value);
      button.append(el("i"));
      button.title = `${point.name}: ${point.value.toFixed(3)}${point.here ? " (this run)" : ""}`;
      button.setAttribute("aria-label", button.title);
      if (point.here) button.setAttribute("aria-current", "true");
    }
    const name = el("span", "name", metric.name);
    name.dir = "auto";
    name.title = metric.name;
    root.append(name, value, strip);
  }
}
