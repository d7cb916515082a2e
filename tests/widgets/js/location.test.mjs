import assert from "node:assert/strict";
import { test } from "node:test";
import { filesPath, joinLocation, lastName, parseLocation } from "../../../widgets/js/src/lib/location.js";

test("a path is percent-encoded byte by byte", () => {
  assert.equal(filesPath("lab:/run 7/a#b?.bam"), "files/lab/run%207/a%23b%3F.bam");
  assert.equal(filesPath("lab:/\udc80x"), "files/lab/%80x");
  assert.equal(filesPath("lab:/ü/🙂"), "files/lab/%C3%BC/%F0%9F%99%82");
  assert.equal(filesPath("lab:/run7/"), "files/lab/run7/");
  assert.equal(filesPath("lab:/\ud83d"), "files/lab/%EF%BF%BD");
});

test("locations are taken apart and put together", () => {
  assert.deepEqual(parseLocation("lab:/a:b/c"), { storage: "lab", path: "a:b/c" });
  assert.equal(joinLocation("lab", "/x"), "lab:/x");
  assert.equal(lastName("lab:/run7/a.bam"), "a.bam");
  assert.equal(lastName("lab:/run7/"), "run7/");
  assert.equal(lastName("lab:/"), "lab:/");
});
