// What is open stays open while runs below it grow.
const OPENED = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".recipes");
  const opened = OPENED.get(root) || new Set();
  OPENED.set(root, opened);
  const signature = JSON.stringify(data);
  root.onclick = (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.open !== undefined) {
      const id = button.dataset.open;
      if (opened.has(id)) opened.delete(id); else opened.add(id);
      show();
      return;
    }
    setTriggerValue("asked", { name: button.dataset.run, described: button.dataset.described === "1" });
  };

  const head = () => {
    const groups = el("tr"), titles = el("tr");
    const first = groups.appendChild(el("th", "name", "Experiment"));
    first.rowSpan = 2;
    first.scope = "col";
    const second = groups.appendChild(el("th", "published", `Published, ${data.split}`));
    second.append(el("small", "", "accuracy % · F1"));
    second.rowSpan = 2;
    second.scope = "col";
    let last = null;
    for (const column of data.columns) {
      if (last?.textContent === column.group) last.colSpan += 1;
      else {
        last = groups.appendChild(el("th", "group", column.group));
        last.scope = "colgroup";
      }
      const title = titles.appendChild(el("th", column.own ? "own" : "", column.title));
      title.scope = "col";
      if (column.own) {
        title.append(el("i", "", "◂"));
        title.title = "what this report calls accuracy or F1";
      }
    }
    const node = el("thead");
    node.append(groups, titles);
    return node;
  };

  const cells = (row, line) => {
    for (const cell of row.cells) {
      const td = line.appendChild(el("td", cell.text === "–" ? "none" : "", cell.text));
      if (cell.note) td.append(el("small", "", cell.note));
      if (cell.title) td.title = cell.title;
    }
  };

  const action = (text, name, described) => {
    const button = el("button", "act", text);
    button.type = "button";
    button.dataset.run = name;
    button.dataset.described = described ? "1" : "";
    button.setAttribute("aria-label", `${text}: ${name}`);
    return button;
  };

  const list = (title, lines) => {
    const part = el("div", "part");
    part.append(el("b", "", title));
    const ul = part.appendChild(el("ul"));
    lines.forEach((line) => ul.append(el("li", "", line)));
    return part;
  };

  const sentence = (title, parts) => {
    const part = el("div", "part");
    part.append(el("b", "", title), el("p", "", parts.join(" · ")));
    return part;
  };

  const recipe = (row) => {
    const line = el("tr", "recipe");
    const name = line.appendChild(el("th", "name"));
    name.scope = "row";
    const isOpen = opened.has(row.id);
    const toggle = name.appendChild(el("button", "toggle"));
    toggle.type = "button";
    toggle.dataset.open = row.id;
    toggle.setAttribute("aria-expanded", String(isOpen));
    const sign = toggle.appendChild(el("span", "sign", isOpen ? "▾" : "▸"));
    sign.setAttribute("aria-hidden", "true");
    toggle.append(el("span", "", row.name));
    if (row.marks.length) {
      const marks = name.appendChild(el("span", "marks"));
      row.marks.forEach((mark) => marks.append(el("span", "mark bad", mark)));
    }
    if (data.canRun) name.append(action("Run it", row.id, false));
    name.append(el("small", "", row.title));
    const published = line.appendChild(el("td", "published", row.published));
    if (row.f1) published.append(el("small", "", `F1 ${row.f1}`));
    if (row.wrong) {
      published.append(el("small", "bad", "≠ its matrix"));
      published.title = "These numbers do not follow from the matrix that was published with them.";
    }
    cells(row, line);
    if (!isOpen) return [line];
    const more = el("tr", "more");
    const td = more.appendChild(el("td"));
    td.colSpan = 2 + data.columns.length;
    const box = td.appendChild(el("div", "box"));
    box.append(list("What its numbers say", row.worth));
    if (row.notes.length) box.append(list("Notes", row.notes));
    box.append(sentence("Settings, as it ran", row.settings));
    if (row.described.length) box.append(list("Described otherwise", row.described));
    const bar = box.appendChild(el("div", "bar"));
    if (data.canRun && row.described.length) bar.append(action("Run as described", row.id, true));
    if (data.links[row.id]) {
      const link = bar.appendChild(el("a", "act", "Change it first"));
      link.href = data.links[row.id];
      link.setAttribute("aria-label", `Change it first: ${row.id}`);
    }
    return [line, more];
  };

  const run = (row) => {
    const line = el("tr", "run");
    const name = line.appendChild(el("th", "name"));
    name.scope = "row";
    const link = name.appendChild(el("a", "", `↳ ${row.name}`));
    link.href = `run?run=${encodeURIComponent(row.id)}`;
    link.title = row.title;
    const marks = name.appendChild(el("span", "marks"));
    row.marks.forEach((mark) => marks.append(el("span", mark.startsWith("!") ? "mark bad" : "mark", mark)));
    if (row.about) name.append(el("small", "", row.about));
    line.append(el("td", "published state", row.published || "this run"));
    cells(row, line);
    return [line];
  };

  const base = (row) => {
    const line = el("tr", "base");
    const name = line.appendChild(el("th", "name", row.name));
    name.scope = "row";
    name.append(el("small", "", "the constant predictor"));
    line.append(el("td", "published", row.published));
    cells(row, line);
    return [line];
  };

  const show = () => {
    const focused = activeIn(root);
    const back = focused?.dataset?.open ?? null;
    const table = el("table");
    table.append(head());
    const body = table.appendChild(el("tbody"));
    for (const row of data.rows) body.append(...{ base, recipe, run }[row.kind](row));
    root.replaceChildren(table);
    if (back !== null) [...root.querySelectorAll("[data-open]")].find((one) => one.dataset.open === back)?.focus({ preventScroll: true });
    scrollable(root, "Published numbers and runs");
  };
  if (root.dataset.signature === signature) return;
  root.dataset.signature = signature;
  show();
}
