// Keeps one peer connection on the best transport its mode allows: looks at it, asks the mode machine, does what it says.

import { only, transportOf } from "./credentials.js";
import { transportFailed } from "./faults.js";
import { lookAt } from "./look.js";
import { ModeMachine } from "./mode.js";
import { udpWorks } from "./probe.js";

export class Keeper {
  /**
   * @param {RTCPeerConnection} connection
   * @param {import("./credentials.js").Credentials} credentials
   * @param {RTCConfiguration} configuration
   * @param {(event: string, detail: object) => void} tell
   * @param {object} [timing]
   */
  constructor(connection, credentials, configuration, tell, timing) {
    this.connection = connection;
    this.credentials = credentials;
    this.configuration = configuration;
    this.tell = tell;
    this.began = performance.now();
    this.machine = new ModeMachine(credentials.mode, this.began, timing);
    this.bytes = 0;
    /** @type {Map<string, string>} */
    this.faults = new Map();
    this.looking = false;
    this.timer = setInterval(() => this.#look(), this.machine.timing.look);
    this.networkChanged = () => this.#do(this.machine.networkChanged(performance.now()));
    this.networks = [globalThis, /** @type {any} */ (globalThis.navigator)?.connection].filter(Boolean);
    this.#hearNetworks("addEventListener");
    connection.addEventListener("icecandidateerror", (event) => {
      this.faults.set(event.url, event.errorText || `error ${event.errorCode}`);
    });
    connection.addEventListener("signalingstatechange", () => {
      if (connection.signalingState === "have-remote-offer" && this.machine.leg) {
        this.machine.otherRestarted(performance.now());
      }
    });
    connection.addEventListener("iceconnectionstatechange", () => {
      if (connection.iceConnectionState === "failed") {
        this.#do(this.machine.gaveUp(performance.now()));
      }
    });
  }

  stop() {
    clearInterval(this.timer);
    this.#hearNetworks("removeEventListener");
  }

  /** @param {"addEventListener" | "removeEventListener"} how */
  #hearNetworks(how) {
    for (const network of this.networks) {
      network[how](network === globalThis ? "online" : "change", this.networkChanged);
    }
  }

  async #look() {
    if (this.connection.connectionState === "closed") {
      this.stop();
      return;
    }
    if (this.looking) {
      return;
    }
    this.looking = true;
    try {
      const look = lookAt(await this.connection.getStats(), performance.now());
      look.busy = look.bytes > this.bytes;
      this.bytes = look.bytes;
      this.#do(this.machine.look(look));
    } finally {
      this.looking = false;
    }
  }

  /** @param {import("./mode.js").Step[]} steps */
  #do(steps) {
    for (const step of steps) {
      if (step.do === "tell") {
        this.tell(step.event, { connection: this.connection, ...step.detail });
      } else if (step.do === "restart") {
        this.#restart(step.over).catch((fault) => this.tell("transport-failed", { connection: this.connection, error: fault }));
      } else if (step.do === "probe") {
        this.#probe();
      } else {
        this.#fail();
      }
    }
  }

  /**
   * The application hears "negotiationneeded" and renegotiates, as for any other change.
   *
   * @param {"tcp" | "any"} over
   */
  async #restart(over) {
    const servers = await this.credentials.servers();
    this.connection.setConfiguration({ ...this.configuration, iceServers: only(servers, over) });
    this.connection.restartIce();
  }

  async #probe() {
    const good = await this.credentials.servers().then(udpWorks, () => false);
    this.#do(this.machine.probed(good, performance.now()));
  }

  async #fail() {
    const elapsed = Math.round(performance.now() - this.began);
    const urls = (this.configuration.iceServers ?? []).flatMap((server) => server.urls);
    const tried = urls.map((url) => ({
      transport: /^turns:/.test(url) ? /** @type {const} */ ("tls") : transportOf(url),
      server: url.replace(/^[a-z]+:/, "").replace(/\?.*$/, ""),
      elapsed_ms: elapsed,
      result: this.faults.get(url) ?? "no connection",
    }));
    this.tell("transport-failed", { connection: this.connection, error: transportFailed(this.credentials.mode, tried) });
  }
}
