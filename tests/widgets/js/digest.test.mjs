/** A file's own digest, by which its bytes are known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc64, hex, reprDigest } from "../../../widgets/js/src/upload/crc64.js";
import { OwnDigest } from "../../../widgets/js/src/upload/own.js";

const bytes = (text) => new TextEncoder().encode(text);
const NOTHING = [0, 0];

test("the CRC is CRC-64/NVME", () => {
  const crc = crc64(NOTHING, bytes("123456789"));
  assert.equal(hex(crc), "ae8b14860a799888", "the check value of the catalogue of CRCs");
  assert.equal(reprDigest(crc), "crc64nvme=:rosUhgp5mIg=:");
  assert.equal(hex(NOTHING), "0000000000000000");
});

test("however the bytes are cut and wherever they lie, it is the same", () => {
  const whole = bytes("0123456789".repeat(10));
  for (const cut of [0, 1, 7, 8, 9, 50, 99, 100])
    assert.deepEqual(crc64(crc64(NOTHING, whole.subarray(0, cut)), whole.subarray(cut)), crc64(NOTHING, whole));
});

test("of a file that is longer than a piece every beginning is known, in any order", async () => {
  const content = new Uint8Array(9 << 20).map((_, at) => (at * 7919) >> 3);
  const own = new OwnDigest(new Blob([content]));
  for (const end of [content.length, 5 << 20, 1, 0, (4 << 20) + 3, 8 << 20])
    assert.deepEqual(await own.upTo(end), crc64(NOTHING, content.subarray(0, end)));
  const some = await Promise.all([own.upTo(10), own.upTo(content.length)]);
  assert.deepEqual(some[1], crc64(NOTHING, content));
});

test("what is asked for no more is not read, and does not keep others from reading", async () => {
  const own = new OwnDigest(new Blob([bytes("abc")]));
  await assert.rejects(own.upTo(3, { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.deepEqual(await own.upTo(3), crc64(NOTHING, bytes("abc")));
});
