// One table per ladder: a setting's values, the metric of each run as a dot on a scale that all tables share.

const bare = (v) => Math.abs(v).toFixed(3).replace(/^0\./, ".");
const signed = (v) => `${Number(bare(v)) === 0 ? "" : v < 0 ? "−" : "+"}${bare(v)}`;

function cell(row, tag, cls, text) {
  const node = row.appendChild(el(tag, cls, text));
  if (tag === "th") node.scope = cls === "value" ? "row" : "col";
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".ladders");
  const theme = themeOf(root);
  const signature = JSON.stringify([data, theme]);
  if (root.dataset.signature === signature) return;
  root.dataset.signature = signature;
  const all = data.tables.flatMap((table) => table.rows.flatMap((row) => row.runs.map((run) => run.value)));
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const room = Math.max(0.01, most - least) * 0.08;
  const at = (v) => (100 * (v - least + room)) / (most - least + 2 * room);
  const ink = classColour(theme, 0);
  root.replaceChildren(...data.tables.map((ladder) => {
    const table = el("table");
    if (ladder.title) {
      const caption = table.appendChild(el("caption", "", ladder.title));
      caption.dir = "auto";
    }
    const head = table.appendChild(el("thead")).appendChild(el("tr"));
    cell(head, "th", "name", data.setting);
    const scale = cell(head, "th", "plot", "");
    scale.setAttribute("aria-label", `${data.metric} of each run`);
    const ends = scale.appendChild(el("span", "ends"));
    ends.append(el("span", "", bare(least)), el("span", "", data.metric), el("span", "", bare(most)));
    cell(head, "th", "mean", "mean ± sd");
    cell(head, "th", "effect", `change from ${ladder.rows[0].value}`);
    const body = table.appendChild(el("tbody"));
    for (const row of ladder.rows) {
      const tr = body.appendChild(el("tr"));
      const name = cell(tr, "th", "value", row.value);
      name.append(el("small", "", `${row.runs.length} ${row.runs.length === 1 ? "seed" : "seeds"}`));
      const strip = cell(tr, "td", "plot").appendChild(el("span", "strip"));
      strip.setAttribute("role", "img");
      strip.setAttribute("aria-label", row.runs.map((run) => `${run.title} ${bare(run.value)}`).join(", "));
      if (row.sd !== null) {
        const band = strip.appendChild(el("i", "band"));
        band.style.left = `${Math.max(0, at(row.mean - row.sd))}%`;
        band.style.width = `${Math.min(100, at(row.mean + row.sd)) - Math.max(0, at(row.mean - row.sd))}%`;
        band.style.background = ink;
      }
      const tick = strip.appendChild(el("i", "tick"));
      tick.style.left = `${at(row.mean)}%`;
      for (const run of row.runs) {
        const dot = strip.appendChild(el("i", "dot"));
        dot.style.left = `${at(run.value)}%`;
        dot.style.background = ink;
        dot.title = `${run.title}: ${bare(run.value)}`;
      }
      const mean = cell(tr, "td", "mean");
      mean.append(el("b", "", bare(row.mean)), el("small", "", row.sd === null ? "" : `± ${bare(row.sd)}`));
      const effect = cell(tr, "td", "effect");
      if (row.diff === null) {
        effect.append(el("small", "", "–"));
        continue;
      }
      effect.append(el("b", "", signed(row.diff)));
      if (row.low !== null) effect.append(el("small", "", `${signed(row.low)} to ${signed(row.high)}`));
      effect.append(el("span", "said", row.said));
    }
    return table;
  }));
  scrollable(root, `What ${data.setting} did`);
}
