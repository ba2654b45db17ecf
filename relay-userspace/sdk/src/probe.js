// Does UDP work at media size? Two peer connections of this page, both relayed by UDP, pass packets to each other: what
// comes back went out through the firewall and in again, at the size that a path with a small MTU loses.

import { only } from "./credentials.js";

const SIZE = 1200;
const IN_A_ROW = 10;
const EVERY = 50;
const PATIENCE = 5000;

/**
 * @param {RTCIceServer[]} servers
 * @returns {Promise<boolean>} whether ten in a row came back
 */
export async function udpWorks(servers) {
  const iceServers = only(servers, "udp");
  if (iceServers.length === 0) {
    return false;
  }
  const configuration = { iceServers, iceTransportPolicy: /** @type {const} */ ("relay") };
  const [near, far] = [new RTCPeerConnection(configuration), new RTCPeerConnection(configuration)];
  let late;
  try {
    return await Promise.race([
      exchange(near, far),
      new Promise((resolve) => {
        late = setTimeout(() => resolve(false), PATIENCE);
      }),
    ]);
  } catch {
    return false;
  } finally {
    clearTimeout(late);
    near.close();
    far.close();
  }
}

/**
 * @param {RTCPeerConnection} near
 * @param {RTCPeerConnection} far
 */
async function exchange(near, far) {
  const introduce = (/** @type {RTCPeerConnection} */ one, /** @type {RTCPeerConnection} */ other) =>
    one.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate) other.addIceCandidate(candidate).catch(() => {});
    });
  introduce(near, far);
  introduce(far, near);
  // Neither repeated nor put in order: as media is.
  const channel = near.createDataChannel("probe", { ordered: false, maxRetransmits: 0 });
  far.addEventListener("datachannel", ({ channel: echo }) => {
    echo.addEventListener("message", ({ data }) => echo.send(data));
  });
  const opened = new Promise((resolve) => channel.addEventListener("open", resolve));
  await near.setLocalDescription();
  await far.setRemoteDescription(/** @type {RTCSessionDescription} */ (near.localDescription));
  await far.setLocalDescription();
  await near.setRemoteDescription(/** @type {RTCSessionDescription} */ (far.localDescription));
  await opened;
  return pingPong(channel);
}

/** @param {RTCDataChannel} channel */
async function pingPong(channel) {
  channel.binaryType = "arraybuffer";
  for (let number = 0; number < IN_A_ROW; number++) {
    const message = new Uint8Array(SIZE).fill(number);
    const back = new Promise((resolve) => channel.addEventListener("message", resolve, { once: true }));
    channel.send(message);
    const late = new Promise((resolve) => setTimeout(resolve, PATIENCE / IN_A_ROW, null));
    const answer = await Promise.race([back, late]);
    if (!answer || new Uint8Array(answer.data)[0] !== number) {
      return false;
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
  return true;
}
