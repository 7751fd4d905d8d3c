//! The web app's files, with headers that keep what comes from strangers harmless.

use std::path::PathBuf;

use hyper::header::{CACHE_CONTROL, HeaderValue};
use warp::fs::File;
use warp::{Filter, Rejection, Reply, reply};

/// Serves the files below `folder`; `index.html` for the folder itself.
pub(super) fn page(
    folder: PathBuf,
) -> impl Filter<Extract = (reply::Response,), Error = Rejection> + Clone {
    warp::fs::dir(folder).map(|file: File| {
        let caching = caching(&file);
        let mut response = file.into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        for (name, value) in SAFETY {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    })
}

/// Says how long a file may be kept without asking whether it has changed.
fn caching(file: &File) -> &'static str {
    let name = file.path().file_name().unwrap_or_default();
    if name.to_string_lossy().contains(HASHED) {
        return "public, max-age=31536000, immutable";
    }
    // Kept, but asked for each time: the answer is mostly "not modified".
    "no-cache"
}

/// `dx` puts this and a hash of the content into file names.
const HASHED: &str = "-dxh";

/// Names and peers' messages come from strangers; should one ever get into the page as markup, it
/// can load and run nothing. Peers may use any tracker, hence `ws:` and `wss:`.
const SAFETY: [(&str, &str); 3] = [
    (
        "content-security-policy",
        "default-src 'self'; \
         script-src 'self' 'wasm-unsafe-eval'; \
         style-src 'self' 'unsafe-inline'; \
         img-src 'self' blob: data:; \
         media-src 'self' blob: data:; \
         frame-src 'self' blob:; \
         worker-src 'self' blob:; \
         connect-src 'self' blob: ws: wss:; \
         object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
];
