//! ICMP and ICMPv6 errors in words, whichever family they are of. Data only.

use std::fmt;

/// One error; its numbers mean what they mean in the family of the packet it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    pub kind: u8,
    pub code: u8,
    /// Of the next hop; means something only where [`Self::is_too_big`].
    pub mtu: u32,
}

impl IcmpError {
    /// Fragmentation needed (RFC 1191 §4), or packet too big (RFC 4443 §3.2).
    pub fn is_too_big(&self, v6: bool) -> bool {
        match v6 {
            true => self.kind == 2,
            false => (self.kind, self.code) == (3, 4),
        }
    }

    pub fn is_unreachable(&self, v6: bool) -> bool {
        self.kind == if v6 { 1 } else { 3 } && !self.is_too_big(v6)
    }

    pub fn is_time_exceeded(&self, v6: bool) -> bool {
        self.kind == if v6 { 3 } else { 11 }
    }

    /// Of the kinds senders are told of.
    pub fn is_an_error(&self, v6: bool) -> bool {
        self.is_too_big(v6) || self.is_unreachable(v6) || self.is_time_exceeded(v6)
    }

    /// The same error for a sender of the other family (RFC 7915 §4.2 and §5.2, coarser).
    pub fn in_family(self, v6: bool, wanted_v6: bool) -> IcmpError {
        let port = |e: &IcmpError| (e.kind, e.code) == if v6 { (1, 4) } else { (3, 3) };
        let (kind, code, mtu) = match wanted_v6 {
            same if same == v6 => (self.kind, self.code, self.mtu),
            // The header of IPv6 is 20 bytes longer.
            true if self.is_too_big(v6) => (2, 0, self.mtu.saturating_add(20)),
            false if self.is_too_big(v6) => (3, 4, self.mtu.saturating_sub(20)),
            true if self.is_time_exceeded(v6) => (3, self.code, 0),
            false if self.is_time_exceeded(v6) => (11, self.code, 0),
            true => (1, if port(&self) { 4 } else { 3 }, 0),
            false => (3, if port(&self) { 3 } else { 1 }, 0),
        };
        IcmpError { kind, code, mtu }
    }

    /// What happened, for a human.
    pub fn describe(&self, v6: bool) -> Described {
        Described { error: *self, v6 }
    }
}

pub struct Described {
    error: IcmpError,
    v6: bool,
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (error, v6) = (&self.error, self.v6);
        let port = (error.kind, error.code) == if v6 { (1, 4) } else { (3, 3) };
        if error.is_too_big(v6) {
            write!(f, "too big for the path, whose MTU is {}", error.mtu)
        } else if port {
            f.write_str("port unreachable")
        } else if error.is_unreachable(v6) {
            write!(f, "unreachable (code {})", error.code)
        } else if error.is_time_exceeded(v6) {
            f.write_str("time exceeded")
        } else {
            write!(f, "ICMP type {} code {}", error.kind, error.code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_means_the_same_in_the_other_family() {
        let error = |(kind, code, mtu)| IcmpError { kind, code, mtu };
        for (v4, v6) in [
            ((3, 4, 1380), (2, 0, 1400)),
            ((3, 3, 0), (1, 4, 0)),
            ((3, 1, 0), (1, 3, 0)),
            ((11, 0, 0), (3, 0, 0)),
        ] {
            assert_eq!(error(v4).in_family(false, true), error(v6));
            assert_eq!(error(v6).in_family(true, false), error(v4));
            assert_eq!(error(v6).in_family(true, true), error(v6));
        }
    }

    #[test]
    fn an_mtu_nobody_has_stays_one_in_the_other_family() {
        let error = IcmpError {
            kind: 3,
            code: 4,
            mtu: u32::MAX,
        };
        assert_eq!(error.in_family(false, true).mtu, u32::MAX);
    }
}
