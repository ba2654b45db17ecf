// The browser's side of a cloud proxy: one address for signaling and media, and a mode that is kept in mid-call.

import { baseUrl, behind } from "./address.js";
import { Credentials } from "./credentials.js";
import { CloudProxyError } from "./faults.js";
import { Keeper } from "./keeper.js";
import { MODES, TIMING, modeOf } from "./mode.js";
import { negotiate } from "./negotiate.js";
import { preferNewest } from "./rank.js";

export { CloudProxyError, MODES, TIMING, negotiate };

export class CloudProxy extends EventTarget {
  #base;
  #credentials;
  #timing;

  /** @param {import("./cloud-proxy.d.ts").Options} options */
  constructor(options) {
    super();
    const { signalingBaseUrl, preferredProtocol, token, timing } = options ?? {};
    this.#base = baseUrl(signalingBaseUrl);
    const mode = modeOf(preferredProtocol);
    if (typeof token !== "function" && (typeof token !== "string" || token === "")) {
      throw new CloudProxyError("bad-option", "token is missing: give the one your server got for this user, or a function that gets it");
    }
    this.#credentials = new Credentials(this.#base, mode, token, (...request) => globalThis.fetch(...request));
    this.#timing = timing;
  }

  get signalingBaseUrl() {
    return this.#base.href;
  }

  get preferredProtocol() {
    return this.#credentials.mode;
  }

  /** Media by the proxy alone. */
  async rtcConfiguration() {
    const iceServers = await this.#reported(this.#credentials.servers());
    return { iceServers, iceTransportPolicy: /** @type {const} */ ("relay") };
  }

  /** @param {RTCConfiguration} [more] */
  async createPeerConnection(more = {}) {
    const configuration = { ...more, ...(await this.rtcConfiguration()) };
    const connection = new RTCPeerConnection(configuration);
    preferNewest(connection);
    const tell = (/** @type {string} */ event, /** @type {object} */ detail) =>
      this.dispatchEvent(new CustomEvent(event, { detail }));
    const keeper = new Keeper(connection, this.#credentials, configuration, tell, this.#timing);
    const close = connection.close.bind(connection);
    connection.close = () => {
      keeper.stop();
      close();
    };
    return connection;
  }

  /**
   * @param {string | URL} path
   * @param {RequestInit} [init]
   */
  async fetch(path, init) {
    return globalThis.fetch(behind(this.#base, path), init);
  }

  /**
   * @param {string | URL} path
   * @param {string | string[]} [protocols]
   */
  webSocket(path, protocols) {
    const url = behind(this.#base, path);
    url.protocol = url.protocol.replace(/^http/, "ws");
    return new WebSocket(url, protocols);
  }

  /**
   * A refusal by a rule is an event as well: it may come in mid-call, when nobody awaits anything.
   *
   * @template T
   * @param {Promise<T>} asking
   */
  async #reported(asking) {
    try {
      return await asking;
    } catch (fault) {
      if (fault instanceof CloudProxyError && fault.code === "policy-refused") {
        this.dispatchEvent(new CustomEvent("policy-refused", { detail: { rule: fault.rule, error: fault } }));
      }
      throw fault;
    }
  }
}
