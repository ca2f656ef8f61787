// Without a secure context (http from another machine) browsers have no clipboard for scripts but this old way.
const copyOld = (text) => {
  const area = document.createElement("textarea");
  area.value = text;
  area.style.cssText = "position: fixed; opacity: 0";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
};

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".copy");
  const button = root.querySelector("button");
  const said = root.querySelector(".said");
  if (!button.textContent) button.textContent = data.label;
  button.onclick = async () => {
    const address = new URL(data.link, document.baseURI).href;
    let done = false;
    try {
      await navigator.clipboard.writeText(address);
      done = true;
    } catch {
      done = copyOld(address);
    }
    button.textContent = done ? "Copied" : "Not allowed here";
    said.textContent = done ? "The link was copied." : "The browser does not allow it: copy the address of this page.";
    clearTimeout(root.timer);
    root.timer = setTimeout(() => {
      button.textContent = data.label;
      said.textContent = "";
    }, 2500);
  };
}
