/** What Python hears of what is sent from its widget: ids, state and progress, at most once a second, no secret. */

const APART = 1000; // milliseconds: a busy kernel queues every message until it is idle

/** Tell `model` of `one` from now on, until something else is sent from the same widget. */
export function syncTo(model, one) {
  let due = null;
  let told = "";
  model.scigateSends = one;

  function tell() {
    due = null;
    if (model.scigateSends !== one) return;
    const now = { transfer_ids: [...one.transfers.keys()], state: one.state, progress: progressOf(one) };
    if (JSON.stringify(now) === told) return;
    told = JSON.stringify(now);
    for (const [name, value] of Object.entries(now)) model.set(name, value);
    model.save_changes();
  }
  one.addEventListener("change", () => (due ??= setTimeout(tell, told ? APART : 0)));
}

/** Of the way to the gateway, 0 to 1. */
export function progressOf({ state, sent, total }) {
  if (state === "received") return 1;
  return total ? Math.floor((1000 * sent) / total) / 1000 : 0;
}
