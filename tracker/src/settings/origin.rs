//! How the origins of pages are written (RFC 6454 §6.1).

/// Returns an origin as a browser sends it: without the port that its scheme has anyway, in small letters.
/// `None`: no page has such a one, or it has another scheme (as `chrome-extension`), which is not supported.
pub(super) fn normal(given: &str) -> Option<String> {
    let given = given.to_ascii_lowercase();
    let (scheme, address) = given.split_once("://")?;
    let usual_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    // An IPv6 address stands in brackets.
    let host_end = address.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match address[host_end..].find(':') {
        Some(colon) => address.split_at(host_end + colon),
        None => (address, ""),
    };
    let is_port = match port.strip_prefix(':') {
        // As browsers write it: without a sign, which a number may have, or a leading zero.
        Some(digits) => {
            digits.starts_with(|c| matches!(c, '1'..='9')) && digits.parse::<u16>().is_ok()
        }
        None => true,
    };
    // Browsers send a name with other letters in its ASCII form.
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(is_host),
    };
    let port = if port == usual_port { "" } else { port };
    (is_host && is_port).then(|| format!("{scheme}://{host}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_made_what_browsers_send() {
        for (given, sent) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("http://app.example:443", "http://app.example:443"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://[::1]", "http://[::1]"),
        ] {
            assert_eq!(normal(given).as_deref(), Some(sent), "{given}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for given in [
            "",
            "*",
            "app.example",
            "https://",
            "https://:443",
            "https://app.example/",
            "https://app.example:",
            "https://app.example:0",
            "https://app.example:65536",
            "https://app.example:443:443",
            "https://app.example:+443",
            "https://app.example:0443",
            "https://ann@app.example",
            "https://*.app.example",
            "https://bücher.example",
            "https://app example",
            "https://[::1",
            "https://[::1]x",
            "https://::1",
            "ws://app.example",
            "chrome-extension://abcdefghijklmnop",
        ] {
            assert_eq!(normal(given), None, "{given}");
        }
    }
}
