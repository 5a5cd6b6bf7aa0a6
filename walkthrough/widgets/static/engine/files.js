/** What files hold: their SHA-256, and the tensors of safetensors. */

/** The SHA-256 of bytes in hexadecimal; computed here where a page that came over plain http has no `crypto.subtle`. */
export async function sha256(bytes) {
  const digest = globalThis.crypto?.subtle ? new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)) : plainSha256(bytes);
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The same in plain loops (FIPS 180-4): its constants are bits of the roots of the first 64 primes. */
export function plainSha256(bytes) {
  const primes = [];
  for (let i = 2; primes.length < 64; i++) if (primes.every((p) => i % p)) primes.push(i);
  const bits = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32) | 0;
  const K = Int32Array.from(primes, (p) => bits(Math.cbrt(p))), H = Int32Array.from(primes.slice(0, 8), (p) => bits(Math.sqrt(p)));
  const turn = (x, by) => (x >>> by) | (x << (32 - by));
  const padded = new Uint8Array(64 * Math.ceil((bytes.length + 9) / 64)), W = new Int32Array(64);
  padded.set(bytes);
  padded[bytes.length] = 128;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, (bytes.length * 8) >>> 0);
  for (let start = 0; start < padded.length; start += 64) {
    for (let t = 0; t < 16; t++) W[t] = view.getInt32(start + 4 * t);
    for (let t = 16; t < 64; t++) {
      const x = W[t - 15], y = W[t - 2];
      W[t] = (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10)) + W[t - 7] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + W[t - 16];
    }
    let [a, b, c, d, e, f, g, h] = H;
    for (let t = 0; t < 64; t++) {
      const first = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[t] + W[t]) | 0;
      const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + first) | 0; d = c; c = b; b = a; a = (first + second) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => { H[i] += value; });
  }
  const out = new DataView(new ArrayBuffer(32));
  H.forEach((value, i) => out.setInt32(4 * i, value));
  return new Uint8Array(out.buffer);
}

let halves;
/** The 65,536 half-precision numbers. */
function halfTable() {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let i = 0; i < 65536; i++) {
    const sign = i & 32768 ? -1 : 1, exponent = (i >> 10) & 31, part = i & 1023;
    halves[i] = sign * (exponent === 31 ? (part ? NaN : Infinity)
      : exponent ? 2 ** (exponent - 15) * (1 + part / 1024) : 2 ** -14 * (part / 1024));
  }
  return halves;
}

/** The tensors of a safetensors file whose names begin with `prefix`: {name: {shape, length, into(target)}}. */
export function tensors(bytes, prefix = "") {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  const found = {};
  for (const [name, about] of Object.entries(header)) {
    if (name === "__metadata__" || !name.startsWith(prefix)) continue;
    const { dtype, shape, data_offsets: [from, to] } = about, start = 8 + size + from;
    if (dtype !== "F16" && dtype !== "F32") throw new Error(`The weights are of a kind (${dtype}) that this page cannot read.`);
    const length = (to - from) / (dtype === "F16" ? 2 : 4);
    const into = (target) => {
      if (dtype === "F32") for (let i = 0; i < length; i++) target[i] = view.getFloat32(start + 4 * i, true);
      else {
        const table = halfTable();
        for (let i = 0; i < length; i++) target[i] = table[view.getUint16(start + 2 * i, true)];
      }
      return target;
    };
    found[name.slice(prefix.length)] = { shape, length, into };
  }
  return found;
}
