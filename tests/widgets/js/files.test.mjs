import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { arrivalText, followArrival } from "../../../widgets/js/src/files/arrival.js";
import { byName, byTime, crumbs, nameFault, parentOf, withQuery } from "../../../widgets/js/src/files/paths.js";
import { quoted, snippet } from "../../../widgets/js/src/files/snippet.js";
import { destinations, facts, line, tooFull } from "../../../widgets/js/src/places/storages.js";

test("the way to a folder, and back", () => {
  assert.deepEqual(
    crumbs("lab", "run7/plots/").map(({ path }) => path),
    ["", "run7/", "run7/plots/"],
  );
  assert.equal(parentOf("run7/plots/"), "run7/");
  assert.equal(parentOf("run7/a.bam"), "run7/");
  assert.equal(parentOf("a.bam"), "");
});

test("cursors keep bytes that are not UTF-8", () => {
  assert.equal(
    withQuery("files/lab/", { limit: 5, after: "a\udcff &é", recursive: undefined }),
    "files/lab/?limit=5&after=a%FF%20%26%C3%A9",
  );
  assert.equal(withQuery("files/lab/", {}), "files/lab/");
});

test("names sort as people sort them, folders first; times the newest first", () => {
  const names = ["run10", "run2", "Run1"].map((name) => ({ name, kind: "file" }));
  const sorted = [...names, { name: "z", kind: "folder" }].sort(byName).map(({ name }) => name);
  assert.deepEqual(sorted, ["z", "Run1", "run2", "run10"]);
  const times = [{ modified: null }, { modified: "2026-01-01T00:00:00Z" }, { modified: "2026-02-01T00:00:00Z" }];
  assert.deepEqual(
    times.sort(byTime).map(({ modified }) => modified?.slice(5, 7)),
    ["02", "01", undefined],
  );
});

test("names of folders that cannot be are refused in words", () => {
  for (const name of ["", "  ", "a/b", "a\0b", "..", "."]) assert.ok(nameFault(name), JSON.stringify(name));
  assert.equal(nameFault("run 7…"), null);
});

const HOSTILE = [
  'a"b.csv',
  "a\\b.csv",
  "a\nb.csv",
  "x\u202egpj.exe",
  "a\udcffb.csv",
  '"); import os; os.system("rm -rf /',
  "{evil}",
  "😀.csv",
  "a\u2028b",
  "*.csv",
  "a::b",
];

test("a hostile name is a string of Python and nothing more", () => {
  for (const name of HOSTILE) {
    const literal = quoted(name);
    assert.ok(!/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}]/u.test(literal), literal);
    const script = `import ast, sys; value = ast.literal_eval(sys.argv[1]); print(value.encode("utf-8", "surrogateescape").hex())`;
    const told = execFileSync("python3", ["-c", script, literal], { encoding: "utf-8" }).trim();
    const expected = name === "a\udcffb.csv" ? "61ff622e637376" : Buffer.from(name).toString("hex");
    assert.equal(told, expected);
  }
});

test("the line fits the file", () => {
  assert.match(snippet("lab", "run7/a.csv"), /pd\.read_csv\("scigate:\/\/lab\/run7\/a\.csv"\)/);
  assert.match(snippet("lab", "a.parquet"), /read_parquet/);
  assert.match(snippet("lab", "a.nc"), /open_dataset/);
  assert.match(snippet("lab", "a.bam"), /"rb"/);
  assert.match(snippet("lab", "a*.csv"), /filesystem\("scigate"\)\.open\("lab\/a\*\.csv"/);
  assert.match(snippet("lab", "run7/"), /\.ls\("lab\/run7\/", detail=False\)/);
});

const storage = (name, more = {}) => ({
  name,
  read_only: false,
  state: "up",
  nearest: false,
  space: null,
  expected_rate: null,
  summary: "",
  ...more,
});

test("destinations: the nearest first, what does not answer last, nothing that is only read", () => {
  const found = [
    storage("b"),
    storage("z", { nearest: true }),
    storage("a", { state: "down" }),
    storage("r", { read_only: true }),
    storage("c"),
  ];
  assert.deepEqual(
    destinations(found).map(({ name }) => name),
    ["z", "b", "c", "a"],
  );
  assert.equal(line(storage("z", { nearest: true, space: { total: 10, free: 2048 } })), "z — nearest, 2 KiB free");
  assert.equal(line({ name: "old", state: "unknown" }), "old");
  assert.match(facts(storage("z", { summary: "Disks", expected_rate: 1 << 20 })), /^Disks\. Expect about 1 MiB\/s/);
  assert.match(tooFull(storage("z", { space: { total: 10, free: 5 } }), 6), /5 B free, and this is 6 B/);
  assert.equal(tooFull(storage("z"), 6), null);
});

test("what the server fetches is looked at until it has ended, and its end is said", async () => {
  const ended = new AbortController();
  const asked = [];
  const cause = { message: "The disk is full.", next_step: "Free space." };
  const answers = [{ state: "ACTIVE", bytes_done: 1024, bytes_total: 2048 }, null, { state: "FAILED", cause }];
  const page = {
    async api(path, { home }) {
      asked.push([path, home]);
      const answer = answers.shift();
      if (!answer) throw { title: "Nothing answered.", nextStep: "Wait.", retriable: true };
      return answer;
    },
  };
  const told = [];
  const over = new Promise((resolve) => {
    const tell = (known) => {
      told.push(arrivalText("a.csv", known));
      if (known.state === "FAILED") resolve();
    };
    followArrival(page, { id: "home-1" }, tell, ended.signal);
  });
  await over;
  assert.deepEqual(asked[0], ["transfers/home-1", true]);
  assert.deepEqual(told, [
    "“a.csv” is on its way to the files of this server. 1 KiB of 2 KiB.",
    "“a.csv” waits. Nothing answered. Wait.",
    "“a.csv” did not arrive. The disk is full. Free space.",
  ]);
});
