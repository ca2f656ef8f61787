// The sliders: each is a row with its label, a native range input (or select, switch) and a box for the exact value.

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const applies = (control, values) => !control.when || control.when.among.includes(values[control.when.field]);

const wordOf = (control, value) => {
  const named = (control.stops || control.options || []).find((s) => same(s.value, value));
  if (named) return named.text;
  if (control.kind === "switch") return value ? "on" : "off";
  if (Array.isArray(value)) return value.join(", ") || "none";
  return value === null ? "off" : plain(value);
};

// Where the slider stands for a value, and back.
const positionOf = (control, value) => {
  if (control.kind === "log") return Math.log10(value);
  if (control.kind === "linear") return value;
  const at = control.stops.findIndex((s) => same(s.value, value));
  if (at >= 0) return at;
  const size = (v) => (Array.isArray(v) ? v.reduce((a, b) => a + b, 0) : (v ?? -1));
  let best = 0;
  control.stops.forEach((s, i) => { if (Math.abs(size(s.value) - size(value)) < Math.abs(size(control.stops[best].value) - size(value))) best = i; });
  return best;
};
const valueAt = (control, position) => {
  if (control.kind === "log") return Number((10 ** position).toPrecision(2));
  if (control.kind === "linear") return Number(position.toFixed(6));
  return control.stops[position].value;
};
// What was typed, or undefined where it is not accepted.
const readTyped = (control, text) => {
  const word = text.trim().toLowerCase().replace(",", ".");
  const off = control.stops?.find((s) => s.value === null);
  if (off && (word === "" || word === "off")) return null;
  const v = Number(word);
  if (word === "" || !Number.isFinite(v) || v > control.most || v < control.least) return undefined;
  if ((control.open && v === control.least) || (control.whole && !Number.isInteger(v))) return undefined;
  return v;
};

/* Build the rows once. `changed(name, value, final)` hears of each input; `final`: the hand has let go.
   Returns {show(values)}. */
const buildControls = (holder, controls, changed) => {
  const rows = controls.map((control) => {
    const row = el("div", `field ${control.kind}`), id = `lab-${control.name}`;
    row.title = control.help;
    const label = row.appendChild(el("label", "", control.label));
    label.htmlFor = id;
    let main, box = null;
    if (control.kind === "choice") {
      main = el("select");
      control.options.forEach((o) => { const option = main.appendChild(el("option", "", o.text)); option.value = o.value; });
      main.onchange = () => changed(control.name, main.value, true);
    } else if (control.kind === "switch") {
      main = el("input");
      main.type = "checkbox";
      main.onchange = () => changed(control.name, main.checked, true);
    } else if (control.kind === "number") {
      box = main = el("input", "box");
    } else {
      main = el("input");
      main.type = "range";
      const [low, high, step] = control.kind === "log" ? [Math.log10(control.low), Math.log10(control.high), control.step]
        : control.kind === "linear" ? [control.low, control.high, control.step] : [0, control.stops.length - 1, 1];
      Object.assign(main, { min: low, max: high, step });
      const tell = (final) => { const v = valueAt(control, Number(main.value)); paint(row, control, v); changed(control.name, v, final); };
      main.oninput = () => tell(false);
      main.onchange = () => tell(true);
      box = control.most === undefined ? el("output", "box") : el("input", "box");
    }
    main.id = id;
    if (box && box.tagName === "INPUT") {
      box.type = "text";
      box.inputMode = "decimal";
      box.autocomplete = "off";
      if (box !== main) box.setAttribute("aria-label", `${control.label}, typed`);
      box.oninput = () => box.setCustomValidity("");
      box.onchange = () => {
        const v = readTyped(control, box.value);
        if (v === undefined) {
          box.setCustomValidity(`Accepted: ${plain(control.least)} to ${plain(control.most)}${control.whole ? ", whole" : ""}${control.stops?.[0].value === null ? ", or off" : ""}`);
          box.reportValidity();
        } else changed(control.name, v, true);
      };
    }
    row.append(...new Set([box, main].filter(Boolean)));
    row.main = main;
    row.box = box;
    holder.append(row);
    return row;
  });
  const paint = (row, control, value) => {
    const word = wordOf(control, value);
    if (row.box && activeIn(holder) !== row.box) {
      if (row.box.tagName === "INPUT") { row.box.value = word; row.box.setCustomValidity(""); } else row.box.textContent = word;
    }
    if (row.main.type === "range") {
      row.main.value = positionOf(control, value);
      row.main.setAttribute("aria-valuetext", word);
    }
  };
  return {
    show(values) {
      controls.forEach((control, i) => {
        const row = rows[i], value = values[control.name], usable = applies(control, values);
        row.hidden = control.kind !== "switch" && !usable;
        row.classList.toggle("unused", !usable);
        if (control.kind === "choice") row.main.value = value;
        else if (control.kind === "switch") Object.assign(row.main, { checked: value && usable, disabled: !usable });
        else paint(row, control, value);
      });
    },
    row: (name) => rows[controls.findIndex((c) => c.name === name)],
  };
};
