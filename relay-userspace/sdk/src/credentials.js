// ICE servers and short-lived credentials from the proxy's API, asked for once and used until they are about to end.

import { behind } from "./address.js";
import { CloudProxyError } from "./faults.js";

/** Of their lifetime: after it they are asked for anew. */
const FRESH = 0.75;
const PATIENCE = 10000;

const REFUSALS = new Map([
  [400, ["bad-option", "refused what was asked"]],
  [401, ["unauthorized", "did not take the token"]],
  [403, ["policy-refused", "refuses this client by a rule"]],
  [404, ["bad-answer", "has no API at this address"]],
  [409, ["policy-refused", "is not set up for this"]],
  [429, ["rate-limited", "was asked too often"]],
  [503, ["unreachable", "gives no credentials now"]],
]);

export class Credentials {
  /**
   * @param {URL} base
   * @param {string} mode
   * @param {string | (() => string | Promise<string>)} token
   * @param {typeof globalThis.fetch} fetch
   */
  constructor(base, mode, token, fetch) {
    this.url = behind(base, "v1/ice");
    this.mode = mode;
    this.token = token;
    this.fetch = fetch;
    /** @type {Promise<RTCIceServer[]> | null} */
    this.answer = null;
    this.until = 0;
  }

  /** Whoever asks while the proxy is asked waits for the same answer; a failed one is not kept. */
  servers() {
    if (!this.answer || this.until <= Date.now()) {
      this.until = Infinity;
      const asking = this.#ask();
      this.answer = asking;
      asking.catch(() => {
        this.answer = null;
      });
    }
    return this.answer;
  }

  async #ask() {
    const token = typeof this.token === "function" ? await this.token() : this.token;
    const abort = new AbortController();
    const late = setTimeout(() => abort.abort(), PATIENCE);
    let response, body;
    try {
      response = await this.fetch(this.url, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({ mode: this.mode }),
        signal: abort.signal,
      });
      body = await response.json().catch(() => null);
    } catch (cause) {
      const why = abort.signal.aborted ? `no answer in ${PATIENCE / 1000} s` : String(cause);
      throw new CloudProxyError("unreachable", `${this.url.host} cannot be reached: ${why}`, { cause });
    } finally {
      clearTimeout(late);
    }
    if (!response.ok) {
      throw refusal(this.url.host, response, body);
    }
    const { servers, lifetime } = understood(this.url.host, body);
    this.until = Date.now() + lifetime * 1000 * FRESH;
    return servers;
  }
}

/**
 * Of the servers of a mode those a leg may use.
 *
 * @param {RTCIceServer[]} servers
 * @param {"udp" | "tcp" | "any"} leg
 */
export function only(servers, leg) {
  const wanted = (/** @type {string} */ url) => leg === "any" || transportOf(url) === leg;
  return servers
    .map((server) => ({ ...server, urls: [server.urls].flat().filter(wanted) }))
    .filter((server) => server.urls.length > 0);
}

/**
 * @param {string} url
 * @returns {"udp" | "tcp"}
 */
export function transportOf(url) {
  const said = /[?&]transport=(udp|tcp)/i.exec(url)?.[1]?.toLowerCase();
  return said === "tcp" || (!said && /^(turns|stuns):/i.test(url)) ? "tcp" : "udp";
}

/**
 * @param {string} host
 * @param {Response} response
 * @param {any} body
 */
function refusal(host, response, body) {
  const [code, said] = REFUSALS.get(response.status) ?? ["bad-answer", `answered ${response.status}`];
  const why = typeof body?.error === "string" ? body.error : undefined;
  const retryAfter = Number(response.headers.get("retry-after")) || undefined;
  const details = { status: response.status, retryAfter, rule: body?.code };
  return new CloudProxyError(code, `${host} ${said}${why ? `: ${why}` : ""}`, details);
}

/**
 * @param {string} host
 * @param {any} body
 */
function understood(host, body) {
  const usable = (/** @type {any} */ one) => [one?.urls].flat().every((url) => /^(turns?|stuns?):/.test(url));
  if (!Array.isArray(body?.iceServers) || body.iceServers.length === 0 || !body.iceServers.every(usable)) {
    throw new CloudProxyError("bad-answer", `${host} answered without ICE servers`);
  }
  const lifetime = Number(body.ttl);
  return { servers: body.iceServers, lifetime: lifetime > 0 ? lifetime : 0 };
}
