export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".wake");
  root.dataset.session = data.session; // another one once the page ran for a new session
  const app = document.querySelector('[data-testid="stApp"]');
  if (!app) return undefined;
  let away = false;
  const watch = new MutationObserver(() => {
    const connected = app.dataset.testConnectionState === "CONNECTED";
    if (connected && away) setTriggerValue("back", true);
    away = !connected;
  });
  watch.observe(app, { attributes: true, attributeFilter: ["data-test-connection-state"] });
  return replaced(root, () => watch.disconnect());
}
