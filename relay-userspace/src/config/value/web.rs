//! Where a web server is: the word of whatever the relay asks or tells over HTTP.

use hyper::Uri;

use super::{Read, wrong};

/// The text may hold a password or a token: it is not repeated.
pub fn web_address(text: &str) -> Read<Uri> {
    const REMEDY: &str = "write https://HOST/PATH, or http://HOST/PATH on a network you trust";
    let parsed = text.trim().parse::<Uri>().ok();
    let usable = parsed.filter(|url| {
        let scheme = ["http", "https"].contains(&url.scheme_str().unwrap_or_default());
        let authority = url.authority().map(|one| one.as_str());
        scheme && authority.is_some_and(|one| !one.is_empty() && !one.contains('@'))
    });
    usable.map_or_else(|| wrong("is not the address of a web server", REMEDY), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_a_web_server_without_a_password_in_its_name() {
        for good in [
            "https://h.example/a?b=c",
            "http://127.0.0.1:8080/",
            "https://[::1]/x",
        ] {
            assert!(web_address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "h.example",
            "/path",
            "ftp://h.example/",
            "https://",
            "https://u:p@h.example/",
        ] {
            let wrong = web_address(bad).unwrap_err().to_string();
            assert!(!wrong.contains("u:p"), "{wrong}");
        }
    }
}
