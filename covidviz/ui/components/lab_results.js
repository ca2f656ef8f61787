// Matrix, scores and flipped images of one setting, with what changed since another.

const better = (diff) => (diff > 0 ? "up" : diff < 0 ? "down" : "");

const buildMatrix = (holder, classes) => {
  const table = el("table", "matrix"), n = classes.length;
  table.classList.toggle("dense", n > 5);
  const head = table.appendChild(el("thead")).appendChild(el("tr"));
  head.append(el("td", "corner", "true ↓  predicted →"));
  const named = (cls, scope, name) => {
    const cell = el("th", cls);
    const text = cell.appendChild(el("span", "name", name));
    cell.scope = scope;
    text.title = name;
    text.dir = "auto";
    return cell;
  };
  classes.forEach((name) => head.append(named("", "col", name)));
  const body = table.appendChild(el("tbody"));
  const cells = classes.map((name, i) => {
    const row = body.appendChild(el("tr")), first = row.appendChild(named("row", "row", name));
    const total = first.appendChild(el("small"));
    return { total, cells: classes.map((_, j) => {
      const cell = row.appendChild(el("td", i === j ? "right" : "wrong"));
      const parts = { cell, count: el("b"), share: el("small"), change: el("span", "change") };
      cell.append(parts.count, parts.share, parts.change);
      return parts;
    }) };
  });
  holder.replaceChildren(table);
  let number = 0;
  return (now, before, theme) => {
    const soft = parseColour(theme.soft), right = parseColour(theme.primary), wrong = parseColour(classColour(theme, 1));
    now.forEach((row, i) => {
      const total = row.reduce((a, b) => a + b, 0);
      cells[i].total.textContent = `n = ${total}`;
      row.forEach((count, j) => {
        const { cell, count: big, share, change } = cells[i].cells[j];
        const depth = total ? count / total : 0, diff = before ? count - before[i][j] : 0;
        const back = mix(soft, i === j ? right : wrong, depth > 0 ? 0.1 + 0.9 * depth ** 0.6 : 0);
        Object.assign(cell.style, { background: rgb(back), color: inkOn(back) });
        big.textContent = String(count);
        share.textContent = total ? `${Math.round(100 * depth)} %` : "";
        change.textContent = diff ? signed(diff, 0) : "";
        change.className = `change ${diff ? (diff > 0) === (i === j) ? "up" : "down" : ""}`;
        change.title = diff ? `${signed(diff, 0)} images, ${(diff > 0) === (i === j) ? "better" : "worse"}` : "";
      });
    });
    table.dataset.drawn = String(++number);
  };
};

const buildScores = (holder, critical) => {
  const tile = (name) => {
    const box = holder.appendChild(el("div", "score"));
    box.append(el("span", "score-name", name));
    const line = box.appendChild(el("span", "score-line"));
    const parts = { value: line.appendChild(el("b")), change: line.appendChild(el("span", "change")), box };
    return parts;
  };
  holder.replaceChildren();
  const accuracy = tile("accuracy"), f1 = tile("macro F1"), recall = critical === null ? null : tile(`recall of ${critical}`);
  let bar = null, words = null;
  if (recall) {
    recall.box.classList.add("critical");
    const line = recall.box.appendChild(el("div", "interval"));
    line.setAttribute("aria-hidden", "true");
    bar = { range: line.appendChild(el("i", "range")), point: line.appendChild(el("i", "point")) };
    words = recall.box.appendChild(el("small", ""));
  }
  const put = (parts, value, before) => {
    parts.value.textContent = value.toFixed(3);
    const diff = before === null ? 0 : value - before, small = Math.abs(diff) < 0.0005;
    parts.change.textContent = before === null ? "" : small ? "±0" : `${diff > 0 ? "▲" : "▼"} ${signed(diff, 3)}`;
    parts.change.className = `change ${small ? "" : better(diff)}`;
  };
  return (now, before, k) => {
    put(accuracy, now.accuracy, before && before.accuracy);
    put(f1, now.macro_f1, before && before.macro_f1);
    if (!recall) return;
    put(recall, now.recall[k], before && before.recall[k]);
    const n = now.rows[k], [low, high] = wilsonOf(Math.round(now.recall[k] * n), n);
    Object.assign(bar.range.style, { left: `${100 * low}%`, width: `${100 * (high - low)}%` });
    bar.point.style.left = `${100 * now.recall[k]}%`;
    words.textContent = `95 %: ${low.toFixed(2)} to ${high.toFixed(2)}, n = ${n}`;
  };
};

const KINDS_OF_FLIP = { broken: ["✕", "broken"], fixed: ["✓", "fixed"], other: ["↔", "still wrong"] };
const MOST_TILES = 60;

const buildFlips = (holder) => {
  const head = holder.appendChild(el("div", "flips-head"));
  head.append(el("b", "", "Flipped images"));
  const counts = Object.fromEntries(Object.entries(KINDS_OF_FLIP).map(([kind, [mark, word]]) => {
    const count = head.appendChild(el("span", kind));
    count.word = (k) => `${mark} ${k} ${word}`;
    return [kind, count];
  }));
  const list = holder.appendChild(el("ul", "tiles"));
  const note = holder.appendChild(el("p", "quiet"));
  let tiles = new Map();
  const tileOf = (base, id) => {
    const tile = el("li", "tile"), image = tile.appendChild(new Image());
    image.decoding = "async";
    image.onerror = () => image.classList.add("gone");
    image.src = `${base}${id}.webp`;
    tile.parts = { image, kind: tile.appendChild(el("span", "kind")), what: tile.appendChild(el("small")) };
    return tile;
  };
  return (flips, about) => { // about: {base, ids, classes, truth, before, now}; null: nothing to compare with
    const { broken, fixed, other } = flips, most = Math.max(broken.length, fixed.length);
    const order = [...Array.from({ length: most }, (_, k) => [["broken", broken[k]], ["fixed", fixed[k]]]).flat(), ...other.map((i) => ["other", i])]
      .filter(([, i]) => i !== undefined); // by turns, so that both are on the screen
    for (const kind of Object.keys(counts)) counts[kind].textContent = about ? counts[kind].word(flips[kind].length) : "";
    const kept = new Map(), shown = about ? order.slice(0, MOST_TILES) : [];
    const nodes = shown.map(([kind, i]) => {
      const id = about.ids[i], name = (k) => about.classes[k];
      const tile = tiles.get(id) || tileOf(about.base, id);
      kept.set(id, tile);
      tile.className = `tile ${kind}`;
      tile.parts.kind.textContent = KINDS_OF_FLIP[kind].join(" ");
      tile.parts.what.textContent = `→ ${name(about.now[i])}`;
      tile.title = `true: ${name(about.truth[i])}; was called ${name(about.before[i])}, now ${name(about.now[i])}`;
      tile.parts.image.alt = `X-ray, ${tile.title}`;
      return tile;
    });
    tiles = kept;
    if (nodes.length !== list.children.length || nodes.some((node, i) => node !== list.children[i])) list.replaceChildren(...nodes);
    list.hidden = !nodes.length;
    note.textContent = !about ? "Move a slider: images that are judged otherwise then appear here."
      : !order.length ? "No image is judged otherwise." : order.length > MOST_TILES ? `and ${order.length - MOST_TILES} more` : "";
    requestAnimationFrame(() => { // only what scrolls is a stop for Tab
      if (list.scrollHeight > list.clientHeight + 1) list.tabIndex = 0; else list.removeAttribute("tabindex");
    });
  };
};
