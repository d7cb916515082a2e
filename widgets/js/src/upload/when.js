/** When to deliver: what the form says, as the API's `not_before` and `deadline`. Pure. */

/** The times as the API wants them. `when`: "now" or "later"; both texts as `<input type=datetime-local>` gives them. */
export function schedule({ when, start, deadline }, now = new Date()) {
  const wishes = {};
  if (when === "later") wishes.not_before = instant(start, "the time at which to begin");
  if (deadline) wishes.deadline = instant(deadline, "the time by which it has to be there");
  if (wishes.deadline && new Date(wishes.deadline) <= now)
    throw new RangeError("The deadline has passed already. Choose a later one, or leave it empty.");
  if (wishes.not_before && wishes.deadline && wishes.deadline <= wishes.not_before)
    throw new RangeError("The deadline is before the time at which to begin. Choose a later deadline.");
  return wishes;
}

/** A local time as the value of `<input type=datetime-local>`. */
export function localValue(date) {
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** Tonight at 20:00, or tomorrow's if that is over: what people mean by a preferred time. */
export function tonight(now = new Date()) {
  const evening = new Date(now);
  evening.setHours(20, 0, 0, 0);
  if (evening <= now) evening.setDate(evening.getDate() + 1);
  return evening;
}

function instant(text, what) {
  const date = new Date(text);
  if (!text || Number.isNaN(date.getTime())) throw new RangeError(`Say ${what}.`);
  return date.toISOString();
}
