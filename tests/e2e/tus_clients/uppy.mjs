// Uploads files by Uppy's core and its tus plugin, without a browser.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import Uppy from "@uppy/core";
import Tus from "@uppy/tus";

const asked = JSON.parse(process.argv[2]);
const uppy = new Uppy({ autoProceed: false });
uppy.use(Tus, {
  endpoint: asked.endpoint,
  headers: { Authorization: `Bearer ${asked.token}` },
  chunkSize: asked.chunkSize,
  retryDelays: [0, 50, 100, 200, 500, 1000, 1000, 1000],
  allowedMetaFields: true,
});
for (const [path, relativePath] of asked.files) {
  uppy.addFile({
    name: basename(path),
    type: "application/octet-stream",
    data: readFileSync(path), // in place of a Blob: what tus-js-client takes outside of browsers
    meta: { destination: asked.destination, relativePath },
  });
}
const result = await uppy.upload();
for (const file of result.failed) console.error(`${file.name}: ${file.error}`);
for (const file of result.successful) console.log(file.uploadURL);
process.exit(result.failed.length ? 1 : 0);
