// The images of one list: pages of items and heat maps, fetched when they come near.

class ImageStore {
  constructor(data, changed) {
    this.changed = changed; // called with nothing when items or maps arrived
    this.items = [];
    this.pages = new Map(); // page -> promise, or true where it is there
    this.maps = new Map(); // id -> map, or null where it is asked for or there is none
    this.asked = new Set();
    this.take(data);
  }

  // What the server sends along is the page around the selected image.
  take(data) {
    if (this.data && this.data.heat_v !== data.heat_v) { // more was explained: flags and maps are read anew, kept until then
      this.pages.clear();
      this.maps.clear();
    }
    this.data = data;
    data.items.forEach((item, i) => { this.items[data.offset + i] = item; });
    this.pages.set(Math.floor(data.offset / data.page), true);
  }

  get total() { return this.data.total; }

  // The page that holds image `at`, as a promise.
  page(at) {
    const page = Math.floor(at / this.data.page);
    if (at < 0 || at >= this.total || !this.data.list || this.pages.get(page) === true) return Promise.resolve();
    if (!this.pages.has(page)) {
      const began = this.data.heat_v;
      const answer = fetch(`${this.data.list}&page=${page}`)
        .then((response) => { if (!response.ok) throw new Error(response.status); return response.json(); })
        .then(({ items }) => {
          items.forEach((item, i) => { this.items[page * this.data.page + i] = item; });
          if (began === this.data.heat_v) this.pages.set(page, true);
          this.changed();
        })
        .catch(() => this.pages.delete(page)); // asked again when it is next looked at
      this.pages.set(page, answer);
    }
    return this.pages.get(page);
  }

  ids() {
    if (!this.data.list) return Promise.resolve(this.items.map((item) => item.id));
    return fetch(`${this.data.list}&ids=1`).then((response) => response.json()).then(({ ids }) => ids);
  }

  // The maps of these items, now or as soon as they are there (then `changed` is called).
  wantMaps(items) {
    for (const item of items) {
      if (item?.heat && !this.maps.has(item.id)) {
        this.maps.set(item.id, null);
        this.asked.add(item.id);
      }
    }
    if (!this.asked.size || this.soon) return;
    this.soon = setTimeout(() => {
      this.soon = 0;
      const ids = [...this.asked];
      this.asked.clear();
      for (let k = 0; k < ids.length; k += 48) this.fetchMaps(ids.slice(k, k + 48));
    }, 0);
  }

  fetchMaps(ids) {
    const version = this.data.heat_v;
    fetch(`${this.data.heat}${ids.join(",")}.bin?v=${version}`)
      .then((response) => { if (!response.ok) throw new Error(response.status); return response.arrayBuffer(); })
      .then((buffer) => {
        if (version !== this.data.heat_v) return;
        const [n, c, h, w] = new Uint32Array(buffer, 0, 4);
        const scale = new Float32Array(buffer, 16, n * c);
        const values = new Uint8Array(buffer, 16 + 4 * n * c, n * c * h * w);
        ids.forEach((id, i) => {
          if (Number.isNaN(scale[i * c])) return;
          const size = c * h * w;
          this.maps.set(id, {
            key: `${version}.${id}`, h, w, scale: scale.subarray(i * c, (i + 1) * c), values: values.subarray(i * size, (i + 1) * size),
          });
        });
        this.changed();
      })
      .catch(() => { if (version === this.data.heat_v) ids.forEach((id) => this.maps.delete(id)); });
  }

  picture(item, kind) { return `${this.data.base}${item.id}.${kind}.webp?v=${item.v}`; }
}

// An X-ray with room for its heat map, both in the shape of the X-ray (the network saw it whole, squashed to a square).
// With a thumbnail first, where `kind` is the full picture. `later` collects what sets the addresses, if given.
const xray = (store, item, kind, alt, later) => {
  const frame = el("span", "frame");
  const box = frame.appendChild(el("span", "xray"));
  const gone = () => {
    frame.classList.add("gone");
    box.replaceChildren(el("span", "note", "image missing"));
  };
  if (!item.v) {
    gone();
    return frame;
  }
  const add = (size, text) => {
    const image = new Image();
    image.alt = text;
    image.draggable = false;
    image.decoding = size === "t" ? "async" : "sync"; // the viewer steps without a black flash
    image.onload = () => {
      box.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight || 1);
      box.classList.add("loaded"); // before that a heat map would lie on nothing
    };
    image.onerror = size === kind ? gone : null;
    const start = () => { image.src = store.picture(item, size); };
    if (later) later.push(start); else start();
    box.append(image);
  };
  if (kind === "f") add("t", "");
  add(kind, alt);
  return frame;
};
