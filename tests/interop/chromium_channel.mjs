// Headless Chromium, two RTCPeerConnections in one page, iceTransportPolicy "relay": data-channel ping-pongs.
// Prints one JSON line: how many came back, and what the nominated pair was made of. Needs puppeteer-core.
//
// node chromium_channel.mjs --server HOST:PORT --user U --password P [--transport udp|tcp|tls] [--count 200] [--size 64]
//   [--chromium PATH]

import { parseArgs } from "node:util";

import { OPTIONS, report } from "./chromium_start.mjs";

const { values: wish } = parseArgs({
  options: {
    ...OPTIONS,
    server: { type: "string" },
    transport: { type: "string", default: "udp" },
    user: { type: "string" },
    password: { type: "string" },
    count: { type: "string", default: "200" },
    size: { type: "string", default: "64" },
  },
});

// Runs inside the page.
async function pingPong({ urls, username, credential, count, size }) {
  const configuration = {
    iceTransportPolicy: "relay",
    iceServers: [{ urls, username, credential }],
  };
  const caller = new RTCPeerConnection(configuration);
  const callee = new RTCPeerConnection(configuration);
  const faults = [];
  const candidates = [];
  const introduce = (one, other) => {
    one.onicecandidateerror = (e) => faults.push(`${e.errorCode} ${e.errorText}`);
    one.onicecandidate = ({ candidate }) => {
      if (candidate) candidates.push(candidate.type);
      other.addIceCandidate(candidate ?? undefined).catch((e) => faults.push(String(e)));
    };
  };
  callee.ondatachannel = ({ channel }) => {
    channel.onmessage = ({ data }) => channel.send(data);
  };
  const channel = caller.createDataChannel("ping", { ordered: true });
  const opened = new Promise((resolve, reject) => {
    channel.onopen = resolve;
    caller.oniceconnectionstatechange = () => {
      if (caller.iceConnectionState === "failed") reject(new Error(`ICE failed: ${faults.join("; ")}`));
    };
  });
  introduce(caller, callee);
  introduce(callee, caller);
  await caller.setLocalDescription();
  await callee.setRemoteDescription(caller.localDescription);
  await callee.setLocalDescription();
  await caller.setRemoteDescription(callee.localDescription);
  await opened;

  const started = performance.now();
  let echoed = 0;
  for (let number = 0; number < count; number++) {
    const message = `${number}`.padEnd(size, ".");
    const answer = new Promise((resolve) => (channel.onmessage = ({ data }) => resolve(data)));
    channel.send(message);
    echoed += (await answer) === message ? 1 : 0;
  }
  const milliseconds = Math.round(performance.now() - started);

  const report = [...(await caller.getStats()).values()];
  const named = (id) => report.find((entry) => entry.id === id);
  const transport = report.find((entry) => entry.type === "transport");
  const pair = named(transport.selectedCandidatePairId);
  const [local, remote] = [named(pair.localCandidateId), named(pair.remoteCandidateId)];
  caller.close();
  callee.close();
  return {
    ok: echoed === count && local.candidateType === "relay" && remote.candidateType === "relay",
    echoed,
    sent: count,
    milliseconds,
    local: local.candidateType,
    remote: remote.candidateType,
    relay_protocol: local.relayProtocol,
    candidate_types: [...new Set(candidates)],
    packets_sent: pair.packetsSent,
    packets_received: pair.packetsReceived,
    faults,
  };
}

async function visit(browser) {
  const page = await browser.newPage();
  const late = Number(wish.timeout) * 1000;
  return await Promise.race([
    page.evaluate(pingPong, {
      urls: wish.transport === "tls" ? `turns:${wish.server}?transport=tcp` : `turn:${wish.server}?transport=${wish.transport}`,
      username: wish.user,
      credential: wish.password,
      count: Number(wish.count),
      size: Number(wish.size),
    }),
    new Promise((_, reject) => {
      setTimeout(() => reject(new Error(`nothing after ${wish.timeout} s`)), late).unref();
    }),
  ]);
}

await report(wish, visit);
