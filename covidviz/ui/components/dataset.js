const DRAWN_DATA = new WeakMap();

// A name that has no room beside its numbers gets a line of its own.
const fit = (root) => root.querySelectorAll(".list .row").forEach((row) => {
  row.classList.remove("long");
  const name = row.querySelector(".name");
  row.classList.toggle("long", name.scrollWidth > name.clientWidth);
});

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".dataset");
  const theme = themeOf(root);
  const signature = JSON.stringify([data, theme]);
  if (DRAWN_DATA.get(root) === signature) return;
  const first = !DRAWN_DATA.has(root);
  DRAWN_DATA.set(root, signature);

  const highest = Math.max(1, ...data.classes.map((row) => row.counts.reduce((a, b) => a + b, 0)));
  const many = data.classes.length > 4;
  const list = el("div", "list");
  list.classList.toggle("many", many);
  list.setAttribute("role", "list");
  list.setAttribute("aria-label", "Images of each class in each split");
  root.style.setProperty("--splits", data.splits.length);
  const longest = Math.max(3.7, ...data.totals.map((n) => n.toLocaleString("en").length));
  root.style.setProperty("--col", `${longest + 0.2}ch`);
  const line = (cls, name, numbers) => {
    const row = el("div", `row ${cls}`);
    const head = row.appendChild(el("span", "name", name));
    head.title = name;
    head.dir = "auto";
    numbers.forEach((n, k) => {
      const cell = row.appendChild(el("span", "n"));
      cell.append(el("span", "heard", `${data.splits[k]} `), document.createTextNode(n.toLocaleString("en")));
    });
    return row;
  };
  const top = el("div", "row top");
  top.setAttribute("aria-hidden", "true"); // said with each number
  top.append(el("span", "name", "class"), ...data.splits.map((split) => el("span", "n", split)));
  data.classes.forEach((item, i) => {
    const entry = list.appendChild(el("div", "class"));
    entry.setAttribute("role", "listitem");
    entry.style.setProperty("--class", classColour(theme, i));
    entry.append(line("", item.name, item.counts));
    const bar = entry.appendChild(el("div", "bar"));
    bar.setAttribute("aria-hidden", "true");
    item.counts.forEach((n, k) => {
      const part = bar.appendChild(el("i", `p${data.splits[k]}`));
      part.style.width = `${(100 * n) / highest}%`;
      part.title = `${data.splits[k]}: ${n}`;
    });
    const strip = entry.appendChild(el("div", "strip"));
    item.ids.forEach((id) => {
      const image = new Image();
      image.decoding = "async";
      image.alt = `an image of class ${item.name}`;
      image.onerror = () => image.replaceWith(el("span", "gone", "missing"));
      image.src = `${data.base}${id}.webp`;
      strip.append(image);
    });
  });
  root.replaceChildren(top, list, line("all", "all images", data.totals));
  fit(root);
  if (first) new ResizeObserver(() => fit(root)).observe(root); // it goes with the node
  requestAnimationFrame(() => { // only what scrolls is a stop for Tab
    if (list.scrollHeight > list.clientHeight + 1) list.tabIndex = 0;
    else list.removeAttribute("tabindex");
  });
}
