// What the SDK refuses or gives up on, in words an application can show and a code it can branch on.

/** @typedef {import("./cloud-proxy.d.ts").Attempt} Attempt */

/** Codes: "bad-option", "unauthorized", "policy-refused", "rate-limited", "unreachable", "bad-answer", "transport-failed". */
export class CloudProxyError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{ cause?: unknown, status?: number, retryAfter?: number, rule?: string, tried?: Attempt[], open?: string[] }}
   *   [details] becomes part of the error
   */
  constructor(code, message, { cause, ...details } = {}) {
    super(message, cause === undefined ? {} : { cause });
    this.name = "CloudProxyError";
    this.code = code;
    this.status = details.status;
    this.retryAfter = details.retryAfter;
    this.rule = details.rule;
    this.tried = details.tried;
    this.open = details.open;
  }
}

/**
 * No transport that the mode allows came up.
 *
 * @param {string} mode
 * @param {Attempt[]} tried
 */
export function transportFailed(mode, tried) {
  const said = tried.map((one) => `${one.transport} to ${one.server} for ${one.elapsed_ms} ms (${one.result})`);
  const open = tried.map((one) => `${one.transport === "udp" ? "UDP" : "TCP"} to ${one.server}`);
  const message =
    `No media transport works in mode ${mode}. Tried: ${said.join(", ") || "nothing, for the proxy offers none"}.` +
    (open.length ? ` Ask for the firewall to be opened for ${open.join(" and ")}.` : "");
  return new CloudProxyError("transport-failed", message, { tried, open });
}
