// What a peer connection says of the path it uses, as the mode machine wants it.

/**
 * @param {RTCStatsReport} report
 * @param {number} now
 * @returns {import("./mode.js").Look & { bytes: number }}
 */
export function lookAt(report, now) {
  const entries = [...report.values()];
  const pair = selectedPair(report, entries);
  const local = pair && report.get(pair.localCandidateId);
  const inbound = entries.filter((entry) => entry.type === "inbound-rtp");
  const heard = entries.filter((entry) => entry.type === "remote-inbound-rtp");
  const bytes = pair?.bytesReceived ?? 0;
  return {
    at: now,
    leg: local ? legOf(local) : null,
    proof: local ? `${pair.id} ${bytes + (pair.responsesReceived ?? 0) + (pair.requestsReceived ?? 0)}` : null,
    bytes,
    busy: false,
    lost: sum(inbound, "packetsLost") + sum(heard, "packetsLost"),
    received: sum(inbound, "packetsReceived"),
  };
}

/**
 * @param {RTCStatsReport} report
 * @param {any[]} entries
 */
function selectedPair(report, entries) {
  const transport = entries.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
  if (transport) {
    const pair = report.get(transport.selectedCandidatePairId);
    return pair?.state === "succeeded" ? pair : undefined;
  }
  // Firefox has no transport entry with it, but marks the pair.
  return entries.find((entry) => entry.type === "candidate-pair" && entry.selected && entry.state === "succeeded");
}

/**
 * @param {any} candidate
 * @returns {"udp" | "tcp"}
 */
function legOf(candidate) {
  const protocol = candidate.relayProtocol ?? candidate.protocol;
  return protocol === "udp" ? "udp" : "tcp";
}

/**
 * @param {any[]} entries
 * @param {string} name
 */
function sum(entries, name) {
  return entries.reduce((total, entry) => total + Math.max(0, entry[name] ?? 0), 0);
}
