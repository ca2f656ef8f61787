const LOW = -6, HIGH = 0; // decades of the test (covidviz.training.lr_finder)
const svgNode = (tag, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
const shortRate = (v) => (v < 0.001 ? v.toExponential(0) : String(Number(v.toPrecision(2))));

// The running mean of `lr_finder.smoothed`, for the eye.
const runningMean = (losses, beta = 0.9) => {
  let mean = 0;
  return losses.map((loss, i) => (mean = beta * mean + (1 - beta) * loss) / (1 - beta ** (i + 1)));
};

const drawRange = (holder, steps, suggested) => {
  const losses = steps.map((s) => s.loss), smooth = runningMean(losses);
  // An exploding end would press the rest flat.
  const top = Math.max(...smooth.slice(0, 1), 1.6 * Math.min(...smooth) || 1, Math.max(...smooth.slice(0, Math.ceil(smooth.length / 2)))) * 1.15;
  const low = Math.min(0, ...smooth);
  const at = (s, y) => `${((100 * (Math.log10(s.lr) - LOW)) / (HIGH - LOW)).toFixed(2)} ${Math.max(-2, 100 - (100 * (y - low)) / (top - low)).toFixed(2)}`;
  const path = (ys) => steps.map((s, i) => `${i ? "L" : "M"}${at(s, ys[i])}`).join("");
  const svg = svgNode("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img",
    "aria-label": suggested ? `Loss by learning rate; suggested: ${shortRate(suggested)}` : "Loss by learning rate" });
  for (let d = LOW; d <= HIGH; d++) {
    const x = (100 * (d - LOW)) / (HIGH - LOW);
    svg.append(svgNode("path", { d: `M${x} 0V100`, class: "grid" }));
  }
  svg.append(svgNode("path", { d: path(losses), class: "raw" }), svgNode("path", { d: path(smooth), class: "line" }));
  if (suggested) {
    const x = (100 * (Math.log10(suggested) - LOW)) / (HIGH - LOW);
    svg.append(svgNode("path", { d: `M${x} 0V100`, class: "mark" }));
  }
  const axis = el("div", "axis");
  for (let d = LOW; d <= HIGH; d++) axis.append(el("span", "", d ? `1e${d}` : "1"));
  holder.replaceChildren(el("p", "", "Loss by learning rate"), svg, axis);
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".range");
  if (!root.parts) {
    const parts = { go: el("button", "main", "Try the rates"), stop: el("button", "", "Stop"), use: el("button", "main"),
      chart: el("div"), said: el("p") };
    parts.said.setAttribute("role", "status");
    const row = el("div", "row");
    row.append(parts.go, parts.stop, parts.use);
    root.append(el("p", "", "Trains for a moment with a rate that grows from step to step. Where the loss falls fastest is a good rate."),
      parts.chart, parts.said, row);
    parts.stop.hidden = parts.use.hidden = true;
    root.parts = parts;
  }
  const parts = root.parts, text = JSON.stringify(data.config);
  const ink = inkOn(parseColour(themeOf(root).primary));
  parts.go.style.color = parts.use.style.color = ink;
  if (root.config !== undefined && root.config !== text && !root.running && parts.chart.childNodes.length) {
    parts.said.textContent = "The settings have changed since.";
  }
  root.config = text;
  parts.go.disabled = !data.config;
  parts.go.onclick = async () => {
    const ask = new AbortController(), steps = [];
    root.running = ask;
    parts.go.hidden = parts.use.hidden = true;
    parts.stop.hidden = false;
    parts.stop.focus();
    parts.stop.onclick = () => ask.abort();
    parts.said.textContent = "Waiting for the compute worker …";
    let suggested = null, ended = "";
    try {
      for await (const event of answers({ kind: "lr_range", token: data.token, session: root.session ||= crypto.getRandomValues(new Uint32Array(4)).join("-"), config: data.config }, ask.signal)) {
        if (event.event === "progress") {
          parts.said.textContent = event.total ? `${event.what}: ${Math.floor((100 * event.done) / event.total)} %` : event.what;
        } else if (event.event === "lr") {
          steps.push(event);
          parts.said.textContent = `Step ${steps.length}, rate ${shortRate(event.lr)}`;
          drawRange(parts.chart, steps, null);
        } else if (event.event === "done") {
          suggested = event.suggested;
          ended = suggested ? `Suggested: ${shortRate(suggested)}` : "The loss never fell: no rate can be suggested.";
        } else if (event.event === "error") ended = event.message;
      }
    } catch (error) {
      ended = ask.signal.aborted ? "Stopped." : error.message;
    }
    root.running = null;
    if (steps.length) drawRange(parts.chart, steps, suggested);
    parts.said.textContent = ended;
    parts.stop.hidden = true;
    parts.go.hidden = false;
    parts.go.textContent = "Try again";
    parts.use.hidden = !suggested;
    if (suggested) {
      parts.use.textContent = `Use ${shortRate(suggested)}`;
      parts.use.onclick = () => setTriggerValue("use", suggested);
      parts.use.focus();
    }
  };
  return () => root.running?.abort();
}
