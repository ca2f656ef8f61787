const SHOWN = new WeakMap();

// A line with every match marked; text only.
function lineOf(text, query) {
  const node = el("div", /\b(ERROR|CRITICAL|Traceback)\b|Error:/.test(text) ? "line error" : /\bWARNING\b/.test(text) ? "line warning" : "line");
  if (!query) {
    node.textContent = text || "\u00a0";
    return node;
  }
  let from = 0;
  for (const match of text.matchAll(query)) {
    node.append(text.slice(from, match.index), el("mark", "", match[0]));
    from = match.index + match[0].length;
  }
  node.append(text.slice(from));
  return node;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".log");
  const search = root.querySelector("input[type=search]");
  const follow = root.querySelector("input[type=checkbox]");
  const out = root.querySelector("output");
  const box = root.querySelector(".lines");
  root.querySelector(".follow").hidden = !data.live;

  const draw = () => {
    const query = search.value.trim();
    const pattern = query && new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
    const fits = query ? data.lines.filter((line) => line.search(pattern) >= 0) : data.lines;
    const before = SHOWN.get(box) || { query: null, lines: [] };
    const old = before.lines;
    const same = before.query === query && old.length > 0;
    // What was there and fell out at the top of the tail, so that only the new lines are made.
    const gone = same ? old.indexOf(fits[0]) : -1;
    const grown = gone >= 0 && old.slice(gone).every((line, i) => fits[i] === line);
    if (grown) {
      for (let i = 0; i < gone; i++) box.firstChild.remove();
      box.append(...fits.slice(old.length - gone).map((line) => lineOf(line, pattern)));
    } else {
      box.replaceChildren(...fits.map((line) => lineOf(line, pattern)));
    }
    SHOWN.set(box, { query, lines: fits });
    if (!fits.length) box.replaceChildren(el("p", "note", query ? "No line has that." : "Nothing has been written yet."));
    const all = `${data.lines.length.toLocaleString("en")} lines${data.cut ? ", the last ones" : ""}`;
    out.textContent = query ? `${fits.length.toLocaleString("en")} of ${all}` : all;
    if (!same || (data.live && follow.checked)) box.scrollTop = box.scrollHeight;
  };
  draw();
  search.oninput = draw;
  search.onkeydown = (event) => {
    if (event.key !== "Escape" || !search.value) return;
    event.preventDefault();
    search.value = "";
    draw();
  };
  follow.onchange = () => { if (follow.checked) box.scrollTop = box.scrollHeight; };
  // Who scrolls up reads something there; who comes back to the end follows again.
  box.onscroll = () => { follow.checked = box.scrollTop + box.clientHeight >= box.scrollHeight - 24; };
}
