// Where the table is wider than its place, the keyboard can scroll it.
const WATCHED = new WeakMap();
const scrollable = (root, label) => {
  const look = () => {
    const wide = root.scrollWidth > root.clientWidth;
    if (wide) root.tabIndex = 0; else root.removeAttribute("tabindex");
    if (wide) root.setAttribute("role", "region"); else root.removeAttribute("role");
    if (wide) root.setAttribute("aria-label", label); else root.removeAttribute("aria-label");
  };
  if (!WATCHED.has(root)) {
    WATCHED.set(root, new ResizeObserver(look));
    WATCHED.get(root).observe(root);
  }
  look();
};
