// Which check each list has open: what the person clicked, until the link says something new.
const LISTS = new WeakMap();
const AXIS = [0.3, 1]; // of the AUC bars

const place = (value) => `${(100 * (Math.min(AXIS[1], Math.max(AXIS[0], value)) - AXIS[0])) / (AXIS[1] - AXIS[0])}%`;
const many = (n, one, more) => `${n.toLocaleString("en")} ${n === 1 ? one : more}`;

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".doctor");
  const list = LISTS.get(root) || { opened: null, link: undefined, at: 0 };
  LISTS.set(root, list);
  if (list.link !== data.opened) list.opened = list.link = data.opened;
  const send = (what, id) => setStateValue(what, { id, at: (list.at += 1) });

  // --- an image, large on a click ---
  const show = (group, from) => {
    const box = el("dialog", "large");
    box.setAttribute("aria-label", "Images, larger");
    const row = box.appendChild(el("div", "row"));
    group.images.filter((one) => one.id).forEach((one) => row.append(picture(one, "f")));
    const close = box.appendChild(el("button", "close", "Close"));
    close.type = "button";
    close.onclick = () => box.close();
    box.onclick = (event) => { if (event.target === box) box.close(); };
    box.onclose = () => { box.remove(); from.focus({ preventScroll: true }); };
    root.append(box);
    box.showModal();
  };
  const picture = (one, size) => {
    const figure = el("figure", size ? "" : "small");
    const frame = figure.appendChild(el("span", "frame"));
    const gone = () => frame.replaceChildren(el("span", "gone", "no picture"));
    if (one.id) {
      const image = new Image();
      image.alt = `${one.label} ${one.split} ${one.path}`;
      image.loading = size ? "eager" : "lazy";
      image.decoding = "async";
      image.draggable = false;
      image.onerror = gone;
      image.src = `${data.base}${one.id}${size ? ".f" : ""}.webp`;
      frame.append(image);
    } else gone();
    const words = figure.appendChild(el("figcaption"));
    const first = words.appendChild(el("span", "what"));
    if (one.split) first.append(el("b", "", one.split), document.createTextNode(" "));
    first.append(document.createTextNode(one.label));
    const name = words.appendChild(el("span", "path", size ? one.path : one.path.split("/").pop()));
    name.title = one.path;
    name.dir = "auto";
    if (one.about) words.append(el("span", "about", one.about));
    return figure;
  };
  const images = (line) => {
    const all = el("div", "groups");
    line.groups.forEach((group) => {
      const box = all.appendChild(el("div", group.images.length === 1 ? "group one" : "group"));
      const button = box.appendChild(el("button", "pair"));
      button.type = "button";
      button.setAttribute("aria-label", `Show larger: ${group.images.map((one) => one.path).join(", ")}`);
      group.images.forEach((one) => button.append(picture(one, "")));
      if (group.images.some((one) => one.id)) button.onclick = () => show(group, button);
      else button.disabled = true;
      const said = [group.more ? `and ${many(group.more, "more image", "more images")}` : "", group.note].filter(Boolean);
      if (said.length) box.append(el("p", "note", said.join(", ")));
    });
    const out = [all];
    const left = line.listed - line.groups.length;
    if (left > 0) {
      const more = el("button", "more", `Show ${Math.min(left, data.step)} more`);
      more.type = "button";
      more.onclick = () => { more.textContent = "Loading …"; send("more", line.id); };
      out.push(more);
    } else if (line.cut > line.listed) {
      out.push(el("p", "note", `The first ${line.listed.toLocaleString("en")} of ${line.cut.toLocaleString("en")}.`));
    }
    return out;
  };

  // --- numbers ---
  const track = (bar) => {
    const rail = el("span", "track");
    rail.setAttribute("aria-hidden", "true"); // the value is said beside it
    rail.appendChild(el("i", "chance")).style.left = place(0.5);
    const span = (name, a, b) => {
      const part = rail.appendChild(el("i", name));
      part.style.left = place(a);
      part.style.width = `calc(${place(b)} - ${place(a)})`;
    };
    span("fill", Math.min(0.5, bar.value), Math.max(0.5, bar.value));
    if (bar.low !== null) span("range", bar.low, bar.high);
    return rail;
  };
  const bars = (line) => {
    const box = el("div", "bars");
    box.append(el("p", "axis", "AUC: 0.5 is chance (the line), 1 tells the classes apart without error; with 95 % interval"));
    line.bars.forEach((bar) => {
      const row = box.appendChild(el("div", `bar ${bar.kind}`));
      const name = row.appendChild(el("span", "name", bar.name));
      name.title = bar.name;
      row.append(track(bar));
      row.append(el("span", "value", bar.says));
    });
    return box;
  };
  const table = (one) => {
    const scroll = el("div", "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", one.title);
    const made = scroll.appendChild(el("table"));
    made.append(el("caption", "", one.title));
    const head = made.appendChild(el("thead")).appendChild(el("tr"));
    one.columns.forEach((name) => { head.appendChild(el("th", "", name)).scope = "col"; });
    const body = made.appendChild(el("tbody"));
    one.rows.forEach((row) => {
      const tr = body.appendChild(el("tr"));
      row.forEach((cell, k) => {
        const at = tr.appendChild(el(k ? "td" : "th", "", cell));
        if (!k) at.scope = "row";
      });
    });
    return scroll;
  };
  const facts = (line) => {
    const fold = el("details");
    fold.append(el("summary", "", "Numbers behind it"));
    const dl = fold.appendChild(el("dl"));
    line.facts.forEach(([name, value]) => dl.append(el("dt", "", name), el("dd", "", value)));
    return fold;
  };

  const panel = (line) => {
    const box = el("div", "panel");
    if (line.failed) box.append(el("p", "", `This check could not be done: ${line.failed}`));
    if (line.meaning) box.append(el("p", "meaning", line.meaning));
    if (line.remedy) {
      const todo = box.appendChild(el("p", "remedy"));
      todo.append(el("b", "", "What to do: "), document.createTextNode(line.remedy));
    }
    if (line.bars.length) box.append(bars(line));
    line.tables.forEach((one) => box.append(table(one)));
    if (line.groups.length) box.append(...images(line));
    if (line.facts.length) box.append(facts(line));
    if (!box.children.length) box.append(el("p", "meaning", "Nothing more to say."));
    return box;
  };

  const row = (line) => {
    const item = el("li", `line ${line.severity}`);
    item.dataset.id = line.id;
    const head = item.appendChild(el("h3"));
    const button = head.appendChild(el("button", "head"));
    button.type = "button";
    button.setAttribute("aria-controls", `panel-${line.id}`);
    const state = button.appendChild(el("span", "state"));
    const shape = state.appendChild(el("i", "shape", line.shape));
    shape.setAttribute("aria-hidden", "true");
    state.append(el("span", "word", line.word));
    const words = button.appendChild(el("span", "words"));
    words.append(el("span", "title", line.title), el("span", "summary", line.summary));
    if (line.bars.length) {
      const mini = button.appendChild(el("span", "mini"));
      mini.append(track(line.bars[0]), el("span", "says", `AUC ${line.bars[0].says}`));
    }
    const arrow = button.appendChild(el("i", "arrow", "›"));
    arrow.setAttribute("aria-hidden", "true");
    button.onclick = () => {
      list.opened = list.opened === line.id ? null : line.id;
      opened();
      const top = button.getBoundingClientRect().top; // a long panel above may have closed
      if (top < 0 || top > innerHeight - 60) item.scrollIntoView({ block: "start" });
      send("opened", list.opened || "");
    };
    return item;
  };
  const opened = () => {
    for (const item of root.querySelectorAll(".line")) {
      const open = item.dataset.id === list.opened;
      item.classList.toggle("open", open);
      item.querySelector(".head").setAttribute("aria-expanded", String(open));
      let box = item.querySelector(".panel");
      if (open && !box) {
        box = item.appendChild(panel(data.lines.find((line) => line.id === list.opened)));
        box.id = `panel-${list.opened}`;
      }
      if (!open && box) box.remove();
    }
  };

  const signature = JSON.stringify(data.lines) + data.base;
  if (list.signature !== signature) {
    const first = list.signature === undefined;
    list.signature = signature;
    const focused = activeIn(root);
    const held = focused && root.contains(focused) ? focused.closest(".line")?.dataset.id : null;
    const ul = el("ul");
    ul.setAttribute("role", "list");
    ul.append(...data.lines.map(row));
    root.replaceChildren(ul);
    opened();
    const at = (id) => [...root.querySelectorAll(".line")].find((item) => item.dataset.id === id);
    if (held) (at(held)?.querySelector(".more") || at(held)?.querySelector(".head"))?.focus({ preventScroll: true });
    else if (first && list.opened) at(list.opened)?.scrollIntoView({ block: "nearest" });
  } else opened();
}
