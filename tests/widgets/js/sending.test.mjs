/** How something that is sent begins, where the gateway takes only a part of the question. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc64, hex } from "../../../widgets/js/src/upload/crc64.js";
import { Memory } from "../../../widgets/js/src/upload/memory.js";
import { Sending } from "../../../widgets/js/src/upload/sending.js";
import { Slots } from "../../../widgets/js/src/upload/slots.js";

const EMPTY = { size: 0, lastModified: 0 };

const FILE = new File(["the bytes of a file"], "a", { lastModified: 0 });
const OTHER = new File(["those of another it"], "a", { lastModified: 0 });

/** Answers as the gateway does, to the questions that `refuses` lets through. */
function pageThat(refuses) {
  const asked = [];
  const api = async (path, { method = "GET", body, headers = {} } = {}) => {
    asked.push({ path, key: headers["Idempotency-Key"], count: body?.files?.length });
    if (refuses(path, asked)) throw { title: "It does not answer.", status: 503 };
    if (method === "GET") return { id: "t", state: "ACTIVE", files: { total: 1 } };
    if (path.startsWith("uploads")) return { id: "u", state: "RECEIVED", arrived: { bytes: 0 }, transfer: "t" };
    const uploads = body.files.map(({ path: id }) => ({ id, state: "RECEIVED", arrived: { bytes: 0 } }));
    return { transfer: { id: headers["Idempotency-Key"], state: "ACTIVE" }, uploads };
  };
  return { asked, api, feed: { subscribe() {} } };
}

function sendingOf(paths, page, file = EMPTY) {
  const items = paths.map((path) => ({ path, file }));
  const begun = { fingerprint: "f", key: "k", name: "n", folder: "lab:/", wishes: {}, began: Date.now() };
  return new Sending({ begun, items, page, memory: new Memory(null, "ada"), slots: new Slots(3) });
}

test("a folder of which only the first manifest was taken is not said to be at the gateway", async () => {
  let once = true;
  const page = pageThat(() => page.asked.length === 2 && once && !(once = false));
  const one = sendingOf(
    Array.from({ length: 10_001 }, (_, at) => `d/${at}`),
    page,
  );
  await one.start();
  assert.equal(one.state, "failed");
  await one.resume();
  assert.equal(one.state, "received");
  assert.deepEqual([...one.transfers.keys()], ["k-0", "k-1"]);
  assert.deepEqual(
    page.asked.map(({ key, count }) => [key, count]),
    [
      ["k-0", 10_000],
      ["k-1", 1],
      ["k-0", 10_000],
      ["k-1", 1],
    ],
  );
});

test("a file whose transfer could not be looked at is followed after another try", async () => {
  let once = true;
  const page = pageThat((path) => path === "transfers/t" && once && !(once = false));
  const one = sendingOf(["a"], page);
  await one.start();
  assert.equal(one.state, "failed");
  await one.resume();
  assert.equal(one.state, "received");
  assert.equal(one.transfers.size, 1, "else it could not be cancelled any more");
  assert.equal(one.isOver, false);
});

test("what is paused and gone on with while it is asked for is asked for once", async () => {
  const page = pageThat(() => false);
  const one = sendingOf(["d/a", "d/b"], page);
  const first = one.start();
  one.pause();
  await Promise.all([first, one.resume()]);
  assert.equal(one.state, "received");
  assert.equal(page.asked.length, 1);
});

test("of several transfers those that have not ended are cancelled; of none that is not claimed", async () => {
  const ended = new Set(["k-0"]);
  const page = pageThat(() => false);
  const { api } = page;
  page.api = async (path, options) => {
    const [, id] = path.match(/^transfers\/(.*)\/cancel$/) ?? [];
    if (!id) return api(path, options);
    if (ended.has(id)) throw { title: "It is finished.", status: 409 };
    return ended.add(id);
  };
  const one = sendingOf(
    Array.from({ length: 10_001 }, (_, at) => `d/${at}`),
    page,
  );
  await one.start();
  await one.cancel();
  assert.deepEqual([one.state, ended.has("k-1")], ["cancelled", true]);
  const other = sendingOf(["d/a", "d/b"], page);
  await other.start();
  await assert.rejects(other.cancel(), { status: 409 });
  assert.equal(other.state, "received");
});

/** A gateway that has all of FILE, of a transfer that is on its way. */
async function gatewayWith(file) {
  const page = pageThat(() => false);
  const { api } = page;
  const crc64nvme = hex(crc64([0, 0], new Uint8Array(await file.arrayBuffer())));
  const durable = { bytes: file.size, crc64nvme };
  page.api = async (path, options = {}) => {
    if (path.endsWith("/cancel")) return page.asked.push({ path });
    const answer = await api(path, options);
    return { ...answer, arrived: { bytes: file.size }, durable };
  };
  return page;
}

test("what an earlier page has sent whole counts only if it is this file", async () => {
  const page = await gatewayWith(FILE);
  const same = sendingOf(["a"], page, FILE);
  await same.start();
  assert.deepEqual([same.state, same.note], ["received", null]);

  const other = sendingOf(["a"], page, OTHER);
  await other.start();
  assert.equal(other.state, "failed", "what is begun anew has the wrong bytes too");
  assert.match(other.problem.title, /not what the file holds/);
  assert.match(other.note, /sent anew/);
  assert.deepEqual(
    page.asked.map(({ path }) => path).filter((path) => path.includes("cancel")),
    ["transfers/t/cancel"],
  );
  const keys = page.asked.filter(({ path }) => path.startsWith("uploads?")).map(({ key }) => key);
  assert.equal(new Set(keys).size, 2, "anew under another key");
});
