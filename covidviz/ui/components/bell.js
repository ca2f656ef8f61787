
const KEPT = "covidviz.notify", SAID = "covidviz.notified";

// What was already there when the page was opened, or was said by another tab of this browser, is not said again.
const said = () => new Set(JSON.parse(localStorage.getItem(SAID) || "[]"));
const remember = (ids) => localStorage.setItem(SAID, JSON.stringify([...ids].slice(-200)));

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".bell");
  if (!("Notification" in window)) return;
  const wanted = () => localStorage.getItem(KEPT) === "1" && Notification.permission === "granted";
  if (!root.firstChild) {
    const button = document.createElement("button");
    button.type = "button";
    root.append(button);
    button.onclick = async () => {
      if (wanted()) localStorage.setItem(KEPT, "0");
      else if ((await Notification.requestPermission()) === "granted") localStorage.setItem(KEPT, "1");
      paint();
    };
  }
  const button = root.querySelector("button");
  const paint = () => {
    const denied = Notification.permission === "denied";
    button.disabled = denied;
    button.setAttribute("aria-pressed", String(wanted()));
    button.textContent = denied ? "Notifications are blocked in this browser"
      : wanted() ? "You are notified when a run ends" : "Notify me when a run ends";
  };
  paint();
  const ids = said(), fresh = data.news.filter((item) => !ids.has(item.id));
  if (!fresh.length) return;
  remember(new Set([...ids, ...fresh.map((item) => item.id)]));
  if (wanted()) for (const item of fresh) new Notification("covidviz", { body: item.text, tag: item.id });
}
