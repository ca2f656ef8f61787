const SHOWN = new WeakMap();
const LAST = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".tiles");
  const theme = themeOf(root);
  const wrong = parseColour(classColour(theme, 1));
  const right = parseColour(theme.primary);
  root.style.setProperty("--room", data.room);
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", data.label);

  const signature = JSON.stringify([data.base, data.heat, data.heat_v, data.items]);
  if (SHOWN.get(root) !== signature) {
    SHOWN.set(root, signature);
    root.replaceChildren(...data.items.map((item) => {
      const tile = el("button", "tile");
      tile.type = "button";
      tile.dataset.id = item.id;
      tile.setAttribute("aria-label", `${item.right ? "right" : "wrong"}: ${item.what}, ${item.prob}`);
      const caption = el("span", "caption");
      caption.append(el("span", "mark", item.right ? "✓" : "✕"), el("span", "what", item.what), el("span", "prob", item.prob));
      caption.title = `${item.what} · ${item.prob}`;
      tile.append(xray(data, item, "t", "", true), caption);
      return tile;
    }));
  }
  const tiles = [...root.querySelectorAll(".tile")];
  tiles.forEach((tile, i) => {
    const colour = data.items[i].right ? right : wrong;
    const mark = tile.querySelector(".mark");
    mark.style.background = rgb(colour);
    mark.style.color = inkOn(colour);
  });

  const stop = replaced(root, heatBar(parentElement.querySelector(".heatbar"), data.bar && data.items.some((item) => item.heat && item.v), (prefs) => {
    root.style.setProperty("--heat", prefs.opacity / 100);
    tiles.forEach((tile, i) => {
      const item = data.items[i];
      setHeat(tile.querySelector(".frame"), item.heat ? heatSrc(data, item, item.k, "t", prefs.own) : null, true);
    });
  }));

  const paint = (id) => {
    tiles.forEach((tile) => tile.setAttribute("aria-pressed", String(tile.dataset.id === id)));
    rove(tiles, tiles.find((tile) => tile.dataset.id === id) || tiles[0]);
  };
  paint(data.selected);
  const chosen = tiles.find((tile) => tile.dataset.id === data.selected);
  if (chosen && LAST.get(root) !== data.selected) { // scrolls the box, never the page
    const above = chosen.offsetTop - root.scrollTop;
    if (above < 0 || above + chosen.offsetHeight > root.clientHeight) root.scrollTop = chosen.offsetTop - root.clientHeight / 3;
  }
  LAST.set(root, data.selected);
  root.onclick = (event) => {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    paint(tile.dataset.id);
    setStateValue("picked", { id: tile.dataset.id, at: performance.now() });
  };
  root.onkeydown = (event) => {
    const at = tiles.indexOf(activeIn(root));
    const columns = getComputedStyle(root).gridTemplateColumns.split(" ").length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    if (at < 0 || !step) return;
    event.preventDefault(); // keeps the viewer beside it still
    const next = tiles[at + step];
    if (next) {
      rove(tiles, next);
      next.focus();
    }
  };
  return stop;
}
