//! The memory streams are read into: one per worker, used by one connection at a time.

use crate::stream::frame;

/// One call to read takes at most so much: 200 datagrams of video, which leave by four calls.
pub const READ: usize = 256 << 10;

/// `plain` holds what a read may decrypt to, behind the beginning of a message that came before.
pub struct Inbox {
    pub wire: Box<[u8]>,
    pub plain: Box<[u8]>,
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox {
            wire: vec![0; READ].into(),
            plain: vec![0; frame::LONGEST + READ].into(),
        }
    }
}
