/** Eigenvalues of a small square matrix, by QR steps on its Hessenberg form, in complex numbers. */

const size = (re, im) => Math.hypot(re, im);

/** Real and imaginary parts of the eigenvalues of an n by n matrix, given by its rows. */
export function eigenvalues(matrix, n) {
  const re = Float64Array.from(matrix), im = new Float64Array(n * n), found = [];
  hessenberg(re, n);
  let end = n - 1, turns = 0;
  while (end >= 0) {
    let start = end;
    for (; start > 0; start--) {
      const at = start * n + start - 1;
      const around = size(re[at - n], im[at - n]) + size(re[at + 1], im[at + 1]);
      if (size(re[at], im[at]) <= 1e-14 * around || size(re[at], im[at]) < 1e-300) break;
    }
    if (start === end) {
      found.push([re[end * n + end], im[end * n + end]]);
      end--;
      turns = 0;
    } else if (++turns > 300) throw new Error("The eigenvalues were not found.");
    else step(re, im, n, start, end, turns % 11 === 10 ? odd(re, n, end) : shift(re, im, n, end));
  }
  return found;
}

/** Zeros below the first subdiagonal, by elimination with pivots: eigenvalues stay. */
function hessenberg(a, n) {
  for (let m = 1; m < n - 1; m++) {
    let pivot = m;
    for (let i = m + 1; i < n; i++) if (Math.abs(a[i * n + m - 1]) > Math.abs(a[pivot * n + m - 1])) pivot = i;
    if (!a[pivot * n + m - 1]) continue;
    if (pivot !== m) {
      for (let j = 0; j < n; j++) [a[m * n + j], a[pivot * n + j]] = [a[pivot * n + j], a[m * n + j]];
      for (let i = 0; i < n; i++) [a[i * n + m], a[i * n + pivot]] = [a[i * n + pivot], a[i * n + m]];
    }
    for (let i = m + 1; i < n; i++) {
      const share = a[i * n + m - 1] / a[m * n + m - 1];
      if (!share) continue;
      for (let j = 0; j < n; j++) a[i * n + j] -= share * a[m * n + j];
      for (let r = 0; r < n; r++) a[r * n + m] += share * a[r * n + i];
    }
  }
}

/** The eigenvalue of the last two rows that lies nearest to the last entry. */
function shift(re, im, n, end) {
  const at = (i, j) => [re[i * n + j], im[i * n + j]], p = end - 1;
  const [a, b, c, d] = [at(p, p), at(p, end), at(end, p), at(end, end)];
  const half = [(a[0] - d[0]) / 2, (a[1] - d[1]) / 2];
  const square = [half[0] ** 2 - half[1] ** 2 + b[0] * c[0] - b[1] * c[1], 2 * half[0] * half[1] + b[0] * c[1] + b[1] * c[0]];
  const length = size(...square), root = [Math.sqrt((length + square[0]) / 2), Math.sqrt(Math.max(0, (length - square[0]) / 2))];
  if (square[1] < 0) root[1] = -root[1];
  if (Number.isNaN(root[0])) root[0] = 0;
  const sign = half[0] * root[0] + half[1] * root[1] > 0 ? -1 : 1;  // the one nearer to d
  return [d[0] + half[0] + sign * root[0], d[1] + half[1] + sign * root[1]];
}

const odd = (re, n, end) => [re[end * n + end] + Math.abs(re[end * n + end - 1]), 0];

/** One QR step from row `start` to row `end`, by Givens rotations. */
function step(re, im, n, start, end, [sr, si]) {
  for (let i = start; i <= end; i++) { re[i * n + i] -= sr; im[i * n + i] -= si; }
  const turns = [];
  for (let i = start; i < end; i++) {
    const a = i * n + i, b = a + n, length = Math.hypot(re[a], im[a], re[b], im[b]) || 1;
    const c = [re[a] / length, im[a] / length], s = [re[b] / length, im[b] / length];
    turns.push([c, s]);
    for (let j = i; j <= end; j++) {
      const x = i * n + j, y = x + n, [xr, xi, yr, yi] = [re[x], im[x], re[y], im[y]];
      re[x] = c[0] * xr + c[1] * xi + s[0] * yr + s[1] * yi;
      im[x] = c[0] * xi - c[1] * xr + s[0] * yi - s[1] * yr;
      re[y] = -s[0] * xr + s[1] * xi + c[0] * yr - c[1] * yi;
      im[y] = -s[0] * xi - s[1] * xr + c[0] * yi + c[1] * yr;
    }
  }
  turns.forEach(([c, s], place) => {
    const i = start + place;
    for (let r = start; r <= Math.min(end, i + 1); r++) {
      const x = r * n + i, y = x + 1, [xr, xi, yr, yi] = [re[x], im[x], re[y], im[y]];
      re[x] = xr * c[0] - xi * c[1] + yr * s[0] - yi * s[1];
      im[x] = xr * c[1] + xi * c[0] + yr * s[1] + yi * s[0];
      re[y] = -xr * s[0] - xi * s[1] + yr * c[0] + yi * c[1];
      im[y] = xr * s[1] - xi * s[0] - yr * c[1] + yi * c[0];
    }
  });
  for (let i = start; i <= end; i++) { re[i * n + i] += sr; im[i * n + i] += si; }
}
