//! TURN in userspace, from first contact to hairpin.
