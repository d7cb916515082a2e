/** Events of the gateway over ONE WebSocket, for everybody on the page. Reconnects and goes on where it was. */

const SILENCE = 40_000; // ms; a heartbeat comes every 15 s (docs/reference/events.md)
const LATE = 20_000; // ms; a heartbeat that should have come while nobody looked
const LONGEST_WAIT = 30_000; // ms between two tries to connect
const LINGER = 5_000; // ms for which the socket stays without listeners
const PROGRESS = "scigate.transfer.progress";

/**
 * @param {() => Promise<{url: string, protocols: string[]}>} where
 * @param onRefused  called when the gateway closed before it opened: the ticket may have ended
 * @param silence  after so many ms without a word the connection is dead; `late`: so many when a page wakes up
 */
export function createFeed(where, options = {}) {
  const { onRefused = () => {}, random = Math.random, silence = SILENCE, late = LATE } = options;
  const topics = new Map(); // topic → {listeners, after, asked, ready}
  let socket = null;
  let state = "idle"; // idle, connecting, live, offline
  let tries = 0;
  let heard = 0; // when something came last, by the clock: the others stand still while a computer sleeps
  let retry, watchdog, lingering;

  function setState(value) {
    if (state === value) return;
    state = value;
    each((listener) => listener.onState?.(state));
  }

  const each = (call) => topics.forEach((topic) => topic.listeners.forEach((listener) => guarded(call, listener)));

  async function connect() {
    clearTimeout(retry);
    if (socket || state === "connecting" || !topics.size) return;
    setState("connecting");
    try {
      const { url, protocols } = await where();
      if (socket) return; // who came meanwhile was quicker
      if (topics.size) open(new WebSocket(url, protocols));
      else setState("idle");
    } catch {
      if (!socket) later();
    }
  }

  function open(opened) {
    socket = opened;
    let welcome = false;
    opened.onopen = () => {
      welcome = true;
      alive();
      setState("live");
      for (const [name, topic] of topics) ask(name, topic);
    };
    opened.onmessage = ({ data }) => {
      if (socket !== opened) return; // given up; its successor tells the same
      tries = 0;
      alive();
      take(JSON.parse(data));
    };
    opened.onclose = () => {
      if (socket !== opened) return;
      if (!welcome) onRefused();
      lost();
    };
    alive();
  }

  /** Every sign of life winds the clock up again; when it runs down, a proxy on the way is dead. */
  function alive() {
    heard = Date.now();
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, silence);
  }

  function lost() {
    close();
    for (const topic of topics.values()) topic.asked = false;
    if (topics.size) later();
    else setState("idle");
  }

  function close() {
    clearTimeout(watchdog);
    const old = socket;
    socket = null;
    old?.close();
  }

  /** Full jitter: after a restart of the gateway not everybody comes at once. */
  function later() {
    setState("offline");
    clearTimeout(retry);
    const most = Math.min(LONGEST_WAIT, 1000 * 2 ** tries++);
    retry = setTimeout(connect, 200 + random() * most);
  }

  function ask(name, topic) {
    topic.asked = true;
    topic.progress = [...topic.listeners].some((listener) => listener.onProgress);
    const from = topic.after === null ? {} : { after: topic.after };
    send({ op: "subscribe", id: name, topic: name, progress: topic.progress, ...from });
  }

  function send(message) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  function take(message) {
    const topic = topics.get(message.topic ?? message.id);
    if (!topic) return;
    if (message.op === "subscribed") begin(topic, message.after);
    else if (message.op === "event") deliver(topic, message.event);
    else if (message.op === "error") refuse(message.id, topic, message.problem);
  }

  function begin(topic, after) {
    const goesOn = topic.after !== null;
    topic.after ??= after;
    topic.ready = true;
    for (const listener of topic.listeners) if (!goesOn || !listener.ready) greet(listener);
  }

  function greet(listener) {
    listener.ready = true;
    guarded(() => listener.onReady?.());
  }

  function deliver(topic, event) {
    if (event.type === PROGRESS) {
      for (const listener of topic.listeners) guarded(() => listener.onProgress?.(event.data));
    } else if (Number(event.id) > Number(topic.after)) {
      topic.after = event.id;
      for (const listener of topic.listeners) guarded(() => listener.onEvent?.(event));
    }
  }

  /** An id that the gateway does not know, perhaps of another database: begin with what is now. */
  function refuse(name, topic, problem) {
    if (topic.after !== null && problem.status !== 404) {
      topic.after = null;
      topic.listeners.forEach((listener) => (listener.ready = false));
      ask(name, topic);
    } else topic.listeners.forEach((listener) => guarded(() => listener.onError?.(problem)));
  }

  /**
   * Follow a topic, "transfers" or "transfer:<id>".
   * @param listener  `onEvent(event)`; `onProgress(data)` about once a second for each transfer that moves;
   *   `onReady()` when everything from now on will be told, so that it is time to read the list (again);
   *   `onState(state)` "connecting" | "live" | "offline"; `onError(problem)`; `signal` ends it.
   * @returns what ends it
   */
  function subscribe(name, { signal, ...listener }) {
    if (signal?.aborted) return () => {};
    clearTimeout(lingering);
    const topic = topics.get(name) ?? { listeners: new Set(), after: null, asked: false, ready: false };
    topics.set(name, topic);
    topic.listeners.add(listener);
    guarded(() => listener.onState?.(state));
    const more = listener.onProgress && !topic.progress;
    if (socket && state === "live" && (!topic.asked || more)) ask(name, topic);
    else if (topic.ready) queueMicrotask(() => listener.ready || greet(listener));
    if (!socket) connect();
    const end = () => leave(name, topic, listener);
    signal?.addEventListener("abort", end, { once: true });
    return end;
  }

  function leave(name, topic, listener) {
    if (!topic.listeners.delete(listener) || topic.listeners.size) return;
    topics.delete(name);
    send({ op: "unsubscribe", id: name, topic: name });
    if (!topics.size) lingering = setTimeout(rest, LINGER);
  }

  function rest() {
    if (topics.size) return;
    clearTimeout(retry);
    close();
    setState("idle");
  }

  /** The network is back, or the page is looked at again: do not wait for the clocks. */
  function hurry() {
    if (state === "live" && Date.now() - heard > late) lost();
    if (state !== "offline") return;
    tries = 0;
    connect();
  }

  return {
    subscribe,
    hurry,
    rest,
    get state() {
      return state;
    },
  };
}

/** One listener's mistake must not keep the others from hearing. */
function guarded(call, ...values) {
  try {
    call(...values);
  } catch (error) {
    console.error("scigate:", error);
  }
}
