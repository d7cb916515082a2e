import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { createModel, FILTERS } from "../../../widgets/js/src/transfers/model.js";
import { nameOf } from "../../../widgets/js/src/transfers/names.js";
import * as words from "../../../widgets/js/src/transfers/words.js";

const files = { total: 3, done: 1, failed: 0 };
const now = new Date(2026, 4, 4, 12).getTime();
const transfer = (id, more = {}) => ({
  id,
  label: null,
  state: "ACTIVE",
  created: "2026-05-04T10:00:00Z",
  finished: null,
  listing: false,
  files,
  bytes_total: 1000,
  bytes_done: 400,
  rate: 100,
  eta_seconds: 6,
  cause: null,
  ...more,
});

/** An API that answers these and remembers what it was asked. */
function answering(transfers, uploads = []) {
  const asked = [];
  const api = async (path, { query } = {}) => {
    asked.push(path);
    if (path === "transfers") return { items: transfers, next: null };
    if (path === "uploads") return { items: uploads.filter(({ state }) => state === query.state), next: null };
    const found = transfers.find(({ id }) => path === `transfers/${id}`);
    if (!found) throw Object.assign(new Error("gone"), { status: 404 });
    return found;
  };
  return { api, asked };
}

function modelOf({ api }) {
  const changes = [];
  const ended = new AbortController();
  const model = createModel(api, { onChange: (items) => changes.push(items), signal: ended.signal });
  return { model, changes, ended };
}

test("uploads show their first leg, summed over the files of a transfer", async () => {
  const uploads = [
    { state: "RECEIVING", transfer: "a", arrived: { bytes: 300, rate: 10 } },
    { state: "RECEIVED", transfer: "a", arrived: { bytes: 200, rate: null } },
  ];
  const { model } = modelOf(answering([transfer("a"), transfer("b")], uploads));
  await model.load();
  assert.deepEqual(model.get("a").arrived, { bytes: 500, rate: 10 });
  assert.equal(model.get("b").arrived, null);
});

test("progress of many comes in one change and makes new objects of those alone", async () => {
  const { model, changes } = modelOf(answering([transfer("a"), transfer("b"), transfer("c")]));
  await model.load();
  const before = model.items();
  for (const bytes_done of [500, 600]) model.progress({ transfer: "a", owner: "ada", state: "ACTIVE", bytes_done });
  model.progress({ transfer: "b", owner: "ada", bytes_done: 700, arrived: { bytes: 800, rate: 1 } });
  await wait(400);
  assert.equal(changes.length, 2);
  assert.deepEqual(
    changes[1].map(({ id, bytes_done: done }) => [id, done]),
    [
      ["a", 600],
      ["b", 700],
    ],
  );
  assert.equal(model.items()[2], before[2]);
  assert.equal(model.get("b").arrived.bytes, 800);
});

test("progress that comes late does not bring back what has ended; what is tried again comes back", async () => {
  const transfers = [transfer("a", { state: "FAILED", finished: "2026-05-04T10:01:00Z" })];
  const { model, ended } = modelOf(answering(transfers));
  await model.load();
  model.progress({ transfer: "a", owner: "ada", state: "ACTIVE", bytes_done: 300 });
  assert.equal(model.get("a").state, "FAILED");
  transfers[0] = transfer("a");
  model.progress({ transfer: "a", owner: "ada", state: "ACTIVE", bytes_done: 400 });
  await wait(400);
  assert.equal(model.get("a").state, "ACTIVE");
  ended.abort();
});

test("a few that changed are asked for, many are read at once", async () => {
  const transfers = Array.from({ length: 30 }, (_, at) => transfer(`t${at}`));
  const server = answering(transfers);
  const { model } = modelOf(server);
  await model.load();
  server.asked.length = 0;
  for (let i = 0; i < 5; i++) model.event({ type: "scigate.file.start", data: { transfer: "t1" } });
  await wait(400);
  assert.deepEqual(server.asked, ["transfers/t1"]);
  for (const { id } of transfers) model.event({ type: "scigate.file.start", data: { transfer: id } });
  await wait(400);
  assert.deepEqual(server.asked.slice(1), ["transfers", "uploads", "uploads"]);
});

test("a new one goes to the top; one that is gone is passed over", async () => {
  const transfers = [transfer("old")];
  const { model } = modelOf(answering(transfers));
  await model.load();
  transfers.unshift(transfer("new", { created: "2026-05-04T11:00:00Z" }));
  model.event({ type: "scigate.transfer.submitted", data: { transfer: "new" } });
  model.event({ type: "scigate.transfer.submitted", data: { transfer: "foreign" } });
  await wait(400);
  assert.deepEqual(
    model.items().map(({ id }) => id),
    ["new", "old"],
  );
});

test("what could not be asked is asked again", async () => {
  const server = answering([transfer("a")]);
  let broken = true;
  const api = (path, options) =>
    broken ? Promise.reject(Object.assign(new Error("down"), { retriable: true })) : server.api(path, options);
  const { model, ended } = modelOf({ api });
  model.event({ type: "scigate.file.start", data: { transfer: "a" } });
  await wait(400);
  broken = false;
  for (let i = 0; i < 100 && !model.get("a"); i++) await wait(100);
  assert.equal(model.get("a").id, "a");
  ended.abort();
});

test("both legs of an upload are told apart", () => {
  const item = transfer("a", { arrived: { bytes: 600, rate: 5 }, rate: null });
  assert.deepEqual(words.progress(item), { stored: 40, here: 60, text: "60 % here, 40 % stored, of 1000 B" });
  assert.equal(words.stateText(item), "Arriving");
  assert.equal(words.speed(item).now, "5 B/s");
  assert.equal(words.progress({ ...item, arrived: { bytes: 1000, rate: null } }).here, null);
});

test("done is a hundred percent, and nothing else is", () => {
  assert.equal(words.progress(transfer("a", { bytes_done: 1000 })).stored, 99);
  assert.equal(words.progress(transfer("a", { state: "DONE", bytes_done: 1000 })).stored, 100);
  assert.equal(
    words.progress(transfer("a", { bytes_total: 0, bytes_done: 0, files: { total: 4, done: 1 } })).stored,
    25,
  );
});

test("bytes of files whose sizes are not known are no part of a whole", () => {
  const failed = transfer("a", { state: "FAILED", bytes_done: 1000, files: { total: 3, done: 1, failed: 2 } });
  assert.deepEqual(words.progress(failed), { stored: 33, here: null, text: "1000 B so far" });
  assert.equal(words.progress(transfer("a", { bytes_done: 1000 })).text, "1000 B so far");
  const single = transfer("a", { bytes_done: 1000, files: { total: 1, done: 0, failed: 0 } });
  assert.equal(words.progress(single).text, "1000 B of 1000 B");
});

test("why it waits is said, with what is to be done", () => {
  const cause = { code: "throttled", message: "The storage is busy.", retriable: true, next_step: "Nothing." };
  assert.equal(
    words.detail(transfer("a", { state: "WAITING", cause }), now),
    "The storage is busy. It is tried again by itself.",
  );
  assert.deepEqual(words.wishes({ state: "WAITING", cause }), ["retry", "pause", "cancel"]);
  const refused = { ...cause, message: "Forbidden.", retriable: false, next_step: "Ask for access." };
  assert.equal(words.detail(transfer("a", { state: "FAILED", cause: refused }), now), "Forbidden. Ask for access.");
  const later = { code: "scheduled", message: "x", retriable: true, next_step: "" };
  const scheduled = transfer("a", { state: "WAITING", cause: later, not_before: new Date(2026, 4, 4, 15, 30) });
  assert.equal(words.detail(scheduled, now), "Begins 15:30");
  assert.equal(words.stateText(scheduled), "Scheduled");
});

test("a slow sender is nothing to look after, one that has gone is", async () => {
  const cause = { code: "receiving", message: "SciGate waits for the sender.", retriable: true, next_step: "Send it." };
  const slow = transfer("a", { state: "WAITING", cause, arrived: { bytes: 500, rate: 9 } });
  const needsAttention = FILTERS.find(([id]) => id === "trouble")[2];
  assert.match(words.detail(slow, now), /^1 of 3 files/);
  assert.equal(words.tone("WAITING", cause, words.isComing(slow)), "busy");
  assert.deepEqual(words.wishes(slow), ["pause", "cancel"]);
  assert.ok(!needsAttention(slow));
  const uploads = [{ state: "RECEIVING", transfer: "a", arrived: slow.arrived }];
  const { model, ended } = modelOf(answering([transfer("a", { state: "WAITING", cause })], uploads));
  await model.load();
  assert.ok(!needsAttention(model.get("a")));
  model.event({ type: "scigate.upload.cut", data: { transfer: "a" } });
  await wait(400);
  const gone = model.get("a");
  ended.abort();
  assert.ok(needsAttention(gone));
  assert.equal(words.detail(gone, now), "SciGate waits for the sender. Send it.");
});

test("what has ended is told with its files, and little data without a rate", () => {
  const cause = { message: "Not there.", next_step: "" };
  const failed = transfer("a", { state: "FAILED", cause, files: { total: 3, done: 1, failed: 2 } });
  assert.equal(words.detail(failed, now), "2 of 3 files failed. Not there.");
  const ended = { created: "2026-05-04T10:00:00Z", finished: new Date(2026, 4, 4, 11, 30) };
  const one = { total: 1, done: 0, failed: 0 };
  assert.equal(words.detail(transfer("a", { state: "CANCELLED", files: one, ...ended }), now), "1 file · 11:30");
  const done = { state: "DONE", created: "2026-05-04T10:00:00Z", finished: "2026-05-04T10:00:01Z" };
  assert.equal(words.speed(transfer("a", { state: "WAITING", rate: 9 })).now, "");
  assert.equal(words.timeLeft(transfer("a", { eta_seconds: 0 })), "");
  assert.equal(words.speed(transfer("a", { ...done, bytes_total: 6 })).now, "");
  assert.equal(words.speed(transfer("a", { ...done, bytes_total: 5 << 20 })).now, "5 MiB/s");
});

test("the filters", () => {
  const fits = (name, item) => FILTERS.find(([id]) => id === name)[2](item);
  assert.ok(fits("moving", transfer("a")));
  assert.ok(fits("trouble", transfer("a", { state: "FAILED" })));
  assert.ok(!fits("trouble", transfer("a", { state: "WAITING", cause: { code: "scheduled" } })));
  assert.ok(fits("done", transfer("a", { state: "CANCELLED" })));
});

test("names of transfers without a label", () => {
  assert.equal(nameOf({ source: "https://example.org/data/a.h5?key=1", destination: "lab:/x" }, 1), "a.h5 → lab");
  assert.equal(nameOf({ source: "staging:/4711", destination: "lab:/run7/a.bam" }, 3), "a.bam and 2 others → lab");
});

test("events are sentences, unknown ones too", () => {
  assert.equal(
    words.eventText({ type: "scigate.file.failure", data: { destination: "lab:/a", cause: { message: "Full." } } }),
    "Stopped lab:/a: Full.",
  );
  for (const [type, text] of Object.entries(words.EVENTS)) assert.match(text, /^[A-Z]/, type);
  assert.equal(words.eventText({ type: "scigate.file.new-thing", data: {} }), "file new thing");
});
