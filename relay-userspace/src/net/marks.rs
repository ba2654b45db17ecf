//! What an IP header says besides addresses, as a relay passes it on (RFC 8656 §15). Data only.

/// The default: no class, and the host's own hop limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// DSCP and ECN.
    pub traffic_class: u8,
    pub hop_limit: Option<u8>,
}

impl Marks {
    /// As the next host is to see them. `None`: it has come too far, perhaps in circles.
    pub fn onward(self) -> Option<Marks> {
        let hop_limit = match self.hop_limit {
            None => None,
            Some(0 | 1) => return None,
            Some(left) => Some(left - 1),
        };
        Some(Marks { hop_limit, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relay_takes_a_hop_and_nothing_else() {
        let marks = |hop_limit| Marks {
            traffic_class: 0xb9,
            hop_limit,
        };
        assert_eq!(marks(Some(64)).onward(), Some(marks(Some(63))));
        assert_eq!(marks(None).onward(), Some(marks(None)));
        assert_eq!(marks(Some(1)).onward(), None);
    }
}
