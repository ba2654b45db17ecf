// Perfect negotiation over a signaling channel the application already has, so that a restart of ICE needs nothing of it.

/**
 * @param {RTCPeerConnection} connection
 * @param {{ send: (message: object) => void, polite: boolean, onFault?: (fault: unknown) => void }} channel exactly one
 *   of the two sides is polite
 * @returns {(message: { description?: RTCSessionDescriptionInit, candidate?: RTCIceCandidateInit | null }) => Promise<void>}
 *   takes what the other side sent
 */
export function negotiate(connection, { send, polite, onFault = console.error }) {
  let offering = false;
  let ignoring = false;
  let settling = false;

  connection.addEventListener("icecandidate", ({ candidate }) => send({ candidate }));
  connection.addEventListener("negotiationneeded", async () => {
    try {
      offering = true;
      await connection.setLocalDescription();
      send({ description: connection.localDescription });
    } catch (fault) {
      onFault(fault);
    } finally {
      offering = false;
    }
  });

  /** @param {RTCSessionDescriptionInit} description */
  async function describe(description) {
    const ready = !offering && (connection.signalingState === "stable" || settling);
    ignoring = !polite && description.type === "offer" && !ready;
    if (ignoring) {
      return;
    }
    settling = description.type === "answer";
    try {
      await connection.setRemoteDescription(description);
    } finally {
      settling = false;
    }
    if (description.type === "offer") {
      await connection.setLocalDescription();
      send({ description: connection.localDescription });
    }
  }

  return async ({ description, candidate }) => {
    try {
      if (description) {
        await describe(description);
      } else if (candidate !== undefined) {
        await connection.addIceCandidate(candidate ?? undefined);
      }
    } catch (fault) {
      // Candidates of an offer that was ignored belong to nothing here.
      if (!(ignoring && !description)) {
        onFault(fault);
      }
    }
  };
}
