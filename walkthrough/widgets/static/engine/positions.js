/** Positions as the models were trained with: sinusoids, as `networks.sinusoids` has them. */

// Radians a token, by n_ctx and d_model, in single precision as torch's logspace gives them: it does not round as this
// language does, and a last digit there is a fourth digit in the angle of position 255.
const FREQUENCIES = {
  "256 256": [
    "2w9JQM94QEC1PzhAjGAwQHvXKEDVoCFAE7kaQNgcFEDpyA1AMLoHQLftAUBTwfg/piDuPzX04z8JN9o/YuTQP7H3xz+dbL8/+T63P8hqrz837Kc/",
    "nr+gP3zhmT92TpM/WQONPxD9hj+sOIE/tWZ3P9bUbD+TtmI/+gZZP07BTz8P4UY/4mE+P6M/Nj9adi4/OwInP6HfHz8QCxk/NIESP9s+DD/3QAY/",
    "nYQAP/oN9j7Wius+q3rhPpHY1z7Sn84+78vFPppYvT6xQbU+QoOtPoQZpj7bAJ8+zzWYPhC1kT5ve4s+5oWFPhGjfz4ft3Q+oEJqPnxAYD7Nq1Y+",
    "6X9NPlO4RD7DUDw+H0U0PnuRLD4SMiU+TSMePrhhFz4I6hA+FLkKPtjLBD7bPv49IWLzPTX86D0CCN89rYDVPZBhzD02psM9XUq7Pe9Jsz0Foas9",
    "40ukPfJGnT3IjpY9HCCQPcj3iT3OEoQ9ltx8Pf8Ocj2Pt2c9PNFdPS9XVD3GREs9l5VCPWRFOj0cUDI937EqPfRmIz3Maxw9/rwVPUdXDz2JNwk9",
    "xVoDPUB8+zy2vfA8r3TmPCac3DxNL9M8iinKPHSGwTzWQbk8plexPAbEqTxEg6I81pGbPFjslDyMj448VniIPL2jgjzUHXo8Q25vPJAzZTzAaFs8",
    "CQlSPNgPSTw=",
  ].join(""),
  "256 128": [
    "2w9JQAgfOECcmyhAzmYaQG1kDUCnegFAriPtP64o2T+m3MY/Rxu2P0/Dpj9Ntpg/XdiLP/YPgD9pi2o/YchWP5qvRD8qHTQ/LvAkP4gKFz+iUAo/",
    "eFL9Pmn65z69btQ+p4jCPqMksj4pIqM+cGOVPjHNiD7ejHo+m3BlPq0bUj67Z0A+oDEwPjJZIT76wBM+/E0HPgnP9z3n7eI9Ic/PPcVMvj0URK49",
    "O5WfPRgjkj350oU94hh1PTxyYD0FiU09tTc8Pe5bLD021h09vYkQPRxcBD1TavI8hv3dPEhJyzx6KLo8H3mqPBYcnDzd9I48WemCPEfDbzyxj1s8",
    "2A9JPA==",
  ].join(""),
  "128 64": [
    "2w9JQHTuK0CBBRNA7nD7P/UC1z8q3Lc/yDidP2pxhj/S7WU/vZ1EPzshKD9JxQ8/pOH1PuFB0j5sy7M+076ZPmV4gz5O2GA+ykRAPodpJD54lww+",
    "0nHwPbabzT2w0a89i1iWPTSQgD2Q31s9cgQ8Pd7GID2lewk9xyDrPN0PyTw=",
  ].join(""),
};

/** Frequencies from π down to π / n_ctx, for a shape that does not ship. */
function geometric(n_ctx, half) {
  return Float32Array.from({ length: half }, (_, i) => Math.PI * n_ctx ** (-i / (half - 1)));
}

/** The frequencies that ship, or others. */
export function frequencies(n_ctx, d_model) {
  const stored = FREQUENCIES[`${n_ctx} ${d_model}`];
  if (!stored) return geometric(n_ctx, d_model / 2);
  const view = new DataView(Uint8Array.from(atob(stored), (c) => c.charCodeAt(0)).buffer);
  return Float32Array.from({ length: d_model / 2 }, (_, i) => view.getFloat32(4 * i, true));
}

/** [n_ctx d_model]: sine and cosine of position times frequency, side by side; angles in single precision, as in Python. */
export function sinusoids(n_ctx, d_model) {
  const out = new Float32Array(n_ctx * d_model);
  frequencies(n_ctx, d_model).forEach((frequency, i) => {
    for (let pos = 0; pos < n_ctx; pos++) {
      const angle = Math.fround(pos * frequency);
      out[pos * d_model + 2 * i] = Math.sin(angle);
      out[pos * d_model + 2 * i + 1] = Math.cos(angle);
    }
  });
  return out;
}
