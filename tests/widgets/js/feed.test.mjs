/** The feed against a real gateway, through a wire that can be cut. */
import assert from "node:assert/strict";
import net from "node:net";
import { after, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { createFeed } from "../../../widgets/js/src/lib/feed.js";

const GATEWAY = new URL(process.env.SCIGATE_URL);
const AUTH = { Authorization: `Bearer ${process.env.SCIGATE_TOKEN}` };

/** A port that leads to the gateway until it is cut; `sockets` are the connections through it. */
async function wire() {
  const sockets = new Set();
  let whole = true;
  const server = net.createServer((near) => {
    if (!whole) return near.destroy();
    const far = net.connect(GATEWAY.port, GATEWAY.hostname);
    for (const end of [near, far]) {
      sockets.add(end);
      end.on("error", () => {}).on("close", () => (sockets.delete(end), near.destroy(), far.destroy()));
    }
    return near.pipe(far).pipe(near);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => (cut(), server.close()));
  function cut() {
    whole = false;
    for (const socket of sockets) socket.destroy();
  }
  /** Like a laptop that slept: what is connected stays so, and nothing comes any more. */
  function freeze() {
    for (const socket of sockets) socket.unpipe().pause();
  }
  return { port: server.address().port, cut, freeze, mend: () => (whole = true), count: () => sockets.size / 2 };
}

async function ask(method, path, body) {
  const answer = await fetch(new URL(path, GATEWAY), { method, headers: AUTH, body });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.json();
}

const send = async (name) => (await ask("PUT", `/api/v1/files/archive/feed/${name}`, "some bytes")).transfer.id;

async function feedThrough({ port }, patience = {}) {
  const where = async () => {
    const { ticket } = await ask("POST", "/api/v1/tickets/page");
    return { url: `ws://127.0.0.1:${port}/api/v1/events/ws`, protocols: ["scigate.v1", `ticket.${ticket}`] };
  };
  const feed = createFeed(where, { random: () => 0, ...patience });
  const ended = new AbortController();
  after(() => (ended.abort(), feed.rest()));
  const subscribe = (topic, listener) => feed.subscribe(topic, { signal: ended.signal, ...listener });
  return { ...feed, subscribe, state: () => feed.state };
}

async function until(what, condition) {
  for (let i = 0; i < 1200; i++) {
    if (condition()) return;
    await wait(100);
  }
  assert.fail(`never: ${what}`);
}

const done = (events, id) => events.some(({ type, data }) => type === "scigate.transfer.done" && data.transfer === id);

test("events come, none is missed or doubled when the wire is cut, and one socket serves all", async () => {
  const line = await wire();
  const feed = await feedThrough(line);
  const ended = new AbortController();
  const [first, second] = [[], []];
  const states = [];
  let ready = 0;
  feed.subscribe("transfers", {
    onEvent: (event) => first.push(event),
    onReady: () => ready++,
    onState: (state) => states.push(state),
    onProgress() {},
    signal: ended.signal,
  });
  feed.subscribe("transfers", { onEvent: (event) => second.push(event), signal: ended.signal });
  await until("ready", () => ready === 1);

  const before = await send("before");
  await until("the first is done", () => done(first, before));
  line.cut();
  await until("offline", () => feed.state() === "offline");
  const meanwhile = await send("meanwhile");
  line.mend();
  feed.hurry();
  await until("the second is done", () => done(first, meanwhile) && done(second, meanwhile));

  const ids = first.map(({ id }) => Number(id));
  assert.deepEqual(
    ids,
    [...new Set(ids)].sort((a, b) => a - b),
  );
  assert.deepEqual(
    second.map(({ id }) => Number(id)),
    ids,
  );
  assert.equal(ready, 1, "it went on where it was, so the list need not be read again");
  assert.deepEqual(states.slice(0, 4), ["idle", "connecting", "live", "offline"]);
  assert.equal(line.count(), 1, "one WebSocket");

  ended.abort();
  const heard = first.length;
  await send("unheard");
  await wait(300);
  assert.equal(first.length, heard);
});

for (const [how, patience, wake] of [
  ["is noticed by its silence", { silence: 2000 }, () => {}],
  ["is not waited for when the page is looked at again", { late: 0 }, (feed) => feed.hurry()],
])
  test(`a connection that is dead without a word ${how}`, async () => {
    const line = await wire();
    const feed = await feedThrough(line, patience);
    const events = [];
    let ready = false;
    feed.subscribe("transfers", { onEvent: (event) => events.push(event), onReady: () => (ready = true) });
    await until("ready", () => ready);
    const before = await send(`${how}-before`);
    await until("the first is done", () => done(events, before));
    line.freeze();
    const meanwhile = await send(`${how}-meanwhile`);
    wake(feed);
    await until("the second is done", () => done(events, meanwhile));
    const ids = events.map(({ id }) => Number(id));
    assert.deepEqual(ids, [...new Set(ids)].sort((a, b) => a - b), "each once, in order");
  });

test("another topic on the same socket; a foreign one is refused in words", async () => {
  const line = await wire();
  const feed = await feedThrough(line);
  const problems = [];
  const events = [];
  let ready = false;
  feed.subscribe(`transfer:${"0".repeat(32)}`, { onError: (problem) => problems.push(problem) });
  feed.subscribe("transfers", { onReady: () => (ready = true) });
  await until("refused", () => problems.length && ready);
  assert.equal(problems[0].status, 404);
  const id = await send("topic");
  feed.subscribe(`transfer:${id}`, {
    onEvent: (event) => events.push(event),
    onReady: () => events.push({ id: "ready", data: {} }),
  });
  await until("ready", () => events.length);
  await ask("GET", `/api/v1/transfers/${id}`);
  assert.equal(line.count(), 1);
});

test("a listener's mistake does not keep the others from hearing", async () => {
  const feed = await feedThrough(await wire());
  const heard = [];
  let ready = false;
  feed.subscribe("transfers", {
    onEvent: () => {
      throw new Error("a mistake, which is shown on the console");
    },
    onReady: () => (ready = true),
  });
  feed.subscribe("transfers", { onEvent: (event) => heard.push(event) });
  await until("ready", () => ready);
  const id = await send("mistake");
  await until("heard", () => done(heard, id));
});
