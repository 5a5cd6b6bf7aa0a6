/** Products of matrices: in WebAssembly, four numbers at a time, where the browser has it, and in plain loops elsewhere. */

const ROWS = 2, COLUMNS = 4, STEP = 8;  // what one turn of the compiled loop takes
const AT_ONCE = 64;  // terms that are added up in single precision: longer sums of large terms would lose a digit
const BLOCK = 64;  // rows of w that all rows of x meet before the next ones do
const SCRATCH = 2 ** 20;  // numbers in each of the three places for what is not resident

const leb = (x) => {
  const out = [];
  for (;;) {
    const low = x & 127;
    x >>= 7;
    if ((x === 0 && !(low & 64)) || (x === -1 && low & 64)) return [...out, low];
    out.push(low | 128);
  }
};
const unsigned = (x) => (x < 128 ? [x] : [(x & 127) | 128, ...unsigned(x >>> 7)]);
const vector = (items) => [...unsigned(items.length), ...items.flat()];
const section = (id, body) => [id, ...unsigned(body.length), ...body];
const get = (i) => [0x20, ...unsigned(i)], set = (i) => [0x21, ...unsigned(i)];
const number = (x) => [0x41, ...leb(x)], ADD = [0x6a], MULTIPLY = [0x6c];
const load = (offset) => [0xfd, 0x00, 4, ...unsigned(offset)];
const sum = [0xfd, 0xe4, 0x01], product = [0xfd, 0xe6, 0x01], fused = [0xfd, 0x85, 0x02], zero = [0xfd, 0x0c, ...Array(16).fill(0)];
const raise = (i, by) => [...get(i), ...by, ...ADD, ...set(i)];
const loop = (body, again) => [0x03, 0x40, ...body, ...again, 0x0d, 0, 0x0b];

/** The bytes of a module whose `dot(x, w, out, n, m, d, apart, across)` adds, at byte addresses, to out[i, j] the sum Σ_k x[i, k] w[j, k].
 *
 * Rows of x and w begin `apart` numbers after one another, of which d are taken, and rows of out `across`. `relaxed` is whether a product and its sum are one
 * instruction, which rounds once: newer browsers have it, and it takes half the time. */
function assembled(relaxed) {
  const [x, w, out, n, m, d, apart, across, i, j, k, a0, a1, b0, b1, b2, b3] = Array(17).keys();
  const acc = (row, column) => 17 + row * COLUMNS + column, xs = [25, 26], lane = 27;
  const inner = [];
  for (const offset of [0, 16]) {
    inner.push(...get(a0), ...load(offset), ...set(xs[0]), ...get(a1), ...load(offset), ...set(xs[1]));
    [b0, b1, b2, b3].forEach((b, column) => {
      inner.push(...get(b), ...load(offset), ...set(lane));
      for (const row of [0, 1])
        inner.push(...(relaxed ? [...get(xs[row]), ...get(lane), ...get(acc(row, column)), ...fused]
          : [...get(acc(row, column)), ...get(xs[row]), ...get(lane), ...product, ...sum]), ...set(acc(row, column)));
    });
  }
  for (const pointer of [a0, a1, b0, b1, b2, b3]) inner.push(...raise(pointer, number(32)));
  inner.push(...raise(k, number(STEP)));
  const store = [];
  for (const row of [0, 1]) for (const column of [0, 1, 2, 3]) {
    store.push(...get(out), ...get(out), 0x2a, 2, ...unsigned(4 * column));
    for (const part of [0, 1, 2, 3]) store.push(...get(acc(row, column)), 0xfd, 0x1f, part, 0x92);
    store.push(0x38, 2, ...unsigned(4 * column));
  }
  // The second row lies 4 `across` bytes on: `out` moves there and back.
  const half = store.length / 2, ahead = [...get(across), ...number(4), ...MULTIPLY];
  const rows = [...store.slice(0, half), ...raise(out, ahead), ...store.slice(half),
    ...get(out), ...ahead, 0x6b, ...number(16), ...ADD, ...set(out)];
  const bytes = [...get(apart), ...number(4), ...MULTIPLY];
  const start = [...get(x), ...set(a0), ...get(x), ...bytes, ...ADD, ...set(a1)];
  [b0, b1, b2, b3].forEach((b, column) => start.push(...(column ? [...get(b0 + column - 1), ...bytes, ...ADD] : get(b0)), ...set(b)));
  const zeros = [];
  for (let at = 17; at < 25; at++) zeros.push(...zero, ...set(at));
  const columns = [...start, ...zeros, ...number(0), ...set(k), ...loop(inner, [...get(k), ...get(d), 0x49]), ...rows,
    ...get(b3), ...bytes, ...ADD, ...get(d), ...number(4), ...MULTIPLY, 0x6b, ...set(b0), ...raise(j, number(COLUMNS))];
  const body = loop([...get(w), ...set(b0), ...number(0), ...set(j), ...loop(columns, [...get(j), ...get(m), 0x49]),
    // two rows of x are done; `out` has passed m numbers of the first, and goes on to the third
    ...raise(out, [...get(across), ...number(2), ...MULTIPLY, ...get(m), 0x6b, ...number(4), ...MULTIPLY]), ...get(x), ...bytes, ...number(ROWS), ...MULTIPLY, ...ADD, ...set(x), ...raise(i, number(ROWS))],
  [...get(i), ...get(n), 0x49]);
  const code = [...vector([[...unsigned(9), 0x7f], [...unsigned(11), 0x7b]]), ...body, 0x0b];
  const name = (text) => vector([...text].map((c) => [c.charCodeAt(0)]));
  return new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, vector([[0x60, ...vector(Array(8).fill([0x7f])), 0]])),
    ...section(2, vector([[...name("a"), ...name("m"), 2, 0, 1]])),
    ...section(3, vector([[0]])), ...section(7, vector([[...name("dot"), 0, 0]])),
    ...section(10, vector([[...unsigned(code.length), ...code]]))]);
}

/** out[i, j] = Σ_k x[i, k] w[j, k] in plain loops; x has n rows of d numbers, w has m. */
export function plainDot(x, w, n, m, d, out = new Float32Array(n * m)) {
  for (let i = 0; i < n; i++) {
    const a = i * d;
    let j = 0;
    for (; j + 4 <= m; j += 4) {
      const b0 = j * d, b1 = b0 + d, b2 = b1 + d, b3 = b2 + d;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (let k = 0; k < d; k++) {
        const y = x[a + k];
        s0 += y * w[b0 + k]; s1 += y * w[b1 + k]; s2 += y * w[b2 + k]; s3 += y * w[b3 + k];
      }
      const o = i * m + j;
      out[o] = s0; out[o + 1] = s1; out[o + 2] = s2; out[o + 3] = s3;
    }
    for (; j < m; j++) {
      let s = 0;
      for (let k = 0; k < d; k++) s += x[a + k] * w[j * d + k];
      out[i * m + j] = s;
    }
  }
  return out;
}

/** Products over weights that lie in one memory, `room` numbers of them; `swift` where they are compiled. */
export class Kernel {
  constructor(room) {
    const code = typeof WebAssembly === "object" && [assembled(true), assembled(false)].find((bytes) => WebAssembly.validate(bytes));
    this.swift = Boolean(code);
    this.used = 0;
    if (!code) return;
    const pages = Math.ceil((4 * (room + 3 * SCRATCH)) / 65536) + 1;
    this.memory = new WebAssembly.Memory({ initial: pages });
    this.all = new Float32Array(this.memory.buffer);
    this.run = new WebAssembly.Instance(new WebAssembly.Module(code), { a: { m: this.memory } }).exports.dot;
    this.places = [0, 1, 2].map(() => this.take(SCRATCH).byteOffset / 4);
  }

  /** Zeros that stay, and need not be moved to be multiplied. */
  take(length) {
    if (!this.swift) return new Float32Array(length);
    const from = this.used;
    this.used += 4 * Math.ceil(length / 4);
    return this.all.subarray(from, from + length);
  }

  /** Where an array lies: where it is, if resident, or in a scratch place, padded with zeros to `length`. */
  at(array, place, length) {
    if (array.buffer === this.memory.buffer && array.length >= length) return array.byteOffset;
    const start = this.places[place];
    this.all.set(array, start);
    this.all.fill(0, start + array.length, start + length);
    return 4 * start;
  }

  /** out[i, j] = Σ_k x[i, k] w[j, k]: x has n rows of d numbers, w has m, and the answer n rows of m. */
  dot(x, w, n, m, d, out = new Float32Array(n * m)) {
    const wide = COLUMNS * Math.ceil(m / COLUMNS), rows = Math.floor(SCRATCH / Math.max(wide, d)) & ~1;
    const fits = this.swift && (wide * d <= SCRATCH || w.buffer === this.memory.buffer);
    if (!fits || d % STEP || rows < ROWS) return plainDot(x, w, n, m, d, out);
    const from = this.at(w, 1, wide * d), to = this.places[2];
    for (let i = 0; i < n; i += rows) {
      const count = Math.min(rows, n - i);
      this.part(this.at(x.subarray(i * d, (i + count) * d), 0, (count + (count & 1)) * d), from, count, wide, d, d);
      if (wide === m) out.set(this.all.subarray(to, to + count * m), i * m);
      else for (let r = 0; r < count; r++) out.set(this.all.subarray(to + r * wide, to + r * wide + m), (i + r) * m);
    }
    return out;
  }

  /**
   * Rows in `heads` parts of d numbers each: out[head, i, j] = Σ_k x[i, head d + k] w[j, head d + k], where x has n rows and w has m.
   */
  parts(x, w, n, m, heads, d) {
    const all = heads * d, wide = COLUMNS * Math.ceil(m / COLUMNS), even = n + (n & 1), out = new Float32Array(heads * n * m);
    const fits = this.swift && Math.max(wide, even) * all <= SCRATCH && wide * even <= SCRATCH && d % STEP === 0;
    const from = fits && this.at(w, 1, wide * all), at = fits && this.at(x, 0, even * all), to = fits && this.places[2];
    const cut = (array, rows, h) => Float32Array.from({ length: rows * d }, (_, i) => array[Math.floor(i / d) * all + h * d + (i % d)]);
    for (let h = 0; h < heads; h++) {
      const own = out.subarray(h * n * m, (h + 1) * n * m);
      if (!fits) plainDot(cut(x, n, h), cut(w, m, h), n, m, d, own);
      else {
        this.part(at + 4 * h * d, from + 4 * h * d, n, wide, d, all);
        for (let r = 0; r < n; r++) own.set(this.all.subarray(to + r * wide, to + r * wide + m), r * m);
      }
    }
    return out;
  }

  /** The compiled sums of n rows at address x and `wide` rows at w into the third place: as many rows of w at once as stay near the processor. */
  part(x, w, n, wide, d, apart) {
    const even = n + (n & 1), to = this.places[2];
    this.all.fill(0, to, to + even * wide);
    for (let j = 0; j < wide; j += BLOCK) for (let k = 0; k < d; k += AT_ONCE)
      this.run(x + 4 * k, w + 4 * (j * apart + k), 4 * (to + j), even, Math.min(BLOCK, wide - j), Math.min(AT_ONCE, d - k), apart, wide);
  }
}
