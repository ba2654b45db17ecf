// The mode machine of a browser: pure, without a clock and without WebRTC. It says when to restart ICE and over what;
// the thresholds are those of the relay's other clients (docs/connect.md), as far as a browser lets a page decide.
//
// A page cannot send on two legs at once. The first doubt therefore starts the other leg (an ICE restart leaves the old
// pair in use until a new one is nominated), where other clients begin to duplicate.

import { CloudProxyError } from "./faults.js";

export const MODES = Object.freeze(["UDP_OVER_TCP", "UDP_ONLY", "TCP_ONLY"]);

/** Milliseconds, but for counts and shares. */
export const TIMING = Object.freeze({
  /** How often what flows is looked at. */
  look: 250,
  /** No proof of a path in use for as long: it is in doubt. */
  doubt: 1500,
  /** The same where nothing flows but the browser's own checks, which come every 2.5 s. */
  quietDoubt: 6000,
  /** Still no proof as long after a restart: restart again. */
  again: 5000,
  /** A share of packets lost over `lossSpan`. */
  loss: 0.15,
  lossSpan: 3000,
  /** Without any pair for as long: the mode has failed. */
  failed: 15000,
  /** Between probes of UDP while on TCP. */
  probe: 5000,
  probeMost: 60000,
  /** Stay on TCP at least as long; doubled by each flap. */
  dwell: 15000,
  dwellMost: 300000,
  /** Without a switch for as long, flaps are forgotten. */
  calm: 600000,
});

/** @param {unknown} mode */
export function modeOf(mode) {
  if (mode === undefined || mode === null) {
    return MODES[0];
  }
  if (typeof mode !== "string" || !MODES.includes(mode)) {
    throw new CloudProxyError("bad-option", `preferredProtocol ${JSON.stringify(mode)} is none of ${MODES.join(", ")}`);
  }
  return mode;
}

/**
 * @typedef {import("./cloud-proxy.d.ts").Timing} Timing
 * @typedef {"udp" | "tcp"} Leg
 * @typedef {{ at: number, leg: Leg | null, proof: string | null, busy: boolean, lost: number, received: number }} Look
 *   `proof` is another one whenever anything arrived; `busy` when more than checks flow; `lost` and `received` count packets.
 * @typedef {{ do: "restart", over: "tcp" | "any" } | { do: "probe" } | { do: "fail" }
 *   | { do: "tell", event: string, detail: Record<string, unknown> }} Step
 */

export class ModeMachine {
  /**
   * @param {string} mode
   * @param {number} now
   * @param {Partial<Timing>} [timing]
   */
  constructor(mode, now, timing = {}) {
    this.mode = mode;
    /** @type {Timing} */
    this.timing = { ...TIMING, ...timing };
    /** @type {Leg | null} */
    this.leg = null;
    this.began = now;
    this.failed = false;
    /** @type {string | null} */
    this.proof = null;
    this.proven = now;
    /** Packets lost when there last was proof. */
    this.lost = 0;
    this.doubted = false;
    this.restartAt = Infinity;
    /** @type {Look[]} */
    this.looks = [];
    this.since = now;
    this.flaps = 0;
    this.probing = false;
    this.probeAt = Infinity;
    this.probeEvery = this.timing.probe;
    this.reason = "connect";
  }

  /**
   * What the connection looks like now.
   *
   * @param {Look} look
   * @returns {Step[]}
   */
  look(look) {
    /** @type {Step[]} */
    const steps = [];
    if (look.leg && look.leg !== this.leg) {
      steps.push(this.#arrive(look.leg, look));
    }
    if (look.proof !== null && look.proof !== this.proof) {
      this.proof = look.proof;
      this.proven = look.at;
      this.lost = look.lost;
      this.doubted &&= this.#losing(look);
    }
    if (!this.leg) {
      return steps.concat(this.#wait(look.at));
    }
    this.looks = this.looks.filter((old) => old.at > look.at - this.timing.lossSpan).concat(look);
    const doubt = this.#doubt(look);
    if (doubt && !this.doubted) {
      this.doubted = true;
      steps.push({ do: "tell", event: "transport-degraded", detail: { proto: this.leg, reason: doubt } });
      steps.push(...this.#leave(doubt, look.at));
    } else if (this.doubted && look.at >= this.restartAt) {
      steps.push(...this.#leave("no-proof", look.at, "any"));
    }
    return steps.concat(this.#returning(look.at));
  }

  /**
   * A probe of UDP has ended.
   *
   * @param {boolean} good
   * @param {number} now
   * @returns {Step[]}
   */
  probed(good, now) {
    this.probing = false;
    this.probeEvery = good ? this.timing.probe : Math.min(2 * this.probeEvery, this.timing.probeMost);
    this.probeAt = now + this.probeEvery;
    if (!good || this.leg !== "tcp" || now < this.since + this.#dwell()) {
      return [];
    }
    this.reason = "udp-works-again";
    this.probeAt = Infinity;
    return [{ do: "restart", over: "any" }];
  }

  /**
   * The other side has restarted ICE: both ends of a broken path notice at once, and one restart is enough.
   *
   * @param {number} now
   */
  otherRestarted(now) {
    this.doubted = true;
    this.reason = "other-side";
    this.restartAt = now + this.timing.doubt;
    this.looks = [];
  }

  /**
   * The machine has another network: what was learned of the old one says nothing.
   *
   * @param {number} now
   * @returns {Step[]}
   */
  networkChanged(now) {
    this.flaps = 0;
    this.probeEvery = this.timing.probe;
    this.proven = now;
    this.reason = "network-changed";
    return this.leg ? [{ do: "restart", over: "any" }] : [];
  }

  /**
   * The browser gave the connection up.
   *
   * @param {number} now
   * @returns {Step[]}
   */
  gaveUp(now) {
    if (!this.leg) {
      return this.#fail();
    }
    this.doubted = true;
    return this.#leave("ice-failed", now);
  }

  /**
   * @param {Leg} leg
   * @param {Look} look
   * @returns {Step}
   */
  #arrive(leg, { at: now, lost }) {
    const from = this.leg;
    const reason = this.reason;
    const detail = { from, to: leg, reason, gap_ms: Math.round(now - this.proven), lost: lost - this.lost };
    this.leg = leg;
    this.looks = [];
    this.doubted = false;
    this.proven = now;
    this.probeAt = leg === "tcp" && this.mode === "UDP_OVER_TCP" ? now + this.timing.probe : Infinity;
    if (!from) {
      this.since = now;
      return { do: "tell", event: "transport-selected", detail: { proto: leg, elapsed_ms: Math.round(now - this.began), reason } };
    }
    if (leg === "tcp") {
      this.flaps = now - this.since > this.timing.calm ? 1 : this.flaps + 1;
    }
    this.since = now;
    return { do: "tell", event: "transport-switched", detail };
  }

  /** @param {number} now */
  #wait(now) {
    return !this.failed && now - this.began >= this.timing.failed ? this.#fail() : [];
  }

  /** @returns {Step[]} */
  #fail() {
    if (this.failed) {
      return [];
    }
    this.failed = true;
    return [{ do: "fail" }];
  }

  /** @param {Look} look */
  #doubt(look) {
    const silent = look.at - this.proven;
    if (silent >= (this.#wasBusy() ? this.timing.doubt : this.timing.quietDoubt)) {
      return "no-proof";
    }
    return this.leg === "udp" && this.#losing(look) ? "loss" : null;
  }

  /** @param {Look} look */
  #losing(look) {
    const oldest = this.looks[0];
    if (!oldest || look.at - oldest.at < this.timing.lossSpan * 0.8) {
      return false;
    }
    const [lost, received] = [look.lost - oldest.lost, look.received - oldest.received];
    return lost > 0 && lost / (lost + received) >= this.timing.loss;
  }

  /** Whether media flowed until it stopped. */
  #wasBusy() {
    return this.looks.some((look) => look.busy);
  }

  /**
   * @param {string} reason
   * @param {number} now
   * @param {"tcp" | "any"} over
   * @returns {Step[]}
   */
  #leave(reason, now, over = this.mode === "UDP_OVER_TCP" && this.leg === "udp" ? "tcp" : "any") {
    this.reason = reason;
    this.restartAt = now + this.timing.again;
    // What was lost before says nothing of what comes now.
    this.looks = [];
    return [{ do: "restart", over }];
  }

  /**
   * @param {number} now
   * @returns {Step[]}
   */
  #returning(now) {
    if (this.leg !== "tcp" || this.probing || now < this.probeAt) {
      return [];
    }
    this.probing = true;
    return [{ do: "probe" }];
  }

  #dwell() {
    const doubled = this.timing.dwell * 2 ** Math.max(0, this.flaps - 1);
    return Math.min(doubled, this.timing.dwellMost);
  }
}
