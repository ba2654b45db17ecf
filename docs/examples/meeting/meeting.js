// A meeting of two, with video and a data channel. What a cloud proxy needs of an application is in `config`.

const parameters = new URLSearchParams(location.search);
const config = {
  room: parameters.get("room") ?? "lobby",
  name: parameters.get("name") ?? `guest-${Math.floor(Math.random() * 1e6)}`,
  preferredProtocol: parameters.get("mode") ?? "UDP_OVER_TCP",
  // This page came through the proxy; elsewhere write its host name.
  signalingBaseUrl: location.host,
};

const { CloudProxy, negotiate } = await import(`https://${config.signalingBaseUrl}/sdk/cloud-proxy.js`);

const place = (id) => document.getElementById(id);
const log = (line) => (place("log").textContent += `${line}\n`);
/** What happened, for whoever looks from outside (tests do). */
const meeting = (window.meeting = { events: [], connection: null, channel: null, heard: [] });

const proxy = new CloudProxy({
  signalingBaseUrl: config.signalingBaseUrl,
  preferredProtocol: config.preferredProtocol,
  token: async () => (await proxy.fetch(`/token?user=${config.name}`)).text(),
});
for (const event of ["transport-selected", "transport-degraded", "transport-switched", "transport-failed", "policy-refused"]) {
  proxy.addEventListener(event, ({ detail: { connection, error, ...told } }) => {
    meeting.events.push({ event, at: performance.now(), error: error?.message, code: error?.code, ...told });
    place("transport").textContent = error?.message ?? `${event}: ${told.to ?? told.proto}`;
    log(`${event} ${error?.message ?? JSON.stringify(told)}`);
  });
}

const connection = (meeting.connection = await proxy.createPeerConnection());
connection.ontrack = ({ streams }) => (place("other").srcObject = streams[0]);
place("say").onsubmit = (event) => {
  event.preventDefault();
  meeting.channel.send(event.target.text.value);
  log(`you: ${event.target.text.value}`);
  event.target.reset();
};

const camera = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: true });
place("own").srcObject = camera;

let take;
let begun = false;
/** Once there is somebody to talk to; what is added before `negotiate` is there, nobody is told of. */
function begin() {
  if (begun) return;
  begun = true;
  meeting.channel = connection.createDataChannel("chat", { negotiated: true, id: 0 });
  meeting.channel.onmessage = ({ data }) => {
    meeting.heard.push(data);
    log(`they: ${data}`);
  };
  camera.getTracks().forEach((track) => connection.addTrack(track, camera));
}
const socket = proxy.webSocket(`/signal?room=${config.room}`);
const send = (message) => socket.send(JSON.stringify(message));
socket.onmessage = async ({ data }) => {
  const message = JSON.parse(data);
  if (message.welcome) {
    take = negotiate(connection, { polite: message.welcome.polite, send });
    if (message.welcome.polite) begin();
  } else if (message.left) {
    log("they left");
  } else {
    await take(message);
    begin();
  }
};
socket.onclose = ({ code, reason }) => log(`signaling ended: ${code} ${reason}`);
