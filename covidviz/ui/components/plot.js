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

// "@3" anywhere in a figure is the theme's class colour 3; "@text", "@border", "@primary" the theme's own.
const coloured = (node, theme) => {
  if (typeof node === "string" && node[0] === "@") {
    const name = node.slice(1);
    return /^\d+$/.test(name) ? classColour(theme, Number(name)) : theme[name] ?? node;
  }
  if (Array.isArray(node)) return node.map((one) => coloured(one, theme));
  if (node && typeof node === "object") {
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, coloured(value, theme)]));
  }
  return node;
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
  plotly(data.library).then((Plotly) => {
    if (DRAWN.get(box) !== signature || !box.isConnected) return;
    const figure = coloured(data.figure, theme);
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
    for (const name of Object.keys(layout)) if (/^[xy]axis/.test(name)) layout[name] = { ...axis, ...layout[name] };
    // Without showSendToCloud: false Plotly offers to upload the figure.
    Plotly.react(box, figure.data, layout, {
      displaylogo: false, showSendToCloud: false, responsive: true,
      modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    });
  }, () => box.replaceChildren(el("p", "note", "The chart library could not be loaded. Reload the page.")));
}
