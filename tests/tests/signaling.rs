//! The signaling proxy between software nobody here wrote: curl, Node and its `ws` in front, nginx and Node behind.

use anyhow::Result;
use relay_tests::eventually::eventually;
use relay_tests::interop::Tools;
use relay_tests::signaling::Site;
use serde_json::{Value, json};

const NEEDS: [&str; 4] = ["nginx", "node", "curl", "node:ws"];
/// Of a body that nobody reads: what sockets and libraries hold on the way, and far less than all of it.
const HELD: u64 = 16 << 20;
const LARGE: u64 = 32 << 20;

fn with_site(act: impl FnOnce(&Site, &Tools) -> Result<()>) -> Result<()> {
    let Some(tools) = Tools::without_kernel(&NEEDS) else {
        return Ok(());
    };
    let site = Site::open(Some(&tools))?;
    act(&site, &tools)
}

#[test]
fn curl_reaches_nginx_over_both_versions_and_gets_its_file_whole() -> Result<()> {
    with_site(|site, _| {
        let file = site.trust.folder().join("file");
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&file, &bytes)?;
        for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
            let told = site.curl(
                &[flag, "-w", "%{http_version} %{http_code}"],
                "/nginx/a?b=c",
            )?;
            let expected = format!("nginx has /nginx/a?b=c for 127.0.0.1\n{version} 200");
            assert_eq!(told, expected);
            let got = site.trust.folder().join("got");
            let to = got.to_str().unwrap();
            site.curl(&[flag, "-o", to], "/nginx/file")?;
            assert!(std::fs::read(&got)? == bytes, "over {version}");
        }
        Ok(())
    })
}

#[test]
fn an_origin_with_tls_is_asked_only_if_its_certificate_is_trusted() -> Result<()> {
    with_site(|site, _| {
        let told = site.curl(&[], "/secure/x")?;
        assert!(told.starts_with("nginx has /secure/x"), "{told}");
        let told = site.curl(&["-w", "%{http_code}"], "/doubtful/x")?;
        assert!(
            told.contains("origin_unreachable") && told.ends_with("502"),
            "{told}"
        );
        Ok(())
    })
}

#[test]
fn websockets_go_both_ways_over_http_1_and_h2_until_either_end_closes() -> Result<()> {
    with_site(|site, tools| {
        let found = site.client(tools, "sockets")?;
        assert_eq!(
            found["h1"],
            json!({"echoed": [0, 1, 125, 126, 65535, 65536, 4 << 20], "protocol": "chat", "code": 4321})
        );
        assert_eq!(
            found["h2"],
            json!({"extended": true, "status": 200, "protocol": "chat", "accept": null, "back": "over h2"})
        );
        eventually("the origin hears how each was closed", || {
            let log = site.node_log();
            log.contains("closed 4321") && log.contains("closed 1000")
        })
    })
}

#[test]
fn events_arrive_one_by_one_and_end_with_their_listener() -> Result<()> {
    with_site(|site, tools| {
        let found = site.client(tools, "events")?;
        let heard = json!([
            ": hello", "data: 1", "data: 2", "data: 3", "data: 4", "data: 5"
        ]);
        assert_eq!(found, json!({"h1": heard, "h2": heard}));
        Ok(())
    })
}

#[test]
fn large_bodies_arrive_whole_both_ways() -> Result<()> {
    with_site(|site, tools| {
        let found = site.client(tools, "large")?;
        let whole = json!({"up": LARGE, "same": true, "down": LARGE});
        assert_eq!(found, json!({"h1": whole, "h2": whole}));
        Ok(())
    })
}

#[test]
fn whoever_does_not_read_stops_whoever_writes() -> Result<()> {
    with_site(|site, tools| {
        let found = site.client(tools, "pressure")?;
        for version in ["h1", "h2"] {
            let of = |key: &str| found[version][key].as_u64().unwrap_or(u64::MAX);
            assert!(of("down") < HELD && of("up") < HELD, "{found}");
            let all: [&Value; 2] = [&found[version]["read"], &found[version]["bytes"]];
            assert_eq!(all, [&json!(LARGE), &json!(LARGE)], "{found}");
        }
        Ok(())
    })
}
