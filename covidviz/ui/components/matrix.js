const GRID_KEYS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".matrix");
  const theme = themeOf(root);
  // Orange for mistakes, the theme's colour for what is right: told apart by colour-blind people, and by the diagonal.
  const colours = { right: parseColour(theme.primary), wrong: parseColour(classColour(theme, 1)) };
  const soft = parseColour(theme.soft);
  const n = Math.max(...data.groups.map((g) => g.columns.length));
  const signature = JSON.stringify([data.groups, data.legend]);

  if (root.dataset.signature !== signature) {
    root.dataset.signature = signature;
    root.replaceChildren();
    root.classList.toggle("several", data.groups.length > 1);
    root.classList.toggle("many", n > 6);
    data.groups.forEach((group) => {
      const box = root.appendChild(el("div", "group"));
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", `Confusion matrix${group.title ? " of " + group.title : ""}, rows true, columns predicted`);
      if (group.title) box.append(el("p", "title", group.title));
      const grid = box.appendChild(el("div", "scroll")).appendChild(el("div", "grid"));
      grid.style.gridTemplateColumns = `max-content repeat(${group.columns.length}, minmax(${n > 6 ? 44 : 54}px, 1fr))`;
      grid.append(el("div", "axis", "true ↓  predicted →"));
      group.columns.forEach((name) => {
        const head = grid.appendChild(el("div", "head", name));
        head.title = name;
      });
      group.rows.forEach((row, i) => {
        const head = grid.appendChild(el("div", "head row", row.name));
        head.title = row.name;
        head.append(el("small", "", `n = ${row.n}`));
        row.cells.forEach((cell, j) => {
          const button = el("button", "cell");
          button.type = "button";
          button.dataset.cell = cell.id;
          button.dataset.kind = cell.right ? "right" : "wrong";
          button.dataset.share = cell.share;
          button.dataset.at = `${i},${j}`;
          button.append(el("b", "", String(cell.n)), el("small", "", cell.percent));
          button.setAttribute("aria-label", cell.label);
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
    const share = Number(button.dataset.share);
    const back = mix(soft, colours[button.dataset.kind], share > 0 ? 0.12 + 0.88 * share ** 0.5 : 0);
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
  paint(data.selected);
  root.onclick = (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const id = button.getAttribute("aria-pressed") === "true" ? null : button.dataset.cell; // once more: deselect
    paint(id);
    rove([...button.closest(".group").querySelectorAll("button")], button);
    setStateValue("picked", { id, at: performance.now() });
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
}
