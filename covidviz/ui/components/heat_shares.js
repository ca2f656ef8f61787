const percent = (v) => `${Math.round(100 * v)} %`;

// One share: the number, a bar, and a mark where heat that is spread evenly would be.
function shareCell(share, column, colour, run, intervals) {
  const cell = el("span", "share");
  if (!share) {
    cell.append(el("b", "none", "–"));
    return cell;
  }
  cell.append(el("b", "", percent(share.value)));
  const chance = percent(share.chance);
  cell.append(el("small", "", `chance ${chance}`));
  const bar = cell.appendChild(el("span", "bar"));
  bar.setAttribute("aria-hidden", "true");
  const fill = bar.appendChild(el("i", "fill"));
  fill.style.width = `${100 * share.value}%`;
  fill.style.background = colour;
  const known = share.low !== null;
  if (known && intervals) {
    const range = bar.appendChild(el("i", "range"));
    range.style.left = `${100 * share.low}%`;
    range.style.width = `${100 * (share.high - share.low)}%`;
  }
  bar.appendChild(el("i", "chance")).style.left = `${100 * share.chance}%`;
  const middle = column.key === "pointing" ? "" : `; half of the images between ${percent(share.middle[0])} and ${percent(share.middle[1])}`;
  const interval = known ? `, 95 % interval ${percent(share.low)} to ${percent(share.high)}` : ", no interval: too few images, or too much alike";
  cell.title = `${run ? `${run}: ` : ""}mean of ${share.n.toLocaleString("en")} ${share.n === 1 ? "image" : "images"}${interval}${middle}; spread evenly it would be ${chance}`;
  return cell;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".heatshares");
  const theme = themeOf(root);
  const signature = JSON.stringify([data, theme]);
  if (root.dataset.signature === signature) return;
  root.dataset.signature = signature;
  const colours = [theme.primary, classColour(theme, 1), classColour(theme, 0), classColour(theme, 3)];
  const table = el("table");
  table.append(el("caption", "", "Share of the heat, mean over the images; the upright mark is chance: heat spread evenly"));
  const head = table.appendChild(el("thead")).appendChild(el("tr"));
  for (const [title, help, cls] of [["images", "", "name"], ["n", "How many images", ""], ...data.columns.map((c) => [c.title, c.help, "wide"])]) {
    const th = head.appendChild(el("th", cls, title));
    th.scope = "col";
    if (help) th.title = help;
  }
  let kind = "";
  const body = table.appendChild(el("tbody"));
  for (const row of data.rows) {
    if (row.kind !== kind) {
      kind = row.kind;
      if (data.rows[0].kind !== kind) {
        const heading = body.appendChild(el("tr", "kind")).appendChild(el("th", "", kind));
        heading.colSpan = 2 + data.columns.length;
        heading.scope = "colgroup";
      }
    }
    const tr = body.appendChild(el("tr"));
    const th = tr.appendChild(el("th", "name"));
    th.scope = "row";
    th.title = row.name;
    const name = th.appendChild(el("span", "", row.name));
    name.dir = "auto";
    const several = data.runs.length > 1;
    const n = tr.appendChild(el("td"));
    row.images.forEach((images, i) => {
      const line = n.appendChild(el("span", "run", images === null ? "–" : images.toLocaleString("en")));
      if (several) {
        line.prepend(el("i", "who", data.runs[i]));
        line.firstChild.style.borderColor = colours[i % colours.length];
      }
    });
    for (const column of data.columns) {
      const td = tr.appendChild(el("td"));
      row.runs.forEach((shares, i) => td.append(shareCell(shares[column.key], column, colours[i % colours.length], data.runs[i], data.intervals)));
    }
  }
  root.replaceChildren(table);
}
