/** One file into one upload of the gateway, by tus; goes on by itself after cuts, and when it is run again. */

import { Upload } from "tus-js-client";
import { compare } from "./compare.js";
import { reprDigest } from "./crc64.js";
import { MISMATCH, whyEnded } from "./ended.js";
import { Differs } from "./own.js";
import { PAUSES, isTemporary, whyFailed, whyWaiting } from "./resend.js";

const CHUNK = 64 << 20;
const SMALL = 1 << 20; // bytes that go in one request when nothing of them can be there yet
const SILENCE = 60_000; // milliseconds without a byte: the connection is dead, whatever the browser thinks
const LOOK = 5_000;

/**
 * Sends what is missing of `file` into the upload `id`, whose gateway compares the digest of all with the file's own.
 * @param page  the page's session and API
 * @param fresh  nothing of it is there; else what is there is compared first
 * @param whole  of an upload of which all is there: its count of bytes and its digest
 * @param own  the file's OwnDigest
 * @param onMove  hears how many bytes have gone; `onTrouble` why nothing goes, null when it goes again
 * @returns true when all is at the gateway, false when `signal` stopped it. Raises `{title, detail, nextStep, status}`,
 *   and `Differs` when what is there is of another file.
 */
export async function pipe(file, id, page, { fresh, whole, own, signal, onCompare, ...told }) {
  try {
    if (!fresh) await compare(file, own, id, page, { whole, signal, onCompare, onTrouble: told.onTrouble });
    return Boolean(whole) || (await send(file, id, page, { fresh, own, signal, ...told }));
  } catch (problem) {
    if (signal.aborted) return false;
    throw problem.name === "NotReadableError" ? whyFailed("unreadable") : problem;
  }
}

async function send(file, id, page, { fresh, own, signal, onMove, onTrouble }) {
  if (fresh && file.size <= SMALL && (await inOne(file, id, page, own, signal))) {
    onTrouble(null);
    onMove(file.size);
    return true;
  }
  const uploadUrl = await page.api.url(`uploads/${id}`);
  if (signal.aborted) return false;
  return new Promise((resolve, reject) => {
    let moved = performance.now();
    let turn = 0; // of tus: what an earlier one still gets ready is not sent any more
    const end = (settle, value) => {
      turn += 1;
      clearInterval(watch);
      signal.removeEventListener("abort", stop);
      settle(value);
    };
    const upload = new Upload(file, {
      uploadUrl,
      chunkSize: CHUNK,
      retryDelays: PAUSES,
      storeFingerprintForResuming: false,
      onBeforeRequest: async (request) => {
        const mine = turn;
        if (request.getMethod() === "PATCH") await vouch(request);
        await authorise(request, page);
        if (mine !== turn) await new Promise(() => {});
      },
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
    /** With the last bytes goes the digest of all. That of the others is taken while they are sent. */
    const vouch = async (request) => {
      const until = Math.min(Number(request.getHeader("Upload-Offset")) + CHUNK, file.size);
      const digest = own.upTo(until, { signal, onRead: () => (moved = performance.now()) });
      if (until === file.size) request.setHeader("Repr-Digest", reprDigest(await digest));
      else digest.catch(() => {}); // said when it is read to be sent
    };
    const stop = () => upload.abort().finally(() => end(resolve, false));
    const again = () => {
      turn += 1;
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
async function inOne(file, id, page, own, signal) {
  const headers = { "Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream" };
  try {
    headers["Repr-Digest"] = reprDigest(await own.upTo(file.size, { signal }));
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

async function problemOf(error, id, page) {
  const status = statusOf(error);
  const said = saidBy(error);
  if (said.code === MISMATCH) return new Differs();
  return said.title ? { ...said, status } : whyEnded(status, id, page);
}
