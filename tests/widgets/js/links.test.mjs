import assert from "node:assert/strict";
import { test } from "node:test";
import { mailLink, trackerLink, versionLines } from "../../../widgets/js/src/feedback/links.js";

test("a mail has subject and text", () => {
  const link = new URL(mailLink("mailto:rt@example.org?cc=a@example.org", "A wish & more", "please\nthis"));
  assert.equal(link.protocol, "mailto:");
  assert.equal(link.searchParams.get("cc"), "a@example.org");
  assert.equal(link.searchParams.get("subject"), "A wish & more");
  assert.equal(link.searchParams.get("body"), "please\nthis");
  assert.ok(!mailLink("mailto:rt@example.org", "a b").includes("+"), "mail programs show a plus as a plus");
});

test("trackers are told title and text under their own names", () => {
  const github = new URL(
    trackerLink("https://example.org/x/y/issues/new?labels=bug", "It broke\nat noon", "SciGate 1"),
  );
  assert.equal(github.searchParams.get("labels"), "bug");
  assert.equal(github.searchParams.get("title"), "It broke");
  assert.match(github.searchParams.get("body"), /at noon\n\nVersions:\nSciGate 1$/);
  const gitlab = new URL(trackerLink("https://example.org/x/-/issues/new", "It broke"));
  assert.equal(gitlab.searchParams.get("issue[title]"), "It broke");
});

test("only addresses of mail and web are followed", () => {
  for (const address of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "nonsense", "", null]) {
    assert.equal(trackerLink(address), null);
    assert.equal(mailLink(address), null);
  }
});

test("a long or broken text still makes an address", () => {
  const link = trackerLink("https://example.org/issues/new", "ü".repeat(50_000) + "\ud83d", "SciGate 1");
  assert.ok(link.length <= 6000);
  new URL(link);
});

test("versions that are not known are left out", () => {
  assert.equal(versionLines({ a: "1", b: null, c: undefined, d: "2" }), "a 1\nd 2");
});
