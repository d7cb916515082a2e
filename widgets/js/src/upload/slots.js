/** At most so many requests of uploads at once on a page: browsers open six connections to a host for all it does. */

export class Slots {
  #free;
  #waiting = [];

  constructor(count) {
    this.#free = count;
  }

  /** Resolves to a function that gives the place back. */
  async take() {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    let taken = true;
    return () => {
      if (taken) this.#give();
      taken = false;
    };
  }

  #give() {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }
}
