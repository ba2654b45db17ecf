//! What the kernel path needs of the kernel: version, XDP, bpf_link, devmap, BTF, and a bpffs.

use super::super::facts::Kernel;
use super::Finding;

/// `bpf_link` for XDP: <https://git.kernel.org/torvalds/c/aa8d3a716b59>.
const BPF_LINK: (u32, u32) = (5, 9);
/// The oldest long-term kernel whose verifier has been met with programs of this size.
const WELCOME: (u32, u32) = (5, 15);
const NEWER: &str =
    "boot a newer kernel (6.1 or later); until then everything is relayed in userspace";

pub fn check(kernel: &Kernel) -> Vec<Finding> {
    vec![
        version_of(kernel),
        link(kernel),
        supported("bpf", "XDP programs", kernel.xdp.as_ref()),
        supported("devmap", "redirects between cards", kernel.devmap.as_ref()),
        btf(kernel),
        bpffs(kernel),
    ]
}

/// Major and minor of `uname -r`.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn version_of(kernel: &Kernel) -> Finding {
    let release = &kernel.release;
    match version(release) {
        None => Finding::warn(
            "kernel",
            "version",
            format!("{release:?} is not understood"),
            "compare with docs/limits.md by hand",
        ),
        Some(version) if version < BPF_LINK => Finding::fail(
            "kernel",
            "version",
            format!("{release} is too old for the kernel path"),
            NEWER,
        ),
        Some(version) if version < WELCOME => Finding::warn(
            "kernel",
            "version",
            format!("{release} may refuse the program"),
            NEWER,
        ),
        Some(_) => Finding::ok("kernel", "version", release),
    }
}

fn link(kernel: &Kernel) -> Finding {
    match version(&kernel.release) {
        Some(version) if version < BPF_LINK => Finding::fail(
            "bpf_link",
            "kernel",
            "no bpf_link for XDP before 5.9",
            NEWER,
        ),
        _ => Finding::ok("bpf_link", "kernel", "there since 5.9"),
    }
}

fn supported(check: &str, what: &str, answer: Option<&Result<bool, String>>) -> Finding {
    match answer {
        Some(Ok(true)) => Finding::ok(check, "kernel", format!("{what} can be loaded")),
        Some(Ok(false)) => Finding::fail(
            check,
            "kernel",
            format!("built without {what}"),
            "boot a kernel with CONFIG_BPF_SYSCALL, CONFIG_XDP_SOCKETS and CONFIG_BPF_JIT",
        ),
        Some(Err(why)) => Finding::warn(
            check,
            "kernel",
            format!("cannot be asked: {why}"),
            "run `relay doctor` as root, or as the user the relay runs as",
        ),
        None => Finding::warn(
            check,
            "kernel",
            "was not asked",
            "run `relay doctor` as root",
        ),
    }
}

fn btf(kernel: &Kernel) -> Finding {
    match kernel.btf {
        true => Finding::ok("btf", "/sys/kernel/btf/vmlinux", "there"),
        false => Finding::warn(
            "btf",
            "/sys/kernel/btf/vmlinux",
            "the kernel does not describe its types",
            "the relay works without; tools like bpftool need CONFIG_DEBUG_INFO_BTF",
        ),
    }
}

fn bpffs(kernel: &Kernel) -> Finding {
    match kernel.bpffs.first() {
        Some(_) => Finding::ok("bpffs", kernel.bpffs.join(" "), "mounted"),
        None => Finding::warn(
            "bpffs",
            "/sys/fs/bpf",
            "not mounted: sessions in the kernel cannot outlive the relay",
            "mount -t bpf bpf /sys/fs/bpf (systemd does it at boot)",
        ),
    }
}
