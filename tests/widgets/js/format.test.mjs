import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../../widgets/js/src/lib/format.js";

test("sizes are in powers of 1024 with at most four digits", () => {
  const cases = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1536, "1.5 KiB"],
    [102400, "100 KiB"],
    [1048575, "1 MiB"],
    [5 * 1024 ** 3, "5 GiB"],
    [2 ** 60, "1024 PiB"],
  ];
  for (const [bytes, text] of cases) assert.equal(format.size(bytes), text);
  assert.equal(format.size(NaN), "unknown size");
});

test("rates of nothing are silent", () => {
  assert.equal(format.rate(null), "");
  assert.equal(format.rate(undefined), "");
  assert.equal(format.rate(12.5 * 1024 ** 2), "12.5 MiB/s");
});

test("durations", () => {
  const cases = [
    [0.4, "0 s"],
    [89, "89 s"],
    [90, "2 min"],
    [3600, "60 min"],
    [7500, "2 h 5 min"],
    [7200, "2 h"],
    [86400 * 3, "3 days"],
  ];
  for (const [seconds, text] of cases) assert.equal(format.duration(seconds), text);
  assert.equal(format.duration(null), "");
});

test("each mark of an axis has a text of its own", () => {
  const cases = [
    [45, "45 s"],
    [60, "1 min"],
    [90, "1:30 min"],
    [120, "2 min"],
    [5400, "1:30 h"],
    [7200, "2 h"],
  ];
  for (const [seconds, text] of cases) assert.equal(format.elapsed(seconds), text);
});

test("times as seen from now", () => {
  const now = Date.parse("2026-05-04T10:00:00Z");
  assert.equal(format.relative("2026-05-04T10:00:03Z", now), "in a moment");
  assert.equal(format.relative("2026-05-04T10:02:00Z", now), "in 2 min");
  assert.equal(format.relative("2026-05-04T08:00:00Z", now), "2 h ago");
  assert.equal(format.relative("nonsense", now), "");
});

test("another day is named on the clock, another year too", () => {
  const now = new Date(2026, 4, 4, 12).getTime();
  assert.equal(format.clock(new Date(2026, 4, 4, 9, 5), now), "09:05");
  assert.equal(format.clock(new Date(2026, 4, 3, 9, 5), now), "3 May, 09:05");
  assert.equal(format.clock(new Date(2025, 4, 3, 9, 5), now), "3 May 2025, 09:05");
});

test("a hundred percent is said only of what is whole", () => {
  assert.equal(format.percent(999_999, 1_000_000), 99);
  assert.equal(format.percent(5, 5), 100);
  assert.equal(format.percent(0, 0), 0);
});

test("a name cannot pretend to be another", () => {
  assert.equal(format.visible("a\u202egpj.exe"), "a\ufffdgpj.exe");
  assert.equal(format.visible("two\nlines\t\u200b"), "two\ufffdlines\ufffd\ufffd");
  assert.equal(format.visible("\udc80"), "\ufffd");
  assert.equal(format.visible("Größe 数据 🙂"), "Größe 数据 🙂");
  assert.equal(format.visible("a\u200db\u200c.txt"), "a\ufffdb\ufffd.txt");
  for (const word of ["می\u200cخواهم.csv", "👩🏽\u200d🔬 🛰️"]) assert.equal(format.visible(word), word, "as it is written");
});
