//! What happens to the network, and what the machine says of it, to the millisecond.

use std::time::Duration;

use super::world::{Net, World};
use crate::mode::Mode;
use crate::mode::Mode::{TcpOnly, UdpOnly, UdpOverTcp};

use Net::{Loses, Narrow, Refuses, Rough, Silent, Stubborn, Works};

struct Case {
    name: &'static str,
    mode: Mode,
    /// UDP and TCP from this decisecond on.
    script: &'static [(u64, Net, Net)],
    /// How many seconds.
    ends: u64,
    says: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "udp answers first",
        mode: UdpOverTcp,
        script: &[(0, Works, Works)],
        ends: 20,
        says: &["60 selected udp Answered"],
    },
    Case {
        name: "udp is blocked from the start",
        mode: UdpOverTcp,
        script: &[(0, Silent, Works)],
        ends: 20,
        says: &["1030 selected tcp NoAnswer"],
    },
    Case {
        name: "udp answers, and gives no allocation",
        mode: UdpOnly,
        script: &[(0, Stubborn, Works)],
        ends: 40,
        says: &[
            "UDP_ONLY: no way to the relay for 10.1 s; udp, tried for 0.0 s: it answers, and the allocation was not reached by udp",
        ],
    },
    Case {
        name: "udp answers, and gives no allocation, and tls does",
        mode: UdpOverTcp,
        script: &[(0, Stubborn, Works)],
        ends: 10,
        says: &["5060 selected tcp Failed"],
    },
    Case {
        name: "udp is refused from the start",
        mode: UdpOverTcp,
        script: &[(0, Refuses, Works)],
        ends: 5,
        says: &["150 selected tcp Failed"],
    },
    Case {
        name: "udp is cut and comes back",
        mode: UdpOverTcp,
        script: &[(0, Works, Works), (100, Silent, Works), (200, Works, Works)],
        ends: 60,
        says: &[
            "60 selected udp Answered",
            "11030 degraded udp Silence",
            "12060 switched udp tcp Silence 1530",
            "27060 switched tcp udp Restored 0",
        ],
    },
    Case {
        name: "udp is cut where tcp never worked",
        mode: UdpOverTcp,
        script: &[(0, Works, Silent), (100, Silent, Silent)],
        ends: 40,
        says: &[
            "60 selected udp Answered",
            "11030 degraded udp Silence",
            "UDP_OVER_TCP: no way to the relay for 10.0 s; udp, tried for 10.0 s: no answer to 307 probes; tcp, tried for 19.5 s: nothing was heard for 10.0 s",
        ],
    },
    Case {
        name: "udp pauses",
        mode: UdpOverTcp,
        script: &[(0, Works, Works), (100, Silent, Works), (117, Works, Works)],
        ends: 40,
        says: &[
            "60 selected udp Answered",
            "11030 degraded udp Silence",
            "11780 selected udp Restored",
        ],
    },
    Case {
        name: "the host refuses udp in mid-flow",
        mode: UdpOverTcp,
        script: &[(0, Works, Works), (100, Refuses, Works)],
        ends: 20,
        says: &[
            "60 selected udp Answered",
            "10560 switched udp tcp Failed 530",
        ],
    },
    Case {
        name: "udp loses a fifth each way",
        mode: UdpOverTcp,
        script: &[(0, Works, Works), (100, Rough(20, 0), Works)],
        ends: 20,
        says: &["60 selected udp Answered", "17240 switched udp tcp Loss 0"],
    },
    Case {
        name: "udp loses a fifth one way",
        mode: UdpOverTcp,
        script: &[(0, Works, Works), (100, Loses(20), Works)],
        ends: 30,
        says: &["60 selected udp Answered", "23980 switched udp tcp Loss 0"],
    },
    Case {
        name: "udp loses one of fifty",
        mode: UdpOverTcp,
        script: &[(0, Loses(2), Works)],
        ends: 120,
        says: &["60 selected udp Answered"],
    },
    Case {
        name: "a return fails for want of room",
        mode: UdpOverTcp,
        script: &[(0, Silent, Works), (100, Narrow, Works)],
        ends: 120,
        says: &["1030 selected tcp NoAnswer"],
    },
    Case {
        name: "udp flaps",
        mode: UdpOverTcp,
        script: &[
            (0, Works, Works),
            (100, Silent, Works),
            (150, Works, Works),
            (400, Silent, Works),
            (450, Works, Works),
            (1000, Silent, Works),
            (1050, Works, Works),
        ],
        ends: 200,
        says: &[
            "60 selected udp Answered",
            "11030 degraded udp Silence",
            "12060 switched udp tcp Silence 1530",
            "27060 switched tcp udp Restored 0",
            "41060 degraded udp Silence",
            "42090 switched udp tcp Silence 1530",
            "72090 switched tcp udp Restored 0",
            "101090 degraded udp Silence",
            "102120 switched udp tcp Silence 1530",
            "162120 switched tcp udp Restored 0",
        ],
    },
    Case {
        name: "tcp ends while udp works",
        mode: UdpOverTcp,
        script: &[
            (0, Silent, Works),
            (100, Works, Works),
            (140, Works, Refuses),
        ],
        ends: 60,
        says: &[
            "1030 selected tcp NoAnswer",
            "14370 switched tcp udp Failed 530",
        ],
    },
    Case {
        name: "only udp, and it is blocked",
        mode: UdpOnly,
        script: &[(0, Silent, Works)],
        ends: 20,
        says: &[
            "UDP_ONLY: no way to the relay for 10.0 s; udp, tried for 10.0 s: no answer to 22 probes",
        ],
    },
    Case {
        name: "only udp, and it is cut",
        mode: UdpOnly,
        script: &[(0, Works, Works), (100, Silent, Works)],
        ends: 40,
        says: &[
            "60 selected udp Mode",
            "11030 degraded udp Silence",
            "UDP_ONLY: no way to the relay for 10.0 s; udp, tried for 10.0 s: no answer to 307 probes",
        ],
    },
    Case {
        name: "only udp, and it pauses",
        mode: UdpOnly,
        script: &[(0, Works, Works), (100, Silent, Works), (140, Works, Works)],
        ends: 40,
        says: &[
            "60 selected udp Mode",
            "11030 degraded udp Silence",
            "14090 selected udp Restored",
        ],
    },
    Case {
        name: "only tcp",
        mode: TcpOnly,
        script: &[(0, Works, Works)],
        ends: 20,
        says: &["120 selected tcp Mode"],
    },
    Case {
        name: "only tcp, and it is blocked",
        mode: TcpOnly,
        script: &[(0, Works, Silent)],
        ends: 20,
        says: &[
            "TCP_ONLY: no way to the relay for 10.0 s; tcp, tried for 10.0 s: nothing was heard for 5.0 s",
        ],
    },
    Case {
        name: "only tcp, and it is cut for a while",
        mode: TcpOnly,
        script: &[(0, Works, Works), (100, Works, Silent), (180, Works, Works)],
        ends: 40,
        says: &["120 selected tcp Mode", "20210 selected tcp Failed"],
    },
];

#[test]
fn the_machine_says_what_the_table_says() {
    let mut wrong = Vec::new();
    for case in CASES {
        let (_, udp, tcp) = case.script[0];
        let mut world = World::new(case.mode, udp, tcp);
        for (decisecond, udp, tcp) in case.script {
            world.run_to(Duration::from_millis(100 * decisecond));
            (world.udp, world.tcp) = (*udp, *tcp);
        }
        world.run_to(Duration::from_secs(case.ends));
        let mut says = world.lines();
        says.extend(world.refusal.iter().map(ToString::to_string));
        if says != case.says {
            wrong.push((case.name, says));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
