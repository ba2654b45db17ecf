//! ffmpeg that decodes what arrives at a port and counts the pictures. Shows them to nobody.

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::interop::Background;
use crate::netns::NetNs;
use crate::scratch;

/// In namespaces where nobody else listens.
pub const PORT: u16 = 5006;

/// Killed when dropped.
pub struct Screen {
    decoder: Background,
    _folder: TempDir,
}

impl Screen {
    /// Listens on [`PORT`] of the loopback interface when this returns.
    pub fn start(namespace: &NetNs) -> Result<Self> {
        let folder = scratch::folder("screen")?;
        let description = folder.path().join("video.sdp");
        std::fs::write(&description, session())?;
        let mut ffmpeg = namespace.command("ffmpeg");
        ffmpeg.args(["-hide_banner", "-nostdin", "-v", "fatal", "-nostats"]);
        ffmpeg.args(["-protocol_whitelist", "file,udp,rtp"]);
        ffmpeg.args(["-buffer_size", "4000000", "-threads", "1"]);
        ffmpeg.arg("-i").arg(description);
        ffmpeg.args(["-fps_mode", "passthrough", "-progress", "pipe:1"]);
        ffmpeg.args(["-stats_period", "0.2", "-f", "null", "-"]);
        let mut decoder = Background::start(ffmpeg, &folder.path().join("log"))?;
        decoder.wait_for_udp(PORT)?;
        Ok(Self {
            decoder,
            _folder: folder,
        })
    }

    /// Decoded so far.
    pub fn pictures(&self) -> u64 {
        pictures(&self.decoder.log())
    }

    /// An error if it ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.decoder.ended()? {
            Some(_) => bail!("the decoder ended: {}", self.decoder.log()),
            None => Ok(()),
        }
    }
}

fn session() -> String {
    format!(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=call\nc=IN IP4 127.0.0.1\nt=0 0\n\
         m=video {PORT} RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1\n"
    )
}

/// The last whole `frame=` of what `-progress` prints.
fn pictures(progress: &str) -> u64 {
    let whole = progress.rfind('\n').map_or("", |end| &progress[..end]);
    let mut counts = whole
        .lines()
        .rev()
        .filter_map(|line| line.strip_prefix("frame="));
    counts
        .next()
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::pictures;

    #[test]
    fn pictures_are_read_from_what_ffmpeg_prints_even_in_mid_line() {
        let progress = "frame=30\nfps=0.00\nprogress=continue\nframe=165\nfps=30.1\nframe=17";
        assert_eq!(pictures(progress), 165);
        assert_eq!(pictures("frame=  12\nspeed=N/A\n"), 12);
        assert_eq!(pictures(""), 0);
    }
}
