// What the compute worker answers to a POST, event by event. Abort the signal and the work is cancelled.
async function* answers(body, signal, address = "/lab", headers = { "Content-Type": "application/json" }) {
  const reply = await fetch(address, { method: "POST", signal, body: body instanceof Blob ? body : JSON.stringify(body), headers });
  if (!reply.ok || !reply.body) throw new Error(reply.status === 403 ? "This page is too old: reload it." : `The server said ${reply.status}.`);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
  }
}
