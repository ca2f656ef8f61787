// Metrics of A and B, and their difference with its interval drawn around 0. Values of single runs are dots.

const OPEN = new WeakMap();
const bare = (v) => Math.abs(v).toFixed(3).replace(/^0\./, ".");
const three = (v) => (v === null ? "–" : bare(v));
const signed = (v) => `${Number(bare(v)) === 0 ? "" : v < 0 ? "−" : "+"}${bare(v)}`;

// Each run of a side as a dot on a scale that both sides share.
function strip(row, k, colour) {
  const [runs, all] = [k ? row.b_runs : row.a_runs, [...row.a_runs, ...row.b_runs]];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const words = `each run: ${runs.map(three).join(", ")}; standard deviation ${three(row[k ? "b_sd" : "a_sd"])}`;
  const line = el("span", "strip");
  line.setAttribute("role", "img");
  line.setAttribute("aria-label", words);
  line.title = words;
  for (const v of runs) {
    const dot = line.appendChild(el("i"));
    dot.style.left = high > low ? `${(100 * (v - low)) / (high - low)}%` : "50%";
    dot.style.background = colour;
  }
  return line;
}

function difference(row, reach, colours, neutral) {
  const at = (v) => 50 + (50 * Math.max(-reach, Math.min(reach, v))) / reach;
  const td = el("td", "diff");
  if (!row.known) {
    td.append(el("small", "", "no image of it"));
    return td;
  }
  const clear = row.low > 0 || row.high < 0;
  const colour = clear ? colours[row.diff > 0 ? 1 : 0] : neutral;
  const words = td.appendChild(el("span", "words"));
  words.append(el("b", "", signed(row.diff)), el("small", "", `${signed(row.low)} to ${signed(row.high)}`));
  const bar = td.appendChild(el("span", "bar"));
  bar.setAttribute("aria-hidden", "true");
  const range = bar.appendChild(el("i", clear ? "range clear" : "range"));
  range.style.left = `${at(row.low)}%`;
  range.style.width = `${at(row.high) - at(row.low)}%`;
  range.style.background = colour;
  const dot = bar.appendChild(el("i", "dot"));
  dot.style.left = `${at(row.diff)}%`;
  dot.style.background = colour;
  return td;
}

function draw(root, data) {
  const theme = themeOf(root);
  const open = Boolean(OPEN.get(root));
  const signature = JSON.stringify([data, theme, open]);
  if (root.dataset.signature === signature) return;
  root.dataset.signature = signature;
  const focused = root.contains(activeIn(root));
  const rows = data.rows.filter((row) => open || row.first);
  const reach = Math.max(0.02, ...rows.flatMap((row) => [Math.abs(row.low), Math.abs(row.high)]));
  const colours = [classColour(theme, 0), classColour(theme, 1)];
  const table = el("table");
  const head = table.appendChild(el("thead")).appendChild(el("tr"));
  [["name", ""], ["value", data.a], ["value", data.b], ["diff", "difference, 95 % interval"]].forEach(([cls, title], i) => {
    const th = head.appendChild(el(i ? "th" : "td", cls, title));
    if (!i) return;
    th.scope = "col";
    th.title = title;
    if (i < 3) th.style.setProperty("--side", colours[i - 1]);
  });
  const body = table.appendChild(el("tbody"));
  for (const row of rows) {
    const tr = body.appendChild(el("tr"));
    const th = tr.appendChild(el("th", "name"));
    th.scope = "row";
    th.append(el("span", "", row.name));
    th.firstChild.dir = "auto";
    th.title = row.name;
    if (row.n !== null) th.append(el("small", "", `${row.n.toLocaleString("en")} ${row.n === 1 ? "image" : "images"}`));
    for (const k of [0, 1]) {
      const td = tr.appendChild(el("td", "value"));
      td.append(el("b", "", row.known ? three(k ? row.b : row.a) : "–"));
      if (!row.known || (k ? row.b_sd : row.a_sd) === null) continue;
      td.append(el("small", "", `± ${three(k ? row.b_sd : row.a_sd)}`), strip(row, k, colours[k]));
    }
    tr.append(difference(row, reach, colours, theme.text));
  }
  const ends = body.appendChild(el("tr", "scale"));
  ends.setAttribute("aria-hidden", "true");
  const axis = el("td", "diff");
  axis.append(el("span", "", "← baseline higher"), el("span", "", "0"), el("span", "", "other higher →"));
  ends.append(el("td"), el("td"), el("td"), axis);
  root.replaceChildren(table);
  scrollable(root, "Metrics of baseline and other");
  if (data.rows.every((row) => row.first)) return;
  const more = root.appendChild(el("button", "more", open ? "Fewer metrics" : "Precision and F1 of each class too"));
  more.type = "button";
  more.setAttribute("aria-expanded", String(open));
  more.onclick = () => {
    OPEN.set(root, !open);
    draw(root, data);
  };
  if (focused) more.focus();
}

export default function ({ data, parentElement }) {
  draw(parentElement.querySelector(".forest"), data);
}
