/** CRC-64/NVME, the digest that the gateway keeps of each upload: pure, and faster than a browser sends. */

/** The CRC of `before` and, behind that, the `bytes`. A CRC is two numbers of 32 bits; that of nothing is `[0, 0]`. */
export const crc64 = makeCrc64();

/** Makes `crc64`. All that it needs is inside, so that its text can be given to a worker. */
export function makeCrc64() {
  const [HIGH, LOW] = [0x9a6c9329, 0xac4bc9b5]; // the polynomial, reflected
  const STEP = 8; // bytes that are taken in at once, each by a table of its own
  const [high, low] = [new Int32Array(256 * STEP), new Int32Array(256 * STEP)];
  makeTables();

  /** What each byte makes of the CRC when 0, 1, … 7 bytes of zeros are behind it. */
  function makeTables() {
    for (let byte = 0; byte < 256; byte++) {
      let [a, b] = [0, byte];
      for (let bit = 0; bit < 8; bit++) {
        const isOdd = b & 1;
        b = ((b >>> 1) | (a << 31)) ^ (isOdd ? LOW : 0);
        a = (a >>> 1) ^ (isOdd ? HIGH : 0);
      }
      [high[byte], low[byte]] = [a, b];
    }
    for (let i = 256; i < high.length; i++) {
      const [a, b] = [high[i - 256], low[i - 256]];
      low[i] = ((b >>> 8) | (a << 24)) ^ low[b & 255];
      high[i] = (a >>> 8) ^ high[b & 255];
    }
  }

  return ([before, below], bytes) => {
    const aligned = bytes.byteOffset % 4 ? bytes.slice() : bytes;
    const words = new Int32Array(aligned.buffer, aligned.byteOffset, (bytes.length - (bytes.length % STEP)) / 4);
    let [a, b] = [~before, ~below];
    for (let at = 0; at < words.length; at += 2) {
      b ^= words[at]; // in the order of bytes that all browsers run on
      a ^= words[at + 1];
      const i0 = 1792 + (b & 255);
      const i1 = 1536 + ((b >>> 8) & 255);
      const i2 = 1280 + ((b >>> 16) & 255);
      const i3 = 1024 + (b >>> 24);
      const i4 = 768 + (a & 255);
      const i5 = 512 + ((a >>> 8) & 255);
      const i6 = 256 + ((a >>> 16) & 255);
      const i7 = a >>> 24;
      a = high[i0] ^ high[i1] ^ high[i2] ^ high[i3] ^ high[i4] ^ high[i5] ^ high[i6] ^ high[i7];
      b = low[i0] ^ low[i1] ^ low[i2] ^ low[i3] ^ low[i4] ^ low[i5] ^ low[i6] ^ low[i7];
    }
    for (let at = 4 * words.length; at < bytes.length; at++) {
      const i = (b ^ bytes[at]) & 255;
      b = ((b >>> 8) | (a << 24)) ^ low[i];
      a = (a >>> 8) ^ high[i];
    }
    return [~a, ~b];
  };
}

/** 16 hexadecimal digits, as the gateway writes it. */
export const hex = (crc) => crc.map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");

/** As HTTP writes digests (RFC 9530): base64 of its eight bytes, most significant first. */
export function reprDigest(crc) {
  const bytes = hex(crc).match(/../g);
  return `crc64nvme=:${btoa(String.fromCharCode(...bytes.map((two) => parseInt(two, 16))))}:`;
}
