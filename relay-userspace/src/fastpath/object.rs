//! The XDP program this binary carries.

use object::{Object, ObjectSection, ObjectSymbol};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/relay-xdp.o"));

/// The BPF object; `None` when relay was built without it.
pub fn bpf_object() -> Option<&'static [u8]> {
    (!OBJECT.is_empty()).then_some(OBJECT)
}

/// Value of a read-only global in a BPF object.
pub fn global_u32(object: &[u8], name: &str) -> Option<u32> {
    let file = object::File::parse(object).ok()?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name))?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let bytes = section.data_range(symbol.address(), 4).ok()??;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_program_has_the_abi_of_this_crate() {
        let Some(bytes) = bpf_object() else {
            eprintln!("skipped: built without the XDP program (cargo xtask build)");
            return;
        };
        let name = relay_common::maps::PROGRAM_ABI;
        assert_eq!(global_u32(bytes, name), Some(relay_common::ABI_VERSION));
        assert_eq!(global_u32(bytes, "no such global"), None);
    }
}
