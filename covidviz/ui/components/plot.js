let library;
const plotly = (src) => (library ??= new Promise((done, failed) => {
  if (window.Plotly) return done(window.Plotly);
  const script = document.createElement("script");
  script.src = src;
  script.onload = () => done(window.Plotly);
  script.onerror = failed;
  document.head.append(script);
}));
const DRAWN = new WeakMap();
const HANDS = new WeakMap();

// "@3" anywhere in a figure is the theme's class colour 3; "@text", "@border", "@primary" the theme's own;
// "@text/40" is 40 % of it on the background.
const coloured = (node, theme) => {
  if (typeof node === "string" && node[0] === "@") {
    const [name, share] = node.slice(1).split("/");
    const full = /^\d+$/.test(name) ? classColour(theme, Number(name)) : theme[name];
    if (!full) return node;
    return share ? rgb(mix(parseColour(theme.back), parseColour(full), Number(share) / 100)) : full;
  }
  if (Array.isArray(node)) return node.length && typeof node[0] === "number" && typeof node[1] !== "string" ? node : node.map((one) => coloured(one, theme));
  if (node && typeof node === "object") {
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, coloured(value, theme)]));
  }
  return node;
};

// Where the pointer is, and whether it drags: a figure that grows must not end a zoom that is being drawn.
const handOf = (box) => {
  let hand = HANDS.get(box);
  if (hand) return hand;
  hand = { drags: false, at: null, later: null, keep: null };
  HANDS.set(box, hand);
  box.addEventListener("pointerdown", (event) => { hand.drags = event.button === 0; }, true);
  const free = () => {
    if (!hand.drags) return;
    hand.drags = false;
    const later = hand.later;
    hand.later = null;
    if (later) setTimeout(later, 50); // after Plotly has taken the zoom
  };
  window.addEventListener("pointerup", free, true);
  window.addEventListener("pointercancel", free, true);
  box.addEventListener("mousemove", (event) => { if (event.isTrusted) hand.at = { clientX: event.clientX, clientY: event.clientY }; }, true);
  box.addEventListener("mouseleave", () => { hand.at = null; });
  return hand;
};

export default function ({ data, parentElement }) {
  const box = parentElement.querySelector(".plot");
  const theme = themeOf(box);
  box.style.minHeight = `${data.height}px`; // nothing jumps while the script loads
  box.setAttribute("role", "figure");
  box.setAttribute("aria-label", data.label);
  const signature = JSON.stringify([data, theme]);
  if (DRAWN.get(box) === signature) return;
  DRAWN.set(box, signature);
  const hand = handOf(box);
  plotly(data.library).then((Plotly) => {
    const draw = () => {
      if (DRAWN.get(box) !== signature || !box.isConnected) return;
      if (hand.drags) {
        hand.later = draw;
        return;
      }
      const figure = coloured(data.figure, theme);
      // A curve that was hidden takes along what is drawn with it since, such as the raw line behind a smoothed one.
      const shown = hand.keep === data.keep ? box._fullData || [] : [];
      hand.keep = data.keep;
      const hidden = new Set(shown.filter((trace) => trace.visible === "legendonly").map((trace) => trace.legendgroup));
      for (const trace of figure.data) if (trace.legendgroup && hidden.has(trace.legendgroup)) trace.visible = "legendonly";
      const axis = { gridcolor: theme.border, linecolor: theme.border, zerolinecolor: theme.border };
      const layout = {
        ...figure.layout,
        height: data.height,
        autosize: true,
        uirevision: data.keep,
        paper_bgcolor: "transparent",
        plot_bgcolor: "transparent",
        font: { family: theme.font, size: 14, color: theme.text },
        hoverlabel: { bgcolor: theme.back, bordercolor: theme.border, font: { color: theme.text } },
      };
      for (const name of Object.keys(layout)) {
        if (!/^[xy]axis/.test(name)) continue;
        const own = layout[name];
        layout[name] = { ...axis, ...own, uirevision: own.uirevision ? `${data.keep} ${own.uirevision}` : data.keep };
      }
      // Without showSendToCloud: false Plotly offers to upload the figure.
      Plotly.react(box, figure.data, layout, {
        // On a phone the bar would lie over the legend all the time; two fingers zoom there.
        displayModeBar: window.innerWidth < 640 ? false : "hover",
        displaylogo: false, showSendToCloud: false, responsive: true,
        modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
      }).then(() => { // what the pointer was on is read again: a redraw takes the hover labels away
        const over = hand.at && !hand.drags && box.querySelector(".nsewdrag");
        if (over) over.dispatchEvent(new MouseEvent("mousemove", { bubbles: true, view: window, ...hand.at }));
      });
    };
    draw();
  }, () => box.replaceChildren(el("p", "note", "The chart library could not be loaded. Reload the page.")));
}
