// What each list shows and whether something is being dragged in it: a refresh must not take it out of the hand.
const LISTS = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".queue");
  const list = LISTS.get(root) || { dragged: null, later: null };
  LISTS.set(root, list);
  root.setAttribute("aria-label", "Waiting runs, the next one first");
  const rows = () => [...root.children];
  const send = (said) => setStateValue("asked", { ...said, at: performance.now() });

  const number = () => rows().forEach((row, i, all) => {
    row.querySelector(".place").textContent = `${i + 1}`;
    const name = row.querySelector(".name").textContent;
    row.setAttribute("aria-label", `${i + 1} of ${all.length}: ${name}`);
    for (const [what, idle] of [["first", i === 0], ["up", i === 0], ["down", i === all.length - 1]]) {
      const button = row.querySelector(`[data-what=${what}]`);
      button.setAttribute("aria-disabled", String(idle)); // stays in reach, so that the focus does not jump
    }
  });
  const made = (item) => {
    const row = el("li", "row");
    row.dataset.id = item.id;
    row.draggable = true;
    const name = el("span", "name", item.name);
    name.dir = "auto";
    name.title = item.name;
    const grip = el("span", "grip", "⠿");
    grip.setAttribute("aria-hidden", "true");
    row.append(grip, el("span", "place"), name, el("span", "note", ""));
    for (const [what, sign, words] of [["first", "⇈", "Move to the front"], ["up", "↑", "Move up"], ["down", "↓", "Move down"], ["cancel", "✕", "Take out of the queue"]]) {
      const button = el("button", what, sign);
      button.type = "button";
      button.dataset.what = what;
      button.title = words;
      button.setAttribute("aria-label", `${words}: ${item.name}`);
      row.append(button);
    }
    return row;
  };
  const show = () => {
    const focused = activeIn(root);
    const known = new Map(rows().map((row) => [row.dataset.id, row]));
    const wanted = data.items.map((item) => {
      const old = known.get(item.id);
      const row = old && old.querySelector(".name").textContent === item.name ? old : made(item);
      row.querySelector(".note").textContent = item.note;
      return row;
    });
    if (wanted.length !== root.children.length || wanted.some((row, i) => root.children[i] !== row)) {
      root.replaceChildren(...wanted);
      if (focused?.isConnected && root.contains(focused)) focused.focus({ preventScroll: true });
    }
    number();
  };
  if (list.dragged) list.later = show;
  else show();

  const place = (row, before) => {
    root.insertBefore(row, before);
    number();
  };
  const tell = (row) => send({ what: "move", id: row.dataset.id, before: row.nextElementSibling?.dataset.id ?? null });

  root.onclick = (event) => {
    const button = event.target.closest("button");
    if (!button || button.getAttribute("aria-disabled") === "true") return;
    const row = button.closest(".row");
    const what = button.dataset.what;
    if (what === "cancel") {
      send({ what: "cancel", id: row.dataset.id });
      return;
    }
    const before = { first: rows()[0], up: row.previousElementSibling, down: row.nextElementSibling?.nextElementSibling ?? null }[what];
    place(row, before);
    button.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    tell(row);
  };
  root.ondragstart = (event) => {
    list.dragged = event.target.closest(".row");
    list.back = list.dragged.nextElementSibling;
    list.dropped = false;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", list.dragged.dataset.id);
    requestAnimationFrame(() => list.dragged?.classList.add("dragged"));
  };
  root.ondragover = (event) => {
    if (!list.dragged) return;
    event.preventDefault();
    const over = event.target.closest(".row");
    if (!over || over === list.dragged) return;
    const box = over.getBoundingClientRect();
    place(list.dragged, event.clientY < box.top + box.height / 2 ? over : over.nextElementSibling);
  };
  root.ondrop = (event) => {
    event.preventDefault();
    list.dropped = true;
  };
  root.ondragend = () => { // also after Esc, or a drop elsewhere: then it goes back
    const row = list.dragged;
    if (!row) return;
    row.classList.remove("dragged");
    list.dragged = null;
    if (!list.dropped) place(row, list.back?.isConnected ? list.back : null);
    else if (row.nextElementSibling !== list.back) tell(row);
    list.later?.();
    list.later = null;
  };
}
