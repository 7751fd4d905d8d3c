//! How the origins of pages are written (RFC 6454 §6.1).

use url::Url;

/// Returns an origin as a browser sends it: without the port that its scheme has anyway, in small letters,
/// a name with other letters in its ASCII form. `None`: no page has such a one, or it has another scheme (as
/// `chrome-extension`), which is not supported.
pub(super) fn normal(given: &str) -> Option<String> {
    let url = Url::parse(given).ok()?;
    let origin = url.origin().ascii_serialization();
    let is_supported = matches!(url.scheme(), "https" | "http");
    // Whoever writes more, or stars, means what an origin cannot say.
    let is_all = url.as_str() == format!("{origin}/") && !given.ends_with('/');
    (is_supported && is_all && !origin.contains('*')).then_some(origin)
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
            ("https://app.example:0443", "https://app.example"),
            ("https://app.example:", "https://app.example"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
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
            "https://app.example:65536",
            "https://app.example:443:443",
            "https://app.example:+443",
            "https://ann@app.example",
            "https://*.app.example",
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
