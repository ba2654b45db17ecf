// Makes a browser prefer the pairs of the newest ICE restart.
//
// A browser stays on a pair of higher priority until nothing has arrived on it for some 3.5 s, whatever was found since;
// UDP ranks above TLS, so that a call whose UDP is cut would wait for all of it. The priority of a pair is first of all
// the smaller one of its two candidates' (RFC 8445 §6.1.2.3). Remote candidates therefore get priorities that are
// smaller than any local one and rise with every restart; within a restart their order stays.

/** Of the 32 bits of a priority those that tell apart what a browser gathers. */
const KEPT_BITS = 12;
/** Beyond it, priorities would reach those of local candidates. */
const MOST_RESTARTS = 2000;

export class Ranks {
  constructor() {
    /** Remote ICE user fragments, in the order they came. @type {string[]} */
    this.generations = [];
  }

  /**
   * @param {string} line "candidate:…" with or without "a="
   * @param {string | null | undefined} fragment whose candidate it is
   */
  line(line, fragment) {
    const own = / ufrag (\S+)/.exec(line)?.[1] ?? fragment;
    const generation = own ? this.#generation(own) : this.generations.length;
    return line.replace(/^((?:a=)?candidate:\S+ \d+ \S+ )(\d+)/i, (_, before, priority) => {
      return before + (generation * 2 ** KEPT_BITS + (Number(priority) >>> (32 - KEPT_BITS)));
    });
  }

  /** @param {string} sdp */
  description(sdp) {
    /** @type {string | undefined} */
    let fragment;
    const lines = sdp.split("\r\n").map((line) => {
      fragment = /^a=ice-ufrag:(\S+)/.exec(line)?.[1] ?? fragment;
      if (fragment) this.#generation(fragment);
      return line.startsWith("a=candidate:") ? this.line(line, fragment) : line;
    });
    return lines.join("\r\n");
  }

  /** @param {string} fragment */
  #generation(fragment) {
    if (!this.generations.includes(fragment)) {
      this.generations.push(fragment);
    }
    return Math.min(this.generations.indexOf(fragment) + 1, MOST_RESTARTS);
  }
}

/**
 * From now on, whatever the application learns of the other side goes through it.
 *
 * @param {RTCPeerConnection} connection
 */
export function preferNewest(connection) {
  const ranks = new Ranks();
  const describe = connection.setRemoteDescription.bind(connection);
  const add = connection.addIceCandidate.bind(connection);
  connection.setRemoteDescription = (/** @type {RTCSessionDescriptionInit} */ description) =>
    describe({ type: description.type, sdp: ranks.description(description.sdp ?? "") });
  connection.addIceCandidate = (/** @type {RTCIceCandidateInit | null | undefined} */ candidate) => {
    if (!candidate?.candidate) {
      return add(candidate ?? undefined);
    }
    const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
    return add({ sdpMid, sdpMLineIndex, usernameFragment, candidate: ranks.line(candidate.candidate, usernameFragment) });
  };
}
