// Uploads a file by tus-js-client; what is asked comes as JSON in the first argument, the URL goes to the output.
import { createReadStream, readFileSync, statSync } from "node:fs";
import { PassThrough } from "node:stream";
import * as tus from "tus-js-client";

const asked = JSON.parse(process.argv[2]);
const options = {
  endpoint: asked.endpoint,
  headers: { Authorization: `Bearer ${asked.token}` },
  metadata: asked.metadata,
  retryDelays: [0, 50, 100, 200, 500, 1000, 1000, 1000],
  ...(asked.deferred || asked.parallel ? {} : { uploadSize: statSync(asked.file).size }),
  ...asked.options,
};
if (asked.urlStorage) options.urlStorage = new tus.FileUrlStorage(asked.urlStorage);

// Of a file tus-js-client knows the length by itself; of a stream it does not.
const file = createReadStream(asked.file);
const input = asked.parallel ? readFileSync(asked.file) : asked.deferred ? file.pipe(new PassThrough()) : file;
const upload = new tus.Upload(input, {
  ...options,
  onError: (error) => {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess: () => {
    console.log(upload.url);
    process.exit(0);
  },
  onProgress: (sent) => {
    if (asked.dieAt && sent >= asked.dieAt) process.kill(process.pid, "SIGKILL");
  },
});
if (asked.urlStorage) {
  const previous = await upload.findPreviousUploads();
  console.log(`previous: ${previous.length}`);
  if (previous.length) upload.resumeFromPreviousUpload(previous[0]);
}
upload.start();
