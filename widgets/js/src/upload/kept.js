/** What a browser keeps for a user of a gateway. Without room for it (private windows) everything works but this. */

/** localStorage, or null where a page may not have it. */
export function browserStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}

/** Where something was sent last, as a proposal for the next time: `{storage, folder}`. */
export class LastPlace {
  constructor(storage, who) {
    Object.assign(this, { storage, name: `scigate:place:${who}` });
  }

  get() {
    try {
      return JSON.parse(this.storage?.getItem(this.name) ?? "null");
    } catch {
      return null;
    }
  }

  set({ storage, folder }) {
    try {
      this.storage?.setItem(this.name, JSON.stringify({ storage, folder }));
    } catch {
      // it is only a proposal
    }
  }
}
