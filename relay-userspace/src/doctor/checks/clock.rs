//! The clocks: time of day for time-limited credentials, the clock source for speed, jiffies for deadlines in the kernel.

use super::super::facts::Clock;
use super::Finding;

/// Read by port or by MMIO, about a microsecond each time.
const SLOW: [&str; 3] = ["hpet", "acpi_pm", "jiffies"];

pub fn check(clock: &Clock) -> Vec<Finding> {
    let mut findings = vec![match clock.synchronised {
        Some(true) => Finding::ok("clock", "time of day", "synchronised"),
        Some(false) => Finding::warn(
            "clock",
            "time of day",
            "not synchronised: time-limited credentials are valid too long or not at all",
            "run chrony or systemd-timesyncd; a virtual machine whose host keeps the time may ignore this",
        ),
        None => Finding::warn(
            "clock",
            "time of day",
            "cannot be asked",
            "timedatectl shows it",
        ),
    }];
    findings.extend(
        clock
            .source
            .as_ref()
            .map(|source| match SLOW.contains(&source.as_str()) {
                true => Finding::warn(
                    "clock",
                    "source",
                    format!("{source} is slow to read"),
                    "boot with clocksource=tsc if the machine's is stable",
                ),
                false => Finding::ok("clock", "source", source),
            }),
    );
    findings.push(match clock.jiffies_per_second {
        Some(hz) => Finding::ok(
            "clock",
            "jiffies",
            format!(
                "{hz} a second: deadlines in the kernel are early by at most {} ms",
                1000 / hz.max(1)
            ),
        ),
        None => Finding::ok(
            "clock",
            "jiffies",
            "rate not told; measured when the relay starts",
        ),
    });
    findings
}
