//! A video through a forward: H.264 over RTP between two ffmpegs, every decoded frame identical to the original.

use std::net::UdpSocket;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use relay_tests::eventually::within;
use relay_tests::interop::client::run;
use relay_tests::interop::{Background, Before, Host, Path, Stage, Tools};
use relay_tests::topology::{EDGE_V4, SERVER_V4};

const FRAMES: usize = 120;
/// The receiver's, in a namespace where nobody else listens.
const MEDIA_PORT: u16 = 5006;
const FORWARD_PORT: u16 = 5004;
/// Frames the receiver may hold back until the stream ends: its parser and its decoder.
const HELD: usize = 4;

fn every_frame_arrives(host: Host) -> Result<()> {
    if Tools::or_skip(&["ffmpeg"]).is_none() {
        return Ok(());
    }
    let mut stage = Stage::open(host)?;
    let video = encode(&stage)?;
    let original = hashes(&decode(&stage, &video)?);
    ensure!(
        original.len() == FRAMES,
        "encoded {} frames",
        original.len()
    );

    let received = stage.folder().join("received.md5");
    start_receiver(&mut stage, &received)?.wait_for_udp(MEDIA_PORT)?;
    open_forward(&mut stage)?;
    let before = Before::read(&stage)?;
    send(&stage, &video)?;

    let arrived = || hashes(&received);
    let nearly = FRAMES - HELD;
    within(Duration::from_secs(20), "the last frames", || {
        (arrived().len() >= nearly).then_some(())
    })
    .with_context(|| format!("{} frames of {FRAMES}\n{}", arrived().len(), stage.logs()))?;
    say_goodbye(&mut stage)?;
    ensure!(
        arrived() == original,
        "the frames differ:\n{}",
        stage.logs()
    );

    let packets = std::fs::metadata(&video)?.len() / 1200;
    Before::expect(before, &stage, Path::Fastest, packets)
}

/// One deterministic encode: baseline, no lookahead, a key frame a second, parameter sets in the stream.
fn encode(stage: &Stage) -> Result<PathBuf> {
    let video = stage.folder().join("video.ts");
    let source = format!("testsrc2=size=640x360:rate=30,trim=end_frame={FRAMES}");
    let mut ffmpeg = stage.lab.client.command("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &source]);
    ffmpeg.args([
        "-c:v",
        "libx264",
        "-profile:v",
        "baseline",
        "-pix_fmt",
        "yuv420p",
    ]);
    ffmpeg.args([
        "-preset",
        "veryfast",
        "-tune",
        "zerolatency",
        "-threads",
        "1",
    ]);
    ffmpeg.args(["-g", "30", "-keyint_min", "30", "-sc_threshold", "0"]);
    ffmpeg.args(["-b:v", "1500k", "-maxrate", "1500k", "-bufsize", "200k"]);
    let said = run(ffmpeg.arg("-f").arg("mpegts").arg(&video))?;
    ensure!(video.exists(), "no video: {said}");
    Ok(video)
}

fn decode(stage: &Stage, video: &FilePath) -> Result<PathBuf> {
    let hashes = stage.folder().join("original.md5");
    let mut ffmpeg = stage.lab.client.command("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-i"]).arg(video);
    let said = run(ffmpeg.args(["-f", "framemd5"]).arg(&hashes))?;
    ensure!(hashes.exists(), "not decoded: {said}");
    Ok(hashes)
}

fn start_receiver<'s>(stage: &'s mut Stage, hashes: &FilePath) -> Result<&'s mut Background> {
    let description = stage.folder().join("video.sdp");
    let session = format!(
        "v=0\no=- 0 0 IN IP4 {SERVER_V4}\ns=lab\nc=IN IP4 {SERVER_V4}\nt=0 0\n\
         m=video {MEDIA_PORT} RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1\n"
    );
    std::fs::write(&description, session)?;
    let mut ffmpeg = stage.lab.server.command("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "warning", "-nostats"]);
    ffmpeg.args([
        "-protocol_whitelist",
        "file,udp,rtp",
        "-buffer_size",
        "4000000",
    ]);
    ffmpeg.args(["-threads", "1", "-i"]).arg(description);
    ffmpeg.args(["-fps_mode", "passthrough", "-flush_packets", "1"]);
    ffmpeg.args(["-f", "framemd5"]).arg(hashes);
    stage.start(ffmpeg, "receiver.log")
}

/// The forward under test; coturn has none, so socat stands in for it.
fn open_forward(stage: &mut Stage) -> Result<()> {
    let to = format!("{SERVER_V4}:{MEDIA_PORT}");
    if let Some(relay) = stage.relay() {
        let listen = format!("udp/{FORWARD_PORT}");
        let said = relay.cli(&["forward", "add", "--listen", &listen, "--to", &to])?;
        println!("{said}");
        return Ok(());
    }
    let mut socat = stage.lab.edge.command("socat");
    socat.arg("-u").arg(format!("UDP4-LISTEN:{FORWARD_PORT}"));
    socat.arg(format!("UDP4-SENDTO:{to}"));
    stage.start(socat, "socat.log")?.wait_for_udp(FORWARD_PORT)
}

/// At the speed of the video, RTP only, in packets that fit any path.
fn send(stage: &Stage, video: &FilePath) -> Result<()> {
    let mut ffmpeg = stage.lab.client.command("ffmpeg");
    ffmpeg
        .args(["-nostdin", "-v", "error", "-re", "-i"])
        .arg(video);
    ffmpeg.args(["-c", "copy", "-f", "rtp", "-rtpflags", "skip_rtcp"]);
    ffmpeg.arg(format!("rtp://{EDGE_V4}:{FORWARD_PORT}?pkt_size=1200"));
    run(&ffmpeg).map(drop)
}

/// Ends the receiver as RTP does, with an RTCP BYE (behind an empty report: ffmpeg ignores less than 12 bytes),
/// so that it gives out the frames it held back. Sent from beside it: on the relay it could overtake the media.
fn say_goodbye(stage: &mut Stage) -> Result<()> {
    const BYE: [u8; 16] = [0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 203, 0, 1, 0, 0, 0, 1];
    stage.lab.server.enter(|| {
        let socket = UdpSocket::bind((SERVER_V4, 0))?;
        socket.send_to(&BYE, (SERVER_V4, MEDIA_PORT))?;
        Ok(())
    })?;
    let receiver = stage.foreign("receiver.log").context("no receiver")?;
    let well = within(Duration::from_secs(10), "receiver ends after BYE", || {
        receiver.ended().ok().flatten()
    })?;
    ensure!(well, "the receiver failed: {}", receiver.log());
    Ok(())
}

/// The hash of each frame, in order; times differ between a file and a stream.
fn hashes(framemd5: &FilePath) -> Vec<String> {
    let text = std::fs::read_to_string(framemd5).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let frames = whole.lines().filter(|line| !line.starts_with('#'));
    frames
        .filter_map(|frame| frame.rsplit(' ').next().map(str::to_owned))
        .collect()
}

#[test]
fn ffmpeg_video_is_identical_through_the_kernel() -> Result<()> {
    every_frame_arrives(Host::NativeXdp)
}

#[test]
fn ffmpeg_video_is_identical_through_an_unprivileged_relay() -> Result<()> {
    every_frame_arrives(Host::Unprivileged)
}
