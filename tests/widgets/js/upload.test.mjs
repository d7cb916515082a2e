import assert from "node:assert/strict";
import { test } from "node:test";
import { addresses, described, folderFault, folderPath } from "../../../widgets/js/src/upload/box.js";
import { isSingle, manifests, singleRequest } from "../../../widgets/js/src/upload/manifest.js";
import { Memory, fingerprint } from "../../../widgets/js/src/upload/memory.js";
import { Rate, remaining } from "../../../widgets/js/src/upload/rate.js";
import { PAUSES, isOfFile, isTemporary, whyFailed } from "../../../widgets/js/src/upload/resend.js";
import { Slots } from "../../../widgets/js/src/upload/slots.js";
import { localValue, schedule, tonight } from "../../../widgets/js/src/upload/when.js";
import { firstLeg, outcome, secondLeg } from "../../../widgets/js/src/upload/words.js";

const item = (path, size = 10, lastModified = 1000) => ({ path, file: { size, lastModified, name: path } });

test("addresses are told from what is none, each once", () => {
  const { urls, wrong } = addresses(
    "https://a.org/x.h5\nhttp://b.org/y  https://a.org/x.h5 c.org/z ftp://d javascript:alert(1)",
  );
  assert.deepEqual(urls, ["https://a.org/x.h5", "http://b.org/y"]);
  assert.deepEqual(wrong, ["c.org/z", "ftp://d", "javascript:alert(1)"]);
});

test("a folder's path has single slashes, and does not climb", () => {
  assert.equal(folderPath(" /run 7//plots/ "), "run 7/plots/");
  assert.equal(folderPath(""), "");
  assert.match(folderFault("a/../b"), /cannot hold/);
  assert.equal(folderFault("a..b/c"), null);
});

test("what was chosen is named as people would", () => {
  assert.equal(described([item("a.h5")]), "a.h5");
  assert.equal(described([item("run/a"), item("run/b/c")]), "run/ (2 files)");
  assert.equal(described([item("a"), item("b")]), "2 files");
  assert.equal(described([item("a/b"), item("c")]), "2 files");
});

test("one file is one upload, refused at once if it exists; its empty form ends with the request", () => {
  assert.ok(isSingle([item("a.h5")]));
  assert.ok(!isSingle([item("run/a.h5")]));
  const { path, headers } = singleRequest(item("a b&c.h5", 7), "lab:/in/", { overwrite: "newer" });
  const query = new URLSearchParams(path.split("?")[1]);
  assert.equal(query.get("destination"), "lab:/in/a b&c.h5");
  assert.equal(query.get("modified"), "1970-01-01T00:00:01.000Z");
  assert.deepEqual(headers, { "Upload-Complete": "?0", "Upload-Length": "7" });
  assert.equal(singleRequest(item("e", 0), "lab:/", {}).headers["Upload-Complete"], "?1");
});

test("manifests hold at most ten thousand files and half of what the gateway takes, and lose none", () => {
  const many = Array.from({ length: 20_001 }, (_, index) => item(`run/${index}`));
  assert.deepEqual(
    manifests(many, "lab:/", {}).map(({ items }) => items.length),
    [10_000, 10_000, 1],
  );
  const long = Array.from({ length: 5_000 }, (_, index) => item(`${"é".repeat(2000)}/${index}`));
  const made = manifests(long, "lab:/", { label: "x" });
  assert.equal(made.flatMap(({ items }) => items).length, 5_000);
  for (const { body } of made) assert.ok(Buffer.byteLength(JSON.stringify(body)) < 9 << 20);
  assert.equal(made[0].body.label, "x");
});

test("the memory finds what was begun with the same files, and no other", () => {
  const kept = new Map();
  const storage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value) };
  const memory = new Memory(storage, "ada");
  const files = [item("run/a"), item("run/b")];
  memory.keep({ fingerprint: fingerprint(files), key: "k", began: Date.now() });
  assert.equal(memory.find(fingerprint(files.toReversed())).key, "k");
  assert.equal(memory.find(fingerprint([item("run/a"), item("run/b", 11)])), undefined);
  assert.equal(memory.find(fingerprint([item("run/a"), item("run/b", 10, 1001)])), undefined);
  assert.equal(new Memory(storage, "bo").find(fingerprint(files)), undefined);
  assert.equal(memory.all(Date.now() + 8 * 24 * 3600 * 1000).length, 0);
  const now = Date.now();
  memory.touch(fingerprint(files), now);
  assert.equal(memory.left(now).length, 0, "another page has it");
  assert.equal(memory.left(now + 20_000).length, 1, "that page is gone");
  memory.touch(fingerprint(files), 0);
  assert.equal(memory.left().length, 1);
  memory.forget(fingerprint(files));
  assert.deepEqual(memory.all(), []);
});

test("a memory that cannot be kept or read costs nothing but itself", () => {
  const broken = {
    getItem: () => "{",
    setItem: () => {
      throw new Error("full");
    },
  };
  const memory = new Memory(broken, "ada");
  memory.keep({ fingerprint: "1", began: Date.now() });
  assert.deepEqual(memory.all(), []);
  assert.deepEqual(new Memory(null, "ada").all(), []);
});

test("a rate is said after a second, of the last ten, and anew after bytes went twice", () => {
  const rate = new Rate();
  rate.tell(0, 0);
  rate.tell(500, 500);
  assert.equal(rate.now(500), null);
  for (let second = 1; second <= 30; second++) rate.tell(second < 20 ? second * 1000 : 20_000, second * 1000);
  assert.equal(rate.now(30_000), 0);
  rate.tell(100, 31_000);
  assert.equal(rate.now(31_500), null);
  assert.equal(remaining(50, 100, 10), 5);
  assert.equal(remaining(50, 100, 0), null);
});

test("only what can work later is tried again, for about twenty minutes", () => {
  for (const status of [0, 401, 423, 429, 500, 502, 503]) assert.ok(isTemporary(status), String(status));
  for (const status of [400, 403, 404, 409, 410, 413, 422]) assert.ok(!isTemporary(status), String(status));
  assert.ok(isTemporary(409, "offset-mismatch"));
  assert.ok(isOfFile(409) && isOfFile("unreadable") && !isOfFile(0) && !isOfFile(503));
  const minutes = PAUSES.reduce((sum, pause) => sum + pause, 0) / 60_000;
  assert.ok(minutes > 19 && minutes < 25, String(minutes));
  for (const status of [0, 404, 410, 418, "unreadable"])
    assert.ok(whyFailed(status).title && whyFailed(status).nextStep);
});

test("never more at once than there are slots, and none is lost", async () => {
  const slots = new Slots(3);
  let [now, most, done] = [0, 0, 0];
  const work = async () => {
    const release = await slots.take();
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 1));
    now -= 1;
    done += 1;
    release();
    release(); // twice gives one place back
  };
  await Promise.all(Array.from({ length: 20 }, work));
  assert.deepEqual([now, most, done], [0, 3, 20]);
});

test("times are wishes of the API, and what cannot be is said", () => {
  const now = new Date("2026-05-04T10:00:00Z");
  assert.deepEqual(schedule({ when: "now", start: "", deadline: "" }, now), {});
  const start = localValue(new Date("2026-05-04T12:00:00Z"));
  assert.deepEqual(schedule({ when: "later", start, deadline: "" }, now), { not_before: "2026-05-04T12:00:00.000Z" });
  assert.throws(() => schedule({ when: "later", start: "", deadline: "" }, now), /at which to begin/);
  assert.throws(() => schedule({ when: "now", start: "", deadline: "2020-01-01T00:00" }, now), /passed already/);
  const early = localValue(new Date("2026-05-04T11:00:00Z"));
  assert.throws(() => schedule({ when: "later", start, deadline: early }, now), /before the time/);
  assert.ok(tonight(now) > now && tonight(now) - now <= 24 * 3600 * 1000);
});

const transfer = (more) => ({
  state: "ACTIVE",
  bytes_done: 25,
  bytes_total: 100,
  rate: 5,
  eta_seconds: 15,
  files: { total: 1, done: 0, failed: 0 },
  ...more,
});
const sending = (more) => ({
  state: "sending",
  total: 100,
  sent: 50,
  rate: 10,
  trouble: null,
  refused: [],
  transfers: new Map(),
  ...more,
});

test("both ways are told in words, and nothing is claimed that is not known", () => {
  assert.deepEqual(firstLeg(sending()), { percent: 50, text: "50 B of 100 B · 10 B/s · 5 s left" });
  assert.deepEqual(firstLeg(sending({ rate: null })), { percent: 50, text: "50 B of 100 B" });
  assert.equal(firstLeg(sending({ total: null })), null);
  assert.equal(firstLeg(sending({ state: "failed", sent: 0 })), null);
  assert.equal(secondLeg(sending()), null);
  const both = sending({ transfers: new Map([["1", transfer()]]) });
  assert.deepEqual(secondLeg(both), { percent: 25, text: "25 B of 100 B · 5 B/s · 15 s left" });
  assert.match(outcome(both).text, /Keep this page open/);
  const here = sending({ state: "received", transfers: new Map([["1", transfer()]]) });
  assert.match(outcome(here).text, /may close this page/);
  const done = sending({
    state: "received",
    transfers: new Map([
      [
        "1",
        transfer({ state: "DONE", bytes_done: 100, proof: "A", files: { total: 1, done: 1, skipped: 1, failed: 0 } }),
      ],
    ]),
  });
  assert.deepEqual(outcome(done), {
    tone: "good",
    title: "Done",
    text: "100 B, read back and compared. 1 file there already, with the same content.",
  });
  const cause = { message: "the destination exists", next_step: "Choose another." };
  const failed = sending({ state: "received", transfers: new Map([["1", transfer({ state: "FAILED", cause })]]) });
  assert.deepEqual(outcome(failed), { tone: "bad", title: "The destination exists.", text: "Choose another." });
  const waiting = sending({
    state: "received",
    transfers: new Map([
      ["1", transfer({ state: "WAITING", cause: { message: "the storage is full", next_step: "" } })],
    ]),
  });
  assert.match(outcome(waiting).text, /^The storage is full\. The gateway has every byte/);
  const full = transfer({ state: "WAITING", cause: { message: "tiny: it is full", next_step: "" } });
  const later = sending({ state: "received", transfers: new Map([["1", full]]) });
  assert.match(outcome(later).text, /^tiny: it is full\. /, "a storage is called as it is");
  assert.equal(secondLeg(later).text, "25 B of 100 B", "what waits has no rate");
  const stale = transfer({ state: "WAITING", cause: { code: "receiving", message: "It waits for the sender." } });
  assert.match(outcome(sending({ state: "received", transfers: new Map([["1", stale]]) })).text, /^The gateway has every/);
  const refused = sending({
    state: "failed",
    problem: { title: "It cannot be.", detail: "The port is closed.", nextStep: "Ask." },
  });
  assert.deepEqual(outcome(refused), { tone: "bad", title: "It cannot be.", text: "The port is closed. Ask." });
  const there = sending({
    state: "failed",
    problem: { title: "It exists.", code: "already-exists", nextStep: "skip-same" },
  });
  assert.match(outcome(there).text, /If it exists already/);
  assert.equal(outcome(sending({ trouble: "No network." })).text, "No network.");
});
