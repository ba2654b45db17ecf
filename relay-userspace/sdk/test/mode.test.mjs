import assert from "node:assert/strict";
import { test } from "node:test";

import { ModeMachine, TIMING, modeOf } from "../src/mode.js";

/** Looks every 250 ms like a browser does; `see` says what is seen at a time. */
function play(machine, from, until, see) {
  const steps = [];
  for (let at = from; at <= until; at += TIMING.look) {
    const seen = { leg: "udp", proof: null, busy: true, lost: 0, received: 0, ...see(at) };
    for (const step of machine.look({ at, ...seen })) steps.push({ at, ...step });
  }
  return steps;
}

const flowing = (leg) => (at) => ({ leg, proof: `${at}`, received: at });
const told = (steps, event) => steps.filter((step) => step.event === event);
const done = (steps, what) => steps.filter((step) => step.do === what);

/** On UDP with media since 10 s, then cut until the machine is on TCP at 12 s. */
function onTcp(machine) {
  play(machine, 0, 10000, flowing("udp"));
  play(machine, 10250, 11750, () => ({ proof: "10000", received: 10000 }));
  return play(machine, 12000, 12000, flowing("tcp"));
}

test("what is not a mode is refused by name", () => {
  assert.equal(modeOf(undefined), "UDP_OVER_TCP");
  for (const wrong of ["udp", "", 3, {}]) {
    assert.throws(() => modeOf(wrong), { code: "bad-option", message: /UDP_OVER_TCP, UDP_ONLY, TCP_ONLY/ });
  }
});

test("the first pair is told with the time it took", () => {
  const machine = new ModeMachine("UDP_OVER_TCP", 0);
  const steps = play(machine, 250, 750, (at) => (at < 750 ? { leg: null } : { leg: "tcp" }));
  assert.deepEqual(told(steps, "transport-selected")[0].detail, { proto: "tcp", elapsed_ms: 750, reason: "connect" });
});

test("media that stops is doubted after 1.5 s, and TCP is brought up", () => {
  const machine = new ModeMachine("UDP_OVER_TCP", 0);
  play(machine, 0, 10000, flowing("udp"));
  const steps = play(machine, 10250, 13000, () => ({ proof: "10000", received: 10000 }));
  assert.equal(told(steps, "transport-degraded")[0].at, 11500);
  assert.deepEqual(done(steps, "restart"), [{ at: 11500, do: "restart", over: "tcp" }]);
});

test("where only the browser's checks flow, a pause between them is no doubt", () => {
  const machine = new ModeMachine("UDP_OVER_TCP", 0);
  const check = (at) => ({ proof: `${Math.floor(at / 2500)}`, busy: false });
  assert.deepEqual(done(play(machine, 0, 60000, check), "restart"), []);
  const steps = play(machine, 60250, 70000, () => ({ proof: "24", busy: false }));
  assert.equal(done(steps, "restart")[0].at, 66000);
});

test("one restart is enough: after the other side's, its own waits, and comes if nothing else does", () => {
  const machine = new ModeMachine("UDP_OVER_TCP", 0);
  play(machine, 0, 10000, flowing("udp"));
  const silent = () => ({ proof: "10000", received: 10000 });
  play(machine, 10250, 11250, silent);
  machine.otherRestarted(11400);
  const [restart] = done(play(machine, 11500, 20000, silent), "restart");
  assert.equal(restart.at, 13000);
});

test("a switch tells how long nothing came and what was lost", () => {
  const machine = new ModeMachine("UDP_OVER_TCP", 0);
  play(machine, 0, 10000, flowing("udp"));
  play(machine, 10250, 11750, () => ({ proof: "10000", received: 10000 }));
  const [switched] = play(machine, 12000, 12000, (at) => ({ leg: "tcp", proof: `${at}`, received: at, lost: 40 }));
  assert.deepEqual(switched.detail, { from: "udp", to: "tcp", reason: "no-proof", gap_ms: 2000, lost: 40 });
});

test("loss of 15 % over three seconds leaves UDP, less does not", () => {
  const lossy = (share) => (at) => ({ proof: `${at}`, received: at * (1 - share), lost: at * share });
  const some = new ModeMachine("UDP_OVER_TCP", 0);
  assert.deepEqual(done(play(some, 0, 20000, lossy(0.1)), "restart"), []);
  const much = new ModeMachine("UDP_OVER_TCP", 0);
  const [restart] = done(play(much, 0, 20000, lossy(0.2)), "restart");
  assert.ok(restart.at <= 3000 && restart.over === "tcp", JSON.stringify(restart));
});

test("UDP_ONLY and TCP_ONLY stay with what they allow", () => {
  for (const mode of ["UDP_ONLY", "TCP_ONLY"]) {
    const leg = mode === "UDP_ONLY" ? "udp" : "tcp";
    const machine = new ModeMachine(mode, 0);
    play(machine, 0, 10000, flowing(leg));
    const steps = play(machine, 10250, 60000, () => ({ leg, proof: "10000", received: 10000 }));
    assert.ok(done(steps, "restart").length > 1, "tried again");
    assert.ok(done(steps, "restart").every((step) => step.over === "any"));
    assert.deepEqual(done(steps, "probe"), []);
  }
});

test("without any pair a mode fails once, in 15 s or when the browser gives up", () => {
  const silent = new ModeMachine("UDP_ONLY", 0);
  const steps = play(silent, 0, 60000, () => ({ leg: null }));
  assert.deepEqual(done(steps, "fail").map((step) => step.at), [15000]);
  const early = new ModeMachine("UDP_ONLY", 0);
  assert.deepEqual(early.gaveUp(4000), [{ do: "fail" }]);
  assert.deepEqual(early.gaveUp(5000), []);
});

test("on TCP it probes UDP, and returns when a probe is good and the dwell is over", () => {
  const machine = new ModeMachine("UDP_OVER_TCP", 0);
  onTcp(machine);
  const probes = done(play(machine, 12250, 17250, flowing("tcp")), "probe");
  assert.deepEqual(probes.map((probe) => probe.at), [17000]);
  assert.deepEqual(machine.probed(true, 17500), [], "15 s are not over");
  assert.deepEqual(done(play(machine, 17750, 22500, flowing("tcp")), "probe").length, 1);
  assert.deepEqual(machine.probed(true, 27000), [{ do: "restart", over: "any" }]);
  const [switched] = play(machine, 27250, 27250, flowing("udp"));
  assert.equal(switched.detail.reason, "udp-works-again");
});

test("probes that fail come less and less often, up to a minute", () => {
  const machine = new ModeMachine("UDP_OVER_TCP", 0);
  onTcp(machine);
  const starts = [];
  for (let at = 12250; at < 400000; at += 250) {
    if (done(machine.look({ at, ...flowing("tcp")(at), busy: true, lost: 0 }), "probe").length) {
      starts.push(at);
      machine.probed(false, at);
    }
  }
  const pauses = starts.slice(1).map((at, i) => at - starts[i]);
  assert.deepEqual(pauses.slice(0, 5), [10000, 20000, 40000, 60000, 60000]);
});

test("each flap doubles the stay on TCP", () => {
  const machine = new ModeMachine("UDP_OVER_TCP", 0);
  let at = 12000;
  onTcp(machine);
  const stays = [];
  for (let flap = 0; flap < 6; flap++) {
    const since = at;
    while (machine.probed(true, at).length === 0) at += 1000;
    stays.push(at - since);
    machine.look({ at, ...flowing("udp")(at), busy: true, lost: 0 });
    at += 1000;
    machine.look({ at, ...flowing("tcp")(at), busy: true, lost: 0 });
  }
  assert.deepEqual(stays, [15000, 30000, 60000, 120000, 240000, 300000]);
});

test("another network decides anew at once", () => {
  const machine = new ModeMachine("UDP_OVER_TCP", 0);
  assert.deepEqual(machine.networkChanged(100), []);
  onTcp(machine);
  assert.deepEqual(machine.networkChanged(12500), [{ do: "restart", over: "any" }]);
});
