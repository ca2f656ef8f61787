const SORT = new WeakMap();
const COLUMNS = [["name", "class"], ["images", "images"], ["recall", "recall"], ["precision", "precision"], ["f1", "F1"]];
const three = (v) => (v === null ? "–" : v.toFixed(3));
const valueOf = (row, key) => (row[key] !== null && typeof row[key] === "object" ? row[key].value : row[key]);

// A number in 0..1 and, unless they are hidden, its interval in digits and both drawn on 0..1.
function share(of, colour, intervals) {
  const cell = el("td", "share");
  cell.append(el("b", "", three(of.value)));
  if (of.value === null) return cell;
  const known = of.low !== null;
  cell.title = (of.how ? `${of.how}; ` : "") + (known ? `95 % interval ${three(of.low)} to ${three(of.high)} (${of.kind})` : "no interval: too few images, or too much alike");
  if (!intervals) return cell;
  cell.append(el("small", "", known ? `${of.low.toFixed(2)}–${of.high.toFixed(2)}` : ""));
  const bar = cell.appendChild(el("span", "bar"));
  bar.setAttribute("aria-hidden", "true");
  if (known) {
    const range = bar.appendChild(el("i", "range"));
    range.style.left = `${100 * of.low}%`;
    range.style.width = `${100 * (of.high - of.low)}%`;
    range.style.background = colour;
  }
  const dot = bar.appendChild(el("i", "dot"));
  dot.style.left = `${100 * of.value}%`;
  dot.style.background = colour;
  return cell;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".scores");
  const theme = themeOf(root);
  const sort = SORT.get(root) || { key: null, up: false };
  SORT.set(root, sort);

  const draw = () => {
    const rows = data.rows.map((row, k) => ({ ...row, k }));
    if (sort.key) {
      rows.sort((a, b) => {
        const [x, y] = [valueOf(a, sort.key), valueOf(b, sort.key)];
        const order = x === null ? (y === null ? 0 : 1) : y === null ? -1 : typeof x === "string" ? x.localeCompare(y) : x - y;
        return sort.up ? order : -order;
      });
    }
    const table = el("table");
    table.append(el("caption", "", data.intervals ? "Each class, with 95 % intervals" : "Each class"));
    const head = table.appendChild(el("thead")).appendChild(el("tr"));
    for (const [key, title] of COLUMNS) {
      const th = head.appendChild(el("th", key === "name" ? "name" : ""));
      th.scope = "col";
      if (sort.key === key) th.setAttribute("aria-sort", sort.up ? "ascending" : "descending");
      const button = th.appendChild(el("button", "", title + (sort.key === key ? (sort.up ? " ↑" : " ↓") : "")));
      button.type = "button";
      button.dataset.key = key;
    }
    const body = table.appendChild(el("tbody"));
    for (const row of rows) {
      const colour = classColour(theme, row.k);
      const tr = body.appendChild(el("tr"));
      const th = tr.appendChild(el("th", "name"));
      th.scope = "row";
      th.title = row.name;
      const swatch = th.appendChild(el("i", "swatch"));
      swatch.style.background = colour;
      const name = th.appendChild(el("span", "", row.name));
      name.dir = "auto";
      if (row.name === data.critical) th.append(el("em", "", "critical"));
      tr.append(el("td", "", row.images.toLocaleString("en")), ...["recall", "precision", "f1"].map((kind) => share(row[kind], colour, data.intervals)));
    }
    root.replaceChildren(table);
  };
  const signature = JSON.stringify([data, theme, sort]);
  if (root.dataset.signature !== signature) {
    root.dataset.signature = signature;
    draw();
  }
  root.onclick = (event) => {
    const key = event.target.closest("th button")?.dataset.key;
    if (!key) return;
    // Names from A, numbers from the worst: that is what one looks for; then the other way, then as they were.
    if (sort.key !== key) Object.assign(sort, { key, up: true });
    else if (sort.up) sort.up = false;
    else sort.key = null;
    draw();
    root.querySelector(`th button[data-key="${key}"]`).focus();
  };
}
