//! The data path, once, for the kernel and for the host: parse, classify, look up, decide, rewrite.
