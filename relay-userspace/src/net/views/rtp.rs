//! RTP streams as the kernel saw them pass, as rows. Reads only.

use relay_common::{Stream, Streams};

use crate::api::RtpStream;

/// Those that are streams for sure.
pub fn views(streams: &Streams) -> Vec<RtpStream> {
    let sure = streams.0.iter().filter(|stream| stream.is_sure());
    sure.map(view).collect()
}

fn view(stream: &Stream) -> RtpStream {
    let known = stream.clock_rate != 0;
    RtpStream {
        ssrc: stream.ssrc,
        payload_type: (stream.payload_type & 0x7f) as u8,
        packets: stream.packets,
        bytes: stream.bytes,
        // What came twice hides what is missing: RFC 3550 appendix A.3 allows a negative number.
        lost: stream.expected() as i64 - stream.packets as i64,
        clock_rate: known.then_some(stream.clock_rate),
        jitter_ms: known.then(|| {
            let ticks = f64::from(stream.jitter) / 16.0;
            (ticks * 1e6 / f64::from(stream.clock_rate)).round() / 1e3
        }),
        bits_per_second: match stream.last_time.saturating_sub(stream.first_time) {
            0 => 0.0,
            ns => (stream.bytes as f64 * 8e9 / ns as f64).round(),
        },
    }
}
