//! Half a minute of the soak: no stranger's packet, nothing lost by kills, nothing leaked.

use relay_tests::lab::soak::{self, Options};
use relay_tests::privileged;

#[test]
fn sessions_outlive_kills_and_changes_of_the_network_without_loss_or_leak() {
    if !privileged::is_root() {
        return;
    }
    let options = Options {
        minutes: 0.45,
        kill_every: 1.5,
        json: false,
    };
    let report = soak::run(&options).unwrap();
    println!("{report:#?}");
    assert!(report.kills >= 8 && report.changes >= 4, "{report:#?}");
    assert!(report.killed.sent > 10_000, "{report:#?}");
}
