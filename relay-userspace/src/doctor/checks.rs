//! Every check, in the order an operator reads them. Pure: facts in, findings out.

mod cards;
mod clock;
mod firewall;
mod forwarding;
mod kernel;
mod limits;
mod offloads;
mod ports;
mod privileges;

use super::{Finding, Host};

pub fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = host.configuration.clone();
    findings.extend(kernel::check(&host.kernel));
    findings.push(privileges::check(&host.privileges, &host.kernel));
    findings.extend(cards::check(&host.cards, host.cards_named));
    findings.extend(offloads::check(&host.cards));
    findings.extend(forwarding::check(&host.forwarding, &host.cards));
    findings.extend(limits::check(&host.limits, &host.kernel));
    findings.extend(clock::check(&host.clock));
    findings.extend(ports::check(&host.ports));
    findings.extend(firewall::check(&host.firewall, &host.ports, &host.cards));
    findings
}
