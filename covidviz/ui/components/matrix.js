const GRID_KEYS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
// Esc belongs to a field, a list or a dialog first.
const ESC_TAKEN = "input, textarea, select, [role=combobox], [role=listbox], [role=menu], [role=dialog]";

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".matrix");
  const theme = themeOf(root);
  // Orange for mistakes, the theme's colour for what is right: told apart by colour-blind people, and by the diagonal.
  const primary = parseColour(theme.primary);
  const warm = parseColour(classColour(theme, 1));
  const colours = { right: primary, wrong: warm, more: parseColour(classColour(theme, 0)), less: warm };
  const soft = parseColour(theme.soft);
  const n = Math.max(...data.groups.map((g) => g.columns.length));
  const signature = JSON.stringify([data.groups, data.legend]);

  if (root.dataset.signature !== signature) {
    root.dataset.signature = signature;
    root.replaceChildren();
    root.classList.toggle("several", data.groups.length > 1);
    root.classList.toggle("many", n > 6);
    root.classList.toggle("dense", n > 8);
    data.groups.forEach((group) => {
      const box = root.appendChild(el("div", "group"));
      const kind = data.signed ? "Difference of two confusion matrices" : "Confusion matrix";
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", `${kind}${group.title ? " of " + group.title : ""}, rows true, columns predicted`);
      if (group.title) {
        const title = box.appendChild(el("p", "title", group.title));
        title.dir = "auto";
      }
      const grid = box.appendChild(el("div", "scroll")).appendChild(el("div", "grid"));
      grid.style.gridTemplateColumns = `minmax(72px, max-content) repeat(${group.columns.length}, minmax(${n > 8 ? 24 : n > 6 ? 44 : 54}px, 1fr))`;
      grid.append(el("div", "axis", "true ↓  predicted →"));
      group.columns.forEach((column) => {
        const head = grid.appendChild(el("div", "head"));
        head.append(named(column.name));
        if (data.column_totals) head.append(el("small", "", `n = ${column.n}`));
      });
      group.rows.forEach((row, i) => {
        const head = grid.appendChild(el("div", "head row"));
        head.append(named(row.name));
        if (!data.signed && !data.column_totals) head.append(el("small", "", `n = ${row.n}`));
        row.cells.forEach((cell, j) => {
          const button = el("button", "cell");
          button.type = "button";
          button.dataset.cell = cell.id;
          button.dataset.kind = data.signed ? (cell.depth < 0 ? "less" : "more") : cell.right ? "right" : "wrong";
          button.dataset.depth = Math.abs(cell.depth);
          button.dataset.at = `${i},${j}`;
          button.append(el("b", "", cell.big), el("small", "", cell.small));
          button.setAttribute("aria-label", cell.label);
          button.title = cell.label;
          grid.append(button);
        });
      });
    });
    const key = root.appendChild(el("div", "key"));
    for (const [kind, text] of Object.entries(data.legend)) {
      const entry = key.appendChild(el("span"));
      entry.append(el("i", kind), document.createTextNode(text));
    }
  }

  const buttons = [...root.querySelectorAll("button")];
  buttons.forEach((button) => { // again on each call: the theme may have changed
    const depth = Number(button.dataset.depth);
    const back = mix(soft, colours[button.dataset.kind], depth > 0 ? 0.12 + 0.88 * depth ** 0.5 : 0);
    button.style.background = rgb(back);
    button.style.color = inkOn(back);
  });
  root.querySelectorAll(".key i").forEach((box) => { box.style.background = rgb(colours[box.className]); });

  const paint = (id) => {
    buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.cell === id)));
    root.querySelectorAll(".group").forEach((group) => { // one stop for Tab in each
      const own = [...group.querySelectorAll("button")];
      rove(own, own.find((b) => b.dataset.cell === id) || own[0]);
    });
  };
  const pick = (id) => {
    paint(id);
    setStateValue("picked", { id, at: performance.now() });
  };
  paint(data.selected);
  root.onclick = (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    pick(button.getAttribute("aria-pressed") === "true" ? null : button.dataset.cell); // once more: deselect
    rove([...button.closest(".group").querySelectorAll("button")], button);
  };
  root.onkeydown = (event) => {
    const button = activeIn(root)?.closest?.("button.cell");
    const step = GRID_KEYS[event.key];
    if (!button || !step) return;
    event.preventDefault();
    const [i, j] = button.dataset.at.split(",").map(Number);
    const group = button.closest(".group");
    const next = group.querySelector(`[data-at="${i + step[0]},${j + step[1]}"]`);
    if (next) {
      rove([...group.querySelectorAll("button")], next);
      next.focus();
    }
  };
  // Esc closes the cell from wherever one is on the page: its images are beside the matrix, not in it.
  const escape = (event) => {
    const open = root.querySelector("button[aria-pressed=true]");
    if (event.key !== "Escape" || event.defaultPrevented || !open || !root.isConnected) return;
    if (event.composedPath().some((node) => node instanceof Element && node.matches(ESC_TAKEN))) return;
    if (document.querySelector("[role=dialog], [data-baseweb=popover]")) return;
    pick(null);
    rove([...open.closest(".group").querySelectorAll("button")], open);
    open.focus({ preventScroll: true });
  };
  document.addEventListener("keydown", escape);
  return replaced(root, () => document.removeEventListener("keydown", escape));
}

// A name in its own direction, cut where it is too long.
function named(name) {
  const node = el("span", "", name);
  node.dir = "auto";
  node.title = name;
  return node;
}
