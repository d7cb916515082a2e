/** One file into one upload of the gateway, by tus; goes on by itself after cuts, and when it is run again. */

import { Upload } from "tus-js-client";
import { PAUSES, isTemporary, whyFailed, whyWaiting } from "./resend.js";

const CHUNK = 64 << 20;
const SMALL = 1 << 20; // bytes that go in one request when nothing of them can be there yet
const SILENCE = 60_000; // milliseconds without a byte: the connection is dead, whatever the browser thinks
const LOOK = 5_000;

/**
 * Sends what is missing of `file` into the upload `id`; `fresh`: nothing of it is there.
 * @param page  the page's session and API
 * @param onMove  hears how many bytes have gone; `onTrouble` why nothing goes, null when it goes again
 * @returns true when all is at the gateway, false when `signal` stopped it. Raises `{title, detail, nextStep, status}`.
 */
export async function pipe(file, id, page, { fresh, signal, onMove, onTrouble }) {
  if (fresh && file.size <= SMALL && (await inOne(file, id, page, signal))) {
    onTrouble(null);
    onMove(file.size);
    return true;
  }
  const uploadUrl = await page.api.url(`uploads/${id}`);
  if (signal.aborted) return false;
  return new Promise((resolve, reject) => {
    let moved = performance.now();
    const end = (settle, value) => {
      clearInterval(watch);
      signal.removeEventListener("abort", stop);
      settle(value);
    };
    const upload = new Upload(file, {
      uploadUrl,
      chunkSize: CHUNK,
      retryDelays: PAUSES,
      storeFingerprintForResuming: false,
      onBeforeRequest: (request) => authorise(request, page),
      onProgress: (sent) => {
        moved = performance.now();
        onTrouble(null);
        onMove(sent);
      },
      onShouldRetry: (error) => {
        const status = statusOf(error);
        if (!isTemporary(status, saidBy(error).code)) return false;
        moved = performance.now() + PAUSES.at(-1);
        if (status === 401) page.forget();
        if (status === 0) probe();
        if (status !== 409) onTrouble(whyWaiting(status));
        return true;
      },
      onSuccess: () => end(resolve, true),
      onError: (error) => problemOf(error, id, page).then((problem) => end(reject, problem)),
    });
    const stop = () => upload.abort().finally(() => end(resolve, false));
    const again = () => {
      moved = performance.now();
      onTrouble(whyWaiting(0));
      upload.abort().then(() => signal.aborted || upload.start());
    };
    /** A browser does not tell a file that was changed meanwhile from a network that is gone. */
    const probe = () =>
      isReadable(file).then((is) => is || upload.abort().then(() => end(reject, whyFailed("unreadable"))));
    // A connection may die without a word; asking for the offset anew ends what still hangs at the gateway.
    const watch = setInterval(() => performance.now() - moved > SILENCE && again(), LOOK);
    signal.addEventListener("abort", stop, { once: true });
    upload.start();
  });
}

/** A small file without asking first, which halves the requests of a folder. Whether it worked; else tus finds out. */
async function inOne(file, id, page, signal) {
  const headers = { "Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream" };
  try {
    await page.api(`uploads/${id}`, { method: "PATCH", as: "response", body: file, headers, signal });
    return true;
  } catch {
    return false;
  }
}

async function authorise(request, page) {
  for (const [name, value] of Object.entries(await page.api.headers())) request.setHeader(name, value);
}

const isReadable = (file) =>
  file
    .slice(0, 1)
    .arrayBuffer()
    .then(
      () => true,
      () => false,
    );

/** 0: nobody answered. */
const statusOf = (error) => error.originalResponse?.getStatus() || 0;

function saidBy(error) {
  try {
    const { title, detail, next_step: nextStep, code } = JSON.parse(error.originalResponse.getBody());
    return { title, detail, nextStep, code };
  } catch {
    return {}; // not in words of the gateway
  }
}

/** An answer to HEAD has no body that says why; the upload itself may. */
async function problemOf(error, id, page) {
  const status = statusOf(error);
  const said = saidBy(error);
  if (said.title) return { ...said, status };
  const { cause } = (status && (await page.api(`uploads/${id}`).catch(() => null))) || {};
  if (cause) return { title: cause.message, nextStep: cause.next_step, status };
  return whyFailed(status);
}
