// One image and what is said of it.

const HEAT_PIXELS = 160; // side of a heat map here
const MARKS = { usual: "✓", unusual: "!", unlike: "▲", alien: "▲", unknown: "?" };

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const likeliest = (prob) => prob.reduce((best, p, k) => ((p ?? -1) > (prob[best] ?? -1) ? k : best), 0);
const calledWords = (item, data) => {
  if (item.result.called.length) return item.result.called.map((k) => data.classes[k]).join(", ");
  if (item.result.prob.includes(null)) return "no decision";
  return data.multi ? "none of the labels" : "none reaches its threshold";
};

class PredictCard {
  constructor(item) {
    this.item = item;
    this.node = el("article", "card");
    this.node.setAttribute("role", "listitem");
    this.node.setAttribute("aria-label", item.name);
    this.look = this.node.appendChild(el("div", "look"));
    this.facts = this.node.appendChild(el("div", "facts"));
    this.near = this.node.appendChild(el("div", "near"));
  }

  // What has not changed since is left as it is.
  draw(data, theme, prefs) {
    const { item } = this;
    const shows = JSON.stringify([item.state, item.error, item.answer?.hint, item.waits, theme, data.classes, data.thresholds]);
    if (shows !== this.shows) {
      this.shows = shows;
      this.node.dataset.state = item.state;
      this.drawLook();
      this.drawFacts(data, theme);
      this.drawNear(data);
    }
    this.heat(data, prefs);
  }

  drawLook() {
    const { item } = this;
    const picture = item.result?.picture ?? (item.error ? "none" : "later");
    if (this.picture === picture) return;
    this.picture = picture;
    const frame = el("span", "frame");
    const box = frame.appendChild(el("span", "xray"));
    if (item.result) {
      const image = new Image();
      image.alt = `X-ray ${item.name}`;
      image.draggable = false;
      image.onload = () => {
        box.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight || 1);
        box.classList.add("loaded");
      };
      image.src = `data:image/webp;base64,${item.result.picture}`;
      box.append(image);
    } else {
      frame.classList.add("gone");
      box.append(el("span", "note", item.error ? "not looked at" : "waiting"));
    }
    this.look.replaceChildren(frame);
  }

  heat(data, prefs) {
    const { item } = this;
    const box = this.look.querySelector(".xray");
    if (!item.result || !box) return;
    const { heat, prob } = item.result;
    this.maps ||= { key: item.id, h: heat.h, w: heat.w, scale: heat.scale, values: bytesOf(heat.values) };
    const canvas = box.querySelector("canvas") || box.appendChild(heatCanvas(HEAT_PIXELS));
    paintHeat(canvas, this.maps, heatClass(prefs, { p: prob, y: [], k: likeliest(prob) }), prefs, data.palettes);
  }

  drawFacts(data, theme) {
    const { item } = this;
    const name = el("h3", "", item.name);
    name.title = item.name;
    name.dir = "auto";
    const parts = [name];
    if (item.error) parts.push(el("p", "error", item.error));
    else if (!item.result) parts.push(el("p", "soft", item.state === "busy" ? "is being looked at" : ""));
    if (item.result) {
      const said = el("p", "called");
      said.append(el("span", "soft", data.multi ? "Labels " : "Called "), el("strong", "", calledWords(item, data)));
      if (data.thresholds.some((one) => one !== null)) said.append(el("span", "soft", " at the saved thresholds"));
      said.dir = "auto";
      parts.push(said, this.bars(data, theme));
      for (const remark of item.result.remarks) parts.push(el("p", "remark", remark));
    }
    this.facts.replaceChildren(...parts);
  }

  bars(data, theme) {
    const { result } = this.item;
    const bars = el("div", "bars");
    bars.setAttribute("role", "list");
    const order = [...data.classes.keys()];
    if (order.length > 6) order.sort((a, b) => result.prob[b] - result.prob[a]);
    for (const k of order) {
      const p = result.prob[k];
      const called = result.called.includes(k);
      const limit = data.thresholds[k] ?? (data.multi ? 0.5 : null);
      const bar = el("div", called ? "bar called" : "bar");
      bar.setAttribute("role", "listitem");
      const name = el("span", "name", data.classes[k]);
      name.title = data.classes[k];
      name.dir = "auto";
      const track = el("span", "track");
      const fill = track.appendChild(el("span", "fill"));
      fill.style.width = `${100 * (p ?? 0)}%`;
      fill.style.background = classColour(theme, k);
      let words = `probability ${p === null ? "unknown" : p.toFixed(3)}${called ? ", called" : ""}`;
      if (limit !== null) {
        const tick = track.appendChild(el("span", data.thresholds[k] === null ? "limit" : "limit saved"));
        tick.style.left = `${100 * limit}%`;
        words += `, threshold ${limit}`;
      }
      bar.title = `${data.classes[k]}: ${words}`;
      bar.append(name, el("span", "value", `${called ? "✓ " : ""}${p === null ? "–" : p.toFixed(3)}`), track);
      bars.append(bar);
    }
    return bars;
  }

  drawNear(data) {
    const { item } = this;
    const parts = [];
    if (item.answer) {
      const { answer } = item;
      if (answer.twin) parts.push(this.line("twin", "≡", answer.twin));
      parts.push(this.line(answer.level, MARKS[answer.level], answer.hint));
      parts.push(el("p", "soft", "Nearest training images, as the network sees them"));
      const row = el("div", "nearest");
      for (const one of answer.nearest) {
        const link = el("a", "one");
        link.href = `images?run=${encodeURIComponent(data.run)}&split=train&order=all&img=${one.sample_id}`;
        link.target = "_blank";
        link.rel = "noopener";
        const labels = one.labels.join(", ") || "no label";
        link.title = `${labels}, train, distance ${one.distance.toFixed(4)}: opens in a new tab`;
        const frame = link.appendChild(el("span", "thumb"));
        if (one.v) {
          const image = new Image();
          image.alt = `Training image: ${labels}`;
          image.loading = "lazy";
          image.onerror = () => frame.replaceChildren(el("span", "note", "image missing"));
          image.src = `/img/${encodeURIComponent(data.run)}/${one.sample_id}.t.webp?v=${one.v}`;
          frame.append(image);
        } else frame.append(el("span", "note", "image missing"));
        const label = el("span", "label", labels);
        label.dir = "auto";
        link.append(label, el("span", "soft", `train · ${one.distance.toFixed(3)}`));
        row.append(link);
      }
      parts.push(row);
    } else if (item.result) parts.push(el("p", "soft", item.waits || "The nearest training images come next."));
    this.near.replaceChildren(...parts);
  }

  line(level, mark, words) {
    const line = el("p", `hint ${level}`);
    const sign = el("span", "sign", mark);
    sign.setAttribute("aria-hidden", "true");
    line.append(sign, el("span", "", words));
    return line;
  }
}
