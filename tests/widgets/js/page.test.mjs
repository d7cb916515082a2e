/** What the portlets of a page share, when answers come late, in another order, or not at all. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { createFeed } from "../../../widgets/js/src/lib/feed.js";
import { createModel } from "../../../widgets/js/src/transfers/model.js";
import { follow } from "../../../widgets/js/src/upload/following.js";

/** A promise, and what settles it. */
function later() {
  const one = {};
  one.promise = new Promise((resolve, reject) => Object.assign(one, { resolve, reject }));
  return one;
}

test("a page has one socket, however long it takes to know where to", async () => {
  const opened = [];
  const addresses = [later(), later()];
  const Socket = class {
    static OPEN = 1;
    constructor() {
      opened.push(this);
    }
    close() {}
  };
  const own = globalThis.WebSocket;
  globalThis.WebSocket = Socket;
  try {
    const asked = [...addresses];
    const feed = createFeed(() => asked.shift().promise);
    feed.subscribe("transfers", {})();
    feed.rest();
    const end = feed.subscribe("transfers", {});
    for (const one of addresses) one.resolve({ url: "ws://127.0.0.1/", protocols: [] });
    await wait(0);
    assert.equal(opened.length, 1);
    end();
    feed.rest();
  } finally {
    globalThis.WebSocket = own;
  }
});

test("a list that was read before something happened does not hide it", async () => {
  const list = later();
  const done = { id: "a", state: "DONE", created: "2026-05-04T10:00:00Z" };
  const api = async (path) => {
    if (path === "uploads") return { items: [] };
    return path === "transfers" ? list.promise : done;
  };
  const ended = new AbortController();
  const model = createModel(api, { onChange() {}, signal: ended.signal });
  const loading = model.load();
  model.event({ data: { transfer: "a" } });
  await wait(500);
  list.resolve({ items: [{ ...done, state: "ACTIVE" }], next: null });
  await loading;
  await wait(500);
  assert.equal(model.get("a").state, "DONE");
  ended.abort();
});

test("progress that comes late does not bring back what has ended", () => {
  const ended = new AbortController();
  let listener, told;
  const page = { api: async () => ({}), feed: { subscribe: (topic, given) => (listener = given) } };
  follow(page, { id: "t", state: "ACTIVE" }, (transfer) => (told = transfer.state), ended.signal);
  listener.onProgress({ state: "DONE" });
  listener.onProgress({ state: "ACTIVE", bytes_done: 5 });
  assert.equal(told, "DONE");
  ended.abort();
});

test("an end that could not be asked about is asked about again", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const ended = new AbortController();
  let down = true;
  let listener;
  const page = {
    api: async () => {
      if (down) throw { retriable: true };
      return { id: "t", state: "DONE" };
    },
    feed: { subscribe: (topic, given) => (listener = given) },
  };
  let told;
  follow(page, { id: "t", state: "ACTIVE" }, (transfer) => (told = transfer.state), ended.signal);
  listener.onEvent({});
  for (let i = 0; i < 3; i++) {
    mock.timers.tick(10_000);
    await Promise.resolve().then(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    down = false;
  }
  assert.equal(told, "DONE");
  ended.abort();
  mock.timers.reset();
});
