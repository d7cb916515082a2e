/** Why an upload takes no more bytes. */

import { Differs } from "./own.js";
import { whyFailed } from "./resend.js";

export const MISMATCH = "digest-mismatch"; // a problem's code: the whole is not what its sender has promised

/** An answer to HEAD has no body that says why; the upload itself may. `status` 0: nobody answered. */
export async function whyEnded(status, id, page) {
  const { cause } = (status && (await page.api(`uploads/${id}`).catch(() => null))) || {};
  if (cause?.code === MISMATCH) return new Differs();
  if (cause) return { title: cause.message, nextStep: cause.next_step, status };
  return whyFailed(status);
}
