// Media by one transport: two peer connections of this page that reach each other through the relay alone. What comes
// back went out through the firewall and in again.

import { spread } from "./report.js";

const CONNECTS_WITHIN = 6000;
const PINGS = 10;
const PACKETS = 50;
const EVERY = 20;
/** As large as packets of media are; what a path with a smaller MTU loses. */
const BYTES = 1200;
const LAST = 1000;

/**
 * @param {RTCIceServer[]} iceServers those of one transport, or all
 * @returns round trips, loss, and by what the browser went; throws with the reason when it does not connect
 */
export async function measure(iceServers) {
  const configuration = { iceServers, iceTransportPolicy: "relay" };
  const [near, far] = [new RTCPeerConnection(configuration), new RTCPeerConnection(configuration)];
  try {
    const started = performance.now();
    const channel = await connect(near, far);
    const elapsed_ms = Math.round(performance.now() - started);
    const rtt_ms = spread(await pings(channel));
    const loss = await lost(channel);
    return { elapsed_ms, rtt_ms, loss, proto: await protocol(near) };
  } finally {
    near.close();
    far.close();
  }
}

function connect(near, far) {
  const faults = [];
  const introduce = (one, other) => {
    one.onicecandidate = ({ candidate }) => {
      if (candidate) other.addIceCandidate(candidate).catch((fault) => faults.push(String(fault)));
    };
    one.onicecandidateerror = ({ errorCode, errorText }) => faults.push(`${errorText} (${errorCode})`);
  };
  introduce(near, far);
  introduce(far, near);
  // Neither repeated nor put in order: as media is.
  const channel = near.createDataChannel("check", { ordered: false, maxRetransmits: 0 });
  channel.binaryType = "arraybuffer";
  far.ondatachannel = ({ channel: echo }) => {
    echo.onmessage = ({ data }) => echo.send(data);
  };
  return new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error([why, ...new Set(faults)].join("; ")));
    const late = setTimeout(() => fail(`no connection within ${CONNECTS_WITHIN / 1000} s`), CONNECTS_WITHIN);
    channel.onopen = () => {
      clearTimeout(late);
      resolve(channel);
    };
    near.oniceconnectionstatechange = () => {
      if (near.iceConnectionState === "failed") fail("no connection");
    };
    negotiate(near, far).catch((fault) => fail(String(fault)));
  });
}

async function negotiate(near, far) {
  await near.setLocalDescription();
  await far.setRemoteDescription(near.localDescription);
  await far.setLocalDescription();
  await near.setRemoteDescription(far.localDescription);
}

async function pings(channel) {
  const times = [];
  for (let number = 0; number < PINGS; number++) {
    const started = performance.now();
    const back = new Promise((resolve) => {
      channel.onmessage = resolve;
      setTimeout(resolve, LAST, null);
    });
    channel.send(new Uint8Array(64).fill(number));
    if (await back) times.push(performance.now() - started);
  }
  return times;
}

async function lost(channel) {
  const back = new Set();
  let whole;
  const all = new Promise((resolve) => {
    whole = resolve;
  });
  channel.onmessage = ({ data }) => {
    // A ping that is late is none of them.
    if (data.byteLength !== BYTES) return;
    back.add(new Uint8Array(data)[0]);
    if (back.size === PACKETS) whole();
  };
  for (let number = 0; number < PACKETS; number++) {
    channel.send(new Uint8Array(BYTES).fill(number));
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
  await Promise.race([all, new Promise((resolve) => setTimeout(resolve, LAST))]);
  return { sent: PACKETS, lost: PACKETS - back.size, bytes: BYTES };
}

/** "udp", "tcp" or "tls": of the pair in use. */
async function protocol(near) {
  const report = [...(await near.getStats()).values()];
  const named = (id) => report.find((entry) => entry.id === id);
  const transport = report.find((entry) => entry.type === "transport");
  const pair = named(transport?.selectedCandidatePairId) ?? report.find((entry) => entry.nominated);
  return named(pair?.localCandidateId)?.relayProtocol ?? "unknown";
}
